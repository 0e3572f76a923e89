# SPDX-License-Identifier: LGPL-2.1-or-later
# recipe.py - what goes into the images, and the key that names the result
"""A recipe is a Debian suite, a Xen release and lists of packages.  Its key
is a hash over all of that, over the files that are copied in and over the
code that builds: a changed input is a new key, and an image is never
changed after it was built.  Package versions are whatever the suite has on
the day of building (they are recorded in manifest.json); `--fresh` asks
again."""

import collections
import hashlib
import os

from .output import LabError
from .paths import FILES, LABDIR

Recipe = collections.namedtuple(
    "Recipe", "suite xen series security release")

# The release is the beginning of the hypervisor package's version: building
# fails if the mirror has another one.  4.17.5 is bookworm without its
# security updates: the last one with shadow paging, so with PV log-dirty.
RECIPES = {
    "4.17.5": Recipe("bookworm", "4.17.5", "4.17", False, "4.17.5"),
    "4.17.7": Recipe("bookworm", "4.17.7", "4.17", True, "4.17.7"),
    "4.20": Recipe("trixie", "4.20", "4.20", True, "4.20."),
}
DEFAULT_XEN = {"bookworm": "4.17.5", "trixie": "4.20"}

GNUTLS = {"bookworm": "libgnutls30", "trixie": "libgnutls30t64"}

DOM0_PACKAGES = """
    xenstore-utils qemu-system-xen iproute2 kmod udev bridge-utils
    openssh-server openssh-client libnl-route-3-200 libxxhash0 nbdkit
    nbd-client socat tcpdump strace gdb procps psmisc netcat-openbsd ethtool
    e2fsprogs busybox-static iputils-ping python3-minimal lvm2
    """.split()

# Extracted only, nothing of it is configured: kernels, the hypervisor and
# the programs of the guests.
PARTS_PACKAGES = """
    linux-image-amd64 linux-image-cloud-amd64 kmod lz4 zstd xz-utils
    busybox-static redis-server lighttpd dropbear-bin socat e2fsprogs fio
    """.split()

# Left out of both trees: documentation, and drivers for hardware that no
# emulated machine has.
EXCLUDE = [f"/usr/share/{d}/*" for d in
           ("doc", "man", "locale", "info", "lintian", "bug")] + [
    f"{top}/modules/*/kernel/{d}/*" for top in ("/lib", "/usr/lib") for d in
    ("sound", "drivers/gpu", "drivers/media", "drivers/staging",
     "drivers/infiniband", "drivers/iio", "drivers/hwmon", "drivers/usb",
     "drivers/input", "drivers/scsi", "drivers/net/ethernet",
     "drivers/net/wireless", "drivers/net/usb", "drivers/net/can",
     "drivers/isdn", "drivers/comedi", "drivers/mtd", "drivers/platform",
     "drivers/hid", "drivers/ata", "drivers/nvme", "drivers/mmc",
     "drivers/edac", "drivers/thunderbolt", "drivers/bluetooth",
     "fs/xfs", "fs/btrfs", "fs/ocfs2", "fs/gfs2", "fs/jfs", "fs/reiserfs",
     "fs/nfs", "fs/nfsd", "fs/smb", "fs/cifs", "fs/ceph", "fs/f2fs")]


def choose(suite=None, xen=None):
    """The recipe for --suite and --xen, either of which may be missing."""
    if xen is None:
        if suite is not None and suite not in DEFAULT_XEN:
            raise LabError(f"there is no suite '{suite}' in the lab: use "
                           f"one of {', '.join(DEFAULT_XEN)}")
        xen = DEFAULT_XEN[suite or "bookworm"]
    if xen not in RECIPES:
        raise LabError(f"there is no Xen '{xen}' in the lab: use one of "
                       f"{', '.join(RECIPES)}")
    recipe = RECIPES[xen]
    if suite not in (None, recipe.suite):
        raise LabError(f"Xen {xen} is not in {suite} but in {recipe.suite}: "
                       "leave --suite away")
    return recipe


def dom0_packages(recipe):
    """The packages of the dom0 image."""
    return DOM0_PACKAGES + [f"xen-utils-{recipe.series}",
                            GNUTLS[recipe.suite], "libyajl2"]


def parts_packages(recipe):
    """The packages that are only taken apart."""
    return PARTS_PACKAGES + [f"xen-hypervisor-{recipe.series}-amd64"]


def _hash_files(digest, paths):
    for path in sorted(paths):
        with open(path, "rb") as f:
            digest.update(os.path.relpath(path, LABDIR).encode() + b"\0")
            digest.update(hashlib.sha256(f.read()).digest())


def key(recipe):
    """The name of this recipe's images in the cache."""
    digest = hashlib.sha256(repr(
        (recipe, dom0_packages(recipe), parts_packages(recipe),
         EXCLUDE)).encode())
    code = [os.path.join(LABDIR, "lablib", name + ".py") for name in
            ("builder", "guestroot", "kernels", "packages", "cpio")]
    for top, _, names in os.walk(FILES):
        code += [os.path.join(top, name) for name in names]
    _hash_files(digest, code)
    return f"{recipe.suite}-{recipe.xen}-{digest.hexdigest()[:12]}"
