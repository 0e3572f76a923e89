#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-svm.py - COLO's second copy through the plugin, as TAP

The copy runs from an overlay that each checkpoint drops and a takeover keeps
(RULES B3); kill -9 of the secondary at every step of a checkpoint, a takeover
and a merge. The disk is one of two histories, never a mixture.

usage: test-disk-svm.py [STRIDE]     (every STRIDEth step; 1 by default)
"""
import sys
import threading
import time

import rig
from colo import (CALLS, HALF, SIZE, Colo, Killer, can_trace, died, merged,
                  overlays, stamp)
from rig import Model, Pair, ok, same, skip

MARK = 70000  # where a guest writes during a merge


def epochs():
    """Its own writes over the epoch; dropped by the next one."""
    with Colo().begin() as pair:
        no = rig.refused(pair.sec.ask, rig.UNTAKE)
        ok(no, f"nothing to take back: {no}")
        for n in range(5):
            same(bytes(pair.b_client.pread(SIZE, 0)), pair.at,
                 "a checkpoint: the copy reads the epoch, nothing else")
            pair.both_write()
            if n == 2:
                pair.b_client.flush()
            same(bytes(pair.b_client.pread(SIZE, 0)), bytes(pair.svm.data),
                 "the copy reads what it wrote over that epoch")
            epoch = pair.mark()
            same(bytes(pair.b_client.pread(SIZE, 0)), bytes(pair.svm.data),
                 "a closed epoch is not seen before it counts")
            st = pair.sec.ask(rig.CHECKPOINT, epoch, 60000)
            pair.dropped()
            same((st["svm"], st["accepted"]), (rig.SVM_RUNS, epoch),
                 "the status says so")
        pair.prim.ask(rig.WAIT_DURABLE, pair.epoch - 1, 60000)
        pair.both_write()
        ok(pair.sec.status()["overlay"] > 0, "the overlay's size is shown")
        image = pair.b.content()
        same(image, pair.at, "the image itself is the epoch's")
        busy(pair)
        no = rig.refused(pair.sec.ask, rig.CHECKPOINT, pair.epoch + 5, 1000)
        ok(no and "not all here" in no[1], "an epoch that is not there")
        # No sync below a copy that runs.
        pair.prim.ask(rig.STOP)
        pair.epoch += 10
        pair.join()
        end = time.monotonic() + 30
        while pair.prim.status()["state"] and time.monotonic() < end:
            time.sleep(0.01)
        ok("a copy of the guest runs" in pair.prim.status()["why"],
           "no sync below it: " + pair.prim.status()["why"])
        same(pair.b.content(), image, "and nothing of the image changed")
        pair.sec.ask(rig.SVM_CLOSE)
        same((overlays(pair.b), pair.sec.status()["svm"]), ([], rig.NO_SVM),
             "closed: no overlay is left")
        same(rig.errno_of(pair.b_client.pread, 512, 0), "EPERM",
             "and nobody is served")
        pair.epoch += 10
        pair.protect()
        same(pair.a.content() == pair.b.content(), True, "then a sync may be")


def busy(pair):
    """Refused while a request is in flight."""
    stop = threading.Event()

    def hammer():
        while not stop.is_set():
            pair.b_client.pread(SIZE, 0)

    thread = threading.Thread(target=hammer)
    thread.start()
    end, no = time.monotonic() + 30, None
    while no is None and time.monotonic() < end:
        no = rig.refused(pair.sec.ask, rig.CHECKPOINT, pair.epoch - 1, 60000)
    stop.set()
    thread.join()
    ok(no and "in flight" in no[1], f"a request in flight: {no}")
    pair.sec.ask(rig.CHECKPOINT, pair.epoch - 1, 60000)
    same(bytes(pair.b_client.pread(SIZE, 0)), pair.at,
         "and without one the copy starts again from the epoch")
    pair.svm.data = bytearray(pair.at)


def takeover():
    """The overlay stays, the primary's open epoch goes; then a merge."""
    with Colo(tidy_ms=20).begin() as pair:
        pair.both_write()
        pair.sec.ask(rig.CHECKPOINT, pair.mark(), 60000)
        pair.dropped()
        pair.both_write()
        pair.mark()  # all there, and it does not count
        pair.both_write(5)
        pair.a.kill()
        pair.failover(2)
        same(bytes(pair.b_client.pread(SIZE, 0)), bytes(pair.svm.data),
             "the copy goes on where it was, on its old connection")
        for _ in range(20):
            pair.svm.write(pair.b_client)
        merged(pair.b)
        same((pair.b.content(), overlays(pair.b)), (bytes(pair.svm.data), []),
             "merged: the image is it, and the overlay is gone")
        pair.svm.write(pair.b_client)
        pair.b_client.flush()
        same(bytes(pair.b_client.pread(SIZE, 0)), bytes(pair.svm.data),
             "and is written on")
        pair.a.start(role="secondary", force=None)
        pair.epoch += 10
        pair.protect()
        pair.durable()
        same(pair.a.content(), pair.b.content(),
             "A6: the old primary gets what the overlay had")
    with Colo(16 * SIZE, tidy_ms=20).begin() as pair:
        pair.prim.ask(rig.WAIT_DURABLE, pair.epoch - 1, 60000)
        pair.tidy(1)
        # Only the copy writes: the old primary has no mark there.
        pair.b_client.pwrite(b"svm" * 5000, 9 * SIZE)
        pair.a.kill()
        pair.failover(2)
        merged(pair.b)
        pair.a.start(role="secondary", force=None)
        pair.epoch += 10
        pair.protect()
        pair.durable()
        same(pair.a.content() == pair.b.content(), True,
             "A6: also where only the copy wrote")
        copied = pair.b.status()["copied"]
        ok(copied <= 65536, f"A6: and no more than that ({copied} octets)")
    with Colo().begin() as pair:
        pair.both_write()
        pair.sec.ask(rig.SVM_CLOSE)
        pair.a.kill()
        pair.failover(2)
        same(pair.b.content(), pair.at,
             "the other choice: without a copy it is the epoch, no more")
        pair.sec, pair.prim = pair.prim, pair.sec
        no = rig.refused(pair.sec.ask, rig.SVM_OPEN)
        ok(no and "no secondary" in no[1], "a primary has no second copy")
    with Colo().begin() as pair:
        pair.both_write()
        pair.sec.ask(rig.ACCEPT, pair.mark())
        pair.at = bytes(pair.pvm.data)
        pair.a.kill()
        pair.failover(2)
        same(rig.errno_of(pair.b_client.pwrite, b"x" * 512, 0), "ESHUTDOWN",
             "a copy of an older epoch can't go on")
        same(pair.b.content(), pair.at, "the disk is the newer epoch")


