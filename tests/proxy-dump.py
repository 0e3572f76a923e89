#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dump and verify what a proxy says (docs/specs/proxy-protocol.md).

usage: proxy-dump.py [-q] FILE...      ("-" is standard input)

One line a message. Written from the specification, not from wire.c, so that
the two can disagree. Exit status: 0 all messages are good, 1 one is not (its
offset and what is wrong go to standard error), 2 usage.
"""
import ipaddress
import struct
import sys

HDR = struct.Struct(">HHIQ")
OPTIONAL, OPTIONAL_MAX = 0x8000, 4096
VIFS = 16
FRAME = struct.Struct(">BBHHHHHI")
FRAME_MIN, FRAME_MAX = FRAME.size + 14, FRAME.size + 69632
PRIMARY, SECONDARY = {"primary"}, {"secondary"}


class Bad(Exception):
    """The stream breaks the specification."""


def need(cond, text):
    if not cond:
        raise Bad(text)


def hello(body):
    version, low, caps, vifs, res = struct.unpack(">HHIHH", body)
    need(1 <= low <= version, f"versions {low} to {version}")
    need(1 <= vifs <= VIFS, f"{vifs} vifs")
    need(res == 0, "reserved octets")
    return f"version={low}-{version} caps={caps:#x} vifs={vifs}"


def cut(body):
    need(body[0] in (1, 2), f"mode {body[0]}")
    need(not any(body[1:]), "reserved octets")
    return f"mode={('passive', 'colo')[body[0] - 1]}"


def frame(body):
    (flags, gso, hdr_len, gso_size, start, offset, said,
     seq_off) = FRAME.unpack_from(body)
    size = len(body) - FRAME.size
    need(flags & ~3 == 0, f"flags {flags:#x}")
    need(gso & ~0x80 in (0, 1, 4), f"segmentation {gso:#x}")
    need(gso_size if gso & ~0x80 else gso == 0, "size of segments")
    need(hdr_len <= size, f"headers of {hdr_len} octets")
    need(not flags & 1 or start + offset + 2 <= size, "place of a checksum")
    need(said & ~1 == 0, f"remark {said:#x}")
    return (f"octets={size} flags={flags:#x} gso={gso:#x}/{gso_size} "
            f"sum={start}+{offset} said={said} seq_off={seq_off:#x}")


def inbound(body):
    text = frame(body)
    need(FRAME.unpack_from(body)[6:] == (0, 0), "offset or remark")
    return text


def flow(body):
    (family, has, outer, inner, sport, dport, res, isn, tsval, src,
     dst) = struct.unpack(">BBHHHHHII16s16s", body)
    need(family in (4, 6), f"family {family}")
    src, dst = ipaddress.IPv6Address(src), ipaddress.IPv6Address(dst)
    need(family == 6 or (src.ipv4_mapped and dst.ipv4_mapped),
         "addresses of IPv4")
    need(has in (1, 2, 3), f"has {has}")
    need(has & 1 or not isn, "a sequence number that is not there")
    need(has & 2 or not tsval, "a timestamp that is not there")
    need(outer <= 4096 and inner <= (4096 if outer else 0), "tags")
    need(res == 0, "reserved octets")
    return (f"family={family} tags={outer}/{inner} guest={src}:{sport} "
            f"other={dst}:{dport} has={has} isn={isn:#x} tsval={tsval:#x}")


def want(body):
    reason, res = struct.unpack(">II", body)
    need(reason in (1, 2, 3), f"reason {reason}")
    need(res == 0, "reserved octets")
    return f"reason={('flows', 'queue', 'split')[reason - 1]}"


# type: name, who says it, shortest and longest body, body's function
TYPES = {
    1: ("HELLO", PRIMARY | SECONDARY, 12, 12, hello),
    2: ("CUT", PRIMARY, 8, 8, cut),
    16: ("INBOUND", PRIMARY, FRAME_MIN, FRAME_MAX, inbound),
    17: ("FLOW", PRIMARY, 52, 52, flow),
    32: ("OUTBOUND", SECONDARY, FRAME_MIN, FRAME_MAX, frame),
    33: ("CONNECTED", SECONDARY, 0, 0, lambda body: ""),
    34: ("WANT", SECONDARY, 8, 8, want),
}


def one(data, at, ends):
    """Return (octets, who it may be, a line)."""
    need(len(data) - at >= HDR.size, "cut in a header")
    kind, vif, length, epoch = HDR.unpack_from(data, at)
    name, who, low, high, what = TYPES.get(
        kind, (f"{kind:#x}", ends, 0, OPTIONAL_MAX, None))
    need(what or kind & OPTIONAL, f"type {kind}")
    need(ends & who, f"{name} of the other end")
    need(low <= length <= high, f"{name} of {length} octets")
    need(vif < VIFS, f"vif {vif}")
    if what:
        need((epoch == 0) == (name == "HELLO"), f"{name}: epoch {epoch}")
    body = data[at + HDR.size:at + HDR.size + length]
    need(len(body) == length, f"{name} is cut")
    try:
        text = what(body) if what else f"octets={length} (skipped)"
    except Bad as bad:
        raise Bad(f"{name}: {bad}") from None
    return (HDR.size + length, ends & who,
            f"{name} vif={vif} epoch={epoch} {text}".rstrip())


def dump(name, data, quiet):
    at, ends = 0, PRIMARY | SECONDARY
    while at < len(data):
        try:
            used, ends, line = one(data, at, ends)
        except Bad as bad:
            print(f"{name}: at {at}: {bad}", file=sys.stderr)
            return False
        if not quiet:
            print(f"{at} {line}")
        at += used
    return True


def main(args):
    quiet = args[:1] == ["-q"]
    names = args[quiet:]
    if not names or any(n.startswith("-") and n != "-" for n in names):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    good = True
    for name in names:
        if name == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(name, "rb") as file:
                data = file.read()
        good = dump(name, data, quiet) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
