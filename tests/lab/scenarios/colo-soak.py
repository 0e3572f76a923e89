# SPDX-License-Identifier: LGPL-2.1-or-later
"""Half an hour under load in mode auto: nothing grows, nothing is lost"""

import os
import time

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True
TIMEOUT = 7200
MINUTES = int(os.environ.get("XL_COLO_LAB_MINUTES", "30"))
SETTLED = 3  # minutes until what is needed is there
GROWTH_KIB = 16 << 10
GROWTH_FDS = 8


def looks(lab, minute):
    """What both hosts use now."""
    now = {host: _colo.used(lab, host) for host in ("A", "B")}
    lab.log(f"minute {minute}: {now}")
    return now


def run(lab):
    guest = lab.guests()["g1"]
    small = _colo.pages(guest)
    _colo.protect(lab, guest, mode="auto")
    watch = _colo.Watch(lab)
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    load = lab.client_start("http-load", small, "--connections", 2,
                            "--seconds", MINUTES * 60 + 600)
    began, seen = time.monotonic(), []
    for minute in range(1, MINUTES + 1):
        due = began + minute * 60
        lab.wait(lambda d=due: time.monotonic() > d, 70, "a minute", 0.5)
        seen.append(looks(lab, minute))
        assert _remus.status(lab)["protected"], _remus.log_of(lab)
    watch.log("protection")
    report = load.stop(120)
    assert report["good"] and not report["resets"], report
    clients.finish()
    base = seen[min(SETTLED, len(seen)) - 1]
    for host in ("A", "B"):
        last = looks(lab, "the end, idle")[host]
        assert last["rss_kib"] < base[host]["rss_kib"] + GROWTH_KIB, \
            f"{host}: memory grew from {base[host]} to {last}"
        assert last["fds"] < base[host]["fds"] + GROWTH_FDS, \
            f"{host}: descriptors grew from {base[host]} to {last}"
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0, _remus.log_of(lab)
    _remus.no_rest(lab)
