# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A2 with both copies running: the LAN alone is cut, then the link

While the LAN is away nobody is served and both copies stay; with the link
away the copy is given up in agreement, over the LAN."""

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True


def run(lab):
    guest = lab.guests()["g1"]
    _colo.protect(lab, guest, peer="b",
                  more="--plaintext --peer 10.78.0.12")
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    lab.cut("lan")
    watch = _colo.Watch(lab)
    lab.wait(lambda: watch.told()["seconds"] > 12, 20, "time", 0.5)
    watch.log("while the LAN was cut")
    assert _remus.status(lab)["protected"], _remus.log_of(lab)
    assert _remus.status(lab, "B", "g1")["state"] == "protecting"
    lab.heal("lan")
    clients.go_on(3)
    lab.cut("link")
    assert _remus.ended(lab, timeout=120) == 4, _remus.log_of(lab)
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 30,
             "the copy on B to go", interval=0.3)
    clients.go_on(2)
    lab.log(f"longest gaps in s: {_colo.gaps(clients.finish())}")
    lab.heal("link")
    _remus.no_rest(lab)
