#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-takeover.py - RULES A7: a takeover that nobody ended, as TAP

The other host has taken the disks, and died before its guest ran. Its image
is of a newer generation, and holds no more than the old one; on the guest's
own host the guest may have gone on."""
import contextlib
import fcntl
import os
import shutil
import tempfile
import threading

import rig
from hosts import FORCE, SIZE, Hosts, Older, ask, client, pair
from rig import (ALONE, CLAIM, HANDED, MARK, OUTRANK, PAIRED, STATUS,
                 TAKEN, TAKEOVER, UNTAKE, Pair, ok, same)


# ---- The plugin ------------------------------------------------------------------

def opened():
    """kill -9 before and after the guest's first step."""
    with Pair(SIZE).start() as pair_:
        node = pair_.b
        pair_.protect()
        pair_.a.kill()
        same(node.ask(TAKEOVER, 2)["claim"], TAKEN,
             "a takeover says of the image that no guest has run from it")
        ask_as_primary(node)
        no = rig.refused(node.start, newest=0, force=0)
        ok(no and "no guest is known to have run" in no[1],
           "A7: killed before a guest ran: it does not start unasked")
        node.start(newest=1)
        same(node.status()["claim"], ALONE, "asked, it does")
        node.kill()
        same(rig.refused(node.start, newest=0), None, "from then on by itself")
    with Pair(SIZE).start() as pair_:
        node = pair_.b
        pair_.protect()
        pair_.a.kill()
        pair_.failover(2)
        ask_as_primary(node)
        same(rig.refused(node.start, newest=0, force=0), None,
             "killed when the guest ran: it starts by itself")
    with Pair(SIZE).start() as pair_:
        node = pair_.b
        pair_.protect()
        pair_.a.ask(rig.STOP)
        node.ask(TAKEOVER, 2)
        node.ask(UNTAKE)
        same((node.status()["generation"], node.status()["claim"]), (1, ALONE),
             "what was given back is a copy as before")
        pair_.epoch += 10
        pair_.protect()
        ok(True, "which the primary mirrors to again")


def ask_as_primary(node):
    node.kill()
    node.params["role"] = "primary"


def outrank():
    """The guest goes on where the other host may have taken over."""
    with Pair(SIZE).start() as pair_:
        node = pair_.a
        pair_.protect()
        no = rig.refused(node.ask, OUTRANK, 3)
        ok(no and "end the protection first" in no[1],
           "no image is made newer while it is mirrored")
        node.ask(rig.STOP)
        no = rig.refused(pair_.b.ask, OUTRANK, 3)
        ok(no and "no primary" in no[1], "nor a copy")
        no = rig.refused(node.ask, OUTRANK, 1)
        ok(no and "not newer" in no[1], "nor to what it is")
        handle = node.client()
        pair_.b.ask(TAKEOVER, 2)
        st = node.ask(OUTRANK, 3)
        same((st["generation"], st["claim"], st["lacking"]),
             (3, PAIRED, SIZE),
             "A7: under the guest it is two generations on, all is lacking, "
             "and the other host is to be asked")
        handle.pwrite(b"later", 4096)
        handle.shutdown()
        node.kill()
        no = rig.refused(node.start, newest=0)
        ok(no and "was not asked" in no[1], "killed: it is")
        node.start(newest=1)
        st = node.status()
        same((st["generation"], st["lacking"]), (3, SIZE),
             "and it knows what it was")
        # The other one's generation is older now: it becomes a copy.
        pair_.b.stop()
        pair_.b.start(force=0)
        pair_.epoch += 10
        pair_.protect()
        pair_.durable()
        ok(pair_.a.content() == pair_.b.content(),
           "A2: what took over for nothing is overwritten, without force")
        node.ask(rig.STOP)
        node.ask(CLAIM, HANDED)
        same(node.ask(OUTRANK, 5)["claim"], PAIRED,
             "one that was given away is to be asked for, too")
        no = rig.refused(node.ask, MARK, 99)
        ok(no, "and nothing is marked without a mirror")


# ---- disk-serve and the other host -----------------------------------------------

NOBODY = "no guest is known to have run from it"


def taken(folder, name):
    """The other host is lost between its takeover and its guest."""
    h = Hosts(folder, name)
    h.protect()
    ask(h.b, TAKEOVER, 2)
    h.two.serve("end", h.copy)
    return h


def their_start(h, label, *words):
    """Of the image that was taken over."""
    if words:
        return h.refused(f"A7: {label}", *words, host=h.two, image=h.copy)
    status, out, said = h.two.serve("primary", h.copy, rig.UUID)
    if not ok(status == 0 and os.path.isdir(out), label):
        print(f"# {status} {said!r}")
    h.b = out
    return said


