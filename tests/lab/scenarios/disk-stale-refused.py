# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A7: no guest is started from a copy, nor from an image in use"""

import _disks

PRODUCT = True


def run(lab):
    guest = lab.guest_start("pvh", disk="both", mirror=True)
    # The same image for a second guest, under its name and another.
    lab.out("A", f"ln {guest.disk} /srv/lab/other.img")
    for image in guest.disk, "/srv/lab/other.img":
        lab.out("A", "sed 's/^name = .*/name = \"second\"/; "
                     f"s|target=[^\"]*|target={image}|' </etc/xen/g1.cfg "
                     ">/etc/xen/second.cfg")
        _disks.refused(lab, "A", "second", image, "in use" if image ==
                       guest.disk else "served already, as " + guest.disk)
    guest.sh("echo here >/root/file && sync", check=True)
    lab.out("A", f"xl destroy {guest.name}; rm /srv/lab/other.img")
    _disks.nothing_served(lab)
    lab.log("one image, one guest")

    # A copy, as long as it is one, and after its nbdkit has ended.
    lab.out("A", f"mv {guest.disk} /srv/lab/real.img")
    _disks.mirror_here(lab, "A", "/srv/lab/real.img", guest.disk)
    _disks.refused(lab, "A", "g1", "is the copy of a guest that runs on")
    for image in "/srv/lab/real.img", guest.disk:
        lab.out("A", f"{_disks.SERVE} end {image}")
    _disks.refused(lab, "A", "g1", "is a copy", "xl remus-disk force "
                   + guest.disk)
    _disks.nothing_served(lab)
    lab.log("a copy was refused")
    lab.out("A", f"{_disks.SERVE} primary {guest.disk} {_disks.UUID} force")
    guest.create("A")
    guest.sh("grep here /root/file", check=True)
    lab.out("A", f"xl destroy {guest.name}")
    _disks.nothing_served(lab)
    lab.log("by force it was started")
