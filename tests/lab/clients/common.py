# SPDX-License-Identifier: LGPL-2.1-or-later
# common.py - what the client programs share: contract, clock, statistics
"""Each program is started with --report FILE and --stop FILE, ends when its
work is done, when --seconds are over or once the stop file exists, and then
writes one JSON object to the report.  While it works it prints a JSON line
of progress about once a second.  Times are seconds since its start."""

import argparse
import json
import os
import sys
import time

BLOCK = 128 * 1024


def parser(description):
    """An argument parser with the common options."""
    top = argparse.ArgumentParser(description=description)
    top.add_argument("--report", help="file for the JSON report")
    top.add_argument("--stop", help="end once this file exists")
    top.add_argument("--seconds", type=float, default=300,
                     help="end after this time (default 300)")
    return top


class Run:
    """The clock, the end and the report of one run."""

    def __init__(self, args):
        self.args = args
        self.began = time.monotonic()
        self.looked = self.told = self.began
        self.stopped = False

    def now(self):
        """Seconds since the start."""
        return time.monotonic() - self.began

    def over(self):
        """Whether to end; looks for the stop file ten times a second."""
        now = time.monotonic()
        if now - self.looked > 0.1:
            self.looked = now
            self.stopped = bool(self.args.stop) and os.path.exists(
                self.args.stop)
        return self.stopped or now - self.began > self.args.seconds

    def progress(self, **values):
        """Print the values, at most once a second."""
        now = time.monotonic()
        if now - self.told >= 1:
            self.told = now
            print(json.dumps({"at": round(now - self.began, 3), **values}),
                  flush=True)

    def finish(self, good, **values):
        """Write the report and exit: status 0 if good."""
        values = {"good": bool(good), "seconds": round(self.now(), 3),
                  "began_s": self.began,  # on CLOCK_MONOTONIC
                  **values}
        text = json.dumps(values, indent=1)
        if self.args.report:
            with open(self.args.report + ".new", "w") as f:
                f.write(text + "\n")
            os.rename(self.args.report + ".new", self.args.report)
        else:
            print(text)
        sys.exit(0 if good else 1)


class Gaps:
    """The longest time without an event."""

    def __init__(self, run):
        self.run = run
        self.last = run.now()
        self.longest = self.longest_at = 0.0

    def event(self):
        """Something that was waited for has come."""
        now = self.run.now()
        if now - self.last > self.longest:
            self.longest, self.longest_at = now - self.last, self.last
        self.last = now

    def restart(self):
        """What was waited for until now does not count."""
        self.last = self.run.now()

    def report(self, name="longest_gap"):
        """The longest gap as items of a report."""
        return {name + "_s": round(self.longest, 4),
                name + "_at_s": round(self.longest_at, 3)}


def percentiles(values):
    """p50, p90, p99 and the maximum of a list of seconds, in ms."""
    if not values:
        return {}
    ordered = sorted(values)
    pick = {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)]
            for p in (50, 90, 99)}
    pick["max"] = ordered[-1]
    return {name: round(value * 1000, 2) for name, value in pick.items()}


def file_blocks(size):
    """The file that guests serve, in blocks: see files/guest/lab/make-file,
    of which this is an independent second writing."""
    body = b"".join(b"%d\n" % i for i in range(1000000, 1016376))
    for n in range(size // BLOCK):
        yield (b"block %057d\n" % n + body)[:BLOCK]
