# SPDX-License-Identifier: LGPL-2.1-or-later
# kernels.py - kernels, modules and the hypervisor out of extracted packages
"""Decompressing is what an emulated machine is slow at, so it is done here,
once: Debian's bzImage becomes the ELF image inside it, compressed modules
become plain ones, and Xen's gzip becomes the multiboot ELF that QEMU loads."""

import glob
import gzip
import lzma
import os
import re
import shutil
import struct

from .output import LabError
from .procs import run

# First bytes of a compressed kernel, and the tool of the package tree that
# undoes it; None is Python's own lzma.
PAYLOADS = {b"\xfd7zXZ\0": None, b"\x02\x21\x4c\x18": "lz4",
            b"\x28\xb5\x2f\xfd": "zstd"}


class Parts:
    """A directory of extracted, not configured packages."""

    def __init__(self, top):
        self.top = top

    def find(self, *patterns):
        """The first path that matches a pattern, with and without /usr."""
        for pattern in patterns:
            for prefix in ("", "usr/"):
                found = sorted(glob.glob(
                    os.path.join(self.top, prefix + pattern)))
                if found:
                    return self._real(found[-1])
        raise LabError(f"{' or '.join(patterns)} is in none of the packages "
                       f"under {self.top}: the recipe needs another package")

    def _real(self, path):
        """Follow symbolic links as if the tree were the root."""
        while os.path.islink(path):
            target = os.readlink(path)
            path = os.path.normpath(os.path.join(
                self.top if target.startswith("/")
                else os.path.dirname(path), target.lstrip("/")))
        return path

    def _loader(self):
        dirs = [os.path.join(self.top, d, "x86_64-linux-gnu")
                for d in ("lib", "usr/lib")]
        dirs.append(os.path.join(dirs[-1], "ceph"))
        return [self.find("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu"
                          "/ld-linux-x86-64.so.2"),
                "--library-path", ":".join(dirs)]

    def libraries(self, binary):
        """Paths of the shared libraries a program of the tree needs."""
        text = run(self._loader() + ["--list", binary]).decode()
        missing = re.findall(r"(\S+) => not found", text)
        if missing:
            raise LabError(f"{', '.join(missing)}, which {binary} needs, is "
                           "in none of the packages: the recipe needs "
                           "another package")
        return [m.group(1) for m in re.finditer(r"=> (/\S+) \(", text)]

    def tool(self, name, *args, **options):
        """Run a program of the tree with the tree's own libraries."""
        binary = self.find(f"bin/{name}", f"sbin/{name}")
        return run(self._loader() + ["--argv0", name, binary, *args],
                   **options)

    def kernel_release(self, cloud):
        """The release of the cloud or of the ordinary kernel."""
        releases = [os.path.basename(p)[len("vmlinuz-"):] for p in
                    glob.glob(os.path.join(self.top, "boot/vmlinuz-*"))]
        found = [r for r in releases if ("cloud" in r) == cloud]
        if not found:
            raise LabError(f"no kernel image under {self.top}/boot")
        return sorted(found)[-1]


def unpack_linux(parts, bzimage, target, scratch):
    """Write the ELF image inside a bzImage to target."""
    with open(bzimage, "rb") as f:
        image = f.read()
    setup_sects = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (setup_sects + 1) * 512 + offset
    payload = image[begin:begin + length - 4]  # without the size at its end
    for magic, tool in PAYLOADS.items():
        if payload.startswith(magic):
            break
    else:
        raise LabError(f"{bzimage} is compressed in a way that the lab does "
                       f"not know: its payload begins {payload[:6].hex()}")
    if tool is None:
        elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    else:
        packed = os.path.join(scratch, os.path.basename(target) + ".packed")
        with open(packed, "wb") as f:
            f.write(payload)
        elf = parts.tool(tool, "-dc", packed)
        os.unlink(packed)
    if not elf.startswith(b"\x7fELF"):
        raise LabError(f"{bzimage} does not hold an ELF image")
    with open(target, "wb") as f:
        f.write(elf)


def unpack_xen(parts, series, release, target):
    """Write the hypervisor's ELF to target; its version must be release."""
    packed = parts.find(f"boot/xen-{series}-amd64.gz")
    with gzip.open(packed) as f:
        elf = f.read()
    found = re.search(rb"\0(" + re.escape(series).encode()
                      + rb"\.\d+[-+~.\w]*)\0", elf)
    version = found.group(1).decode() if found else "unknown"
    if not version.startswith(release):
        raise LabError(f"the mirror's Xen is {version}, not {release}: see "
                       "RECIPES in tests/lab/lablib/recipe.py")
    with open(target, "wb") as f:
        f.write(elf)
    return version


def copy_modules(parts, release, root):
    """Copy a kernel's modules into root/lib/modules, uncompressed, and run
    depmod there."""
    source = parts.find(f"lib/modules/{release}")
    target = os.path.join(root, "lib/modules", release)
    os.makedirs(target, exist_ok=True)
    for name in ("modules.builtin", "modules.order",
                 "modules.builtin.modinfo"):
        shutil.copy(os.path.join(source, name), target)
    for top, _, names in os.walk(os.path.join(source, "kernel")):
        place = os.path.join(target, os.path.relpath(top, source))
        for name in names:
            os.makedirs(place, exist_ok=True)
            path = os.path.join(top, name)
            if name.endswith(".xz"):
                with lzma.open(path) as f, \
                        open(os.path.join(place, name[:-3]), "wb") as out:
                    shutil.copyfileobj(f, out, 1 << 20)
            else:
                shutil.copy(path, place)
    parts.tool("depmod", "-b", root, release)
    return target


def module_closure(moddir, names):
    """Files of the named modules and all they need, in loading order.
    Names that are built into the kernel are skipped."""
    deps = {}
    with open(os.path.join(moddir, "modules.dep")) as f:
        for line in f:
            path, _, rest = line.partition(":")
            name = os.path.basename(path)[:-len(".ko")].replace("-", "_")
            deps[name] = [path] + rest.split()
    with open(os.path.join(moddir, "modules.builtin")) as f:
        builtin = {os.path.basename(line.strip())[:-3].replace("-", "_")
                   for line in f}
    order = []
    for name in (n.replace("-", "_") for n in names):
        if name in builtin:
            continue
        if name not in deps:
            raise LabError(f"the kernel of {moddir} has no module {name}")
        for path in reversed(deps[name]):
            if path not in order:
                order.append(path)
    return order
