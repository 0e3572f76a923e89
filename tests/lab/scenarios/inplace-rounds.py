# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running guest is put back to a checkpoint, again and again"""

import _inplace
from _serving import serves

GUEST = "pvh"
ROUNDS = 10


def rounds(lab, guest, count, every=1, look=None):
    """Checkpoint, let it run and write, put it back; its servers answer, and
    have forgotten what came after the checkpoint. After each,
    look(drive, number)."""
    _inplace.redis(guest, "SET rounds 0")
    drive = _inplace.Drive(lab, guest)
    lab.log(f"first checkpoint: {drive.first}")
    times, was = [], 0
    for number in range(count):
        if number and number % every == 0:
            drive.checkpoint()
            was += 1
        _inplace.redis(guest, *["INCR rounds"] * 3)
        answer = drive.back(verify=number < 3 or number % 10 == 0)
        took = drive.connected()
        guest.wait_answer(60)
        # The last INCR is in the next checkpoint, if there is one.
        now = _inplace.redis(guest, "GET rounds", "INCR rounds")[0]
        assert now == was, f"it was {was} at the checkpoint and is {now}"
        head = _inplace.talk(guest, 80, b"HEAD /file HTTP/1.0\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], head
        pause = sum(answer[k] for k in ("quiet_us", "write_us", "go_us"))
        times.append((pause / 1e6, took))
        lab.log(f"round {number}: {answer} connected after {took:.2f} s")
        if look:
            look(drive, number)
    drive.quit()
    for text, index in (("put back", 0), ("connected", 1)):
        values = sorted(t[index] for t in times)
        lab.log(f"{text}: median {values[len(values) // 2]:.2f} s, "
                f"worst {values[-1]:.2f} s of {count}")


def run(lab):
    guest = lab.guests()["g1"]
    rounds(lab, guest, ROUNDS)
    serves(lab, guest, requests=20)
    assert guest.hosts() == ["A"]
