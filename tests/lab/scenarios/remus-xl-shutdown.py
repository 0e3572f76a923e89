# SPDX-License-Identifier: LGPL-2.1-or-later
"""`xl shutdown` of a protected guest ends protection first, then the guest"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    lab.out("A", "xl shutdown -w g1", timeout=180)
    assert _remus.ended(lab) in (0, 5)
    lab.wait(lambda: "g1" not in lab.out("A", "xl list"), 30,
             "the guest to be gone", interval=0.3)
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 20,
             "the copy on B to go", interval=0.3)
    _remus.no_rest(lab)
