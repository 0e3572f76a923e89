# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host B loses its power and comes back: only what it lacks is copied"""

import _disk
import _remus

PRODUCT = True
TIMEOUT = 900


def run(lab):
    guest = _disk.start(lab)
    _disk.protect(lab, guest)
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    lab.power_off("B")
    assert _remus.ended(lab) == 4
    assert "UNPROTECTED" in _remus.log_of(lab)
    clients.go_on(3)
    clients.finish()
    guest.sh("dd if=/dev/urandom of=/root/alone bs=64k count=16; sync",
             check=True)
    _remus.stop_looking(lab)
    lab.power_on("B")
    _disk.protect(lab, guest)
    disk = _disk.disk_of(lab, "A")
    lab.log(f"copied {disk['copied_bytes']} of {disk['size_bytes']} octets")
    assert 1 << 20 <= disk["copied_bytes"] < disk["size_bytes"] / 4, disk
    # And the copy is one: the other host goes on from it.
    guest.sh("echo there >/root/last && sync", check=True)
    lab.out("A", "xl remus-checkpoint g1", timeout=60)
    lab.power_off("A")
    _remus.wait_running(lab)
    assert guest.sh("cat /root/last", check=True).stdout == b"there\n"
    _disk.clean(lab, guest, "B")
