#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-hotplug.py - disk-serve and block-colo, with the real nbdkit

What attaches needs a kernel with network block devices: that is the lab's."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import rig
from hosts import SIZE, Host, ask, client, pair, part
from rig import ALONE, CLAIM, STATUS, TAKEOVER, ok, same, skip

OTHER = "00000000-1111-2222-3333-444444444444"


def refused(host, label, sentence, *words):
    status, out, said = host.serve(*words)
    good = ok(status == 1 and not out and sentence in said, label)
    if not good:
        print(f"# {status} {out!r} {said!r}")


def life(host):
    image = host.image("disk.img")
    status, folder, said = host.serve("primary", image, rig.UUID)
    if not ok(status == 0 and os.path.isdir(folder), "an image is served"):
        print(f"# {said}")
        return
    same(ask(folder, STATUS)["role"], 1, "as a primary's")
    h = client(folder)
    h.pwrite(b"guest" * 100, 4096)
    h.shutdown()
    pid = host.pid(folder)
    same(host.serve("primary", image, OTHER)[:2], (0, folder),
         "a second call finds it")
    same(host.pid(folder), pid, "and starts none")
    same(host.serve("folder", image)[:2], (0, folder), "its folder is found")
    os.symlink(image, host.dir + "/link.img")
    same(host.serve("folder", host.dir + "/link.img")[:2], (0, folder),
         "by a symbolic link, too")
    os.link(image, host.dir + "/hard.img")
    refused(host, "another name for the same image is refused",
            f"is served already, as {image}", "primary",
            host.dir + "/hard.img", rig.UUID)
    refused(host, "an image that a guest may run from is nobody's copy",
            "a guest runs from", "secondary", image, rig.UUID, SIZE)
    same(host.serve("end", image)[0], 0, "it is ended")
    ok(not os.path.exists(folder), "and its folder is gone")
    ok(not os.path.exists(f"/proc/{pid}/cmdline") or
       not open(f"/proc/{pid}/cmdline", "rb").read(), "and its process")
    refused(host, "then there is no folder", "nothing serves", "folder",
            image)
    same(host.serve("end", image)[0], 0, "to end it twice is allowed")
    # Another domain's uuid: the image keeps its own.
    folder = host.serve("primary", image, OTHER)[1]
    with open(f"{folder}/uuid", encoding="utf-8") as file:
        same(file.read().strip(), rig.UUID, "an image keeps its first uuid")
    h = client(folder)
    same(bytes(h.pread(5, 4096)), b"guest", "and what was written")
    h.shutdown()
    os.kill(host.pid(folder), signal.SIGKILL)
    while host.serve("folder", image)[0] == 0:
        pass
    same(host.serve("primary", image, rig.UUID)[0], 0,
         "after a kill it starts again")
    same(host.serve("end", image)[0], 0, "and ends")


def at_once(host):
    """Eight callers, one nbdkit."""
    image = host.image("many.img")
    argv = [f"{host.bin}/disk-serve", "primary", image, rig.UUID]
    calls = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True,
                              env=host.env()) for _ in range(8)]
    said = {call.communicate(timeout=100)[0] for call in calls}
    same([call.returncode for call in calls], [0] * 8, "eight at once")
    same(len(said), 1, "get one answer")
    host.serve("end", image)


def side_by_side(host):
    """As libxl starts a domain's disks: nobody takes a look for a life."""
    images = [host.image(f"side{i}.img") for i in range(6)]
    cycle = ('for i in 1 2 3 4 5 6 7 8; do "$1" primary "$2" "$3" && "$1" end '
             '"$2" || exit; done')
    calls = [subprocess.Popen(
        ["sh", "-c", cycle, "sh", f"{host.bin}/disk-serve", image, rig.UUID],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=host.env()) for image in images]
    lookers = [subprocess.Popen(
        ["sh", "-c", 'until [ -e "$2" ]; do "$1" folder "$3"; done', "sh",
         f"{host.bin}/disk-serve", host.dir + "/over", image],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=host.env())
        for image in images]
    said = "".join(call.communicate(timeout=200)[1] for call in calls)
    host.image("over")
    for looker in lookers:
        looker.wait(100)
    if said:
        print("# " + said.replace("\n", "\n# "))
    same([call.returncode for call in calls], [0] * len(calls),
         "many images at once don't get in each other's way")


