# SPDX-License-Identifier: LGPL-2.1-or-later
# chat.py - what the programs share that talk in lines over one connection
"""A connection that breaks is counted and opened again, so that the time
without service is measured in any case."""

import socket
import time

from common import Gaps, Run, parser


class Chat:
    """One program run.  What is said and what must come is the program's:
    exchange() and said()."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.gaps = Gaps(self.run)
        self.lines = self.resets = self.connects = 0
        self.violations = []

    def exchange(self, sock):
        """Say a line, and judge the answer."""
        raise NotImplementedError

    def said(self):
        """What is reported on the way."""
        return {"lines": self.lines, "resets": self.resets}

    def over(self):
        """Whether all is done."""
        return self.run.over()

    def ask(self, sock, line, whole):
        """Send a line, and wait until the answer is whole."""
        began, answer = self.run.now(), b""
        sock.sendall(line)
        while not whole(answer):
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
        return answer

    def talk(self):
        """One connection, until it breaks or all is done."""
        with socket.create_connection((self.args.host, self.args.port),
                                      timeout=2) as sock:
            self.connects += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(0.2)
            while not self.over():
                self.exchange(sock)
                self.lines += 1
                self.gaps.event()
                self.run.progress(**self.said())
                if self.args.interval:
                    time.sleep(self.args.interval)
                    self.gaps.restart()

    def chat(self):
        """Talk until all is done."""
        while not self.over():
            try:
                self.talk()
            except OSError:
                if not self.run.over():
                    self.resets += self.connects > 0
                    time.sleep(0.1)  # a pause between attempts


def chat_parser(description, port, interval):
    """An argument parser with these defaults."""
    top = parser(description)
    top.add_argument("host")
    top.add_argument("--port", type=int, default=port)
    top.add_argument("--interval", type=float, default=interval,
                     help="seconds between an answer and the next line")
    top.add_argument("--timeout", type=float, default=30,
                     help="seconds after which a connection is given up")
    return top
