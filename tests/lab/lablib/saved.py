# SPDX-License-Identifier: LGPL-2.1-or-later
# saved.py - machine states of two booted hosts, ready to be resumed
"""The first lab of a recipe boots both hosts, lets them do once what every
lab does (so that the programs are in dom0's page cache), and writes their
memory and disks to the cache.  From then on a host is a fresh overlay and
an incoming migration: seconds instead of a boot."""

import os
import shutil

from . import net, qemu
from .host import Host
from .output import stage, together
from .paths import locked, run_root

WARM_UP = """
set -e
xl list; xl info; xenstore-ls / >/dev/null
cat /srv/lab/guest/vmlinux /srv/lab/guest/initrd.img >/dev/null
tc qdisc show >/dev/null; bridge link >/dev/null
type nbdkit nbd-client socat >/dev/null
xl create -n /lab/warm-up.cfg >/dev/null
sync
"""


def ensure(images, lock, fresh=False):
    """The directory with saved states for the images; made if missing."""
    path = os.path.join(images, "saved-" + qemu.machine_key())
    with locked(images + "/saved.lock"):
        if fresh:
            shutil.rmtree(path, ignore_errors=True)
        if not os.path.exists(path):
            with stage("booting both hosts to save their states"):
                _make(images, lock, path)
    return path


def _make(images, lock, path):
    name = f"save-{os.getpid()}"
    network = net.Net(name)
    place = os.path.join(run_root(), name)
    partial = path + ".partial"
    hosts = [Host(h, place, network, images) for h in net.HOSTS]
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    try:
        network.create()
        with stage("  cold boot of A and B"):
            together(*[lambda h=h: h.start_cold(lock) for h in hosts])
        with stage("  first use of everything"):
            together(*[lambda h=h: h.sh(WARM_UP, check=True) for h in hosts])
            for one, other in ((0, 1), (1, 0)):
                peer = "ab"[other]
                hosts[one].sh(f"ssh {peer} true; ssh {peer}-link true",
                              check=True)
        with stage("  saving A and B"):
            together(*[lambda h=h: h.save(partial) for h in hosts])
        os.rename(partial, path)
    finally:
        for host in hosts:
            host.power_off()
        network.destroy()
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)
