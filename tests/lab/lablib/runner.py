# SPDX-License-Identifier: LGPL-2.1-or-later
# runner.py - run scenarios, each on a fresh pair of hosts; report in TAP
"""Before each scenario both hosts are reset to a saved state (some
seconds), so no scenario sees what another did.  The state is that of `up`,
or a snapshot that the runner makes at first need: with the product
installed (--install), with a guest of some type running (GUEST in the
scenario).  After each scenario the hosts are judged: what it left behind
makes it fail."""

import hashlib
import os
import signal
import tempfile
import time
import traceback

from . import guest, output, scenario, snapshots
from .lab import Lab
from .output import LabError, say

GUEST_NAME = "g1"

# A guest's kernel that enters an interrupt a second time at the first
# instruction of its handler, with interrupts off (README.md, "What the
# emulator does wrong"), on a host that has received no domain: there the
# product has never set a processor's registers, so it can't be the cause.
TWICE = "cat /var/log/xen/xl-remus-*.log /var/log/inplace-drive.log " \
        "2>/dev/null | grep -q . || grep -ls " \
        "'ENTRY_TRAMPOLINE stack guard page was hit' " \
        "/var/log/xen/console/guest-*.log"


def options(parser):
    """Add the options of `lab run`."""
    parser.add_argument("patterns", nargs="*", metavar="SCENARIO",
                        help="names, or patterns such as 'selftest-*'")
    parser.add_argument("--list", action="store_true",
                        help="list the scenarios and end")
    parser.add_argument("--slow", action="store_true",
                        help="run those marked slow, too")
    parser.add_argument("--install", metavar="DESTDIR",
                        help="install this tree on both hosts first")
    parser.add_argument("--logs", metavar="DIR",
                        help="where failed scenarios leave their logs")
    parser.add_argument("--suite")
    parser.add_argument("--xen")


class Runner:
    """One `lab run`."""

    def __init__(self, lab, args):
        self.lab = lab
        self.args = args
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.logs = args.logs
        self.digest = None

    def log_dir(self, name):
        """A directory for the logs of one failed scenario."""
        if self.logs is None:
            self.logs = tempfile.mkdtemp(prefix="xl-colo-lab-logs-")
        return os.path.join(self.logs, name)

    def tree_digest(self):
        """Names the product: another build gets another snapshot."""
        if self.digest is None:
            total = hashlib.sha256()
            for top, dirs, names in os.walk(self.args.install):
                dirs.sort()
                for name in sorted(names):
                    path = os.path.join(top, name)
                    total.update(path.encode() + b"\0")
                    with open(path, "rb") as f:
                        total.update(hashlib.sha256(f.read()).digest())
            self.digest = total.hexdigest()[:12]
        return self.digest

    def prepare(self, one):
        """Reset the hosts to what the scenario starts from."""
        lab, name = self.lab, None
        if self.args.install:
            name = "product-" + self.tree_digest()
            if not snapshots.exists(lab, name):
                lab.reset()
                lab.install(self.args.install)
                lab.snapshot(name)
        if one.guest:
            base, name = name, f"{name or 'base'}-{one.guest}"
            if not snapshots.exists(lab, name):
                lab.reset(base)
                guest.start(lab, one.guest, name=GUEST_NAME)
                lab.snapshot(name)
                return
        lab.reset(name)

    def note_start(self, one):
        """For scenarios of several rounds: what to lab.reset() to."""
        parts = []
        if self.args.install:
            parts.append("product-" + self.tree_digest())
        if one.guest:
            parts = [(parts[0] if parts else "base") + "-" + one.guest]
        self.lab.start_state = parts[0] if parts else None

    def attempt(self, one):
        """Run one scenario; returns None or what is wrong."""
        def late(*_):
            raise LabError(f"the scenario did not end in {one.timeout} s")
        before = signal.signal(signal.SIGALRM, late)
        try:
            self.prepare(one)
            self.note_start(one)
            signal.alarm(one.timeout)
            one.run(self.lab)
            signal.alarm(0)
            self.lab.end_clients()
            left = [] if one.dirty else scenario.leftovers(self.lab)
            return "left behind: " + "; ".join(left) if left else None
        except LabError as err:
            return str(err)
        except Exception:
            return traceback.format_exc()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    def emulator_failed(self):
        """Did a guest die of an interrupt that was delivered twice?"""
        try:
            return any(host.running() and host.sh(TWICE).stdout
                       for host in self.lab.hosts.values())
        except LabError:
            return False

    def keep_logs(self, place):
        """Collect logs; a failure here must not hide the first one."""
        try:
            self.lab.logs(place)
        except Exception as err:
            print(f"# logs are incomplete: {err}")
        print(f"# logs: {place}")

    def run(self, scenarios):
        """Run all; returns the exit status."""
        print(f"1..{len(scenarios)}", flush=True)
        for number, one in enumerate(scenarios, 1):
            skip = one.reason_to_skip(
                self.lab.xen, self.args.slow or one.name in
                self.args.patterns, self.args.install)
            if skip:
                self.counts["skipped"] += 1
                print(f"ok {number} - {one.name} # SKIP {skip}", flush=True)
                continue
            began = time.monotonic()
            output.record = []
            say(f"scenario {one.name}: {one.title}")
            wrong = self.attempt(one)
            if wrong and self.emulator_failed():
                say(f"{one.name}: a guest died of the emulator, see the "
                    "logs; once more")
                self.explain(one, wrong)
                wrong = self.attempt(one)
            took = f"{time.monotonic() - began:.1f} s"
            self.counts["failed" if wrong else "passed"] += 1
            print(f"{'not ok' if wrong else 'ok'} {number} - {one.name}: "
                  f"{one.title} # {took}", flush=True)
            if wrong:
                self.explain(one, wrong)
        print(", ".join(f"{n} {what}" for what, n in self.counts.items()),
              flush=True)
        return 1 if self.counts["failed"] else 0

    def explain(self, one, wrong):
        """Print why a scenario failed, and keep its logs."""
        for line in wrong.splitlines():
            print("#", line)
        place = self.log_dir(one.name)
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, "scenario.log"), "w") as f:
            f.writelines(line + "\n" for line in output.record)
            f.write(wrong + "\n")
        self.keep_logs(place)


def main(args):
    """`lab run`; returns the exit status.  A lab that was not up before is
    not up afterwards."""
    scenarios = scenario.load(args.patterns)
    if args.list:
        for one in scenarios:
            marks = [w for w, there in (("slow", one.slow), ("product",
                     one.product), (one.guest, one.guest)) if there]
            print(f"{one.name:28} {one.title}"
                  + (f" [{', '.join(marks)}]" if marks else ""))
        return 0
    lab = Lab(args.lab)
    mine = not lab.is_up()
    lab.up(args.suite, args.xen)
    try:
        return Runner(lab, args).run(scenarios)
    finally:
        if mine:
            lab.down()
        else:
            lab.end_clients()
