# SPDX-License-Identifier: LGPL-2.1-or-later
# _serving.py - a guest serves all kinds of clients
"""Not a scenario: what the self-tests of the guest types share."""


def serves(lab, guest, requests=100):
    """Every server of the guest serves its client program."""
    clients = [
        lab.client_start("redis-count", "count", guest.address, "--strict",
                         "--requests", requests),
        lab.client_start("http-get", f"http://{guest.address}/file",
                         "--count", 2),
        lab.client_start("echo-chat", guest.address, "--lines", 50),
        lab.client_start("ping-probe", guest.address, "--count", 50)]
    session = lab.client_start("ssh-session", "--interval", "0.1", "--",
                               *guest.ssh_argv(None, "-tt"))
    reports = {c.program: c.report(120) for c in clients}
    session.wait_progress("lines", 3, 60)
    reports["ssh-session"] = session.stop()
    for program, report in reports.items():
        assert report["good"], f"{program}: {report}"
    assert reports["http-get"]["bytes"] == 2 * (8 << 20)
    verify = lab.client_start("redis-count", "verify", guest.address,
                              "--against", clients[0].base + ".json")
    assert verify.report()["lost"] == 0
    return reports
