# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A13: B can't open what it was handed; A's copy, suspended, goes on"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    # The copy's network interface can't be added.
    lab.out("B", "cd /etc/xen/scripts && cp -p vif-bridge vif-bridge.good && "
                 "printf '#!/bin/sh\\nexit 1\\n' >vif-bridge")
    asked = lab.sh("A", "xl remus-failover g1", timeout=180)
    assert asked.returncode == 1, asked
    assert _remus.ended(lab) == 4, _remus.log_of(lab)
    said = _remus.log_of(lab)
    assert "handing-over -> unprotected" in said, said
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 60,
             "the copy on B to go", interval=0.3)
    clients.go_on(3)
    clients.finish()
    lab.out("B", "cd /etc/xen/scripts && mv vif-bridge.good vif-bridge")
    _remus.no_rest(lab)
    # What is left is an ordinary guest, which can be protected again.
    _remus.protect(lab, guest, options="--plaintext")
    lab.out("A", "xl remus-failover g1", timeout=180)
    assert _remus.ended(lab) == 8, _remus.log_of(lab)
