# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest is put back while it is still inside its last resume"""

import time

import _inplace

GUEST = "pvh"


def at_once(lab, guest, count):
    """Back right after the checkpoint: the guest has hardly written, so what
    others have written is not hidden by that."""
    drive = _inplace.Drive(lab, guest)
    for number in range(count):
        drive.checkpoint()
        lab.log(f"at once {number}: {drive.back(verify=True)}")
        drive.connected()
    guest.wait_answer(60)
    drive.quit()


def run(lab):
    guest = lab.guests()["g1"]
    drive = _inplace.Drive(lab, guest)
    for delay in (0, 0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1):
        drive.back()
        time.sleep(delay)
    lab.log(f"the last: {drive.back(verify=True)}")
    took = drive.connected()
    guest.wait_answer(30)
    lab.log(f"connected after {took:.2f} s")
    # And a checkpoint of a guest that has just come back.
    for number in range(3):
        drive.back()
        drive.connected()
        drive.checkpoint()
        drive.back(verify=True)
        drive.connected()
        guest.wait_answer(30)
    drive.quit()
    at_once(lab, guest, 2)
    guest.wait_answer(30)
