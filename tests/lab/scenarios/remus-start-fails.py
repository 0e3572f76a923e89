# SPDX-License-Identifier: LGPL-2.1-or-later
"""A start that fails late tells B at once, and leaves a finished record"""

import json

import _remus

GUEST = "pvh"
PRODUCT = True
LOG = "/var/log/xen/xl-remus-g1.log"


def records(lab, host):
    """What a host remembers of the guest; {} without a record."""
    text = lab.out(host, "cat /var/lib/xl-colo/*.json 2>/dev/null; true")
    return json.loads(text or "{}")


def fails(lab, guest, options):
    """The start fails when B has prepared itself, and B is told."""
    lab.out("B", f"rm -f {LOG}")
    _remus.start(lab, guest, options="--plaintext " + options)
    assert _remus.ended(lab) == 3, _remus.log_of(lab)
    # Without a word B would find silence instead, which its log would say.
    lab.wait(lambda: records(lab, "B").get("state") == "dropped" and
             lab.out("B", "ls /run/xl-colo") == "" and
             "--incoming" not in lab.out("B", "xl list"), 20,
             "B to be free again", interval=0.2)
    assert "goes on alone" in lab.out("B", f"cat {LOG}")


def run(lab):
    guest = lab.guests()["g1"]
    vif = lab.out("A", "ls /sys/class/net/xenbr0/brif | grep vif").strip()
    # Somebody else's filter stands where the buffer's must be.
    lab.out("A", f"tc qdisc add dev {vif} clsact")
    lab.out("A", f"tc filter add dev {vif} ingress pref 1 protocol all "
                 "matchall action ok")
    fails(lab, guest, "")
    lab.out("A", f"tc qdisc del dev {vif} clsact")
    assert records(lab, "A") == {}, records(lab, "A")
    # The path that has to carry the data leads nowhere.
    fails(lab, guest, "--peer 10.78.0.99")
    assert records(lab, "A")["state"] == "refused", records(lab, "A")
    _remus.no_rest(lab)

    _remus.protect(lab, guest, options="--plaintext")
    lab.out("A", "xl remus-stop g1", timeout=60)
    assert _remus.ended(lab) == 0, _remus.log_of(lab)
    _remus.no_rest(lab)
