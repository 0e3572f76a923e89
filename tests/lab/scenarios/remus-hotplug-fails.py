# SPDX-License-Identifier: LGPL-2.1-or-later
"""A hotplug script that fails at the failover does not cost the last copy"""

import _remus

GUEST = "pvh"
PRODUCT = True

BROKEN = """#!/bin/bash
# The first two "online" of a vif fail, as a misconfigured bridge would.
if [ "$1" = online ]; then
    n=$(cat /run/lab-broken 2>/dev/null || echo 0)
    echo $((n + 1)) >/run/lab-broken
    if [ $n -lt 2 ]; then
        . "$(dirname "$0")/vif-common.sh"
        fatal "the lab broke this on purpose"
    fi
fi
exec "$(dirname "$0")/vif-bridge.real" "$@"
"""


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    clients = _remus.Clients(lab, guest, ("redis",))
    clients.warm_up()
    lab.out("B", "mv /etc/xen/scripts/vif-bridge "
                 "/etc/xen/scripts/vif-bridge.real")
    lab.sh("B", "cat >/etc/xen/scripts/vif-bridge; "
                "chmod 755 /etc/xen/scripts/vif-bridge", check=True,
           input=BROKEN.encode())
    lab.power_off("A")
    _remus.wait_running(lab, timeout=180)
    assert int(lab.out("B", "cat /run/lab-broken")) >= 3
    clients.go_on(2)
    clients.finish()
