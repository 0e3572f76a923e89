# SPDX-License-Identifier: LGPL-2.1-or-later
"""rig.py - Two nbdkits with the plugin, their sockets, and their clients

Everything lies in a private folder and speaks over unix sockets. The control
socket is spoken here from docs/specs/disk-protocol.md, not through
diskctl.c."""
import errno
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

# Debian's module belongs to Debian's python3.
try:
    import nbd
except ImportError:
    nbd = None
    if os.path.exists("/usr/bin/python3") and "RIG_AGAIN" not in os.environ:
        os.environ["RIG_AGAIN"] = "1"
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

UUID = "6c7a2b8e-1f0d-4c55-9a3e-0123456789ab"
TOP = os.environ.get("abs_top_builddir", ".")
PLUGIN = os.environ.get("XLCOLO_PLUGIN") or os.path.join(
    TOP, "nbdkit-xlcolo-plugin.so")
(STATUS, PROTECT, MARK, WAIT, WAIT_DURABLE, WAIT_SYNCED, STOP, RATE, FOLLOW,
 ACCEPT, DISCARD, TAKEOVER, SVM_OPEN, CHECKPOINT, SVM_CLOSE,
 UNTAKE, CLAIM, OUTRANK) = range(1, 19)
SOLO, SYNCING, SYNCED, PROTECTED = range(4)
IDLE, GREETING, FILLING, FOLLOWING = range(4)
ALONE, PAIRED, HANDED, TAKEN = range(4)
NO_SVM, SVM_SHUT, SVM_RUNS, SVM_MERGING = range(4)
NUMBERS = ("role state mode generation size epoch held durable accepted "
           "lacking unsafe intents queued queue_limit copied waits wait_us losses "
           "kept kept_limit journal connections failed forgotten compared svm overlay "
           "overlay_limit claim").split()
ANSWER = struct.Struct(f">IIII{len(NUMBERS)}Q")

count = failed = 0


def ok(good, what):
    global count, failed
    count += 1
    failed += not good
    print(f"{'' if good else 'not '}ok {count} - {what}", flush=True)
    return good


def same(got, want, what):
    if not ok(got == want, what):
        print(f"# got {got!r:.200}, expected {want!r:.200}")
    return got == want


def skip(why):
    global count
    count += 1
    print(f"ok {count} - # SKIP {why}")


def done():
    print(f"1..{count}")
    sys.exit(failed != 0)


def need():
    """Skip all of it where the machine lacks something."""
    missing = None
    if nbd is None:
        missing = "python3-libnbd is not installed"
    elif not shutil.which("nbdkit"):
        missing = "nbdkit is not installed"
    elif not os.path.exists(PLUGIN):
        missing = "the plugin was not built (nbdkit-plugin-dev)"
    if missing:
        print(f"1..0 # SKIP {missing}")
        sys.exit(0)


