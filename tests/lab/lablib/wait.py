# SPDX-License-Identifier: LGPL-2.1-or-later
# wait.py - poll a condition until it holds or its time is up
"""The only place in the lab that sleeps, and never as synchronisation:
between two looks at a condition."""

import time

from .output import LabError, check_interrupt


def wait(condition, timeout, what, interval=0.05):
    """Return the first true value of condition(); after timeout seconds
    raise a LabError that says what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        check_interrupt()
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise LabError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(interval)
