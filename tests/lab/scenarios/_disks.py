# SPDX-License-Identifier: LGPL-2.1-or-later
# _disks.py - images that are served for guests, as scenarios look at them
"""Not a scenario: what the scenarios of mirrored disks share."""

from lablib.output import LabError

SERVE = "/usr/local/libexec/xl-colo/disk-serve"
UUID = "6c7a2b8e-1f0d-4c55-9a3e-0123456789ab"

# In dom0: mirror one plugin to another on the same host, up to an epoch that
# is durable. Arguments: both control sockets.
MIRROR = r"""
import socket, struct, sys
primary, secondary = sys.argv[1:]
def ask(path, op, a=0, b=0, fd=None):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendmsg([struct.pack(">IHHQQQ", 0x584c4343, op, 0, a, b, 0)],
                     [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                       struct.pack("i", fd.fileno()))] if fd else [])
        sock.shutdown(socket.SHUT_WR)
        said = b""
        while part := sock.recv(4096):
            said += part
    status = struct.unpack(">I", said[4:8])[0]
    assert not status, (path, op, status, said[200:])
one, two = socket.socketpair()
ask(secondary, 9, fd=two)           # FOLLOW
ask(primary, 2, 1, fd=one)          # PROTECT
ask(primary, 6, 0, 60000)           # WAIT_SYNCED
ask(primary, 17, 1)                 # CLAIM
ask(primary, 3, 1)                  # MARK
ask(secondary, 4, 1, 60000)         # WAIT
ask(secondary, 10, 1)               # ACCEPT
ask(primary, 5, 1, 60000)           # WAIT_DURABLE
"""


def mirror_here(lab, host, image, copy):
    """Make copy the secondary's image of image, both on one host; both are
    served afterwards, and no guest runs from either."""
    size = lab.out(host, f"stat -c %s {image}")
    one = lab.out(host, f"{SERVE} primary {image} {UUID}")
    two = lab.out(host, f"{SERVE} secondary {copy} {UUID} {size}")
    lab.sh(host, f"python3 - {one}/control {two}/control", check=True,
           input=MIRROR.encode())


def nothing_served(lab, host="A"):
    """No nbdkit, no attached device, no runtime folder is left: an nbdkit
    that was told to end may have something to sync first."""
    left = ["?"]

    def gone():
        left[0] = lab.out(host, "ls -d /run/xl-colo/disk/*/ 2>/dev/null; "
                                "pgrep -a nbdkit; "
                                "cat /sys/block/nbd*/pid 2>/dev/null; true")
        return left[0] == ""
    try:
        lab.wait(gone, 40, "nothing to be served", interval=0.5)
    except LabError as err:
        raise AssertionError(left[0]) from err


def refused(lab, host, name, *words):
    """xl create of a guest fails, its sentence has the words, and nothing
    is left of the try."""
    done = lab.sh(host, f"xl create /etc/xen/{name}.cfg", timeout=120)
    said = done.stderr.decode(errors="replace")
    assert done.returncode != 0, f"{name} was started"
    for word in words:
        assert word in said, f"'{word}' is not in: {said}"
    assert lab.sh(host, f"xl domid {name}").returncode != 0
