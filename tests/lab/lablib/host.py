# SPDX-License-Identifier: LGPL-2.1-or-later
# host.py - one Xen host: power, commands in its dom0, files
"""A host is a QEMU process, an overlay on the shared image, and an ssh
master connection over the management network.  Every command goes through
the master: the expensive key exchange (emulated) is paid once per boot.
All three have files in the host's directory:

  disk.qcow2  qemu.pid  qemu.log  qmp  serial  serial.log   the machine
  ssh  ssh.pid  ssh.log                                     the master

States: off (no QEMU) -> starting -> ready (the master is connected).
start_cold() keeps the disk if there is one, start_saved() replaces it."""

import os
import signal
import subprocess
import time

from . import net, procs, qemu
from .output import LabError
from .wait import wait

BOOT_LIMIT = 400
DATE_TAKES = 0.02  # seconds from reading the time to setting it, emulated
READY = b"is ready\r"


class Host:
    """Host "A" or "B" of a lab."""

    def __init__(self, name, place, network, images):
        self.name = name
        self.place = os.path.join(place, name)
        self.net = network
        self.images = images

    def file(self, name):
        """The path of one of the host's files."""
        return os.path.join(self.place, name)

    # Power

    def running(self):
        """Whether the machine has power."""
        return procs.alive(self.file("qemu.pid")) is not None

    def _launch(self, incoming=None, lock=None, **args):
        os.makedirs(self.place, exist_ok=True)
        log = self.file("serial.log")
        if os.path.exists(log):
            older = 1
            while os.path.exists(f"{log}.{older}"):
                older += 1
            os.rename(log, f"{log}.{older}")
        for name in ("qmp", "serial"):
            if os.path.exists(self.file(name)):
                os.unlink(self.file(name))
        argv = qemu.command(self.name, self.place, self.images,
                            self.file("disk.qcow2"), incoming, **args)
        procs.spawn(self.net.argv(*argv), self.file("qemu.pid"),
                    self.file("qemu.log"),
                    pass_fds=() if lock is None else (lock,))
        self._until(lambda: os.path.exists(self.file("qmp")), 30,
                    "its monitor")

    def _until(self, condition, timeout, what):
        def check():
            if not self.running():
                raise LabError(f"QEMU of host {self.name} ended: "
                               + self.tail("qemu.log"))
            return condition()
        try:
            wait(check, timeout, f"host {self.name}: {what}")
        except LabError as err:
            raise LabError(f"{err}; its console's last lines:\n"
                           + self.tail("serial.log")) from None

    def tail(self, name, size=1500):
        """The end of one of the host's logs."""
        try:
            with open(self.file(name), "rb") as f:
                return f.read()[-size:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def overlay(self, backing, form):
        """Give the host a fresh disk on top of backing."""
        os.makedirs(self.place, exist_ok=True)
        procs.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", form,
                   "-b", backing, self.file("disk.qcow2")])

    def start_cold(self, lock=None, **args):
        """Switch on and boot; returns once commands can be given."""
        if not os.path.exists(self.file("disk.qcow2")):
            self.overlay(os.path.join(self.images, "dom0.raw"), "raw")
        self._launch(lock=lock, **args)
        self._until(lambda: READY in self._console(), BOOT_LIMIT, "its boot")
        self.connect()

    def _console(self):
        try:
            with open(self.file("serial.log"), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""

    def start_saved(self, saved, lock=None):
        """Switch on with the state in the directory saved.  Nothing that
        the host was before matters any more, its console logs neither."""
        for name in os.listdir(self.place) if os.path.isdir(
                self.place) else []:
            if name.startswith(("serial.log", "qemu.log", "ssh.log")):
                os.unlink(self.file(name))
        self.overlay(os.path.join(saved, f"{self.name}.qcow2"), "qcow2")
        self._launch(os.path.join(saved, f"{self.name}.state"), lock)
        with qemu.Qmp(self.file("qmp")) as monitor:
            monitor.resume()
        self.connect()
        self.freshen()

    def freshen(self):
        """Undo what a saved state makes stale: the clock, and random
        numbers that every lab of this state would share; let paused
        guests go on.  The time is sent when the far shell waits for it, so
        ssh's latency is not in it."""
        shell = subprocess.Popen(
            self.ssh_argv("echo; read -r now; date -s @$now >/dev/null; "
                          "head -c 64 >/dev/urandom; "
                          "for d in $(cat /run/lab-paused 2>/dev/null); do "
                          "/usr/sbin/xl unpause $d; done; "
                          "rm -f /run/lab-paused"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with shell:
            shell.stdout.readline()
            shell.stdin.write(b"%.3f\n" % (time.time() + DATE_TAKES)
                              + os.urandom(64))
            shell.stdin.close()
        if shell.returncode != 0:
            raise LabError(f"host {self.name} could not be set right after "
                           "its saved state was read: "
                           + self.tail("serial.log"))

    def power_off(self):
        """Take the power away: SIGKILL, no goodbye."""
        gone = procs.end(self.file("qemu.pid"), signal.SIGKILL)
        self.disconnect()
        return gone

    def pause_guests(self):
        """Pause every guest; freshen() lets them go on. By Debian's xl: the
        product's refuses to pause one that is protected."""
        self.sh("xl list | awk 'NR > 2 { print $2 }' >/run/lab-paused; "
                "for d in $(cat /run/lab-paused); do /usr/sbin/xl pause $d; "
                "done",
                check=True)

    def save(self, directory):
        """Write the running machine's state and disk to directory, and
        switch it off."""
        self.sh("sync", check=True)
        self.disconnect()
        with qemu.Qmp(self.file("qmp")) as monitor:
            monitor.save(os.path.join(directory, f"{self.name}.state"))
            monitor("quit")
        wait(lambda: not self.running(), 30, "QEMU to quit")
        procs.end(self.file("qemu.pid"))
        os.rename(self.file("disk.qcow2"),
                  os.path.join(directory, f"{self.name}.qcow2"))

    # Commands

    def _ssh(self, *options):
        keys = os.path.join(self.images, "keys")
        return ["ssh", "-F", "none", "-S", self.file("ssh"), "-i",
                f"{keys}/id", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
                "-o", f"UserKnownHostsFile={keys}/known_hosts",
                "-o", "IdentitiesOnly=yes",
                "-o", "KexAlgorithms=curve25519-sha256",
                "-o", "HostKeyAlgorithms=ssh-ed25519",
                *options, "root@" + net.address(self.name)]

    def connect(self):
        """Start the ssh master, once sshd answers."""
        self.disconnect()

        def banner():
            sock = self.net.connect(net.address(self.name), 22)
            if sock is None:
                return False
            with sock:
                try:
                    return sock.recv(4) == b"SSH-"
                except OSError:
                    return False
        self._until(banner, 180, "its sshd")
        procs.spawn(self.net.argv(*self._ssh("-M", "-N")),
                    self.file("ssh.pid"), self.file("ssh.log"))

        def connected():
            if not procs.alive(self.file("ssh.pid")):
                raise LabError(f"ssh to host {self.name} failed: "
                               + self.tail("ssh.log"))
            return os.path.exists(self.file("ssh"))
        self._until(connected, 180, "its ssh connection")

    def disconnect(self):
        """End the ssh master, if there is one."""
        procs.end(self.file("ssh.pid"))
        if os.path.exists(self.file("ssh")):
            os.unlink(self.file("ssh"))

    def ssh_argv(self, command):
        """The argv that runs a command in dom0, for a caller who handles
        its input and output."""
        if not os.path.exists(self.file("ssh")):
            state = "has no connection" if self.running() else "is off"
            raise LabError(f"host {self.name} {state}: 'lab power-on "
                           f"{self.name}' starts it")
        return self._ssh("-o", "ControlMaster=no", "-o",
                         "ProxyCommand=false", "--") + [command]

    def sh(self, command, check=False, timeout=120, input=None):
        """Run a command in dom0; returns a subprocess.CompletedProcess with
        bytes.  With check a status that is not 0 is a LabError."""
        try:
            done = procs.call(self.ssh_argv(command), timeout=timeout,
                              input=b"" if input is None else input)
        except subprocess.TimeoutExpired:
            raise LabError(f"host {self.name} did not finish '{command}' "
                           f"in {timeout} s") from None
        if check and done.returncode != 0:
            text = (done.stderr or done.stdout).decode(errors="replace")
            raise LabError(f"'{command}' on host {self.name} ended with "
                           f"status {done.returncode}: {text.strip()[-2000:]}")
        return done

    def push(self, source, target):
        """Copy a file into dom0, with its mode."""
        with open(source, "rb") as f:
            mode = os.fstat(f.fileno()).st_mode & 0o7777
            self._copy(f"cat >{target} && chmod {mode:o} {target}", stdin=f)

    def pull(self, source, target):
        """Copy a file out of dom0."""
        with open(target, "wb") as f:
            self._copy(f"cat {source}", stdout=f)

    def _copy(self, command, **streams):
        done = subprocess.run(self.ssh_argv(command), stderr=subprocess.PIPE,
                              **streams)
        if done.returncode != 0:
            raise LabError(f"copying with host {self.name} failed: "
                           + done.stderr.decode(errors="replace").strip())