def resumed(folder):
    with taken(folder, "resumed") as h:
        client(h.a).shutdown()
        before = h.one.serve("history", h.image)[1]
        same(h.one.serve("resumable", h.image), (0, "", ""),
             "somebody asks whether the guest can be resumed")
        same((h.one.serve("history", h.image)[1], ask(h.a, STATUS)["lacking"]),
             (before, 0), "which changes nothing")
        same(h.one.serve("resume", h.image), (0, "", ""),
             "the guest is resumed by somebody's word")
        st = ask(h.a, STATUS)
        same((st["generation"], st["claim"]), (3, PAIRED),
             "A7: its image is newer than what took over")
        h.bend("echo down >&2; exit 255")
        h.one.serve("end", h.image)
        said = h.starts("it reboots when the other host is away: it ran on")
        ok("(down)" in said, "and that is said")
        h.bend()
        their_start(h, "what took over does not start, for it is older",
                    "is not the newest", "generation 3", FORCE + h.copy)
        h.one.serve("end", h.image)
        h.asked()
        h.starts("the resumed one does")
        same(h.asked(), 1, "when the other host has told of its own")
        h.protect()
        for word in "resumable", "resume":
            status, _, said = h.one.serve(word, h.image)
            ok(status == 1 and "end the protection first" in said,
               f"mirrored: not {word}")
        for host, path in (h.one, h.image), (h.two, h.copy):
            host.serve("end", path)
        with open(h.image, "rb") as mine, open(h.copy, "rb") as theirs:
            ok(mine.read() == theirs.read(), "and is mirrored to it again")
        # Nothing serves it: the same in its file.
        before = h.one.serve("history", h.image)[1]
        same((h.one.serve("resumable", h.image), h.one.serve(
            "history", h.image)[1]), ((0, "", ""), before),
             "the question without an nbdkit")
        same(h.one.serve("resume", h.image)[0], 0, "resumed without an nbdkit")
        h.starts("it starts")
        same(ask(h.a, STATUS)["generation"], 5, "two generations on")


def older(folder):
    """The same, of a guest whose nbdkit does not know the question."""
    for claim, word in (PAIRED, "paired"), (HANDED, "handed"):
        with taken(folder, f"older-{word}") as h:
            ask(h.a, CLAIM, claim)
            with Older(h.a, CLAIM):
                for words in ("resumable",), ("resume",):
                    status, _, said = h.one.serve(*words, h.image)
                    if not ok(status == 0 and "of an older build" in said and
                              "If other has taken it over" in said,
                              f"{word}, an older nbdkit: {words[0]} warns"):
                        print(f"# {status} {said!r}")
            st = ask(h.a, STATUS)
            same((st["generation"], st["claim"]), (1, PAIRED),
                 "A7: its image is what it was, and the other host is to be "
                 "asked")
            their_start(h, "what took over, and never ran, does not start",
                        "is not the newest", NOBODY, "ran on")
            h.one.serve("end", h.image)
            h.starts("a restart here asks, and may")
            h.one.serve("end", h.image)
            h.two.serve("alone", h.copy)
            h.refused("A7: not if a guest ran there", "is not the newest",
                      "generation 2", FORCE)
    with taken(folder, "mute") as h:
        ask(h.a, CLAIM, PAIRED)
        with Older(h.a, 0):
            status, _, said = h.one.serve("resumable", h.image)
            ok(status == 1 and "older build" not in said,
               f"one that answers nothing is no older one: {said}")


def lost(folder):
    """Both hosts were lost."""
    with taken(folder, "lost") as h:
        os.kill(h.one.pid(h.a), 9)
        while h.one.serve("folder", h.image)[0] == 0:
            pass
        h.bend_back("echo down >&2; exit 255")
        their_start(h, "what took over does not start unasked",
                    "may not be the newest", NOBODY, "(down)", FORCE + h.copy)
        h.bend_back()
        h.refused("A7: the old one does not start, for that may be newer",
                  "may not be the newest", "generation 2",
                  "it starts there, if none ran on here")
        h.asked()
        their_start(h, "what took over starts, if the old one lies there")
        st = ask(h.b, STATUS)
        same((st["generation"], st["claim"], h.asked()), (2, ALONE, 1),
             "asked for once, and then it is the newest")
        h.two.serve("end", h.copy)
        h.bend_back("echo down >&2; exit 255")
        their_start(h, "later by itself")


