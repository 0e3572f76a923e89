#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dump and verify a stream of frames of docs/specs/link-protocol.md.

usage: proto-dump.py [-q] FILE...      ("-" is standard input)

One line a frame. Written from the specification, not from proto.c, so that
the two can disagree. Exit status: 0 all frames are good, 1 one is not (its
offset and what is wrong go to standard error), 2 usage.
"""
import re
import struct
import sys

MAGIC = 0x584C434F
HDR = struct.Struct(">IHHIIQ")
MIB = 1 << 20
OPTIONAL = 0x8000
ADDR = re.compile(r"([0-9A-Fa-f.:]+(%[0-9A-Za-z._-]+)?)?")
REASONS = 8
STATES = 15

ZERO, SOME, ANY = "zero", "not zero", "any"


class Bad(Exception):
    """The stream breaks the specification."""


def need(cond, text):
    if not cond:
        raise Bad(text)


def printable(octets, what):
    need(all(0x20 <= o <= 0x7E for o in octets), f"{what} is not printable")
    return octets.decode("ascii")


def text_at_end(body, fixed, length, what):
    need(len(body) - fixed == length,
         f"{what} of {length} octets, {len(body) - fixed} are there")
    return printable(body[fixed:], what)


def hello(body, hdr):
    (version, low, caps, uuid, session, generation, role, r1, r2, r3, beat,
     limit, port, major, minor, name_len, key) = struct.unpack_from(
         ">HHI16s16sQBBBBIIHHHH32s", body)
    need(1 <= low <= version, f"versions {low} to {version}")
    need(role in (1, 2), f"role {role}")
    need((r1, r2, r3) == (0, 0, 0), "reserved octets")
    need(0 < beat <= limit <= 3600000, f"heartbeat {beat}, limit {limit}")
    need(any(session) and any(key), "session or key of zeroes")
    name = text_at_end(body, 100, name_len, "name")
    need(name and "/" not in name and name not in (".", ".."), "name")
    return (f"version={low}-{version} caps={caps:#x} uuid={uuid.hex()} "
            f"session={session.hex()} generation={generation} role={role} "
            f"heartbeat_ms={beat} limit_ms={limit} port={port} "
            f"xen={major}.{minor} name={name!r} key=(not shown)")


def hello_reply(body, hdr):
    (version, port, caps, session, generation, major, minor, addr_len,
     res) = struct.unpack_from(">HHI16sQHHHH", body)
    need(version == 1, f"version {version}")
    need(port, "port 0")
    need(caps & ~0x3F == 0, f"capabilities {caps:#x}")
    need(res == 0, "reserved octets")
    addr = text_at_end(body, 40, addr_len, "address")
    need(ADDR.fullmatch(addr), "address is not numeric")
    return (f"version={version} port={port} caps={caps:#x} "
            f"session={session.hex()} generation={generation} "
            f"xen={major}.{minor} addr={addr!r}")


def octets(body, hdr):
    return f"octets={len(body)}"


def disks(body, hdr):
    first, flags, count, res = struct.unpack_from(">QHHI", body)
    need(first and count and not flags & ~1 and not res, "head of DISKS")
    need(count <= 8, f"{count} disks")
    at, texts = 16, []
    for _ in range(count):
        need(len(body) - at >= 32, "cut in a disk")
        uuid, size, vdev_len, path_len, res = struct.unpack_from(
            ">16sQHHI", body, at)
        at += 32
        need(any(uuid) and 0 < size < 1 << 63 and not res, "a disk's numbers")
        need(vdev_len <= 15 and path_len <= 1023
             and len(body) - at >= vdev_len + path_len, "a disk's lengths")
        vdev = printable(body[at:at + vdev_len], "a disk's name")
        path = printable(body[at + vdev_len:at + vdev_len + path_len],
                         "a disk's path")
        at += vdev_len + path_len
        need(vdev.isalnum() and path.startswith("/"), "a disk's name or path")
        need(all(vdev != v and path != p for v, p, _ in texts), "one twice")
        texts.append((vdev, path,
                      f"{vdev}:{path}:{size}:{uuid.hex()}"))
    need(at == len(body), "octets behind the last disk")
    return f"first={first} force={flags} " + " ".join(t for _, _, t in texts)


def challenge(body, hdr):
    return f"nonce={body.hex()}"


def attach(body, hdr):
    session, channel, path, res, mac = struct.unpack(">16sBBH32s", body)
    need(channel in (1, 2, 3, 4, 5), f"channel {channel}")
    need(path < 8, f"path {path}")
    need(res == 0, "reserved octets")
    return (f"session={session.hex()} channel={channel} path={path} "
            f"mac={mac.hex()}")


def attached(body, hdr):
    generation, accepted, state, res = struct.unpack(">QQB7s", body)
    need(state <= STATES, f"state {state}")
    need(not any(res), "reserved octets")
    return f"generation={generation} accepted={accepted} state={state}"


def epoch_begin(body, hdr):
    flags, res = struct.unpack(">II", body)
    need(flags & ~3 == 0, f"flags {flags:#x}")
    need(res == 0, "reserved octets")
    return f"flags={flags:#x}"


def epoch_end(body, hdr):
    size, digest = struct.unpack(">QQ", body)
    return f"bytes={size} hash={digest:016x}"


def heartbeat(body, hdr):
    (seq, accepted, applied, idle, suspended, state,
     res) = struct.unpack(">QQQIIB7s", body)
    need(applied <= max(accepted, 1), f"applied {applied}, accepted {accepted}")
    need(state <= STATES, f"state {state}")
    need(not any(res), "reserved octets")
    return (f"seq={seq} accepted={accepted} applied={applied} idle_ms={idle} "
            f"suspended_ms={suspended} state={state}")


def ack(body, hdr):
    applied, = struct.unpack(">Q", body)
    need(applied <= hdr["epoch"], f"applied {applied} of {hdr['epoch']}")
    return f"applied={applied}"


def clock(body, hdr):
    host_us, ahead_s, res = struct.unpack(">QiI", body)
    need(host_us <= 1 << 61, f"host_us {host_us}")
    need(res == 0, "reserved octets")
    return f"host_us={host_us} ahead_s={ahead_s}"


def verdict(body, hdr):
    generation, reason, text_len, res = struct.unpack_from(">QIHH", body)
    need(reason <= REASONS, f"reason {reason}")
    need(res == 0, "reserved octets")
    text = text_at_end(body, 16, text_len, "text")
    return f"generation={generation} reason={reason} text={text!r}"


# type: name, shortest and longest body, incarnation, epoch, body's function
VERDICT = (16, 16 + 480)
TYPES = {
    1: ("HELLO", 101, 355, ZERO, ZERO, hello),
    2: ("HELLO_REPLY", 40, 103, ZERO, ZERO, hello_reply),
    3: ("CONFIG", 1, MIB, ZERO, ZERO, octets),
    4: ("READY", *VERDICT, ZERO, ZERO, verdict),
    5: ("REFUSED", *VERDICT, ZERO, ZERO, verdict),
    6: ("DISKS", 50, 8576, ZERO, ZERO, disks),
    16: ("CHALLENGE", 32, 32, ZERO, ZERO, challenge),
    17: ("ATTACH", 52, 52, SOME, ZERO, attach),
    18: ("ATTACHED", 24, 24, SOME, ZERO, attached),
    32: ("EPOCH_BEGIN", 8, 8, SOME, SOME, epoch_begin),
    33: ("DATA", 1, MIB, SOME, SOME, octets),
    34: ("EPOCH_END", 16, 16, SOME, SOME, epoch_end),
    48: ("HEARTBEAT", 40, 40, SOME, ZERO, heartbeat),
    49: ("ACK", 8, 8, SOME, SOME, ack),
    0x8001: ("CLOCK", 16, 16, SOME, ZERO, clock),
}
for number, title in enumerate(
        ("DROP", "DROPPED", "END", "ENDED", "SWAP", "SWAP_REFUSED", "YOURS",
         "PROMOTED", "FAILED"), 50):
    TYPES[number] = (title, *VERDICT, SOME, ANY, verdict)


def check_want(want, value, what):
    need(want == ANY or (want == SOME) == (value != 0),
         f"{what} is {value}, must be {want}")


def frames(stream):
    """Yield (offset, header, line) for each frame; raise Bad at the first
    octet that is wrong, with .offset set."""
    offset = 0
    while offset < len(stream):
        try:
            need(len(stream) - offset >= HDR.size, "cut in a header")
            magic, kind, res, length, incarnation, epoch = HDR.unpack_from(
                stream, offset)
            need(magic == MAGIC, f"magic {magic:#010x}")
            need(res == 0, "reserved field of the header")
            entry = TYPES.get(kind)
            if entry is None:
                need(kind & OPTIONAL, f"unknown type {kind}")
                entry = (f"OPTIONAL-{kind:#06x}", 0, 65536, ANY, ANY, octets)
            name, low, high, want_inc, want_epoch, function = entry
            need(low <= length <= high, f"{name} of {length} octets")
            check_want(want_inc, incarnation, f"{name}: incarnation")
            check_want(want_epoch, epoch, f"{name}: epoch")
            body = stream[offset + HDR.size:offset + HDR.size + length]
            need(len(body) == length, f"{name}: cut in its body")
            hdr = {"epoch": epoch, "incarnation": incarnation}
            line = f"{name} inc={incarnation} epoch={epoch} " + function(
                body, hdr)
        except Bad as bad:
            bad.offset = offset
            raise
        yield offset, hdr, line
        offset += HDR.size + length


def main(argv):
    quiet = argv[1:2] == ["-q"]
    files = argv[1 + quiet:]
    if not files or files[0].startswith("-") and files[0] != "-":
        print(__doc__, file=sys.stderr)
        return 2
    status = 0
    for path in files:
        if path == "-":
            stream = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                stream = file.read()
        try:
            for offset, _, line in frames(stream):
                if not quiet:
                    print(f"{offset:8} {line}")
        except Bad as bad:
            print(f"{path}: at {bad.offset}: {bad}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
