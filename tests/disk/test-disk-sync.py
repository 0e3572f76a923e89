#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-sync.py - What a sync copies, and what ends one, as TAP

A stream that breaks and comes back without a new start of either end; a sync
that compares first; what is sparse; a bitmap, an image, a spill file that
can't be written; sizes, block devices."""
import os
import shutil
import socket
import subprocess
import threading
import time

import rig
from rig import Node, Pair, ok, same, skip

SIZE = 16 << 20
PIECE = 256 << 10
ALONE = "the guest goes on"


def until(what, good, timeout=30):
    """Wait for a change that nobody announces."""
    end = time.monotonic() + timeout
    while not good():
        if time.monotonic() > end:
            return ok(False, f"{what}: it does not come")
        time.sleep(0.005)
    return True


def alone(node):
    until("alone", lambda: node.status()["state"] == rig.SOLO)
    return node.status()


class Cable:
    """Between the two ends; can be cut, and counts what the primary says."""

    def __init__(self, sock):
        self.near = socket.fromfd(sock.fileno(), sock.family, sock.type)
        self.end, self.far = socket.socketpair()
        self.octets = 0
        for one, two, count in ((self.near, self.end, True),
                                (self.end, self.near, False)):
            threading.Thread(target=self.carry, args=(one, two, count),
                             daemon=True).start()

    def fileno(self):
        return self.far.fileno()

    def carry(self, one, two, count):
        try:
            while data := one.recv(1 << 16):
                two.sendall(data)
                self.octets += count * len(data)
        except OSError:
            pass
        self.cut()

    def cut(self):
        for sock in self.near, self.end:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Wired:
    """Makes cables for Pair.join()."""

    def __init__(self):
        self.last = None

    def __call__(self, sock):
        self.last = Cable(sock)
        return self.last


def broken_stream():
    """Both plugins stay; only the bitmap is copied (RULES A6)."""
    with Pair(SIZE).start() as pair:
        wire, pids = Wired(), (pair.a.proc.pid, pair.b.proc.pid)
        h = pair.a.client()
        h.pwrite(b"a" * SIZE, 0)
        pair.protect(wire)
        wire.last.far.close()
        pair.durable()
        for n in range(5):
            wire.last.cut()
            st = alone(pair.a)
            ok(st["losses"] == n + 1 and st["why"],
               f"a cut is seen: {st['why']}")
            until("the copy sees it",
                  lambda: pair.b.status()["state"] == rig.IDLE)
            h.pwrite(b"%d" % n * 5000, n << 20)
            pair.epoch += 1
            pair.protect(wire)
            wire.last.far.close()
            pair.durable()
            st = pair.a.status()
            same((st["copied"], st["compared"]), (64 << 10, 0),
                 "A6: only what the bitmap names is copied")
            same(pair.a.content() == pair.b.content(), True, "and all is there")
        same((pair.a.proc.pid, pair.b.proc.pid), pids, "nobody was restarted")
        # In the midst of a sync: what came is not sent again.
        pair.b.kill()
        alone(pair.a)
        shutil.rmtree(pair.b.dir)
        pair.b = pair.sec = Node(pair.folder, "b", SIZE, role="secondary",
                                 force=1).start()
        pair.a.ask(rig.RATE, 4 << 20)
        pair.epoch += 1
        pair.join(wire)
        wire.last.far.close()
        until("some of it", lambda: pair.a.status()["copied"] > 2 << 20)
        wire.last.cut()
        alone(pair.a)
        before = pair.a.status()["copied"]
        pair.a.ask(rig.RATE, 0)
        pair.epoch += 1
        pair.protect()
        st = pair.a.status()
        ok(st["compared"] >= 1 << 20 and
           st["copied"] + st["compared"] == SIZE,
           f"a sync that broke goes on by comparing ({before} octets were "
           f"sent, {st['compared']} of them found again)")
        same(pair.a.content() == pair.b.content(), True, "and all is there")


def used(path):
    return os.stat(path).st_blocks * 512


