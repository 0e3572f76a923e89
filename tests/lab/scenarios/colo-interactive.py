# SPDX-License-Identifier: LGPL-2.1-or-later
"""A chat and a shell under COLO, over TLS: typing stays typing

What the chat's server says is the same in both copies. An ssh server pads
each packet with random octets, so the copies differ with every key stroke:
that costs a checkpoint, and must not cost the session."""

import json

import _colo
import _remus

GUEST = "pvh"
PRODUCT = True
SLOW = True


def run(lab):
    guest = lab.guests()["g1"]
    _colo.protect(lab, guest, more="")  # TLS between the hosts
    assert _remus.status(lab)["link"] == "tls"
    watch = _colo.Watch(lab)
    clients = _remus.Clients(lab, guest, ("echo", "ssh"))
    clients.warm_up()
    clients.go_on(20)
    reports = clients.finish()
    told = watch.log("protection")
    lab.log(json.dumps({n: [r.get("latency_ms"), r["longest_gap_s"]]
                        for n, r in reports.items()}))
    assert reports["ssh"]["shells"] == 1, reports["ssh"]
    assert told["checkpoints"] > 0, told
    lab.out("A", "xl remus-stop g1", timeout=120)
    assert _remus.ended(lab) == 0, _remus.log_of(lab)
    _remus.no_rest(lab)
