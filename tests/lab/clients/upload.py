#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# upload.py - send much on one connection; the server says what it got
"""Sends the guests' file (see common.py), as far as time allows, then
half-closes; the server must answer with the number of octets (`wc -c`) or
with their SHA-256 (`sha256sum`).  Only the answer ends the measurement: what
lies in buffers has not arrived."""

import hashlib
import socket
import time

from common import BLOCK, Gaps, Run, file_blocks, parser


class Upload:
    """One program run."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.gaps = Gaps(self.run)
        self.size = args.mib << 20
        self.bytes, self.error, self.answer = 0, None, b""
        self.digest = hashlib.sha256()

    def send(self, sock):
        """All of the file."""
        began = time.monotonic()
        for block in file_blocks(self.size):
            if self.run.over():
                return
            view = memoryview(block)
            while view and not self.run.over():
                count = sock.send(view)
                self.digest.update(view[:count])
                view = view[count:]
                self.bytes += count
                self.gaps.event()
                self.run.progress(bytes=self.bytes,
                                  **self.gaps.report("longest_stall"))
            if self.args.rate:
                ahead = began + self.bytes / self.args.rate \
                    - time.monotonic()
                if ahead > 0:
                    time.sleep(min(ahead, BLOCK / self.args.rate))
                    self.gaps.restart()

    def main(self):
        """Send, wait for the answer, report."""
        try:
            with socket.create_connection(
                    (self.args.host, self.args.port),
                    timeout=self.args.timeout) as sock:
                self.send(sock)
                sock.shutdown(socket.SHUT_WR)
                while b"\n" not in self.answer:
                    data = sock.recv(4096)
                    if not data:
                        raise ConnectionResetError("end of file")
                    self.answer += data
        except OSError as err:
            self.error = f"{type(err).__name__}: {err}"
        self.gaps.event()
        words = self.answer.split()
        good = bool(words) and words[0] in (
            str(self.bytes).encode(), self.digest.hexdigest().encode())
        self.run.finish(
            good, error=self.error, bytes=self.bytes,
            complete=self.bytes == self.size,
            answer=self.answer.decode(errors="replace").strip(),
            bytes_per_s=int(self.bytes / max(self.run.now(), 0.001)),
            **self.gaps.report("longest_stall"))


def main():
    """Run the command line."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("host")
    top.add_argument("--port", type=int, default=9)
    top.add_argument("--mib", type=int, default=8)
    top.add_argument("--rate", type=float, default=0,
                     help="bytes a second to send (default: all it can)")
    top.add_argument("--timeout", type=float, default=120)
    Upload(top.parse_args()).main()


if __name__ == "__main__":
    main()
