# SPDX-License-Identifier: LGPL-2.1-or-later
"""A PV guest survives its host, where the hypervisor logs PV's dirty pages"""

import _remus

GUEST = "pv"
PRODUCT = True
XEN = ("4.17.5",)


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    clients.go_on(2)
    lab.power_off("A")
    _remus.wait_running(lab)
    clients.go_on(3)
    clients.finish()
