# SPDX-License-Identifier: LGPL-2.1-or-later
"""At the default limits an undisturbed pair fails over for no reason never"""

import time

import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True


def run(lab):
    guest = lab.guests()["g1"]
    limits, _remus.LIMITS = _remus.LIMITS, "--suspend-timeout 20000"
    try:
        _remus.protect(lab, guest, options="--plaintext")
    finally:
        _remus.LIMITS = limits
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert _remus.status(lab).get("protected"), _remus.log_of(lab)
        clients.go_on(2)
    clients.finish()
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
