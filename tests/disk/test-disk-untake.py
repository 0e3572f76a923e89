#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-untake.py - RULES A6: kill -9 of a takeover's undo, as TAP

COLO's copy had taken over, and half of what it wrote is in the image, when the
takeover is taken back. Killed at any step of that, the image is what took
over, with all the copy wrote, or says that it has to be synchronised; never a
mixture that claims to be whole.

usage: test-disk-untake.py [STRIDE]     (every STRIDEth step; 1 by default)
"""
import os
import signal
import socket
import struct
import sys
import time

import rig
from colo import (CALLS, HALF, Colo, Killer, Stopper, can_trace, died, merged,
                  stamp)
from rig import ok, same, skip

CONSISTENT, MERGING = 1, 2  # flags of an identity
PIECE = 4 << 20  # what is merged at a time


def half_merged(pair):
    """Taken over, stopped within the merge, and not heard of."""
    size = 4 * PIECE
    pair.at = pair.at.ljust(size, b"\0")
    pair.svm.data.extend(bytes(size - len(pair.svm.data)))
    for at in range(0, 3 * PIECE, PIECE):
        buf = pair.rng.randbytes(70000)
        pair.b_client.pwrite(buf, at)
        pair.svm.data[at:at + len(buf)] = buf
    pair.prim.ask(rig.WAIT_DURABLE, pair.epoch - 1, 60000)
    pair.prim.ask(rig.STOP)
    pair.b_client.shutdown()
    pair.b.clients.clear()
    until(lambda: not pair.b.status()["connections"])
    stopper = Stopper(pair.b, "pwrite64", 2, pair.b.image)
    take = unheard(pair.b, rig.TAKEOVER, 2)
    until(stopper.stopped)
    stopper.stop()
    until(lambda: state_of(pair.b) == "T")
    same((stamp(pair.b)[0], stamp(pair.b)[1] & MERGING), (1, MERGING),
         "stopped in the middle of a merge")
    ok(pair.b.content() not in (pair.at, bytes(pair.svm.data)),
       "the image is a mixture")
    return take


def unheard(node, op, a=0):
    """A question, and no answer yet."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(node.ctl_path)
    sock.settimeout(120)
    sock.sendall(struct.pack(">IHHQQQ", 0x584c4343, op, 0, a, 0, 0))
    return sock


def state_of(node):
    with open(f"/proc/{node.proc.pid}/stat", encoding="ascii",
              errors="replace") as file:
        return file.read().rsplit(") ", 1)[1][0]


def until(true):
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("it does not come to that")
        time.sleep(0.005)


def one_untake(call, step):
    """A takeover is taken back when half of its overlay is in the image."""
    with Colo(4 * PIECE).begin() as pair:
        with half_merged(pair):
            killer = Killer(pair.b, call, step)
            with unheard(pair.b, rig.UNTAKE) as back:
                os.kill(pair.b.proc.pid, signal.SIGCONT)
                try:
                    status = rig.ANSWER.unpack(
                        rig.read(back, rig.ANSWER.size))[1]
                except OSError:
                    if not died(pair.b):
                        raise
                    status = None
        # It may have been killed behind the answer.
        killed = pair.b.proc.poll() is not None
        killer.stop()
        if not killed:
            same(status, 0, f"{call}, {step - 1} times: taken back")
        pair.b.kill()
        role, flags = stamp(pair.b)
        if role == 1 and status is None:
            pair.b.start(role="primary", force=0, newest=1)
            same(bytes(pair.b.client().pread(4 * PIECE, 0)) ==
                 bytes(pair.svm.data), True,
                 f"A6: not taken back, {call} {step}: what took over")
            merged(pair.b)
            return killed
        same((role, flags & CONSISTENT), (2, 0), f"A6: {call} {step}: the "
             "image says that it is half a copy")
        pair.b.start()
        same(pair.b.status()["mode"], HALF, "also after a start")
        ok(rig.refused(pair.b.ask, rig.TAKEOVER, 2),
           "from which nobody takes over")
        pair.b.kill()
        pair.b.start()
        pair.epoch += 10
        pair.protect()
        pair.durable()
        same(pair.b.content() == pair.at, True, "and the next sync heals it")
        return killed


def main():
    rig.need()
    why = can_trace()
    if why:
        skip(why)
        rig.done()
    stride, kills = int(sys.argv[1]) if len(sys.argv) > 1 else 1, 0
    for call in CALLS:
        step = 1
        while one_untake(call, step):
            step += stride
            kills += 1
    ok(kills >= 4, f"killed {kills} times")
    rig.done()


main()
