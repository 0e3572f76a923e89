# SPDX-License-Identifier: LGPL-2.1-or-later
"""hosts.py - Hosts that serve images by disk-serve and block-colo

ssh is a program that runs what it is told on the other host's folders. A host is a folder: the scripts are built anew for it, as make does. xenstore
is two small programs that keep a folder."""
import os
import signal
import socket
import subprocess
import threading

import rig
from rig import (ACCEPT, ALONE, CLAIM, FOLLOW, MARK, PAIRED, PROTECT, STOP,
                 WAIT, WAIT_DURABLE, WAIT_SYNCED, ok, same)

SIZE = 4 << 20
SOURCE = os.environ.get("abs_top_srcdir") or "."

XL = os.path.join(rig.TOP, "xl")
SSH = """#!/bin/sh
echo "$*" >>{log}
{bend}
[ "$1 $2 $3" = "-oBatchMode=yes -oConnectTimeout=5 {name}" ] || exit 9
export XL_COLO_DISK_SERVE={bin}/disk-serve PATH={bin}:$PATH
exec sh -c "$4"
"""
FORCE = "'xl remus-disk force "

FAKE = {
    "xenstore-read": """#!/bin/sh
# exits with 1, as the real one does, if there is no such node
for node; do
    cat "$XS/$(echo "$node" | tr / _)" 2>/dev/null && echo || exit 1
done
""",
    "xenstore-write": """#!/bin/sh
while [ $# -gt 1 ]; do
    printf %s "$2" >"$XS/$(echo "$1" | tr / _)" || exit 1
    shift 2
done
""",
    "logger": "#!/bin/sh\nexit 0\n",
}


class Host:
    """What one host has: its scripts, its runtime and its state folder."""

    def __init__(self, folder, name):
        self.dir = os.path.join(folder, name)
        self.more = {}  # of the environment
        self.bin = os.path.join(self.dir, "bin")
        self.xs = os.path.join(self.dir, "xs")
        for path in self.bin, self.xs:
            os.makedirs(path)
        for name, text in FAKE.items():
            self.program(name, text)
        os.symlink(os.path.join(rig.TOP, "disk-ask"), f"{self.bin}/disk-ask")
        for name in "disk-claim", "disk-serve", "block-colo":
            with open(f"{SOURCE}/hotplug/{name}.in", encoding="utf-8") as f:
                text = f.read()
            for word, value in (
                    ("diskrundir", f"{self.dir}/run"),
                    ("diskstatedir", f"{self.dir}/state"),
                    ("pkglibexecdir", self.bin), ("plugin", rig.PLUGIN),
                    ("xenlogdir", self.dir)):
                text = text.replace(f"@{word}@", value)
            # The scripts put the system's folders first.
            text = text.replace("\nPATH=", f"\nPATH={self.bin}:", 1)
            self.program(name, text)

    def program(self, name, text):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def env(self):
        asan = rig.sanitizer()
        return {**os.environ, **self.more, "XS": self.xs,
                **({"LD_PRELOAD": " ".join(asan),
                    "ASAN_OPTIONS": "detect_leaks=0"} if asan else {})}

    def serve(self, *words):
        """(exit status, standard output, last line of standard error)"""
        done = subprocess.run([f"{self.bin}/disk-serve", *map(str, words)],
                              capture_output=True, text=True, timeout=100,
                              env=self.env(), check=False)
        return (done.returncode, done.stdout.strip(),
                (done.stderr.strip().splitlines() or [""])[-1])

    def node(self, name, text=None):
        """Write, or read, a node of the backend."""
        path = os.path.join(self.xs, f"back_{name}".replace("/", "_"))
        if text is None:
            try:
                with open(path, encoding="utf-8") as file:
                    return file.read()
            except FileNotFoundError:
                return None
        with open(path, "w", encoding="utf-8") as file:
            return file.write(text)

    def hotplug(self, command):
        """libxl's call. Its exit status."""
        env = {**self.env(), "XENBUS_PATH": "back"}
        return subprocess.run([f"{self.bin}/block-colo", command],
                              env=env, timeout=100, check=False,
                              capture_output=True).returncode

    def image(self, name, size=SIZE, text=b""):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as file:
            file.write(text)
            file.truncate(size)
        return path

    def pid(self, folder):
        with open(f"{folder}/pid", encoding="utf-8") as file:
            return int(file.read())

    def end_all(self):
        """Whatever a failed test left."""
        run = f"{self.dir}/run"
        for key in os.listdir(run) if os.path.isdir(run) else ():
            try:
                os.kill(self.pid(f"{run}/{key}"), signal.SIGKILL)
            except (OSError, ValueError):
                pass


