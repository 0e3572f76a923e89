# SPDX-License-Identifier: LGPL-2.1-or-later
# snapshots.py - states of a running lab to which it can be reset
"""A snapshot is what saved.py makes for a fresh lab, made from this lab at
any time: with the product installed, with guests running.  It lives in the
run directory and ends with the lab.

  snapshots/NAME -> NAME.xxxx     the newest snapshot of that name
  snapshots/NAME.xxxx/            {A,B}.state {A,B}.qcow2 guests.json

The disk of a snapshot is an overlay on the state it was made from, which
may be an older snapshot, even of the same name: a directory is removed only
when no named snapshot's chain of overlays leads to it."""

import json
import os
import shutil
import tempfile

from . import procs
from .output import LabError, together


def _top(lab):
    return os.path.join(lab.place, "snapshots")


def exists(lab, name):
    """Whether there is a snapshot of that name."""
    return os.path.isdir(os.path.join(_top(lab), name))


def find(lab, name):
    """The directory of a snapshot."""
    if not exists(lab, name):
        raise LabError(f"there is no snapshot '{name}': 'lab snapshot "
                       f"{name}' makes one")
    return os.path.realpath(os.path.join(_top(lab), name))


def make(lab, name):
    """Save both hosts, and go on from there.  Guests are paused meanwhile,
    so that the emulated CPU is never inside one; connections into the
    hosts break."""
    os.makedirs(_top(lab), exist_ok=True)
    place = tempfile.mkdtemp(prefix=name + ".", dir=_top(lab))

    def save(host):
        host.pause_guests()
        host.save(place)
    try:
        together(*[lambda h=h: save(h) for h in lab.hosts.values()])
    except BaseException:
        shutil.rmtree(place)
        raise
    table = os.path.join(lab.place, "guests.json")
    if os.path.exists(table):
        shutil.copy(table, place)
    link = os.path.join(_top(lab), name)
    os.symlink(os.path.basename(place), link + ".new")
    os.rename(link + ".new", link)
    lab.reset(name)
    _collect_garbage(lab)


def restore_guests(lab, place):
    """Make the table of known guests that of a saved state."""
    table = os.path.join(lab.place, "guests.json")
    if os.path.exists(table):
        os.unlink(table)
    if os.path.exists(os.path.join(place, "guests.json")):
        shutil.copy(os.path.join(place, "guests.json"), table)


def _collect_garbage(lab):
    used = set()
    names = [os.path.join(_top(lab), n) for n in os.listdir(_top(lab))]
    for link in filter(os.path.islink, names):
        for host in lab.hosts:
            chain = procs.run(["qemu-img", "info", "-U", "--backing-chain",
                               "--output=json", f"{link}/{host}.qcow2"])
            used |= {os.path.dirname(os.path.realpath(entry["filename"]))
                     for entry in json.loads(chain)}
    for place in names:
        if not os.path.islink(place) and os.path.realpath(place) not in used:
            shutil.rmtree(place)
