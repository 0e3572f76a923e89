# SPDX-License-Identifier: LGPL-2.1-or-later
# lab.py - one lab: two hosts, the network, the guests; what scenarios use
"""A lab exists while its run directory exists: lab.json there says which
images it runs, and everything it started has a PID file below it or is a
process in its namespace.  down() needs nothing else, so it also clears up
after a lab whose `up` was killed."""

import json
import os
import shutil
import signal
import subprocess

from . import guest, images, logs, net, procs, saved, snapshots, wait
from . import recipe as recipes
from .client import Client
from .host import Host
from .output import LabError, say, stage, together
from .paths import locked, open_lock, run_dir, run_root


class Lab:
    """The lab called name.  Lab.attach() finds one that is up."""

    def __init__(self, name):
        self.name = name
        self.place = run_dir(name)
        self.net = net.Net(name)
        self.hosts = {}
        self.images = self.saved = self.xen = self._lock = None

    # Up and down

    @classmethod
    def attach(cls, name):
        """The running lab called name."""
        lab = cls(name)
        if not lab._load():
            raise LabError(f"the lab '{name}' is not up: start it with "
                           f"'lab --lab {name} up'")
        return lab

    def is_up(self):
        """Whether a lab of this name is up."""
        return os.path.exists(os.path.join(self.place, "lab.json"))

    def _load(self):
        try:
            with open(os.path.join(self.place, "lab.json")) as f:
                state = json.load(f)
        except FileNotFoundError:
            return False
        self.images, self.saved = state["images"], state["saved"]
        self.xen = state["xen"]
        self._make_hosts()
        return True

    def _make_hosts(self):
        self.hosts = {h: Host(h, self.place, self.net, self.images)
                      for h in net.HOSTS}

    def _flock(self):
        """A shared lock on the images, for a QEMU to inherit."""
        if self._lock is None:
            self._lock = open_lock(os.path.join(self.images, "lock"),
                                   exclusive=False)
        return self._lock

    def up(self, suite=None, xen=None, fresh=False):
        """Bring the lab up; on any failure nothing of it is left."""
        os.makedirs(run_root(), exist_ok=True)
        with locked(self.place + ".lock"):
            if self._load():
                if (suite or xen) and recipes.choose(suite, xen).xen \
                        != self.xen:
                    raise LabError(f"the lab '{self.name}' is up with Xen "
                                   f"{self.xen}: end it with 'lab down'")
                self.heal_hosts()
                return self
            try:
                self._create(recipes.choose(suite, xen), fresh)
            except BaseException:
                self.down()
                raise
        return self

    def _create(self, recipe, fresh):
        self.down()  # what a killed `up` may have left
        self.images, self._lock = images.ensure(recipe, fresh)
        self.saved = saved.ensure(self.images, self._lock)
        self.xen = recipe.xen
        self._make_hosts()
        os.makedirs(self.place)
        with stage(f"lab '{self.name}', Xen {self.xen}"):
            self.net.create()
            together(*[lambda h=h: h.start_saved(self.saved, self._lock)
                       for h in self.hosts.values()])
        with open(os.path.join(self.place, "lab.json"), "w") as f:
            json.dump({"images": self.images, "saved": self.saved,
                       "xen": self.xen}, f)

    def down(self):
        """End everything of this lab."""
        for top, _, names in os.walk(self.place):
            for name in names:
                if name.endswith(".pid"):
                    fast = name == "qemu.pid"
                    procs.end(os.path.join(top, name), signal.SIGKILL
                              if fast else signal.SIGTERM)
        if self.net.exists():
            self._end_strays()
            self.net.destroy()
        shutil.rmtree(self.place, ignore_errors=True)

    def _end_strays(self):
        """End what still runs in the namespace, for example a command of
        `lab client` that was put into the background."""
        def pids():
            text = procs.run(["ip", "netns", "pids", self.net.ns]).decode()
            return [int(p) for p in text.split() if int(p) != os.getpid()]

        for pid in pids():
            say(f"ending process {pid}, left in the client's namespace")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait.wait(lambda: not pids(), 10, "processes in the namespace to end")

    def heal_hosts(self):
        """Switch on every host that is off, from its disk."""
        off = [h for h in self.hosts.values() if not h.running()]
        together(*[lambda h=h: h.start_cold(self._flock()) for h in off])

    # Snapshots

    def snapshot(self, name):
        """Save both hosts as they are, for reset(name), and go on; see
        snapshots.py."""
        snapshots.make(self, name)

    def reset(self, name=None):
        """Both hosts as after `up`, or as after snapshot(name); wires
        healed, clients ended."""
        place = snapshots.find(self, name) if name else self.saved
        self.end_clients()
        for host in self.hosts.values():
            host.power_off()
        self.net.reset()
        snapshots.restore_guests(self, place)
        together(*[lambda h=h: h.start_saved(place, self._flock())
                   for h in self.hosts.values()])

    # Hosts

    def host(self, name):
        """The host called name."""
        if name not in self.hosts:
            raise LabError(f"there is no host '{name}': use A or B")
        return self.hosts[name]

    def sh(self, host, command, check=False, timeout=120, input=None):
        """Run a command in a host's dom0; a CompletedProcess (bytes)."""
        return self.host(host).sh(command, check, timeout, input)

    def out(self, host, command, timeout=120):
        """The output of a command that must succeed, as text."""
        return self.sh(host, command, True, timeout).stdout.decode(
            errors="replace").strip()

    def push(self, host, source, target):
        """Copy a file into dom0."""
        self.host(host).push(source, target)

    def pull(self, host, source, target):
        """Copy a file out of dom0."""
        self.host(host).pull(source, target)

    def power_off(self, host):
        """Take the power from a host: SIGKILL, no goodbye."""
        self.host(host).power_off()

    def power_on(self, host, saved=False, dom0_args=""):
        """Boot a host from its disk, or reset it to its saved state.  A boot
        may add words to dom0's command line: "lab.xenstored=C" starts the C
        xenstored instead of oxenstored."""
        if self.host(host).running():
            raise LabError(f"host {host} is on already")
        if saved:
            self.host(host).start_saved(self.saved, self._flock())
        else:
            self.host(host).start_cold(self._flock(), dom0_args=dom0_args)

    def install(self, tree):
        """Unpack the directory tree into / of both hosts; ldconfig."""
        def one(host):
            tar = subprocess.Popen(
                ["tar", "-C", tree, "--owner=0", "--group=0", "-cf", "-",
                 "."], stdout=subprocess.PIPE)
            done = subprocess.run(
                host.ssh_argv("tar -C / --keep-directory-symlink "
                              "--no-overwrite-dir -xf - && ldconfig"),
                stdin=tar.stdout, capture_output=True)
            tar.stdout.close()
            if tar.wait() or done.returncode:
                raise LabError(f"installing {tree} on host {host.name} "
                               "failed: " + done.stderr.decode().strip())
        if not os.path.isdir(tree):
            raise LabError(f"{tree} is not a directory: give the DESTDIR of "
                           "a 'make install'")
        together(*[lambda h=h: one(h) for h in self.hosts.values()])

    # Network

    def cut(self, wire, host=None):
        """Cut "link" or "lan", for one host or both."""
        self.net.cut(wire, host)

    def deafen(self, wire, host):
        """Cut a wire in one direction: the host hears nothing on it."""
        self.net.deafen(wire, host)

    def heal(self, wire, host=None):
        """Undo cut() and deafen()."""
        self.net.heal(wire, host)

    def rate(self, wire, rate):
        """Limit a wire to, say, "100mbit"; None for no limit."""
        self.net.rate(wire, rate)

    # Guests and clients

    def guest_start(self, kind, **options):
        """Start a guest, see guest.start()."""
        return guest.start(self, kind, **options)

    def guests(self):
        """{name: Guest} of all guests started since the last reset."""
        return guest.known(self)

    def client_start(self, program, *args):
        """Start one of tests/lab/clients in the background."""
        return Client(self, program, args)

    def client(self, command, timeout=None):
        """Run a shell command as the client; a CompletedProcess."""
        return subprocess.run(self.net.argv("sh", "-c", command),
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=timeout)

    def end_clients(self):
        """End all client programs."""
        place = os.path.join(self.place, "clients")
        for name in os.listdir(place) if os.path.isdir(place) else []:
            if name.endswith(".pid"):
                procs.end(os.path.join(place, name))

    # Small things for scenarios

    def wait(self, condition, timeout, what, interval=0.05):
        """Poll condition() until it is true; a LabError after timeout."""
        return wait.wait(condition, timeout, what, interval)

    def log(self, text):
        """A line of progress; in `lab run` also in the scenario's log."""
        say(text)

    def logs(self, directory):
        """Collect everything that explains a failure."""
        logs.collect(self, directory)
