# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A5: put back with requests under way, which are answered later

The server of the guest's disk stands still when the guest is put back, for two
seconds; what it answers then goes into pages that the guest had before."""

import _inplace

PRODUCT = True
TIMEOUT = 900
SLOW = True
ROUNDS = 3
CONFIG = """
disk = ["format=raw,vdev=xvdb,access=rw,script=block-colo,target=/srv/b.img"]
"""
READ = ("(timeout 20 sh -c 'while :; do echo 3 >/proc/sys/vm/drop_caches; "
        "cat /dev/xvdb >/dev/null; done' &) >/dev/null 2>&1")
PID = "$(cat /run/xl-colo/disk/*/pid)"


def under_way(lab):
    """How many requests wait for the server that stands still."""
    return sum(map(int, lab.out("A", "cat /sys/block/nbd0/inflight").split()))


def run(lab):
    lab.out("A", "dd if=/dev/urandom of=/srv/b.img bs=1M count=8 2>/dev/null")
    want = lab.out("A", "sha256sum </srv/b.img").split()[0]
    guest = lab.guest_start("pvh", config=CONFIG)
    drive = _inplace.Drive(lab, guest)
    for number in range(ROUNDS):
        guest.sh(READ, check=True)
        lab.out("A", f"kill -STOP {PID}")
        lab.wait(lambda: under_way(lab), 30, "a request to be under way")
        waiting = under_way(lab)
        lab.out("A", f"setsid sh -c 'sleep 2; kill -CONT {PID}' "
                     ">/dev/null 2>&1 </dev/null &")
        answer = drive.back(verify=True)
        took = drive.connected()
        guest.wait_answer(60)
        lab.log(f"round {number}: {waiting} requests under way; {answer}; "
                f"connected after {took:.2f} s")
        text = guest.sh("echo 3 >/proc/sys/vm/drop_caches; "
                        "sha256sum </dev/xvdb", check=True).stdout.decode()
        assert text.split()[0] == want, text
    drive.quit()
    guest.wait_answer(30)
