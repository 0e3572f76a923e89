# SPDX-License-Identifier: LGPL-2.1-or-later
# builder.py - one build of a recipe's images

import json
import os
import shutil
import time

from . import cpio, guestroot, kernels, packages, recipe as recipes
from .output import stage, together
from .paths import FILES
from .procs import run

DOM0_MIB = 4096
DOM0_BOOT_MODULES = ["virtio_pci", "virtio_blk", "ext4", "crc32c_generic"]


class Builder:
    """One build.  The two package trees are made side by side; what needs
    only one of them is done on the same thread."""

    def __init__(self, recipe, scratch):
        self.recipe = recipe
        self.scratch = scratch
        self.out = os.path.join(scratch, "out")
        self.root = os.path.join(scratch, "dom0")
        self.keys = os.path.join(self.out, "keys")
        self.manifest = {"suite": recipe.suite, "xen": recipe.xen,
                         "seconds": {}}
        os.makedirs(self.keys)

    def timed(self, name, function, *args):
        """Run one stage, say and record how long it took."""
        began = time.monotonic()
        with stage("  " + name):
            result = function(*args)
        self.manifest["seconds"][name] = round(time.monotonic() - began, 1)
        return result

    def build(self):
        """Do all stages, leaving the result in self.out."""
        together(lambda: self.timed("dom0's packages", self.dom0_packages),
                 self.parts_side)
        self.timed("dom0's root", self.finish_dom0)
        self.timed("dom0's disk", guestroot.make_ext4, self.root,
                   os.path.join(self.out, "dom0.raw"), DOM0_MIB)
        with open(os.path.join(self.out, "manifest.json"), "w") as f:
            json.dump(self.manifest, f, indent=1, sort_keys=True)

    def dom0_packages(self):
        """Install dom0's packages."""
        packages.bootstrap(
            self.recipe, self.root, "minbase",
            recipes.dom0_packages(self.recipe), recipes.EXCLUDE,
            os.path.join(self.scratch, "dom0.log"))
        self.manifest["packages"] = packages.versions(self.root)

    def parts_side(self):
        """Everything that comes out of the extracted packages."""
        top = os.path.join(self.scratch, "parts")
        self.timed("kernels' and guests' packages", packages.bootstrap,
                   self.recipe, top, "extract",
                   recipes.parts_packages(self.recipe), recipes.EXCLUDE,
                   os.path.join(self.scratch, "parts.log"))
        parts = kernels.Parts(top)
        self.timed("dom0's kernel and Xen", self.dom0_kernel, parts)
        self.make_keys(parts)
        self.timed("guests' kernel and root", guestroot.build, parts,
                   self.keys, self.scratch, os.path.join(self.out, "guest"))

    def dom0_kernel(self, parts):
        """The three files that QEMU loads, and dom0's modules."""
        recipe = self.recipe
        self.manifest["hypervisor"] = kernels.unpack_xen(
            parts, recipe.series, recipe.release,
            os.path.join(self.out, "xen"))
        release = parts.kernel_release(cloud=False)
        self.manifest["kernel"] = release
        kernels.unpack_linux(
            parts, os.path.join(parts.top, "boot/vmlinuz-" + release),
            os.path.join(self.out, "vmlinux"), self.scratch)
        moddir = kernels.copy_modules(
            parts, release, os.path.join(self.scratch, "dom0-modules"))
        initrd = os.path.join(self.scratch, "dom0-initrd")
        for name in ("proc", "mnt"):
            os.makedirs(os.path.join(initrd, name))
        guestroot.add_busybox(parts, initrd)
        guestroot.add_modules(moddir, DOM0_BOOT_MODULES, initrd)
        shutil.copy(os.path.join(FILES, "initrd/init"), initrd)
        cpio.write(initrd, os.path.join(self.out, "initrd.img"))

    def make_keys(self, parts):
        """ssh keys: one to log in everywhere, one for the hosts, one for
        the guests; and the known_hosts that name them."""
        for name in ("id", "host_key"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C",
                 "xl-colo-lab", "-f", os.path.join(self.keys, name)])
        guest = os.path.join(self.keys, "guest_host_key")
        text = parts.tool("dropbearkey", "-t", "ed25519", "-f", guest)
        public = [line for line in text.decode().splitlines()
                  if line.startswith("ssh-ed25519 ")][0]
        with open(os.path.join(self.keys, "host_key.pub")) as f:
            host = " ".join(f.read().split()[:2])
        hosts = "a,b,a-link,b-link,10.77.0.11,10.77.0.12,10.78.0.*,10.79.0.*"
        with open(os.path.join(self.keys, "known_hosts"), "w") as f:
            f.write(f"{hosts} {host}\n"
                    f"10.77.0.*,g* {' '.join(public.split()[:2])}\n")

    def finish_dom0(self):
        """Add kernel modules, keys, the lab's own files and the guests'
        files to dom0's tree."""
        shutil.copytree(
            os.path.join(self.scratch, "dom0-modules/lib/modules"),
            os.path.join(self.root, "usr/lib/modules"), dirs_exist_ok=True)
        shutil.copytree(os.path.join(FILES, "dom0"), self.root,
                        symlinks=True, dirs_exist_ok=True)
        for name in ("init", "poweroff", "reboot", "halt"):
            link = os.path.join(self.root, "usr/sbin", name)
            if not os.path.lexists(link):
                os.symlink("/bin/busybox", link)
        ssh = os.path.join(self.root, "etc/ssh")
        for name in os.listdir(ssh):
            if name.startswith("ssh_host_"):
                os.unlink(os.path.join(ssh, name))
        self.place("host_key", "etc/ssh/ssh_host_ed25519_key", 0o600)
        self.place("host_key.pub", "etc/ssh/ssh_host_ed25519_key.pub", 0o644)
        self.place("known_hosts", "etc/ssh/ssh_known_hosts", 0o644)
        self.place("id", "root/.ssh/id_ed25519", 0o600)
        self.place("id.pub", "root/.ssh/authorized_keys", 0o600)
        os.chmod(os.path.join(self.root, "root/.ssh"), 0o700)
        shutil.copytree(os.path.join(self.out, "guest"),
                        os.path.join(self.root, "srv/lab/guest"))

    def place(self, key, target, mode):
        """Install one of the keys into dom0."""
        path = os.path.join(self.root, target)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy(os.path.join(self.keys, key), path)
        os.chmod(path, mode)
