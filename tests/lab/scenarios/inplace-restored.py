# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain that libxl has restored is put back by its own log of writes"""

import _inplace

TIMEOUT = 900
SLOW = True
ROUNDS = 4


def run(lab):
    guest = lab.guest_start("pvh")
    _inplace.redis(guest, "SET rounds 7")
    words = _inplace.symbols(guest)
    lab.out("A", f"xl save {guest.name} /srv/lab/saved", timeout=180)
    lab.out("A", "xl restore -p /srv/lab/saved", timeout=180)
    drive = _inplace.Drive(lab, guest, "--restored", words=words)
    lab.log(f"the copy: {drive.first}")
    assert drive.ask("run")["runs"]
    for number in range(ROUNDS):
        took = drive.connected()
        guest.wait_answer(60)
        _inplace.redis(guest, "INCR rounds", "INCR rounds")
        now = _inplace.redis(guest, "GET rounds", "INCR rounds")[0]
        assert now == 9, f"it was 7 at the checkpoint, and is {now - 2}"
        answer = drive.back(verify=True)
        lab.log(f"round {number}: {answer} connected after {took:.2f} s")
    drive.connected()
    guest.wait_answer(60)
    drive.quit()
    guest.wait_answer(30)
