#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-spec.py - docs/specs/link-protocol.md says what the headers say, as TAP

Compared are the tables of types, reasons and states with the enumerations of
proto.h, and the lengths with proto-dump.py's."""
import importlib.util
import os
import re
import sys

ROOT = os.environ.get("abs_top_srcdir") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..")
LIB = "tools/libxl-colo"
count = failed = 0


def ok(good, what):
    global count, failed
    count += 1
    failed += not good
    print(f"{'' if good else 'not '}ok {count} - {what}")


def same(got, expected, what):
    ok(got == expected and expected, what)
    if got != expected:
        print(f"# specification: {got}\n# source: {expected}")


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def plain(word):
    """Is it a number as the specification writes types: 50, 0x8001?"""
    return re.fullmatch(r"\d+|0x[0-9a-f]+", word) is not None


def constant(path, expression):
    """Of numbers and names that the header defines, with | between them."""
    value = 0
    for word in expression.split("|"):
        word = word.strip()
        if not plain(word):
            word = re.search(r"^#define %s +(\w+?)[uU]?$" % word, text(path),
                             re.M).group(1)
        value |= int(word, 0)
    return value


def enum(path, name, prefix):
    """[(NAME without prefix, value)] of an enum; the last N... left out."""
    body = re.search(r"enum %s \{(.*?)\};" % name, text(path), re.S).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    out, value = [], -1
    for word, _, given in re.findall(r"(\w+)( = ([^,]*))?(?:,|\s*$)", body):
        value = constant(path, given) if given else value + 1
        if not word.endswith("_NSTATES"):
            out.append((word.removeprefix(prefix), value))
    return out


def rows(section):
    """Cells of all table rows of a section that start with a number."""
    head, rest = re.search(r"^(#+) %s .*?$(.*)" % re.escape(section), SPEC,
                           re.S | re.M).groups()
    part = re.split(r"^#{1,%d} " % len(head), rest, maxsplit=1,
                    flags=re.M)[0]
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and plain(cells[0]):
            yield cells


def number(cell):
    return int(cell.replace(" ", ""), 0)


def check_types():
    table = list(rows("3."))
    same([(cells[1], number(cells[0])) for cells in table],
         enum(f"{LIB}/link/proto.h", "proto_type", "PROTO_"),
         "types and their numbers")
    spec = importlib.util.spec_from_file_location(
        "proto_dump", os.path.join(ROOT, "tests", "proto-dump.py"))
    dump = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dump)
    epochs = {"0": dump.ZERO, "set": dump.SOME, "any": dump.ANY}
    said = {}
    for cells in table:
        low, _, high = cells[4].partition(" to ")
        said[number(cells[0])] = (cells[1], number(low), number(high or low),
                               epochs[cells[5]])
    same(said, {kind: (entry[0], entry[1], entry[2], entry[4])
                for kind, entry in dump.TYPES.items()},
         "lengths and epochs are proto-dump.py's")


def check_reasons():
    pairs = []
    for cells in rows("4.8"):
        pairs += [number(cell) for cell in cells[0::2] if cell.isdigit()]
    known = enum(f"{LIB}/link/proto.h", "proto_reason", "PROTO_WHY_")
    reasons = sorted(p for p in pairs[-len(known) - 1:])
    same(reasons, [0] + [value for _, value in known], "numbers of reasons")


def check_states():
    table = list(rows("6."))
    for column, path, name, prefix in (
            (1, "link/proto.h", "proto_prim_state", "PROTO_PRIM_"),
            (2, "link/proto.h", "proto_sec_state", "PROTO_SEC_")):
        same([(cells[column].partition(":")[0], int(cells[0]))
              for cells in table if cells[column]],
             enum(f"{LIB}/{path}", name, prefix), f"states of {name}")
    most = int(re.search(r"PROTO_STATE_MAX +(\d+)u",
                         text(f"{LIB}/link/proto.h")).group(1))
    ok(len(table) - 1 <= most, "states fit PROTO_STATE_MAX")


SPEC = text("docs/specs/link-protocol.md")
check_types()
check_reasons()
check_states()
print(f"1..{count}")
sys.exit(failed != 0)
