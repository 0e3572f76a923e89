# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random words in each answer: auto finds that comparing does not pay

A pinned COLO takes a checkpoint for every answer; auto gives up after some
runs, says why, and stays usable; an answer is never of two minds."""

import json

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
TIMEOUT = 900
PORT = 13
# A run can't be shorter than the copy takes to be back, seconds in the lab.
MORE = "--plaintext --set short-run=15000"
GIVEN_UP = {"short-runs", "too-late", "hold-worse", "lagging"}


def run(lab):
    guest = lab.guests()["g1"]
    _colo.tokens(guest, PORT)
    _colo.protect(lab, guest, mode="auto", more=MORE)
    watch = _colo.Watch(lab)
    chats = [lab.client_start("echo-chat", guest.address, "--port", PORT,
                              "--more", "--interval", "0.05", "--timeout",
                              120) for _ in range(3)]
    for chat in chats:
        chat.wait_progress("lines", 3, 120)

    def passive():
        return GIVEN_UP & set(watch.told()["switches"])
    lab.wait(passive, 120, "auto to give comparing up", interval=1)
    told = watch.log("until it was given up")
    assert told["causes"].get("miscompare", 0) + \
        told["causes"].get("late", 0) > 0, "the copies never differed"
    then = [c.progress()["lines"] for c in chats]
    for chat, lines in zip(chats, then):
        chat.wait_progress("lines", lines + 10, 120)
    watch.log("in all")
    for chat in chats:
        report = chat.stop(60)
        lab.log(json.dumps(report))
        assert report["good"] and not report["resets"], report
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0, _remus.log_of(lab)
    _remus.no_rest(lab)
