#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# ssh-session.py - one interactive ssh session that types now and then
"""Runs the ssh command that follows "--" (with a terminal on the far side)
and types lines whose answers only a living shell can compute.  The shell's
PID is part of each answer, so a session that was silently replaced by
another is noticed. With --do a command is typed before each answer, which
then tells that it succeeded."""

import os
import re
import selectors
import subprocess
import time

from common import Gaps, Run, parser


class Session:
    """One program run."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.gaps = Gaps(self.run)
        self.lines, self.shells, self.error = 0, set(), None
        self.output = b""
        self.child = subprocess.Popen(
            args.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        os.set_blocking(self.child.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.child.stdout, selectors.EVENT_READ)

    def answer(self, pattern):
        """Read until the pattern comes; None if it doesn't."""
        began = self.run.now()
        while not self.run.over() and \
                self.run.now() - began < self.args.timeout:
            if self.selector.select(0.1):
                data = self.child.stdout.read(65536)
                if data == b"":
                    self.error = "ssh ended: " + self.output[-200:].decode(
                        errors="replace").strip()
                    return None
                self.output = (self.output + (data or b""))[-8192:]
            found = re.search(pattern, self.output)
            if found:
                self.output = self.output[found.end():]
                return found
        if not self.run.over():
            self.error = f"no answer for {self.args.timeout} s"
        return None

    def type_one(self):
        """Type one line and check its answer."""
        n = self.lines
        do = self.args.do.replace("{n}", str(n)).encode()
        self.child.stdin.write(b"%secho %d-$((%d * 7))-$$-end\n"
                               % (do and do + b" && ", n, n))
        self.child.stdin.flush()
        found = self.answer(rb"\b%d-%d-(\d+)-end" % (n, n * 7))
        if found:
            self.lines += 1
            self.shells.add(int(found.group(1)))
            self.gaps.event()
        return found

    def main(self):
        """Type until the end; report."""
        try:
            while not self.run.over() and self.type_one():
                self.run.progress(lines=self.lines, **self.gaps.report())
                time.sleep(self.args.interval)
                self.gaps.restart()
        except BrokenPipeError:
            self.error = "ssh ended"
        if self.error:
            self.gaps.event()
        self.child.kill()
        self.child.wait()
        self.run.finish(self.error is None and self.lines > 0
                        and len(self.shells) == 1, lines=self.lines,
                        error=self.error, shells=len(self.shells),
                        **self.gaps.report())


def main():
    """Run the command line."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("--interval", type=float, default=0.5,
                     help="seconds between an answer and the next line")
    top.add_argument("--timeout", type=float, default=60,
                     help="seconds after which an answer is given up")
    top.add_argument("--do", default="", metavar="COMMAND",
                     help="a command before each answer; {n} is its number")
    top.add_argument("command", nargs="+", help="-- ssh -tt ...")
    Session(top.parse_args()).main()


if __name__ == "__main__":
    main()
