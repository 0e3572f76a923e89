#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-inflight.py - Requests around a checkpoint, as TAP

What was answered before the mark is in the epoch, what is asked for after it
is not. What is under way may be either, and sending it again, as blkfront does
after a restore, gives the guest's disk (session/primary-disks.c)."""

import rig
from rig import Pair, ok, same

SIZE = 8 << 20
BLOCK = 4096
BLOCKS = SIZE // BLOCK
ROUNDS = 12


def request(handle, rng, version, blocks):
    """Ask for the writes without waiting for them."""
    flights = []
    for block in rng.sample(range(BLOCKS), blocks):
        data = rig.nbd.Buffer.from_bytearray(
            bytearray([version]) * BLOCK)
        flights.append((block, handle.aio_pwrite(data, block * BLOCK)))
    return flights


def answered(handle, cookie):
    try:
        return handle.aio_command_completed(cookie)
    except rig.nbd.Error as err:
        raise AssertionError(f"a write failed: {err}") from None


def wait_for(handle, flights):
    for _, cookie in flights:
        while not answered(handle, cookie):
            handle.poll(1000)


def around_a_mark(rng, undecided):
    with Pair(SIZE).start() as pair:
        h = pair.a.client()
        pair.protect()
        wait_for(h, request(h, rng, 1, BLOCKS // 4))
        first = {b: 1 for b in range(BLOCKS)
                 if pair.a.content()[b * BLOCK] == 1}
        flights = request(h, rng, 2, BLOCKS // 4)
        done, few = set(), rng.randrange(len(flights))
        while len(done) < few:
            h.poll(1000)
            done |= {b for b, cookie in flights
                     if b not in done and answered(h, cookie)}
        open_ = {b for b, _ in flights} - done
        pair.prim.ask(rig.MARK, pair.epoch)
        late = request(h, rng, 3, BLOCKS // 4)
        wait_for(h, [f for f in flights if f[0] in open_] + late)
        h.flush()
        pair.sec.ask(rig.WAIT, pair.epoch, 60000)
        pair.sec.ask(rig.ACCEPT, pair.epoch)
        pair.a.kill()
        pair.failover(pair.b.status()["generation"] + 1)
        disk = pair.b.content()
        wrong = []
        for block in range(BLOCKS):
            got = disk[block * BLOCK]
            want = {first.get(block, 0)}
            if block in done:
                want = {2}
            elif block in open_:
                want.add(2)
                undecided[got == 2] += 1
            if got not in want:
                wrong.append((block, got, want))
        ok(not wrong, f"{len(done)} before the mark, {len(open_)} under way, "
           f"{len(late)} after it: {wrong[:3]}")
        # The guest that was restored sends again what has no answer.
        h = pair.b.client()
        for block in open_:
            h.pwrite(bytes([2]) * BLOCK, block * BLOCK)
        h.flush()
        disk = pair.b.content()
        same({b for b in range(BLOCKS) if disk[b * BLOCK] == 2
              and b in done | open_}, done | open_,
             "sent again, all of them are there")
        ok(not any(disk[b * BLOCK] == 3 for b in range(BLOCKS)),
           "and nothing from after the mark")


def main():
    rig.need()
    rng = rig.seed()
    undecided = {True: 0, False: 0}
    for _ in range(ROUNDS):
        around_a_mark(rng, undecided)
    print(f"# under way at the mark: {undecided[True]} in the epoch, "
          f"{undecided[False]} not")
    ok(sum(undecided.values()), "some were under way")
    rig.done()


main()
