# SPDX-License-Identifier: LGPL-2.1-or-later
"""A PV guest serves every client program"""

from _serving import serves

GUEST = "pv"


def run(lab):
    guest = lab.guests()["g1"]
    serves(lab, guest)
    assert guest.hosts() == ["A"]
    assert guest.sh("cat /sys/hypervisor/guest_type").stdout.strip() \
        == b"PV"
