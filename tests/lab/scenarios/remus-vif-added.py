# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A4, A14: devices that stock xl changes under protection end it, held"""

import _remus

GUEST = "pvh"
PRODUCT = True
TIMEOUT = 900
SLOW = True

STOCK = "$(ls -d /usr/lib/xen-*/bin/xl | head -n 1)"
MAC = "00:16:3e:77:01:51"
# In the guest: an interface that comes is used at once.
USE = """until ip link set eth1 up; do usleep 100000; done
ip address add 10.99.0.1/24 dev eth1
while :; do arping -c 1 -w 1 -I eth1 10.99.0.2; done"""


def fdb(lab):
    """Where A's bridge heard the new interface; "" if it never did."""
    return lab.out("A", f"bridge fdb show br xenbr0 | grep -i '^{MAC}' | "
                        "grep -v permanent || true")


def has_ended(lab, sentence):
    """Protection ended, on both hosts, and the log says why."""
    assert _remus.ended(lab, timeout=120) == 1, _remus.log_of(lab)
    assert sentence in _remus.log_of(lab), _remus.log_of(lab)
    assert _remus.status(lab) == {}
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 20,
             "the copy on B to go", interval=0.3)
    _remus.no_rest(lab)


def vif_added(lab, guest):
    """What the new vif sends stays here until the copy is dropped."""
    guest.sh(f"({USE}) >/dev/null 2>&1 </dev/null &", check=True)
    _remus.protect(lab, guest, options="--plaintext --limit 60000")
    domid = lab.out("A", "xl domid g1")
    # B says nothing for a while: the copy can't be dropped at once.
    there = lab.out("B", "pgrep -f '[x]l remus-receive' | tr '\\n' ' '")
    lab.out("B", f"kill -STOP {there}")
    lab.out("A", f"{STOCK} network-attach g1 mac={MAC} bridge=xenbr0",
            timeout=120)
    lab.wait(lambda: f"rb{domid}.1" in lab.out(
        "A", f"tc filter show dev vif{domid}.1 ingress"), 20,
        "the new vif to be held", interval=0.3)
    lab.wait(lambda: lab.out(
        "A", f"tc -s qdisc show dev rb{domid}.1 | "
             "sed -n 's/.*backlog .*b \\([0-9]*\\)p.*/\\1/p'") not in "0", 30,
        "the guest to send by it", interval=0.3)
    assert _remus.status(lab)["state"] == "dropping"
    assert fdb(lab) == "", "the bridge has heard the new vif: " + fdb(lab)
    lab.out("B", f"kill -CONT {there}")
    has_ended(lab, "vif 1 was added")
    guest.wait_answer(60)
    lab.wait(lambda: fdb(lab), 30, "the bridge to hear the new vif")


def vif_removed(lab, guest):
    _remus.protect(lab, guest, options="--plaintext")
    lab.out("A", f"{STOCK} network-detach g1 1", timeout=120)
    has_ended(lab, "vif 1 was removed")
    guest.wait_answer(60)


def disk_added(lab, guest):
    lab.out("A", "truncate -s 8M /srv/lab/d.img; "
                 "losetup /dev/loop0 /srv/lab/d.img")
    _remus.protect(lab, guest, options="--plaintext")
    lab.out("A", f"{STOCK} block-attach g1 phy:/dev/loop0 xvdb w",
            timeout=120)
    has_ended(lab, "writable disk xvdb was added")
    guest.wait_answer(60)
    lab.out("A", f"{STOCK} block-detach g1 xvdb; losetup -d /dev/loop0; "
                 "rm /srv/lab/d.img", timeout=120)


def run(lab):
    guest = lab.guests()["g1"]
    vif_added(lab, guest)
    vif_removed(lab, guest)
    disk_added(lab, guest)
