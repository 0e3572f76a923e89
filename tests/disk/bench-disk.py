#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench-disk.py - What the mirror costs, beside plain nbdkit, as tables

fio's nbd engine, one connection on a unix socket. Each case is run for each
server in turn, ROUNDS times; the tables have the medians. The images and all
state lie in $TMPDIR. "mirrored" has both nbdkits on this machine, and a
session that closes and accepts an epoch every 100 ms. "QEMU replication" is
QEMU's drivers, if qemu-system-x86_64 is there: a primary's quorum and a
secondary. Its checkpoint corrupts what is written meanwhile (its guest stands
still then), so there is one before each run and none in it; nothing of it is
durable. "once": each block once, all of them QEMU's first touch since.

usage: bench-disk.py [SECONDS [ROUNDS]]
"""
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import rig

SIZE = 256 << 20
QEMU = "qemu-system-x86_64"
TICKS = os.sysconf("SC_CLK_TCK")
CASES = (
    ("4k random write, depth 16", "randwrite", "4k", 16),
    ("4k random write, depth 16, once", "randwrite", "4k", 16),
    ("4k random read, depth 16", "randread", "4k", 16),
    ("4k random write, depth 1", "randwrite", "4k", 1),
    ("64k sequential write, depth 4", "write", "64k", 4),
    ("64k sequential write, depth 4, once", "write", "64k", 4),
    ("64k sequential read, depth 4", "read", "64k", 4),
    ("1M sequential write, depth 2", "write", "1m", 2),
    ("1M sequential read, depth 2", "read", "1m", 2),
)


def fio(uri, rw, block, depth, seconds):
    """Return requests a second, and how many they were. Without seconds: the
    whole disk."""
    timed = ["--time_based", f"--runtime={seconds}"] if seconds else []
    said = subprocess.run(
        ["fio", "--name=b", "--ioengine=nbd", "--output-format=json",
         f"--uri={uri}", f"--rw={rw}", f"--bs={block}",
         f"--iodepth={depth}", f"--size={SIZE}", "--thread",
         "--randrepeat=1", *timed],
        capture_output=True, text=True, check=True)
    job = json.loads(said.stdout[said.stdout.index("{"):])["jobs"][0]
    side = job["write" if "write" in rw else "read"]
    return side["iops"], side["total_ios"]


def cpu(pids):
    """Seconds of CPU that each of these processes has used."""
    used = []
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            words = file.read().rsplit(")", 1)[1].split()
        used.append((int(words[11]) + int(words[12])) / TICKS)
    return used


class Session:
    """Closes an epoch every 100 ms, until it can't."""

    def __init__(self, checkpoint):
        self.checkpoint = checkpoint
        self.stopped = threading.Event()
        self.lost = False
        self.epochs = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(0.1):
            try:
                self.checkpoint()
                self.epochs += 1
            except (rig.Refused, OSError, KeyError) as no:
                print(f"bench-disk: {no}", file=sys.stderr)
                self.lost = True
                return

    def stop(self):
        self.stopped.set()
        self.thread.join()


class Plain:
    """nbdkit's own file plugin: the limit."""

    name = "nbdkit file"
    session = None

    def __init__(self, folder):
        self.node = rig.Node(folder, "file", SIZE)
        self.node.params = {}
        self.node.command = lambda: ["nbdkit", "-f", "--exit-with-parent",
                                     "-U", self.node.sock,
                                     "file", self.node.image]
        self.uri = f"nbd+unix:///?socket={self.node.sock}"

    def start(self):
        self.node.start()

    def before(self):
        """Nobody writes now."""

    def pids(self):
        return [self.node.proc.pid]

    def stop(self):
        self.node.stop()


class Unprotected(Plain):
    name = "unprotected"

    def __init__(self, folder):
        self.node = rig.Node(folder, "ours", SIZE, role="primary")
        self.uri = f"nbd+unix:///?socket={self.node.sock}"


