# SPDX-License-Identifier: LGPL-2.1-or-later
# logs.py - collect what explains a failure

import os
import shutil

from .output import LabError
from .procs import run

COMMANDS = {
    "xl-list.txt": "xl list -v; xl vcpu-list",
    "xl-info.txt": "xl info",
    "xl-dmesg.txt": "xl dmesg",
    "dmesg.txt": "dmesg",
    "xenstore.txt": "xenstore-ls -f -p",
    "ps.txt": "ps axf -o pid,ppid,stat,wchan:20,etime,args",
    "net.txt": "ip -s link; ip address; bridge link; bridge fdb; ss -tanp",
    "tc.txt": "tc -s qdisc; for d in /sys/class/net/*; do d=${d##*/}; "
              "echo \"== $d\"; tc -s filter show dev $d ingress; "
              "tc -s filter show dev $d egress; done 2>&1",
    "remus-status.json": "xl remus-status --json 2>&1",
}
FILES = ("tar -C / -cf - $(cd / && ls -d var/log/xen var/log/xl-colo* "
         "var/log/core.* etc/xen/*.cfg run/xl-colo* 2>/dev/null) 2>/dev/null")


def collect(lab, directory):
    """Write the logs of both hosts and of the clients to directory."""
    os.makedirs(directory, exist_ok=True)
    for name, host in lab.hosts.items():
        place = os.path.join(directory, name)
        os.makedirs(place, exist_ok=True)
        for entry in os.listdir(host.place):
            if entry.startswith(("serial.log", "qemu.log", "ssh.log")):
                shutil.copy(host.file(entry), place)
        if host.running():
            try:
                _from_dom0(host, place)
            except LabError as err:
                with open(os.path.join(place, "incomplete.txt"), "w") as f:
                    f.write(f"{err}\n")
    clients = os.path.join(lab.place, "clients")
    if os.path.isdir(clients):
        shutil.copytree(clients, os.path.join(directory, "clients"),
                        dirs_exist_ok=True)
    with open(os.path.join(directory, "network.txt"), "wb") as f:
        f.write(lab.net.shell("ip -s link; ip address; bridge link; "
                              "bridge fdb; tc -s qdisc; ip neigh"))


def _from_dom0(host, place):
    for name, command in COMMANDS.items():
        done = host.sh(command, timeout=60)
        with open(os.path.join(place, name), "wb") as f:
            f.write(done.stdout + done.stderr)
    tree = host.sh(FILES, timeout=120).stdout
    if tree:
        run(["tar", "-C", place, "-xf", "-"], tree)
