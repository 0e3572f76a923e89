# SPDX-License-Identifier: LGPL-2.1-or-later
# client.py - a client program that runs in the background
"""The programs in tests/lab/clients share a contract: they are given
--report FILE and --stop FILE, end by themselves at a deadline, end early
once the stop file exists, and write one JSON object as their report,
whatever happened."""

import json
import os
import sys

from . import procs
from .output import LabError
from .paths import CLIENTS
from .wait import wait


class Client:
    """One running client program."""

    def __init__(self, lab, program, args):
        self.program = program
        source = os.path.join(CLIENTS, program + ".py")
        if not os.path.exists(source):
            raise LabError(f"there is no client program {source}")
        place = os.path.join(lab.place, "clients")
        os.makedirs(place, exist_ok=True)
        number = sum(n.endswith(".log") for n in os.listdir(place)) + 1
        self.base = os.path.join(place, f"{number}-{program}")
        procs.spawn(
            lab.net.argv(sys.executable, "-B", source, "--report",
                         self.base + ".json", "--stop", self.base + ".stop",
                         *map(str, args)),
            self.base + ".pid", self.base + ".log")

    def running(self):
        """Whether it has not ended yet."""
        return procs.alive(self.base + ".pid") is not None

    def progress(self):
        """The latest of the lines that it writes while it works, decoded:
        a dict, empty before the first."""
        try:
            with open(self.base + ".log") as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            return {}
        for line in reversed(lines):
            if line.startswith("{"):
                try:
                    return json.loads(line)
                except ValueError:
                    continue
        return {}

    def wait_progress(self, key, value, timeout):
        """Wait until progress()[key] has reached value."""
        wait(lambda: self.progress().get(key, 0) >= value or
             self._check_running(), timeout,
             f"{self.program}'s {key} to reach {value}")

    def _check_running(self):
        if not self.running():
            raise LabError(f"the client {self.program} ended early; it said: "
                           + self._said())
        return False

    def _said(self):
        with open(self.base + ".log") as f:
            return f.read()[-1000:] or "nothing"

    def stop(self, timeout=30):
        """Ask it to stop, wait until it has, and return its report."""
        open(self.base + ".stop", "w").close()
        return self.report(timeout)

    def report(self, timeout=30):
        """Wait for its end and return its report."""
        wait(lambda: not self.running(), timeout,
             f"the client {self.program} to end")
        procs.end(self.base + ".pid")
        try:
            with open(self.base + ".json") as f:
                return json.load(f)
        except (FileNotFoundError, ValueError):
            raise LabError(f"the client {self.program} left no report; it "
                           "said: " + self._said()) from None
