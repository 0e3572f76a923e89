# SPDX-License-Identifier: LGPL-2.1-or-later
# qemu.py - one emulated machine: its command line and its monitor
"""The machine is the one of the measurements: QEMU 7.2, TCG with a single
thread and one CPU, with SVM and nested paging so that Xen offers HVM and
PVH with HAP.  With more threads PVH guests triple-fault, and with QEMU
10.0 they power off at boot."""

import hashlib
import json
import os
import re
import shlex
import shutil
import socket

from . import net
from .output import LabError
from .procs import run
from .wait import wait

MEMORY_MIB = 3072
DOM0_MIB = 1024
CPU = ("qemu64,+svm,+npt,+pdpe1gb,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand")
XEN_ARGS = (f"console=com1 com1=115200,8n1 dom0_mem={DOM0_MIB}M,"
            f"max:{DOM0_MIB}M dom0_max_vcpus=1 sched=credit noreboot "
            "bootscrub=0 loglvl=info guest_loglvl=warning")
DOM0_ARGS = ("root=/dev/vda rw console=hvc0 net.ifnames=0 mitigations=off "
             "random.trust_cpu=on quiet loglevel=4")


def binary():
    """The QEMU to use, and its version; any but 7.2 is refused."""
    name = os.environ.get("XL_COLO_LAB_QEMU", "qemu-system-x86_64")
    path = shutil.which(name)
    if path is None:
        raise LabError(f"{name} is not installed: install qemu-system-x86, "
                       "or name a QEMU 7.2 in XL_COLO_LAB_QEMU")
    version = re.search(r"version (\S+)",
                        run([path, "--version"]).decode()).group(1)
    if not version.startswith("7.2") and \
            "XL_COLO_LAB_QEMU" not in os.environ:
        raise LabError(
            f"{path} is version {version}; Xen's PVH guests are known to run "
            "under 7.2 (Debian 12) and to fail under 10.0: install 7.2, or "
            "set XL_COLO_LAB_QEMU to a binary to try it all the same")
    return path, version


def command(host, place, images, overlay, incoming=None, xen_args="",
            dom0_args=""):
    """QEMU's argv for a host.  place is the directory of its sockets and
    console log; incoming a saved state to start from."""
    n = net.HOSTS[host]
    dom0 = f"{DOM0_ARGS} lab.host={host.lower()} lab.n={n} {dom0_args}"
    argv = [
        binary()[0], "-name", f"xl-colo-lab-{host}", "-nodefaults",
        "-no-user-config", "-display", "none", "-machine", "q35",
        "-accel", "tcg,thread=single", "-smp", "1", "-cpu", CPU,
        "-m", str(MEMORY_MIB),
        "-kernel", f"{images}/xen", "-append", f"{XEN_ARGS} {xen_args}",
        "-initrd", f"{images}/vmlinux {dom0.strip()},{images}/initrd.img",
        "-drive", f"file={overlay},if=none,id=disk,format=qcow2,"
        "cache=writeback,discard=unmap",
        "-device", "virtio-blk-pci,drive=disk,addr=5",
        "-chardev", f"socket,id=serial,path={place}/serial,server=on,"
        f"wait=off,logfile={place}/serial.log",
        "-serial", "chardev:serial",
        "-qmp", f"unix:{place}/qmp,server=on,wait=off"]
    for i, wire in enumerate(net.SUBNETS):
        argv += ["-netdev", f"tap,id={wire},ifname={host}-{wire},"
                 "script=no,downscript=no",
                 "-device", f"virtio-net-pci,netdev={wire},romfile=,"
                 f"mac={net.mac(host, wire)},addr={6 + i}"]
    if incoming:
        argv += ["-incoming", "exec:cat " + shlex.quote(incoming)]
    return argv


def machine_key():
    """A hash of all that a saved state depends on besides the images: the
    emulated machine, QEMU, and this computer (Xen has measured its time
    stamp counter)."""
    parts = [command("A", "/", "/", "/"), binary()[1]]
    for path in ("/etc/machine-id", "/proc/cpuinfo"):
        try:
            with open(path) as f:
                parts += [line for line in f if ":" not in line
                          or line.startswith("model name")]
        except FileNotFoundError:
            pass
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


class Qmp:
    """A connection to a machine's monitor."""

    def __init__(self, path, timeout=30):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        # The socket's name is there a moment before QEMU listens.
        wait(lambda: self.sock.connect_ex(path) == 0, timeout,
             f"QEMU's monitor at {path}")
        self.file = self.sock.makefile("rwb")
        self.file.readline()
        self("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def __call__(self, name, **arguments):
        self.file.write(json.dumps(
            {"execute": name, "arguments": arguments}).encode() + b"\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise LabError(f"QEMU closed its monitor during {name}")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QEMU refused {name}: "
                               f"{answer['error']['desc']}")

    def save(self, path):
        """Stop the machine and write its state to path."""
        self("stop")
        self("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self("migrate", uri="exec:cat >" + shlex.quote(path))

        def done():
            state = self("query-migrate").get("status")
            if state == "failed":
                raise LabError(f"QEMU could not write the state to {path}")
            return state == "completed"
        wait(done, 120, f"QEMU to write {path}")

    def resume(self):
        """Wait for an incoming state to be read, and let it run."""
        wait(lambda: self("query-status")["status"] != "inmigrate", 120,
             "QEMU to read a saved state")
        self("cont")
