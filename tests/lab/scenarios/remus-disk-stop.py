# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mirrored disk outlives a stop: it is whole, and the next copy is small"""

import _disk
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 900


def run(lab):
    guest = _disk.start(lab)
    _disk.protect(lab, guest, options="--plaintext --disk xvda=/srv/b.img")
    disk = _disk.disk_of(lab, "A")
    assert disk["peer_path"] == "/srv/b.img", disk
    assert _disk.disk_of(lab, "B")["state"] == "following"
    guest.sh("dd if=/dev/urandom of=/root/one bs=64k count=16; sync",
             check=True)
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
    _remus.no_rest(lab)
    _disk.nobody_serves(lab, "B")
    # It runs on, on its disk; and is protected anew.
    guest.sh("dd if=/dev/urandom of=/root/two bs=64k count=16; sync",
             check=True)
    _disk.protect(lab, guest, options="--plaintext --disk xvda=/srv/b.img")
    again = _disk.disk_of(lab, "A")
    lab.log(f"copied {disk['copied_bytes']} octets, then "
            f"{again['copied_bytes']} of {again['size_bytes']}")
    assert again["copied_bytes"] < again["size_bytes"] / 8, again
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
    _disk.nobody_serves(lab, "B")
    _disk.clean(lab, guest, "A")
