# SPDX-License-Identifier: LGPL-2.1-or-later
"""`xl remus-failover` on B hands the guest over; nobody notices; and back"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    clients = _remus.Clients(lab, guest, ("redis", "echo", "ssh"))
    clients.warm_up()
    lab.out("B", "xl remus-failover g1", timeout=120)
    assert _remus.ended(lab) == 8, _remus.log_of(lab)
    assert "g1" not in lab.out("A", "xl list")
    assert "g1" in lab.out("B", "xl list g1")
    clients.go_on(2)
    _remus.no_rest(lab, ("A",))
    # The survivor is protected again, the other way round, and handed back.
    _remus.protect(lab, guest, peer="a-link", options="--plaintext",
                   host="B")
    lab.out("B", "xl remus-failover g1", timeout=120)
    assert _remus.ended(lab, "B") == 8, _remus.log_of(lab, "B")
    assert "g1" in lab.out("A", "xl list g1")
    clients.go_on(2)
    clients.finish()
    _remus.no_rest(lab, ("B",))
