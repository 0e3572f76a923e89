# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several block-colo disks: files, a loop device, a volume, one read-only"""

import _blocks
import _disks

PRODUCT = True
SLOW = True
TIMEOUT = 1500
DISK = ('disk += ["format=raw,vdev={0},access={1},script=block-colo,'
        'target={2}"]\n')


def holds(guest, name):
    """Random octets go to the guest's disk and come back; their digest."""
    node, copy = f"/dev/{name}", f"/tmp/{name}"
    guest.sh(f"[ -b {node} ] || mknod {node} b "
             f"$(tr : ' ' </sys/block/{name}/dev)", check=True)
    guest.sh(f"dd if=/dev/urandom of={copy} bs=64k count=256 && dd if={copy} "
             f"of={node} bs=64k conv=fsync && echo 3 >/proc/sys/vm/"
             f"drop_caches && cmp {copy} {node}", check=True, timeout=120)
    digest = guest.sh(f"sha256sum <{copy}; rm {copy}", check=True).stdout
    return digest.split()[0].decode()


def run(lab):
    lab.out("A", "truncate -s 16M /srv/lab/ro.img && "
                 "echo read-only | dd of=/srv/lab/ro.img conv=notrunc")
    loop, volume = _blocks.loop(lab, "A"), _blocks.volume(lab, "A")
    _blocks.watch_script(lab, "A")
    guest = lab.guest_start(
        "pvh", disk="here", mirror=True,
        config=DISK.format("xvdb", "rw", loop)
        + DISK.format("xvdc", "ro", "/srv/lab/ro.img")
        + DISK.format("xvdd", "rw", volume))
    digests = {loop: holds(guest, "xvdb"), volume: holds(guest, "xvdd")}
    guest.sh("[ -b /dev/xvdc ] || mknod /dev/xvdc b "
             "$(tr : ' ' </sys/block/xvdc/dev)", check=True)
    assert guest.sh("head -n 1 /dev/xvdc", check=True).stdout == \
        b"read-only\n"
    assert guest.sh("echo x | dd of=/dev/xvdc conv=fsync").returncode != 0
    images = (guest.disk, loop, volume, "/srv/lab/ro.img")
    served = lab.out("A", "; ".join(f"{_disks.SERVE} folder {image}"
                                    for image in images)).split()
    assert len(set(served)) == len(images), served
    # What a session still needs outlives the guest.
    lab.out("A", f"touch {served[1]}/keep")
    lab.out("A", f"xl destroy {guest.name}")
    assert lab.out("A", "pgrep -c nbdkit") == "1"
    lab.out("A", f"test ! -e {served[1]}/device && {_disks.SERVE} end {loop}")
    _disks.nothing_served(lab)
    for path, digest in digests.items():
        assert lab.out("A", f"sha256sum <{path}").split()[0] == digest, path
    assert lab.out("A", "head -n 1 /srv/lab/ro.img") == "read-only"
    _blocks.gone(lab, "A")
    times = _blocks.script_times(lab, "A")
    lab.log(f"seconds of the hotplug script: {times}")
    assert len(times["add"]) == len(times["remove"]) == len(images), times
