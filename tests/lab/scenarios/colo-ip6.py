# SPDX-License-Identifier: LGPL-2.1-or-later
"""COLO over IPv6: streams, a chat, datagrams; and through a power-off"""

import json

import _colo
import _remus

PRODUCT = True
SLOW = True


# On ports of their own: the guest's other servers may or may not hear IPv6.
ECHO, PORT = """socat TCP6-LISTEN:17,fork,reuseaddr,nodelay PIPE \\
    >/dev/null 2>&1 </dev/null &
socat UDP6-RECVFROM:17,fork PIPE >/dev/null 2>&1 </dev/null &""", 17


def run(lab):
    guest = lab.guest_start("pvh", ip6=True)
    address = guest.address6
    small = _colo.pages(guest, tcp="TCP6")
    _colo.sink(guest, tcp="TCP6")
    guest.sh(ECHO, check=True)
    _colo.protect(lab, guest)
    domid = _colo.copy_domid(lab)
    watch = _colo.Watch(lab)
    report = lab.client_start("http-load", small, "--seconds",
                              15).report(140)
    told = watch.log("protection")
    lab.log(json.dumps(report))
    assert report["good"] and not report["resets"], report
    assert report["requests"] > told["checkpoints"], told
    clients = {
        "chat": lab.client_start("echo-chat", address, "--port", PORT,
                                 "--interval", "0.1", *_remus.ON),
        "udp": lab.client_start("udp-chat", address, "--port", PORT,
                               "--seconds", 7200),
        "upload": lab.client_start("upload", address, "--mib", 4, "--rate",
                                   100 << 10, *_remus.ON)}
    clients["chat"].wait_progress("lines", 5, 60)
    clients["upload"].wait_progress("bytes", 1 << 20, 120)
    lab.power_off("A")
    _remus.wait_running(lab)
    for name, key in (("chat", "lines"), ("udp", "requests")):
        now = clients[name].progress().get(key, 0)
        clients[name].wait_progress(key, now + 5, 120)
    reports = {"upload": clients.pop("upload").report(240),
               **{name: c.stop(60) for name, c in clients.items()}}
    for name, report in reports.items():
        lab.log(f"{name}: {json.dumps(report)}")
        assert report["good"] and not report.get("resets"), report
    assert reports["upload"]["complete"], reports["upload"]
    lab.client(f"ip -6 neigh flush to {address}")
    _colo.after_failover(lab, guest, domid)
