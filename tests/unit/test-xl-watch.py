#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-xl-watch.py - `xl remus-status --watch`, on a terminal and in a pipe

Runs xl-under-test with an owner of the sockets that is made here, and reads
the terminal through an emulator that knows the few sequences it may use."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading

XL = os.path.join(os.environ.get("abs_top_builddir", "."),
                  "tests/unit/xl-under-test")
UUID = "6a0b3c5e-0000-4000-8000-00163e00000%d"
PATIENCE = 30
count = failed = 0


def ok(good, what, *more):
    global count, failed
    count += 1
    failed += not good
    print(f"{'' if good else 'not '}ok {count} - {what}")
    for line in () if good else more:
        print("# " + ascii(line))
    sys.stdout.flush()


class Owner:
    """A socket and who answers there. Each status is one epoch further."""

    def __init__(self, number, **keys):
        self.path = f"xl-colo.run/{UUID % number}.sock"
        self.keys = {"rc": 0, "domain": f"web{number}", "role": "primary",
                     "state": "protected", "peer": "hostb", "mode": "remus",
                     "interval_ms": 200, "epoch_committed": 0,
                     "checkpoints_total": 0, "bytes_total": 0,
                     "pause_us": 12300, "pages": 310, "bytes": 1269760,
                     "held_packets": 3, "held_bytes": 3500, "warnings": []}
        self.keys.update(keys)
        self.waits = []
        self.refuse_wait = False
        self.asked, self.went = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c = self.sock.accept()[0]
            except OSError:
                return
            line = c.makefile("rb").readline().decode().strip()
            with self.lock:
                if line == "status":
                    self.keys["epoch_committed"] += 1
                    self.keys["checkpoints_total"] += 1
                    self.keys["bytes_total"] += 1269760
                    self.reply(c, self.keys)
                elif self.refuse_wait:
                    self.reply(c, {"rc": 1, "error": "ask elsewhere"})
                else:
                    assert line == "wait", line
                    self.waits.append(c)
                    self.asked.set()
                    threading.Thread(target=self.mind, args=(c,),
                                     daemon=True).start()

    @staticmethod
    def reply(c, answer):
        # Whoever is gone has its answer no more.
        try:
            c.sendall((json.dumps(answer) + "\n").encode())
        except OSError:
            pass
        c.close()

    def mind(self, c):
        """Know when a waiting client has gone."""
        try:
            if not c.recv(1):
                self.went.set()
        except OSError:
            pass

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def end(self, outcome):
        """As a worker that ends: first the answer, then the name goes."""
        with self.lock:
            for c in self.waits:
                self.reply(c, {"rc": 0, "outcome": "?",
                               "outcome_status": outcome})
            self.vanish(False)

    def vanish(self, hang_up=True):
        os.unlink(self.path)
        self.close()
        if hang_up:
            self.hang_up()

    def killed(self):
        """The name stays, and nobody is behind it."""
        self.close()
        self.hang_up()

    def hang_up(self):
        for c in self.waits:
            c.shutdown(socket.SHUT_RDWR)
            c.close()


class Screen:
    """A terminal of some size. Anything it does not know is an error."""
    KNOWN = re.compile(r"\x1b\[(H|K|J|\?1049[hl]|\?25[hl])")

    def __init__(self, width, height):
        self.main, self.alt, self.on_alt = [], None, False
        self.cursor_shown, self.log = True, ""
        self.resize(width, height)
        self.frames = 0

    def resize(self, width, height):
        self.width, self.height = width, height
        self.rows, self.row, self.col = [""] * height, 0, 0

    def text(self):
        return "\n".join(r.rstrip() for r in self.rows)

    def feed(self, data):
        self.log += data
        at = 0
        while at < len(data):
            if data[at] == "\x1b":
                m = self.KNOWN.match(data, at)
                assert m, f"a sequence of no good: {data[at:at + 9]!r}"
                self.sequence(m.group(1))
                at = m.end()
                continue
            self.char(data[at])
            at += 1

    def sequence(self, s):
        if s == "H":
            self.row = self.col = 0
        elif s == "K":
            self.rows[self.row] = self.rows[self.row][:self.col]
        elif s == "J":
            self.rows[self.row] = self.rows[self.row][:self.col]
            for i in range(self.row + 1, self.height):
                self.rows[i] = ""
            self.frames += 1
        elif s.startswith("?1049"):
            self.on_alt = s.endswith("h")
        else:
            self.cursor_shown = s.endswith("h")

    def char(self, c):
        if not self.on_alt:
            self.main.append(c)
        elif c == "\r":
            self.col = 0
        elif c == "\n":
            self.row += 1
            assert self.row < self.height, "it would scroll"
        else:
            assert c >= " " and c != "\x7f", f"a control character: {c!r}"
            assert self.col < self.width, "a line is too long"
            line = self.rows[self.row].ljust(self.col)
            self.rows[self.row] = line[:self.col] + c + line[self.col + 1:]
            self.col += 1