class Mirrored:
    name = "mirrored"
    session = None

    def __init__(self, folder):
        self.pair = rig.Pair(SIZE, folder=os.path.join(folder, "pair"))
        self.uri = f"nbd+unix:///?socket={self.pair.a.sock}"

    def start(self):
        self.pair.start()
        self.pair.protect()
        self.pair.durable()
        self.session = Session(self.pair.checkpoint)

    def before(self):
        pass

    def pids(self):
        return [self.pair.a.proc.pid, self.pair.b.proc.pid]

    def stop(self):
        self.session.stop()
        for node in self.pair.a, self.pair.b:
            node.kill()


class Qmp:
    """One QEMU without a machine, and its monitor."""

    def __init__(self, folder, *args):
        self.nbd = os.path.join(folder, "nbd")
        ours, its = socket.socketpair()
        with its:
            self.proc = subprocess.Popen(
                [QEMU, "-machine", "none", "-nodefaults", "-no-user-config",
                 "-display", "none",
                 "-chardev", f"socket,id=m,fd={its.fileno()}",
                 "-mon", "chardev=m,mode=control", *args],
                pass_fds=[its.fileno()])
        self.sock = ours
        self.file = ours.makefile("r", encoding="utf-8")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command,
                                      "arguments": arguments}).encode())
        while True:
            line = self.file.readline()
            if not line:
                raise OSError("QEMU is gone")
            said = json.loads(line)
            if "error" in said:
                raise OSError(f"{command}: {said['error']['desc']}")
            if "return" in said:
                return said["return"]

    def serve(self, node):
        self.ask("nbd-server-start",
                 addr={"type": "unix", "data": {"path": self.nbd}})
        self.ask("nbd-server-add", device=node, writable=True)

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        self.file.close()
        self.sock.close()


class Replication:
    """QEMU's block replication; a checkpoint drops its hidden disk."""

    name = "QEMU replication"
    session = None

    def __init__(self, folder):
        self.folder = os.path.join(folder, "qemu")
        self.one = self.two = None
        for name in "one", "two":
            os.makedirs(os.path.join(self.folder, name))
            with open(self.path(name, "raw"), "wb") as file:
                file.truncate(SIZE)
        for name in "active", "hidden":
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                            self.path("two", name), str(SIZE)], check=True)
        self.uri = f"nbd+unix:///disk?socket={self.path('one', 'nbd')}"

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def start(self):
        self.two = Qmp(
            self.path("two"), "-drive", "if=none,driver=raw,id=disk,"
            f"file.filename={self.path('two', 'raw')}",
            "-drive", "if=none,id=top,driver=replication,mode=secondary,"
            "top-id=top,file.driver=qcow2,"
            f"file.file.filename={self.path('two', 'active')},"
            "file.backing.driver=qcow2,"
            f"file.backing.file.filename={self.path('two', 'hidden')},"
            "file.backing.backing=disk")
        self.two.serve("disk")
        self.one = Qmp(
            self.path("one"), "-drive", "if=none,id=disk,driver=quorum,"
            "read-pattern=fifo,vote-threshold=1,children.0.driver=raw,"
            f"children.0.file.filename={self.path('one', 'raw')}")
        self.one.ask("blockdev-add", **{
            "driver": "replication", "mode": "primary", "node-name": "far",
            "file": {"driver": "nbd", "export": "disk",
                     "server": {"type": "unix",
                                "path": self.path("two", "nbd")}}})
        self.one.ask("x-blockdev-change", parent="disk", node="far")
        for qemu, primary in (self.two, False), (self.one, True):
            qemu.ask("xen-set-replication", enable=True, primary=primary)
        self.one.serve("disk")

    def before(self):
        for qemu in self.two, self.one:
            qemu.ask("xen-colo-do-checkpoint")
            said = qemu.ask("query-xen-replication-status")
            if said["error"]:
                raise OSError(f"QEMU: {said}")

    def pids(self):
        return [self.one.proc.pid, self.two.proc.pid]

    def stop(self):
        for qemu in self.one, self.two:
            if qemu:
                qemu.stop()


