#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# token-chat.py - collect words that the server chooses at random and keeps
"""One TCP connection.  For each line the server adds a random word, which it
remembers, and says it.  A word that was said is a promise: whoever is the
server later remembers it.  The report has all of them, in order."""

import socket
import time

from common import Gaps, Run, parser


class Chat:
    """One program run."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.gaps = Gaps(self.run)
        self.resets = self.connects = 0
        self.tokens, self.violations = [], []

    def exchange(self, sock):
        """Send a line, and take the word that comes with it."""
        line, began, answer = b"%d" % len(self.tokens), self.run.now(), b""
        sock.sendall(line + b"\n")
        while not answer.endswith(b"\n"):
            try:
                data = sock.recv(4096)
            except TimeoutError:
                if self.run.over() or \
                        self.run.now() - began > self.args.timeout:
                    raise
                continue
            if not data:
                raise ConnectionResetError("end of file")
            answer += data
        words = answer.decode().split()
        if len(words) != 2 or words[0] != line.decode():
            self.violations.append(f"sent {line!r}, got {answer[:60]!r}")
        self.tokens.append(words[-1] if words else "")
        self.gaps.event()

    def talk(self):
        """One connection, until it breaks or all is done."""
        with socket.create_connection((self.args.host, self.args.port),
                                      timeout=2) as sock:
            self.connects += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(0.2)
            while not self.run.over():
                self.exchange(sock)
                self.run.progress(lines=len(self.tokens), resets=self.resets)
                time.sleep(self.args.interval)
                self.gaps.restart()

    def main(self):
        """Talk until the end; report."""
        while not self.run.over():
            try:
                self.talk()
            except OSError:
                if not self.run.over():
                    self.resets += self.connects > 0
                    time.sleep(0.1)  # a pause between attempts
        self.run.finish(not self.violations and self.tokens,
                        tokens=self.tokens, resets=self.resets,
                        violations=self.violations[:20],
                        **self.gaps.report())


def main():
    """Run the command line."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("host")
    top.add_argument("--port", type=int, default=14)
    top.add_argument("--interval", type=float, default=0.5,
                     help="seconds between an answer and the next line")
    top.add_argument("--timeout", type=float, default=30,
                     help="seconds after which a connection is given up")
    Chat(top.parse_args()).main()


if __name__ == "__main__":
    main()
