# SPDX-License-Identifier: LGPL-2.1-or-later
"""--colo, paused or running: stopped, nothing of the copy stays"""

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True


def run(lab):
    guest = lab.guests()["g1"]
    chat = lab.client_start("echo-chat", guest.address, *_remus.ON)
    for mode in ("remus", "colo"):
        _colo.protect(lab, guest, mode=mode)
        chat.wait_progress("lines", chat.progress().get("lines", 0) + 10, 60)
        lab.out("A", "xl remus-stop g1", timeout=120)
        assert _remus.ended(lab) == 0, _remus.log_of(lab)
        # Nothing broke: both sides ended.
        assert "broke" not in _remus.log_of(lab), _remus.log_of(lab)
        lab.wait(lambda: "--colo" not in lab.out("B", "xl list"), 20,
                 "the copy to go")
        _remus.no_rest(lab)
    chat.wait_progress("lines", chat.progress()["lines"] + 10, 60)
    report = chat.stop()
    lab.log(f"{report}")
    assert report["good"] and not report["resets"], report
