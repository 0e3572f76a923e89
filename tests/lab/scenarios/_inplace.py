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


# Where a guest's kernel keeps what the hypervisor writes to: in the order of
# inplace-verify.h.
SYMBOLS = ("__per_cpu_offset", "xen_vcpu_info", "cpu_control_block",
           "event_array", "xen_auto_xlat_grant_frames")


def symbols(guest):
    """The addresses of SYMBOLS in the guest's kernel, as words."""
    text = guest.sh("grep -E ' (" + "|".join(SYMBOLS) + ")$' /proc/kallsyms",
                    check=True).stdout.decode()
    table = {name: address for address, _, name in
             (line.split() for line in text.splitlines())}
    assert set(table) == set(SYMBOLS), text
    return " ".join(table[name] for name in SYMBOLS)


class Drive:
    """inplace-drive in a host's dom0, from its first checkpoint on."""

    def __init__(self, lab, guest, options="", host="A", words=None):
        self.lab, self.guest, self.host = lab, guest, host
        lab.push(host, program(), "/root/inplace-drive")
        words = words or symbols(guest)
        self.process = subprocess.Popen(
            lab.host(host).ssh_argv(
                f"/root/inplace-drive {options} {guest.name} 2>{LOG}"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.staged = 0
        self.first = self._epoch(self._answer("the first checkpoint", 90))
        answer = self.ask("symbols " + words)
        assert answer["symbols"], f"{answer}: {words}"

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

    def _epoch(self, answer):
        """Of each checkpoint: the last, and the largest in MiB, rounded up."""
        self.last = answer
        self.staged = max(self.staged, -(-answer["octets"] >> 20))
        return answer

    def checkpoint(self):
        """Another checkpoint."""
        return self._epoch(self.ask("checkpoint", 90))

    def back(self, verify=False):
        """The guest goes back; with verify not one page may differ."""
        answer = self.ask("verify" if verify else "back")
        assert answer.get("back"), f"{answer}\n{self.log()[-3000:]}"
        assert answer["differs"] == 0, f"{answer}\n{self.log()[-3000:]}"
        return answer

    def connected(self):
        """Wait until the guest has connected its devices; the seconds."""
        answer = self.ask("connected", 90)
        if not answer["connected"]:
            raise LabError("the guest did not connect its devices:\n"
                           + self.autopsy())
        return answer["after_us"] / 1e6

    def autopsy(self):
        """What is to be known of a guest that does not come back: where its
        virtual CPUs are, twice; its nodes, events and words."""
        look = AUTOPSY.replace("@NAME@", self.guest.name)
        return (self.lab.sh(self.host, look).stdout.decode(errors="replace")
                + self.guest.console()[-3000:] + self.log()[-3000:])

    def quit(self):
        """End it; the guest runs on."""
        self.process.stdin.write(b"quit\n")
        self.process.stdin.close()
        self.process.stdout.read()
        status = self.process.wait(60)
        assert status == 0, f"status {status}:\n{self.log()[-3000:]}"


AUTOPSY = r"""
domid=$(xl domid @NAME@)
xl list -v
xl vcpu-list
xenstore-ls -f | grep -E "^(/libxl/|/local/domain/(0/backend/[a-z]+/)?)$domid/"
for again in 1 2; do
    for vcpu in $(xl vcpu-list $domid | awk 'NR > 1 { print $3 }'); do
        /usr/lib/xen-*/bin/xenctx -C $domid $vcpu 2>&1 | head -60
    done
    sleep 1
done
xl dmesg -c >/dev/null
xl debug-keys e
xl debug-keys q
xl dmesg | tail -150
dmesg | tail -30
"""

# What is counted, and by how much more may be there later.
USED = r"""
count() { echo "$1 $2"; }
pid=$(pidof inplace-drive)
count drive_fds $(ls /proc/$pid/fd | wc -l)
count drive_kib $(awk '/^VmRSS/ { print $2 }' /proc/$pid/status)
for name in xenstored oxenstored xenconsoled; do
    pid=$(pidof $name) || continue
    count ${name}_fds $(ls /proc/$pid/fd | wc -l)
    count ${name}_kib $(awk '/^VmRSS/ { print $2 }' /proc/$pid/status)
done
count store_nodes $(xenstore-ls -f | wc -l)
count dom0_channels $(grep -c xen-dyn /proc/interrupts)
count dom0_kib $(awk '/^(MemTotal|MemFree|Cached|Buffers)/ { v[$1] = $2 }
    END { print v["MemTotal:"] - v["MemFree:"] - v["Cached:"] - v["Buffers:"]
    }' /proc/meminfo)
count interfaces $(ls /sys/class/net | wc -l)
count xen_used_mib $(xl info | awk '$1 ~ /^(total|free)_memory$/ { v[$1] = $3
    } END { print v["total_memory"] - v["free_memory"] }')
xl dmesg -c >/dev/null
xl debug-keys e
xl debug-keys g
xl dmesg -c >/tmp/xen-used
# Of all domains: their channels, and the grants that somebody has mapped.
count xen_channels $(grep -c '[]]: s=' /tmp/xen-used)
count xen_grants $(grep -cE '[[]0x[0-9a-f]+[]] +[0-9]+ 0x' /tmp/xen-used)
count xen_lines $(wc -l </tmp/xen-used)
"""
SPARE = {"drive_kib": 512, "heap_kib": 64, "oxenstored_kib": 2048, "xenstored_kib": 512,
         "xenconsoled_kib": 256, "dom0_kib": 8192, "xen_used_mib": 1}


def used(lab, drive):
    """How much of everything is in use on the drive's host, without what the
    largest epoch makes as large as itself: the guest's image, and the pieces
    of 1 MiB that checkpoints are taken in."""
    lines = lab.out(drive.host, USED).split("\n")
    values = {name: int(value) for name, value in map(str.split, lines)}
    values["heap_kib"] = drive.ask("memory")["heap_octets"] // 1024
    for name in ("drive_kib", "dom0_kib"):
        values[name] -= drive.last["image_octets"] // 1024
    for name in ("drive_kib", "dom0_kib", "heap_kib"):
        values[name] -= drive.staged * 1024
    return values


def grown(before, after):
    """What of used() has grown by more than it may."""
    return {name: (before[name], value) for name, value in after.items()
            if value > before[name] + SPARE.get(name, 0)}
