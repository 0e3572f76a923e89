# SPDX-License-Identifier: LGPL-2.1-or-later
"""`xl remus-stop --resume` brings back a guest that stands still, no other"""

import _remus

GUEST = "pvh"
SLOW = True
PRODUCT = True
TIMEOUT = 900

RESUME = "xl remus-stop --resume g1"


def state(lab):
    """The flags that `xl list` shows of the guest."""
    return lab.out("A", "xl list g1 | awk 'NR == 2 { print $5 }'")


def refused(lab, sentence):
    """--resume does nothing, and says why."""
    done = lab.sh("A", RESUME)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 1 and sentence in said, (done.returncode, said)


def suspend(lab):
    """From outside, as a protection does that then loses contact."""
    domid = lab.out("A", "xl domid g1")
    lab.out("A", f"xenstore-write /local/domain/{domid}/control/shutdown "
                 "suspend")
    lab.wait(lambda: "s" in state(lab), 30, "the guest to be suspended",
             interval=0.3)


def resume(lab, clients):
    """The guest goes on where it was, nothing holds it back."""
    done = lab.sh("A", RESUME, timeout=120)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 0, said
    assert "MUST NOT run on the other host" in said, said
    assert not set(state(lab)) & set("ps"), state(lab)
    clients.go_on(2)
    _remus.no_rest(lab, ("A",))


def interrupted(lab, guest):
    """Both processes of `xl remus` are killed: the guest is paused by hand,
    as it may stand still then, and its output is held."""
    _remus.protect(lab, guest, options="--plaintext")
    lab.out("A", "kill -STOP $(pgrep -f '[x]l remus'); "
                 "kill -9 $(pgrep -f '[x]l remus')")
    lab.out("A", "$(ls -d /usr/lib/xen-*/bin/xl | head -n 1) pause g1")
    assert "p" in state(lab)
    # It was not the whole story: B took over, and its copy must not run.
    _remus.wait_running(lab)
    lab.out("B", "xl destroy g1", timeout=120)
    lab.out("A", "ls /sys/class/net | grep '^rb'")


def run(lab):
    guest = lab.guests()["g1"]
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    refused(lab, "there is nothing to resume")
    suspend(lab)
    resume(lab, clients)
    # A second time: the first one left nothing half done.
    suspend(lab)
    resume(lab, clients)
    clients.finish()

    _remus.protect(lab, guest, options="--plaintext")
    refused(lab, "it is protected")
    assert _remus.status(lab)["protected"]
    copy = lab.sh("B", RESUME.replace("g1", "g1--incoming"))
    assert copy.returncode == 1, copy.stderr
    assert b"standby copy" in copy.stderr or b"is protected" in copy.stderr, \
        copy.stderr
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0
    _remus.no_rest(lab)

    interrupted(lab, guest)
    assert lab.sh("A", RESUME, timeout=120).returncode == 0
    assert not set(state(lab)) & set("ps"), state(lab)
    guest.wait_answer(60)
    left = lab.out("A", "ls /sys/class/net | grep '^rb' || true")
    assert left == "", left
