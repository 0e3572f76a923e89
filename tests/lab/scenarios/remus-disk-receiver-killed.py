# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worker of either host is killed; the disk goes on (over TLS)"""

import _disk
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 1500


def run(lab):
    guest = _disk.start(lab)
    _disk.protect(lab, guest, options="")
    pid = _remus.status(lab, "B")["pid"]
    lab.out("B", f"kill -9 {pid}")
    assert _remus.ended(lab) == 4, _remus.log_of(lab)
    guest.sh("echo one >/root/one && sync", check=True, timeout=60)
    lab.wait(lambda: lab.out("B", "pgrep nbdkit; true") == "", 60,
             "the plugin on B to end", interval=0.3)
    _disk.protect(lab, guest, options="")
    disk = _disk.disk_of(lab, "A")
    assert disk["copied_bytes"] < disk["size_bytes"] / 4, disk
    lab.out("A", f"kill -9 {_remus.status(lab)['pid']}")
    assert _remus.ended(lab) == 11, _remus.log_of(lab)
    guest.sh("echo two >/root/two && sync", check=True, timeout=60)
    _disk.nobody_serves(lab, "B")
    _disk.clean(lab, guest, "A")
