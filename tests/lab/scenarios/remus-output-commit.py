# SPDX-License-Identifier: LGPL-2.1-or-later
"""Power-offs at random points under load: no reply is ahead of the survivor"""

import os
import random
import time

import _remus

GUEST = "pvh"
PRODUCT = True
TIMEOUT = 5400
# By hand: XL_COLO_LAB_ROUNDS=20 tests/lab/lab run remus-output-commit ...
ROUNDS = int(os.environ.get("XL_COLO_LAB_ROUNDS", "2"))
SEED = int(os.environ.get("XL_COLO_LAB_SEED", str(time.time_ns() % 1000000)))


def one_round(lab, number, chance):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="-i 300 --plaintext")
    load = lab.client_start("redis-count", "count", guest.address,
                            "--strict", "--connections", 8, "--timeout", 120)
    load.wait_progress("requests", 20, 90)
    after = chance.uniform(0.5, 4)
    end = time.monotonic() + after
    lab.wait(lambda: time.monotonic() > end, after + 1, "time", 0.01)
    lab.power_off("A")
    _remus.wait_running(lab)
    now = load.progress()["requests"]
    load.wait_progress("requests", now + 20, 120)
    report = load.stop(60)
    assert report["good"] and not report["resets"], report
    check = lab.client_start("redis-count", "verify", guest.address,
                             "--against", load.base + ".json").report()
    lab.log(f"round {number}: off after {after:.2f} s, "
            f"{report['requests']} requests, longest gap "
            f"{report['longest_gap_s']} s, lost {check['lost']}")
    assert check["lost"] == 0, check
    assert check["ahead"] <= 1, check


def run(lab):
    chance = random.Random(SEED)
    lab.log(f"seed {SEED}, {ROUNDS} rounds")
    for number in range(1, ROUNDS + 1):
        if number > 1:
            lab.reset(lab.start_state)
        one_round(lab, number, chance)
