# SPDX-License-Identifier: LGPL-2.1-or-later
# _disk.py - a guest on a mirrored disk, and what its disk promised
"""Not a scenario: what the scenarios of mirrored disks share."""

import _remus

AOF = "/root/appendonlydir/appendonly.aof.1.incr.aof"
LOG = "/root/appends"
# One line more in the log, past every cache of the guest.
APPEND = ("printf '%d\\n' {n} | dd of=" + LOG + " oflag=append "
          "conv=notrunc,fsync 2>/dev/null")


def start(lab, name="g1", **config):
    """A guest whose root is on a mirrored disk, and whose redis tells
    nobody anything before it is on that disk."""
    guest = lab.guest_start("pvh", name=name, disk="here", mirror=True,
                            **config)
    guest.sh("printf 'SHUTDOWN NOSAVE\\r\\n' | nc 127.0.0.1 6379; "
             "redis-server /etc/redis.conf --dir /root --appendonly yes "
             "--appendfsync always")
    lab.wait(lambda: guest.sh(f"test -e {AOF}").returncode == 0, 60,
             "redis to keep a log on the disk")
    return guest


def protect(lab, guest, peer="b-link", options="--plaintext", host="A"):
    """_remus.protect(), with time for the first copy of the disk."""
    _remus.start(lab, guest, peer, options, host)
    _remus.wait_protected(lab, host, 300)


def disk_of(lab, host):
    """What remus-status says of the one mirrored disk on a host."""
    disk = [{}]

    def known():
        # A plugin that is late once is not asked again for some seconds.
        disk[0] = (_remus.status(lab, host).get("disks") or [{}])[0]
        return "role" in disk[0]
    lab.wait(known, 20, "the disk's plugin to answer", interval=0.5)
    return disk[0]


def forget(guest):
    """redis counts from nothing again."""
    out = guest.sh("printf 'FLUSHALL\\r\\nQUIT\\r\\n' | nc 127.0.0.1 6379",
                   check=True).stdout
    assert out.startswith(b"+OK"), out


def increments(guest):
    """How many INCRs since forget() are in the log on the guest's disk, past
    its cache."""
    guest.sh("sync; echo 3 >/proc/sys/vm/drop_caches", check=True)
    return int(guest.sh("awk '/FLUSHALL/ { n = 0 } /INCR/ { n++ } "
                        f"END {{ print n + 0 }}' {AOF}", check=True).stdout)


def counted(guest, connections=4):
    """The same, as redis has it in memory."""
    keys = " ".join(f"count:{i}" for i in range(connections))
    out = guest.sh(f"printf 'MGET {keys}\\r\\nQUIT\\r\\n' | "
                   "nc 127.0.0.1 6379", check=True).stdout.split()
    return sum(int(word) for word in out
               if word.isdigit())


def consistent(guest, report):
    """Memory and disk are of one moment, with all that was acknowledged."""
    disk, memory = increments(guest), counted(guest)
    assert disk == memory, f"{disk} increments on the disk, {memory} in memory"
    assert disk >= report["requests"], (disk, report)
    return disk


def clean(lab, guest, host):
    """The guest shuts down in order; its file system is in order, too."""
    lab.out(host, f"xl shutdown -w {guest.name}", timeout=120)
    assert guest.fsck(host) == 0, f"the disk on {host} is damaged"


def nobody_serves(lab, host):
    """No plugin is left on a host."""
    left = lab.out(host, "pgrep -a nbdkit; true")
    assert left == "", f"left on {host}: {left}"


def equal(lab, here, there):
    """The image on A is octet for octet the one on B."""
    sums = [lab.out(host, f"sha256sum <{path}", timeout=120)
            for host, path in (("A", here), ("B", there))]
    assert sums[0] == sums[1], f"{here} on A is not {there} on B"


class Appends:
    """One ssh session that appends a line and syncs it, again and again; an
    answer is the promise that the line is on the disk."""

    def __init__(self, lab, guest):
        self.guest = guest
        guest.sh(f"rm -f {LOG}", check=True)
        self.client = lab.client_start(
            "ssh-session", "--interval", "0.1", *_remus.ON, "--do", APPEND,
            "--", *guest.ssh_argv(None, "-tt"))

    def warm_up(self):
        """The first lines are there."""
        self.client.wait_progress("lines", 2, 120)

    def go_on(self):
        """Some lines more, from now."""
        self.client.wait_progress(
            "lines", self.client.progress().get("lines", 0) + 3, 120)

    def finish(self):
        """Stop; on the disk is every line that was acknowledged, each once,
        and at most the one that was on its way. How many were acknowledged."""
        report = self.client.stop(60)
        assert report["good"], report
        self.guest.sh("sync; echo 3 >/proc/sys/vm/drop_caches", check=True)
        lines = self.guest.sh(f"cat {LOG}", check=True).stdout.split()
        assert lines == [b"%d" % n for n in range(len(lines))], lines
        assert report["lines"] <= len(lines) <= report["lines"] + 1, \
            (len(lines), report)
        return report["lines"]


def sound(lab, guest, host):
    """The disk as it is at this moment, its journal replayed, has a file
    system without an error. The guest stands still for a moment."""
    copy = "/srv/lab/moment.img"
    lab.out(host, f"xl pause {guest.name}; cp --sparse=always {guest.disk} "
                  f"{copy}; status=$?; xl unpause {guest.name}; exit $status")
    # Replays the journal, and nothing else: it exits with 1 if it did.
    done = lab.sh(host, f"e2fsck -p {copy}")
    assert done.returncode in (0, 1), done
    done = lab.sh(host, f"e2fsck -f -n {copy}; status=$?; rm {copy}; "
                        "exit $status")
    assert done.returncode == 0, done
