# SPDX-License-Identifier: LGPL-2.1-or-later
# output.py - what the lab says to its user, and the error that it raises
"""Progress goes to standard error, results to standard output, so that
`name=$(lab guest start pvh)` works.  Every line carries the seconds since
the program started: the lab's own speed is always visible."""

import contextlib
import sys
import threading
import time

_START = time.monotonic()
_lock = threading.Lock()
_interrupted = threading.Event()
quiet = False
record = []  # the lines of the current scenario


class LabError(Exception):
    """A sentence for the user: the thing, the reason, the way out."""


def say(text):
    """Print one line of progress."""
    line = f"lab {time.monotonic() - _START:7.2f}s  {text}"
    with _lock:
        record.append(line)
        if not quiet:
            print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(name):
    """Say how long the enclosed stage took."""
    began = time.monotonic()
    say(f"{name} ...")
    yield
    say(f"{name}: {time.monotonic() - began:.1f} s")


class Interrupted(LabError):
    """Raised in a thread that is to end because of Ctrl-C."""


def check_interrupt():
    """In a thread of together(): end it if the program was interrupted."""
    if _interrupted.is_set():
        raise Interrupted("interrupted")


def together(*jobs):
    """Run the functions in parallel; raise the first error once all ended.

    Returns their results in order.  On Ctrl-C the threads are made to end
    before the interrupt goes on, so that nobody starts what the caller is
    about to clear up."""
    from . import procs
    results, errors = [None] * len(jobs), []

    def work(i, job):
        try:
            results[i] = job()
        except BaseException as err:  # handed to the caller below
            errors.append(err)

    threads = [threading.Thread(target=work, args=(i, job))
               for i, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        _interrupted.set()
        procs.interrupt()
        for thread in threads:
            thread.join()
        _interrupted.clear()
        raise
    if errors:
        raise errors[0]
    return results
