#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-disk-man.py - nbdkit-xlcolo-plugin(1) and docs/disk.md say what is so

The page's parameters are those of the plugin's own help, in both directions,
with the same defaults; each is known to the plugin. The sentences that
docs/disk.md explains are in the sources."""
import os
import re
import shutil
import subprocess
import sys

SRC = os.environ.get("abs_top_srcdir", ".")
PLUGIN = os.path.join(os.environ.get("abs_top_builddir", "."),
                      "nbdkit-xlcolo-plugin.so")
count = failed = 0


def same(got, want, what):
    global count, failed
    count += 1
    failed += got != want
    print(f"{'not ' * (got != want)}ok {count} - {what}")
    if got != want:
        print(f"# got {got}, expected {want}")


def text_of(*path):
    with open(os.path.join(SRC, *path), encoding="utf-8") as file:
        return file.read()


def page():
    """parameter: its default, as the page says it."""
    pod = text_of("docs", "nbdkit-xlcolo-plugin.pod")
    out = {}
    for key, body in re.findall(r"^=item B<([a-z-]+)=>.*?$(.*?)(?=^=)", pod,
                                re.M | re.S):
        default = re.search(r"\((\d+[A-Z]?)\)", body)
        out[key] = default and default[1]
    return out


def own_help():
    said = subprocess.run(["nbdkit", PLUGIN, "--help"], capture_output=True,
                          text=True, check=True).stdout
    out = {}
    for line in said.splitlines():
        key = re.match(r"([a-z-]+)=", line)
        default = re.search(r"\((\d+[A-Z]?)\)", line)
        if key and key[1] != "image" or key and "required" in line:
            out[key[1]] = default and default[1]
    return out


def known(key):
    said = subprocess.run(["nbdkit", "-f", "--run", "true", PLUGIN,
                           f"{key}=\x01", "image=/nonexistent"],
                          capture_output=True, text=True, check=False).stderr
    return "unknown parameter" not in said


def sentences():
    """Quoted in the manual, so they must be said."""
    said = ""
    for folder in "tools/libxl-colo/disk", "tools/xl-ext", "hotplug":
        for name in sorted(os.listdir(os.path.join(SRC, folder))):
            if name.endswith((".c", ".in")):
                said += text_of(folder, name)
    said = re.sub(r'"\s*(PRIu64)?\s*"', "", said)
    md = text_of("docs", "disk.md")
    quoted = re.findall(r"\*([^*\n]*…[^*\n]*)\*|`(…[^`]*)`", md)
    quoted = [a or b for a, b in quoted]
    lack = []
    for words in quoted:
        for part in re.split(r"…|\d+ ms|: ", words):
            part = part.strip()
            if len(part) > 3 and part not in said and part not in (
                    os.strerror(28), os.strerror(5)):
                lack.append(part)
    same(len(quoted) > 8, True, "sentences are quoted")
    same(lack, [], "and each is said somewhere")


def main():
    if not shutil.which("nbdkit") or not os.path.exists(PLUGIN):
        print("1..0 # SKIP nbdkit is not installed, or the plugin not built")
        return 0
    told, have = own_help(), page()
    same(len(told) > 10, True, "the plugin has a help")
    same(sorted(have), sorted(told), "the page has its parameters, no others")
    same({k: v for k, v in have.items() if v},
         {k: v for k, v in told.items() if v}, "with the same defaults")
    same([key for key in have if not known(key)], [],
         "and the plugin takes each")
    same(known("nonsense"), False, "and nothing else")
    sentences()
    print(f"1..{count}")
    return failed != 0


sys.exit(main())
