# SPDX-License-Identifier: LGPL-2.1-or-later
"""The receiver is killed while the copy runs and has its disk: nothing stays"""

import _colodisk
import _disk
import _disks
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 1500


def run(lab):
    guest = _disk.start(lab)
    _colodisk.protect(lab, guest, "colo")
    lab.out("B", f"kill -9 {_remus.status(lab, 'B')['pid']}")
    assert _remus.ended(lab) == 4, _remus.log_of(lab)
    guest.sh("echo one >/root/one && sync", check=True, timeout=60)
    lab.wait(lambda: "--colo" not in lab.out("B", "xl list"), 60,
             "the copy to go", interval=0.3)
    _disks.nothing_served(lab, "B")
    # The copy's own writes are on no image, and no force is needed.
    _colodisk.protect(lab, guest, "colo")
    disk = _disk.disk_of(lab, "A")
    assert disk["copied_bytes"] < disk["size_bytes"] / 4, disk
    lab.power_off("A")
    _remus.wait_running(lab)
    assert guest.sh("cat /root/one", check=True,
                    timeout=90).stdout == b"one\n"
    _disk.sound(lab, guest, "B")
    _disk.clean(lab, guest, "B")
    _disks.nothing_served(lab, "B")
