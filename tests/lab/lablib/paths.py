# SPDX-License-Identifier: LGPL-2.1-or-later
# paths.py - where the lab keeps its things, and the locks on them
"""Two places.  The cache holds images and saved states, shared by all labs
and all trees of this user.  The run directory holds one lab: it exists
exactly as long as the lab is up.

A lock is an flock on an open file.  QEMU inherits a shared lock on the
images it uses, so pruning (which wants an exclusive one) leaves images in
use alone, whoever started them and however that ended."""

import contextlib
import fcntl
import os
import re

from .output import LabError, say

LABDIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILES = os.path.join(LABDIR, "files")
CLIENTS = os.path.join(LABDIR, "clients")


def cache_dir():
    """The directory of images and saved states."""
    path = os.environ.get("XL_COLO_LAB_CACHE") or os.path.join(
        os.path.expanduser("~"), ".cache", "xl-colo-lab")
    os.makedirs(path, exist_ok=True)
    return path


def run_root():
    """The directory that holds one directory per running lab."""
    return os.environ.get("XL_COLO_LAB_RUN") or "/run/xl-colo-lab"


def run_dir(name):
    """The directory of the lab called name; not created here."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}", name):
        raise LabError(f"'{name}' can't name a lab: use up to 16 letters, "
                       "digits, '-' and '_'")
    path = os.path.join(run_root(), name)
    if len(path) > 80:
        raise LabError(f"the run directory {path} is too long for UNIX "
                       "sockets: set XL_COLO_LAB_RUN to a shorter one")
    return path


def open_lock(path, exclusive=True, block=True):
    """Open and lock a file; returns the descriptor, or None if it is
    locked by someone else and block is false."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        if not block:
            os.close(fd)
            return None
        say(f"waiting for another lab that holds {path}")
        fcntl.flock(fd, mode)
    return fd


@contextlib.contextmanager
def locked(path):
    """Hold an exclusive lock on path for the enclosed block."""
    fd = open_lock(path)
    try:
        yield
    finally:
        os.close(fd)
