#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-hello.py - Who may overwrite whom, and what is copied, as TAP

The judgement of docs/specs/disk-protocol.md, section 1, row by row: one end is
the plugin, the other is spoken here, from the specification. What force allows
and what it does not; a copy that is forced to be the primary."""
import os
import shutil
import socket
import struct
import threading
import time
import uuid

import rig
from rig import Node, Pair, ok, same

SIZE = 4 << 20
GUEST = uuid.UUID(rig.UUID).bytes
OTHER = bytes(range(16))
HDR = struct.Struct(">IHHIIQQ")
HELLO = struct.Struct(">HHI16sQQQQ")
(T_HELLO, T_SYNC, T_WRITE, T_ZERO, T_MARK, T_SYNC_END,
 T_SUM) = range(1, 8)
T_MARKS, T_MARKS_END, T_STATE, T_SUMMED, T_ERROR = 32, 33, 34, 35, 48
NOTHING, PRIMARY, SECONDARY = range(3)


def message(kind, body=b"", epoch=0, off=0):
    return HDR.pack(0x584c4344, kind, 0, len(body), 0, epoch, off) + body


def hello(role, generation=0, epoch=0, version=2, guest=GUEST, size=SIZE,
          flags=None):
    if flags is None:
        flags = 1 if role else 0
    return message(T_HELLO, HELLO.pack(version, role, flags, guest,
                                       generation, epoch, size, 0))


def take(sock):
    """(type, offset, body); None at the end."""
    try:
        head = rig.read(sock, HDR.size)
        _, kind, _, length, _, _, off = HDR.unpack(head)
        return kind, off, rig.read(sock, length)
    except OSError: # it hung up, or the test did
        return None


def asked(node, first):
    """What a secondary answers to a primary's HELLO."""
    one, two = socket.socketpair()
    with one, two:
        one.settimeout(30)
        one.sendall(first)
        node.ask(rig.FOLLOW, fd=two.fileno())
        two.close()
        kind, _, body = take(one)
        if kind == T_ERROR:
            return body[8:].decode()
        same(kind, T_HELLO, "the answer is a HELLO")
        return HELLO.unpack(body)


def judges_secondary():
    """S: same guest, same size, a consistent primary's, not older."""
    with Pair(SIZE).start() as pair:
        pair.protect()
        pair.durable()
        pair.b.stop()
        pair.b.start(force=None)
        epoch = pair.b.status()["durable"]
        for what, first, text in (
                ("another guest", hello(PRIMARY, 1, 99, guest=OTHER),
                 "of another guest"),
                ("another size", hello(PRIMARY, 1, 99, size=SIZE + 512),
                 "octets, the primary's image"),
                ("a copy", hello(SECONDARY, 1, 99), "is no primary"),
                ("nothing", hello(NOTHING), "is no primary"),
                ("half a sync", hello(PRIMARY, 1, 99, flags=0),
                 "is no primary"),
                ("no version", hello(PRIMARY, 1, 99, version=0),
                 "makes no sense")):
            said = asked(pair.b, first)
            ok(isinstance(said, str) and text in said, f"S, {what}: {said}")
        for version in 1, 2, 3:
            said = asked(pair.b, hello(PRIMARY, 1, 99, version=version))
            same(said[:3] + said[4:7], (2, SECONDARY, 1, 1, epoch, SIZE),
                 f"S, its primary of version {version}: what it has")
        pair.b.ask(rig.DISCARD)
        pair.b.ask(rig.TAKEOVER, 5)
        pair.b.stop()
        pair.b.start(role="secondary")
        for generation in 1, 4, 5:
            said = asked(pair.b, hello(PRIMARY, generation, 999))
            ok("is newer (generation 5)" in said,
               f"S, A7: an older or equal primary, {generation}: {said}")
        said = asked(pair.b, hello(PRIMARY, 6, 1))
        same(said[1:3] + said[4:5], (PRIMARY, 1, 5),
             "S, a newer primary: says that it was one")


