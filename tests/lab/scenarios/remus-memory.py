# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES B2: what the secondary has no memory for is never acknowledged"""

import _remus

GUEST = "pvh"
PRODUCT = True
TIMEOUT = 900
SLOW = True

MIB = 1 << 20
GUEST_MIB = 128
BUSY_MIB = 12  # what the guest changes in each interval, at least
# That much of a checkpoint fits, but can't be brought into the copy as well.
LEFT_MIB = BUSY_MIB + 34

BUSY = f"""while :; do
    dd if=/dev/zero of=/tmp/x bs=1M count={BUSY_MIB} conv=notrunc; sleep 0.3
done"""
FILL = f"""mount -t tmpfs -o size=100% fill /mnt
left() {{ awk '/^MemAvailable/ {{ print int($2 / 1024) }}' /proc/meminfo; }}
head -c $(($(left) - {LEFT_MIB}))M /dev/zero >/mnt/fill
left"""


def protect_busy(lab, guest):
    """Each checkpoint is large; what is kept of them is bounded."""
    _remus.protect(lab, guest, options="-i 4000 --plaintext")
    first = _remus.status(lab)["epoch_committed"]
    lab.wait(lambda: _remus.status(lab)["epoch_committed"] >= first + 2, 120,
             "two checkpoints", interval=0.5)
    there = _remus.status(lab, "B")
    lab.log(f"{there['bytes'] / MIB:.0f} MiB come at once, "
            f"{there['epoch_memory_bytes'] / MIB:.0f} MiB are kept")
    assert there["bytes"] > BUSY_MIB * MIB, there
    assert BUSY_MIB * MIB < there["epoch_memory_bytes"] <= 64 * MIB, there
    assert there["epoch_limit_bytes"] == (GUEST_MIB + GUEST_MIB // 64
                                          + 16) * MIB, there


def run(lab):
    guest = lab.guests()["g1"]
    guest.sh(f"sh -c 'echo $$ >/tmp/busy; {BUSY}' >/dev/null 2>&1 "
             "</dev/null &", check=True)
    protect_busy(lab, guest)
    left = lab.out("B", FILL, timeout=120)
    lab.log(f"domain 0 of B has {left} MiB left")
    assert _remus.ended(lab, timeout=90) == 4, _remus.log_of(lab)
    said = _remus.log_of(lab)
    assert "no memory for an epoch" in said, said
    assert "UNPROTECTED" in said, said
    lab.wait(lambda: "g1" not in lab.out("B", "xl list"), 30,
             "the copy on B to go", interval=0.3)
    lab.out("B", "umount /mnt")
    guest.wait_answer(60)
    _remus.no_rest(lab)
    # With the memory back the same guest is protected.
    protect_busy(lab, guest)
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0
    guest.wait_answer(60)
    guest.sh("kill $(cat /tmp/busy)", check=True)
    _remus.no_rest(lab)
