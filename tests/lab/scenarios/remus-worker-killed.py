# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 of either worker: the guest runs on here, nothing is left there"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    lab.out("A", f"kill -9 {_remus.status(lab)['pid']}")
    assert _remus.ended(lab) == 11, _remus.log_of(lab)
    clients.go_on(2)
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 20,
             "the copy on B to go", interval=0.3)
    _remus.no_rest(lab)

    _remus.protect(lab, guest, options="--plaintext")
    lab.out("B", f"kill -9 {_remus.status(lab, 'B')['pid']}")
    assert _remus.ended(lab) == 4, _remus.log_of(lab)
    clients.go_on(2)
    clients.finish()
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 30,
             "the guard on B to remove the copy", interval=0.3)
    _remus.stop_looking(lab)
    _remus.no_rest(lab, ("A",))
