# SPDX-License-Identifier: LGPL-2.1-or-later
"""The log of writes is complete only once the backends are closed (A5)"""

import _inplace

TIMEOUT = 600
SLOW = True
CONFIG = ('disk = ["format=raw,vdev=xvdb,access=rw,target=/srv/lab/b.img"]')
# Reads that are under way whenever the guest is stopped.
BUSY = ("(timeout 60 sh -c 'while :; do echo 3 >/proc/sys/vm/drop_caches; cat "
        "/dev/xvdb >/dev/null; done' &) >/dev/null 2>&1")


def sectors(guest):
    """What the guest has read from its disk since it was booted."""
    stat = guest.sh("cat /sys/block/xvdb/stat", check=True).stdout
    return int(stat.split()[2])


def busy(lab, guest):
    """The guest reads its disk, and is in the middle of it."""
    before = sectors(guest)
    guest.sh(BUSY, check=True)
    lab.wait(lambda: sectors(guest) > before + 8192, 60,
             "the guest to read 4 MiB")


def run(lab):
    lab.out("A", "dd if=/dev/urandom of=/srv/lab/b.img bs=1M count=32 "
            "2>/dev/null")
    guest = lab.guest_start("pvh", config=CONFIG)
    # The fault: with the log read too early, pages are missed.
    drive = _inplace.Drive(lab, guest, "--early-log")
    missed = 0
    for _ in range(4):
        busy(lab, guest)
        answer = drive.ask("verify")
        assert answer.get("back"), answer
        missed += answer["differs"]
        lab.log(f"log read early: {answer}")
        if missed:
            break
        drive.connected()
        guest.wait_answer(60)
    assert missed, "the fault was not seen"
    # The guest's memory is wrong now: away with it.
    drive.quit()
    lab.out("A", f"xl destroy {guest.name}")
    guest.create("A")
    drive = _inplace.Drive(lab, guest)
    for _ in range(4):
        busy(lab, guest)
        lab.log(f"read in time: {drive.back(verify=True)}")
        drive.connected()
        guest.wait_answer(60)
    drive.quit()
