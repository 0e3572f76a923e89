# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest that has crashed, rebooted or gone off by itself is put back"""

import _inplace

TIMEOUT = 900
SLOW = True
# What libxl does is nothing, as for a copy that the receiver watches.
CONFIG = """
on_poweroff = "preserve"
on_reboot = "preserve"
on_crash = "preserve"
"""
WAYS = (("crashed", "echo c >/proc/sysrq-trigger"),
        ("rebooted", "reboot -f"),
        ("gone off", "poweroff -f"))


def ended(lab, guest):
    """Does Xen say that it has ended?"""
    state = lab.out("A", f"xl list {guest.name} | awk 'NR == 2 {{ print $5 }}'")
    return "s" in state or "c" in state


def run(lab):
    guest = lab.guest_start("pvh", config=CONFIG)
    _inplace.redis(guest, "SET rounds 7")
    drive = _inplace.Drive(lab, guest)
    for number, (what, command) in enumerate(WAYS * 2):
        _inplace.redis(guest, "INCR rounds")
        # Its last words may not arrive.
        guest.sh(f"(sleep 0.3; {command}) >/dev/null 2>&1 &")
        lab.wait(lambda: ended(lab, guest), 60, f"the guest to have {what}")
        answer = drive.back(verify=True)
        took = drive.connected()
        guest.wait_answer(60)
        now = _inplace.redis(guest, "GET rounds", "INCR rounds")[0]
        assert now == 7, f"it was 7 at the checkpoint and is {now}"
        assert not ended(lab, guest)
        lab.log(f"{what}: {answer} connected after {took:.2f} s")
        if number == 2:
            _inplace.redis(guest, "SET rounds 7")
            drive.checkpoint()
    drive.quit()
    guest.wait_answer(30)
