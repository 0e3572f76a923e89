# SPDX-License-Identifier: LGPL-2.1-or-later
"""--colo --mode=remus: stopped, nothing of the copy stays; refusals"""

import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True
OPTIONS = "--plaintext --colo --mode=remus"


def run(lab):
    guest = lab.guests()["g1"]
    done = lab.sh("A", "xl remus --colo g1 b-link")
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 2 and "--colo --mode=remus" in said, said
    _remus.protect(lab, guest, options=OPTIONS)
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
    lab.wait(lambda: "--colo" not in lab.out("B", "xl list"), 20,
             "the copy to go")
    _remus.no_rest(lab)
    guest.wait_answer(60)
