#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-mirror.py - Two nbdkits as primary and secondary, as TAP

Epochs, commit, discard, failover, resync (RULES A6), slow and vanishing peers
(RULES A8), full and broken peers."""
import os
import socket
import threading
import time

import rig
from rig import Model, Pair, ok, same, skip

SIZE = 8 << 20


def epochs():
    """One disk history: whole epochs, and nothing of an open one."""
    with Pair(SIZE).start() as pair:
        h = pair.a.client()
        model = Model(SIZE, rig.seed())
        for _ in range(20):
            model.write(h)
        pair.protect()
        same(pair.a.status()["state"], rig.PROTECTED, "the pair is protected")
        pair.durable()
        same(pair.b.content(), bytes(model.data), "the first sync copied all")
        for _ in range(5):
            before = bytes(model.data)
            for _ in range(20):
                model.write(h)
            h.flush()
            same(pair.b.content(), before,
                 "the copy does not change before the epoch counts")
            pair.checkpoint(accept=False)
            same(pair.b.content(), before, "nor when all of it is there")
            pair.sec.ask(rig.ACCEPT, pair.epoch - 1)
            pair.durable()
            pair.b.ask(rig.WAIT_DURABLE, pair.epoch - 1, 60000)
            end = time.monotonic() + 30
            while (pair.b.content() != bytes(model.data) and
                   time.monotonic() < end):
                time.sleep(0.005)
            same(pair.b.content(), bytes(model.data), "but when it counts")
        st = pair.a.status()
        same((st["lacking"], st["held"]), (0, pair.epoch - 1),
             "nothing is lacking")
        no = rig.refused(pair.a.ask, rig.MARK, pair.epoch + 1)
        ok(no and "not the disk's open one" in no[1], "epochs come in order")
        no = rig.refused(pair.b.ask, rig.ACCEPT, pair.epoch)
        ok(no and "not all here" in no[1],
           "an epoch that is not whole can't be accepted")


def trickle():
    """A few small writes go out without a mark, if later than one at once."""
    with Pair(SIZE).start() as pair:
        h = pair.a.client()
        pair.protect()
        for n in range(4):
            h.pwrite(bytes([n + 1]) * 512, n * 4096)
            end = time.monotonic() + 30
            while (pair.a.status()["queued"] or not
                   pair.b.status()["kept"] > n * 512):
                if time.monotonic() > end:
                    break
            ok(time.monotonic() < end, "a lone write reaches the peer")


def failover():
    """All up to the state that runs, none after it; then back again."""
    with Pair(4 * SIZE, tidy_ms=20).start() as pair:
        rng = rig.seed()
        h = pair.a.client()
        model = Model(SIZE, rng)
        pair.protect()
        pair.checkpoint()
        pair.tidy(SIZE)
        for _ in range(30):
            model.write(h)
        pair.checkpoint()
        kept = bytes(model.data)
        for _ in range(30):
            model.write(h)
        pair.checkpoint(accept=False)
        for _ in range(10):
            model.write(h)
        pair.a.kill()
        pair.failover(2)
        same(pair.b.content()[:SIZE], kept,
             "after a failover: the accepted epoch, and nothing after it")
        h = pair.b.client()
        same(bytes(h.pread(SIZE, 0)), kept, "and so it is served")
        model = Model(SIZE, rng)
        model.data = bytearray(kept)
        for _ in range(20):
            model.write(h)
        # The old primary comes back: its own writes must go (RULES A6).
        pair.a.start(role="secondary", force=None)
        pair.protect()
        same(pair.a.content() == pair.b.content() and
             pair.a.content()[:SIZE] == bytes(model.data), True,
             "A6: the old primary's own writes are gone after the resync")
        copied = pair.b.status()["copied"]
        ok(copied < 4 * SIZE, f"A6: and not all was copied ({copied} octets)")
        for _ in range(20):
            model.write(h)
        pair.checkpoint()
        kept = bytes(model.data)
        pair.b.kill()
        pair.failover(3)
        same(pair.a.content()[:SIZE], kept, "a failover back")
        # A stale image is not served by itself, nor taken as the newest.
        no = rig.refused(pair.b.start)
        ok(no is None, "the other starts as a copy again")
        pair.prim, pair.sec = pair.b, pair.a
        pair.b.kill()
        pair.b.start(role="primary")
        no = rig.refused(pair.join)
        ok(no and "no secondary" in no[1],
           "A7: a running primary is nobody's copy")
        pair.a.kill()
        pair.a.start(role="secondary", force=None)
        no = rig.refused(pair.join)
        ok(no and "is newer (generation 3)" in no[1],
           "A7: a newer image is not overwritten by an older one")


def resync():
    """A6: only what is not durable there is copied, after either's crash."""
    with Pair(64 << 20, tidy_ms=20).start() as pair:
        h = pair.a.client()
        pair.protect()
        pair.durable()
        h.pwrite(b"one" * 1000, 5 << 20)
        pair.b.kill()
        end = time.monotonic() + 30
        while pair.a.status()["state"] and time.monotonic() < end:
            time.sleep(0.01)
        st = pair.a.status()
        same((st["state"], bool(st["why"]), st["losses"]), (0, True, 1),
             "the peer's death is seen, and why")
        h.pwrite(b"two" * 1000, 40 << 20)
        pair.b.start()
        pair.epoch += 1
        pair.protect()
        same(pair.a.content() == pair.b.content(), True,
             "A6: what was written alone is there")
        st = pair.a.status()
        ok(0 < st["copied"] <= 1 << 20,
           f"and little else was copied ({st['copied']} octets)")
        pair.checkpoint()
        pair.tidy(SIZE)
        # Now the primary loses power: intents tell what it may have written.
        h.pwrite(b"six" * 1000, 20 << 20)
        pair.a.kill()
        pair.b.ask(rig.DISCARD)
        pair.a.start()
        h = pair.a.client()
        pair.epoch += 1
        pair.protect()
        same(pair.a.content() == pair.b.content(), True,
             "A6: after the primary's crash the intents are copied")
        st = pair.a.status()
        ok(0 < st["copied"] <= 32 << 20,
           f"not the whole disk ({st['copied']} octets)")
        pair.a.kill()
        os.unlink(os.path.join(pair.a.dir, "g-xvda.bitmap"))
        pair.a.start()
        pair.epoch += 1
        pair.protect()
        st = pair.a.status()
        same((st["compared"], st["copied"]), (64 << 20, 0),
             "A6: without a bitmap everything is compared, and nothing of an "
             "even pair copied")
        # An orderly end leaves nothing to copy.
        pair.durable()
        pair.a.stop()
        pair.a.start()
        pair.epoch += 1
        pair.protect()
        same(pair.a.status()["copied"], 0,
             "after an orderly end of a pair that was even nothing is copied")