def ran_on(folder):
    """The old primary lives, and its word came too late."""
    with taken(folder, "ran") as h:
        their_start(h, "what took over does not start while the old one is "
                    "in use", "may not be the newest", NOBODY, "in use")
        ok(h.asked() > 1, "for which it asks more than once")
        synced = f"{h.one.dir}/synced"
        h.one.program("sync", f'#!/bin/sh\necho "$*" >>{synced}\n'
                              'PATH=${PATH#*:}\nexec sync "$@"\n')
        h.one.serve("solo", h.image)
        state = f"{h.one.dir}/state/{os.path.basename(h.a)}"
        with open(synced, encoding="utf-8") as file:
            same(file.read().split(), [f"{state}/solo.new", state],
                 "that a guest ran on is durable when it is said")
        h.one.serve("end", h.image)
        their_start(h, "nor when the guest has run on from that",
                    "is not the newest", NOBODY, "ran on")
        said = h.starts("A7: that guest reboots: what took over and never ran "
                        "does not hold it up")
        ok("no guest is known to have run from that" in said,
           "and that is said")
        h.one.serve("end", h.image)
        their_start(h, "after that, too, the guest has run on from the old one",
                    "is not the newest", NOBODY, "ran on")
        same(h.one.serve("passed", h.image)[0], 0,
             "it may not start unasked any more")
        their_start(h, "nor does what took over, which lacks what it wrote",
                    "is not the newest", NOBODY, "ran on")
        h.refused("A7: then neither starts by itself", "may not be the newest",
                  "generation 2", FORCE)
        os.unlink(f"{state}/peer")
        their_start(h, "nor if that host does not know of it any more",
                    "may not be the newest", NOBODY, "knows nothing")
        key = os.path.basename(h.b)
        os.unlink(f"{h.two.dir}/state/{key}/from")
        h.asked()
        their_start(h, "nor if nobody knows whom to ask", NOBODY,
                    "is not known", FORCE + h.copy)
        with open(f"{h.two.dir}/state/{key}/solo", "w",
                  encoding="ascii") as file, \
                open("/proc/sys/kernel/random/boot_id",
                     encoding="ascii") as boot:
            file.write(boot.read())
        their_start(h, "whatever ran on there before", NOBODY)
        same(h.asked(), 0, "nobody was asked")
        same(h.two.serve("force", h.copy)[0], 0, "it can be forced")
        their_start(h, "then it starts")
        st = ask(h.b, STATUS)
        same((st["generation"], st["claim"]), (3, ALONE),
             "in a generation of its own")


def at_once(folder):
    """Both hosts boot: each has its image's lock while it asks the other."""
    with taken(folder, "boot") as h:
        h.one.serve("end", h.image)
        h.asked()
        with locked(h.two, h.b):
            h.refused("A7: the old one gives way to what took over",
                      "is not the newest", "generation 2", "in use", FORCE)
        same(h.asked(), 1, "at once")
        while_locked(h, h.one, h.a, lambda: their_start(
            h, "A7: what took over waits for who asks for the old one"))
    with taken(folder, "ran-too") as h:
        h.one.serve("solo", h.image)
        h.one.serve("end", h.image)
        with locked(h.one, h.a):
            their_start(h, "what took over gives way to what ran on",
                        "is not the newest", NOBODY, "ran on")
        h.asked()
        while_locked(h, h.two, h.b, lambda: h.starts(
            "A7: what ran on waits for who asks for what took over"))
        h.one.serve("end", h.image)
        with locked(h.two, h.b):
            h.refused("but not for ever", "is not the newest", "in use")


@contextlib.contextmanager
def locked(host, folder):
    name = f"{host.dir}/run/{os.path.basename(folder)}.lock"
    with open(name, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def while_locked(h, host, folder, start):
    one = threading.Thread(target=start)
    with locked(host, folder):
        one.start()
        while one.is_alive() and h.asked(False) < 2:
            pass
    one.join(60)


def two_images(folder):
    """A guest's disks have one uuid: the image is found by its copy's path."""
    with Hosts(folder, "both") as h:
        h.protect()
        first, name = h.image, h.copy
        h.image, h.copy = h.one.image("more.img"), f"{h.two.dir}/more.img"
        h.protect()
        h.one.serve("resume", first)
        status, out, _ = h.two.serve("origin", name, rig.UUID)
        ok(status == 0 and out == "xl-colo-disk 1 idle none",
           "who mirrored nothing says so")
        told = h.one.serve("origin", name, rig.UUID)[1]
        same(told, h.one.serve("history", first)[1],
             "the image that is mirrored to a path")
        ok(told != h.one.serve("origin", h.copy, rig.UUID)[1],
           "is not the one that is mirrored to another")
        same(h.one.serve("origin", name, rig.UUID.replace("6", "7"))[1],
             "xl-colo-disk 1 idle none", "nor another guest's")
        pair(h.a, h.b, 200)


def main():
    rig.need()
    folder = os.path.realpath(tempfile.mkdtemp(prefix="xlcolo-takeover-"))
    try:
        opened()
        outrank()
        for test in resumed, older, lost, ran_on, at_once, two_images:
            test(folder)
    finally:
        shutil.rmtree(folder)
    rig.done()


main()
