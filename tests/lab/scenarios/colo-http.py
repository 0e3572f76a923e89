# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both copies serve static files: compared, released, each octet right"""

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
# Packets that are compared; a slow and a fast machine both come to them.
ENOUGH = 60


def run(lab):
    guest = lab.guests()["g1"]
    small = _colo.pages(guest)
    _colo.protect(lab, guest)
    watch, before = _colo.Watch(lab), _colo.compared(lab)
    load = lab.client_start("http-load", small, "--connections", 4,
                            "--seconds", 7200)
    seen = [_colo.beside(lab) for _ in range(8)]
    lab.wait(lambda: _colo.compared(lab) - before > ENOUGH, 150,
             f"{ENOUGH} packets of small pages to be compared", interval=1)
    reports = {"small": load.stop(150)}
    passed = _colo.compared(lab) - before
    watch.log(f"small pages, {passed} packets compared and released")
    watch, before = _colo.Watch(lab), _colo.compared(lab)
    reports["whole"] = lab.client_start(
        "http-get", f"http://{guest.address}/file", "--timeout",
        120).report(240)
    streamed = _colo.compared(lab) - before
    told = watch.log(f"8 MiB, {streamed} packets compared and released")
    for name, report in reports.items():
        lab.log(f"{name}: {report}")
        assert report["good"] and not report.get("resets"), report
    assert reports["whole"]["bytes"] == 8 << 20
    assert any(seen), "the copy never ran while it was looked at"
    assert told["modes"].keys() <= {"colo"}, told
    # Comparing must do the work, not checkpoints: 8 MiB are 128 frames of the
    # largest kind, and more of any other.
    assert streamed > 100, (passed, streamed)
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0, _remus.log_of(lab)
    guest.wait_answer(60)
    _remus.no_rest(lab)
