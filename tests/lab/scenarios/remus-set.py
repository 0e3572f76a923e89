# SPDX-License-Identifier: LGPL-2.1-or-later
"""Settings from the domain's file, changed while it is protected, watched"""

import _remus

GUEST = "pvh"
PRODUCT = True
FILE = "/etc/xen/g1.cfg"
SEEN = "/run/lab-watch"


def watch(lab):
    lab.sh("A", f"rm -f {SEEN}.status; setsid sh -c 'xl remus-status --watch "
                f"g1 >{SEEN} 2>&1 </dev/null; echo $? >{SEEN}.status' "
                ">/dev/null 2>&1 </dev/null &", check=True)
    lab.wait(lambda: "g1 primary protected" in lab.out(
        "A", f"cat {SEEN} || true"), 20, "something to see", interval=0.3)


def seen(lab):
    """What was seen, when it is over: its lines and the exit status."""
    lab.wait(lambda: lab.sh("A", f"test -s {SEEN}.status").returncode == 0,
             30, "the end to be seen", interval=0.3)
    return (lab.out("A", f"cat {SEEN}").splitlines(),
            int(lab.out("A", f"cat {SEEN}.status")))


def run(lab):
    guest = lab.guests()["g1"]
    lab.out("A", "printf '%s\\n' 'colo = \"interval=300,plaintext\"' "
                 f">>{FILE}")
    _remus.protect(lab, guest)  # which says -i 500
    st = _remus.status(lab)
    assert st["config"] == FILE and st["link"] == "plaintext", st
    assert st["interval_ms"] == 500, "the command line does not win"
    watch(lab)

    lab.out("A", "xl remus-set g1 interval=60000")
    assert _remus.status(lab)["interval_ms"] == 60000
    for wrong, why in (("interval=5", b"10 to 60000"),
                       ("mode=colo", b"can't run beside it"),
                       ("interval=100 frob=1", b"frob: no setting")):
        done = lab.sh("A", f"xl remus-set g1 {wrong}")
        assert done.returncode == 1 and why in done.stderr, done.stderr
    st = _remus.status(lab)
    assert st["interval_ms"] == 60000
    # What was on its way is over now; the next is due in a minute, or soon.
    lab.out("A", "xl remus-checkpoint g1")
    before = _remus.status(lab)["epoch_committed"]
    lab.out("A", "xl remus-set g1 interval=400")
    lab.wait(lambda: _remus.status(lab)["epoch_committed"] > before + 2, 30,
             "checkpoints to come at the new interval", interval=0.3)
    assert "remus-set: interval 60000 -> 400" in _remus.log_of(lab)
    done = lab.sh("B", "xl remus-set g1 interval=100")
    assert done.returncode == 1 and b"on the other host" in done.stderr

    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
    lines, status = seen(lab)
    assert status == 0 and lines[-1].startswith("g1: stopped: "), lines[-3:]
    assert len(lines) > 2 and " pause " in lines[-2], lines[-3:]
    guest.wait_answer(60)
    _remus.no_rest(lab)