class Relay:
    """Between the two: carries octets on until it is told not to."""

    def __init__(self, sock):
        self.near = socket.fromfd(sock.fileno(), sock.family, sock.type)
        self.end, self.far = socket.socketpair()
        self.open = threading.Event()
        self.open.set()
        for one, two in (self.near, self.end), (self.end, self.near):
            threading.Thread(target=self.carry, args=(one, two),
                             daemon=True).start()

    def fileno(self):
        return self.far.fileno()

    def carry(self, one, two):
        try:
            while data := one.recv(1 << 16):
                self.open.wait()
                two.sendall(data)
        except OSError:
            pass
        for sock in one, two:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def slow_peer():
    """A8: backpressure, bounded, and its end."""
    with Pair(SIZE, queue="2M", hold_ms=700).start() as pair:
        relays = []

        def relay(sock):
            relays.append(Relay(sock))
            return relays[-1]

        h = pair.a.client()
        pair.protect(relay)
        relays[-1].far.close()
        pair.durable()
        relays[-1].open.clear()
        slowest, alone = 0, 0
        for n in range(40):
            began = time.monotonic()
            h.pwrite(bytes([n]) * (256 << 10), (n % 16) * (256 << 10))
            slowest = max(slowest, time.monotonic() - began)
            st = pair.a.status()
            alone += st["state"] == rig.SOLO
            if st["queued"] > (2 << 20) + 4096:
                ok(False, f"the queue is bounded: {st['queued']}")
        ok(0.5 < slowest < 20, "A8: the longest write waited for the hold, not "
           f"for the peer ({slowest:.2f} s)")
        ok(alone, "then the disk went on alone")
        st = pair.a.status()
        ok("did not take" in st["why"] and st["waits"] and
           st["lacking"] >= 1 << 20, "and says so")
        no = rig.refused(pair.a.ask, rig.MARK, pair.epoch)
        ok(no and "not mirrored" in no[1],
           "an epoch of a lost mirror can't be marked")
        relays[-1].open.set()
        pair.epoch += 1
        pair.protect()
        same(pair.a.content() == pair.b.content(), True,
             "and is even again after a resync")


