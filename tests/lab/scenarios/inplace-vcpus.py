# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest with four busy vCPUs goes back"""

import _inplace

TIMEOUT = 900
SLOW = True
ROUNDS = 4
BUSY = ("for i in 1 2 3 4; do (timeout 3 sha256sum /dev/zero &); done "
        ">/dev/null 2>&1")


def run(lab):
    guest = lab.guest_start("pvh", vcpus=4)
    drive = _inplace.Drive(lab, guest)
    for number in range(ROUNDS):
        guest.sh(BUSY, check=True)
        answer = drive.back(verify=True)
        took = drive.connected()
        guest.wait_answer(60)
        lab.log(f"round {number}: {answer} connected after {took:.2f} s")
        if number % 2:
            # One of them is off at the checkpoint, on again afterwards.
            online = "/sys/devices/system/cpu/cpu3/online"
            guest.sh(f"echo 0 >{online}", check=True)
            drive.checkpoint()
            guest.sh(f"echo 1 >{online}", check=True)
            drive.back(verify=True)
            drive.connected()
            guest.wait_answer(60)
            assert guest.sh(f"cat {online}").stdout.strip() == b"0"
            guest.sh(f"echo 1 >{online}", check=True)
            drive.checkpoint()
        assert guest.sh("nproc", check=True).stdout.strip() == b"4"
    drive.quit()
    guest.wait_answer(30)
