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
    lab.out("A", "truncate -s 8M /srv/lab/d.img; "
                 "losetup /dev/loop0 /srv/lab/d.img; mountpoint -q "
                 "/sys/kernel/debug || mount -t debugfs d /sys/kernel/debug")
    _remus.protect(lab, guest, options="-i 60000 --plaintext")
    # The guest's answer to ARP would be held, too.
    lab.client(f"ip neigh replace {guest.address} lladdr {guest.mac} "
               "dev br-lan nud permanent")
    domid = lab.out("A", "xl domid g1")
    front = f"/local/domain/{domid}/device/vif/0/state"
    back = f"/local/domain/0/backend/vif/{domid}/0/state"
    # Something to hold: large packets, whose pages are granted, not copied.
    lab.client(f"ping -c 20 -i 0.05 -s 1400 -W 1 {guest.address}", 60)
    lab.wait(lambda: _remus.status(lab)["held_packets"] >= 10, 20,
             "packets to be held", interval=0.3)
    # What is held are copies: no request of the guest is pending, and every
    # granted packet was copied or is done with.
    vif = f"vif{domid}.0"
    lab.wait(lambda: "nr_pending_reqs 0" in lab.out(
        "A", f"cat /sys/kernel/debug/xen-netback/{vif}/io_ring_q0"), 5,
             "no request to be pending")

    def all_copied():
        sent, done, copied = (int(x) for x in lab.out(
            "A", f"ethtool -S {vif} | awk '/tx_zerocopy/ {{ print $2 }}'"
        ).split())
        return copied > 0 and sent == done + copied
    lab.wait(all_copied, 5, "every granted packet to be copied or done")
    began = time.monotonic()
    lab.out("A", f"xenstore-write {front} 5")
    # The guest's driver answers Closing by itself, so 6 may come at once.
    lab.wait(lambda: lab.out("A", f"xenstore-read {back}") in "56", 20,
             "the backend to close", interval=0.1)
    lab.out("A", f"xenstore-write {front} 6")
    lab.wait(lambda: lab.out("A", f"xenstore-read {back}") == "6", 20,
             "the backend to be closed", interval=0.1)
    lab.log(f"the backend closed in {time.monotonic() - began:.1f} s with "
            f"{_remus.status(lab)['held_packets']} packets held")
    assert _remus.status(lab)["held_packets"] >= 10
    began = time.monotonic()
    lab.out("A", "xl block-attach g2 phy:/dev/loop0 xvdb w", timeout=180)
    lab.log(f"another guest's disk came in {time.monotonic() - began:.1f} s")
    lab.out("A", "xl block-detach g2 xvdb; losetup -d /dev/loop0; "
                 "rm /srv/lab/d.img", timeout=180)
    other.wait_answer(60)
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0
    _remus.no_rest(lab)
