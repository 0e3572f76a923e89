# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A11: a guest closes its vif while its output is held; others go on"""

import time

import _remus

GUEST = "pvh"
PRODUCT = True
TIMEOUT = 900


def run(lab):
    guest = lab.guests()["g1"]
    other = lab.guest_start("pvh", name="g2")
    _remus.protect(lab, guest, options="-i 60000 --plaintext")
    domid = lab.out("A", "xl domid g1")
    front = f"/local/domain/{domid}/device/vif/0/state"
    back = f"/local/domain/0/backend/vif/{domid}/0/state"
    # Something to hold: large packets, whose pages are granted, not copied.
    lab.client(f"ping -c 20 -i 0.05 -s 1400 -W 1 {guest.address}", 60)
    lab.wait(lambda: _remus.status(lab)["held_packets"] >= 10, 20,
             "packets to be held", interval=0.3)
    began = time.monotonic()
    lab.out("A", f"xenstore-write {front} 5")
    lab.wait(lambda: lab.out("A", f"xenstore-read {back}") == "5", 10,
             "the backend to close", interval=0.1)
    lab.out("A", f"xenstore-write {front} 6")
    lab.wait(lambda: lab.out("A", f"xenstore-read {back}") == "6", 10,
             "the backend to be closed", interval=0.1)
    lab.log(f"the backend closed in {time.monotonic() - began:.1f} s with "
            f"{_remus.status(lab)['held_packets']} packets held")
    assert _remus.status(lab)["held_packets"] >= 10
    lab.out("A", "truncate -s 8M /srv/lab/d.img")
    began = time.monotonic()
    lab.out("A", "xl block-attach g2 format=raw,vdev=xvdb,access=rw,"
                 "target=/srv/lab/d.img", timeout=60)
    lab.log(f"another guest's disk came in {time.monotonic() - began:.1f} s")
    lab.out("A", "xl block-detach g2 xvdb; rm /srv/lab/d.img")
    assert other.answers(10)
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0
    _remus.no_rest(lab)
