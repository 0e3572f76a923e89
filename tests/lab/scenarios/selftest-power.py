# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host that loses its power is gone, and comes back with its disk"""


def run(lab):
    lab.out("A", "echo kept >/root/kept && sync")
    boot = lab.out("A", "cat /proc/sys/kernel/random/boot_id")
    lab.power_off("A")
    assert lab.sh("B", "ping -c 1 -W 1 10.78.0.11").returncode != 0
    lab.power_on("A")
    assert lab.out("A", "cat /root/kept") == "kept"
    assert lab.out("A", "cat /proc/sys/kernel/random/boot_id") != boot
    lab.power_off("A")
    lab.power_on("A", saved=True)
    assert lab.sh("A", "test -e /root/kept").returncode != 0
    assert lab.out("B", "ssh a-link hostname") == "a"
