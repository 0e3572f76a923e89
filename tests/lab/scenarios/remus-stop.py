# SPDX-License-Identifier: LGPL-2.1-or-later
"""A checkpoint on demand is committed; stop leaves nothing on either host"""

import _remus

GUEST = "pvh"
PRODUCT = True


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="-i 8000 --plaintext")
    before = _remus.status(lab)
    assert before["network"] == "buffered" and before["role"] == "primary"
    assert lab.out("B", "xl list").count("g1--incoming") == 1
    there = _remus.status(lab, "B")
    assert there["role"] == "secondary" and there["protected"]
    lab.out("A", "xl remus-checkpoint g1")
    after = _remus.status(lab)
    assert after["epoch_committed"] > before["epoch_committed"]
    # A domain under protection is not changed behind its back.
    for command in ("save g1 /root/g1.save", "mem-set g1 100",
                    "destroy g1", "rename g1 g2"):
        done = lab.sh("A", f"xl {command}")
        assert done.returncode != 0, command
        assert b"remus-stop" in done.stderr, (command, done.stderr)
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
    guest.wait_answer(60)
    assert lab.out("A", "xl remus-status --json") == "[]"
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 20,
             "the copy on B to go", interval=0.3)
    _remus.no_rest(lab)
    lab.wait(lambda: lab.out("B", "ps -eo args | grep '[x]l remus' || true")
             == "", 20, "the receiver on B to end", interval=0.3)