def force():
    """What is overwritten, and what is not."""
    with Pair(SIZE) as pair:
        known = os.path.join(pair.b.dir, "g-xvda.identity")
        pair.b.start(force=None)
        said = asked(pair.b, hello(PRIMARY, 1, 9))
        ok("nothing is known" in said and "--force-sync" in said,
           f"not without force: {said}")
        same(os.path.exists(known), False, "and nothing was written")
        pair.b.stop()
        pair.b.start(force=1)
        said = asked(pair.b, hello(PRIMARY, 1, 9))
        same(said[1], NOTHING, "with force it says that it knows nothing")
        same(os.path.exists(known), False, "and still nothing was written")
        pair.b.stop()
        pair.a.start()
        pair.b.start()
        pair.protect()
        pair.durable()
        pair.b.stop()
        # Of another guest; of another size.
        other = str(uuid.UUID(bytes=OTHER))
        no = rig.refused(pair.b.start, uuid=other, force=None)
        ok(no and "another guest" in no[1] and "--force-sync" in no[1],
           "another guest's image: not without force")
        pair.b.start(force=1)
        said = asked(pair.b, hello(PRIMARY, 1, 9, guest=OTHER))
        same((said[1], said[3]), (NOTHING, OTHER), "but with it")
        pair.b.stop()
        os.truncate(pair.b.image, 2 * SIZE)
        no = rig.refused(pair.b.start, uuid=rig.UUID, force=None)
        ok(no and "resized" in no[1], "a resized image: not without force")
        pair.b.start(force=1)
        said = asked(pair.b, hello(PRIMARY, 1, 9, size=2 * SIZE))
        same(said[1], NOTHING, "but with it")
        pair.b.stop()
        os.truncate(pair.b.image, SIZE)
        # A newer image is never overwritten, force or not (RULES A7).
        pair.b.start()
        pair.b.ask(rig.TAKEOVER, 7)
        pair.b.stop()
        pair.b.start(role="secondary", force=1)
        said = asked(pair.b, hello(PRIMARY, 6, 9))
        ok("is newer (generation 7)" in said, "A7: newer, even with force")
    with Pair(SIZE) as pair:
        # All the way over another guest's image.
        pair.start()
        pair.protect()
        pair.b.stop()
        pair.a.kill()
        shutil.rmtree(pair.a.dir)
        other = str(uuid.UUID(bytes=OTHER))
        pair.a = pair.prim = Node(pair.folder, "a", SIZE, role="primary")
        pair.a.start(uuid=other).client().pwrite(b"other", 0)
        pair.b.start(uuid=other)
        pair.epoch += 1
        pair.protect()
        pair.durable()
        same((pair.a.content() == pair.b.content(), pair.b.content()[:5]),
             (True, b"other"), "forced: the other guest's disk is gone")
        pair.b.stop()
        pair.b.start(force=None)
        same(pair.b.status()["generation"], 1, "and it is known from then on")


class FakeSecondary(threading.Thread):
    """Answers with a HELLO; notes what it is sent up to SYNC_END."""

    def __init__(self, first, marks=(), everything=0, differs=0):
        super().__init__(daemon=True)
        self.near, self.far = socket.socketpair()
        self.far.settimeout(30)
        self.first, self.marks = first, marks
        self.everything, self.differs = everything, differs
        self.data, self.sums, self.error = set(), set(), None
        self.start()

    def run(self):
        kind, _, _ = take(self.far)
        assert kind == T_HELLO
        said = self.first
        if self.marks:
            said += message(T_MARKS, b"".join(struct.pack(">QQ", *mark)
                                              for mark in self.marks))
        self.far.sendall(said + message(T_MARKS_END,
                                        struct.pack(">II", self.everything, 0)))
        while got := take(self.far):
            kind, off, body = got
            if kind == T_ERROR:
                self.error = body[8:].decode()
            elif kind == T_WRITE:
                self.note(self.data, off, len(body))
            elif kind == T_ZERO:
                self.note(self.data, off, *struct.unpack(">Q", body))
            elif kind == T_SUM:
                count, = struct.unpack_from(">Q", body)
                self.note(self.sums, off, count)
                self.far.sendall(message(
                    T_SUMMED, struct.pack(">QII", count, self.differs, 0),
                    off=off))
            elif kind == T_SYNC_END:
                return

    @staticmethod
    def note(where, off, count):
        where.update(range(off >> 16, (off + count + 0xffff) >> 16))


def copies(node, epoch, fake):
    """(grains that came as data, as checksums), or the refusal."""
    with fake.near, fake.far:
        no = rig.refused(node.ask, rig.PROTECT, epoch, fd=fake.near.fileno())
        fake.near.close()
        if no:
            return no[1]
        node.ask(rig.WAIT_SYNCED, b=30000)
        node.ask(rig.CLAIM, rig.PAIRED)
        node.ask(rig.MARK, epoch)
        fake.join(30)
        node.ask(rig.STOP)
        return fake.data, fake.sums


ALL = set(range(SIZE >> 16))


def judges_primary():
    """P: what is copied to whom."""
    with Pair(SIZE).start() as pair:
        h = pair.a.client()
        pair.protect()
        pair.checkpoint()
        pair.durable()
        pair.tidy(1)
        known = pair.a.status()["durable"]
        pair.a.ask(rig.STOP)
        h.pwrite(b"x", 3 << 16)
        epoch = 100
        for what, first, want in (
                ("our copy", hello(SECONDARY, 1, known), ({3}, set())),
                ("our copy, ahead", hello(SECONDARY, 1, known + 9),
                 ({3}, set())),
                ("our copy, behind what was durable",
                 hello(SECONDARY, 1, known - 1), (set(), ALL)),
                ("unknown", hello(NOTHING), (set(), ALL)),
                ("an older peer", hello(NOTHING, version=1), (ALL, set())),
                ("another guest", hello(SECONDARY, 1, known, guest=OTHER),
                 "another guest"),
                ("another size", hello(SECONDARY, 1, known, size=512),
                 "octets"),
                ("a primary of our generation", hello(PRIMARY, 1, 0),
                 "as new as this one or newer"),
                ("a copy of a newer one", hello(SECONDARY, 2, 0),
                 "as new as this one or newer")):
            epoch += 10
            got = copies(pair.a, epoch, FakeSecondary(first))
            good = want in got if isinstance(want, str) else got == want
            ok(good, f"P, {what}: {got if isinstance(got, str) else 'copied'}")
            if not good:
                print(f"# got {got!r:.300}")
            h.pwrite(b"x", 3 << 16)
        got = copies(pair.a, 900, FakeSecondary(hello(NOTHING), differs=1))
        same(got, (ALL, ALL), "P: what differs is sent")


