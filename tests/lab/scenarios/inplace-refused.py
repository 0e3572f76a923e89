# SPDX-License-Identifier: LGPL-2.1-or-later
"""PV and HVM guests can't be put back in place, and the reason is said"""

import _inplace

SLOW = True
CONFIG = """
name = "{kind}"
type = "{kind}"
memory = 128
kernel = "/srv/lab/guest/{kernel}"
vga = "none"
"""


def run(lab):
    lab.push("A", _inplace.program(), "/root/inplace-drive")
    for kind, kernel, text in (
            ("pv", "vmlinux", "is a PV guest, which the hypervisor can't"),
            ("hvm", "vmlinuz", "is an HVM guest: its device model can't")):
        lab.sh("A", f"cat >/root/{kind}.cfg", check=True,
               input=CONFIG.format(kind=kind, kernel=kernel).encode())
        lab.out("A", f"xl create -p /root/{kind}.cfg")
        done = lab.sh("A", f"/root/inplace-drive {kind} </dev/null")
        said = done.stderr.decode(errors="replace")
        lab.log(said.strip().split("\n")[-1])
        assert done.returncode == 1 and text in said, said
        lab.out("A", f"xl destroy {kind}")
