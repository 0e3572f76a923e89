# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host A loses its power; the guest goes on from its disk's copy on B"""

import _disk
import _remus

PRODUCT = True
TIMEOUT = 900


def run(lab):
    guest = _disk.start(lab)
    _disk.protect(lab, guest)
    assert _remus.status(lab)["disk"] == "mirrored"
    disk = _disk.disk_of(lab, "A")
    assert disk["role"] == "primary" and disk["state"] == "protected", disk
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    clients.go_on(3)
    lab.power_off("A")
    _remus.wait_running(lab)
    clients.go_on(3)
    report = clients.finish()["redis"]
    _disk.consistent(guest, report)
    _disk.clean(lab, guest, "B")
