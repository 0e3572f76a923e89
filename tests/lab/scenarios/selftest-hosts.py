# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both hosts are up, and reach each other by ssh on both networks"""


def run(lab):
    for host, peer in (("A", "b"), ("B", "a")):
        assert lab.out(host, "xl info xen_version").startswith(lab.xen[:4])
        assert lab.out(host, "hostname") == host.lower()
        assert len(lab.out(host, "xl list").splitlines()) == 2
        for name in (peer, peer + "-link"):
            assert lab.out(host, f"ssh {name} hostname") == peer
        # Bytes and status of a command come back unchanged.
        data = bytes(range(256)) * 400
        done = lab.sh(host, "cat; exit 7", input=data)
        assert (done.stdout, done.returncode) == (data, 7)
    # The management network does not join the hosts.
    assert lab.sh("A", "ping -c 1 -W 1 10.79.0.12").returncode != 0
    for module in ("sch_plug", "ifb", "act_mirred", "cls_matchall", "nbd",
                   "act_skbedit", "cls_fw", "xen_blkback", "xen_netback"):
        lab.out("A", f"test -d /sys/module/{module}")
