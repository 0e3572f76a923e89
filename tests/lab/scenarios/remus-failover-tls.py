# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same over TLS, with a second path for heartbeats on the LAN"""

import _remus

GUEST = "pvh"
SLOW = True
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, peer="b", options="-i 1000 --peer 10.78.0.12")
    paths = _remus.status(lab)["paths"]
    assert [p["address"] for p in paths] == ["10.78.0.12", "10.77.0.12"]
    assert _remus.status(lab)["link"] == "tls"
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    lab.power_off("A")
    _remus.wait_running(lab)
    clients.go_on(3)
    clients.finish()
