#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# demo.py - watch a guest survive the power-off of its host
"""Usage: demo.py DESTDIR [PICTURE]

Two Xen hosts, a PVH guest on the first, clients on the LAN.  The guest is
protected, the clients work, the first host loses its power.  Ends in a
table of what the clients saw, and with PICTURE in a timeline (SVG) of what
protection did; status 1 if anything was lost."""

import os
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "scenarios")]

import _colo  # noqa: E402
import _remus  # noqa: E402
from lablib import guest as guests  # noqa: E402
from lablib.lab import Lab  # noqa: E402

NAME = "web1"
WORK_S = 15
COLO = True  # both copies run, and what they say is compared
OPTIONS = _colo.options("colo") if COLO else \
    f"--plaintext --events {_colo.EVENTS}"
B_EVENTS = f"/var/log/xen/xl-remus-{NAME}.events"


def say(text):
    """A line for the person who watches."""
    print(f"\n=== {text}", flush=True)


def show(lab, host, command):
    """Run a command as an administrator would, and show what it says."""
    print(f"{host.lower()}# {command}", flush=True)
    print(lab.sh(host, command).stdout.decode(errors="replace").rstrip(),
          flush=True)


def prepare(lab, tree):
    """Hosts, product and guest; everything that takes time, with words."""
    say("Two ordinary Xen hosts, a and b, and a client on their LAN")
    lab.up()
    lab.reset()
    lab.install(tree)
    show(lab, "A", "xl info | grep -E 'host|release|xen_version'")
    say(f"A PVH guest, {NAME}: web server, redis, echo, ssh")
    guest = guests.start(lab, "pvh", name=NAME)
    show(lab, "A", "xl list")
    return guest


def protect(lab, guest):
    """xl remus, with its progress on the screen."""
    say(f"a# xl remus {'--colo --mode=colo ' if COLO else ''}{NAME} b-link")
    lab.sh("A", f"rm -f {_colo.EVENTS}")
    _remus.start(lab, guest, options=OPTIONS)
    seen = 0
    while not _remus.status(lab).get("protected"):
        text = _remus.log_of(lab)
        print(text[seen:], end="", flush=True)
        seen = len(text)
        if lab.sh("A", f"test -e {_remus.STATUS}").returncode == 0:
            sys.exit("xl remus ended early")
        time.sleep(1)
    if COLO:
        _colo.wait_beside(lab, name=NAME)
    show(lab, "A", "xl remus-status")
    show(lab, "B", "xl list")


def work(clients, lab):
    """Let the clients work for a while, and show that they do."""
    say("Clients download, chat, type and count")
    clients.warm_up()
    watch = _colo.Watch(lab)
    end = time.monotonic() + WORK_S
    while time.monotonic() < end:
        told = {n: c.progress() for n, c in clients.all.items()}
        print("  redis {} INCR   echo {} lines   ssh {} lines   http {} KiB"
              .format(told["redis"].get("requests", 0),
                      told["echo"].get("lines", 0),
                      told["ssh"].get("lines", 0),
                      told["http"].get("bytes", 0) >> 10), flush=True)
        time.sleep(3)
    told = watch.told()
    print("\n  protection made {checkpoints} checkpoints in {seconds} s: "
          .format(**told) + ", ".join(
              f"{n} {cause}" for cause, n in told["causes"].items())
          + f"\n  the guest stood still for {told['pause_ms_median']} ms at "
          f"each, and ran for {told['run_ms_longest']} ms at most in between",
          flush=True)


def keep_events(lab, place):
    """Host a's event log, as it is now: its disk is about to be lost."""
    path = os.path.join(place, "a.events")
    lab.pull("A", _colo.EVENTS, path)
    return path


def draw(lab, a_events, picture):
    """The logs of both hosts as one picture, drawn by the survivor."""
    lab.push("B", a_events, "/tmp/a.events")
    lab.out("B", "xl remus-report --lenient -o /tmp/demo.svg /tmp/a.events "
                 + B_EVENTS)
    lab.pull("B", "/tmp/demo.svg", picture)
    print(f"\n  what protection did, as a picture: {picture}")


def back_after(report, off):
    """Seconds from the power-off to the end of the client's longest gap."""
    end = report["began_s"] + report.get("longest_gap_at_s", 0) + \
        report.get("longest_gap_s", 0)
    return end - off if end > off else None


def table(reports, lost, off):
    """What the clients saw."""
    rows = [("client", "requests", "longest gap", "resets",
             "power-off to first reply")]
    units = {"redis": "requests", "echo": "lines", "ssh": "lines",
             "http": "bytes"}
    for name, report in reports.items():
        gap = report.get("longest_gap_s", report.get("longest_stall_s"))
        back = back_after(report, off)
        rows.append((name, str(report.get(units[name], "")), f"{gap:.1f} s",
                     str(report.get("resets", 0)),
                     f"{back:.1f} s" if back else "-"))
    widths = [max(len(r[i]) for r in rows) for i in range(5)]
    for row in rows:
        print("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths)))
    print(f"\n  lost acknowledged writes  {lost}")
    http = reports["http"]
    print("  download                  " + ("whole, sha256 right"
          if http["good"] else f"WRONG at {http['wrong_at']}"))


def interrupted(*_):
    """SIGTERM ends this program as Ctrl-C does: cleanly."""
    raise KeyboardInterrupt


def main():
    """The whole demonstration."""
    signal.signal(signal.SIGTERM, interrupted)
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__.splitlines()[0])
    lab = Lab(os.environ.get("XL_COLO_LAB", "demo"))
    if lab.is_up():
        lab.down()
    try:
        guest = prepare(lab, sys.argv[1])
        protect(lab, guest)
        clients = _remus.Clients(lab, guest)
        work(clients, lab)
        a_events = keep_events(lab, lab.place)
        say("Host a loses its power")
        off = time.monotonic()
        lab.power_off("A")
        waiter = threading.Thread(target=_remus.wait_running, args=(
            lab, "B", NAME, 180), daemon=True)
        waiter.start()
        while waiter.is_alive():
            print(f"  {time.monotonic() - off:.0f} s ...", flush=True)
            waiter.join(3)
        show(lab, "B", "xl list")
        show(lab, "B", "tail -n 4 /var/log/xen/xl-remus-web1.log")
        clients.go_on(5, 180)
        reports = clients.finish()
        say("What the clients saw")
        # finish() has compared the survivor with every reply: none is lost,
        # or it would have raised.
        table(reports, 0, off)
        if len(sys.argv) == 3:
            draw(lab, a_events, sys.argv[2])
        print("\n(The hosts are emulated: seconds here are fractions of a "
              "second on hardware;\n docs/measured.md says where the time "
              "goes.)", flush=True)
    finally:
        lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
