# SPDX-License-Identifier: LGPL-2.1-or-later
"""A fault at each step of a checkpoint and of a failover: docs/colo.md

XL_COLO_LAB_STEPS chooses rounds, "STEP KIND,...", with * and ? (default: all):
"7? A-off,8* *".  Each is one fault while the clients speak: no reset, nothing
acknowledged lost, exactly one copy runs and it is the right one, nothing is
left.  All rounds are made, and those that went wrong are told at the end."""

import fnmatch
import os
import tempfile
import time
import traceback

import _colo
import _remus
import _steps
from lablib import snapshots
from lablib.output import LabError

GUEST = "pvh"
PRODUCT = True
SLOW = True
DIRTY = True  # judged after each round
TIMEOUT = 28800
CHOSEN = os.environ.get("XL_COLO_LAB_STEPS", "* *")

# Where the epoch is named that is being made: argument of the first function.
CUT = ("proxy_primary_cut", 0)       # (proxy, epoch)
WHOLE = ("secondary_disks_whole", 1)  # (secondary, event, epoch)

# The table "A checkpoint, in order" of docs/colo.md: step, whose worker stands
# there, and in front of which call; "+CUT", "+WHOLE": of the epoch for which
# that was called. Last: from which epoch the copy runs if it loses A then and
# all that A has not said: the last one ("old"), or the one that is being made
# ("new"). What B holds whole counts, and until B says so nothing of it left.
STEPS = (
    ("1", "A", None, "proxy_primary_hold=1", "old"),
    ("2", "A", None, "policy_suspend", "old"),
    ("3", "A", None, "plane_settle", "old"),
    ("4a", "A", None, "proxy_primary_cut", "old"),
    ("4b", "A", CUT, "primary_compare_cut", "old"),
    ("5a", "A", CUT, "guest_resume", "old"),
    ("5b", "A", CUT, "proxy_primary_hold=0", "old"),
    ("6a", "A", CUT, "stage_emit", "old"),
    ("6b", "A", CUT, "send_piece:2", "old"),
    ("6c", "A", CUT, "hook_whole", "old"),
    ("6d", "B", None, "colo_secondary_feed:2", "either"),
    ("7a", "B", None, "colo_secondary_check", "either"),
    ("7b", "B", None, "secondary_disks_whole", "new"),
    ("7c", "B", WHOLE, "colo_secondary_apply", "new"),
    ("8a", "A", CUT, "proxy_primary_commit", "new"),
    ("8b", "B", WHOLE, "xen_pause", "new"),
    ("8c", "B", WHOLE, "xen_close", "new"),
    ("9a", "B", WHOLE, "svmdisks_checkpoint", "new"),
    ("9b", "B", WHOLE, "proxy_secondary_cut", "new"),
    ("10a", "B", WHOLE, "xen_reset", "new"),
    ("10b", "B", WHOLE, "xen_put", "new"),
    ("10c", "B", WHOLE, "xen_machine", "new"),
    ("11a", "B", WHOLE, "xen_rejoin", "new"),
    ("11b", "B", WHOLE, "xen_go", "new"),
    ("11c", "B", WHOLE, "inplace_devices_connected", "new"),
    ("12a", "B", WHOLE, "proxy_secondary_connected", "new"),
    ("12b", "A", CUT, "compare_svm_connected", "new"),
    ("13", "A", CUT, "policy_lag", "new"),
)
# "A failover, in order": A has lost power, and B's worker stands there. Last:
# what a kill of that worker leaves: nothing ("gone"), a copy that is cut off
# until an administrator decides ("cut off"), or a guest that goes on
# ("runs").
FAILOVER = (
    ("F1", "sec_event=3", "gone"),  # SEC_EV_SILENCE
    ("F2", "svm_ready", "cut off"),
    ("F3", "bridge_join", "cut off"),
    ("F4", "svmdisks_settle", "cut off"),
    ("F5", "secondary_proxy_open", "cut off"),
    ("F6", "secondary_disks_taken", "runs"),
)
# Kind: who is left, and what `xl remus` says of it (None: A has no power).
# A cut is one of the link, in one direction. The two hear each other over the
# LAN, or it would be as if all paths were cut: TCP needs both directions.
KINDS = {
    "A-off": ("B", None),
    "B-off": ("A", 4),
    "kill": ("A", {"A": 11, "B": 4}),
    "cut-AB": ("A", 4),
    "cut-BA": ("A", 4),
}
LAN = "--plaintext --peer 10.78.0.12"
# While messages are on their way.
CUTS = ("6", "7", "8")


