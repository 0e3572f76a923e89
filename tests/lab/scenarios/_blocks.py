# SPDX-License-Identifier: LGPL-2.1-or-later
# _blocks.py - block devices of a host, of the kinds that guests' disks are
"""Not a scenario: what the scenarios of mirrored disks share."""

LOOP = "/srv/lab/loop.img"
POOL = "/srv/lab/pool.img"
VOLUME = "/dev/lab/disk"


def loop(lab, host, mib=16):
    """A loop device of a new file; its path."""
    lab.out(host, f"truncate -s {mib}M {LOOP}")
    return lab.out(host, f"losetup -f --show {LOOP}")


def volume(lab, host, mib=16):
    """A logical volume in a group of its own, on a loop device; its path.
    No udev runs in the lab's dom0: vgscan makes the nodes."""
    lab.out(host, f"truncate -s {mib + 8}M {POOL} && "
                  f"pv=$(losetup -f --show {POOL}) && "
                  "pvcreate -q $pv && vgcreate -q lab $pv && "
                  f"lvcreate -q -W n -Z n -L {mib}M -n disk lab && "
                  f"vgscan -q --mknodes && test -b {VOLUME}")
    return VOLUME


def gone(lab, host):
    """Undo both; whoever still has one of them makes it fail."""
    lab.out(host, "if vgs -q lab; then vgchange -q -an lab && "
                  "vgscan -q --mknodes; fi && losetup -D && "
                  "test -z \"$(losetup -n -O NAME)\"")


# Around the hotplug script: libxl kills it after 40 s.
WRAPPER = r"""#!/bin/sh
began=$(date +%s%N)
/etc/xen/scripts/block-colo.real "$@"
status=$?
echo "$1 ${XENBUS_PATH##*/} $((($(date +%s%N) - began) / 1000000))" \
    >>/run/block-colo-ms
exit $status
"""


def watch_script(lab, host):
    """From now on the hotplug script's time is measured."""
    lab.sh(host, "cd /etc/xen/scripts && mv block-colo block-colo.real && "
                 "cat >block-colo && chmod 755 block-colo", check=True,
           input=WRAPPER.encode())


def script_times(lab, host):
    """{word: seconds of each call} since watch_script()."""
    times = {}
    for line in lab.out(host, "cat /run/block-colo-ms").splitlines():
        word, _, ms = line.split()
        times.setdefault(word, []).append(int(ms) / 1000)
    return times
