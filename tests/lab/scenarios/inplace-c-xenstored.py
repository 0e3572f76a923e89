# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same with the C xenstored"""

import importlib

import _inplace

TIMEOUT = 600
SLOW = True


def run(lab):
    lab.power_off("A")
    lab.power_on("A", dom0_args="lab.xenstored=C")
    assert lab.sh("A", "pidof oxenstored").returncode, "it is oxenstored"
    guest = lab.guest_start("pvh")
    drive = _inplace.Drive(lab, guest)
    for number in range(3):
        answer = drive.back(verify=True)
        took = drive.connected()
        guest.wait_answer(60)
        lab.log(f"round {number}: {answer} connected after {took:.2f} s")
    drive.quit()
    importlib.import_module("inplace-xenstore").rounds(lab, guest).quit()
    guest.wait_answer(30)
