# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A14: a writable disk is refused; with -F -d the consequence is told"""

import _remus

PRODUCT = True
TIMEOUT = 900


def run(lab):
    guest = lab.guest_start("pvh", name="g1", disk="both")
    done = lab.sh("A", "xl remus g1 b-link")
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 3, said
    assert "xvda" in said and "script=block-colo" in said, said
    _remus.protect(lab, guest, options="-F -d --plaintext")
    state = _remus.status(lab)
    assert state["disk"] == "unmirrored", state
    assert any("disk" in w for w in state["warnings"]), state
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
    _remus.no_rest(lab)
