# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host B loses its power; the guest runs on, its buffer is opened, it is said"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    lab.power_off("B")
    assert _remus.ended(lab) == 4
    assert "UNPROTECTED" in _remus.log_of(lab)
    clients.go_on(2)
    clients.finish()
    _remus.stop_looking(lab)
    _remus.no_rest(lab, ("A",))
