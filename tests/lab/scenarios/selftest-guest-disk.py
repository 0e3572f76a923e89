# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest with its root on a disk shuts down and leaves it clean"""


def run(lab):
    guest = lab.guest_start("pvh", disk="both")
    guest.sh("echo written >/root/file && sync", check=True)
    assert b"/dev/xvda" in guest.sh("df /", check=True).stdout
    lab.out("A", f"xl shutdown -w {guest.name}")
    assert guest.fsck("A") == 0
    assert lab.out("A", "debugfs -R 'cat /root/file' "
                   f"{guest.disk} 2>/dev/null") == "written"
    lab.out("B", f"cmp /srv/lab/guest/disk.img {guest.disk}")
