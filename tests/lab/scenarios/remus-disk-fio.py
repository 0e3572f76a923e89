# SPDX-License-Identifier: LGPL-2.1-or-later
"""fio writes to two mirrored disks across a failover, and verifies them"""

import json

import _blocks
import _disk
import _disks
import _remus

PRODUCT = True
SLOW = True
TIMEOUT = 3000
MORE = ('disk += ["format=raw,vdev=xvdb,access=rw,script=block-colo,target='
        + _blocks.VOLUME + '", "format=raw,vdev=xvdc,access=ro,'
        'target=/srv/lab/guest/tools.img"]')
SIZES = {"file": 2, "volume": 4}   # MiB
JOBS = f"""\
[global]
ioengine=libaio
direct=1
bs=4k
rw=randwrite
iodepth=8
thread=1
verify=crc32c
verify_fatal=1
rate_iops=,40
[file]
filename=/root/fio
size={SIZES['file']}m
fsync=64
[volume]
filename=/dev/xvdb
size={SIZES['volume']}m
"""
FIO = "LD_LIBRARY_PATH=/mnt/lib /mnt/bin/fio --output-format=json"


def counted(text):
    """{job: (reads, writes)} of a run of fio without an error."""
    jobs = json.loads(text[text.index("{"):])["jobs"]
    assert all(job["error"] == 0 for job in jobs), jobs
    return {job["jobname"]: (job["read"]["total_ios"],
                             job["write"]["total_ios"]) for job in jobs}


def prepare(lab):
    """A guest with fio, and room to write; its first disk is a file, its
    second a volume, which is there on B as well."""
    for host in "A", "B":
        _blocks.volume(lab, host, SIZES["volume"])
    guest = _disk.start(lab, memory=256, config=MORE)
    guest.sh("mount -t ext4 -o ro /dev/xvdc /mnt && dd if=/dev/zero "
             f"of=/root/fio bs=1M count={SIZES['file']} && sync && "
             f"cat >/root/jobs <<'END'\n{JOBS}END", check=True)
    assert b"fio-3" in guest.sh(f"{FIO} --version", check=True,
                                timeout=120).stdout
    return guest


def written(guest):
    """The sectors that were written to the second disk."""
    return int(guest.sh("awk '{ print $7 }' /sys/block/xvdb/stat",
                        check=True).stdout)


def verify(guest, timeout=600):
    """Read all again, past every cache; fio's exit status and words."""
    guest.sh("sync; echo 3 >/proc/sys/vm/drop_caches", check=True)
    done = guest.sh(f"{FIO} --verify_only /root/jobs", timeout=timeout)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def run(lab):
    guest = prepare(lab)
    # Nothing is known of the volume on B, so it has to be said.
    _disk.protect(lab, guest, options="--plaintext --force-sync")
    states = [disk["state"] for disk in _remus.status(lab)["disks"]]
    assert states == ["protected"] * 2, states
    before = written(guest)
    guest.sh(f"({FIO} --output=/root/said /root/jobs >/root/error 2>&1; "
             "echo $? >/root/status) </dev/null >/dev/null 2>&1 &",
             check=True)
    total = SIZES["volume"] << 11
    lab.wait(lambda: written(guest) - before > total / 4, 600,
             "fio to have written a quarter", interval=0.5)
    assert guest.sh("test -e /root/status").returncode, "fio is over already"
    lab.power_off("A")
    _remus.wait_running(lab)
    guest.wait_answer(120)
    at = written(guest) - before
    assert guest.sh("test -e /root/status").returncode and at < total, \
        "fio had written everything before the failover"
    lab.log(f"{at} of {total} sectors were written when it went on on B")
    lab.wait(lambda: guest.sh("test -e /root/status").returncode == 0, 1500,
             "fio to end", interval=1)
    said = guest.sh("cat /root/error /root/said", check=True).stdout.decode()
    assert guest.sh("cat /root/status").stdout == b"0\n", said
    want = {name: (mib << 8, mib << 8) for name, mib in SIZES.items()}
    assert counted(said) == want, counted(said)
    status, said = verify(guest)
    assert status == 0, said
    assert counted(said) == want, said
    lab.log(f"written and verified, in blocks of 4 KiB: {want}")
    # Would it have noticed one block?
    guest.sh("dd if=/dev/zero of=/dev/xvdb bs=4k seek=1000 count=1 "
             "conv=notrunc,fsync", check=True)
    status, said = verify(guest)
    assert status != 0 and "verify" in said, (status, said)
    guest.sh("umount /mnt", check=True)
    _disk.clean(lab, guest, "B")
    _disks.nothing_served(lab, "B")
    _blocks.gone(lab, "B")
