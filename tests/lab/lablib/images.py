# SPDX-License-Identifier: LGPL-2.1-or-later
# images.py - build and find the images that all hosts of a recipe share
"""Built once for a key (see recipe.py), in a scratch directory that becomes
the final one by a rename, under a lock that other labs wait for:

  xen, vmlinux, initrd.img     what QEMU loads
  dom0.raw                     dom0's root, ext4; hosts use overlays on it
  guest/                       kernel, initramfs and disk for guests (the
                               same files are in dom0 as /srv/lab/guest)
  keys/                        the ssh keys of lab, hosts and guests
  manifest.json                versions, and the time each stage took
  saved-*                      machine states, see saved.py
"""

import json
import os
import shutil
import tempfile
import time

from . import cpio, guestroot, kernels, packages, recipe as recipes
from .output import LabError, stage, together
from .paths import FILES, cache_dir, locked, open_lock
from .procs import run

DOM0_MIB = 4096
DOM0_BOOT_MODULES = ["virtio_pci", "virtio_blk", "ext4", "crc32c_generic"]
KEEP = 2  # images of one suite and Xen that stay in the cache
NEEDED = ("mmdebstrap", "mkfs.ext4", "ssh-keygen", "qemu-img")


def ensure(recipe, fresh=False):
    """The directory with this recipe's images, built if it is not there.

    Returns (path, lock): while the descriptor lock is open here or in a
    child the images are not pruned."""
    path = os.path.join(cache_dir(), recipes.key(recipe))
    with locked(path + ".lock"):
        if fresh and os.path.exists(path):
            _remove(path, "images to be built afresh")
        if not os.path.exists(os.path.join(path, "manifest.json")):
            _build(recipe, path)
        os.utime(path)
        lock = open_lock(path + "/lock", exclusive=False)
    _prune(recipe, path)
    return path, lock


def _remove(path, what):
    """Remove an image directory, unless a running lab uses it."""
    lock = open_lock(os.path.join(path, "lock"), block=False)
    if lock is None:
        raise LabError(f"{what} in {path} are used by a running lab: end it "
                       "with 'lab down' first")
    shutil.rmtree(path)
    os.close(lock)


def _prune(recipe, current):
    """Remove old images of this recipe, and what killed builds left.

    Only a process that holds KEY.lock touches KEY or building-KEY-*, so a
    key whose lock is taken is in use and is left alone."""
    prefix = f"{recipe.suite}-{recipe.xen}-"
    top = cache_dir()
    keys = [n for n in os.listdir(top) if n.startswith(prefix)
            and os.path.isdir(os.path.join(top, n))]
    keys.sort(key=lambda n: os.path.getmtime(os.path.join(top, n)))
    for key in keys[:-KEEP]:
        _with_key(key, lambda path: _remove(path, "old images"))
    for name in os.listdir(top):
        if name.startswith("building-"):
            _with_key(name[len("building-"):].rpartition("-")[0],
                      lambda _, n=name: shutil.rmtree(
                          os.path.join(top, n), ignore_errors=True))


def _with_key(key, action):
    """Do something to a key's directory, unless it is in use."""
    path = os.path.join(cache_dir(), key)
    lock = open_lock(path + ".lock", block=False)
    if lock is None:
        return
    try:
        action(path)
    except LabError:
        pass  # its images are used by a running lab
    finally:
        os.close(lock)


def _build(recipe, path):
    missing = [t for t in NEEDED if shutil.which(t) is None]
    if missing:
        raise LabError(f"building images needs {', '.join(missing)}: install "
                       "mmdebstrap, e2fsprogs, openssh-client, qemu-utils")
    if os.geteuid() != 0:
        raise LabError("building images needs root, for mmdebstrap and for "
                       "the owners of files in dom0: run it with sudo")
    scratch = tempfile.mkdtemp(
        prefix=f"building-{os.path.basename(path)}-", dir=cache_dir())
    try:
        with stage(f"images of {recipe.suite} with Xen {recipe.xen}"):
            builder = Builder(recipe, scratch)
            builder.build()
        if os.path.exists(path):
            shutil.rmtree(path)
        os.rename(builder.out, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
