# SPDX-License-Identifier: LGPL-2.1-or-later
"""One domain is put back 200 times; its servers answer, and nothing grows"""

import importlib

import _inplace
from _serving import serves

SLOW = True
TIMEOUT = 2400
ROUNDS = 200
# Everything has been used once by then.
WARM = 20
# What the guest itself has left, and what took it.
LEFT = """
grep -E '^(Mem|Cached|Anon|Shmem|Slab|SUnr|KernelS|Percpu)' /proc/meminfo
echo $(ps | wc -l) processes
dmesg | tail -5
"""


def run(lab):
    guest = lab.guest_start("pvh", memory=256)
    seen = []

    def look(drive, number):
        if number == WARM or number == ROUNDS - 1:
            seen.append(_inplace.used(lab, drive))
            lab.log(f"round {number}: {seen[-1]}")
            lab.log(guest.sh(LEFT).stdout.decode())
    importlib.import_module("inplace-rounds").rounds(
        lab, guest, ROUNDS, 5, look)
    grown = _inplace.grown(*seen)
    assert not grown, grown
    serves(lab, guest, requests=20)
    assert guest.hosts() == ["A"]
