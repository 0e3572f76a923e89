# SPDX-License-Identifier: LGPL-2.1-or-later
"""--colo --mode=remus: the copy is a domain put back in place; host A dies"""

import _remus

GUEST = "pvh"
PRODUCT = True


def copy_of(lab):
    """The copy on host B, as its status shows it."""
    return _remus.status(lab, "B", "g1").get("svm", {})


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext --colo --mode=remus")
    svm = copy_of(lab)
    domid = svm["domid"]
    assert "g1--colo" in lab.out("B", f"xl domname {domid}")
    assert lab.out("B", f"xl list {domid}").split()[-2][2] == "p", \
        "the copy is not paused"
    # A9: it has a vif, which is on no bridge, and down.
    vif = f"/sys/class/net/vif{domid}.0"
    lab.out("B", f"test -e {vif} && ! test -e {vif}/master && "
                 f"test $(( $(cat {vif}/flags) & 1 )) = 0")
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    clients.go_on(2)
    now = copy_of(lab)
    lab.log(f"the copy: {now}")
    assert now["puts_total"] > svm["puts_total"], (svm, now)
    assert now["put_failures_total"] == 0 and now["domid"] == domid, now
    assert now["image_bytes"] > 64 << 20, now
    lab.power_off("A")
    _remus.wait_running(lab)
    assert lab.out("B", "xl domid g1").strip() == str(domid), "another domain"
    clients.go_on(3)
    clients.finish()
    lab.client(f"ip neigh flush to {guest.address}")
    guest.wait_answer(60)
    assert "--colo" not in lab.out("B", "xl list")
    took = [line for line in
            lab.out("B", "cat /var/log/xen/xl-remus-g1.log").splitlines()
            if "after the decision" in line]
    lab.log("\n".join(took))
