# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts whose clocks differ: the guest's stays what it was (RULES C3)

Also what else a takeover by a copy that ran beside has to make up for: the
multicast groups that only the other host's bridge knew (RULES B7). Then it is
protected the other way round, without --colo: a restore takes the clock along,
too."""

import json
import time

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True
DIFFERENCE = 90  # seconds
LISTEN = ("socat -u UDP4-RECV:9999,ip-add-membership=239.9.9.9:eth0 "
          "/dev/null >/dev/null 2>&1 </dev/null &")


def ahead(guest):
    """How far the guest's clock is ahead of the client's: at least, at most."""
    begun = time.time()
    shown = int(guest.sh("date +%s", check=True).stdout)
    return shown - time.time(), shown + 1 - begun


def proxied(lab, host):
    """The vifs that remus-netbuf lists as compared, and are served."""
    every = json.loads(lab.out(host, "remus-netbuf list --json"))
    return [one["vif"] for one in every
            if one["proxy"] and one["owner_alive"] and not one["cut"]]


def groups(lab, host):
    """What the host's bridge knows of who listens."""
    return lab.out(host, "bridge mdb show dev xenbr0")


def same(lab, before, after):
    """Emulated clocks drift; DIFFERENCE is what it would be."""
    lab.log(f"the guest's clock beside the client's: {before}, then {after}")
    assert before[0] - 5 < after[1] and after[0] < before[1] + 5, \
        (before, after)


def back(lab, guest):
    """To A, by a plain failover."""
    lab.power_on("A")
    _remus.protect(lab, guest, "a-link", "--plaintext", host="B")
    lab.power_off("B")
    _remus.wait_running(lab, "A")
    guest.wait_answer(60)
    domid = lab.out("A", "xl domid g1").strip()
    note = int(lab.out("A", f"xenstore-read /libxl/{domid}/xl-colo-clock"))
    assert abs(note) < 5, note


def run(lab):
    guest = lab.guests()["g1"]
    lab.out("B", f"date -s @$(( $(date +%s) + {DIFFERENCE} ))")
    for host in "AB":
        lab.out(host, "ip link set xenbr0 type bridge mcast_snooping 1")
    guest.sh(LISTEN, check=True)
    lab.wait(lambda: "239.9.9.9" in groups(lab, "A"), 10,
             "A's bridge to learn the guest's groups")
    before = ahead(guest)
    _colo.protect(lab, guest)
    domid = _colo.copy_domid(lab)
    for host, sign in (("A", 1), ("B", -1)):
        now = _remus.status(lab, host, "g1")
        lab.log(f"{host}: clock_diff_ms {now['clock_diff_ms']}")
        assert abs(now["clock_diff_ms"] - sign * DIFFERENCE * 1000) < 5000, now
        assert any("clock" in w for w in now["warnings"]), now["warnings"]
    note = int(lab.out("B", f"xenstore-read /libxl/{domid}/xl-colo-clock"))
    assert abs(note + DIFFERENCE) < 5, note
    here = int(lab.out("A", "xl domid g1"))
    assert proxied(lab, "A") == [f"vif{here}.0"], proxied(lab, "A")
    assert proxied(lab, "B") == [f"vif{domid}.0"], proxied(lab, "B")
    # On its uplink B may have heard of it already: the hosts share a LAN.
    assert f"port vif{domid}.0" not in groups(lab, "B")
    lab.power_off("A")
    _remus.wait_running(lab)
    lab.wait(lambda: f"port vif{domid}.0 grp 239.9.9.9" in groups(lab, "B"),
             30, "B's bridge to learn the guest's groups", interval=0.5)
    _colo.after_failover(lab, guest, domid)
    same(lab, before, ahead(guest))
    back(lab, guest)
    same(lab, before, ahead(guest))
