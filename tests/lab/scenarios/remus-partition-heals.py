# SPDX-License-Identifier: LGPL-2.1-or-later
"""RULES A2: all paths were cut, both run; they meet, and B's copy stands aside"""

import json

import _remus

GUEST = "pvh"
PRODUCT = True
TIMEOUT = 900
LOG = "/var/log/xen/xl-remus-g1.log"


def paused(lab, host):
    """Whether the guest is paused on a host."""
    return "p" in lab.out(host, "xl list g1").splitlines()[-1].split()[4]


def bridged(lab, host):
    """Whether the guest's vif is on the bridge of a host."""
    return "vif" in lab.out(host, "ls /sys/class/net/xenbr0/brif")


def recorded(lab, host):
    """What a host remembers of the guest."""
    return json.loads(lab.out(host, "cat /var/lib/xl-colo/*.json"))["state"]


def states(lab, hosts):
    """The states that the hosts show."""
    return [_remus.status(lab, host, "g1").get("state") for host in hosts]


def both_run(lab, first, second):
    """All paths are cut, and nobody can know."""
    lab.cut("lan")
    lab.cut("link")
    assert _remus.ended(lab, first, timeout=120) == 4, \
        _remus.log_of(lab, first)
    _remus.wait_running(lab, second, timeout=120)
    lab.wait(lambda: states(lab, first + second) ==
             ["unprotected", "running"], 30, "both to say so", interval=0.3)
    for host in "AB":
        assert not paused(lab, host) and bridged(lab, host), host
        # A start that fails sends nobody away who looks or waits.
        assert lab.sh(host, "xl remus -s false g1 nowhere").returncode == 3
    assert states(lab, first + second) == ["unprotected", "running"]


def meet(lab, first, second):
    """One goes on, the other is paused and unheard; both say which."""
    lab.heal("link")
    lab.wait(lambda: states(lab, first + second) ==
             ["unprotected", "stood-aside"], 60,
             f"the copy on {second} to stand aside", interval=0.3)
    lab.wait(lambda: paused(lab, second) and not bridged(lab, second), 20,
             f"the copy on {second} to be paused", interval=0.3)
    assert not paused(lab, first) and bridged(lab, first)
    lab.wait(lambda: _remus.status(lab, first).get("split"), 20,
             f"{first} to know", interval=0.3)
    assert _remus.status(lab, second, "g1")["split"]
    for host in "AB":
        said = lab.out(host, f"grep ' error: ' {LOG}")
        assert "xl destroy g1" in said and "xl unpause g1" in said, said
        assert any("two copies ran" in w for w in
                   _remus.status(lab, host, "g1")["warnings"])
    assert [recorded(lab, host) for host in (first, second)] == \
        ["split", "stood-aside"]


def run(lab):
    guest = lab.guests()["g1"]
    _remus.protect(lab, guest, options="--plaintext")
    clients = _remus.Clients(lab, guest, ("redis", "echo"))
    clients.warm_up()
    both_run(lab, "A", "B")
    meet(lab, "A", "B")
    # What A's copy promised is kept: nothing of B's overwrote it.
    lab.heal("lan")
    clients.go_on(3)

    # B's copy is not let go while A's runs; the wish is forgotten after 5 s.
    lab.out("B", "xl unpause g1")
    lab.wait(lambda: paused(lab, "B"), 30, "B's copy to be paused again",
             interval=0.3)
    clients.go_on(8)
    assert paused(lab, "B") and not bridged(lab, "B")
    assert not paused(lab, "A")
    clients.finish()

    # The administrator chooses B's, which kept what it had.
    lab.out("A", "xl destroy g1")
    lab.wait(lambda: b"is gone on" in lab.sh("B", f"cat {LOG}").stdout, 60,
             "B to know that A's copy is gone", interval=0.5)
    _remus.no_rest(lab, ("A",))
    assert paused(lab, "B")
    lab.out("B", "xl unpause g1")
    lab.wait(lambda: not paused(lab, "B") and bridged(lab, "B"), 30,
             "B's copy to go on", interval=0.3)
    guest.wait_answer(60)
    assert _remus.status(lab, "B", "g1")["state"] == "running"
    assert recorded(lab, "B") == "open"

    # A second time; now A's is kept, and it is protected by B again.
    _remus.protect(lab, guest, peer="a-link", options="--plaintext",
                   host="B")
    both_run(lab, "B", "A")
    meet(lab, "B", "A")
    lab.heal("lan")
    lab.out("A", "xl destroy g1")
    lab.wait(lambda: _remus.status(lab, "B") == {}, 30,
             "B to know that A's copy is gone", interval=0.3)
    _remus.protect(lab, guest, peer="a-link", options="--plaintext",
                   host="B")
    lab.out("B", "xl remus-stop g1", timeout=60)
    assert _remus.ended(lab, "B") == 0, _remus.log_of(lab, "B")
    _remus.no_rest(lab)
