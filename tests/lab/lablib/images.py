# SPDX-License-Identifier: LGPL-2.1-or-later
# images.py - build and find the images that all hosts of a recipe share
"""Built once for a key (see recipe.py) by builder.py, in a scratch directory
that becomes the final one by a rename, under a lock that other labs wait
for:

  xen, vmlinux, initrd.img     what QEMU loads
  dom0.raw                     dom0's root, ext4; hosts use overlays on it
  guest/                       kernel, initramfs and disk for guests (the
                               same files are in dom0 as /srv/lab/guest)
  keys/                        the ssh keys of lab, hosts and guests
  manifest.json                versions, and the time each stage took
  saved-*                      machine states, see saved.py
"""

import os
import shutil
import tempfile

from . import recipe as recipes
from .builder import Builder
from .output import LabError, stage
from .paths import cache_dir, locked, open_lock
from .wait import wait

KEEP = 5  # images that stay in the cache, each about 1.1 GB
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
    _prune()
    return path, lock


def _remove(path, what):
    """Remove an image directory, unless a running lab uses it."""
    lock = open_lock(os.path.join(path, "lock"), block=False)
    if lock is None:
        raise LabError(f"{what} in {path} are used by a running lab: end it "
                       "with 'lab down' first")
    shutil.rmtree(path)
    os.close(lock)


def _prune():
    """Remove the images that were not used for longest, and what killed
    builds left.

    Only a process that holds KEY.lock touches KEY or building-KEY-*, so a
    key whose lock is taken is in use and is left alone."""
    top = cache_dir()
    keys = [n for n in os.listdir(top) if not n.startswith("building-")
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
        try:
            _clear(scratch)
        except KeyboardInterrupt:
            _clear(scratch)
            raise


def _clear(scratch):
    """Remove a build's directory, in which an interrupted mmdebstrap that
    is being killed may still write."""
    wait(lambda: shutil.rmtree(scratch, ignore_errors=True)
         or not os.path.exists(scratch), 30, f"{scratch} to be removed")
