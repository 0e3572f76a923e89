# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A7: a host that lost its guest does not start it from its old disk"""

import _disk
import _disks
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 1800


def run(lab):
    guest = _disk.start(lab)
    _disk.protect(lab, guest)
    lab.power_off("A")
    _remus.wait_running(lab)
    guest.sh("echo newer >/root/newer && sync", check=True)
    lab.power_on("A")
    _disks.refused(lab, "A", guest.name, "is not the newest",
                   "b-link has generation 2", "this is generation 1",
                   "xl remus-disk force " + guest.disk)
    _disks.nothing_served(lab)
    lab.log("the old image was refused, because B has a newer one")

    lab.cut("link")
    _disks.refused(lab, "A", guest.name, "may not be the newest",
                   "b-link can't be asked", "xl remus-disk force")
    lab.heal("link")
    _disks.nothing_served(lab)
    lab.log("and without an answer of B")

    guest.sh("grep newer /root/newer", check=True)
    _disk.protect(lab, guest, "a-link", host="B")
    lab.power_off("B")
    _remus.wait_running(lab, "A")
    guest.sh("grep newer /root/newer", check=True)
    lab.log("as B's copy it was made equal, and took over")
    lab.out("A", f"xl destroy {guest.name}")
    guest.create("A")
    guest.sh("grep newer /root/newer", check=True)
    lab.log("now it is the newest, and nobody has to be asked")
    _disk.clean(lab, guest, "A")
