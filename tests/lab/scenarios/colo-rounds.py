# SPDX-License-Identifier: LGPL-2.1-or-later
"""Power-offs of either host at random moments under COLO, again and again

Each round: no reset, no acknowledged write lost, and who is left runs."""

import json
import os
import random
import time

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True
TIMEOUT = 10800
ROUNDS = int(os.environ.get("XL_COLO_LAB_ROUNDS", "20"))
SEED = int(os.environ.get("XL_COLO_LAB_SEED", str(time.time_ns() % 1000000)))


def survive(lab, host):
    """The other host, or nobody, takes over; xl remus says so."""
    if host == "A":
        _remus.wait_running(lab)
    else:
        assert _remus.ended(lab, timeout=90) == 4, _remus.log_of(lab)


def one_round(lab, number, chance):
    """One power-off; the longest gap of a client."""
    guest = lab.guests()["g1"]
    mode = chance.choice(("colo", "colo", "auto"))
    host = chance.choice("AAB")
    _colo.protect(lab, guest, mode=mode)
    load = lab.client_start("redis-count", "count", guest.address,
                            "--strict", "--connections", 8, "--interval",
                            0.02, *_remus.ON)
    chat = lab.client_start("echo-chat", guest.address, *_remus.ON)
    load.wait_progress("requests", 20, 90)
    chat.wait_progress("lines", 5, 90)
    after = _colo.at_random(lab, chance, 0, 6)
    ran = host == "A" and _colo.beside(lab)
    lab.power_off(host)
    survive(lab, host)
    load.wait_progress("requests", load.progress()["requests"] + 20, 120)
    chat.wait_progress("lines", chat.progress()["lines"] + 5, 120)
    reports = {"redis": load.stop(60), "echo": chat.stop(60)}
    for report in reports.values():
        assert report["good"] and not report["resets"], report
    check = lab.client_start("redis-count", "verify", guest.address,
                             "--against", load.base + ".json").report()
    lab.log(f"round {number}: {mode}, {host} off after {after:.2f} s"
            + (", the copy ran" if ran else "")
            + f", {reports['redis']['requests']} requests, gaps "
            f"{json.dumps(_colo.gaps(reports))}, lost {check['lost']}")
    assert check["lost"] == 0 and check["ahead"] <= 1, check


def run(lab):
    chance = random.Random(SEED)
    lab.log(f"seed {SEED}, {ROUNDS} rounds")
    for number in range(1, ROUNDS + 1):
        if number > 1:
            lab.reset(lab.start_state)
        one_round(lab, number, chance)
