# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can't be protected is refused in a sentence, and nothing is changed"""

import _remus

GUEST = "pvh"
PRODUCT = True


def refused(lab, command, word, code=3):
    """The command fails with the code, and says the word."""
    done = lab.sh("A", f"xl remus {command}")
    said = done.stderr.decode(errors="replace")
    assert done.returncode == code, (command, done.returncode, said)
    assert word in said, (command, said)


def run(lab):
    guest = lab.guests()["g1"]
    refused(lab, "nobody b-link", "no domain")
    refused(lab, "g1 b-link extra", "", code=2)
    refused(lab, "-n g1 b-link", "-F", code=2)
    refused(lab, "g1 nowhere.invalid", "other host")
    refused(lab, "-s 'ssh -o BatchMode=yes -p 1' g1 b-link", "other host")
    # The other host has such a domain already.
    lab.out("B", "xl create -p /etc/xen/g1.cfg", timeout=180)
    refused(lab, "g1 b-link", "already")
    lab.out("B", "xl destroy g1")
    # A bridge that the other host does not have.
    lab.out("B", "ip link set xenbr0 down; ip link set xenbr0 name xenbr9")
    refused(lab, "g1 b-link", "bridge")
    lab.out("B", "ip link set xenbr9 name xenbr0; ip link set xenbr0 up")
    guest.wait_answer(60)
    _remus.no_rest(lab)
    # Twice at once; some of these find the guest inside a checkpoint.
    _remus.protect(lab, guest, options="-i 100 --plaintext")
    for _ in range(8):
        refused(lab, "g1 b-link", "already")
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
