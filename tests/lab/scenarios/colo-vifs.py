# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two vifs whose packets are compared: power-off, no reset on either

The second has a network of its own on the same bridge, and the guest answers
for it nowhere else: what is said there can't take the way of the first."""

import json
import time

import _colo
import _remus

PRODUCT = True
SLOW = True
# No network of the lab's own (lablib/net.py): 10.79.0 is behind eth2, where
# no guest is.
HERE, SECOND = "10.80.0.1", "10.80.0.101"
MAC = "00:16:3e:80:00:65"
CONFIG = f"""
vif = ["mac=00:16:3e:77:00:65,bridge=xenbr0",
       "mac={MAC},bridge=xenbr0"]
"""


# A guest answers for every address of its own on either interface unless told
# not to, and both are on one bridge.
USE = f"""
cd /proc/sys/net/ipv4/conf/all && echo 1 >arp_ignore && echo 2 >arp_announce
ip address add {SECOND}/24 dev eth1 && ip link set eth1 up"""


def proxied(lab, host):
    """The vifs that remus-netbuf lists as compared, and are served."""
    every = json.loads(lab.out(host, "remus-netbuf list --json"))
    return sorted(one["vif"] for one in every
                  if one["proxy"] and one["owner_alive"] and not one["cut"])


def expected(domid):
    """Those of a domain."""
    return [f"vif{domid}.0", f"vif{domid}.1"]


def found(lab, what):
    """The second vif is found by who does not know it, and not by the first
    one's way."""
    lab.client(f"ip neigh flush to {SECOND}")
    lab.wait(lambda: "1 received" in lab.client(
        f"ping -c 1 -W 5 {SECOND}; true").stdout.decode(), 60, what)
    known = lab.client(f"ip neigh show to {SECOND}").stdout.decode()
    assert MAC in known, known


def through(lab, guest):
    """Protect it, talk to both, lose a host."""
    guest.sh(USE, check=True)
    found(lab, "the second vif to answer before it is protected")
    _colo.protect(lab, guest)
    domid = _colo.copy_domid(lab)
    here = int(lab.out("A", f"xl domid {guest.name}"))
    assert proxied(lab, "A") == expected(here), proxied(lab, "A")
    assert proxied(lab, "B") == expected(domid), proxied(lab, "B")
    before = _colo.compared(lab)
    other = lab.client_start("echo-chat", SECOND, "--interval", "0.1",
                             *_remus.ON)
    lab.wait(lambda: _colo.compared(lab) > before + 10, 90,
             "what both say on the second vif to be compared", interval=0.5)
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    _colo.wait_beside(lab)
    lab.log(f"{_colo.compared(lab) - before} packets compared")
    began = time.monotonic()
    lab.power_off("A")
    _remus.wait_running(lab)
    lab.log(f"taken over after {time.monotonic() - began:.1f} s")
    clients.go_on(3)
    other.wait_progress("lines", other.progress()["lines"] + 5, 120)
    report = other.stop(60)
    lab.log(f"the second vif: {json.dumps(report)}")
    assert report["good"] and not report["resets"], report
    clients.finish()
    _colo.after_failover(lab, guest, domid)
    found(lab, "the second vif to be found by who does not know it")


def run(lab):
    guest = lab.guest_start("pvh", config=CONFIG)
    lab.client(f"ip address add {HERE}/24 dev br-lan")
    try:
        through(lab, guest)
    finally:
        lab.client(f"ip address del {HERE}/24 dev br-lan; true")