def judges_after_takeover():
    """P that took over: the old primary's marks and its own, together."""
    with Pair(SIZE, tidy_ms=20).start() as pair:
        pair.protect()
        pair.checkpoint()
        pair.durable()
        epoch = pair.b.status()["durable"]
        pair.a.kill()
        pair.b.ask(rig.TAKEOVER, 2)
        h = pair.b.client()
        h.pwrite(b"x", 3 << 16)
        marks = (8 << 16, 2 << 16),
        old = hello(PRIMARY, 1, epoch)
        got = copies(pair.b, epoch + 10,
                     FakeSecondary(old, marks, differs=1))
        same(got, ({3, 8, 9}, {3, 8, 9}),
             "P, A6: the old primary: both bitmaps")
        got = copies(pair.b, epoch + 20,
                     FakeSecondary(old, marks, everything=1))
        same(got[1], ALL, "P, A6: the old primary without a bitmap: all")
        got = copies(pair.b, epoch + 30,
                     FakeSecondary(hello(PRIMARY, 1, epoch + 1)))
        same(got[1], ALL, "P: a primary that went on with another: all")
        got = copies(pair.b, epoch + 40, FakeSecondary(
            hello(SECONDARY, 1, epoch)))
        same(got[1], ALL, "P: a copy of the old history: all")


def lies():
    """A peer that answers what nobody asked ends its stream, no more."""
    with Pair(SIZE) as pair:
        pair.a.start()
        for n, answer in enumerate((
                message(T_SUMMED, struct.pack(">QII", 512, 0, 0)) * 40,
                message(T_STATE, struct.pack(">QQQ", 999, 9, 9)),
                message(T_MARKS_END, bytes(8)))):
            fake = FakeSecondary(hello(NOTHING, version=1))
            pair.a.ask(rig.PROTECT, 10 * n + 10, fd=fake.near.fileno())
            fake.near.close()
            fake.far.sendall(answer)
            while pair.a.status()["state"]:
                time.sleep(0.01)
            why = pair.a.status()["why"]
            ok(why, f"a lie: {why}")
            fake.far.close()
        one, two = socket.socketpair()
        with one, two:
            one.settimeout(30)
            pair.b.start()
            one.sendall(hello(PRIMARY, 1, 1) +
                        message(T_SYNC, struct.pack(">QQ", 1, 0)) +
                        message(T_SUM, struct.pack(">QQ16s", SIZE, 0, b""),
                                5, 512))
            pair.b.ask(rig.FOLLOW, fd=two.fileno())
            two.close()
            got = None
            while got is None or got[0] != T_ERROR:
                got = take(one)
            ok(b"outside" in got[2], f"a sum beyond the disk: {got[2][8:]}")


def forced_copy():
    """Both lost power, and only the copy's host came back: force (RULES B3).
    Its journal has what its image may lack."""
    with Pair(SIZE).start() as pair:
        h = pair.a.client()
        pair.protect()
        pair.durable()
        pair.b.ask(rig.WAIT_DURABLE, pair.epoch - 1, 60000)
        before = pair.b.content()
        h.pwrite(b"durable", 5 << 16)
        pair.checkpoint()
        pair.durable()
        h.pwrite(b"lost", 6 << 16)
        pair.checkpoint(accept=False)
        pair.a.kill()
        pair.b.kill()
        # A power cut: what was not synced is not in the image.
        with open(pair.b.image, "wb") as file:
            file.write(before)
        no = rig.refused(pair.b.start, role="primary", force=None)
        ok(no and "is a copy" in no[1], "A7: not without force")
        pair.b.start(force=1)
        st = pair.b.status()
        same((st["role"], st["generation"]), (1, 2), "with force, as new")
        h = pair.b.client()
        same((bytes(h.pread(7, 5 << 16)), bytes(h.pread(4, 6 << 16))),
             (b"durable", bytes(4)),
             "the newest durable epoch, from the journal, no more")
        h.pwrite(b"new", 0)
        pair.a.start(role="secondary", force=None)
        pair.prim, pair.sec = pair.b, pair.a
        pair.epoch += 10
        pair.protect()
        pair.durable()
        same(pair.a.content(), pair.b.content(), "and the other follows it")
        pair.b.kill()
        pair.b.start(force=None)
        same(bytes(pair.b.client().pread(3, 0)), b"new",
             "later without force")


def main():
    rig.need()
    for part in (judges_secondary, force, judges_primary,
                 judges_after_takeover, lies, forced_copy):
        part()
    rig.done()


main()
