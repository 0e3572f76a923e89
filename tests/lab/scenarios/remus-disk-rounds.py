# SPDX-License-Identifier: LGPL-2.1-or-later
"""Twenty power-offs at random moments, to and fro: RULES A6 on a disk"""

import random
import time

import _disk
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 7200
ROUNDS = 20
LINKS = {"A": "a-link", "B": "b-link"}


def one(lab, guest, here, there, rng):
    """Protect, lose power, go on there; the dead host comes back."""
    _disk.protect(lab, guest, LINKS[there], host=here)
    disk = _disk.disk_of(lab, here)
    _disk.forget(guest)
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    at = time.monotonic() + rng.uniform(0, 6)
    lab.wait(lambda: time.monotonic() > at, 10, "a random moment", 0.01)
    lab.power_off(here)
    _remus.wait_running(lab, there)
    clients.go_on(1)
    report = clients.finish()["redis"]
    there_are = _disk.consistent(guest, report)
    lab.log(f"{here} -> {there}: copied {disk['copied_bytes']} octets, "
            f"{there_are} increments on the disk")
    lab.power_on(here)
    return disk["copied_bytes"], disk["size_bytes"]


def run(lab):
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    lab.log(f"seed {seed}")
    guest = _disk.start(lab)
    hosts = ["A", "B"]
    for number in range(ROUNDS):
        copied, size = one(lab, guest, *hosts, rng)
        assert not number or copied < size / 4, \
            f"round {number} copied {copied} of {size} octets"
        hosts.reverse()
    _disk.clean(lab, guest, hosts[0])
