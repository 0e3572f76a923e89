# SPDX-License-Identifier: LGPL-2.1-or-later
"""One domain is put back 200 times; its servers answer after each"""

import importlib

from _serving import serves

GUEST = "pvh"
SLOW = True
TIMEOUT = 2400
ROUNDS = 200


def run(lab):
    guest = lab.guests()["g1"]
    importlib.import_module("inplace-rounds").rounds(lab, guest, ROUNDS, 5)
    serves(lab, guest, requests=20)
    assert guest.hosts() == ["A"]
