# SPDX-License-Identifier: LGPL-2.1-or-later
"""The connection that carries the packets breaks, all others stay: passive

That is no failed host: the guest is protected by checkpoints alone, the copy
stands still, it is said; and a failover after it loses nothing."""

import re

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True


def connections(lab):
    """{local port: octets received} of xl remus's connections on A."""
    text = lab.out("A", "ss -tniH dst 10.78.0.12 and not dport = :22")
    ports = re.findall(r"10\.78\.0\.11\S*:(\d+)\s.*\n(.*)", text)
    return {port: int((re.search(r"bytes_received:(\d+)", info)
                       or [0, 0])[1]) for port, info in ports}


def break_proxy(lab, small):
    """Kill the connection by which most arrives from B while something is
    downloaded: what the copy says."""
    before = connections(lab)
    load = lab.client_start("http-load", small, "--connections", 4,
                            "--seconds", 5)
    report = load.report(120)
    assert report["good"], report
    grown = {port: n - before.get(port, 0)
             for port, n in connections(lab).items()}
    lab.log(f"octets received in the meantime: {grown}")
    port = max(grown, key=grown.get)
    lab.out("A", f"ss -K dst 10.78.0.12 sport = :{port}")
    assert port not in connections(lab), "it could not be broken"


def run(lab):
    guest = lab.guests()["g1"]
    small = _colo.pages(guest)
    _colo.protect(lab, guest)
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    break_proxy(lab, small)
    lab.wait(lambda: any(e["mode"] == "passive" and e["why"] == "lost"
                         for e in _colo.events(lab, "mode")), 60,
             "protection to go on without comparing", interval=0.5)
    lab.wait(lambda: not _colo.beside(lab), 30, "the copy to stand still")
    status = _remus.status(lab)
    assert status["protected"], status
    assert any("compared" in w for w in status["warnings"]), status
    watch = _colo.Watch(lab)
    clients.go_on(5)
    told = watch.log("without comparing")
    assert set(told["modes"]) == {"passive"}, told
    lab.power_off("A")
    _remus.wait_running(lab)
    clients.go_on(3)
    clients.finish()
