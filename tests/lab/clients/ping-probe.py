#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# ping-probe.py - ICMP echo requests: latency, loss and doubles
"""Unlike TCP, a lost packet stays lost here and a released one shows its
whole delay, which makes this the probe for output buffering."""

import os
import selectors
import socket
import struct

from common import Gaps, Run, parser, percentiles


def checksum(data):
    """The Internet checksum."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def request(ident, number):
    """An echo request of 64 bytes."""
    payload = b"xl-colo lab " * 4 + struct.pack("!Q", number)
    head = struct.pack("!BBHHH", 8, 0, 0, ident, number & 0xffff)
    total = checksum(head + payload)
    return struct.pack("!BBHHH", 8, 0, total, ident, number & 0xffff) \
        + payload


def main():
    """Probe until the end; report."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("host")
    top.add_argument("--interval", type=float, default=0.02)
    top.add_argument("--count", type=int, default=0,
                     help="end after so many (default: no limit)")
    top.add_argument("--drain", type=float, default=2,
                     help="with --count: seconds to wait for late answers")
    args = top.parse_args()
    run = Run(args)
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                         socket.IPPROTO_ICMP)
    sock.setblocking(False)
    ident, gaps = os.getpid() & 0xffff, Gaps(run)
    sent, latencies, sent_at, doubles, unsent = 0, [], {}, 0, 0
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    due = drain = 0.0
    while not run.over():
        now = run.now()
        if args.count and sent >= args.count:
            drain = drain or now + args.drain
            if now > drain or not sent_at:
                break
        elif now >= due:
            sent_at[sent] = now
            try:
                sock.sendto(request(ident, sent), (args.host, 0))
            except OSError:
                unsent += 1
            sent, due = sent + 1, max(due + args.interval, now - 1)
        if not selector.select(max(0, min(0.05, due - run.now()))):
            continue
        packet = sock.recv(2048)[20:]
        if packet[0] != 0 or struct.unpack("!H", packet[4:6])[0] != ident:
            continue
        number = struct.unpack("!Q", packet[-8:])[0]
        if number in sent_at:
            latencies.append(run.now() - sent_at.pop(number))
            gaps.event()
        else:
            doubles += 1
        run.progress(sent=sent, answered=len(latencies), **gaps.report())
    gaps.event()
    run.finish(latencies and not doubles, sent=sent,
               answered=len(latencies), doubles=doubles, unsent=unsent,
               missing=[[number, round(at, 3)] for number, at in
                        list(sent_at.items())[:20]],
               latency_ms=percentiles(latencies), **gaps.report())


if __name__ == "__main__":
    main()
