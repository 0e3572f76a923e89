#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# echo-chat.py - one TCP connection on which every line must come back
"""Sends numbered lines of random text and checks each answer.  A line that
is wrong, missing or comes twice is a violation; a connection that breaks
is counted and opened again, so that the time without service is measured
in any case."""

import random

from chat import Chat, chat_parser
from common import percentiles


class Echo(Chat):
    """One program run."""

    def __init__(self, args):
        super().__init__(args)
        self.random = random.Random(args.seed)
        self.latencies = []

    def line(self):
        """The next line to send."""
        text = b"%d " % self.lines
        text += b"%0*x" % (max(self.args.size - len(text) - 1, 1),
                           self.random.getrandbits(
                               4 * max(self.args.size - len(text) - 1, 1)))
        return text + b"\n"

    def exchange(self, sock):
        """Send one line, and wait for exactly that line."""
        line, began = self.line(), self.run.now()
        if self.args.more:
            answer = self.ask(sock, line, lambda a: a.endswith(b"\n"))
            good = answer == line or answer.startswith(line[:-1] + b" ")
        else:
            answer = self.ask(sock, line, lambda a: len(a) >= len(line))
            good = answer == line
        if not good and len(self.violations) < 20:
            self.violations.append(f"line {self.lines}: sent {line[:60]!r}, "
                                   f"got {answer[:60]!r}")
        self.latencies.append(self.run.now() - began)

    def said(self):
        """What is reported on the way."""
        return {**super().said(), **self.gaps.report()}

    def over(self):
        """Whether all is done."""
        return super().over() or (0 < self.args.lines <= self.lines)

    def main(self):
        """Talk until the end; report."""
        self.chat()
        if not self.lines:
            self.gaps.event()
        self.run.finish(not self.violations and self.lines > 0,
                        lines=self.lines, resets=self.resets,
                        connects=self.connects, violations=self.violations,
                        latency_ms=percentiles(self.latencies),
                        **self.gaps.report())


def main():
    """Run the command line."""
    top = chat_parser(__doc__.splitlines()[0], port=7, interval=0.01)
    top.add_argument("--lines", type=int, default=0,
                     help="end after so many (default: no limit)")
    top.add_argument("--size", type=int, default=64,
                     help="bytes in a line (up to 60000)")
    top.add_argument("--seed", type=int, default=1)
    top.add_argument("--more", action="store_true",
                     help="the server adds words of its own to each line")
    Echo(top.parse_args()).main()


if __name__ == "__main__":
    main()
