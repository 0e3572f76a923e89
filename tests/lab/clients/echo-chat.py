#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# echo-chat.py - one TCP connection on which every line must come back
"""Sends numbered lines of random text and checks each answer.  A line that
is wrong, missing or comes twice is a violation; a connection that breaks
is counted and opened again, so that the time without service is measured
in any case."""

import random
import socket
import time

from common import Gaps, Run, parser, percentiles


class Chat:
    """One program run."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.gaps = Gaps(self.run)
        self.random = random.Random(args.seed)
        self.lines = self.resets = self.connects = 0
        self.violations, self.latencies = [], []

    def line(self):
        """The next line to send."""
        text = b"%d " % self.lines
        text += b"%0*x" % (max(self.args.size - len(text) - 1, 1),
                           self.random.getrandbits(
                               4 * max(self.args.size - len(text) - 1, 1)))
        return text + b"\n"

    def exchange(self, sock):
        """Send one line, and wait for exactly that line."""
        line, began, answer = self.line(), self.run.now(), b""
        sock.sendall(line)
        while not answer.endswith(b"\n") if self.args.more \
                else len(answer) < len(line):
            try:
                data = sock.recv(65536)
            except TimeoutError:
                if self.run.over() or \
                        self.run.now() - began > self.args.timeout:
                    raise
                continue
            if not data:
                raise ConnectionResetError("end of file")
            answer += data
        good = answer == line or self.args.more and \
            answer.startswith(line[:-1] + b" ")
        if not good and len(self.violations) < 20:
            self.violations.append(f"line {self.lines}: sent {line[:60]!r}, "
                                   f"got {answer[:60]!r}")
        self.lines += 1
        self.latencies.append(self.run.now() - began)
        self.gaps.event()

    def talk(self):
        """One connection, until it breaks or all is done."""
        with socket.create_connection((self.args.host, self.args.port),
                                      timeout=2) as sock:
            self.connects += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(0.2)
            while not self.over():
                self.exchange(sock)
                self.run.progress(lines=self.lines, resets=self.resets,
                                  **self.gaps.report())
                if self.args.interval:
                    time.sleep(self.args.interval)
                    self.gaps.restart()

    def over(self):
        """Whether all is done."""
        return self.run.over() or (0 < self.args.lines <= self.lines)

    def main(self):
        """Talk until the end; report."""
        while not self.over():
            try:
                self.talk()
            except OSError:
                if not self.run.over():
                    self.resets += self.connects > 0
                    time.sleep(0.1)  # a pause between attempts
        if not self.lines:
            self.gaps.event()
        self.run.finish(not self.violations and self.lines > 0,
                        lines=self.lines, resets=self.resets,
                        connects=self.connects, violations=self.violations,
                        latency_ms=percentiles(self.latencies),
                        **self.gaps.report())


def main():
    """Run the command line."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("host")
    top.add_argument("--port", type=int, default=7)
    top.add_argument("--lines", type=int, default=0,
                     help="end after so many (default: no limit)")
    top.add_argument("--size", type=int, default=64,
                     help="bytes in a line (up to 60000)")
    top.add_argument("--interval", type=float, default=0.01,
                     help="seconds between an answer and the next line")
    top.add_argument("--timeout", type=float, default=30,
                     help="seconds after which a connection is given up")
    top.add_argument("--seed", type=int, default=1)
    top.add_argument("--more", action="store_true",
                     help="the server adds words of its own to each line")
    Chat(top.parse_args()).main()


if __name__ == "__main__":
    main()
