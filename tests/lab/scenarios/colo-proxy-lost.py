# SPDX-License-Identifier: LGPL-2.1-or-later
"""The connection that carries the packets breaks, all others stay

That is no failed host: the guest is protected by checkpoints alone, it is
said, the connection is made again, twice, and the copies are compared anew;
and a failover after it loses nothing."""

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


def downloads(lab, small):
    """Some of the small page, however slow they are; the report."""
    load = lab.client_start("http-load", small, "--connections", 4)
    load.wait_progress("requests", 20, 180)
    report = load.stop(60)
    assert report["good"] and not report["resets"], report
    return report


def break_proxy(lab, small):
    """Kill the connection by which most arrives from B while something is
    downloaded: what the copy says."""
    before = connections(lab)
    downloads(lab, small)
    grown = {port: n - before.get(port, 0)
             for port, n in connections(lab).items()}
    lab.log(f"octets received in the meantime: {grown}")
    port = max(grown, key=grown.get)
    lab.out("A", f"ss -K dst 10.78.0.12 sport = :{port}")
    assert port not in connections(lab), "it could not be broken"


def losses(lab):
    """How often protection went on without comparing. A host that is starved
    may lose the connection by itself, too."""
    mode = _colo.events(lab, "mode")
    return sum(e["why"] == "lost" and e["mode"] == "passive" for e in mode)


def comes_back(lab, before):
    """It is said that it broke; it is made again by itself, and the copy runs
    and is compared with."""
    lab.wait(lambda: losses(lab) > before, 60,
             "protection to go on without comparing", interval=0.5)
    lab.wait(lambda: _colo.events(lab, "mode")[-1]["mode"] == "colo", 120,
             "comparing to begin anew", interval=0.5)
    _colo.wait_beside(lab)
    status = _remus.status(lab)
    assert status["protected"] and status["colo"]["peer"], status
    assert status["colo"]["peer_losses_total"] > before, status
    assert not any("compared" in w for w in status["warnings"]), status
    notes = [e["text"] for e in _colo.events(lab, "note")]
    assert sum("there again" in t for t in notes) > before, notes
    lab.log(f"notes: {notes}")


def compares(lab, small):
    """What is downloaded leaves because both have said it."""
    before = _colo.compared(lab)
    report = downloads(lab, small)
    grown = _colo.compared(lab) - before
    assert grown > report["requests"] / 2, (grown, report)
    lab.log(f"{report['requests']} downloads, {grown} packets compared")


def run(lab):
    guest = lab.guests()["g1"]
    small = _colo.pages(guest)
    _colo.protect(lab, guest)
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    for _ in range(2):
        before = losses(lab)
        break_proxy(lab, small)
        comes_back(lab, before)
        clients.go_on(2)
        compares(lab, small)
    domid = _colo.copy_domid(lab)
    lab.power_off("A")
    _remus.wait_running(lab)
    clients.go_on(3)
    clients.finish()
    _colo.after_failover(lab, guest, domid)
