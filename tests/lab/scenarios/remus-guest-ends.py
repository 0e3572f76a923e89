# SPDX-License-Identifier: LGPL-2.1-or-later
"""Poweroff, reboot and crash of the guest end protection cleanly, each told"""

import _remus

GUEST = "pvh"
SLOW = True
PRODUCT = True
TIMEOUT = 900


def one_end(lab, guest, how, outcome):
    _remus.protect(lab, guest, options="--plaintext")
    lab.log(f"the guest is told: {how}")
    guest.sh(how)
    assert _remus.ended(lab, timeout=120) == outcome, _remus.log_of(lab)
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 20,
             "the copy on B to go", interval=0.3)
    _remus.no_rest(lab)


def run(lab):
    guest = lab.guests()["g1"]
    one_end(lab, guest, "reboot", 6)
    # on_reboot is "restart": the guest comes back, as under plain xl.
    guest.wait_answer(120)
    one_end(lab, guest, "poweroff", 5)
    assert "g1" not in lab.out("A", "xl list")
    guest.create("A")
    one_end(lab, guest, "(sleep 0.2; echo c >/proc/sysrq-trigger) "
                        ">/dev/null 2>&1 </dev/null &", 7)