def refusals(host):
    for words in ((), ("primary",), ("primary", "/x"), ("secondary", "/x", 1),
                  ("add", "/x", rig.UUID, "rw", "o"), ("remove", "/x"), ("what", "/x"),
                  ("primary", "/x", rig.UUID, "yes")):
        same(host.serve(*words)[:2], (2, ""), f"usage: {' '.join(map(str, words))}")
    image = host.image("bad.img")
    refused(host, "a relative path", "begins with /", "primary", "bad.img",
            rig.UUID)
    refused(host, "two lines", "no line breaks", "primary", "/a\nb", rig.UUID)
    refused(host, "no uuid", "is not a uuid", "primary", image, "12-34")
    refused(host, "no image", "does not exist", "primary", image + "2",
            rig.UUID)
    refused(host, "no folder", "make it first", "secondary",
            host.dir + "/none/x", rig.UUID, SIZE)
    refused(host, "a folder", "neither a file nor", "primary", host.dir,
            rig.UUID)
    refused(host, "no size", "is not a size", "secondary", image, rig.UUID,
            "4M")
    refused(host, "another size", f"has {SIZE} octets here, and 8388608",
            "secondary", image, rig.UUID, 8 << 20)
    for kind, magic in ("qcow2", b"QFI\xfb"), ("vmdk", b"KDMV"):
        refused(host, f"{kind} in a raw disk's place",
                f"is a {kind} image", "primary",
                host.image(f"{kind}.img", text=magic), rig.UUID)
    refused(host, "an image of no octets", "no size", "primary",
            host.image("empty.img", 0), rig.UUID)
    refused(host, "nothing to force", "nothing is known of", "force", image)
    same([name for name in os.listdir(f"{host.dir}/run")
          if not name.endswith(".lock")], [], "nothing is left of any of these")


