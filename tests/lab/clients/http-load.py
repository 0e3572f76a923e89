#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# http-load.py - many requests for a static file: requests a second, latency
"""Each of N connections asks again as soon as it was answered, on the same
connection.  Every answer must be the whole file: its content is that of the
guests' file (see common.py), cut to --size."""

import selectors
import socket
import urllib.parse

from common import Gaps, Run, file_blocks, parser, percentiles


def expected(size):
    """The first octets of the guests' file."""
    blocks, body = file_blocks(size + (1 << 17)), b""
    while len(body) < size:
        body += next(blocks)
    return body[:size]


class Connection:
    """One connection, with one request under way."""

    def __init__(self, owner):
        self.owner = owner
        self.sock = None
        self.due = self.sent_at = 0.0
        self.buffer = b""
        self.connecting = False

    def open(self):
        """Begin to connect."""
        url = self.owner.url
        self.sock = socket.socket(socket.AF_INET6 if ":" in url.hostname
                                  else socket.AF_INET)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex((url.hostname, url.port or 80))
        self.connecting, self.sent_at = True, self.owner.run.now()
        self.owner.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def close(self):
        """Forget it; try again a little later."""
        self.owner.selector.unregister(self.sock)
        self.sock.close()
        self.sock = None
        self.due = self.owner.run.now() + 0.2

    def send(self):
        """Ask for the file."""
        self.sock.send(self.owner.request)
        self.buffer, self.sent_at = b"", self.owner.run.now()
        self.owner.selector.modify(self.sock, selectors.EVENT_READ, self)

    def ready(self):
        """Connected, or something to read."""
        if self.connecting:
            self.connecting = False
            self.send()
            return
        data = self.sock.recv(1 << 17)
        if not data:
            raise ConnectionResetError("end of file")
        self.buffer += data
        head, mark, body = self.buffer.partition(b"\r\n\r\n")
        if mark and len(body) >= self.owner.args.size:
            self.owner.answered(self, head, body)
            self.send()


class Load:
    """One program run."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.gaps = Gaps(self.run)
        self.url = urllib.parse.urlsplit(args.url)
        self.request = (f"GET {self.url.path or '/'} HTTP/1.1\r\n"
                        f"Host: {self.url.hostname}\r\n\r\n").encode()
        self.body = expected(args.size)
        self.selector = selectors.DefaultSelector()
        self.requests = self.resets = self.timeouts = 0
        self.latencies, self.wrong = [], []
        self.broken = []     # when a connection broke, and by what
        self.connections = [Connection(self)
                            for _ in range(args.connections)]

    def answered(self, connection, head, body):
        """Judge and count a whole answer."""
        if (body != self.body or not head.startswith(b"HTTP/1.1 200 ")) \
                and len(self.wrong) < 20:
            self.wrong.append(f"request {self.requests}: {head[:60]!r} and "
                              f"{len(body)} octets")
        self.requests += 1
        self.latencies.append(self.run.now() - connection.sent_at)
        self.gaps.event()

    def step(self):
        """Wait for events for a moment, and handle them."""
        now = self.run.now()
        for one in self.connections:
            if one.sock is None:
                if now >= one.due:
                    one.open()
            elif now - one.sent_at > self.args.timeout:
                self.timeouts += 1
                one.close()
        for key, _ in self.selector.select(0.05):
            try:
                key.data.ready()
            except BlockingIOError:
                pass
            except OSError as err:
                self.resets += 1
                if len(self.broken) < 20:
                    self.broken.append(f"{self.run.now():.3f}: {err}")
                key.data.close()

    def main(self):
        """Ask until the end; report."""
        while not self.run.over():
            self.step()
            self.run.progress(requests=self.requests, resets=self.resets,
                              **self.gaps.report())
        self.gaps.event()  # what was never answered counts, too
        self.run.finish(
            not self.wrong and self.requests > 0, requests=self.requests,
            requests_per_s=round(self.requests / self.run.now(), 2),
            resets=self.resets, timeouts=self.timeouts, wrong=self.wrong,
            broken=self.broken, latency_ms=percentiles(self.latencies), **self.gaps.report())


def main():
    """Run the command line."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("url")
    top.add_argument("--connections", type=int, default=1)
    top.add_argument("--size", type=int, default=4096,
                     help="octets of the file (default 4096)")
    top.add_argument("--timeout", type=float, default=120,
                     help="seconds after which a connection is given up")
    Load(top.parse_args()).main()


if __name__ == "__main__":
    main()
