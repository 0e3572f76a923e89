# SPDX-License-Identifier: LGPL-2.1-or-later
"""Wires can be cut, healed and limited, each for itself"""

import time

LINK, LAN = "10.78.0.12", "10.77.0.12"
BYTES = 4 << 20


def reaches(lab, address):
    return lab.sh("A", f"ping -c 1 -W 1 {address}").returncode == 0


def transfer(lab):
    """Seconds for some MiB from A to B over the link."""
    lab.sh("B", "socat -u TCP-LISTEN:9,reuseaddr OPEN:/dev/null "
           ">/dev/null 2>&1 &", check=True)
    lab.out("B", "until ss -tln | grep -q :9; do busybox usleep 50000; done")
    began = time.monotonic()
    lab.out("A", f"head -c {BYTES} /dev/zero | socat -b 262144 -u - "
            f"TCP:{LINK}:9")
    return time.monotonic() - began


def run(lab):
    lab.wait(lambda: reaches(lab, LINK) and reaches(lab, LAN), 10,
             "both wires to carry")
    lab.cut("link")
    lab.wait(lambda: reaches(lab, LAN), 10, "the other wire to carry")
    assert not reaches(lab, LINK)
    lab.heal("link")
    lab.wait(lambda: reaches(lab, LINK), 10, "the link to come back")
    lab.cut("lan", "B")
    lab.wait(lambda: reaches(lab, LINK), 10, "the other wire to carry")
    assert not reaches(lab, LAN)
    lab.wait(lambda: lab.client("ping -c 1 -W 1 10.77.0.11").returncode == 0,
             10, "A to answer the client")
    assert lab.client("ping -c 1 -W 1 10.77.0.12").returncode != 0
    lab.heal("lan", "B")
    lab.wait(lambda: reaches(lab, LAN), 10, "the LAN to come back")
    free = transfer(lab)
    lab.rate("link", "4mbit")
    slow = transfer(lab)
    lab.rate("link", None)
    lab.log(f"4 MiB: {free:.1f} s, at 4 Mbit/s {slow:.1f} s")
    assert slow > BYTES * 8 / 4e6 / 2, f"no limit: {slow:.1f} s"
    assert transfer(lab) < slow / 2
