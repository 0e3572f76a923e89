# SPDX-License-Identifier: LGPL-2.1-or-later
"""colo.py - A pair whose secondary runs the guest too, and who kills it

strace kills a node at a system call of its choice."""
import os
import shutil
import subprocess
import time

import rig
from rig import Model, Pair

SIZE = 4 << 20
HALF = 0  # mode of a store: half a sync
# All by which the plugin changes a file, or a folder.
CALLS = "pwrite64", "fdatasync", "fsync", "rename", "unlink", "fallocate"


class Colo(Pair):
    """A pair whose secondary runs the guest too."""

    def __init__(self, size=SIZE, **params):
        super().__init__(size, **params)
        self.rng = rig.seed()
        self.pvm = Model(SIZE, self.rng)
        self.svm = Model(SIZE, self.rng)
        self.at = b""

    def begin(self):
        """Both run from the first epoch."""
        self.start()
        self.a_client = self.a.client()
        for _ in range(10):
            self.pvm.write(self.a_client)
        self.join()
        self.prim.ask(rig.WAIT_SYNCED, b=60000)
        self.prim.ask(rig.CLAIM, rig.PAIRED)
        epoch = self.mark()
        self.sec.ask(rig.SVM_OPEN)
        self.sec.ask(rig.CHECKPOINT, epoch, 60000)
        self.dropped()
        self.b_client = self.b.client()
        return self

    def mark(self):
        epoch = self.epoch
        self.prim.ask(rig.MARK, epoch)
        self.epoch += 1
        self.sec.ask(rig.WAIT, epoch, 60000)
        return epoch

    def dropped(self):
        """The copy is at the primary's epoch."""
        self.at = bytes(self.pvm.data)
        self.svm.data = bytearray(self.at)

    def both_write(self, times=10):
        for _ in range(times):
            self.pvm.write(self.a_client)
            self.svm.write(self.b_client)


def merged(node):
    end = time.monotonic() + 60
    while node.status()["svm"] != rig.NO_SVM or overlays(node):
        if time.monotonic() > end:
            raise TimeoutError("the merge does not end")
        time.sleep(0.005)


def overlays(node):
    return [name for name in os.listdir(node.dir) if "overlay" in name]


class Killer:
    """Kills a node when a thread makes this system call the Nth time."""

    def __init__(self, node, call, step, *more, signal="KILL",
                 log="/dev/null"):
        self.proc = subprocess.Popen(
            ["strace", "-f", "-o", log, "-e", f"trace={call}",
             "-e", f"inject={call}:signal={signal}:when={step}", *more,
             "-p", str(node.proc.pid)], stderr=subprocess.PIPE, text=True)
        line = self.proc.stderr.readline()
        if "attached" not in line:
            self.stop()
            raise RuntimeError(line.strip())

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stderr.close()


class Stopper(Killer):
    """Stops a node at the Nth such call that is about a file."""

    def __init__(self, node, call, step, path):
        self.log = os.path.join(node.dir, "strace")
        super().__init__(node, call, step, "-P", path, signal="STOP",
                         log=self.log)

    def stopped(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return "stopped by SIGSTOP" in file.read()

    def stop(self):
        """The node stays stopped."""
        self.proc.terminate()
        self.proc.wait()
        self.proc.stderr.close()


def can_trace():
    if not shutil.which("strace"):
        return "strace is not installed"
    said = subprocess.run(["strace", "-o", "/dev/null", "true"],
                          capture_output=True, text=True, check=False)
    return said.stderr.strip()[:60] if said.returncode else None


def died(node):
    try:
        return node.proc.wait(20) is not None
    except subprocess.TimeoutExpired:
        return False


def stamp(node):
    """Role and flags, as docs/specs/disk-format.md has them."""
    with open(os.path.join(node.dir, "g-xvda.identity"), "rb") as file:
        data = file.read()
    return [int.from_bytes(data[at:at + 4], "big") for at in (12, 16)]
