# SPDX-License-Identifier: LGPL-2.1-or-later
"""Power-offs at random moments, to and fro, of a guest with --colo and a disk

Each round: no reset, nothing acknowledged lost, on the disk neither."""

import os
import random
import time

import _colo
import _colodisk
import _disk
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 10800
ROUNDS = int(os.environ.get("XL_COLO_LAB_ROUNDS", "10"))
SEED = int(os.environ.get("XL_COLO_LAB_SEED", str(time.time_ns() % 1000000)))
LINKS = {"A": "a-link", "B": "b-link"}


def one(lab, guest, here, there, mode, rng):
    """Protect, lose power, go on there; the dead host comes back. How many
    promises were kept."""
    _colodisk.protect(lab, guest, mode, here, there, LINKS[there])
    disk = _disk.disk_of(lab, here)
    _disk.forget(guest)
    clients = _remus.Clients(lab, guest, ("redis",))
    appends = _disk.Appends(lab, guest)
    clients.warm_up()
    appends.warm_up()
    after = _colo.at_random(lab, rng, 0, 6)
    ran = _colo.beside(lab, there)
    lab.power_off(here)
    _remus.wait_running(lab, there)
    clients.go_on(1)
    appends.go_on()
    report = clients.finish()["redis"]
    counted = _disk.consistent(guest, report)
    lines = appends.finish()
    _disk.sound(lab, guest, there)
    lab.log(f"{here} -> {there}, {mode}, off after {after:.2f} s"
            + (", the copy ran" if ran else "") + f": copied "
            f"{disk['copied_bytes']} of {disk['size_bytes']} octets, "
            f"{report['requests']} increments acknowledged and {counted} on "
            f"the disk, {lines} appends, silent for "
            f"{report['longest_gap_s']} s, its file system clean")
    lab.power_on(here)
    return report["requests"] + lines


def run(lab):
    rng = random.Random(SEED)
    lab.log(f"seed {SEED}, {ROUNDS} rounds")
    guest = _disk.start(lab)
    hosts = ["A", "B"]
    promises = 0
    for number in range(ROUNDS):
        mode = rng.choice(("colo", "colo", "auto", "remus"))
        promises += one(lab, guest, *hosts, mode, rng)
        hosts.reverse()
        # Connections whose numbers are translated end first.
        lab.wait(lambda: not _remus.status(lab, hosts[0], "g1").get(
            "svm", {}).get("live_flows"), 120, "old connections to end", 0.5)
        lab.log(f"round {number + 1} of {ROUNDS}: {promises} acknowledged "
                "writes until now, none lost")
    _disk.clean(lab, guest, hosts[0])