class Terminal:
    """xl on a terminal of its own."""

    def __init__(self, *args, size=(80, 24), env=None):
        self.screen = Screen(*size)
        self.pid, self.fd = pty.fork()
        if not self.pid:
            # The size is there before xl asks for it.
            fcntl.ioctl(1, termios.TIOCSWINSZ,
                        struct.pack("HHHH", size[1], size[0], 0, 0))
            os.environ.update(env or {"TERM": "xterm", "LC_ALL": "C.UTF-8"})
            os.execv(XL, ["xl", "remus-status", "--watch", *args])
        self.rest = b""

    def read(self):
        """Return: False at the end"""
        if not select.select([self.fd], [], [], PATIENCE)[0]:
            raise TimeoutError(self.screen.text())
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.rest += data
        text = self.rest.decode(errors="ignore") if not data else None
        if text is None:
            for cut in range(4):
                try:
                    text = self.rest[:len(self.rest) - cut].decode()
                    break
                except UnicodeDecodeError:
                    continue
            # A sequence may be cut, too.
            tail = text.rfind("\x1b")
            if tail >= 0 and not Screen.KNOWN.match(text, tail) and \
               len(text) - tail < 8:
                text = text[:tail]
            self.rest = self.rest[len(text.encode()):]
        self.screen.feed(text)
        return bool(data)

    def until(self, good):
        while not good(self.screen):
            assert self.read(), "it ended: " + self.screen.log[-300:]

    def resize(self, width, height):
        self.screen.resize(width, height)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", height, width, 0, 0))

    def end(self):
        while self.read():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def main(self):
        return "".join(self.screen.main).replace("\r\n", "\n")


def piped(*args):
    return subprocess.Popen([XL, "remus-status", "--watch", *args],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL, text=True)


# ---- In a pipe ---------------------------------------------------------------

def test_lines():
    o = Owner(1)
    p = piped("--interval", "100", "web1")
    lines = [p.stdout.readline() for _ in range(3)]
    ok(all(re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} web1 primary protected "
        r"epoch \d+ pause 12\.3 ms 310 pages 1\.2M( \d+\.\d\d/s "
        r"\d+\.\d[KM]/s)? held 3 3\.4K\n", s) for s in lines),
       "a line a sample", *lines)
    ok("/s" not in lines[0] and "/s" in lines[2],
       "its rates from the second one on", *lines)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=PATIENCE)
    ok(p.returncode == 0 and not err and "\x1b" not in out,
       "an interrupt ends it with 0", out, err)
    ok(o.went.wait(PATIENCE), "and nobody waits any more")
    o.vanish()


def test_json():
    o = Owner(1)
    p = piped("--json", "--interval=100", UUID % 1)
    lines = [json.loads(p.stdout.readline()) for _ in range(3)]
    ok([x["epoch_committed"] for x in lines] == [1, 2, 3],
       "--json: an object a line", *lines)
    o.end(4)
    out, err = p.communicate(timeout=PATIENCE)
    ok(p.returncode == 4 and "web1: peer-lost: " in err and
       all(json.loads(x) for x in out.splitlines()),
       "and nothing else on standard output", out, err)


def test_outcomes():
    for status, name in ((0, "stopped"), (5, "poweroff"), (8, "moved"),
                         (10, "stuck")):
        o = Owner(1)
        p = piped("web1", "--interval", "60000")
        p.stdout.readline()
        o.asked.wait(PATIENCE)
        o.end(status)
        out, err = p.communicate(timeout=PATIENCE)
        ok(p.returncode == status and
           out.splitlines()[-1].startswith(f"web1: {name}: ") and not err,
           f"{name}: said at once, and the exit status", out, err)
    for strange in (-1, 12, 99999999999, "4", None):
        o = Owner(1)
        p = piped("web1", "--interval", "100")
        p.stdout.readline()
        o.asked.wait(PATIENCE)
        o.end(strange)
        out, err = p.communicate(timeout=PATIENCE)
        ok(p.returncode == 1 and "did not say why" in out,
           f"an outcome that makes no sense ({strange})", out, err)


