# SPDX-License-Identifier: LGPL-2.1-or-later
# procs.py - long-lived processes: start, recognise and end them by PID
"""A process that outlives the command that started it has a file with its
PID and the kernel's start time of that PID.  Both must match before a
signal is sent, so a PID that was reused by a stranger is left alone.

A process that does not is waited for by call(), and ended by interrupt():
after Ctrl-C no thread may start or wait for anything until the main thread
has joined all threads (output.together) and begins to clear up."""

import json
import os
import signal
import subprocess
import threading

from . import output
from .output import LabError
from .wait import wait

_children = {}          # long-lived ones, by PID
_called = set()         # those that a call() waits for
_lock = threading.Lock()


def start_time(pid):
    """The kernel's start time of a live process, or None.  A zombie is not
    alive, unless threads of it still are: they hold its files and locks."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rsplit(b")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in (b"Z", b"X") and int(fields[17]) <= 1:
        return None
    return int(fields[19])


def spawn(argv, pidfile, log, pass_fds=()):
    """Start argv in a session of its own, output to the file log, and
    write pidfile.  Returns the PID."""
    with open(log, "ab") as out, _lock:
        output.check_interrupt()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=out, start_new_session=True,
                                 pass_fds=pass_fds)
        with open(pidfile, "w") as f:
            json.dump({"pid": child.pid, "start": start_time(child.pid)}, f)
    _children[child.pid] = child
    return child.pid


def _reap(pid):
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]


def alive(pidfile):
    """The PID in pidfile if that very process still runs, else None."""
    try:
        with open(pidfile) as f:
            entry = json.load(f)
    except (FileNotFoundError, ValueError):
        return None
    _reap(entry["pid"])
    if entry["start"] is None or start_time(entry["pid"]) != entry["start"]:
        return None
    return entry["pid"]


def end(pidfile, sig=signal.SIGTERM, grace=5.0):
    """End the process of pidfile (SIGKILL after grace seconds) and remove
    the file.  Returns whether there was one."""
    pid = alive(pidfile)
    if pid is not None:
        try:
            os.kill(pid, sig)
            wait(lambda: alive(pidfile) is None, grace, f"process {pid}")
        except LabError:
            os.kill(pid, signal.SIGKILL)
            wait(lambda: alive(pidfile) is None, 10, f"process {pid} to die")
        except ProcessLookupError:
            pass
    try:
        os.unlink(pidfile)
    except FileNotFoundError:
        pass
    return pid is not None


def interrupt():
    """End what call() waits for; those calls fail."""
    with _lock:
        for child in _called:
            child.terminate()


def call(argv, input=b"", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
         timeout=None):
    """subprocess.run, except that interrupt() ends it."""
    with _lock:
        output.check_interrupt()
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=stdout,
                                 stderr=stderr)
        _called.add(child)
    try:
        out, err = child.communicate(input, timeout)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        with _lock:
            _called.discard(child)
    output.check_interrupt()
    return subprocess.CompletedProcess(argv, child.returncode, out, err)


def run(argv, text=b""):
    """Run argv with text as its input; returns its output.  A failure is
    explained in a sentence."""
    if isinstance(text, str):
        text = text.encode()
    done = call(argv, text)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip()[-2000:]
        raise LabError(f"'{' '.join(map(str, argv))}' failed with status "
                       f"{done.returncode}: {last or 'it said nothing'}")
    return done.stdout
