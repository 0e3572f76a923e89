# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host A loses power at a random moment while both copies run: nobody notices

No connection is reset, no acknowledged write is lost, every stream is whole;
the domain that ran beside is the one that goes on."""

import os
import random
import time

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SEED = int(os.environ.get("XL_COLO_LAB_SEED", str(time.time_ns() % 1000000)))


def run(lab):
    chance = random.Random(SEED)
    guest = lab.guests()["g1"]
    _colo.protect(lab, guest)
    domid = _colo.copy_domid(lab)
    watch = _colo.Watch(lab)
    clients = _remus.Clients(lab, guest)
    clients.warm_up()
    after = _colo.at_random(lab, chance, 0.5, 5)
    watch.log(f"seed {SEED}, off {after:.2f} s after the last warm-up")
    lab.power_off("A")
    _remus.wait_running(lab)
    clients.go_on(3)
    lab.log(f"longest gaps in s: {_colo.gaps(clients.finish())}")
    _colo.after_failover(lab, guest, domid)
