# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A2: the link is cut but the LAN is heard: no takeover, one guest"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, peer="b",
                   options="--plaintext --peer 10.78.0.12")
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    lab.cut("link")
    # Output is held meanwhile; in the end both agree over the LAN.
    assert _remus.ended(lab, timeout=120) == 4, _remus.log_of(lab)
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 30,
             "the copy on B to go", interval=0.3)
    clients.go_on(2)
    clients.finish()
    lab.heal("link")
    _remus.no_rest(lab)