class Refused(Exception):
    """The plugin's answer to a question that it did not like."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def sanitizer():
    """What must be loaded before a plugin that was built with ASan or TSan."""
    said = subprocess.run(["ldd", PLUGIN], capture_output=True, text=True,
                          check=False).stdout
    return [word for line in said.splitlines() if "libasan" in line or "libtsan" in line
            for word in line.split() if word.startswith("/")]


class Node:
    """One nbdkit. Starts with start(), can be killed, can be started anew."""

    def __init__(self, folder, name, size=None, **params):
        self.dir = os.path.join(folder, name)
        os.makedirs(self.dir, exist_ok=True)
        self.image = os.path.join(self.dir, "image")
        self.sock = os.path.join(self.dir, "nbd")
        self.ctl_path = os.path.join(self.dir, "ctl")
        self.log_path = os.path.join(self.dir, "log")
        self.params = dict(state=self.dir, name="g-xvda", uuid=UUID,
                           control=self.ctl_path, **params)
        self.wrap = []
        self.clients = []
        self.proc = None
        if size is not None:
            with open(self.image, "wb") as file:
                file.truncate(size)

    def command(self):
        params = {k.replace("_", "-"): v for k, v in self.params.items()
                  if v is not None}
        return [*self.wrap, "nbdkit", "-f", "--exit-with-parent", "-U",
                self.sock, PLUGIN,
                f"image={self.image}",
                *(f"{k}={v}" for k, v in params.items())]

    def start(self, **params):
        """As one whose peer was asked, unless newest= says otherwise."""
        if self.params.get("role") == "primary":
            params.setdefault("newest", 1)
        self.params.update(params)
        for path in self.sock, self.ctl_path:
            if os.path.exists(path):
                os.unlink(path)
        env = dict(os.environ)
        asan = sanitizer()
        if asan:
            env["LD_PRELOAD"] = " ".join(asan)
            env["ASAN_OPTIONS"] = "detect_leaks=0"
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(self.command(), stdout=log,
                                         stderr=log, env=env)
        end = time.monotonic() + 30
        want = self.ctl_path if self.params.get("control") else self.sock
        while not (os.path.exists(self.sock) and os.path.exists(want)):
            if self.proc.poll() is not None:
                raise Refused(self.proc.returncode, self.log())
            if time.monotonic() > end:
                raise Refused(0, "nbdkit does not come up")
            time.sleep(0.005)
        return self

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def kill(self):
        self.clients.clear()
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGKILL)
        return self.wait()

    def stop(self):
        # nbdkit ends when its connections have.
        for handle in self.clients:
            try:
                handle.shutdown()
            except nbd.Error:
                pass  # it was closed, or broke
        self.clients.clear()
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        if self.proc is None:
            return None
        try:
            rc = self.proc.wait(10 if sanitizer() else 60)
        except subprocess.TimeoutExpired:
            if not sanitizer():
                raise
            # nbdkit hangs after its end, in a destructor of libp11-kit.
            self.proc.kill()
            self.proc.wait()
            rc = 0
        said = self.log()
        if "Sanitizer" in said:
            raise AssertionError(said[-4000:])
        self.proc = None
        return rc

    def ask(self, op, a=0, b=0, fd=None):
        """Return the status; raise Refused."""
        with socket.socket(socket.AF_UNIX) as sock:
            # Waits if others are in line; with a timeout it would be refused.
            sock.connect(self.ctl_path)
            sock.settimeout(120)
            msg = struct.pack(">IHHQQQ", 0x584c4343, op, 0, a, b, 0)
            if fd is None:
                sock.sendall(msg)
            else:
                socket.send_fds(sock, [msg], [fd])
            words = ANSWER.unpack(read(sock, ANSWER.size))
            text = read(sock, words[2]).decode()
            out = dict(zip(NUMBERS, words[4:]))
            out["why"] = read(sock, words[3]).decode()
        if words[1]:
            raise Refused(words[1], text)
        return out

    def status(self):
        return self.ask(STATUS)

    def client(self):
        handle = nbd.NBD()
        end = time.monotonic() + 30
        while True:
            try:
                handle.connect_unix(self.sock)
                self.clients.append(handle)
                return handle
            except nbd.Error:
                if time.monotonic() > end:
                    raise
                handle = nbd.NBD()
                time.sleep(0.01)

    def content(self):
        with open(self.image, "rb") as file:
            return file.read()


def read(sock, size):
    out = b""
    while len(out) < size:
        part = sock.recv(size - len(out))
        if not part:
            raise ConnectionError("the plugin hung up")
        out += part
    return out


def refused(call, *args, **kw):
    """(code, text) of a refusal; None if it went well."""
    try:
        call(*args, **kw)
    except Refused as no:
        return no.code, str(no)
    return None


class Pair:
    """A primary and a secondary, as a session drives them."""

    def __init__(self, size=8 << 20, folder=None, **params):
        self.folder = folder or tempfile.mkdtemp(prefix="xlcolo-disk-")
        self.a = Node(self.folder, "a", size, role="primary", **params)
        self.b = Node(self.folder, "b", size, role="secondary", force=1,
                      **params)
        self.prim, self.sec = self.a, self.b
        self.epoch = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.a, self.b:
            if node.proc:
                node.kill()
        shutil.rmtree(self.folder)

    def start(self):
        self.a.start()
        self.b.start()
        return self

    def join(self, relay=None):
        """Connect both; with a relay, through it."""
        one, two = socket.socketpair()
        with one, two:
            far = two if relay is None else relay(two)
            self.sec.ask(FOLLOW, fd=far.fileno())
            return self.prim.ask(PROTECT, self.epoch, fd=one.fileno())

    def protect(self, relay=None):
        """All the way to the first epoch that counts."""
        self.join(relay)
        self.prim.ask(WAIT_SYNCED, b=60000)
        self.prim.ask(CLAIM, PAIRED)
        return self.checkpoint()

    def checkpoint(self, accept=True):
        """Mark; both hold it; the session accepts. Return the epoch."""
        epoch = self.epoch
        self.prim.ask(MARK, epoch)
        self.epoch += 1
        self.sec.ask(WAIT, epoch, 60000)
        if accept:
            self.sec.ask(ACCEPT, epoch)
        return epoch

    def tidy(self, below):
        """Until a crash of the primary would copy less than that."""
        end = time.monotonic() + 30
        while self.prim.status()["intents"] >= below:
            if time.monotonic() > end:
                raise TimeoutError("intents are not cleared")
            time.sleep(0.01)

    def durable(self):
        self.prim.ask(WAIT_DURABLE, self.epoch - 1, 60000)

    def failover(self, generation):
        """The secondary becomes the primary, and its guest runs."""
        self.sec.ask(TAKEOVER, generation)
        self.sec.ask(CLAIM, ALONE)
        self.prim, self.sec = self.sec, self.prim


class Model:
    """What a disk should hold."""

    def __init__(self, size, rng):
        self.data = bytearray(size)
        self.rng = rng
        self.under_way = (0, b"")

    def write(self, handle):
        """One random request, on the disk and here."""
        rng, size = self.rng, len(self.data)
        length = rng.choice((512, 4096, 4096, 65536, rng.randrange(1, 200000)))
        length = min(length, size)
        off = rng.randrange(0, size - length + 1)
        kind = rng.randrange(8)
        buf = bytes(length) if kind < 2 else rng.randbytes(length)
        # A server that is killed in it may have done it.
        self.under_way = (off, buf)
        if kind == 0:
            handle.trim(length, off)
        elif kind == 1:
            handle.zero(length, off)
        else:
            handle.pwrite(buf, off, nbd.CMD_FLAG_FUA if kind == 2 else 0)
        self.data[off:off + length] = buf
        if kind == 3:
            handle.flush()


def seed():
    value = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print(f"# SEED={value}")
    return random.Random(value)


def errno_of(call, *args):
    """Name of the errno that a client's call fails with; None if it works."""
    try:
        call(*args)
    except nbd.Error as bad:
        return errno.errorcode.get(bad.errnum, bad.errnum)
    return None