def both_lost():
    """B3: the other host's image is lost; what the copy flushed is not."""
    for flush in True, False:
        with Colo().begin() as pair:
            pair.prim.ask(rig.WAIT_DURABLE, pair.epoch - 1, 60000)
            buf = pair.rng.randbytes(100000)
            pair.b_client.pwrite(buf, 12345)
            if flush:
                pair.b_client.flush()
            pair.a.kill()
            pair.b.kill()
            pair.b.start(role="primary", force=1)
            want = pair.at
            if flush:
                want = want[:12345] + buf + want[12345 + len(buf):]
            same(bytes(pair.b.client().pread(SIZE, 0)) == want, True,
                 "B3: the epoch, with what the copy flushed" if flush else
                 "B3: without a flush it is the epoch")
            merged(pair.b)


def full():
    """An overlay that is full is the copy's problem alone."""
    with Colo(overlay="2M").begin() as pair:
        failed = None
        for n in range(64):
            failed = failed or rig.errno_of(
                pair.b_client.pwrite, pair.rng.randbytes(65536), n * 65536)
        same(failed, "ENOSPC", "a full overlay fails the copy's writes")
        st = pair.sec.status()
        ok(st["overlay"] > st["overlay_limit"] // 2, "as the status foretold")
        pair.pvm.write(pair.a_client)
        pair.sec.ask(rig.CHECKPOINT, pair.mark(), 60000)
        pair.dropped()
        same(bytes(pair.b_client.pread(SIZE, 0)), pair.at,
             "and a checkpoint heals it")


def untake():
    """A takeover that came to nothing."""
    with Pair(SIZE).start() as pair:
        model = Model(SIZE, rig.seed())
        h = pair.a.client()
        pair.protect()
        for _ in range(10):
            model.write(h)
        pair.checkpoint()
        kept = bytes(model.data)
        st = pair.b.ask(rig.TAKEOVER, 2)
        same((st["role"], st["generation"]), (1, 2), "it took over")
        st = pair.b.ask(rig.UNTAKE)
        same((st["role"], st["generation"], st["mode"]), (2, 1, 2),
             "and is the copy again that it was")
        for _ in range(10):
            model.write(h)
        pair.epoch += 10
        pair.protect()
        pair.durable()
        same(pair.b.content(), bytes(model.data), "which can be protected")
        ok(pair.a.status()["copied"] < SIZE, "by the bitmap")
        pair.b.kill()
        pair.b.start()
        same(pair.b.status()["generation"], 1, "also after a start")
        pair.b.ask(rig.TAKEOVER, 2)
        client = pair.b.client()
        no = rig.refused(pair.b.ask, rig.UNTAKE)
        ok(no and "is connected" in no[1], "not while somebody is connected")
        client.pwrite(b"x", 0)
        client.shutdown()
        pair.b.clients.clear()
        end = time.monotonic() + 30
        while "is connected" in no[1] and time.monotonic() < end:
            no = rig.refused(pair.b.ask, rig.UNTAKE)
        ok(no and "was written" in no[1], "nor after a write")
        ok(kept != bytes(model.data), "the test tested something")


def untake_of_a_copy():
    """The same, of a copy that had run and was destroyed."""
    for wait in False, True:
        with Colo(tidy_ms=20).begin() as pair:
            pair.both_write()
            pair.b_client.pwrite(b"the copy's" * 100, 2 << 20)
            pair.sec.ask(rig.TAKEOVER, 2)
            no = rig.refused(pair.sec.ask, rig.UNTAKE)
            ok(no and "is connected" in no[1], "not while the copy is there")
            pair.b_client.shutdown()
            pair.b.clients.clear()
            end = time.monotonic() + 30
            while pair.sec.status()["connections"]:
                if time.monotonic() > end:
                    raise TimeoutError("the connection does not end")
                time.sleep(0.005)
            if wait:
                merged(pair.b)
            st = pair.sec.ask(rig.UNTAKE)
            same((st["role"], st["svm"], overlays(pair.b)),
                 (2, rig.NO_SVM, []), "taken back, "
                 f"{'merged' if wait else 'perhaps in the middle of a merge'}")
            if wait:
                pair.b.kill()
                pair.b.start()
            st = pair.sec.status()
            same((st["generation"], st["mode"]), (1, HALF),
                 "but it is half a copy")
            pair.prim.ask(rig.STOP)
            pair.pvm.write(pair.a_client)
            pair.epoch += 10
            pair.protect()
            pair.durable()
            same(pair.b.content(), bytes(pair.pvm.data),
                 "and whole again after a sync, without force")
    with Colo().begin() as pair:
        pair.both_write()
        pair.sec.ask(rig.SVM_CLOSE)
        pair.b_client.shutdown()
        pair.b.clients.clear()
        pair.sec.ask(rig.TAKEOVER, 2)
        end, no = time.monotonic() + 30, ("", "is connected")
        while no and "is connected" in no[1] and time.monotonic() < end:
            no = rig.refused(pair.sec.ask, rig.UNTAKE)
        ok(not no, f"one that was closed before wrote nothing: {no}")
        same(pair.b.content(), pair.at, "and the image is the epoch's")


# ---- kill -9 at every step -------------------------------------------------

def role_of(node):
    return stamp(node)[0]


def guest_goes_on(pair):
    """What the guest writes while it is merged; None: it was killed."""
    buf = pair.rng.randbytes(3000)
    try:
        pair.b_client.pwrite(buf, MARK)
        pair.b_client.flush()
        merged(pair.b)
    except rig.nbd.Error:
        if not died(pair.b):
            raise
        return None
    except OSError:
        if not died(pair.b):
            raise  # the merge does not end
    return buf


def put(content, off, buf):
    return content[:off] + buf + content[off + len(buf):]


def put_in(content, buf):
    return put(content, MARK, buf)


def one_takeover(call, step):
    """Return: whether it was killed."""
    with Colo().begin() as pair:
        pair.both_write(6)
        pair.b_client.flush()
        # Some of the next writes flush, too.
        flushed = [bytes(pair.svm.data)]
        for _ in range(3):
            pair.svm.write(pair.b_client)
            flushed.append(bytes(pair.svm.data))
        pair.a.kill()
        killer = Killer(pair.b, call, step)
        taken, buf = True, None
        try:
            pair.b.ask(rig.TAKEOVER, 2)
            buf = guest_goes_on(pair)
        except OSError:
            if not died(pair.b):
                raise
            taken = False
        killed = pair.b.proc.poll() is not None
        killer.stop()
        if not killed:
            return False
        pair.b.kill()
        role, left = role_of(pair.b), step % 2
        if taken and role != 1:
            ok(False, f"{call} {step}: a takeover that ended was forgotten")
        # What the copy did not flush may be there or not, before its disk is
        # a primary's.
        allowed = ([bytes(pair.svm.data)] if role == 1 else
                   flushed if left else [pair.at])
        if role == 2:
            pair.b.start()
            pair.b.ask(rig.TAKEOVER, 2, left)
        else:
            pair.b.start(role="primary")
        content = bytes(pair.b.client().pread(SIZE, 0))
        if buf:
            allowed = [put_in(was, buf) for was in allowed]
        elif taken:
            # The guest's last write was not flushed.
            content = put_in(content, bytes(3000))
            allowed = [put_in(was, bytes(3000)) for was in allowed]
        ok(content in allowed, f"{call} {step}: "
           f"{'taken over' if role == 1 else 'still a copy'}, "
           "exactly one history")
        merged(pair.b)
        return True


def one_checkpoint(call, step):
    """The same, of a checkpoint and what is around it."""
    with Colo().begin() as pair:
        pair.both_write(6)
        pair.b_client.flush()
        histories = [pair.at, bytes(pair.svm.data)]
        pair.pvm.write(pair.a_client)
        epoch = pair.mark()
        killer = Killer(pair.b, call, step)
        unflushed = False
        try:
            pair.sec.ask(rig.CHECKPOINT, epoch, 60000)
            histories = [bytes(pair.pvm.data), *histories]
            pair.dropped()
            unflushed = True
            for _ in range(3):
                pair.svm.write(pair.b_client)
            pair.b_client.flush()
            unflushed = False
            histories = [bytes(pair.svm.data)]
        except (OSError, rig.nbd.Error):
            if not died(pair.b):
                raise
            histories.append(bytes(pair.pvm.data))
        killed = pair.b.proc.poll() is not None
        killer.stop()
        pair.b.kill()
        pair.a.kill()
        pair.b.start()
        pair.b.ask(rig.TAKEOVER, 2, 1)
        content = bytes(pair.b.client().pread(SIZE, 0))
        found = [n for n, was in enumerate(histories) if was == content]
        # A write of the copy that was not flushed may be there or not.
        ok(found or unflushed and between(content, pair),
           f"a checkpoint, {call} {step}: one history {found}")
        merged(pair.b)
        return killed


def between(content, pair):
    """Each octet is the epoch's or the copy's, or of what it last asked."""
    off, buf = pair.svm.under_way
    last = put(bytes(pair.svm.data), off, buf)
    return all(c in abl for c, *abl in zip(content, pair.at, pair.svm.data,
                                           last))


def at_every_step(stride):
    why = can_trace()
    if why:
        skip(why)
        return
    for what, least in (one_takeover, 15), (one_checkpoint, 5):
        steps = 0
        for call in CALLS:
            step = 1
            while what(call, step):
                step += stride
            steps += step - 1
        ok(steps >= least, f"{steps} steps were there")


def main():
    rig.need()
    for part in (epochs, takeover, both_lost, full, untake,
                 untake_of_a_copy):
        part()
    at_every_step(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    rig.done()


main()
