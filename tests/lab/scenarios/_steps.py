# SPDX-License-Identifier: LGPL-2.1-or-later
# _steps.py - stop the product at a step of its own, and what then is true
"""Not a scenario: what those that hit one step share.  programs/step-stop puts
a breakpoint at a function of the running worker, as a debugger does: nothing
in the product is made for it."""

import hashlib
import re
import subprocess
import sys

import _colo
import _inplace
import _remus
from lablib.output import LabError
from lablib.paths import CLIENTS

sys.path.insert(0, CLIENTS)
import common  # noqa: E402  (one of the clients' modules)

TOOL = "/root/step-stop"
LOG = "/var/log/xen/xl-remus-g1.log"
FILE = 8 << 20  # the guests' file
# What is left in the packets' path, or of a copy.
PATH = r"""ls /sys/class/net | grep -e '^x[io][0-9]'
    tc qdisc show | grep clsact
    xl list | grep -e --incoming -e --colo
    true"""

# Each answer is the guest's choice, which no copy makes as well: only an epoch
# takes it to the other host.
TOKENS = r"""cat >/tmp/promise <<'END'
#!/bin/sh
while read -r line; do
    read -r token </proc/sys/kernel/random/uuid
    echo "$token" >>/tmp/promised
    echo "$line $token"
done
END
chmod +x /tmp/promise
socat TCP-LISTEN:14,fork,reuseaddr,nodelay EXEC:/tmp/promise,nofork \
    >/dev/null 2>&1 </dev/null &"""


def serve(guest):
    """What Clients wants, before the guest is protected."""
    guest.sh(TOKENS, check=True, timeout=90)


class Clients(_remus.Clients):
    """Those of _remus, and one to whom the guest promises what it chooses at
    random."""

    def __init__(self, lab, guest):
        # One that begins is not asked to wait for an answer to its ARP, which
        # a checkpoint may hold for longer than the client's kernel tries.
        lab.net.shell(f"ip neigh replace {guest.address} lladdr {guest.mac} "
                      "nud permanent dev br-lan")
        super().__init__(lab, guest, ("redis", "http", "echo"))
        self.all["tokens"] = lab.client_start("token-chat", guest.address,
                                              *_remus.ON)

    def warm_up(self):
        super().warm_up()
        self.all["tokens"].wait_progress("lines", 1, 300)

    def go_on(self, seconds=3, timeout=240):
        tokens = self.all["tokens"]
        now = tokens.progress()["lines"]
        super().go_on(seconds, timeout)
        tokens.wait_progress("lines", now + 2, timeout)

    def remembered(self, report):
        """The guest has every word that it said, and one more at most."""
        kept = self.guest.sh("cat /tmp/promised", check=True,
                             timeout=90).stdout.decode().split()
        said = report["tokens"]
        lost = [token for token in said if token not in kept]
        assert not lost, f"{len(lost)} of {len(said)} answers came from a " \
            f"guest that is gone: {lost[:5]}"
        more = len(kept) - len(said)
        assert more <= 1 + report["resets"], f"{more} words too many"

    def lasting(self):
        """New connections are served, old ones may have broken, and nothing
        that was acknowledged is lost."""
        reports = {}
        for name, key in (("redis", "requests"), ("tokens", "lines")):
            client = self.all[name]
            client.wait_progress(key, client.progress()[key] + 3, 180)
            reports[name] = client.stop(60)
            assert reports[name]["good"], reports[name]
        self.verify()
        self.remembered(reports["tokens"])
        return reports

    def finish(self, http_timeout=400):
        reports = super().finish(http_timeout)
        self.remembered(reports["tokens"])
        return reports


class Stop:
    """The worker of a host, to be stopped (or killed) at a step."""

    def __init__(self, lab, host, points, action="stop", seconds=240):
        self.lab, self.host = lab, host
        self.pid = _remus.status(lab, host)["pid"]
        self.points = points
        lab.push(host, _inplace.program("step-stop"), TOOL)
        self.tool = subprocess.Popen(
            lab.host(host).ssh_argv(f"{TOOL} {self.pid} {seconds} {action} "
                                    + " ".join(points)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self._expect("armed")

    def _line(self):
        """The next line; the tool has a time limit of its own."""
        line = self.tool.stdout.readline()
        if not line:
            raise LabError(f"{self.points} on {self.host}: "
                           + (self.tool.communicate()[1].strip()
                              or "not reached in time"))
        return line.split()

    def _expect(self, word):
        line = self._line()
        if line[0] != word:
            raise LabError(f"step-stop said {line}, not {word}")
        return [int(n) for n in line[1:]]

    def reached(self):
        """Wait until it is: {function: [second argument, third]}."""
        found = {}
        for point in self.points:
            name = re.split("[=:]", point)[0]
            found[name] = self._expect(name)
        words = self._line()
        if words not in (["stopped"], ["killed"]):
            raise LabError(f"step-stop said {words}")
        self.tool.communicate(timeout=30)
        return found

    def go_on(self):
        """Let the worker, which stands at the step, go on."""
        self.lab.out(self.host, f"kill -CONT {self.pid}")


def checkpoint(lab):
    """Ask for one, and wait for nothing."""
    lab.sh("A", "setsid timeout 60 xl remus-checkpoint g1 >/dev/null 2>&1 "
                "</dev/null &", check=True)


def last_epoch(lab):
    """The newest that A's worker was told of."""
    return max([e["epoch"] for e in _colo.events(lab, "checkpoint")] or [0])


def opened_from(lab):
    """From which epoch the guest runs on B."""
    text = lab.out("B", f"cat {LOG}")
    found = re.findall(r"runs here as domain \d+, from epoch (\d+)", text)
    if len(found) != 1:
        raise AssertionError(f"taken over {len(found)} times: " + text[-2000:])
    return int(found[0])


def domains(lab, host):
    """{name: paused?} of the guest and its copies on a host; {} without
    power."""
    if not lab.host(host).running():
        return {}
    lines = lab.out(host, "xl list").splitlines()[2:]
    return {line.split()[0]: line.split()[-2][2:3] == "p" for line in lines}


def only_on(lab, host):
    """The guest runs on one host, and nothing of it is on the other."""
    other = "B" if host == "A" else "A"
    lab.wait(lambda: domains(lab, other) == {} and
             domains(lab, host) == {"g1": False}, 180,
             f"the guest to be on {host} alone", interval=0.5)


def same_file(report):
    """The download is the file, to the last octet."""
    digest = hashlib.sha256()
    for block in common.file_blocks(FILE):
        digest.update(block)
    assert report["complete"] and report["sha256"] == digest.hexdigest(), \
        report


def sweep(lab, host):
    """A receiver that was killed leaves its socket; xl remus-status says so,
    and that it is to be removed. One at which somebody answers stays."""
    said = lab.sh(host, "xl remus-status").stderr.decode()
    for path in re.findall(r"(\S+\.sock) is what a killed process left behind",
                           said):
        lab.out(host, f"rm {path}")


def clear_path(lab, host):
    """Nothing of ours is in the packets' path, once no connection is left
    that needs it, nor a copy."""
    _remus.nothing_left(lab, host, PATH, 180)