def ask(folder, *args, **kw):
    node = rig.Node.__new__(rig.Node)
    node.ctl_path = f"{folder}/control"
    return node.ask(*args, **kw)


def client(folder):
    node = rig.Node.__new__(rig.Node)
    node.sock, node.clients = f"{folder}/nbd", []
    return node.client()


def pair(a, b, epoch=1):
    """Mirror one served image to another, up to a durable epoch."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ask(b, FOLLOW, fd=theirs.fileno())
        ask(a, PROTECT, epoch, fd=ours.fileno())
    ask(a, WAIT_SYNCED, b=60000)
    ask(a, CLAIM, PAIRED)
    ask(a, MARK, epoch)
    ask(b, WAIT, epoch, 60000)
    ask(b, ACCEPT, epoch)
    ask(a, WAIT_DURABLE, epoch, 60000)


def part(a):
    """The session ended in order: the other one's copy will never run."""
    ask(a, STOP)
    ask(a, CLAIM, ALONE)


class Older:
    """In the place of a plugin's control socket: one of an older build, which
    hangs up on a question that it does not know."""

    def __init__(self, folder, newest):
        self.path, self.newest = f"{folder}/control", newest
        os.rename(self.path, f"{self.path}.real")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        os.rename(f"{self.path}.real", self.path)

    def run(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            with sock, socket.socket(socket.AF_UNIX) as real:
                real.connect(f"{self.path}.real")
                self.talk(sock, real)

    def talk(self, sock, real):
        while True:
            ask_ = sock.recv(32, socket.MSG_WAITALL)
            if len(ask_) < 32 or ask_[5] > self.newest:
                return
            real.sendall(ask_)
            head = rig.read(real, rig.ANSWER.size)
            words = rig.ANSWER.unpack(head)
            sock.sendall(head + rig.read(real, words[2] + words[3]))


class Hosts:
    """Two hosts, and an image that was mirrored from one to the other."""

    def __init__(self, folder, name):
        self.one = Host(folder, f"{name}-one")
        self.two = Host(folder, f"{name}-two")
        self.log = f"{self.one.dir}/asked"
        for host in self.one, self.two:
            os.symlink(XL, f"{host.bin}/xl")
        # As sshd has it, which brought the session from the one to the two.
        self.two.more["SSH_CONNECTION"] = "one.example 1 other 22"
        self.bend()
        self.bend_back()
        self.image = self.one.image("disk.img", text=b"the guest's own")
        self.copy = f"{self.two.dir}/it's a copy.img"
        self.a = self.b = None
        self.epoch = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.one.end_all()
        self.two.end_all()

    def bend(self, what=""):
        """What ssh does first."""
        self.one.program("ssh", SSH.format(log=self.log, bend=what,
                                           name="other", bin=self.two.bin))

    def bend_back(self, what=""):
        """The same on the other host."""
        self.two.program("ssh", SSH.format(log=self.log, bend=what,
                                           name="one.example",
                                           bin=self.one.bin))

    def asked(self, forget=True):
        """How often since the last time."""
        try:
            with open(self.log, encoding="utf-8") as file:
                lines = file.readlines()
            if forget:
                os.unlink(self.log)
        except FileNotFoundError:
            lines = []
        return len(lines)

    def protect(self):
        """As xl remus does: the first time, and later."""
        self.a = self.one.serve("primary", self.image, rig.UUID)[1]
        status, self.b, said = self.two.serve("secondary", self.copy,
                                              rig.UUID, SIZE)
        assert not status, said
        pair(self.a, self.b, self.epoch)
        self.epoch += 10
        same(self.one.serve("pair", self.image, "other", "ssh",
                            self.copy)[0], 0, "the image learns of its peer")

    def crash(self):
        """Host one is gone. Return: what it had written alone."""
        handle = client(self.a)
        handle.pwrite(b"alone", 8192)
        handle.shutdown()
        os.kill(self.one.pid(self.a), 9)
        while self.one.serve("folder", self.image)[0] == 0:
            pass

    def refused(self, label, *words, host=None, image=None):
        status, out, said = (host or self.one).serve(
            "primary", image or self.image, rig.UUID)
        good = ok(status == 1 and not out and
                  not [word for word in words if word not in said], label)
        if not good:
            print(f"# {status} {out!r} {said!r}")
        return said

    def starts(self, label):
        status, out, said = self.one.serve("primary", self.image, rig.UUID)
        if not ok(status == 0 and os.path.isdir(out), label):
            print(f"# {status} {said!r}")
        self.a = out
        return said
