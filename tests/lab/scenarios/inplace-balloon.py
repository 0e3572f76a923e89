# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pages that the guest has ballooned out or in since the checkpoint"""

import _inplace

SLOW = True
TIMEOUT = 900
LARGE, SMALL = 262144, 196608  # KiB: the guest's servers run in either
NEAR = 8192  # the guest counts some pages differently


def target(lab, domid, kib):
    """Ask the guest to balloon, and wait until it has. (`xl mem-set` would
    also forbid it to have more.)"""
    def there():
        mib = lab.out("A", f"xl list {domid} | awk 'NR == 2 {{ print $3 }}'")
        return abs(int(mib) * 1024 - kib) <= NEAR
    lab.out("A", f"xenstore-write /local/domain/{domid}/memory/target {kib}")
    lab.wait(there, 60, f"the guest to have {kib} KiB", interval=0.5)


def fill(guest):
    """The guest writes to most of the pages that it has left."""
    text = guest.sh("grep MemAvailable /proc/meminfo", check=True).stdout
    count = int(text.split()[1]) * 2 // 3 // 1024
    guest.sh(f"dd if=/dev/urandom of=/tmp/fill bs=1M count={count}",
             check=True)


def given_back(lab, guest, domid):
    """Writes to pages that came back with the checkpoint are in the log."""
    drive = _inplace.Drive(lab, guest)
    for _ in range(2):
        target(lab, domid, SMALL)
        lab.out("A", f"xenstore-write /local/domain/{domid}/memory/target "
                f"{LARGE}")
        answer = drive.back(verify=True)
        lab.log(f"given back: {answer}")
        drive.connected()
        guest.wait_answer(60)
        fill(guest)
        answer = drive.back(verify=True)
        lab.log(f"and written to: {answer}")
        drive.connected()
        guest.wait_answer(60)
    drive.quit()


def run(lab):
    guest = lab.guest_start("pvh", memory=LARGE // 1024)
    domid = lab.out("A", f"xl domid {guest.name}")
    # Out since the checkpoint: the pages come back.
    drive = _inplace.Drive(lab, guest)
    target(lab, domid, SMALL)
    answer = drive.back(verify=True)
    lab.log(f"ballooned out: {answer}")
    assert answer["written"] >= (LARGE - SMALL - NEAR) / 4, answer
    drive.connected()
    guest.wait_answer(60)
    # Its target is xenstore's, not the checkpoint's: out again.
    target(lab, domid, SMALL)
    drive.quit()
    # In since the checkpoint: the pages go.
    drive = _inplace.Drive(lab, guest)
    lab.log(f"small: {drive.first}")
    target(lab, domid, LARGE)
    answer = drive.back(verify=True)
    lab.log(f"ballooned in: {answer}")
    assert answer["dropped"] >= (LARGE - SMALL - NEAR) / 4, answer
    drive.connected()
    guest.wait_answer(60)
    target(lab, domid, LARGE)
    drive.quit()
    # All of its memory can be used.
    fill(guest)
    guest.sh("rm /tmp/fill", check=True)
    given_back(lab, guest, domid)
