#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-kill.py - kill -9 of either end at random moments, as TAP

A guest writes numbered blocks all the time, while a session marks and accepts
epochs; then one end is killed at a random moment. The secondary killed: after
a start its image is exactly one of the accepted epochs, the newest or one
after the newest that was durable. The primary killed: the secondary takes
over at exactly the newest accepted epoch. Then the killed one comes back, the
pair is synchronised, and both images are equal.

usage: test-disk-kill.py [ROUNDS]       (SEED=N repeats a run)
"""
import sys
import threading
import time

import rig
from rig import Pair, ok, same

SIZE = 4 << 20
BLOCK = 4096


class Guest(threading.Thread):
    """Writes until the disk goes away."""

    def __init__(self, node, rng, data):
        super().__init__(daemon=True)
        self.handle = node.client()
        self.rng = rng
        self.data = data
        self.lock = threading.Lock()  # held over a write: suspended
        self.stopped = False
        self.error = None

    def run(self):
        n = 0
        try:
            while not self.stopped:
                with self.lock:
                    n += 1
                    count = self.rng.choice((1, 1, 1, 16, 64))
                    at = self.rng.randrange(SIZE // BLOCK - count + 1) * BLOCK
                    buf = self.rng.randbytes(16) * (count * BLOCK // 16)
                    self.handle.pwrite(buf, at)
                    self.data[at:at + len(buf)] = buf
        except rig.nbd.Error as error:
            self.error = error

    def stop(self):
        self.stopped = True
        self.join(30)


class Round:
    def __init__(self, rng, number):
        self.rng, self.number = rng, number
        self.accepted = {}  # epoch: content

    def drive(self, pair, guest, victim, moment):
        """A session's loop. Returns when the victim is dead."""
        killer = threading.Timer(moment, victim.kill)
        killer.start()
        try:
            while True:
                with guest.lock:  # suspended: nothing is in flight
                    epoch = pair.epoch
                    pair.prim.ask(rig.MARK, epoch)
                    pair.epoch += 1
                    content = bytes(guest.data)
                pair.sec.ask(rig.WAIT, epoch, 20000)
                # From here on it may count, whether we hear of it or not.
                self.accepted[epoch] = content
                pair.sec.ask(rig.ACCEPT, epoch)
        except (rig.Refused, OSError):
            pass
        killer.join()

    def which(self, content):
        return [e for e, was in self.accepted.items() if was == content]


def settle(pair):
    """Both ends run, and are even."""
    pair.epoch += 1000  # never an old number
    pair.protect()
    pair.durable()
    end = time.monotonic() + 30
    while (pair.a.content() != pair.b.content() and
           time.monotonic() < end):
        time.sleep(0.01)
    return pair.a.content() == pair.b.content()


def kill_secondary(pair, rng, number):
    guest = Guest(pair.prim, rng, bytearray(pair.prim.content()))
    rnd = Round(rng, number)
    rnd.accepted[pair.epoch - 1] = bytes(guest.data)
    guest.start()
    victim = pair.sec
    rnd.drive(pair, guest, victim, rng.uniform(0.02, 0.5))
    guest.stop()
    same(guest.error, None, f"{number}: the guest goes on")
    durable = pair.prim.status()["durable"]
    victim.start()
    found = rnd.which(victim.content())
    ok(found and max(found) >= durable,
       f"{number}: the killed copy is at one whole epoch ({found[-1:]}), not "
       f"before the durable one ({durable})")
    same(pair.prim.content() == bytes(guest.data), True,
         f"{number}: the primary has each write")
    ok(settle(pair), f"{number}: and the pair is even again")


def kill_primary(pair, rng, number):
    guest = Guest(pair.prim, rng, bytearray(pair.prim.content()))
    rnd = Round(rng, number)
    rnd.accepted[pair.epoch - 1] = bytes(guest.data)
    guest.start()
    victim = pair.prim
    rnd.drive(pair, guest, victim, rng.uniform(0.02, 0.5))
    guest.stop()
    newest = pair.sec.status()["accepted"]
    generation = pair.sec.status()["generation"] + 1
    if rng.randrange(2):
        # And the other loses its process before it takes over.
        pair.sec.kill()
        pair.sec.start()
        known = pair.sec.status()["accepted"]
    else:
        known = newest
    pair.failover(generation)
    found = rnd.which(pair.prim.content())
    ok(known in found, f"{number}: the survivor is at exactly the accepted "
       f"epoch ({known} of {newest}, found {found[-1:]})")
    h = pair.prim.client()
    h.pwrite(rng.randbytes(BLOCK), rng.randrange(SIZE // BLOCK) * BLOCK)
    h.flush()
    pair.sec.start(role="secondary")
    ok(settle(pair), f"{number}: and the killed one follows it")
    # Roles belong to the parameters of the next start.
    pair.prim.params["role"] = "primary"


def main():
    rig.need()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    rng = rig.seed()
    with Pair(SIZE, tidy_ms=50, journal="4M").start() as pair:
        pair.protect()
        pair.durable()
        for number in range(rounds):
            part = kill_primary if number % 2 else kill_secondary
            part(pair, rng, number)
    rig.done()


main()