def rate():
    """The first sync can be slowed down, beside a guest that writes, and let
    go faster while it runs."""
    with Pair(SIZE).start() as pair:
        pair.a.kill()
        # Two minutes: it is not over before it was looked at.
        pair.a.start(rate="64K")
        h = pair.a.client()
        pair.join()
        h.pwrite(b"guest", 4 << 20)
        same(pair.a.status()["state"], rig.SYNCING,
             "the guest writes meanwhile")
        no = rig.refused(pair.a.ask, rig.MARK, pair.epoch)
        ok(no and "may take over" in no[1],
           "A7: no epoch before the image says that it has a peer")
        pair.a.ask(rig.CLAIM, rig.PAIRED)
        no = rig.refused(pair.a.ask, rig.MARK, pair.epoch)
        ok(no and "first copy goes on" in no[1],
           "no epoch before the end of the sync")
        st = pair.a.status()
        ok(st["state"] == rig.SYNCING and 0 < st["lacking"] <= SIZE,
           f"progress is shown: {st['lacking']} octets lack")
        began = time.monotonic()
        pair.a.ask(rig.RATE, 2 << 20)
        pair.a.ask(rig.WAIT_SYNCED, b=90000)
        took = time.monotonic() - began
        # A piece may have been under way, and another one was due.
        least = (st["lacking"] - (1 << 20)) / (2 << 20)
        ok(least < took < st["lacking"] / (96 << 10),
           f"{st['lacking']} octets at 2 MiB/s took {took:.1f} s")
        pair.checkpoint()
        same(pair.b.content() == pair.a.content(), True, "and all is there")


def broken_peer():
    """The peer can't keep or commit what it gets."""
    with Pair(SIZE, memory="2M", spill="2M").start() as pair:
        pair.a.stop()
        pair.a.start(hold_ms=500, queue="2M")
        h = pair.a.client()
        pair.protect()
        pair.durable()
        for n in range(16):
            h.pwrite(bytes([n + 1]) * (512 << 10), n * (512 << 10))
        h.flush()
        ok("did not take" in pair.a.status()["why"],
           "an epoch larger than the peer's bounds: alone, in time")
        pair.epoch += 1
        pair.protect()
        same(pair.a.content() == pair.b.content(), True, "and even again")
    if not os.path.exists("/usr/bin/prlimit"):
        skip("prlimit is not installed")
        return
    with Pair(SIZE).start() as pair:
        # Files of the peer can't grow: EFBIG at the journal, as with ENOSPC.
        pair.b.stop()
        pair.b.wrap = ["sh", "-c", 'trap "" XFSZ; exec prlimit '
                       f'--fsize={SIZE} "$@"', "sh"]
        pair.b.start()
        h = pair.a.client()
        pair.protect()
        pair.durable()
        before = pair.b.content()
        for n in range(16):
            h.pwrite(bytes([n + 1]) * (512 << 10), n * (512 << 10))
        pair.checkpoint()
        end = time.monotonic() + 30
        while pair.a.status()["state"] and time.monotonic() < end:
            time.sleep(0.01)
        st = pair.a.status()
        ok(st["state"] == rig.SOLO and "committing" in st["why"],
           "a peer that can't commit says so: " + st["why"][:60])
        ok(pair.b.proc.poll() is None and pair.b.content() == before,
           "its image is as it was")
        ok(h.pread(1, 0) == b"\x01", "the guest goes on")


def hostile():
    """Whatever comes on the stream or the control socket ends only itself."""
    with Pair(SIZE).start() as pair:
        rng = rig.seed()
        h = pair.a.client()
        for n in range(10):
            one, two = socket.socketpair()
            with one, two:
                two.sendall(rng.randbytes(rng.choice((1, 32, 88, 4096))))
                if n % 2:
                    two.shutdown(socket.SHUT_WR)
                    no = rig.refused(pair.a.ask, rig.PROTECT, 1,
                                     fd=one.fileno())
                    if no is None:
                        ok(False, "nonsense was taken for a peer")
                else:
                    two.shutdown(socket.SHUT_WR)
                    pair.b.ask(rig.FOLLOW, fd=one.fileno())
        for node in pair.a, pair.b:
            for _ in range(10):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(node.ctl_path)
                    sock.sendall(rng.randbytes(32))
        h.pwrite(b"still", 0)
        ok(pair.a.proc.poll() is None and pair.b.proc.poll() is None,
           "nonsense ends its own connection only")
        pair.epoch = 1
        pair.protect()
        same(pair.a.content() == pair.b.content(), True,
             "and the pair works after it")
    with Pair(SIZE) as pair:
        pair.b = pair.sec = rig.Node(pair.folder, "b", SIZE * 2,
                                     role="secondary", force=1)
        pair.start()
        no = rig.refused(pair.join)
        ok(no and "octets" in no[1], "another size is refused")
        pair.b.stop()
        os.truncate(pair.b.image, SIZE)
        pair.b.start(force=None)
        no = rig.refused(pair.join)
        ok(no and "--force-sync" in no[1],
           "an image of which nothing is known is not overwritten")


def main():
    rig.need()
    for part in (epochs, trickle, failover, resync, slow_peer, rate, broken_peer,
                 hostile):
        part()
    rig.done()


main()
