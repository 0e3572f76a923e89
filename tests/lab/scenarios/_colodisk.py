# SPDX-License-Identifier: LGPL-2.1-or-later
# _colodisk.py - a guest on a mirrored disk whose copy is a domain
"""Not a scenario: what the scenarios of disks under `xl remus --colo` share."""

import _colo
import _disk
import _disks
import _remus

# Reads all of the copy's block device through domain 0's cache of it, which
# must not be what the copy reads.
WARM = """for d in /run/xl-colo/disk/*/device; do
dd if=$(cat $d) of=/dev/null bs=1M 2>/dev/null || exit 1; done"""


def protect(lab, guest, mode, here="A", there="B", peer="b-link"):
    """Protected, and the copy has the disk; its domain."""
    lab.sh(here, f"rm -f {_colo.EVENTS}")
    _disk.protect(lab, guest, peer, _colo.options(mode), here)
    if mode == "colo":
        _colo.wait_beside(lab, there, guest.name)
    domid = _colo.copy_domid(lab, there, guest.name)
    lab.out(there, f"xenstore-exists /local/domain/0/backend/vbd/{domid}")
    return domid


def run(lab, mode):
    """Host A loses power under load; nothing acknowledged is lost, on the
    disk neither, and its file system is sound."""
    guest = _disk.start(lab)
    domid = protect(lab, guest, mode)
    _disk.forget(guest)
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    lab.out("B", WARM, timeout=120)
    clients.go_on(3)
    lab.log(f"{_disk.disk_of(lab, 'A')}")
    lab.power_off("A")
    _remus.wait_running(lab)
    assert lab.out("B", "xl domid g1").strip() == str(domid), "another domain"
    clients.go_on(3)
    reports = clients.finish()
    lab.log(f"longest gaps in s: {_colo.gaps(reports)}")
    lab.log(f"increments: {_disk.consistent(guest, reports['redis'])}")
    _disk.sound(lab, guest, "B")
    _disk.clean(lab, guest, "B")
    _disks.nothing_served(lab, "B")
