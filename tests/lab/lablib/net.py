# SPDX-License-Identifier: LGPL-2.1-or-later
# net.py - the lab's network: one namespace, three bridges, TAPs, clients
"""Everything lives in one network namespace, named after the lab:

  lan   10.77.0.0/24  guests, dom0's xenbr0 (A .11, B .12), client (.1)
  link  10.78.0.0/24  the replication link, A and B only
  mgmt  10.79.0.0/24  `lab sh` and nothing else: its ports can't reach each
                      other, so no test and no product can use it, and it
                      works while the other two are cut

The bridges are called br-lan and so on.  Each host has a TAP on each,
called A-lan, A-link ...; it stays while its QEMU comes and goes.  A cut
wire is a TAP taken off its bridge: both ends keep their carrier and hear
nothing, as with a dead switch.  The kernel's state is the only record of
cuts and rates."""

import contextlib
import ctypes
import os
import socket
import subprocess
import threading

from .output import LabError
from .procs import run

SUBNETS = {"lan": "10.77.0", "link": "10.78.0", "mgmt": "10.79.0"}
HOSTS = {"A": 11, "B": 12}
CLIENT6 = "fd77::1"
DEAF = "dead:"  # the qdisc of a port that hears nothing
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_setns_lock = threading.Lock()


def address(host, net="mgmt"):
    """The address of a host on one of the bridges."""
    return f"{SUBNETS[net]}.{HOSTS[host]}"


def mac(host, net):
    """The MAC address of a host's port."""
    return f"52:54:00:77:0{list(SUBNETS).index(net) + 1}:{HOSTS[host]:02x}"


class Net:
    """The namespace of the lab called name."""

    def __init__(self, name):
        self.ns = f"xlcolo-{name}"
        self.path = f"/run/netns/{self.ns}"

    def exists(self):
        """Whether the namespace is there."""
        return os.path.exists(self.path)

    def create(self):
        """Make the namespace with its bridges and TAPs."""
        if not os.path.exists("/dev/net/tun"):
            raise LabError("this machine has no /dev/net/tun: load the "
                           "kernel's module tun")
        run(["ip", "netns", "add", self.ns])
        self.shell("for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do "
                   "echo 1 >$f; done; true")
        lines = ["link set lo up"]
        for i, net in enumerate(SUBNETS, 1):
            lines += [f"link add br-{net} type bridge stp_state 0 "
                      "forward_delay 0 mcast_snooping 0",
                      f"link set br-{net} address 52:54:00:77:0{i}:01"]
            for host in HOSTS:
                lines += [f"tuntap add dev {host}-{net} mode tap",
                          f"link set {host}-{net} master br-{net}",
                          f"link set {host}-{net} up"]
            lines.append(f"link set br-{net} up")
            if net != "link":
                lines.append(f"address add {SUBNETS[net]}.1/24 dev br-{net}")
        lines += [f"link set {host}-mgmt type bridge_slave isolated on"
                  for host in HOSTS]
        run(["ip", "-n", self.ns, "-batch", "/dev/stdin"],
            text="\n".join(lines) + "\n")
        self.shell("for f in accept_dad accept_ra disable_ipv6; do "
                   "echo 0 >/proc/sys/net/ipv6/conf/br-lan/$f; done; "
                   f"ip -6 address add {CLIENT6}/64 dev br-lan || true")

    def destroy(self):
        """Remove the namespace; its bridges and TAPs go with it."""
        if self.exists():
            run(["ip", "netns", "del", self.ns])

    def argv(self, *command):
        """The command as it is run inside the namespace."""
        return ["nsenter", f"--net={self.path}", "--", *command]

    def shell(self, command):
        """Run a shell command inside; returns its output."""
        return run(self.argv("sh", "-c", command))

    @contextlib.contextmanager
    def inside(self):
        """This thread is in the namespace within the block.  A socket made
        there stays there."""
        with _setns_lock, open("/proc/thread-self/ns/net") as home, \
                open(self.path) as there:
            if _libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise LabError(f"can't enter {self.ns}: "
                               + os.strerror(ctypes.get_errno()))
            try:
                yield
            finally:
                if _libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                    os.abort()  # nothing sane can be done from elsewhere

    def connect(self, host, port, timeout=2.0):
        """A TCP connection from the client, or None."""
        with self.inside():
            sock = socket.socket()
        sock.settimeout(timeout)
        try:
            sock.connect((host, port))
        except OSError:
            sock.close()
            return None
        return sock

    def _ports(self, net, host):
        if net not in ("lan", "link"):
            raise LabError(f"there is no wire '{net}': use lan or link")
        if host is not None and host not in HOSTS:
            raise LabError(f"there is no host '{host}': use A or B")
        return [f"{h}-{net}" for h in ([host] if host else HOSTS)]

    def cut(self, net, host=None):
        """Cut the wire of one host (or of both) to a bridge."""
        for port in self._ports(net, host):
            run(["ip", "-n", self.ns, "link", "set", port, "nomaster"])

    def deafen(self, net, host):
        """Swallow what others say on a wire to a host; it is still heard."""
        for port in self._ports(net, host):
            run(["tc", "-n", self.ns, "qdisc", "replace", "dev", port, "root",
                 "handle", DEAF, "pfifo", "limit", "0"])

    def heal(self, net, host=None):
        """Restore what cut() and deafen() did."""
        for port in self._ports(net, host):
            run(["ip", "-n", self.ns, "link", "set", port,
                 "master", "br-" + net])
            subprocess.run(["tc", "-n", self.ns, "qdisc", "del", "dev", port,
                            "root", "handle", DEAF],
                           stderr=subprocess.DEVNULL)

    def rate(self, net, rate):
        """Limit both directions of a wire, for example to "100mbit"; None
        removes the limit."""
        for port in self._ports(net, None):
            argv = ["tc", "-n", self.ns, "qdisc"]
            if rate is None:
                subprocess.run(argv + ["del", "dev", port, "root"],
                               stderr=subprocess.DEVNULL)
            else:
                run(argv + ["replace", "dev", port, "root", "tbf", "rate",
                            rate, "burst", "128k", "latency", "100ms"])

    def reset(self):
        """Heal every wire, remove every limit, forget every neighbour."""
        for net in ("lan", "link"):
            self.heal(net)
            self.rate(net, None)
        # Those that were made permanent, too.
        self.shell("ip neigh flush dev br-lan nud all 2>/dev/null; true")
