# SPDX-License-Identifier: LGPL-2.1-or-later
"""Twenty power-offs at random moments, to and fro: RULES A6 on a disk"""

import os
import random
import time

import _disk
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 7200
ROUNDS = int(os.environ.get("XL_COLO_LAB_ROUNDS", "20"))
SEED = int(os.environ.get("XL_COLO_LAB_SEED", str(time.time_ns() % 1000000)))
LINKS = {"A": "a-link", "B": "b-link"}


def one(lab, guest, here, there, rng):
    """Protect, lose power, go on there; the dead host comes back. What was
    copied, how much of how many promises was lost, how long was silence."""
    # An ssh login is a dozen round trips: under protection each waits for a
    # checkpoint. And the disk's first copy has somebody who writes.
    appends = _disk.Appends(lab, guest)
    appends.warm_up()
    _disk.protect(lab, guest, LINKS[there], host=here)
    disk = _disk.disk_of(lab, here)
    _disk.forget(guest)
    clients = _remus.Clients(lab, guest, ("redis",))
    clients.warm_up()
    appends.go_on()
    at = time.monotonic() + rng.uniform(0, 6)
    lab.wait(lambda: time.monotonic() > at, 10, "a random moment", 0.01)
    lab.power_off(here)
    _remus.wait_running(lab, there)
    clients.go_on(1)
    appends.go_on()
    report = clients.finish()["redis"]
    counted = _disk.consistent(guest, report)
    lines = appends.finish()
    _disk.sound(lab, guest, there)
    lab.log(f"{here} -> {there}: copied {disk['copied_bytes']} of "
            f"{disk['size_bytes']} octets, {report['requests']} increments "
            f"acknowledged and {counted} on the disk, {lines} appends, "
            f"silent for {report['longest_gap_s']} s, its file system clean")
    lab.power_on(here)
    return disk["copied_bytes"], disk["size_bytes"], \
        report["requests"] + lines


def run(lab):
    rng = random.Random(SEED)
    lab.log(f"seed {SEED}, {ROUNDS} rounds")
    guest = _disk.start(lab)
    hosts = ["A", "B"]
    promises = 0
    for number in range(ROUNDS):
        copied, size, kept = one(lab, guest, *hosts, rng)
        assert not number or copied < size / 4, \
            f"round {number} copied {copied} of {size} octets"
        promises += kept
        hosts.reverse()
        lab.log(f"round {number + 1} of {ROUNDS}: {promises} acknowledged "
                "writes until now, none lost")
    _disk.clean(lab, guest, hosts[0])
