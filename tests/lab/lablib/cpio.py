# SPDX-License-Identifier: LGPL-2.1-or-later
# cpio.py - write a directory as an initramfs (cpio, "newc" format)

import os
import stat


def _entry(out, ino, name, mode, data=b"", rdev=(0, 0)):
    encoded = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1],
              len(encoded), 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + encoded
    out.write(head + b"\0" * (-len(head) % 4))
    out.write(data + b"\0" * (-len(data) % 4))


def _walk(top):
    """Paths below top, parents first, in a fixed order."""
    for directory, subdirs, files in os.walk(top):
        subdirs.sort()
        links = [d for d in subdirs
                 if os.path.islink(os.path.join(directory, d))]
        if directory != top:
            yield directory
        for name in sorted(files + links):
            yield os.path.join(directory, name)


def write(top, path):
    """Write the tree top to the file path, everything owned by root, with
    the console node that init's first output needs."""
    with open(path, "wb") as out:
        _entry(out, 1, "dev", stat.S_IFDIR | 0o755)
        _entry(out, 2, "dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
        for ino, full in enumerate(_walk(top), 3):
            name, st = os.path.relpath(full, top), os.lstat(full)
            if name == "dev":
                continue
            if stat.S_ISLNK(st.st_mode):
                data = os.readlink(full).encode()
            elif stat.S_ISREG(st.st_mode):
                with open(full, "rb") as f:
                    data = f.read()
            else:
                data = b""
            _entry(out, ino, name, st.st_mode, data)
        _entry(out, 0, "TRAILER!!!", 0)
