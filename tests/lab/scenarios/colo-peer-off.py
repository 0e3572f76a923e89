# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host B loses power while the copy runs on it: A goes on alone, unharmed"""

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True


def run(lab):
    guest = lab.guests()["g1"]
    _colo.protect(lab, guest)
    clients = _remus.Clients(lab, guest)
    clients.warm_up()
    clients.go_on(3)
    lab.power_off("B")
    assert _remus.ended(lab, timeout=90) == 4, _remus.log_of(lab)
    clients.go_on(3)
    lab.log(f"longest gaps in s: {_colo.gaps(clients.finish())}")
    assert "UNPROTECTED" in _remus.log_of(lab)
    last = _colo.events(lab, "end")
    assert last and last[-1]["outcome"] == "peer-lost", last
    _remus.stop_looking(lab)
    _remus.no_rest(lab, ("A",))
    # The packets go their direct way again: nothing of ours is on it.
    lab.out("A", "xl shutdown -w g1", timeout=120)
