# SPDX-License-Identifier: LGPL-2.1-or-later
"""--colo with a mirrored disk: handed over from a copy that ran, and back"""

import _colodisk
import _disk
import _disks
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 2400


def run(lab):
    guest = _disk.start(lab)
    for here, there, link, mode in (("A", "B", "b-link", "colo"),
                                    ("B", "A", "a-link", "remus")):
        domid = _colodisk.protect(lab, guest, mode, here, there, link)
        disk = _disk.disk_of(lab, here)
        lab.log(f"{here}: copied {disk['copied_bytes']} octets")
        assert here == "A" or disk["copied_bytes"] < disk["size_bytes"] / 4, \
            disk
        _disk.forget(guest)
        clients = _remus.Clients(lab, guest, ("redis",))
        clients.warm_up()
        lab.out(here, "xl remus-failover g1", timeout=300)
        assert _remus.ended(lab, here) == 8, _remus.log_of(lab, here)
        assert lab.out(there, "xl domid g1").strip() == str(domid)
        clients.go_on(1)
        _disks.nothing_served(lab, here)
        _disk.sound(lab, guest, there)
        # Its connections are translated; a new protection waits for their end.
        report = clients.finish()["redis"]
        _disk.consistent(guest, report)
        lab.wait(lambda h=there: not _remus.status(lab, h, "g1").get(
            "svm", {}).get("live_flows"), 120, "old connections to end", 0.5)
    _disk.clean(lab, guest, "A")
