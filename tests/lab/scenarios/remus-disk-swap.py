# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mirrored disk: a handover that fails is taken back; then there and back"""

import _disk
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 3000


def fail_once(lab, guest):
    """The copy's network interface can't be added on B, after its disk was
    taken over: nothing was written there, and that is remembered."""
    lab.out("B", "cd /etc/xen/scripts && cp -p vif-bridge vif-bridge.good && "
                 "printf '#!/bin/sh\\nexit 1\\n' >vif-bridge")
    asked = lab.sh("A", "xl remus-failover g1", timeout=300)
    assert asked.returncode == 1, asked
    assert _remus.ended(lab) == 4, _remus.log_of(lab)
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 60,
             "the copy on B to go", interval=0.3)
    lab.out("B", "cd /etc/xen/scripts && mv vif-bridge.good vif-bridge")
    _remus.no_rest(lab)
    _disk.nobody_serves(lab, "B")
    guest.sh("echo on >/root/went && sync", check=True)


def hand_over(lab, host, log_host):
    """A planned failover, and where it is afterwards."""
    lab.out(host, "xl remus-failover g1", timeout=300)
    assert _remus.ended(lab, log_host) == 8, _remus.log_of(lab, log_host)


def run(lab):
    guest = _disk.start(lab)
    _disk.protect(lab, guest)
    clients = _remus.Clients(lab, guest, ("redis",))
    clients.warm_up()
    fail_once(lab, guest)
    for here, there, link in (("A", "B", "b-link"), ("B", "A", "a-link")):
        _disk.protect(lab, guest, link, host=here)
        disk = _disk.disk_of(lab, here)
        lab.log(f"{here}: copied {disk['copied_bytes']} octets")
        assert disk["copied_bytes"] < disk["size_bytes"] / 4, disk
        hand_over(lab, there, here)
        clients.go_on(1)
        _disk.nobody_serves(lab, here)
    report = clients.finish()["redis"]
    _disk.consistent(guest, report)
    assert guest.sh("cat /root/went", check=True).stdout == b"on\n"
    _disk.clean(lab, guest, "A")
