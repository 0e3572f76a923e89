#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# redis-count.py - count up in redis and remember what was acknowledged
"""count: each of N connections sends INCR for a key of its own, one at a
time, and checks that each reply is the one before plus one.  A reply is a
promise: whatever happens to the server later, the value may never be less.

A connection that breaks is opened again; the request that was in flight
may or may not have been carried out, so one number more is allowed once. One
that was never made, since nobody said in time where the server is, is no reset.
With --set it is the client that counts, and sends SET; each reply is OK.

verify: reads the keys again and compares with the report of a count."""

import collections
import errno
import json
import os
import selectors
import socket
import sys

from common import Gaps, Run, parser, percentiles


class Connection:
    """One connection and its key."""

    def __init__(self, owner, number):
        self.owner = owner
        self.key = f"{owner.args.prefix}:{number}"
        self.last = None     # the last acknowledged value
        self.value = 0       # --set: what the request asks for
        self.unknown = 0     # requests whose fate is unknown
        self.sock = None
        self.sent_at = self.due = 0.0
        self.waiting = False     # for a reply
        self.connecting = False
        self.buffer = b""

    def open(self):
        """Begin to connect."""
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex((self.owner.args.host, self.owner.args.port))
        self.buffer, self.waiting, self.connecting = b"", False, True
        self.sent_at = self.owner.run.now()
        self.owner.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def close(self):
        """Forget the connection; try again a little later."""
        self.owner.selector.unregister(self.sock)
        self.sock.close()
        self.sock = None
        self.unknown += self.waiting
        self.waiting = False
        self.due = self.owner.run.now() + 0.2

    def send(self):
        """Send one request."""
        words = [b"INCR", self.key.encode()]
        if self.owner.args.set:
            self.value = (self.last or 0) + 1
            words = [b"SET", words[1], b"%d" % self.value]
        self.sock.send(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        self.sent_at, self.waiting = self.owner.run.now(), True
        self.owner.selector.modify(self.sock, selectors.EVENT_READ, self)

    def ready(self, mask):
        """The socket is ready: connected, or a reply is there."""
        if mask & selectors.EVENT_WRITE:
            failed = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed == errno.EHOSTUNREACH and self.connecting:
                self.owner.unreachable += 1
                self.close()
                return
            if failed:
                raise OSError(failed, os.strerror(failed))
            self.connecting = False
            self.send()
            return
        data = self.sock.recv(4096)
        if not data:
            raise ConnectionResetError("end of file")
        self.buffer += data
        while b"\r\n" in self.buffer:
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            self.reply(line)

    def reply(self, line):
        """Check one reply."""
        owner = self.owner
        good = line == b"+OK" if owner.args.set else line.startswith(b":")
        if not self.waiting or not good:
            owner.violation(f"{self.key}: unexpected reply {line!r}")
            return
        value = self.value if owner.args.set else int(line[1:])
        self.waiting = False
        low = (self.last or 0) + 1
        if self.last is not None or owner.args.strict:
            if value < low:
                owner.violation(f"{self.key}: {value} after {self.last}: "
                                "acknowledged increments are lost")
            elif value > low + self.unknown:
                owner.violation(f"{self.key}: {value} after {self.last}: "
                                "increments that nobody sent")
        self.last, self.unknown = value, 0
        owner.acknowledged(self)
        self.due = self.sent_at + owner.args.interval


class Counter:
    """All connections of a count."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.selector = selectors.DefaultSelector()
        self.gaps = Gaps(self.run)
        self.latencies = []
        self.per_second = collections.Counter()
        self.requests = self.resets = self.timeouts = 0
        self.unreachable = 0
        self.violations = []
        self.connections = [Connection(self, i)
                            for i in range(args.connections)]

    def violation(self, text):
        """Remember a broken promise."""
        if len(self.violations) < 20:
            self.violations.append(f"{self.run.now():.3f}: {text}")

    def acknowledged(self, connection):
        """Count a reply."""
        now = self.run.now()
        self.requests += 1
        self.per_second[int(now)] += 1
        self.latencies.append(now - connection.sent_at)
        self.gaps.event()

    def step(self):
        """Wait for events for a moment and handle them."""
        now = self.run.now()
        for one in self.connections:
            if one.sock is None:
                if now >= one.due:
                    one.open()
            elif one.waiting or one.connecting:
                if now - one.sent_at > self.args.timeout:
                    self.timeouts += 1
                    one.close()
            elif now >= one.due:
                self.guarded(one, one.send)
        for key, mask in self.selector.select(
                min(0.05, self.args.interval or 0.05)):
            one = key.data
            if one.sock is not None:
                self.guarded(one, one.ready, mask)
                if one.sock is not None and not one.waiting \
                        and not self.args.interval:
                    self.guarded(one, one.send)

    def guarded(self, one, action, *args):
        """Do something with a connection that may break."""
        try:
            action(*args)
        except BlockingIOError:
            pass
        except OSError:
            self.resets += 1
            one.close()

    def count(self):
        """Count until the end; report."""
        limit = self.args.requests
        while not self.run.over() and not (limit and self.requests >= limit):
            self.step()
            self.run.progress(requests=self.requests, resets=self.resets,
                              **self.gaps.report())
        if self.requests == 0 or any(c.waiting for c in self.connections):
            self.gaps.event()  # what was never answered counts, too
        end = int(self.run.now()) + 1
        self.run.finish(
            not self.violations and self.requests > 0,
            requests=self.requests, resets=self.resets,
            timeouts=self.timeouts, unreachable=self.unreachable,
            violations=self.violations,
            latency_ms=percentiles(self.latencies),
            last={c.key: c.last for c in self.connections
                  if c.last is not None},
            per_second=[self.per_second[s] for s in range(end)],
            **self.gaps.report())


def read_value(sock, key):
    """The value of a key, as a number; 0 if there is none."""
    key = key.encode()
    sock.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key))
    reply = b""
    while reply.count(b"\r\n") < (1 if reply.startswith(b"$-1") else 2):
        data = sock.recv(4096)
        if not data:
            raise ConnectionResetError("end of file")
        reply += data
    return 0 if reply.startswith(b"$-1") else int(reply.split(b"\r\n")[1])


def verify(args):
    """Compare the server's values with an earlier report."""
    run = Run(args)
    with open(args.against) as f:
        last = json.load(f)["last"]
    lost, ahead, missing = 0, 0, []
    with socket.create_connection((args.host, args.port),
                                  timeout=min(args.seconds, 30)) as sock:
        for key, value in last.items():
            now = read_value(sock, key)
            if now < value:
                lost += value - now
                missing.append(f"{key}: {now}, acknowledged {value}")
            ahead = max(ahead, now - value)
    run.finish(lost == 0, keys=len(last), lost=lost, ahead=ahead,
               missing=missing[:20])


def main():
    """Run the command line."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("mode", choices=["count", "verify"])
    top.add_argument("host")
    top.add_argument("--port", type=int, default=6379)
    top.add_argument("--connections", type=int, default=4)
    top.add_argument("--requests", type=int, default=0,
                     help="end after so many (default: no limit)")
    top.add_argument("--interval", type=float, default=0,
                     help="seconds between requests of a connection")
    top.add_argument("--timeout", type=float, default=30,
                     help="seconds after which a connection is given up")
    top.add_argument("--prefix", default="count")
    top.add_argument("--set", action="store_true",
                     help="SET each number instead of INCR")
    top.add_argument("--strict", action="store_true",
                     help="the keys must be new: the first reply is 1")
    top.add_argument("--against", help="verify: the report of the count")
    args = top.parse_args()
    if args.mode == "verify":
        if not args.against:
            sys.exit("redis-count: verify needs --against REPORT")
        verify(args)
    Counter(args).count()


if __name__ == "__main__":
    main()