def written(folder, data):
    """Milliseconds for writing and syncing 64 MiB."""
    path = os.path.join(folder, "written")
    with open(path, "wb") as file:
        file.truncate(64 << 20)
        os.fsync(file.fileno())
        began = time.monotonic()
        for n in range(64):
            os.pwrite(file.fileno(), data, n << 20)
        os.fsync(file.fileno())
        took = time.monotonic() - began
    os.unlink(path)
    return took * 1000


def commits(folder, rounds):
    """For each round the milliseconds for a commit of 64 MiB, and for
    writing as much; of what was there before, nothing is unsynced."""
    data = os.urandom(1 << 20)
    out = []
    with rig.Pair(SIZE, folder=os.path.join(folder, "commit")).start() as p:
        h = p.a.client()
        p.protect()
        p.durable()
        for _ in range(rounds + 1):
            for n in range(64):
                h.pwrite(data, n << 20)
            h.flush()
            epoch = p.checkpoint(accept=False)
            os.sync()
            began = time.monotonic()
            p.b.ask(rig.ACCEPT, epoch)
            p.b.ask(rig.WAIT_DURABLE, epoch, 60000)
            took = time.monotonic() - began
            os.sync()
            out.append((took * 1000, written(folder, data)))
    return out


def table(title, servers, rows):
    print(f"| {title} | " + " | ".join(s.name for s in servers) + " |")
    print("| --- |" + " ---: |" * len(servers))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def measure(folder, seconds, rounds):
    """{(case, server): [(requests a second, CPU of each of its processes in
    µs a request)]}, and the servers."""
    kinds = [Plain, Unprotected, Mirrored]
    if shutil.which(QEMU) and shutil.which("qemu-img"):
        kinds.append(Replication)
    servers = [kind(folder) for kind in kinds]
    got = {}
    try:
        for server in servers:
            server.start()
        # Nobody's first touch is measured: of an image's blocks, of intents.
        for server in servers:
            fio(server.uri, "write", "1m", 2, max(2, seconds // 2))
        for _ in range(rounds):
            for case in CASES:
                for server in servers:
                    server.before()
                    before = cpu(server.pids())
                    rate, done = fio(server.uri, *case[1:], 0 if
                                     "once" in case[0] else seconds)
                    used = [(b - a) * 1e6 / max(1, done) for a, b in
                            zip(before, cpu(server.pids()))]
                    got.setdefault((case, server), []).append((rate, *used))
    finally:
        for server in servers:
            server.stop()
    return servers, got


def middle(column):
    return [statistics.median(values) for values in zip(*column)]


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rig.need()
    if not shutil.which("fio"):
        print("bench-disk: fio is not installed", file=sys.stderr)
        return 1
    folder = tempfile.mkdtemp(prefix="xlcolo-bench-")
    try:
        servers, got = measure(folder, seconds, rounds)
        both = commits(folder, rounds)
    finally:
        shutil.rmtree(folder)
    print(f"{os.cpu_count()} CPUs, {platform.release()}, {seconds} s a run, "
          f"median of {rounds}; load {os.getloadavg()[0]:.1f}\n")
    mid = {key: middle(value) for key, value in got.items()}
    table("requests a second", servers,
          [[case[0]] + [f"{mid[case, s][0]:.0f}" + ("" if s is servers[0] else
                        f" ({mid[case, s][0] / mid[case, servers[0]][0]:.0%})")
                        for s in servers] for case in CASES])
    table("CPU of the servers (primary + secondary), µs a request", servers,
          [[case[0]] + [" + ".join(f"{one:.0f}" for one in mid[case, s][1:])
                        for s in servers] for case in CASES])
    first, *later = both
    later = middle(later)
    print(f"Commit of a 64 MiB epoch until it is durable: {later[0]:.0f} ms; "
          f"writing and syncing 64 MiB: {later[1]:.0f} ms "
          f"({later[0] / later[1]:.2f} times). The first, into new files: "
          f"{first[0]:.0f} and {first[1]:.0f} ms.")
    lost = [s.name for s in servers if s.session and s.session.lost]
    if lost:
        print(f"\nLost in the run, its column counts for nothing: {lost}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
