#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-claim.py - RULES A7: an image that was a primary's, as TAP

The host of a guest is lost, and comes back with its image. A guest starts
from it only if the other host has nothing newer, and it can be asked."""
import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
import time

import rig
from hosts import FORCE, SIZE, Hosts, ask, client, pair, part
from rig import (ALONE, CLAIM, HANDED, MARK, PAIRED, STATUS, TAKEOVER,
                 WAIT_SYNCED, Pair, ok, same)

# ---- The plugin ------------------------------------------------------------------

def steps():
    """kill -9 at each step of a protection: who may start after it."""
    with Pair(SIZE).start() as pair_:
        node = pair_.a

        def again(want, label):
            """A start without the other host's word."""
            node.kill()
            no = rig.refused(node.start, newest=0)
            if want is None:
                ok(no is None, f"A7: {label}: it starts")
            else:
                ok(no and want in no[1], f"A7: {label}: it does not start")
                node.start(newest=1)
            pair_.epoch += 10

        again(None, "before a protection")
        pair_.join()
        again(None, "in the first copy")
        pair_.join()
        node.ask(WAIT_SYNCED, b=60000)
        again(None, "before the first epoch")
        pair_.join()
        node.ask(WAIT_SYNCED, b=60000)
        no = rig.refused(node.ask, MARK, pair_.epoch)
        ok(no and "may take over" in no[1],
           "A7: no epoch is marked before the image says that it has a peer")
        same(node.ask(CLAIM, PAIRED)["claim"], PAIRED, "then it says so")
        again("was not asked", "from then on")
        pair_.protect()
        for which in ALONE, HANDED:
            no = rig.refused(node.ask, CLAIM, which)
            ok(no and "end the protection first" in no[1],
               f"no claim {which} while it is mirrored")
        again("was not asked", "protected")
        same(node.status()["claim"], PAIRED, "asked: it starts, and says so")
        pair_.protect()
        node.ask(rig.STOP)
        again("was not asked", "the session ended, and nobody said how")
        same(node.ask(CLAIM, ALONE)["claim"], ALONE, "the peer's copy is gone")
        again(None, "after that")
        pair_.protect()
        node.ask(rig.STOP)
        node.ask(CLAIM, HANDED)
        node.kill()
        no = rig.refused(node.start, newest=1)
        ok(no and "was given to the other host" in no[1],
           "A7: the guest was given away: it does not start, asked or not")
        node.start(force=1)
        st = node.status()
        same((st["generation"], st["claim"]), (2, ALONE),
             "by force it does, in a generation of its own")
        no = rig.refused(node.ask, CLAIM, 3)
        ok(no and "no claim" in no[1], "there is no fourth claim")
        no = rig.refused(pair_.b.ask, CLAIM, PAIRED)
        ok(no and "no primary" in no[1], "and none on a copy")


def taken_over():
    """A survivor's image is the newest: nobody has to be asked."""
    with Pair(SIZE).start() as pair_:
        pair_.protect()
        pair_.a.kill()
        pair_.failover(2)
        pair_.b.kill()
        pair_.b.params["role"] = "primary"
        same(rig.refused(pair_.b.start, newest=0, force=0), None,
             "A7: who took over starts again")
        same(pair_.b.status()["claim"], ALONE, "without a claim on it")
        # The old primary becomes its copy, and may take over in its turn.
        pair_.a.params["role"] = "secondary"
        pair_.a.start(force=0)
        pair_.epoch += 10
        pair_.protect()
        pair_.durable()
        pair_.b.kill()
        pair_.failover(3)
        pair_.a.kill()
        pair_.a.params["role"] = "primary"
        same(rig.refused(pair_.a.start, newest=0), None,
             "and so does the first one, after it came back and took over")
        no = rig.refused(pair_.b.start, newest=0, force=0)
        ok(no and "was not asked" in no[1], "but not the one between")


def versions(folder):
    """A stamp of another version is refused, not misread."""
    node = rig.Node(folder, "old", SIZE, role="primary")
    node.start()
    node.stop()
    known = os.path.join(node.dir, "g-xvda.identity")
    with open(known, "r+b") as file:
        file.seek(8)
        file.write(bytes([0, 0, 0, 1]))
    no = rig.refused(node.start)
    ok(no and "another version" in no[1], "an image of version 1")


# ---- disk-serve, block-colo and the other host -----------------------------------

