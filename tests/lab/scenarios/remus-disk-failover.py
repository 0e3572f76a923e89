# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host A loses its power; the guest goes on from its disk's copy (TLS)"""

import _disk
import _remus

PRODUCT = True
TIMEOUT = 1500


def run(lab):
    guest = _disk.start(lab)
    _disk.protect(lab, guest, options="")
    state = _remus.status(lab)
    assert state["disk"] == "mirrored" and state["link"] == "tls", state
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
