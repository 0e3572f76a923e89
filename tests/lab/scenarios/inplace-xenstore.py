# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest in the middle of xenstore transactions, and one that writes junk"""

import _inplace

GUEST = "pvh"
SLOW = True
ROUNDS = 6
# A transaction through the guest's own /dev/xen/xenbus, again and again:
# begun, left open for a while, and ended by its number. (Linux can't be
# suspended any more once a process has closed that device without ending its
# transaction.)
BUSY = r"""
while :; do
    exec 3<>/dev/xen/xenbus
    printf '\006\0\0\0\001\0\0\0\0\0\0\0\001\0\0\0\0' >&3
    id=$(dd bs=64 count=1 <&3 2>/dev/null | tail -c +17 | tr -d '\0')
    usleep 30000
    octets=
    for shift in 0 8 16 24; do
        octets=$octets\\$(printf %03o $((id >> shift & 255)))
    done
    printf "\\007\\0\\0\\0\\002\\0\\0\\0$octets\\002\\0\\0\\0F\\0" >&3
    dd bs=64 count=1 <&3 >/dev/null 2>&1
    exec 3>&-
    echo $id >/tmp/transactions
done
"""


def rounds(lab, guest, count=ROUNDS):
    """Put a guest back that is busy with xenstore."""
    guest.sh(f"printf %s {_inplace.quoted(BUSY)} >/tmp/busy; "
             "(setsid sh /tmp/busy &) >/dev/null 2>&1", check=True)
    drive = _inplace.Drive(lab, guest)
    for number in range(count):
        answer = drive.back(verify=True)
        took = drive.connected()
        guest.wait_answer(60)
        lab.log(f"round {number}: {answer} connected after {took:.2f} s")
        # The guest goes on with them.
        first = guest.sh("cat /tmp/transactions").stdout
        lab.wait(lambda: guest.sh("cat /tmp/transactions").stdout != first,
                 30, "another transaction")
        if number % 2:
            drive.checkpoint()
    return drive


def junk(lab, guest, drive):
    """What a guest could write over its nodes is never followed."""
    domid = lab.out("A", f"xl domid {guest.name}")
    front = f"/local/domain/{domid}/device/vif/0"
    before = lab.out("A", f"xenstore-read {front}/backend")
    other = lab.out("A", "xenstore-ls -f /local/domain/0/backend")
    for value in ("/local/domain/0/backend/vif/0/0", "x" * 1000, ""):
        lab.out("A", f"xenstore-write {front}/backend '{value}' "
                f"{front}/backend-id 77 {front}/state 99999999999 "
                f"/local/domain/{domid}/store/port 1")
        answer = drive.ask("back")
        lab.log(f"with junk: {answer}")
        assert answer.get("back"), answer
        lab.out("A", f"xenstore-write {front}/backend '{before}' "
                f"{front}/backend-id 0")
    drive.back()
    drive.connected()
    guest.wait_answer(60)
    now = lab.out("A", "xenstore-ls -f /local/domain/0/backend")
    assert [line.split(" ")[0] for line in now.split("\n")] == \
        [line.split(" ")[0] for line in other.split("\n")], now


def run(lab):
    guest = lab.guests()["g1"]
    drive = rounds(lab, guest)
    junk(lab, guest, drive)
    drive.quit()
    guest.wait_answer(30)
