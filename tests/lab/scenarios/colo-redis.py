# SPDX-License-Identifier: LGPL-2.1-or-later
"""Acknowledged writes under COLO, and a power-off: none is lost

Eight connections count without pause; whatever was acknowledged is in the
copy that goes on, and no number comes twice."""

import os
import random
import time

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True
SEED = int(os.environ.get("XL_COLO_LAB_SEED", str(time.time_ns() % 1000000)))


def run(lab):
    chance = random.Random(SEED)
    guest = lab.guests()["g1"]
    _colo.protect(lab, guest)
    domid = _colo.copy_domid(lab)
    watch = _colo.Watch(lab)
    load = lab.client_start("redis-count", "count", guest.address,
                            "--strict", "--connections", 8, *_remus.ON)
    load.wait_progress("requests", 200, 180)
    after = _colo.at_random(lab, chance, 5, 10)
    watch.log(f"seed {SEED}, off after {after:.2f} s")
    lab.power_off("A")
    _remus.wait_running(lab)
    load.wait_progress("requests", load.progress()["requests"] + 50, 120)
    report = load.stop(60)
    lab.log(f"{report['requests']} requests, {report['latency_ms']}, "
            f"longest gap {report['longest_gap_s']} s")
    assert report["good"] and not report["resets"], report
    check = lab.client_start("redis-count", "verify", guest.address,
                             "--against", load.base + ".json").report()
    assert check["lost"] == 0 and check["ahead"] <= 1, check
    _colo.after_failover(lab, guest, domid)