def rounds():
    """All that there are: (step, kind)."""
    for kind in KINDS:
        for step in STEPS:
            if not kind.startswith("cut") or step[0].startswith(CUTS):
                yield step, kind
    for kind in ("A-off", "kill"):
        for step in FAILOVER:
            yield step, kind


def chosen():
    """Those that XL_COLO_LAB_STEPS names."""
    wanted = [one.split() for one in CHOSEN.split(",")]
    for one in wanted:
        assert len(one) == 2, f"'{' '.join(one)}' is no 'STEP KIND'"
    found = [(step, kind) for step, kind in rounds() if any(
        fnmatch.fnmatch(step[0], s) and fnmatch.fnmatch(kind, k)
        for s, k in wanted)]
    assert found, f"XL_COLO_LAB_STEPS={CHOSEN} names no step"
    return found


def lives(lab):
    """It is protected still: the guests were paused when the hosts were saved,
    and each host's clock was set when they went on."""
    _remus.wait_protected(lab, timeout=30)
    before = _steps.last_epoch(lab)
    _steps.checkpoint(lab)
    lab.wait(lambda: _steps.last_epoch(lab) > before, 60, "a checkpoint",
             interval=0.5)
    _colo.wait_beside(lab)


def protected(lab, kind):
    """The guest is protected and its copy runs, as they did when the first
    round of such a kind began: the hosts were saved then. Two hosts that went
    on at different moments have given each other up; then anew."""
    over = "lan" if kind.startswith("cut") else "link"
    state = f"{lab.start_state}-steps-{over}"
    saved = snapshots.exists(lab, state)
    if saved:
        lab.reset(state)
        try:
            lives(lab)
            return lab.guests()["g1"]
        except (AssertionError, LabError) as err:
            lab.log(f"the saved state is of no use this time: {err}")
    lab.reset(lab.start_state)
    guest = lab.guests()["g1"]
    _steps.serve(guest)
    _colo.protect(lab, guest, **({"peer": "b", "more": LAN} if over == "lan"
                                 else {}))
    if not saved:
        lab.snapshot(state)
        lives(lab)
    return lab.guests()["g1"]


def start(lab, kind):
    """The guest is protected, its copy runs, and clients speak with it."""
    guest = protected(lab, kind)
    clients = _steps.Clients(lab, guest)
    clients.warm_up()
    return clients


def strike(lab, host, kind, stop):
    """The fault, while the worker stands; then it goes on, if it can."""
    if kind in ("A-off", "B-off"):
        lab.power_off(kind[0])
    elif kind.startswith("cut"):
        lab.deafen("link", kind[-1])
    if kind != "kill" and lab.host(host).running():
        stop.go_on()


def settle(lab, host, kind):
    """Wait until it is known who is left, and it is who should be."""
    left, status = KINDS[kind]
    if left == "B":
        _remus.wait_running(lab)
    if status is not None:
        status = status[host] if kind == "kill" else status
        said = _remus.ended(lab, timeout=300)
        assert said == status, f"{said}, not {status}: {_remus.log_of(lab)}"
    _steps.only_on(lab, left)
    return left


def nothing_left(lab, left, killed_on=None):
    """No trace, but for the socket of who was killed; whoever looks for the
    other copy is told to end."""
    lab.heal("link")
    if lab.host("A").running():
        if _remus.status(lab):
            lab.out("A", "xl remus-stop g1")
        _remus.no_rest(lab, ("A",))
    if left == "B":
        _steps.clear_path(lab, "B")
    elif lab.host("B").running():
        if killed_on == "B":
            _steps.sweep(lab, "B")
        _remus.no_rest(lab, ("B",))


def served(lab, clients, left, killed_on=None):
    """The clients of the survivor lack nothing. Their longest gaps."""
    clients.go_on(2)
    reports = clients.finish()
    _steps.same_file(reports["http"])
    nothing_left(lab, left, killed_on)
    return reports


def right_epoch(lab, found, last, first, want):
    """B runs from the epoch that was to be expected: (it, that)."""
    # What A was told of counts as well: another may have been made since.
    made = max(found[first[0]][first[1]], last) if first else last + 1
    good = {"old": [made - 1], "new": [made], "either": [made - 1, made]}
    ran = _steps.opened_from(lab)
    assert ran in good[want], \
        f"runs from epoch {ran}, not {want} of {made} ({good[want]})"
    return f"epoch {ran} of {made}"


