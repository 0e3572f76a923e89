# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measured, not judged: an idle guest's ping, plain, stock remus, and ours"""

import json
import time

import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True
TIMEOUT = 1200
SECONDS = 40
INTERVAL = 200
STOCK = "$(ls -d /usr/lib/xen-*/bin/xl | head -n 1)"


def ping(lab, guest, seconds=SECONDS):
    """Latencies of a ping every 50 ms for a while."""
    probe = lab.client_start("ping-probe", guest.address, "--interval",
                             "0.05", "--seconds", seconds)
    return probe.report(seconds + 60)


def ours(lab, guest, options):
    """Ping under our protection, and its times per checkpoint."""
    limits, _remus.LIMITS = _remus.LIMITS, \
        _remus.LIMITS + f" -i {INTERVAL}"
    try:
        _remus.start(lab, guest, options="-i 200 --plaintext " + options)
        _remus.wait_protected(lab)
    finally:
        _remus.LIMITS = limits
    first = _remus.status(lab)
    began = time.monotonic()
    samples, probe = [], lab.client_start(
        "ping-probe", guest.address, "--interval", "0.05", "--seconds",
        SECONDS)
    while probe.running():
        samples.append(_remus.status(lab))
        time.sleep(0.5)
    last, took = _remus.status(lab), time.monotonic() - began
    lab.out("A", "xl remus-stop g1")
    assert _remus.ended(lab) == 0
    rate = (last["checkpoints_total"] - first["checkpoints_total"]) / took
    return probe.report(10), samples, rate


def stock(lab, guest):
    """Ping under the distribution's own remus, which holds nothing back."""
    lab.sh("A", f"setsid sh -c '{STOCK} remus -F -n -d -i {INTERVAL} g1 "
                "b-link >/var/log/stock-remus.log 2>&1 </dev/null' "
                ">/dev/null 2>&1 </dev/null &", check=True)
    lab.wait(lambda: "g1--incoming" in lab.out("B", "xl list"), 60,
             "stock remus to begin", interval=0.5)
    lab.wait(lambda: lab.sh("B", "xl list g1--incoming | awk 'NR == 2 "
                            "{ exit $3 < 128 }'").returncode == 0, 60,
             "stock remus to have copied", interval=0.5)
    lab.client(f"ping -c 40 -i 0.2 {guest.address}", 120)  # it settles
    return ping(lab, guest)


def median(samples, key):
    """The median of a number over samples of the status."""
    values = sorted(s[key] for s in samples if s)
    return values[len(values) // 2] if values else 0


def run(lab):
    guest = lab.guests()["g1"]
    rows = [("unprotected", ping(lab, guest), [], 0)]
    rows.append(("ours", *ours(lab, guest, "")))
    rows.append(("ours, -F -n", *ours(lab, guest, "-F -n")))
    rows.append(("stock, -F -n -d", stock(lab, guest), [], 0))
    for name, report, samples, rate in rows:
        lab.log(f"{name:16} ping ms {json.dumps(report['latency_ms'])} "
                f"lost {report.get('lost')}")
        if samples:
            times = {k: round(median(samples, k + "_us") / 1000, 1)
                     for k in ("pause", "suspend", "capture", "resume",
                               "transfer", "ack")}
            lab.log(f"{name:16} checkpoints/s {rate:.2f}, pages "
                    f"{median(samples, 'pages')}, ms {json.dumps(times)}")
    # Stock remus ends with its host; the next scenario gets fresh ones.
    lab.power_off("B")
    lab.power_off("A")
