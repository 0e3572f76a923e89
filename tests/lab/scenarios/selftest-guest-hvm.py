# SPDX-License-Identifier: LGPL-2.1-or-later
"""An HVM guest serves every client program"""

from _serving import serves

SLOW = True


def run(lab):
    guest = lab.guest_start("hvm")
    serves(lab, guest)
    assert guest.sh("cat /sys/hypervisor/guest_type").stdout.strip() \
        == b"HVM"
