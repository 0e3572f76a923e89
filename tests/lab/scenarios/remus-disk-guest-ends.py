# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A13: a guest powers off; its last writes are on both hosts' images"""

import _disk
import _remus

PRODUCT = True
TIMEOUT = 900


def run(lab):
    guest = _disk.start(lab)
    _disk.protect(lab, guest)
    guest.sh("dd if=/dev/urandom of=/root/last bs=64k count=16; poweroff")
    assert _remus.ended(lab, timeout=120) == 5, _remus.log_of(lab)
    assert "last writes" not in _remus.log_of(lab), _remus.log_of(lab)
    lab.wait(lambda: "g1" not in lab.out("A", "xl list"), 60,
             "the guest to be gone", interval=0.3)
    # Durable is what the journal has; the image has it when the plugin ends.
    for host in "A", "B":
        lab.wait(lambda h=host: lab.out(h, "pgrep nbdkit; true") == "", 60,
                 f"the plugin on {host} to end", interval=0.3)
    _disk.equal(lab, guest.disk, guest.disk)
    assert guest.fsck("A") == 0
