# SPDX-License-Identifier: LGPL-2.1-or-later
# guestroot.py - the guests' root: busybox, real servers, their libraries
"""One tree serves three ways: as an initramfs it is the root of a guest
without a disk; as an ext4 image it is the root of one with --disk (booted
by the same initramfs); and its kernel serves PV, PVH and HVM.  What is too
large for a root in memory is on a disk of its own, tools.img: bin and lib."""

import os
import shutil

from . import cpio, kernels
from .paths import FILES
from .procs import run

PROGRAMS = ["usr/bin/redis-server", "usr/sbin/lighttpd", "usr/sbin/dropbear",
            "usr/bin/dropbearkey", "usr/bin/socat"]
MODULES = ["xen-netfront", "xen-blkfront", "ext4"]
DISK_MIB = 96
TOOLS = ["usr/bin/fio"]
TOOLS_MIB = 160


def _install(source, root, path):
    target = os.path.join(root, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)
    os.chmod(target, 0o755)


def add_busybox(parts, root):
    """Install busybox and a link for each of its applets."""
    source = parts.find("bin/busybox")
    _install(source, root, "bin/busybox")
    for applet in run([source, "--list-full"]).decode().split():
        link = os.path.join(root, applet)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if not os.path.lexists(link):
            os.symlink("/bin/busybox", link)


def add_modules(moddir, names, root):
    """Install modules as /modules/* with their loading order."""
    os.makedirs(os.path.join(root, "modules"))
    order = kernels.module_closure(moddir, names)
    for path in order:
        shutil.copy(os.path.join(moddir, path),
                    os.path.join(root, "modules"))
    with open(os.path.join(root, "modules/order"), "w") as f:
        f.writelines(os.path.basename(path) + "\n" for path in order)


def _add_programs(parts, root):
    libs = "usr/lib/x86_64-linux-gnu"
    for program in PROGRAMS:
        source = parts.find(program)
        _install(source, root, program)
        for library in parts.libraries(source):
            _install(library, root,
                     os.path.join(libs, os.path.basename(library)))
    _install(parts.find("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/"
                        "ld-linux-x86-64.so.2"),
             root, "lib64/ld-linux-x86-64.so.2")
    modules = os.path.dirname(parts.find("lib/lighttpd/*.so"))
    os.makedirs(os.path.join(root, "usr/lib/lighttpd"))
    for name in ("mod_status.so",):
        _install(os.path.join(modules, name), root,
                 os.path.join("usr/lib/lighttpd", name))


def _make_tools(parts, root, path):
    for program in TOOLS:
        source = parts.find(program)
        _install(source, root, os.path.join("bin", os.path.basename(source)))
        for library in parts.libraries(source):
            _install(library, root,
                     os.path.join("lib", os.path.basename(library)))
    make_ext4(root, path, TOOLS_MIB)


def _add_ssh(root, keys):
    """The fixed host key, and the lab's key as the only login."""
    for name, target in (("guest_host_key", "etc/dropbear/host_key"),
                         ("id.pub", "root/.ssh/authorized_keys")):
        path = os.path.join(root, target)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy(os.path.join(keys, name), path)
        os.chmod(path, 0o600)
        os.chmod(os.path.dirname(path), 0o700)


def build(parts, keys, scratch, out):
    """Write vmlinux, vmlinuz, initrd.img, disk.img and tools.img for guests
    to the directory out."""
    os.makedirs(out)
    release = parts.kernel_release(cloud=True)
    vmlinuz = os.path.join(parts.top, "boot/vmlinuz-" + release)
    kernels.unpack_linux(parts, vmlinuz, os.path.join(out, "vmlinux"),
                         scratch)
    shutil.copy(vmlinuz, os.path.join(out, "vmlinuz"))
    moddir = kernels.copy_modules(
        parts, release, os.path.join(scratch, "guest-modules"))
    root = os.path.join(scratch, "guest-root")
    for directory in ("dev", "proc", "sys", "tmp", "run", "mnt", "var/www"):
        os.makedirs(os.path.join(root, directory))
    os.chmod(root, 0o755)
    add_busybox(parts, root)
    add_modules(moddir, MODULES, root)
    _add_programs(parts, root)
    _add_ssh(root, keys)
    shutil.copytree(os.path.join(FILES, "guest"), root, dirs_exist_ok=True,
                    symlinks=True)
    cpio.write(root, os.path.join(out, "initrd.img"))
    make_ext4(root, os.path.join(out, "disk.img"), DISK_MIB)
    _make_tools(parts, os.path.join(scratch, "guest-tools"),
                os.path.join(out, "tools.img"))


def make_ext4(root, path, mib):
    """Write the tree root as an ext4 image of mib MiB, mounting nothing."""
    with open(path, "wb") as f:
        f.truncate(mib << 20)
    run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,root_owner=0:0",
         "-d", root, path])
