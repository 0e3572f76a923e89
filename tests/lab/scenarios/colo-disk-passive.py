# SPDX-License-Identifier: LGPL-2.1-or-later
"""--colo --mode=remus with a mirrored disk: host A dies, the copy goes on"""

import _colodisk

PRODUCT = True
SLOW = True
TIMEOUT = 1500


def run(lab):
    _colodisk.run(lab, "remus")
