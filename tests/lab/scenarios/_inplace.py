# SPDX-License-Identifier: LGPL-2.1-or-later
# _inplace.py - checkpoint a guest in dom0, and put it back in place
"""Not a scenario: what the scenarios of the in-place restore share.

The program tests/lab/programs/inplace-drive is built by `make`; where that
was not in the source tree or in one of ./quickstart's folders,
XL_COLO_LAB_PROGRAMS names its directory."""

import json
import os
import select
import shlex
import subprocess

from lablib.output import LabError
from lablib.paths import LABDIR

ROOT = os.path.dirname(os.path.dirname(LABDIR))
LOG = "/var/log/inplace-drive.log"


def program(name="inplace-drive"):
    """The path of a test program here."""
    tops = [os.path.join(ROOT, build, "tests/lab/programs") for build in
            ("build/werror", "build/plain", "build", ".")]
    for top in [os.environ.get("XL_COLO_LAB_PROGRAMS", tops[0])] + tops:
        path = os.path.join(top, name)
        if os.access(path, os.X_OK):
            return path
    raise LabError(f"{name} is not built: run make, or name its directory in "
                   "XL_COLO_LAB_PROGRAMS")


def quoted(text):
    """For a shell."""
    return shlex.quote(text)


def talk(guest, port, words, end=None):
    """Say something to one of the guest's servers on a fresh connection; the
    answer, up to end or the connection's."""
    sock = guest.lab.net.connect(guest.address, port, 30)
    if sock is None:
        raise LabError(f"port {port} of {guest.name} does not answer")
    text = b""
    with sock:
        sock.sendall(words)
        while end is None or not text.endswith(end):
            more = sock.recv(65536)
            if not more:
                break
            text += more
    return text


def redis(guest, *commands):
    """Redis's answers to inline commands on one connection, as numbers."""
    words = b"".join(c.encode() + b"\r\n" for c in commands + ("PING",))
    text = talk(guest, 6379, words, b"+PONG\r\n").decode()
    return [int(line.lstrip(":")) for line in text.split("\r\n")[:-2]
            if line[0] not in "$+"]


class Drive:
    """inplace-drive in a host's dom0, from its first checkpoint on."""

    def __init__(self, lab, guest, options="", host="A"):
        self.lab, self.guest, self.host = lab, guest, host
        lab.push(host, program(), "/root/inplace-drive")
        self.process = subprocess.Popen(
            lab.host(host).ssh_argv(
                f"/root/inplace-drive {options} {guest.name} 2>{LOG}"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.first = self._answer("the first checkpoint", 90)

    def _answer(self, what, timeout):
        out = self.process.stdout
        ready, _, _ = select.select([out], [], [], timeout)
        line = out.readline() if ready else b""
        if not line:
            raise LabError(f"inplace-drive: {what}: "
                           + ("no answer" if not ready else "it ended")
                           + "; its log:\n" + self.log()[-3000:])
        return json.loads(line)

    def log(self):
        """What it said."""
        return self.lab.sh(self.host, f"cat {LOG}").stdout.decode(
            errors="replace")

    def ask(self, command, timeout=60):
        """Give it a command; its answer."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self._answer(command, timeout)

    def checkpoint(self):
        """Another checkpoint."""
        return self.ask("checkpoint", 90)

    def back(self, verify=False):
        """The guest goes back; with verify not one page may differ."""
        answer = self.ask("verify" if verify else "back")
        assert answer.get("back"), f"{answer}\n{self.log()[-3000:]}"
        assert answer["differs"] == 0, f"{answer}\n{self.log()[-3000:]}"
        return answer

    def connected(self):
        """Wait until the guest has connected its devices; the seconds."""
        answer = self.ask("connected")
        if not answer["connected"]:
            raise LabError("the guest did not connect its devices:\n"
                           + self.guest.console()[-3000:])
        return answer["after_us"] / 1e6

    def quit(self):
        """End it; the guest runs on."""
        self.process.stdin.write(b"quit\n")
        self.process.stdin.close()
        self.process.stdout.read()
        status = self.process.wait(60)
        assert status == 0, f"status {status}:\n{self.log()[-3000:]}"
