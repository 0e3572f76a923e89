#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# udp-chat.py - a question in a datagram, again until it is answered
"""As DNS does it: one question at a time, numbered; if no answer comes
within --again it is asked once more.  An answer must be the question.  What
was lost is asked again and counted; an answer that comes twice, or late, is
counted too and is no fault of UDP's."""

import socket

from common import Gaps, Run, parser, percentiles


class Chat:
    """One program run."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.gaps = Gaps(self.run)
        self.requests = self.resent = self.doubles = 0
        self.wrong, self.latencies = [], []
        self.sock = socket.socket(
            socket.AF_INET6 if ":" in args.host else socket.AF_INET,
            socket.SOCK_DGRAM)
        self.sock.connect((args.host, args.port))

    def question(self, number):
        """The datagram of a number."""
        text = b"question %d " % number
        return text + b"x" * max(0, self.args.size - len(text))

    def ask(self, text):
        """Send, unless the network says no at once (then: again later)."""
        try:
            self.sock.send(text)
        except OSError:
            pass

    def judge(self, data, text):
        """Whether data answers the question; counts what is odd."""
        if data == text:
            return True
        number = data.split()[1:2]
        if number and number[0].isdigit() and \
                data == self.question(int(number[0])):
            self.doubles += 1
        elif len(self.wrong) < 20:
            self.wrong.append(f"{data[:60]!r} for {text[:60]!r}")
        return False

    def one(self):
        """One question until it is answered."""
        text = self.question(self.requests)
        began = asked = self.run.now()
        self.ask(text)
        while not self.run.over():
            now = self.run.now()
            if now - asked > self.args.again:
                self.resent, asked = self.resent + 1, now
                self.ask(text)
            self.sock.settimeout(0.1)
            try:
                data = self.sock.recv(65536)
            except OSError:  # nothing yet, or unreachable for now
                continue
            if self.judge(data, text):
                self.requests += 1
                self.latencies.append(self.run.now() - began)
                self.gaps.event()
                return

    def main(self):
        """Ask until the end; report."""
        due = 0.0
        while not self.run.over():
            self.one()
            self.run.progress(requests=self.requests, resent=self.resent,
                              **self.gaps.report())
            due = max(due + self.args.interval, self.run.now())
            while self.run.now() < due and not self.run.over():
                self.sock.settimeout(max(due - self.run.now(), 0.001))
                try:
                    self.judge(self.sock.recv(65536), b"")
                except OSError:
                    pass
            self.gaps.restart()
        self.run.finish(not self.wrong and self.requests > 0,
                        requests=self.requests, resent=self.resent,
                        doubles=self.doubles, wrong=self.wrong,
                        latency_ms=percentiles(self.latencies),
                        **self.gaps.report())


def main():
    """Run the command line."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("host")
    top.add_argument("--port", type=int, default=7)
    top.add_argument("--size", type=int, default=64)
    top.add_argument("--interval", type=float, default=0.05,
                     help="seconds between an answer and the next question")
    top.add_argument("--again", type=float, default=2,
                     help="seconds after which a question is asked again")
    Chat(top.parse_args()).main()


if __name__ == "__main__":
    main()
