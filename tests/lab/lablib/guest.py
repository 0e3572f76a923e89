# SPDX-License-Identifier: LGPL-2.1-or-later
# guest.py - guests with real servers: configuration, start, commands
"""A guest's name, address and MAC are chosen once and kept in the lab's
guests.json until the hosts are reset, so a guest that was stopped or that
failed over keeps them.  Its configuration is on both hosts under the same
name, and so are its kernel and initramfs; only a disk is made where it is
asked for."""

import json
import os
import shlex
import subprocess

from . import net
from .output import LabError, say
from .wait import wait

KINDS = ("pv", "pvh", "hvm")
FIRST = 101
START_LIMIT = {"pv": 300, "pvh": 300, "hvm": 600}
ECHO_PORT = 7

# Kernel options that only save time: no self-tests, no probing for hardware.
FAST = ("quiet mitigations=off random.trust_cpu=on net.ifnames=0 audit=0 "
        "apparmor=0 cryptomgr.notests 8250.nr_uarts=0 initcall_blacklist="
        "init_kprobe_trace,crypto_kdf108_init")

CONFIG = """\
# written by the lab
name = "{name}"
type = "{kind}"
memory = {memory}
maxmem = {memory}
vcpus = {vcpus}
kernel = "/srv/lab/guest/{kernel}"
ramdisk = "/srv/lab/guest/initrd.img"
extra = "console=hvc0 {fast} lab.name={name} lab.ip={address}/24 {extra}"
vif = ["mac={mac},bridge=xenbr0"]
{more}"""

HVM_CONFIG = """\
serial = "pty"
vga = "none"
vnc = 0
usb = 0
"""