def compares():
    """Nothing is known: checksums first, then what differs."""
    with Pair(SIZE) as pair:
        rng = rig.seed()
        data = bytearray(rng.randbytes(SIZE))
        data[4 << 20:12 << 20] = bytes(8 << 20)
        with open(pair.a.image, "wb") as file:
            file.write(data)
        other = bytearray(data)
        places = [0, PIECE * 3 - 1, SIZE - 1]
        for at in places:
            other[at] ^= 1
        with open(pair.b.image, "wb") as file:
            file.write(other)
        pair.start()
        wire = Wired()
        h = pair.a.client()
        pair.protect(wire)
        wire.last.far.close()
        pair.durable()
        st = pair.a.status()
        same((st["copied"], st["compared"]),
             (len(places) * PIECE, SIZE - len(places) * PIECE),
             "three octets differ: three pieces are copied")
        same(pair.b.content(), bytes(data), "and the copy is the same")
        ok(len(places) * PIECE < wire.last.octets < 4 * len(places) * PIECE,
           f"the rest did not go over the wire ({wire.last.octets} octets)")
        # Writes beside a comparison: each octet is the newest.
        pair.a.kill()
        os.unlink(os.path.join(pair.a.dir, "g-xvda.bitmap"))
        pair.b.ask(rig.DISCARD)
        pair.a.start(rate="16M")
        h = pair.a.client()
        model = rig.Model(SIZE, rng)
        model.data = data
        pair.epoch += 1
        pair.join()
        while pair.a.status()["state"] == rig.SYNCING:
            model.write(h)
        pair.checkpoint()
        pair.durable()
        same(pair.b.content(), bytes(model.data),
             "a guest that writes while it is compared")


def sparse():
    """Zeroes go as zeroes: a copy takes no more room than it must."""
    with Pair(SIZE * 4) as pair:
        with open(pair.a.image, "r+b") as file:
            file.seek(SIZE)
            file.write(b"x" * PIECE)
        with open(pair.b.image, "r+b") as file:
            file.seek(2 * SIZE)
            file.write(b"old" * (4 * PIECE))
        pair.start()
        pair.protect()
        pair.durable()
        same(pair.a.content() == pair.b.content(), True, "the copy is right")
        ok(used(pair.b.image) <= 2 * PIECE + 65536,
           f"and sparse: {used(pair.b.image)} octets of {4 * SIZE}")


def bitmap_lost():
    """Its file can't be written: it goes, the guest goes on, status says it."""
    if not os.path.exists("/usr/bin/prlimit"):
        skip("prlimit is not installed")
        return
    with Pair(SIZE) as pair:
        pair.a.wrap = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh"]
        pair.start()
        h = pair.a.client()
        pair.protect()
        pair.durable()
        same(pair.a.status()["forgotten"], 0, "the bitmap is kept")
        pair.tidy(SIZE)
        limit(pair.a, 64)
        same(rig.errno_of(h.pwrite, b"y" * 512, 0), "ENOSPC",
             "an image that can't be written is the guest's error")
        st = pair.a.status()
        ok(st["forgotten"] == 1 and not os.path.exists(
            os.path.join(pair.a.dir, "g-xvda.bitmap")),
           "a bitmap that can't be written is given up, and said so")
        limit(pair.a, "unlimited")
        h.pwrite(b"z" * 512, 4 << 20)
        same(bytes(h.pread(3, 4 << 20)), b"zzz", ALONE)
        pair.a.kill()
        pair.b.ask(rig.DISCARD)
        pair.a.start()
        pair.epoch += 1
        pair.protect()
        st = pair.a.status()
        ok(st["compared"] + st["copied"] == SIZE and st["copied"] <= 2 * PIECE,
           "after a crash everything is compared")
        same((pair.a.content() == pair.b.content(), st["forgotten"]),
             (True, 0), "and is known again")


def limit(node, octets):
    subprocess.run(["prlimit", "--pid", str(node.proc.pid),
                    f"--fsize={octets}:"], check=True)


