#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-serve.py - One nbdkit with the plugin, real clients, as TAP

Reads, writes, flush, FUA, trim and zeroes; sizes and alignments; two
connections (RULES A8); who may be served at all (RULES A7)."""
import os
import shutil
import subprocess
import tempfile
import threading

import rig
from rig import Node, ok, same, skip

SIZE = 4 << 20


def requests(folder):
    node = Node(folder, "plain", SIZE)
    node.params = {}
    node.start()
    h = node.client()
    same(h.get_size(), SIZE, "the size is the image's")
    ok(h.can_flush() and h.can_fua() and h.can_trim() and h.can_zero(),
       "flush, FUA, trim and zeroes are offered")
    ok(not h.can_multi_conn(), "one connection is all that is served")
    model = rig.Model(SIZE, rig.seed())
    for _ in range(200):
        model.write(h)
    same(h.pread(SIZE, 0), bytes(model.data), "reads say what was written")
    same(node.content(), bytes(model.data), "and so does the image")
    h.pwrite(b"x" * 513, 1)
    same(h.pread(515, 0)[1:514], b"x" * 513, "odd octets at odd places")
    same(rig.errno_of(h.pwrite, b"x" * 1024, SIZE - 512), "ENOSPC",
         "beyond the end is refused")
    ok(node.stop() == 0, "an orderly end")


def two_connections(folder):
    """A8: a new connection is served after the old one's requests ended."""
    node = Node(folder, "fence", SIZE)
    node.params = {}
    node.start()
    old = node.client()
    old.pwrite(b"old", 0)
    new = node.client()
    same(rig.errno_of(old.pwrite, b"late", 0), "ESHUTDOWN",
         "A8: a request of the old connection fails once a new one is there")
    same(bytes(new.pread(3, 0)), b"old", "the new one is served")
    node.stop()
    node.start(connections=2)
    handles = [node.client(), node.client()]
    ok(all(h.can_multi_conn() for h in handles), "two are offered if allowed")
    handles[0].pwrite(b"two", 0)
    same(bytes(handles[1].pread(3, 0)), b"two", "both are served")
    node.stop()


def overlapping(folder):
    """Many threads on the same octets: each read is one of the writes."""
    node = Node(folder, "overlap", SIZE)
    node.params = {"connections": 4}
    node.start()
    bad = []

    def hammer(letter):
        h = node.client()
        for _ in range(100):
            h.pwrite(letter * 65536, 4096)
            got = set(bytes(h.pread(65536, 4096)))
            if not got <= set(b"abcd"):
                bad.append(got)
        h.shutdown()

    threads = [threading.Thread(target=hammer, args=(letter,))
               for letter in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ok(not bad, "four clients at the same octets")
    same(len(set(node.content()[4096:4096 + 65536])), 1,
         "A8: overlapping writes are not mixed")
    node.stop()


def starts(folder):
    """A7: who is served."""
    node = Node(folder, "who", SIZE, role="primary")
    node.start()
    st = node.status()
    same((st["role"], st["generation"], st["size"]), (1, 1, SIZE),
         "a new primary is of generation 1")
    ok(node.stop() == 0, "and ends")
    other = "00000000-0000-4000-8000-000000000001"
    no = rig.refused(node.start, uuid=other)
    ok(no and "another guest" in no[1], "A7: another guest's image")
    os.truncate(node.image, SIZE * 2)
    no = rig.refused(node.start, uuid=rig.UUID)
    ok(no and "resized" in no[1], "a resized image")
    os.truncate(node.image, SIZE)
    for params, text in (
            ({"uuid": "12"}, "not a uuid"), ({"role": "both"}, "role=both"),
            ({"name": "../x"}, "not the name"), ({"queue": "1k"}, "2M"),
            ({"control": None}, "needs state="),
            ({"nonsense": 1}, "unknown parameter"),
            ({"hold_ms": 0}, "hold-ms")):
        bad = Node(folder, "bad", SIZE, role="primary")
        no = rig.refused(bad.start, **params)
        ok(no and text in no[1], f"refused: {params}")


def copy_is_not_served(folder):
    node = Node(folder, "copy", SIZE, role="secondary", force=1).start()
    handle = rig.nbd.NBD()
    same(rig.errno_of(handle.connect_unix, node.sock) is not None, True,
         "A7: no guest is served from a copy")
    no = rig.refused(node.ask, rig.TAKEOVER, 2)
    ok(no and "no copy that can be taken over" in no[1],
       "what was never filled can't be taken over")
    for op, text in ((rig.PROTECT, "no primary"), (rig.MARK, "no primary"),
                     (rig.ACCEPT, "no copy of the disk")):
        no = rig.refused(node.ask, op, 1)
        ok(no and text in no[1], f"question {op} is for the other end")
    node.stop()


def peers(folder):
    node = Node(folder, "tools", SIZE)
    node.params = {}
    node.start()
    url = f"nbd+unix:///?socket={node.sock}"
    if shutil.which("qemu-io"):
        said = subprocess.run(
            ["qemu-io", "-f", "raw", "-c", "write -P 7 64k 192k",
             "-c", "write -z 128k 64k", "-c", "discard 0 4k", "-c", "flush",
             "-c", "read -P 7 64k 64k", "-c", "read -P 0 128k 64k", url],
            capture_output=True, text=True, check=False)
        ok(said.returncode == 0 and "fail" not in said.stdout + said.stderr,
           "qemu-io writes, zeroes, discards, flushes, reads")
    else:
        skip("qemu-io is not installed")
    if shutil.which("fio") and " nbd" in subprocess.run(
            ["fio", "--enghelp"], capture_output=True, text=True,
            check=False).stdout.replace("\t", " "):
        said = subprocess.run(
            ["fio", "--name=v", "--ioengine=nbd", f"--uri={url}",
             "--rw=randwrite", "--bs=4k-64k", "--bsrange=4k-64k",
             "--size=4m", "--io_size=8m", "--iodepth=16", "--verify=crc32c",
             "--verify_fatal=1", "--randseed=7", "--trim_percentage=0",
             # Of two writes to the same octets under way, either may win.
             "--serialize_overlap=1"],
            capture_output=True, text=True, check=False, cwd=folder)
        if not ok(said.returncode == 0, "fio's nbd engine verifies"):
            print("# " + said.stderr[-300:] + said.stdout[-300:])
    else:
        skip("fio has no nbd engine here")
    node.stop()


def main():
    rig.need()
    folder = tempfile.mkdtemp(prefix="xlcolo-disk-")
    try:
        for part in (requests, two_connections, overlapping, starts,
                     copy_is_not_served, peers):
            part(folder)
    finally:
        shutil.rmtree(folder)
    rig.done()


main()