def test_gone():
    o = Owner(1)
    p = piped("web1", "--interval", "100")
    p.stdout.readline()
    o.vanish()
    out, err = p.communicate(timeout=PATIENCE)
    ok(p.returncode == 1 and "web1: what protected it is gone" in out,
       "gone without a word", out, err)
    o = Owner(1)
    p = piped("web1", "--interval", "100")
    p.stdout.readline()
    o.killed()
    out, err = p.communicate(timeout=PATIENCE)
    ok(p.returncode == 1 and "web1: nobody answers any more: " in out and
       "refused" in out, "killed", out, err)
    os.unlink(o.path)


def test_secondary():
    o = Owner(2, role="secondary", state="protecting")
    del o.keys["pause_us"], o.keys["interval_ms"]
    p = piped("web2", "--interval", "100")
    lines = [p.stdout.readline() for _ in range(3)]
    ok(" web2 secondary protecting " in lines[2] and
       "pause" not in lines[2] and not o.waits,
       "a copy, which is not asked how it ends", *lines)
    with o.lock:
        o.keys["state"] = "running"
    out, err = p.communicate(timeout=PATIENCE)
    ok(p.returncode == 1 and out.splitlines()[-1] ==
       "web2: it is not protected any more: running",
       "its takeover is the end of it", out, err)
    o.vanish()
    o = Owner(1)
    o.refuse_wait = True
    p = piped("web1", "--interval", "100")
    lines = [p.stdout.readline() for _ in range(3)]
    ok(all(" protected " in x for x in lines),
       "one that does not tell is watched all the same", *lines)
    o.vanish()
    p.communicate(timeout=PATIENCE)


def test_all():
    p = piped()
    out, err = p.communicate(timeout=PATIENCE)
    ok(p.returncode == 0 and out == "nothing is protected on this host\n",
       "nothing to watch", out, err)
    a, b = Owner(1), Owner(2)
    p = piped("--interval", "100")
    lines = [p.stdout.readline().split()[1] for _ in range(4)]
    ok(lines == ["web1", "web2"] * 2, "all of them", *lines)
    a.asked.wait(PATIENCE)
    b.asked.wait(PATIENCE)
    a.end(4)
    while "web2" not in (x := p.stdout.readline()):
        pass
    b.end(8)
    out, err = p.communicate(timeout=PATIENCE)
    ok(p.returncode == 0 and "web1: peer-lost" in out and
       "web2: moved" in out, "and how each ended", out, err)


def test_refused():
    for args, says in ((["nobody"], "'nobody' is not protected"),):
        p = piped(*args)
        out, err = p.communicate(timeout=PATIENCE)
        ok(p.returncode == 1 and says in err and not out, says, out, err)
    for args in (["--interval", "99"], ["--interval", "3600001"],
                 ["--interval", "1s"]):
        p = piped(*args)
        out, err = p.communicate(timeout=PATIENCE)
        ok(p.returncode == 2 and "must be 100 to 3600000" in err,
           " ".join(args), out, err)
    p = subprocess.run([XL, "remus-status", "--interval", "500"], text=True,
                       capture_output=True, timeout=PATIENCE)
    ok(p.returncode == 2 and "it is for --watch" in p.stderr,
       "--interval alone", p.stderr)


# ---- On a terminal -----------------------------------------------------------

def test_terminal():
    o = Owner(1, paths=[{"connected": True}, {"connected": False}],
              silence_ms=40, warnings=["no arbiter: " + "long " * 30],
              disks=[{"vdev": "xvda", "state": "syncing", "copied_bytes": 5}])
    t = Terminal("--interval", "100", "web1")
    t.until(lambda s: s.frames >= 4)
    text = t.screen.text()
    ok(t.screen.on_alt and not t.screen.cursor_shown and
       t.screen.log.startswith("\x1b[?1049h\x1b[?25l"),
       "on a terminal: its other screen")
    for want in ("web1: primary, protected  2", "peer        hostb, heard 40 "
                 "ms ago, 1 of 2 paths", "remus, a checkpoint every 200 ms",
                 "pause       12.3 ms", "310 pages, 1.2M", "checkpoints/s",
                 "held        3 packets, 3.4K", "disk        xvda syncing "
                 "copied_bytes 5", "warning     no arbiter", "\u2588"):
        ok(want in text, "it shows: " + ascii(want), text)
    epoch = re.search(r"(\d+) released", text)
    ok(epoch and int(epoch[1]) >= 4, "the newest epoch", text)
    os.write(t.fd, b"\x03")
    status = t.end()
    ok(status == 0 and not t.screen.on_alt and t.screen.cursor_shown,
       "Ctrl-C: the terminal is as it was", status)
    ok("web1: primary, protected" in t.main(),
       "and what was seen last is there to read", t.main())
    o.vanish()


