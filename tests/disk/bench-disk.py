#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench-disk.py - What the mirror costs, beside plain nbdkit, as a table

fio's nbd engine, one connection on a unix socket. Each case is run for each
server in turn, ROUNDS times; the table has the median. The images and all
state lie in $TMPDIR. "mirrored" has both nbdkits on this machine, and a
session that closes and accepts an epoch every 100 ms.

usage: bench-disk.py [SECONDS [ROUNDS]]
"""
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import rig

SIZE = 256 << 20
CASES = (
    ("4k random write, depth 16", "randwrite", "4k", 16),
    ("4k random read, depth 16", "randread", "4k", 16),
    ("4k random write, depth 1", "randwrite", "4k", 1),
    ("64k sequential write, depth 4", "write", "64k", 4),
    ("64k sequential read, depth 4", "read", "64k", 4),
    ("1M sequential write, depth 2", "write", "1m", 2),
    ("1M sequential read, depth 2", "read", "1m", 2),
)


def fio(sock, rw, block, depth, seconds):
    said = subprocess.run(
        ["fio", "--name=b", "--ioengine=nbd", "--output-format=json",
         f"--uri=nbd+unix:///?socket={sock}", f"--rw={rw}", f"--bs={block}",
         f"--iodepth={depth}", f"--size={SIZE}", "--time_based",
         f"--runtime={seconds}", "--thread", "--randrepeat=1"],
        capture_output=True, text=True, check=True)
    job = json.loads(said.stdout[said.stdout.index("{"):])["jobs"][0]
    return job["write" if "write" in rw else "read"]["iops"]


class Plain:
    """nbdkit's own file plugin: the limit."""

    name = "nbdkit file"

    def __init__(self, folder):
        self.node = rig.Node(folder, "file", SIZE)
        self.node.params = {}
        self.node.command = lambda: ["nbdkit", "-f", "--exit-with-parent",
                                     "-U", self.node.sock,
                                     "file", self.node.image]
        self.sock = self.node.sock

    def start(self):
        self.node.start()

    def stop(self):
        self.node.stop()


class Unprotected(Plain):
    name = "unprotected"

    def __init__(self, folder):
        self.node = rig.Node(folder, "ours", SIZE, role="primary")
        self.sock = self.node.sock


class Mirrored:
    name = "mirrored"

    def __init__(self, folder):
        self.pair = rig.Pair(SIZE, folder=os.path.join(folder, "pair"))
        self.sock = self.pair.a.sock
        self.stopped = threading.Event()
        self.thread = None
        self.solo = 0

    def start(self):
        self.pair.start()
        self.pair.protect()
        self.pair.durable()
        self.thread = threading.Thread(target=self.session)
        self.stopped.clear()
        self.thread.start()

    def session(self):
        while not self.stopped.wait(0.1):
            try:
                self.pair.checkpoint()
            except rig.Refused as no:
                print(f"bench-disk: {no}", file=sys.stderr)
                self.solo += 1
                return

    def stop(self):
        self.stopped.set()
        if self.thread:
            self.thread.join()
        for node in self.pair.a, self.pair.b:
            node.kill()


def commit(folder, pair_class=rig.Pair):
    """Milliseconds for the commit of a 64 MiB epoch, and for writing and
    syncing 64 MiB."""
    data = os.urandom(1 << 20)
    with pair_class(SIZE, folder=os.path.join(folder, "commit")).start() as p:
        h = p.a.client()
        p.protect()
        p.durable()
        for n in range(64):
            h.pwrite(data, n << 20)
        p.checkpoint(accept=False)
        began = time.monotonic()
        p.b.ask(rig.ACCEPT, p.epoch - 1)
        p.b.ask(rig.WAIT_DURABLE, p.epoch - 1, 60000)
        took = time.monotonic() - began
        p.a.kill()
    path = os.path.join(folder, "written")
    with open(path, "wb") as file:
        file.truncate(64 << 20)
        os.fsync(file.fileno())
        began = time.monotonic()
        for n in range(64):
            os.pwrite(file.fileno(), data, n << 20)
        os.fsync(file.fileno())
        wrote = time.monotonic() - began
    os.unlink(path)
    return took * 1000, wrote * 1000


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rig.need()
    if not shutil.which("fio"):
        print("bench-disk: fio is not installed", file=sys.stderr)
        return 1
    folder = tempfile.mkdtemp(prefix="xlcolo-bench-")
    try:
        servers = [Plain(folder), Unprotected(folder), Mirrored(folder)]
        got = {}
        for server in servers:
            server.start()
        # Nobody's first touch is measured: of an image's blocks, of intents.
        for server in servers:
            fio(server.sock, "write", "1m", 2, max(2, seconds // 2))
        for _ in range(rounds):
            for case in CASES:
                for server in servers:
                    got.setdefault((case, server), []).append(
                        fio(server.sock, *case[1:], seconds))
        for server in servers:
            server.stop()
        commits = [commit(folder) for _ in range(rounds)]
    finally:
        shutil.rmtree(folder)
    print(f"{os.cpu_count()} CPUs, {platform.release()}, {seconds} s a run, "
          f"median of {rounds}; load {os.getloadavg()[0]:.1f}\n")
    print("| I/O operations a second | nbdkit file | unprotected | mirrored |")
    print("| --- | --- | --- | --- |")
    for case in CASES:
        mid = [statistics.median(got[case, s]) for s in servers]
        print(f"| {case[0]} | {mid[0]:.0f} | "
              f"{mid[1]:.0f} ({mid[1] / mid[0]:.0%}) | "
              f"{mid[2]:.0f} ({mid[2] / mid[0]:.0%}) |")
    mid = [statistics.median(column) for column in zip(*commits)]
    print(f"\nCommit of a 64 MiB epoch until it is durable: {mid[0]:.0f} ms; "
          f"writing and syncing 64 MiB: {mid[1]:.0f} ms "
          f"({mid[0] / mid[1]:.2f} times).")
    if servers[2].solo:
        print("\nThe mirror was lost in the run: its column counts for "
              "nothing.")
        return 1
    return 0


sys.exit(main())
