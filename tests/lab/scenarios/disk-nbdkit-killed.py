# SPDX-License-Identifier: LGPL-2.1-or-later
"""nbdkit is killed under a guest: I/O errors, and nothing left afterwards"""

import _disks

PRODUCT = True
SLOW = True
TIMEOUT = 1500


def run(lab):
    more = ('disk += ["format=raw,vdev=xvdb,access=rw,script=block-colo,'
            'target=/srv/lab/b.img"]')
    lab.out("A", "truncate -s 16M /srv/lab/b.img")
    guest = lab.guest_start("pvh", disk="here", config=more)
    folder = lab.out("A", f"{_disks.SERVE} folder /srv/lab/b.img")
    guest.sh("mknod /dev/b b $(tr : ' ' </sys/block/xvdb/dev)", check=True)
    guest.sh("echo before | dd of=/dev/b conv=fsync", check=True)

    # Slow is not dead: 10 s are well within the timeout, and lose nothing.
    lab.out("A", f"kill -STOP $(cat {folder}/pid)")
    guest.sh("(echo slow | dd of=/dev/b seek=8 conv=fsync) >/dev/null 2>&1 "
             "& :", check=True)
    guest.sh("sleep 10; pidof dd", check=True)
    lab.out("A", f"kill -CONT $(cat {folder}/pid)")
    lab.wait(lambda: guest.sh("pidof dd").returncode != 0, 30,
             "the guest's write to end", 0.5)
    guest.sh("echo 3 >/proc/sys/vm/drop_caches; "
             "dd if=/dev/b skip=8 count=1 | grep slow", check=True)

    lab.out("A", f"kill -9 $(cat {folder}/pid)")
    # At once, as none is in flight; else after the timeout.
    assert guest.sh("echo after | dd of=/dev/b conv=fsync",
                    timeout=100).returncode != 0
    again = lab.sh("A", f"{_disks.SERVE} primary /srv/lab/b.img "
                        f"{_disks.UUID}")
    assert again.returncode == 1 and b"destroy this guest first" in \
        again.stderr, again
    assert guest.answers(5), "the guest's other disk and network go on"
    lab.out("A", f"xl destroy {guest.name}")
    _disks.nothing_served(lab)
    assert lab.out("A", "head -n 1 /srv/lab/b.img") == "before"
    guest.create("A")
    lab.out("A", f"xl destroy {guest.name}")
    _disks.nothing_served(lab)
