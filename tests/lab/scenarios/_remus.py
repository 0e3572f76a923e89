# SPDX-License-Identifier: LGPL-2.1-or-later
# _remus.py - protect a guest, look at it, and judge what clients saw
"""Not a scenario: what the scenarios of `xl remus` share."""

import json
import time

from lablib.output import LabError

# The emulated hosts stall now and then, so the lab's limits are wider than
# the defaults; remus-default-limit.py shows that the defaults hold as well.
LIMITS = "--heartbeat 200 --limit 6000 --suspend-timeout 20000"
LOG = "/var/log/xl-colo-remus.log"
STATUS = "/run/lab-remus-status"
# Clients go on until they are told to stop: the scenario has a limit.
ON = ("--timeout", "120", "--seconds", "7200")


def start(lab, guest, peer="b-link", options="", host="A"):
    """Start `xl remus` in the background, as a person would with nohup."""
    command = f"xl remus {LIMITS} -i 500 {options} {guest.name} {peer}"
    lab.log(f"on {host}: {command}")
    lab.sh(host, f"rm -f {STATUS}; setsid sh -c '{command} >{LOG} 2>&1 "
                 f"</dev/null; echo $? >{STATUS}' >/dev/null 2>&1 "
                 "</dev/null &", check=True)


def status(lab, host="A", name=None):
    """The status of the one protection on a host; {} if there is none."""
    done = [None]

    def answered():
        done[0] = lab.sh(host, "xl remus-status --json")
        # Who is busy for longer than it waits is left out of the list.
        return b"no answer in time" not in done[0].stderr
    lab.wait(answered, 30, "remus-status to be answered", interval=0.5)
    if done[0].returncode:
        return {}
    every = json.loads(done[0].stdout)
    for one in every:
        if name in (None, one["domain"]):
            return one
    return {}


def log_of(lab, host="A"):
    """The log of `xl remus`."""
    return lab.sh(host, f"cat {LOG}").stdout.decode(errors="replace")


def ended(lab, host="A", timeout=180):
    """Wait until `xl remus` has ended; its exit status."""
    def over():
        return lab.sh(host, f"cat {STATUS}").stdout.strip()
    lab.wait(over, timeout, "xl remus to end", interval=0.3)
    return int(over())


def wait_protected(lab, host="A", timeout=300):
    """Wait until the guest is protected."""
    def there():
        if lab.sh(host, f"test -e {STATUS}").returncode == 0:
            raise AssertionError("xl remus ended early: " + log_of(lab, host))
        return status(lab, host).get("protected")
    lab.wait(there, timeout, "the guest to be protected", interval=0.5)


def protect(lab, guest, peer="b-link", options="", host="A"):
    """start() and wait_protected()."""
    start(lab, guest, peer, options, host)
    wait_protected(lab, host)


def wait_running(lab, host="B", name="g1", timeout=180):
    """Wait until the guest was taken over by a host."""
    lab.wait(lambda: status(lab, host, name).get("state") == "running",
             timeout, f"{name} to run on {host}", interval=0.3)


def stop_looking(lab, host="A"):
    """After a silence somebody stays who looks for the other copy: it shows
    itself, and ends when it is told to."""
    lab.wait(lambda: status(lab, host).get("state") == "unprotected", 20,
             "the other copy to be looked for", interval=0.3)
    assert status(lab, host)["warnings"], "nobody is warned"
    lab.out(host, "xl remus-stop g1")
    lab.wait(lambda: status(lab, host) == {}, 20, "nobody to look for it",
             interval=0.3)


REST = r"""
    ls /sys/class/net | grep -e '^rb' -e '^x[io][0-9]'
    for v in /sys/class/net/vif*; do
        [ -e $v ] || continue
        tc qdisc show dev ${v##*/} | grep clsact
        tc filter show dev ${v##*/} ingress
    done
    xenstore-ls -f /libxl | grep xl-colo | grep -v /xl-colo-clock
    ls /run/xl-colo 2>/dev/null | grep '\.sock$'
    xl list | grep -e --incoming -e --colo
    true"""


def nothing_left(lab, host, script, timeout):
    """What the script prints there is nothing, within some seconds."""
    left = ["?"]

    def gone():
        left[0] = lab.out(host, script)
        return left[0] == ""
    try:
        lab.wait(gone, timeout, "nothing to be left", interval=0.5)
    except LabError as err:
        raise AssertionError(f"left on {host}: {left[0]}") from err


def no_rest(lab, hosts=("A", "B")):
    """No trace of a protection is left on the hosts (a monitor of a running
    domain is none: xl leaves one, too; nor is the note of its clock, which a
    domain keeps that took over). Who can't hear that the other one
    closed its connections stays for --limit after all is said, so a trace
    may go a little later; what is there after 20 s is left."""
    for host in hosts:
        nothing_left(lab, host, REST, 20)


class Clients:
    """A client of each kind, all at once, through whatever happens."""

    def __init__(self, lab, guest, kinds=("redis", "http", "echo", "ssh")):
        self.lab, self.guest, self.all = lab, guest, {}
        if "redis" in kinds:
            self.all["redis"] = lab.client_start(
                "redis-count", "count", guest.address, "--strict",
                "--interval", "0.05", *ON)
        if "http" in kinds:
            self.all["http"] = lab.client_start(
                "http-get", f"http://{guest.address}/file", "--rate",
                str(256 << 10), "--count", 1, *ON)
        if "echo" in kinds:
            self.all["echo"] = lab.client_start(
                "echo-chat", guest.address, "--interval", "0.1", *ON)
        if "ssh" in kinds:
            self.all["ssh"] = lab.client_start(
                "ssh-session", "--interval", "0.3", *ON, "--",
                *guest.ssh_argv(None, "-tt"))

    def warm_up(self):
        """Every client has spoken with the guest."""
        for name, key, value in (("redis", "requests", 5),
                                 ("http", "bytes", 1), ("echo", "lines", 2),
                                 ("ssh", "lines", 1)):
            if name in self.all:
                self.all[name].wait_progress(key, value, 90)

    def go_on(self, seconds=3, timeout=120):
        """Every client goes on speaking for some seconds from now."""
        for name, key in (("redis", "requests"), ("echo", "lines"),
                          ("ssh", "lines")):
            if name in self.all:
                now = self.all[name].progress().get(key, 0)
                self.all[name].wait_progress(key, now + 3, timeout)
        end = time.monotonic() + seconds
        self.lab.wait(lambda: time.monotonic() > end, seconds + 1, "time")

    def finish(self, http_timeout=180):
        """Stop them; nothing was lost, wrong or reset. The reports."""
        reports = {}
        for name, client in self.all.items():
            reports[name] = client.report(http_timeout) if name == "http" \
                else client.stop(60)
        for name, report in reports.items():
            self.lab.log(f"{name}: " + json.dumps(
                {k: v for k, v in report.items()
                 if k not in ("per_second", "tokens")}))
            assert report["good"], f"{name}: {report}"
            assert not report.get("resets"), f"{name}: {report}"
            assert not report.get("timeouts"), f"{name}: {report}"
        if "redis" in self.all:
            self.verify()
        return reports

    def verify(self):
        """The guest has everything that it acknowledged."""
        check = self.lab.client_start(
            "redis-count", "verify", self.guest.address, "--against",
            self.all["redis"].base + ".json").report()
        assert check["lost"] == 0, check
        # Each connection has one request in flight at most.
        assert check["ahead"] <= 1, check