def copies(one, two):
    """RULES A7, as a guest's start meets it."""
    image = one.image("guest.img", text=b"the guest's own")
    copy = os.path.join(two.dir, "copy.img")
    a = one.serve("primary", image, rig.UUID)[1]
    status, b, said = two.serve("secondary", copy, rig.UUID, SIZE)
    ok(status == 0 and said == f"made {copy}, {SIZE} octets",
       "a copy's image is made where there is none")
    same(two.serve("secondary", copy, rig.UUID, SIZE)[:2], (0, b),
         "and found the second time")
    refused(two, "not as another guest's", "copy of another guest's disk",
            "secondary", copy, OTHER, SIZE)
    pair(a, b)
    refused(two, "A7: no guest starts while it is a copy",
            "is the copy of a guest", "primary", copy, rig.UUID)
    two.serve("end", copy)
    with open(copy, "rb") as file:
        same(file.read(15), b"the guest's own", "it has the guest's data")
    refused(two, "A7: nor after its nbdkit has ended",
            f"'xl remus-disk force {copy}'", "primary", copy, rig.UUID)
    two.node("params", copy)
    two.node("mode", "w")
    two.node("frontend-id", "7")
    with open(f"{two.xs}/_local_domain_7_vm", "w", encoding="ascii") as file:
        file.write(f"/vm/{rig.UUID}")
    same(two.hotplug("add"), 1, "A7: block-colo refuses it")
    ok("is a copy" in (two.node("hotplug-error") or ""),
       "with the plugin's sentence in hotplug-error")
    same(two.node("hotplug-status"), "error", "and the status")
    same(two.hotplug("remove"), 0, "remove after it undoes nothing")

    status, b, _ = two.serve("secondary", copy, rig.UUID, SIZE)
    same(status, 0, "as a copy it goes on")
    same(ask(b, TAKEOVER, 2)["role"], 1, "this host takes over")
    keep = f"{b}/keep"
    with subprocess.Popen(["true"]) as gone, open(keep, "w",
                                                  encoding="ascii") as file:
        file.write(f"{gone.pid}\n")
    refused(two, "A7: without its session, no guest gets it",
            "no guest is known to have run", "primary", copy, OTHER)
    with open(keep, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    same(two.serve("primary", copy, OTHER)[:2], (0, b),
         "while that lives, the one that runs is found for a guest")
    ask(b, CLAIM, ALONE)
    os.unlink(keep)
    two.serve("end", copy)
    same(two.serve("primary", copy, OTHER)[0], 0, "and started later")
    two.serve("end", copy)
    one.serve("end", image)


def copy_with_a_domain(one, two):
    """--colo: the copy is a domain, which has the disk, and no other has."""
    image = one.image("guest4.img")
    copy = os.path.join(two.dir, "copy4.img")
    a = one.serve("primary", image, rig.UUID)[1]
    b = two.serve("secondary", copy, rig.UUID, SIZE)[1]
    pair(a, b)
    two.program("nbd-client", "#!/bin/sh\nexit 1\n")
    add = ("add", copy, rig.UUID, "w")
    backend = "/local/domain/0/backend/vbd"
    for name, text in ("keep", ""), ("copy", "7\n"):
        with open(f"{b}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    for domid in 8, 77, 5:
        refused(two, f"not domain {domid}", "is the copy of a guest", *add,
                f"{backend}/{domid}/51712")
    refused(two, "but that domain, as far as this kernel goes", "nbd", *add,
            f"{backend}/7/51712")
    same(two.serve("folder", copy)[0], 0, "whose trouble does not end it")
    same(two.serve("remove", copy, f"{backend}/7/51712")[0], 0, "nor its end")
    same(two.serve("folder", copy)[:2], (0, b), "the epochs are there")
    os.unlink(f"{b}/copy")
    refused(two, "without the session's word it is refused",
            "is the copy of a guest", *add, f"{backend}/7/51712")
    same(two.serve("end", copy)[0], 0, "the session's end is its end")
    ok(not os.path.exists(b), "and that of all notes")
    one.serve("end", image)


def forced(one, two):
    copy = os.path.join(two.dir, "copy2.img")
    image = one.image("guest2.img", text=b"second")
    a = one.serve("primary", image, rig.UUID)[1]
    b = two.serve("secondary", copy, rig.UUID, SIZE)[1]
    pair(a, b)
    refused(two, "no force on what is being kept", "end the protection first",
            "force", copy)
    two.serve("end", copy)
    same(two.serve("force", copy)[0], 0, "a copy is forced")
    refused(two, "and is not served by that", "nothing serves", "folder",
            copy)
    status, b, _ = two.serve("primary", copy, rig.UUID)
    same(status, 0, "then a guest may start from it")
    same(ask(b, STATUS)["generation"], 2, "in a generation of its own")
    two.serve("end", copy)
    one.serve("end", image)


def changed(one, two):
    """What was written while nobody looked is in no bitmap."""
    image = one.image("guest3.img", text=b"third")
    copy = os.path.join(two.dir, "copy3.img")
    a = one.serve("primary", image, rig.UUID)[1]
    b = two.serve("secondary", copy, rig.UUID, SIZE)[1]
    pair(a, b)
    key = os.path.basename(a)
    bitmap = f"{one.dir}/state/{key}/disk.bitmap"
    part(a)
    two.serve("end", copy)
    one.serve("end", image)
    ok(os.path.exists(bitmap), "a disk that was mirrored has a bitmap")
    same(one.serve("primary", image, rig.UUID)[2], "",
         "an image that nobody touched is what it was")
    one.serve("end", image)
    for path in image, copy:
        with open(path, "r+b") as file:
            file.write(b"e2fsck")
    status, a, said = one.serve("primary", image, rig.UUID)
    ok(status == 0 and "will be compared" in said,
       "one that was changed will be compared as a whole")
    refused(two, "a copy that was changed needs force", "--force-sync",
            "secondary", copy, rig.UUID, SIZE)
    status, b, _ = two.serve("secondary", copy, rig.UUID, SIZE, "force")
    same(status, 0, "with which it is a new copy")
    pair(a, b, 2)
    two.serve("end", copy)
    one.serve("end", image)
    with open(image, "rb") as file, open(copy, "rb") as other:
        ok(file.read() == other.read(), "and equal again")


def owners(host):
    """remove is for the backend whose add it was, however far that came."""
    image = host.image("owned.img")
    folder = host.serve("primary", image, rig.UUID)[1]
    same(host.serve("remove", image, "backend/1")[0], 0, "no owner")
    same(host.serve("folder", image)[0], 0, "nothing ended")
    with open(f"{folder}/owner", "w", encoding="ascii") as file:
        file.write("backend/1\n")
    same(host.serve("remove", image, "backend/10")[0], 0, "another's remove")
    same(host.serve("folder", image)[0], 0, "ends nothing")
    with open(f"{folder}/keep", "w", encoding="ascii"):
        pass
    status, _, said = host.serve("remove", image, "backend/1")
    ok(status == 0 and "still needed" in said, "what is kept goes on")
    same(host.serve("folder", image)[0], 0, "and is served")
    os.unlink(f"{folder}/keep")
    with open(f"{folder}/owner", "w", encoding="ascii") as file:
        file.write("backend/1\n")
    same(host.serve("remove", image, "backend/1")[0], 0, "its own remove")
    refused(host, "ends it", "nothing serves", "folder", image)


def no_device(host):
    """block-colo on a kernel without nbd: a sentence, and nothing left."""
    if os.path.exists("/sys/block/nbd0"):
        return skip("this kernel has network block devices")
    image = host.image("nodev.img")
    host.program("nbd-client", "#!/bin/sh\nexit 1\n")
    for name in "hotplug-error", "hotplug-status", "physical-device":
        if host.node(name) is not None:
            os.unlink(os.path.join(host.xs, f"back_{name}"))
    host.node("params", image)
    host.node("mode", "w")
    same(host.hotplug("add"), 1, "without the kernel's module add fails")
    ok("it needs the module nbd" in (host.node("hotplug-error") or ""),
       "and says so")
    refused(host, "what it had started is ended", "nothing serves", "folder",
            image)
    return ok(host.node("physical-device") is None, "no device is claimed")


def main():
    rig.need()
    for tool in "flock", "setsid", "losetup", "blockdev":
        if not shutil.which(tool, path=os.environ["PATH"] + ":/sbin:/usr/sbin"):
            print(f"1..0 # SKIP {tool} is not installed")
            sys.exit(0)
    folder = os.path.realpath(tempfile.mkdtemp(prefix="xlcolo-hotplug-"))
    one, two = Host(folder, "one"), Host(folder, "two")
    try:
        life(one)
        at_once(one)
        side_by_side(one)
        refusals(one)
        copies(one, two)
        copy_with_a_domain(one, two)
        forced(one, two)
        changed(one, two)
        owners(one)
        no_device(two)
    finally:
        for host in one, two:
            host.end_all()
        shutil.rmtree(folder)
    rig.done()


main()
