# SPDX-License-Identifier: LGPL-2.1-or-later
"""A UDP service and ping under COLO, through a power-off of A

What is lost is asked again, as DNS does; nothing is answered wrong, and
ping's answers do not come twice while both copies run."""

import json

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True


def run(lab):
    guest = lab.guests()["g1"]
    _colo.protect(lab, guest)
    domid = _colo.copy_domid(lab)
    watch = _colo.Watch(lab)
    chat = lab.client_start("udp-chat", guest.address, "--seconds", 7200)
    chat.wait_progress("requests", 10, 60)
    ping = lab.client_start("ping-probe", guest.address, "--interval",
                            "0.1", "--count", 100, "--drain", 5)
    pinged = ping.report(90)
    lab.log(f"ping: {json.dumps(pinged)}")
    assert not pinged.get("doubles"), pinged
    assert pinged["good"], pinged
    watch.log("protection")
    lab.power_off("A")
    _remus.wait_running(lab)
    chat.wait_progress("requests", chat.progress()["requests"] + 20, 120)
    report = chat.stop()
    lab.log(f"udp: {json.dumps(report)}")
    assert report["good"], report
    _colo.after_failover(lab, guest, domid)
