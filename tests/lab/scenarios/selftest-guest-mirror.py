# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest boots from a block-colo disk, writes, reboots, and leaves nothing"""

import _disks

PRODUCT = True
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def run(lab):
    guest = lab.guest_start("pvh", disk="here", mirror=True)
    assert b"/dev/xvda" in guest.sh("df /", check=True).stdout
    folder = lab.out("A", f"{_disks.SERVE} folder {guest.disk}")
    assert lab.out("A", f"cat {folder}/device").startswith("/dev/nbd")
    guest.sh("dd if=/dev/urandom of=/root/data bs=64k count=64 conv=fsync && "
             "sha256sum /root/data >/root/sum && sync", check=True)
    first = guest.sh(BOOT_ID, check=True).stdout
    lab.out("A", f"xl reboot {guest.name}")
    lab.wait(lambda: guest.sh(BOOT_ID).stdout not in (b"", first), 150,
             "the guest to reboot", 0.5)
    guest.sh("sha256sum -c /root/sum && echo again >/root/file && sync",
             check=True)
    lab.log("rebooted, and its data is there")
    lab.out("A", f"xl destroy {guest.name}")
    _disks.nothing_served(lab)
    # Another domain, another uuid, the same image.
    guest.create("A")
    guest.sh("sha256sum -c /root/sum && grep again /root/file", check=True)
    lab.out("A", f"xl shutdown -w {guest.name}")
    lab.wait(lambda: not guest.hosts(), 30, "the guest to be gone", 0.5)
    _disks.nothing_served(lab)
    assert guest.fsck("A") == 0
    assert lab.out("A", "debugfs -R 'cat /root/file' "
                   f"{guest.disk} 2>/dev/null") == "again"
