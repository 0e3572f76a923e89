# SPDX-License-Identifier: LGPL-2.1-or-later
"""A block-colo disk that can't be right is refused by a sentence"""

import _disks
from lablib import guest as guests

PRODUCT = True


def run(lab):
    guest = guests.define(lab, "pvh", "g1")
    guest.write_config(guest.config(disk=True, mirror=True))
    guest.make_disk("A")
    disk = guest.disk
    lab.out("A", f"cp {disk} /srv/lab/x && "
                 f"printf 'QFI\\373' | dd of={disk} conv=notrunc")
    _disks.refused(lab, "A", "g1", "is a qcow2 image", "qemu-img convert")
    lab.out("A", f"mv /srv/lab/x {disk} && losetup -f {disk}")
    _disks.refused(lab, "A", "g1", "is in use on this host, by /dev/loop")
    lab.out("A", f"losetup -D; mv {disk} /srv/lab/x")
    _disks.refused(lab, "A", "g1", f"{disk} does not exist")
    lab.out("A", f"mv /srv/lab/x {disk}; mv /usr/bin/nbdkit /root/")
    _disks.refused(lab, "A", "g1", "install the package nbdkit")
    lab.out("A", "mv /root/nbdkit /usr/bin/")
    _disks.nothing_served(lab)
    lab.log("what can't be right was refused")

    # libxl kills a script after 40 s; what it had begun is undone.
    lab.sh("A", "mv /usr/sbin/nbd-client /root/ && cat >/usr/sbin/nbd-client "
                "&& chmod 755 /usr/sbin/nbd-client", check=True,
           input=b'#!/bin/sh\n[ "$1" = -d ] || sleep 45\n'
                 b'exec /root/nbd-client "$@"\n')
    _disks.refused(lab, "A", "g1", "because of timeout")
    lab.out("A", "mv /root/nbd-client /usr/sbin/")
    _disks.nothing_served(lab)
