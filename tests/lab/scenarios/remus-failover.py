# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host A loses its power; redis, HTTP, echo and ssh clients go on"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    clients = _remus.Clients(lab, guest)
    clients.warm_up()
    clients.go_on(2)
    lab.power_off("A")
    _remus.wait_running(lab)
    clients.go_on(3)
    clients.finish()
    # The LAN knows the new port: the guest is found from scratch, too.
    lab.client(f"ip neigh flush to {guest.address}")
    guest.wait_answer(60)
    assert "g1" in lab.out("B", "xl list g1")
    assert "--incoming" not in lab.out("B", "xl list")
