#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-command.py - xl remus-disk, with the real nbdkit

ssh is a script that calls the same program for the other host's folders."""
import json
import os
import re
import shutil
import subprocess
import tempfile

import rig
from hosts import SIZE, SOURCE, Host, client, pair
from rig import ok, same

XL = os.path.join(rig.TOP, "xl")
SSH = """#!/bin/sh
[ "$1 $2 $3" = "-oBatchMode=yes -- other" ] || exit 9
export XL_COLO_DISK_RUN={run} PATH={bin}:$PATH
{bend}
exec sh -c "$4"
"""


def program(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)


def xl(host, *words):
    """(exit status, standard output, standard error)"""
    env = {**os.environ, "XL_COLO_DISK_RUN": f"{host.dir}/run",
           "XL_COLO_DISK_SERVE": f"{host.bin}/disk-serve",
           "PATH": f"{host.bin}:{os.environ['PATH']}"}
    done = subprocess.run([XL, "remus-disk", *words], env=env, timeout=100,
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def status(one, image):
    same(xl(one, "status", "--json")[:2], (0, "[]\n"), "nothing is served")
    folder = one.serve("primary", image, rig.UUID)[1]
    code, out, _ = xl(one, "status", "--json")
    (disk,) = json.loads(out)
    same((code, disk["path"], disk["uuid"], disk["role"], disk["state"],
          disk["size_bytes"], disk["generation"], disk["answers"]),
         (0, image, rig.UUID, "primary", "alone", SIZE, 1, True),
         "an image that is served, as JSON")
    with open(f"{SOURCE}/docs/block-colo.pod", encoding="utf-8") as file:
        page = file.read()
    same([key for key in disk if not re.search(rf"^=item .*\b{key}\b", page,
                                               re.M)], [],
         "each key is in block-colo(8)")
    code, out, _ = xl(one, "status")
    ok(code == 0 and re.search(rf"^{image} +primary +alone +4\.0M +1 ", out,
                               re.M), "and as a table")
    same(xl(one, "status", image)[0], 0, "by its path")
    code, out, err = xl(one, "status", "/none", "--json")
    ok(code == 1 and json.loads(out) == [] and "is not served" in err,
       "one that is not served")
    os.rename(f"{folder}/control", f"{folder}/gone")
    code, out, _ = xl(one, "status", "--json")
    (disk,) = json.loads(out)
    ok(code == 1 and not disk["answers"] and disk["error"],
       "a plugin that does not answer")
    os.rename(f"{folder}/gone", f"{folder}/control")
    same(xl(one, "end", image), (0, "", ""), "it is ended")
    same(xl(one, "status", "--json")[1], "[]\n", "and gone")
    code, _, err = xl(one, "force", image + "2")
    ok(code == 1 and "nothing is known" in err, "disk-serve's own sentence")
    for words in ((), ("what",), ("end",), ("verify", image), ("status", "a",
                                                               "b")):
        same(xl(one, *words)[0], 2, f"usage: {' '.join(words)}")


def change(path, off):
    with open(path, "r+b") as file:
        file.seek(off)
        octet = file.read(1)
        file.seek(off)
        file.write(bytes([octet[0] ^ 1]))


def verify(one, two, image, bend):
    size = 18 << 20  # not a multiple of a block
    copy = os.path.join(two.dir, "it's a copy.img")
    os.truncate(image, size)
    one.serve("end", image)
    shutil.rmtree(f"{one.dir}/state")
    a = one.serve("primary", image, rig.UUID)[1]
    h = client(a)
    for off in range(0, size, 1 << 20):
        h.pwrite(os.urandom(4096), off)
    h.shutdown()
    b = two.serve("secondary", copy, rig.UUID, size)[1]
    pair(a, b)
    words = ("verify", image, "other", "--path", copy)
    code, _, err = xl(one, *words)
    ok(code == 1 and "end the protection first" in err,
       "not while it is mirrored")
    one.serve("end", image)
    code, out, err = xl(one, *words)
    ok(code == 1 and "kept as a copy" in err and not out,
       "nor while the other host keeps it")
    two.serve("end", copy)
    same(xl(one, *words), (0, f"{image}: both images are equal\n", ""),
         "two equal images")
    for off in 0, (4 << 20) - 1, 4 << 20, size - 1:
        change(copy, off)
    same(xl(one, *words)[:2],
         (3, f"{image}: octets 0 to 8388607 differ\n"
             f"{image}: octets 16777216 to 20971519 differ\n"),
         "where they differ")
    for off in 0, (4 << 20) - 1, 4 << 20, size - 1:
        change(copy, off)
    same(xl(one, *words)[0], 0, "and are equal again")
    for what, label in (
            ("echo hello; exit 0", "nonsense"),
            ("exit 1", "no answer"),
            (f"xl remus-disk sums '{image}' | head -n 3; exit 0",
             "half an answer"),
            (f"xl remus-disk sums '{image}' | tr 2 3; exit 0", "other blocks"),
            ("head -c 9999 /dev/zero; exit 0", "zeroes")):
        bend(what)
        code, out, err = xl(one, *words)
        ok(code == 1 and "equal" not in out and err, f"verify: {label}")
    bend("")
    os.truncate(copy, SIZE)
    code, _, err = xl(one, *words)
    ok(code == 1 and "the same size" in err, "two sizes")
    os.unlink(copy)
    code, _, err = xl(one, *words)
    ok(code == 1 and "can't be read" in err, "no image there")


def main():
    rig.need()
    folder = os.path.realpath(tempfile.mkdtemp(prefix="xlcolo-command-"))
    one, two = Host(folder, "one"), Host(folder, "two")

    def bend(what):
        program(f"{one.bin}/ssh", SSH.format(run=f"{two.dir}/run",
                                             bin=two.bin, bend=what))

    os.symlink(XL, f"{two.bin}/xl")
    bend("")
    try:
        image = one.image("disk.img")
        status(one, image)
        verify(one, two, image, bend)
    finally:
        for host in one, two:
            host.end_all()
        shutil.rmtree(folder)
    rig.done()


main()
