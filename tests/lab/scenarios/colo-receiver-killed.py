# SPDX-License-Identifier: LGPL-2.1-or-later
"""After a failover, what connections go through is killed, again and again

They began after the last checkpoint, so the survivor has numbers of its own
for them; another process takes the table over, and nobody notices."""

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True
DEATHS = 4


def kill(lab):
    """Kill the receiver on B; wait for its successor."""
    before = _remus.status(lab, "B")
    assert before["state"] == "running", before
    assert before["svm"]["live_flows"] > 0, "no connection has an offset"
    lab.out("B", f"kill -9 {before['pid']}")

    def succeeded():
        now = _remus.status(lab, "B")
        return now and now["pid"] != before["pid"] and \
            now["state"] == "running"
    lab.wait(succeeded, 60, "another receiver", interval=0.2)
    after = _remus.status(lab, "B")["svm"]["live_flows"]
    lab.log(f"{before['svm']['live_flows']} connections, then {after}")
    assert after > 0, "its table is empty"


def failover(lab):
    """Power off A while both copies run; the clients, and the copy's domid.

    A checkpoint makes both stacks the same, so that no connection from before
    it has an offset: one that comes in the last moment is no failure."""
    guest = lab.guests()["g1"]
    _colo.protect(lab, guest)
    domid = _colo.copy_domid(lab)
    first = _remus.status(lab)["epoch_committed"]
    lab.wait(lambda: _remus.status(lab)["epoch_committed"] > first, 90,
             "a checkpoint")
    _colo.wait_beside(lab)
    clients = _remus.Clients(lab, guest, ("http", "echo"))
    clients.warm_up()
    lab.power_off("A")
    _remus.wait_running(lab)
    clients.go_on(6)
    return clients, domid


def run(lab):
    for again in range(3):
        if again:
            lab.log("no connection has an offset: from the start again")
            lab.end_clients()
            lab.reset(lab.start_state)
        clients, domid = failover(lab)
        if _remus.status(lab, "B")["svm"].get("live_flows"):
            break
    for death in range(DEATHS):
        if death:
            clients.go_on(6)
        kill(lab)
    clients.go_on(3)
    lab.log(f"longest gaps in s: {_colo.gaps(clients.finish())}")
    _colo.after_failover(lab, lab.guests()["g1"], domid)
    lab.out("B", "xl shutdown -w g1", timeout=120)
    lab.wait(lambda: not _remus.status(lab, "B"), 60, "the receiver to end")
