# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both copies serve static files: compared, released, each octet right"""

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SECONDS = 20


def run(lab):
    guest = lab.guests()["g1"]
    small = _colo.pages(guest)
    _colo.protect(lab, guest)
    watch, before = _colo.Watch(lab), _colo.compared(lab)
    load = lab.client_start("http-load", small, "--connections", 4,
                            "--seconds", SECONDS)
    seen = [_colo.beside(lab) for _ in range(8)]
    reports = {"small": load.report(SECONDS + 150)}
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
    # Comparing must do the work, not checkpoints.
    assert passed > 50 and streamed > 500, (passed, streamed)
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0, _remus.log_of(lab)
    guest.wait_answer(60)
    _remus.no_rest(lab)
