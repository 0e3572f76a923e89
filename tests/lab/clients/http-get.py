#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# http-get.py - download the guests' file and check every byte of it
"""One connection, one or more requests on it.  Each answer is compared
block by block with what the file must contain, so the report says at which
byte a stream went wrong, not only that it did.  --rate slows reading down,
so that a short file spans a failover; waiting for the rate is not a
stall."""

import hashlib
import http.client
import time
import urllib.parse

from common import BLOCK, Gaps, Run, file_blocks, parser


class Download:
    """One program run."""

    def __init__(self, args):
        self.args = args
        self.run = Run(args)
        self.gaps = Gaps(self.run)
        self.url = urllib.parse.urlsplit(args.url)
        self.bytes = self.done = 0
        self.error = self.wrong_at = self.sha256 = None

    def pace(self, began, count):
        """Wait until count bytes are allowed."""
        if self.args.rate:
            ahead = began + count / self.args.rate - time.monotonic()
            if ahead > 0:
                time.sleep(min(ahead, 1))
                self.gaps.restart()

    def one(self, connection):
        """One request on the connection."""
        connection.request("GET", self.url.path or "/")
        answer = connection.getresponse()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")
        size = int(answer.headers["Content-Length"])
        self.gaps.event()
        digest, count, began = hashlib.sha256(), 0, time.monotonic()
        blocks, expected = file_blocks(size), b""
        while count < size and not self.run.over():
            data = answer.read1(BLOCK)
            if not data:
                raise http.client.IncompleteRead(b"", size - count)
            self.gaps.event()
            digest.update(data)
            if self.args.check:
                while len(expected) < len(data):
                    expected += next(blocks, b"\0" * BLOCK)
                if self.wrong_at is None and \
                        expected[:len(data)] != data:
                    self.wrong_at = count + next(
                        i for i, (a, b) in enumerate(zip(data, expected))
                        if a != b)
                expected = expected[len(data):]
            count += len(data)
            self.bytes += len(data)
            self.run.progress(bytes=self.bytes, done=self.done,
                              **self.gaps.report("longest_stall"))
            self.pace(began, count)
        if count == size:
            answer.read()  # tells http.client that the answer is over
        self.sha256 = digest.hexdigest()
        return count == size

    def main(self):
        """All requests; report."""
        connection = http.client.HTTPConnection(
            self.url.hostname, self.url.port or 80,
            timeout=self.args.timeout)
        try:
            while not self.run.over() and self.done < self.args.count:
                self.gaps.restart()
                if not self.one(connection):
                    break
                self.done += 1
        except (OSError, http.client.HTTPException) as err:
            self.gaps.event()
            self.error = f"{type(err).__name__}: {err}"
        connection.close()
        self.run.finish(
            self.error is None and self.wrong_at is None
            and (self.done == self.args.count or self.run.stopped),
            error=self.error, wrong_at=self.wrong_at, bytes=self.bytes,
            done=self.done, complete=self.done == self.args.count,
            sha256=self.sha256, bytes_per_s=int(
                self.bytes / max(self.run.now(), 0.001)),
            **self.gaps.report("longest_stall"))


def expected_sha256(mib):
    """The hash of a complete file of mib MiB."""
    digest = hashlib.sha256()
    for block in file_blocks(mib << 20):
        digest.update(block)
    return digest.hexdigest()


def main():
    """Run the command line."""
    top = parser(__doc__.splitlines()[0])
    top.add_argument("url")
    top.add_argument("--rate", type=float, default=0,
                     help="bytes a second to read (default: all it can)")
    top.add_argument("--count", type=int, default=1,
                     help="requests on the one connection")
    top.add_argument("--timeout", type=float, default=60)
    top.add_argument("--no-check", dest="check", action="store_false",
                     help="the URL is not the guests' file")
    Download(top.parse_args()).main()


if __name__ == "__main__":
    main()