class Guest:
    """A guest of the lab; where it runs is asked from the hosts."""

    def __init__(self, lab, name, kind, number):
        self.lab = lab
        self.name = name
        self.kind = kind
        self.number = number
        self.address = f"{net.SUBNETS['lan']}.{number}"
        self.address6 = f"fd77::{number}"
        self.mac = f"00:16:3e:77:00:{number:02x}"
        self.disk = f"/srv/lab/{name}.img"

    def config(self, memory=128, vcpus=1, disk=False, http=8, ip6=False,
               extra="", config="", mirror=False):
        """The guest's xl.cfg."""
        words, more = [f"lab.http={http}"], []
        if disk:
            script = "script=block-colo," if mirror else ""
            more.append(f'disk = ["format=raw,vdev=xvda,access=rw,{script}'
                        f'target={self.disk}"]')
            words.append("lab.root=/dev/xvda")
        if ip6:
            words.append(f"lab.ip6={self.address6}/64")
        if self.kind == "hvm":
            more.append(HVM_CONFIG)
        return CONFIG.format(
            fast=FAST, name=self.name, kind=self.kind, memory=memory,
            vcpus=vcpus,
            kernel="vmlinuz" if self.kind == "hvm" else "vmlinux",
            address=self.address, mac=self.mac,
            extra=" ".join(words + [extra]),
            more="\n".join(more + [config, ""]))

    def write_config(self, text):
        """Put the configuration on every host that has power."""
        for host in self.lab.hosts.values():
            if host.running():
                host.sh(f"cat >/etc/xen/{self.name}.cfg", check=True,
                        input=text.encode())

    def make_disk(self, host):
        """Give the guest a fresh copy of the guests' root disk on a host."""
        self.lab.host(host).sh(
            f"cp --sparse=always /srv/lab/guest/disk.img {self.disk}",
            check=True)

    def create(self, host, timeout=None):
        """xl create on a host, and wait until the guest answers."""
        self.lab.host(host).sh(f"xl create /etc/xen/{self.name}.cfg",
                               check=True, timeout=180)
        self.wait_answer(timeout or START_LIMIT[self.kind])

    def answers(self, timeout=1.0):
        """Whether the echo server sends back what it is sent."""
        sock = self.lab.net.connect(self.address, ECHO_PORT, timeout)
        if sock is None:
            return False
        with sock:
            try:
                sock.sendall(b"lab?")
                return sock.recv(4) == b"lab?"
            except OSError:
                return False

    def wait_answer(self, timeout=60):
        """Wait until answers()."""
        try:
            wait(self.answers, timeout,
                 f"guest {self.name} to answer at {self.address}", 0.1)
        except LabError as err:
            raise LabError(f"{err}; the way to it:\n{self.way()}\nits "
                           "console's last lines:\n"
                           + self.console()[-1500:]) from None

    def way(self):
        """What the client, the wires and the hosts know of the guest."""
        text = self.lab.net.shell(
            f"ip neigh show {self.address}; bridge fdb show | grep -i "
            f"{self.mac}; bridge link; true").decode(errors="replace")
        for name, host in self.lab.hosts.items():
            if host.running():
                text += f"--- host {name}\n" + host.sh(
                    "xl list; xl network-list " + self.name + " 2>&1; "
                    f"ping -c 1 -W 2 {self.address} | sed -n 2p; "
                    f"bridge fdb show | grep -i {self.mac}; bridge link; "
                    "ip -s link show xenbr0").stdout.decode(errors="replace")
        return text

    def console(self):
        """All that the guest's consoles said, on whichever host."""
        text = ""
        for name, host in self.lab.hosts.items():
            if host.running():
                out = host.sh("cat /var/log/xen/console/guest-"
                              f"{self.name}.log 2>/dev/null").stdout
                if out:
                    text += f"--- host {name}\n" + out.decode(
                        errors="replace")
        return text

    def hosts(self):
        """Names of the hosts that have a domain of the guest's name."""
        return [name for name, host in self.lab.hosts.items()
                if host.running()
                and host.sh(f"xl domid {self.name}").returncode == 0]

    def ssh_argv(self, command=None, *options):
        """The argv of an ssh client (inside the namespace) to the guest."""
        keys = os.path.join(self.lab.images, "keys")
        argv = ["ssh", "-F", "none", "-i", f"{keys}/id",
                "-o", f"UserKnownHostsFile={keys}/known_hosts",
                "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
                "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=60",
                "-o", "KexAlgorithms=curve25519-sha256",
                "-o", "HostKeyAlgorithms=ssh-ed25519", *options,
                "root@" + self.address]
        return self.lab.net.argv(*argv, *([command] if command else []))

    def sh(self, command, check=False, timeout=150):
        """Run a command in the guest through its ssh server."""
        try:
            # A guest that goes away may take its last packets along.
            argv = self.ssh_argv(command, "-o", "ServerAliveInterval=5",
                                 "-o", "ServerAliveCountMax=6")
            done = subprocess.run(argv, timeout=timeout, capture_output=True,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise LabError(f"guest {self.name} did not finish '{command}' "
                           f"in {timeout} s") from None
        if check and done.returncode != 0:
            raise LabError(f"'{command}' in guest {self.name} ended with "
                           f"status {done.returncode}: "
                           + done.stderr.decode(errors="replace").strip())
        return done

    def fsck(self, host):
        """Check the guest's disk on a host while no domain uses it;
        returns e2fsck's status after a replay of the journal."""
        disk = shlex.quote(self.disk)
        self.lab.host(host).sh(f"e2fsck -E journal_only -p {disk}")
        return self.lab.host(host).sh(f"e2fsck -f -n {disk}").returncode


def _table(lab):
    return os.path.join(lab.place, "guests.json")


def known(lab):
    """All guests that were started since the hosts were reset."""
    try:
        with open(_table(lab)) as f:
            return {name: Guest(lab, name, **entry)
                    for name, entry in json.load(f).items()}
    except FileNotFoundError:
        return {}


def define(lab, kind, name=None, number=None):
    """Choose a guest's name and address, and remember them."""
    if kind not in KINDS:
        raise LabError(f"there is no guest type '{kind}': use one of "
                       f"{', '.join(KINDS)}")
    guests = known(lab)
    if name is None:
        name = next(n for n in (f"g{i}" for i in range(1, 100))
                    if n not in guests)
    if number is None:
        taken = {g.number for n, g in guests.items() if n != name}
        number = guests[name].number if name in guests else next(
            i for i in range(FIRST, 250) if i not in taken)
    guests[name] = Guest(lab, name, kind, number)
    with open(_table(lab), "w") as f:
        json.dump({n: {"kind": g.kind, "number": g.number}
                   for n, g in guests.items()}, f)
    return guests[name]


def start(lab, kind, name=None, on="A", ip="auto", disk=None, **config):
    """Define, configure and start a guest; wait until it answers.  disk is
    None, "here" or "both" (an identical copy on the other host, too); with
    mirror=True it can be mirrored (script=block-colo, the product's)."""
    number = None if ip == "auto" else int(str(ip).rsplit(".", 1)[-1])
    guest = define(lab, kind, name, number)
    guest.write_config(guest.config(disk=bool(disk), **config))
    for host in lab.hosts if disk == "both" else [on] if disk else []:
        guest.make_disk(host)
    say(f"starting {kind} guest {guest.name} at {guest.address} on {on}")
    guest.create(on)
    say(f"guest {guest.name} answers")
    return guest