def promoted(folder):
    with Hosts(folder, "promoted") as h:
        h.protect()
        h.crash()
        ask(h.b, TAKEOVER, 2)
        ask(h.b, CLAIM, ALONE)
        h.one.serve("solo", h.image)
        h.refused("A7: no start while the other host runs the guest",
                  h.image, "is not the newest", "other has generation 2",
                  "this is generation 1", "from there to this host",
                  FORCE + h.image)
        ok(h.asked() == 1, "because that said so")
        h.bend("echo down >&2; exit 255")
        h.refused("A7: nor when it is silent after that, though the guest ran "
                  "on here", "can't be asked (down)")
        h.bend()
        told = h.one.serve("history", h.image)[1]
        ok(told.startswith("xl-colo-disk 1 solo "),
           "which stays known to who asks")
        backend(h.one, h.image)
        same(h.one.hotplug("add"), 1, "A7: block-colo refuses it")
        ok("is not the newest" in (h.one.node("hotplug-error") or ""),
           "with the sentence in hotplug-error")
        h.two.serve("end", h.copy)
        h.refused("A7: nor when it has ended there", "is not the newest",
                  "generation 2")
        # Protect it from there: ours becomes the copy.
        b = h.two.serve("primary", h.copy, rig.UUID)[1]
        status, a, said = h.one.serve("secondary", h.image, rig.UUID, SIZE)
        ok(status == 0, f"it can be the other one's copy {said}")
        solo = f"{h.one.dir}/state/{os.path.basename(a)}/solo"
        ok(os.path.exists(solo), "that it ran on here is known until then")
        pair(b, a, 100)
        h.two.serve("end", h.copy)
        h.one.serve("end", h.image)
        told = h.one.serve("history", h.image)[1]
        ok(told.startswith("xl-colo-disk 1 idle "), "it says nothing of a copy")
        h.one.serve("secondary", h.image, rig.UUID, SIZE)
        h.one.serve("end", h.image)
        ok(not os.path.exists(solo), "and is forgotten")
        with open(h.image, "rb") as mine, open(h.copy, "rb") as theirs:
            ok(mine.read() == theirs.read(), "and is equal: what it wrote "
               "alone is gone")
        h.refused("and as a copy does not start", "is a copy", FORCE)


def forced(folder):
    with Hosts(folder, "forced") as h:
        h.protect()
        h.crash()
        ask(h.b, TAKEOVER, 2)
        same(h.one.serve("force", h.image)[0], 0, "a stale image is forced")
        h.asked()
        h.starts("then a guest starts from it")
        same((ask(h.a, STATUS)["generation"], h.asked()), (2, 0),
             "in a generation of its own, and nobody is asked")
        h.two.serve("end", h.copy)
        h.two.serve("primary", h.copy, rig.UUID)
        h.two.serve("end", h.copy)
        status, b, _ = h.two.serve("secondary", h.copy, rig.UUID, SIZE)
        no = rig.refused(pair, h.a, b, 200) if not status else (0, "newer")
        ok(no and "newer" in no[1], "A2: neither overwrites the other")


def still_a_copy(folder):
    with Hosts(folder, "copy") as h:
        h.protect()
        h.crash()
        said = h.refused("A7: no start while a copy may take over",
                         "keeps a copy of it at this moment", "other",
                         f"'xl remus-disk end {h.copy}' on other")
        ok(h.asked() > 2, "and that was asked for a while")
        ok(FORCE not in said, "force is not the way out of that")
        same(h.one.serve("solo", h.image)[0], 0, "this host decided alone")
        said = h.starts("a guest that ran on here is not held up by a copy "
                        "whose session is gone")
        ok("keeps a copy of it" in said, "and that is said")
        h.one.serve("end", h.image)
        os.unlink(f"{h.one.dir}/state/{os.path.basename(h.a)}/solo")
        h.two.serve("end", h.copy)
        h.asked()
        h.starts("A7: the other host's is a copy, and nobody keeps it: start")
        same(h.asked(), 1, "it was asked")
        handle = client(h.a)
        same(bytes(handle.pread(5, 8192)), b"alone", "with all it had")
        handle.pwrite(b"later", 1 << 20)
        handle.shutdown()
        h.protect()
        part(h.a)
        for host, path in (h.one, h.image), (h.two, h.copy):
            host.serve("end", path)
        with open(h.image, "rb") as mine, open(h.copy, "rb") as theirs:
            ok(mine.read() == theirs.read(),
               "A6: what only this host had is copied by the next protection")


def takes_over_meanwhile(folder):
    with Hosts(folder, "race") as h:
        h.protect()
        h.crash()
        said = []
        one = threading.Thread(target=lambda: said.append(
            h.one.serve("primary", h.image, rig.UUID)))
        one.start()
        while not os.path.exists(h.log):
            pass
        ask(h.b, TAKEOVER, 2)
        one.join(60)
        ok(said and said[0][0] == 1 and "is not the newest" in said[0][2],
           "A7: a copy that takes over while it is asked")


