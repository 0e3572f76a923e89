# SPDX-License-Identifier: LGPL-2.1-or-later
"""--colo with a mirrored disk: stopped, or its guest ends: nothing stays

What the copy wrote to its disk is on neither image."""

import _colo
import _colodisk
import _disk
import _disks
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 1800


def over(lab):
    """No copy, and nothing that serves its disk."""
    lab.wait(lambda: "--colo" not in lab.out("B", "xl list"), 20,
             "the copy to go")
    _disks.nothing_served(lab, "B")
    _remus.no_rest(lab)


def run(lab):
    guest = _disk.start(lab)
    chat = lab.client_start("echo-chat", guest.address, "--timeout", 240)
    for mode in ("remus", "colo"):
        _colodisk.protect(lab, guest, mode)
        guest.sh("dd if=/dev/urandom of=/root/" + mode + " bs=64k count=16; "
                 "sync", check=True)
        chat.wait_progress("lines", chat.progress().get("lines", 0) + 10, 120)
        lab.out("A", "xl remus-stop g1", timeout=120)
        assert _remus.ended(lab) == 0, _remus.log_of(lab)
        over(lab)
    assert chat.stop()["resets"] == 0
    _colodisk.protect(lab, guest, "colo")
    again = _disk.disk_of(lab, "A")
    assert again["copied_bytes"] < again["size_bytes"] / 8, again
    guest.sh("dd if=/dev/urandom of=/root/last bs=64k count=16; poweroff")
    assert _remus.ended(lab) == 5, _remus.log_of(lab)
    over(lab)
    _disks.nothing_served(lab, "A")
    _disk.equal(lab, guest.disk, guest.disk)
    assert guest.fsck("B") == 0, "the copy of the disk is damaged"