def test_resize():
    o = Owner(1, warnings=["no arbiter: " + "long " * 30])
    # No picture is on its way but the ones that are asked for.
    t = Terminal("--interval", "60000", "web1")
    t.until(lambda s: s.frames == 1)
    for size, seen in (((40, 6), False), ((100, 30), True), ((1, 1), False),
                       ((24, 3), False), ((80, 24), True)):
        n = t.screen.frames
        t.resize(*size)
        t.until(lambda s: s.frames > n)
        ok(("warning" in t.screen.text()) is seen and
           t.screen.text().startswith("web1: primary, protected"[:size[0]]),
           f"the terminal is {size[0]} by {size[1]} now", t.screen.text())
    os.write(t.fd, b"\x03")
    t.end()
    o.vanish()


def test_terminal_end():
    o = Owner(1)
    t = Terminal("--interval", "60000", "web1")
    t.until(lambda s: s.frames >= 1)
    o.asked.wait(PATIENCE)
    o.end(4)
    status = t.end()
    ok(status == 4 and not t.screen.on_alt and t.screen.cursor_shown and
       t.main().splitlines()[-1].startswith("web1: peer-lost: "),
       "the end of protection: said on the first screen", status, t.main())
    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        o = Owner(1)
        t = Terminal("web1")
        t.until(lambda s: s.frames >= 1)
        os.kill(t.pid, sig)
        status = t.end()
        ok(status == 0 and not t.screen.on_alt and t.screen.cursor_shown,
           f"{sig.name}: the terminal is as it was", status)
        o.vanish()


def test_hostile():
    bad = "\x1b]0;pwned\x07\x1b[2J\u202e\u00e4\r\n"
    o = Owner(1, state=bad, peer=bad, link=bad, mode=bad, warnings=[bad, 5],
              paths=[5, {"connected": 1}], pause_us=-5, held_bytes=-1,
              sync_percent=2**62, pages=2**62, bytes=-2**62, disk=bad,
              interval_ms=2**62, disks=[5, {bad: bad, "n": 2**62, "x": []}])
    t = Terminal("--interval", "100", "web1", size=(200, 50))
    try:
        t.until(lambda s: s.frames >= 3)
        good = True
    except AssertionError as e:
        good = str(e)
    ok(good is True, "nothing in a status reaches the terminal raw", good)
    with o.lock: # totals that go back and forth
        o.keys["checkpoints_total"] = 2**63 - 100
        o.keys["bytes_total"] = 2**62
    n = t.screen.frames
    t.until(lambda s: s.frames >= n + 2)
    with o.lock:
        o.keys["checkpoints_total"] = -2**62
        o.keys["bytes_total"] = -2**62
    n = t.screen.frames
    t.until(lambda s: s.frames >= n + 2)
    with o.lock:
        o.keys["checkpoints_total"] = 2**63 - 100
        o.keys["bytes_total"] = 2**63 - 2**40
    n = t.screen.frames
    t.until(lambda s: s.frames >= n + 2)
    os.write(t.fd, b"\x03")
    ok(t.end() == 0, "nor does a strange number end it")
    o.vanish()


def test_plain_terminal():
    o = Owner(1)
    t = Terminal("--interval", "100", "web1", env={"TERM": "dumb"})
    t.until(lambda s: "".join(s.main).count("\n") >= 2)
    os.write(t.fd, b"\x03")
    ok(t.end() == 0 and " web1 primary protected epoch " in t.main() and
       "\x1b" not in t.screen.log, "a dumb terminal gets lines", t.main())
    t = Terminal("--interval", "100", "web1",
                 env={"TERM": "xterm", "LC_ALL": "C"})
    t.until(lambda s: s.frames >= 4)
    ok(t.screen.log.isascii() and "####" in t.screen.text(),
       "one without UTF-8 gets ASCII", t.screen.text())
    os.write(t.fd, b"\x03")
    t.end()
    o.vanish()


def main():
    if not os.access(XL, os.X_OK):
        print(f"Bail out! {XL} is not built")
        return 1
    work = tempfile.mkdtemp()
    os.chdir(work)
    os.mkdir("xl-colo.run", 0o700)
    try:
        for test in (test_lines, test_json, test_outcomes, test_gone,
                     test_secondary, test_all, test_refused, test_terminal,
                     test_resize, test_terminal_end, test_hostile,
                     test_plain_terminal):
            test()
    finally:
        shutil.rmtree(work)
    print(f"1..{count}")
    return failed != 0


XL = os.path.abspath(XL)
sys.exit(main())