def full_peer():
    """ENOSPC, EIO at the peer: the primary hears which, and goes on."""
    if not os.path.exists("/usr/bin/prlimit"):
        skip("prlimit is not installed")
        return
    with Pair(SIZE, memory="2M") as pair:
        pair.b.wrap = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh"]
        pair.start()
        h = pair.a.client()
        h.pwrite(b"q" * PIECE, SIZE - PIECE)
        limit(pair.b, SIZE // 2)
        pair.join()
        st = alone(pair.a)
        ok(st["why"].startswith("the peer: ") and pair.b.image in st["why"] and
           "File too large" in st["why"], "the peer's image: " + st["why"])
        h.pwrite(b"r", 0)
        same(bytes(h.pread(1, 0)), b"r", ALONE)
        limit(pair.b, "unlimited")
        pair.epoch += 1
        pair.protect()
        pair.durable()
        before = pair.b.content()
        limit(pair.b, 4 << 20)
        for n in range(40):
            h.pwrite(bytes([n + 1]) * PIECE, n % 32 * PIECE)
        st = alone(pair.a)
        ok("keeping the open epoch aside" in st["why"] and
           "File too large" in st["why"], "the peer's spill: " + st["why"])
        same(pair.b.content() == before, True, "its image is as it was")
        limit(pair.b, "unlimited")
        pair.epoch += 1
        pair.protect()
        same(pair.a.content() == pair.b.content(), True, "and even again")


def full_folder():
    """A real file system without room, in a name space of our own."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True,
                      check=False).returncode:
        skip("no name space may be made here")
        return
    with Pair(SIZE) as pair:
        room = os.path.join(pair.folder, "room")
        os.mkdir(room)
        # Room for the journal's head, not for an epoch.
        pair.b.wrap = ["unshare", "-rm", "sh", "-c",
                       f"mount -t tmpfs -o size=1m tmpfs {room} && "
                       'exec "$@"', "sh"]
        pair.b.params["state"] = room
        pair.start()
        h = pair.a.client()
        pair.protect()
        pair.durable()
        before = pair.b.content()
        for n in range(16):
            h.pwrite(bytes([n + 1]) * PIECE, n * PIECE)
        pair.checkpoint()
        st = alone(pair.a)
        ok("committing" in st["why"] and "No space left" in st["why"],
           "ENOSPC of the peer's journal: " + st["why"])
        same(pair.b.content() == before, True, "its image is as it was")
        same(bytes(h.pread(1, 0)), b"\1", ALONE)


def odd_size(extra):
    """Sizes that are no multiple of anything."""
    with Pair(SIZE // 4 + extra).start() as pair:
        size = SIZE // 4 + extra
        h = pair.a.client()
        same(h.get_size(), size, f"{size} octets are served")
        model = rig.Model(size, rig.seed())
        pair.protect()
        for _ in range(40):
            model.write(h)
        h.pwrite(b"end", size - 3)
        model.data[-3:] = b"end"
        pair.checkpoint()
        pair.durable()
        pair.b.ask(rig.WAIT_DURABLE, pair.epoch - 1, 60000)
        until("applied", lambda: pair.b.content() == bytes(model.data))
        pair.a.kill()
        pair.failover(2)
        h = pair.b.client()
        same(bytes(h.pread(size, 0)), bytes(model.data),
             f"{size} octets, over a failover")


def block_devices():
    """Loop devices on both hosts: the same through another path."""
    loops = []
    with Pair(SIZE) as pair:
        for node in pair.a, pair.b:
            said = subprocess.run(
                ["losetup", "--find", "--show", node.image],
                capture_output=True, text=True, check=False)
            if said.returncode:
                skip("no loop device: " + said.stderr.strip()[:60])
                break
            loops.append(said.stdout.strip())
            node.image = loops[-1]
        try:
            if len(loops) == 2:
                on_devices(pair)
        finally:
            for node in pair.a, pair.b:
                if node.proc:
                    node.kill()
            for loop in loops:
                subprocess.run(["losetup", "--detach", loop], check=False)


def on_devices(pair):
    pair.start()
    same(pair.b.status()["size"], SIZE, "the size of a block device")
    h = pair.a.client()
    model = rig.Model(SIZE, rig.seed())
    for _ in range(30):
        model.write(h)
    pair.protect()
    for _ in range(30):
        model.write(h)
    pair.checkpoint()
    pair.durable()
    pair.a.kill()
    pair.failover(2)
    h = pair.b.client()
    same(bytes(h.pread(SIZE, 0)), bytes(model.data),
         "a pair of block devices, over a failover")


def main():
    rig.need()
    for part in (broken_stream, compares, sparse, bitmap_lost, full_peer,
                 full_folder, block_devices):
        part()
    for extra in 1, 512, 513, 4095, 65537:
        odd_size(extra)
    rig.done()


main()
