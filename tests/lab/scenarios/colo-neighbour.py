# SPDX-License-Identifier: LGPL-2.1-or-later
"""Beside the copy another domain ends, whose event channels become free

What is put back in place is introduced to xenstored again, and binds event
channels again: now there are lower ones. The copy has to run after that, too,
and to be whole after a failover (checkpoint/inplace-ports.h)."""

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True


def runs(lab):
    """How often the copy was let run, and how often that failed."""
    svm = _remus.status(lab, "B", "g1")["svm"]
    return svm["runs_total"], svm["put_failures_total"]


def run_again(lab):
    """The next checkpoint, and the copy runs from it."""
    before, failed = runs(lab)
    lab.out("A", "xl remus-checkpoint g1")
    lab.wait(lambda: runs(lab)[0] > before or runs(lab)[1] > failed, 90,
             "the copy to be put back", interval=0.3)
    text = lab.out("B", "cat /var/log/xen/xl-remus-g1.log")
    assert runs(lab)[1] == 0 and "can't run" not in text, text[-2000:]


def run(lab):
    guest = lab.guests()["g1"]
    other = lab.guest_start("pvh", on="B")  # has the lower ones
    _colo.protect(lab, guest)
    domid = _colo.copy_domid(lab)
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    run_again(lab)
    lab.out("B", f"xl destroy {other.name}")
    run_again(lab)
    run_again(lab)
    clients.go_on(3)
    lab.power_off("A")
    _remus.wait_running(lab)
    _colo.after_failover(lab, guest, domid)
    clients.go_on(3)
    lab.log(f"longest gaps in s: {_colo.gaps(clients.finish())}")