def worked_on(folder):
    """Somebody has the lock of the other host's image: that is an answer."""
    with Hosts(folder, "busy") as h:
        h.protect()
        h.crash()
        h.two.serve("end", h.copy)
        said = []
        one = threading.Thread(target=lambda: said.append(
            h.one.serve("primary", h.image, rig.UUID)))
        run = f"{h.two.dir}/run"
        with open(f"{run}/{os.path.basename(h.b)}.lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            status, out, _ = h.two.serve("history", h.copy)
            ok(status == 0 and out.startswith("xl-colo-disk 1 served "),
               "what somebody works on may be served in a moment")
            one.start()
            while one.is_alive() and h.asked(False) < 2:
                pass
        one.join(60)
        if not ok(said and said[0][0] == 0,
                  "and is asked for again until that is over"):
            print(f"# {said}")


def backend(host, image):
    """What libxl writes before it runs block-colo."""
    host.node("params", image)
    host.node("mode", "w")
    host.node("frontend-id", "7")
    with open(f"{host.xs}/_local_domain_7_vm", "w", encoding="ascii") as file:
        file.write(f"/vm/{rig.UUID}")


def slow(folder):
    """libxl has 40 s for a disk, then it kills the script, and only that."""
    with Hosts(folder, "slow") as h:
        h.protect()
        h.crash()
        h.bend("sleep 5")
        began = time.monotonic()
        h.refused("A7: slow answers, and none of them decides",
                  "at this moment")
        ok(time.monotonic() - began < 25, "the question ends in time")
        h.two.serve("end", h.copy)
        h.asked()
        go, ran = f"{h.one.dir}/go", f"{h.one.dir}/ran"
        h.bend(f"until [ -e {go} ]; do sleep 0.1; done")
        h.one.program("nbdkit", f'#!/bin/sh\n: >{ran}\nPATH=${{PATH#*:}}\n'
                                'exec nbdkit "$@"\n')
        backend(h.one, h.image)
        with subprocess.Popen([f"{h.one.bin}/block-colo", "add"],
                              env={**h.one.env(), "XENBUS_PATH": "back"},
                              ) as add:
            while not h.asked(False):
                pass
            add.kill()
        try:
            subprocess.run([f"{h.one.bin}/disk-serve", "remove", h.image,
                            "back"], env=h.one.env(), timeout=1, check=False)
            ok(False, "its remove waits for what it left")
        except subprocess.TimeoutExpired:
            ok(True, "its remove waits for what it left")
        with open(go, "w", encoding="ascii"):
            pass
        same(h.one.serve("remove", h.image, "back")[0], 0, "until that ends")
        ok(not os.path.exists(ran), "which starts nothing for nobody")
        h.starts("another start is not held up by it")
        ok(os.path.exists(ran), "and serves the image")


def gone(folder):
    """libxl's script is killed when the nbdkit is already being started."""
    with Hosts(folder, "gone") as h:
        go, ran, err = (f"{h.one.dir}/{name}" for name in ("go", "ran", "err"))
        h.one.program("nbdkit", f'#!/bin/sh\n: >{ran}\n'
                                f'until [ -e {go} ]; do sleep 0.1; done\n'
                                'PATH=${PATH#*:}\nexec nbdkit "$@"\n')
        with subprocess.Popen(["sh", "-c", '"$@" 2>"$0" & wait', err,
                               f"{h.one.bin}/disk-serve", "add", h.image,
                               rig.UUID, "w", "back"],
                              env=h.one.env()) as script:
            while not os.path.exists(ran):
                pass
            script.kill()
        with open(go, "w", encoding="ascii"):
            pass
        same(h.one.serve("remove", h.image, "back")[0], 0, "its remove")
        with open(err, encoding="utf-8") as file:
            said = file.read()
        if not ok("who wanted it for back is gone" in said,
                  "nothing is attached for who was killed since"):
            print(f"# {said!r}")
        same(h.one.serve("folder", h.image)[0], 1,
             "and what was started for it has ended")


def not_heard(folder):
    with Hosts(folder, "deaf") as h:
        h.protect()
        h.crash()
        h.two.serve("end", h.copy)
        for bend, text, label in (
                ("echo 'ssh: connect to host other port 22: No route to host'"
                 " >&2; exit 255", "port 22: No route to host",
                 "can't be reached"),
                ("exec sleep 60", "no answer in", "does not answer"),
                ("exit 3", "it ended with status 3", "has no xl"),
                ("echo hello; exit 0", "answers nonsense", "says nonsense"),
                ("exit 0", "answers nonsense", "says nothing"),
                ("head -c 99999 /dev/zero; exit 0", "answers nonsense",
                 "says zeroes"),
                ("echo 'xl-colo-disk 1 idle none'; exit 0",
                 "knows nothing of the disk", "lost its state")):
            h.bend(bend)
            h.refused(f"A7: no start if the other host {label}", h.image,
                      "may not be the newest", "other", text, FORCE)
        # That is looked for when the protection begins.
        h.bend("echo 'Permission denied (publickey).' >&2; exit 255")
        status, _, said = h.one.serve("reach", h.image)
        ok(status == 1 and "(Permission denied (publickey).)" in said and
           "BatchMode=yes other" in said, "a login that needs a password")
        h.bend("echo hello; exit 0")
        status, _, said = h.one.serve("reach", h.image)
        ok(status == 1 and "nonsense" in said, "one that runs no xl")
        h.bend()
        same(h.one.serve("reach", h.image)[0], 0, "one that works")
        # A command of one's own in the place of ssh.
        h.one.serve("pair", h.image, "nc other 1", "", h.copy)
        status, _, said = h.one.serve("reach", h.image)
        ok(status == 1 and "without ssh" in said, "one without ssh")
        h.refused("A7: nor if it was reached in another way",
                  "was started without ssh", FORCE)
        h.one.serve("pair", h.image, "other", "ssh", h.copy)
        # The guest ran on here: it may be started again, in this life.
        h.bend("echo down >&2; exit 255")
        same(h.one.serve("solo", h.image)[0], 0, "this host decided alone")
        same(h.one.serve("passed", h.image)[0], 0, "the other one ran it")
        h.refused("A7: then it is asked again", "can't be asked (down)")
        h.one.serve("solo", h.image)
        said = h.starts("a guest that ran on here is started again")
        ok("other can't be asked" in said and "(down)" in said,
           "and that is said")
        h.one.serve("end", h.image)
        for bend, text in (
                ("echo 'xl-colo-disk 1 idle none'; exit 0",
                 "knows nothing of the disk"),
                ("echo 'xl-colo-disk 2 idle none'; exit 0", "another version"),
                ("echo Welcome; exit 0", "answers nonsense")):
            h.bend(bend)
            said = h.starts(f"and if an answer tells nothing: {text}")
            ok(text in said, "and that is said")
            h.one.serve("end", h.image)
        h.bend("echo down >&2; exit 255")
        key = os.path.basename(h.a)
        with open(f"{h.one.dir}/state/{key}/solo", "w",
                  encoding="ascii") as file:
            file.write("another-life\n")
        h.refused("but not after this host was started anew",
                  "can't be asked (down)")
        h.bend()
        h.starts("then the other host has to be asked")
        h.one.serve("end", h.image)
        os.unlink(f"{h.one.dir}/state/{key}/peer")
        h.refused("A7: nor if nobody knows whom", "which host is not known",
                  FORCE)


def ended(folder):
    with Hosts(folder, "ended") as h:
        h.protect()
        part(h.a)
        h.one.serve("end", h.image)
        h.asked()
        h.starts("after an orderly end a guest starts")
        same(h.asked(), 0, "and nobody is asked")
        h.one.serve("end", h.image)
        h.two.serve("end", h.copy)
        h.protect()
        part(h.a)
        for word in "pair", "alone":
            h.one.serve("end", h.image)
            words = ("other", "ssh", h.copy) if word == "pair" else ()
            same(h.one.serve(word, h.image, *words)[0], 0,
                 f"{word}, when nothing serves the image")
        h.starts("the last word counts")
        h.one.serve("end", h.image)
        same(h.one.serve("handed", h.image)[0], 0, "the guest is given away")
        h.asked()
        h.refused("A7: then it does not start here", "was given to",
                  "start it there", FORCE)
        same(h.asked(), 0, "and nobody has to be asked")
        for words in (("pair", h.image, "a\nb", "ssh", h.copy),):
            status, _, said = h.one.serve(*words)
            ok(status == 1 and "line break" in said, "a host of two lines")
        same(h.one.serve("alone", h.image + "2")[0], 1,
             "no claim on what is not known")


def main():
    rig.need()
    folder = os.path.realpath(tempfile.mkdtemp(prefix="xlcolo-claim-"))
    try:
        steps()
        taken_over()
        versions(folder)
        for test in (promoted, forced, still_a_copy, takes_over_meanwhile,
                     worked_on, slow, gone, not_heard, ended):
            test(folder)
    finally:
        shutil.rmtree(folder)
    rig.done()


main()
