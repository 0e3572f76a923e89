# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host A dies while both copies run and write to their disks: the copy's stay

What clients were told is on the disk of the copy that goes on, and the primary's
later writes are not; its file system is sound, and no connection is reset."""

import _colodisk

PRODUCT = True
SLOW = True
TIMEOUT = 1500


def run(lab):
    _colodisk.run(lab, "colo")
