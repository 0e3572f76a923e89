# SPDX-License-Identifier: LGPL-2.1-or-later
"""PV without log-dirty in the hypervisor is refused; the reason names PVH"""

PRODUCT = True
XEN = ("4.17.7", "4.20")


def run(lab):
    lab.guest_start("pv", name="g1")
    done = lab.sh("A", "xl remus g1 b-link")
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 3, said
    assert "shadow paging" in said and "PVH" in said, said
