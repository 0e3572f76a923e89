# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest that writes junk where the toolstack looks ends nothing but itself"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    domid = lab.out("A", "xl domid g1")
    # What a guest could write about itself (dom0 writes it here with the
    # guest's own permissions on the nodes).
    for node, value in (("device/suspend/event-channel", "1"),
                        ("device/suspend/event-channel", "99999999999"),
                        ("data/xl-colo", "x" * 1000)):
        lab.sh("A", f"xenstore-write /local/domain/{domid}/{node} {value}")
    _remus.protect(lab, guest, options="--plaintext")
    first = _remus.status(lab)["epoch_committed"]
    lab.sh("A", f"xenstore-write /local/domain/{domid}/device/suspend/"
                "event-channel 2")
    lab.wait(lambda: _remus.status(lab)["epoch_committed"] >= first + 5, 60,
             "five more checkpoints", interval=0.3)
    # Junk in control/shutdown: the checkpoints wait, and go on after it.
    lab.out("A", f"xenstore-write /local/domain/{domid}/control/shutdown "
                 "nonsense")
    lab.out("A", f"xenstore-write /local/domain/{domid}/control/shutdown ''")
    now = _remus.status(lab)["epoch_committed"]
    lab.wait(lambda: _remus.status(lab)["epoch_committed"] >= now + 3, 60,
             "three more checkpoints", interval=0.3)
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
    guest.wait_answer(60)
    _remus.no_rest(lab)
