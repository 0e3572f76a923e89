# SPDX-License-Identifier: LGPL-2.1-or-later
"""Three vifs with several queues and two disks go back, too"""

import _inplace

TIMEOUT = 900
SLOW = True
ROUNDS = 5
MEMORY = 256
QUEUES = "/sys/module/xen_netback/parameters/max_queues"
CONFIG = """
vif = ["mac={mac},bridge=xenbr0", "bridge=xenbr0", "bridge=xenbr0"]
disk = ["format=raw,vdev=xvdb,access=rw,target=/srv/lab/b.img",
        "format=raw,vdev=xvdc,access=rw,target=/srv/lab/c.img"]
"""


def start(lab, **options):
    """The guest with many devices."""
    lab.out("A", f"echo 2 >{QUEUES}; echo 2 >/sys/module/xen_blkback/"
            "parameters/max_queues; for d in b c; do dd if=/dev/urandom "
            "of=/srv/lab/$d.img bs=1M count=8 2>/dev/null; done")
    mac = "00:16:3e:77:00:65"  # of the first guest
    # Six queues' buffers, and pages for four rings' requests: in 128 MiB the
    # guest has no memory left when it has come back.
    return lab.guest_start("pvh", vcpus=2, memory=MEMORY,
                           config=CONFIG.format(mac=mac), **options)


def spare(guest):
    """What the guest has left, in KiB."""
    text = guest.sh("grep MemAvailable /proc/meminfo", check=True).stdout
    return int(text.split()[1])


def read_disks(guest, host_sum):
    """The guest reads both disks past its caches; the sums are right."""
    text = guest.sh("for d in b c; do echo 3 >/proc/sys/vm/drop_caches; "
                    "sha256sum </dev/xvd$d; done", check=True)
    assert text.stdout.decode().split("\n")[:2] == host_sum, text.stdout


def run(lab):
    guest = start(lab)
    domid = lab.out("A", f"xl domid {guest.name}")
    vifs = lab.out("A", "xenstore-list /local/domain/0/backend/vif/" + domid)
    assert vifs.split() == ["0", "1", "2"], vifs
    queues = lab.out("A", f"xenstore-read /local/domain/{domid}/device/vif/0/"
                     "multi-queue-num-queues")
    assert queues == "2", queues
    sums = lab.out("A", "for d in b c; do sha256sum </srv/lab/$d.img; done"
                   ).split("\n")
    drive = _inplace.Drive(lab, guest)
    lab.log(f"the guest has {spare(guest)} KiB left")
    for number in range(ROUNDS):
        read_disks(guest, sums)
        # The disks are busy when it is stopped.
        guest.sh("(timeout 3 sh -c 'while :; do echo 3 >/proc/sys/vm/"
                 "drop_caches; cat /dev/xvdb /dev/xvdc >/dev/null; done' &) "
                 ">/dev/null 2>&1", check=True)
        answer = drive.back(verify=True)
        took = drive.connected()
        guest.wait_answer(60)
        lab.log(f"round {number}: {answer} connected after {took:.2f} s; the "
                f"guest has {spare(guest)} KiB left")
        if number % 2:
            drive.checkpoint()
    read_disks(guest, sums)
    drive.quit()
    guest.wait_answer(30)
