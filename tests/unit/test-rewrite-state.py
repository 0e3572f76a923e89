#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-rewrite-state.py - The rewriter's saved state, read a second way, as TAP

Written from docs/rewrite.md; reads what the fuzz target's seeds hold."""
import os
import re
import struct

ROOT = os.environ.get("abs_top_srcdir") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..")
CORPUS = os.path.join(ROOT, "tests/fuzz/corpus/rewrite-state")
HEADER = struct.Struct(">IHHIB11s")
FLOW = struct.Struct(">16s16sHHHHB3sHBBIIIIIIIIIIHHI")
MASK = (1 << 64) - 1
P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
    0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
count = failed = 0


def ok(good, what):
    global count, failed
    count += 1
    failed += not good
    print(f"{'' if good else 'not '}ok {count} - {what}")


def rotl(x, r):
    return (x << r | x >> 64 - r) & MASK


def lane(acc, word):
    return rotl((acc + word * P2) & MASK, 31) * P1 & MASK


def xxh64(data):
    """XXH64 with seed 0."""
    at, n = 0, len(data)
    h = P5
    if n >= 32:
        v = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
        while at + 32 <= n:
            v = [lane(a, w) for a, w in
                 zip(v, struct.unpack_from("<4Q", data, at))]
            at += 32
        h = sum(rotl(a, r) for a, r in zip(v, (1, 7, 12, 18))) & MASK
        for a in v:
            h = ((h ^ lane(0, a)) * P1 + P4) & MASK
    h = (h + n) & MASK
    while at + 8 <= n:
        h ^= lane(0, struct.unpack_from("<Q", data, at)[0])
        h = (rotl(h, 27) * P1 + P4) & MASK
        at += 8
    if at + 4 <= n:
        h ^= struct.unpack_from("<I", data, at)[0] * P1 & MASK
        h = (rotl(h, 23) * P2 + P3) & MASK
        at += 4
    for octet in data[at:]:
        h = rotl(h ^ octet * P5 & MASK, 11) * P1 & MASK
    h = (h ^ h >> 33) * P2 & MASK
    h = (h ^ h >> 29) * P3 & MASK
    return h ^ h >> 32


def complaint(data):
    """Why this is no saved state, or None."""
    if len(data) < HEADER.size + 8:
        return "short"
    magic, version, size, n, mode, zero = HEADER.unpack_from(data)
    if (magic, version, size) != (0x584C5257, 1, FLOW.size) or any(zero):
        return "header"
    if mode > 1 or len(data) != HEADER.size + n * FLOW.size + 8:
        return "length"
    if struct.unpack(">Q", data[-8:])[0] != xxh64(data[:-8]):
        return "checksum"
    before = b""
    for i in range(n):
        flow = data[HEADER.size + i * FLOW.size:][:FLOW.size]
        why = flow_complaint(FLOW.unpack(flow), mode)
        if why or flow[:44] <= before:
            return why or "order"
        before = flow[:44]
    return None


def flow_complaint(flow, mode):
    (src, dst, _, _, outer, inner, family, zero1, flags, scale, zero2, off,
     isn_p, isn_s, isn_c, _, mark, last, ack, fin_out, fin_in, win, zero3,
     age) = flow
    v4 = bytes(10) + b"\xff\xff"
    covered = ((2, isn_p), (4, isn_s), (8, isn_c), (0x100, mark | age),
               (0x200, last), (0x80, ack | win), (0x400, fin_out),
               (0x1000, fin_in))
    implied = ((0x800, 0x400), (0x2000, 0x1000), (0x8000, 0x4000))
    if any(zero1) or zero2 or zero3 or scale > 14:
        return "reserved"
    if family not in (4, 6) or max(outer, inner) > 4096 or inner and not outer:
        return "key"
    if family == 4 and (src[:12] != v4 or dst[:12] != v4):
        return "address"
    if any(value and not flags & bit for bit, value in covered):
        return "covered"
    if any(flags & a and not flags & b for a, b in implied):
        return "implied"
    if flags & 0x40 and not (mode and flags & 0x11):
        return "native"
    if flags & 6 == 6 and (flags & 1 or off != isn_s - isn_p & 0xFFFFFFFF):
        return "offset"
    return None


ok(xxh64(b"") == 0xEF46DB3751D8E999 and xxh64(b"abc") == 0x44BC2CF5AD770999,
   "this XXH64 is XXH64")
ok((HEADER.size, FLOW.size) == (24, 96), "sizes are those of the document")
expected = {"bad-checksum": "checksum", "bad-count": "length",
            "bad-cut": "length", "bad-family": "key", "bad-flags": "native",
            "bad-magic": "header", "bad-mode": "length",
            "bad-offset": "offset", "bad-order": "order",
            "bad-scale": "reserved", "bad-version": "header"}
for name in sorted(os.listdir(CORPUS)):
    with open(os.path.join(CORPUS, name), "rb") as file:
        why = complaint(file.read())
    ok(why == expected.get(name) and (why or name.startswith("good-")),
       f"{name}: {why or 'whole'}")

with open(os.path.join(ROOT, "docs/rewrite.md"), encoding="utf-8") as file:
    document = file.read()
with open(os.path.join(ROOT, "tools/libxl-colo/compare/rewrite-flow.h"),
          encoding="utf-8") as file:
    defined = {int(bit, 16) for bit in re.findall(
        r"^#define FLOW_\w+ +(0x[0-9a-f]+)u", file.read(), re.M)}
section = document[document.index("| flag | meaning |"):]
told = {int(bit, 16) for row in re.findall(r"^\| (0x.*?) \|", section, re.M)
        for bit in row.split(", ")}
ok(told == defined and len(told) == 16, "the document has every flag")
print(f"1..{count}")
raise SystemExit(failed != 0)
