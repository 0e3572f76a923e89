# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several block-colo disks: a file, a loop device, one that is read-only"""

import _disks

PRODUCT = True
SLOW = True
MORE = ('disk += ["format=raw,vdev=xvdb,access=rw,script=block-colo,'
        'target={loop}", "format=raw,vdev=xvdc,access=ro,script=block-colo,'
        'target=/srv/lab/ro.img"]')


def run(lab):
    lab.out("A", "truncate -s 16M /srv/lab/loop.img /srv/lab/ro.img && "
                 "echo read-only | dd of=/srv/lab/ro.img conv=notrunc")
    loop = lab.out("A", "losetup -f --show /srv/lab/loop.img")
    guest = lab.guest_start("pvh", disk="here", mirror=True,
                            config=MORE.format(loop=loop))
    guest.sh("mknod /dev/b b $(tr : ' ' </sys/block/xvdb/dev); mknod /dev/c b "
             "$(tr : ' ' </sys/block/xvdc/dev)", check=True)
    guest.sh("dd if=/dev/urandom of=/tmp/b bs=64k count=256 && dd if=/tmp/b "
             "of=/dev/b bs=64k conv=fsync && echo 3 >/proc/sys/vm/drop_caches "
             "&& cmp /tmp/b /dev/b", check=True)
    assert guest.sh("head -n 1 /dev/c", check=True).stdout == b"read-only\n"
    assert guest.sh("echo x | dd of=/dev/c conv=fsync").returncode != 0
    digest = guest.sh("sha256sum </tmp/b", check=True).stdout.split()[0]
    served = lab.out("A", f"{_disks.SERVE} folder {loop}; {_disks.SERVE} "
                          "folder /srv/lab/ro.img; ls -d /run/xl-colo/disk/*/")
    assert len(set(served.split())) == 5, served
    # What a session still needs outlives the guest.
    lab.out("A", f"touch $({_disks.SERVE} folder {loop})/keep")
    lab.out("A", f"xl destroy {guest.name}")
    assert lab.out("A", "pgrep -c nbdkit") == "1"
    lab.out("A", f"test ! -e $({_disks.SERVE} folder {loop})/device && "
                 f"{_disks.SERVE} end {loop}")
    _disks.nothing_served(lab)
    assert lab.out("A", "sha256sum </srv/lab/loop.img").split()[0] == \
        digest.decode()
    assert lab.out("A", "head -n 1 /srv/lab/ro.img") == "read-only"
    lab.out("A", f"losetup -d {loop}")