def checkpoint_round(lab, step, kind):
    """A fault at a step of a checkpoint; a line for the log."""
    name, host, first, point, want = step
    clients = start(lab, kind)
    points = ([first[0]] if first else []) + [point]
    stop = _steps.Stop(lab, host, points,
                       "kill" if kind == "kill" else "stop")
    _steps.checkpoint(lab)
    found = stop.reached()
    last = _steps.last_epoch(lab)
    strike(lab, host, kind, stop)
    left = settle(lab, host, kind)
    # A step of B's at which B has it whole: its word of it is in found.
    if not first and point == WHOLE[0]:
        first = WHOLE
    said = right_epoch(lab, found, last, first, want) if left == "B" else \
        "the original"
    return said, served(lab, clients, left, kind == "kill" and host)


def stranded(lab, clients, guest):
    """What xl-remus(1) says that is to be done with a copy whose takeover was
    killed; nothing that was acknowledged is lost."""
    copy = _steps.domains(lab, "B")
    assert len(copy) == 1, f"on B: {copy}"
    (name, paused), = copy.items()
    domid = lab.out("B", f"xl domid {name}")
    if paused:  # it may be half put back, and is of no use
        lab.out("B", f"xl destroy {name}")
        _steps.sweep(lab, "B")
        _remus.no_rest(lab, ("B",))
        return {}
    assert lab.client(f"ping -c 2 -W 2 {guest.address}").returncode, \
        "it is not cut off"
    lab.out("B", f"ip link set dev vif{domid}.0 master xenbr0 && "
                 f"remus-netbuf clear {domid}")
    if name != "g1":
        lab.out("B", f"xl rename {name} g1")
    guest.wait_answer(120)
    return clients.lasting()


def killed(lab, clients, want):
    """B's worker was killed in a takeover, and A has no power."""
    guest = lab.guests()["g1"]
    if want == "gone":
        lab.wait(lambda: _steps.domains(lab, "B") == {}, 60,
                 "the guard to remove the copy", interval=0.5)
        _steps.sweep(lab, "B")
        _remus.no_rest(lab, ("B",))
        return {}
    lab.wait(lambda: b"the receiver" in lab.sh(
        "B", f"grep -e 'was killed while' -e 'receiver ended' {_steps.LOG}"
    ).stdout, 60, "the guard to speak", interval=0.5)
    if want == "cut off":
        return stranded(lab, clients, guest)
    guest.wait_answer(60)
    reports = clients.lasting()
    _steps.clear_path(lab, "B")
    return reports


def failover_round(lab, step, kind):
    """A loses power; a fault at a step of what B then does."""
    name, point, want = step
    clients = start(lab, kind)
    domid = _colo.copy_domid(lab)
    stop = _steps.Stop(lab, "B", [point],
                       "kill" if kind == "kill" else "stop")
    lab.power_off("A")
    stop.reached()
    if kind == "kill":
        return want, killed(lab, clients, want)
    # Stands for longer than the limit, as after a stall of the host.
    end = time.monotonic() + 8
    lab.wait(lambda: time.monotonic() > end, 9, "time", 0.1)
    stop.go_on()
    _remus.wait_running(lab)
    _steps.only_on(lab, "B")
    _colo.after_failover(lab, lab.guests()["g1"], domid)
    return "runs", served(lab, clients, "B")


def one_round(lab, step, kind):
    """Its line; what is wrong is raised."""
    failover = step in FAILOVER
    act = failover_round if failover else checkpoint_round
    said, reports = act(lab, step, kind)
    gaps = {n: g for n, g in _colo.gaps(reports).items()}
    return f"{said}, gaps {gaps}"


def run(lab):
    every, bad = chosen(), []
    for number, (step, kind) in enumerate(every, 1):
        host = "B" if step in FAILOVER else step[1]
        what = f"step {step[0]} ({host}) {kind}"
        began = time.monotonic()
        try:
            line = one_round(lab, step, kind)
            lab.log(f"ok {number} of {len(every)}: {what}: {line} "
                    f"({time.monotonic() - began:.0f} s)")
        except Exception as err:
            place = tempfile.mkdtemp(prefix="xl-colo-steps-")
            bad.append(what)
            lab.log(f"NOT OK {number} of {len(every)}: {what}: {err}\n"
                    f"{traceback.format_exc()}logs: {place}")
            lab.logs(place)
    assert not bad, f"{len(bad)} of {len(every)} rounds: {', '.join(bad)}"
