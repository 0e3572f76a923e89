#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dump and verify what a disk's plugin says (docs/specs/disk-protocol.md).

usage: disk-dump.py [-q] FILE...      ("-" is standard input)

One line a message. Written from the specification, not from diskproto.c, so
that the two can disagree. Exit status: 0 all messages are good, 1 one is not
(its offset and what is wrong go to standard error), 2 usage.
"""
import struct
import sys
import uuid

HDR = struct.Struct(">IHHIIQQ")
MAGIC = 0x584c4344
DATA_MAX, MARKS_MAX, TEXT_MAX = 1 << 20, 4096 * 16, 480
DISK_MAX = 2 ** 63 - 1
PRIMARY, SECONDARY = {"primary"}, {"secondary"}


class Bad(Exception):
    """The stream breaks the specification."""


def need(cond, text):
    if not cond:
        raise Bad(text)


def in_disk(off, count):
    need(count, "an empty range")
    need(off + count <= DISK_MAX, f"{count} octets at {off}")


def hello(body, _):
    version, role, flags, guest, generation, epoch, size, res = struct.unpack(
        ">HHI16sQQQQ", body)
    need(version, "version 0")
    need(role <= 2, f"role {role}")
    need(flags & ~1 == 0, f"flags {flags:#x}")
    need(1 <= size <= DISK_MAX, f"size {size}")
    need(res == 0, "reserved octets")
    if role:
        need(generation, "generation 0")
    else:
        need(not (generation or epoch or flags), "an unknown image's history")
    return (f"version={version} role={('unknown', 'primary', 'secondary')[role]} "
            f"consistent={flags & 1} uuid={uuid.UUID(bytes=guest)} "
            f"generation={generation} epoch={epoch} size={size}")


def sync(body, _):
    generation, res = struct.unpack(">QQ", body)
    need(generation, "generation 0")
    need(res == 0, "reserved octets")
    return f"generation={generation}"


def write(body, off):
    in_disk(off, len(body))
    return f"off={off} octets={len(body)}"


def zero(body, off):
    count, = struct.unpack(">Q", body)
    in_disk(off, count)
    return f"off={off} octets={count}"


def marks(body, _):
    need(len(body) % 16 == 0, "half a range")
    out = []
    for off, count in struct.iter_unpack(">QQ", body):
        in_disk(off, count)
        out.append(f"{off}+{count}")
    return " ".join(out)


def marks_end(body, _):
    everything, res = struct.unpack(">II", body)
    need(everything <= 1, f"everything {everything}")
    need(res == 0, "reserved octets")
    return f"everything={everything}"


def state(body, _):
    held, durable, applied = struct.unpack(">QQQ", body)
    need(durable <= held and applied <= held, "ahead of what is held")
    return f"held={held} durable={durable} applied={applied}"


def error(body, _):
    status, res = struct.unpack_from(">II", body)
    need(1 <= status <= 4095, f"status {status}")
    need(res == 0, "reserved octets")
    return f"status={status} text={body[8:].decode('ascii', 'replace')!r}"


def summing(body, off):
    count, seed, value = struct.unpack(">QQ16s", body)
    in_disk(off, count)
    return f"off={off} octets={count} seed={seed:#x} sum={value.hex()}"


def summed(body, off):
    count, differs, res = struct.unpack(">QII", body)
    in_disk(off, count)
    need(differs <= 1, f"differs {differs}")
    need(res == 0, "reserved octets")
    return f"off={off} octets={count} differs={differs}"


def nothing(_body, _off):
    return ""


# type: name, who, shortest and longest body, has an epoch, an offset, function
TYPES = {
    1: ("HELLO", PRIMARY | SECONDARY, 56, 56, False, False, hello),
    2: ("SYNC", PRIMARY, 16, 16, False, False, sync),
    3: ("WRITE", PRIMARY, 1, DATA_MAX, True, True, write),
    4: ("ZERO", PRIMARY, 8, 8, True, True, zero),
    5: ("MARK", PRIMARY, 0, 0, True, False, nothing),
    6: ("SYNC_END", PRIMARY, 0, 0, True, False, nothing),
    7: ("SUM", PRIMARY, 32, 32, True, True, summing),
    32: ("MARKS", SECONDARY, 16, MARKS_MAX, False, False, marks),
    33: ("MARKS_END", SECONDARY, 8, 8, False, False, marks_end),
    34: ("STATE", SECONDARY, 24, 24, False, False, state),
    35: ("SUMMED", SECONDARY, 16, 16, False, True, summed),
    48: ("ERROR", PRIMARY | SECONDARY, 8, 8 + TEXT_MAX, False, False, error),
}


def one(data, at, ends):
    """Return (octets, who it may be, a line)."""
    need(len(data) - at >= HDR.size, "cut in a header")
    magic, kind, res, length, res2, epoch, off = HDR.unpack_from(data, at)
    need(magic == MAGIC, f"magic {magic:#x}")
    need(kind in TYPES, f"type {kind}")
    name, who, low, high, has_epoch, has_off, what = TYPES[kind]
    need(res == 0 and res2 == 0, f"{name}: reserved octets")
    need(ends & who, f"{name} of the other end")
    need(low <= length <= high, f"{name} of {length} octets")
    need((epoch != 0) == has_epoch, f"{name}: epoch {epoch}")
    need(has_off or not off, f"{name}: offset {off}")
    body = data[at + HDR.size:at + HDR.size + length]
    need(len(body) == length, f"{name} is cut")
    try:
        text = what(body, off)
    except Bad as bad:
        raise Bad(f"{name}: {bad}") from None
    return (HDR.size + length, ends & who,
            f"{name} epoch={epoch} {text}".rstrip())


def dump(path, quiet):
    with (sys.stdin.buffer if path == "-" else open(path, "rb")) as file:
        data = file.read()
    at, ends = 0, PRIMARY | SECONDARY
    while at < len(data):
        try:
            size, ends, line = one(data, at, ends)
        except Bad as bad:
            print(f"{path}: at {at}: {bad}", file=sys.stderr)
            return False
        if not quiet:
            print(f"{at:8} {line}")
        at += size
    return True


def main(argv):
    quiet = "-q" in argv
    files = [arg for arg in argv if arg != "-q"]
    if not files or any(arg.startswith("-") and arg != "-" for arg in files):
        print(__doc__, file=sys.stderr)
        return 2
    return 0 if all([dump(path, quiet) for path in files]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
