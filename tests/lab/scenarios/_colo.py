# SPDX-License-Identifier: LGPL-2.1-or-later
# _colo.py - protect a guest whose copy runs beside it, and see what is made
"""Not a scenario: what the scenarios of `xl remus --colo` share.  Whether the
copy runs is asked from Xen, and what happened is read from the event log
(docs/events.md): neither is what the status says of itself."""

import collections
import json
import time

import _remus

EVENTS = "/var/log/xl-colo-events"
COMPARED = ("miscompare", "late", "extra")  # causes that the comparison gave
# Emulated guests are slow to digest what waited for them, and slow to connect:
# wider than the defaults, as _remus.LIMITS are.
LIMITS = "--set late-limit=3000 --set lag-limit=20000"


def options(mode="colo", more="--plaintext"):
    """Those of xl remus."""
    limits = "" if mode == "remus" else LIMITS
    return f"--colo --mode={mode} {limits} --events {EVENTS} {more}"


def protect(lab, guest, mode="colo", more="--plaintext", peer="b-link",
            host="A"):
    """Protect it; in mode colo, wait until the copy has run."""
    lab.sh(host, f"rm -f {EVENTS}")
    _remus.protect(lab, guest, peer, options(mode, more), host)
    if mode == "colo":
        wait_beside(lab, "B" if host == "A" else "A", guest.name)


def beside(lab, host="B", name="g1"):
    """Whether the copy runs at this moment, as Xen sees it."""
    words = lab.sh(host, f"xl list {name}--colo").stdout.split()
    return len(words) > 6 and words[-2][2:3] != b"p"


def wait_beside(lab, host="B", name="g1", timeout=90):
    """Wait until the copy runs."""
    lab.wait(lambda: beside(lab, host, name), timeout,
             f"the copy of {name} to run on {host}", interval=0.2)


def events(lab, kind=None, host="A"):
    """The event log, decoded; perhaps only one kind of line."""
    text = lab.sh(host, f"cat {EVENTS}").stdout.decode()
    every = [json.loads(line) for line in text.splitlines(keepends=True)
             if line.endswith("\n")]
    return [e for e in every if kind in (None, e["event"])]


def middle(values):
    """The median; None of nothing."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None


class Watch:
    """What protection did from here until told()."""

    def __init__(self, lab, host="A"):
        self.lab, self.host = lab, host
        self.first = len(events(lab, host=host))
        self.began = time.monotonic()

    def told(self):
        """Numbers for a person, and for scenarios to judge."""
        took = time.monotonic() - self.began
        new = events(self.lab, host=self.host)[self.first:]
        made = [e for e in new if e["event"] == "checkpoint"]
        runs = [e["run_us"] / 1000 for e in made if "run_us" in e]
        return {
            "seconds": round(took, 1),
            "checkpoints": len(made),
            "checkpoints_per_s": round(len(made) / took, 2),
            "causes": dict(collections.Counter(e["cause"] for e in made)),
            "modes": dict(collections.Counter(
                e.get("mode", "?") for e in made)),
            "run_ms_median": middle(runs) and round(middle(runs)),
            "run_ms_longest": round(max(runs, default=0)),
            "pause_ms_median": round(middle(
                e["pause_us"] / 1000 for e in made) or 0),
            "switches": [e["why"] for e in new if e["event"] == "mode"],
            "flows": sorted({e["flow"] for e in made if "flow" in e})[:8],
        }

    def log(self, what):
        """told(), which is also shown."""
        told = self.told()
        self.lab.log(f"{what}: {json.dumps(told)}")
        return told


def compared(lab, host="A"):
    """How many packets have left because both copies had sent them."""
    return _remus.status(lab, host)["colo"]["compared_packets"]


# A web server's answers carry the time of day, so two copies differ whenever a
# second ends between their answers; these do not.
PAGES = r"""head -c 4096 /run/www/file >/run/www/small
cat >/tmp/pages <<'END'
#!/bin/sh
page=$(cat /run/www/small)
end=$(printf '\r')
while read -r line; do
    [ "$line" = "$end" ] &&
        printf 'HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n%s\n' "$page"
done
END
chmod +x /tmp/pages
socat {tcp}-LISTEN:{port},fork,reuseaddr,nodelay EXEC:/tmp/pages,nofork \
    >/dev/null 2>&1 </dev/null &"""


def pages(guest, port=81, tcp="TCP4"):
    """A server of one small static page, with no date in it; its URL."""
    guest.sh(PAGES.replace("{port}", str(port)).replace("{tcp}", tcp),
             check=True)
    address = guest.address if tcp == "TCP4" else f"[{guest.address6}]"
    return f"http://{address}:{port}/small"


def sink(guest, program="sha256sum", port=9, tcp="TCP4"):
    """A server that reads to the end and says what it got."""
    guest.sh(f"socat -b 65536 {tcp}-LISTEN:{port},fork,reuseaddr "
             f"SYSTEM:{program} >/dev/null 2>&1 </dev/null &", check=True)


# The words are the kernel's random numbers and its clock, so two copies of
# the guest never say the same.
TOKENS = r"""cat >/tmp/tokens <<'END'
#!/bin/sh
while read -r line; do
    read -r token </proc/sys/kernel/random/uuid
    read -r up </proc/uptime
    echo "$line $token $up"
done
END
chmod +x /tmp/tokens
socat TCP-LISTEN:{port},fork,reuseaddr,nodelay EXEC:/tmp/tokens,nofork \
    >/dev/null 2>&1 </dev/null &"""


def tokens(guest, port=13):
    """A server that adds random words to each line that it sends back."""
    guest.sh(TOKENS.replace("{port}", str(port)), check=True)


def at_random(lab, chance, low, high):
    """Let some time pass."""
    seconds = chance.uniform(low, high)
    end = time.monotonic() + seconds
    lab.wait(lambda: time.monotonic() > end, seconds + 1, "time", 0.01)
    return seconds


def gaps(reports):
    """The longest gap of each client, for the log."""
    return {name: r.get("longest_gap_s", r.get("longest_stall_s"))
            for name, r in reports.items()}


def after_failover(lab, guest, domid, host="B"):
    """The very domain that ran beside is the guest now, and is reachable by
    who has never heard of it."""
    now = lab.out(host, f"xl domid {guest.name}").strip()
    assert now == str(domid), f"domain {now} runs, not {domid}"
    assert "--colo" not in lab.out(host, "xl list")
    lab.client(f"ip neigh flush to {guest.address}")
    guest.wait_answer(60)


def copy_domid(lab, host="B", name="g1"):
    """The copy's domid."""
    return int(lab.out(host, f"xl domid {name}--colo"))


def used(lab, host):
    """Memory, descriptors and what waits in qdiscs, of all processes of the
    product on a host."""
    text = lab.out(host, r"""
        for d in /proc/[0-9]*; do
            case $(tr '\0' ' ' <$d/cmdline 2>/dev/null) in
            *'xl remus'*|*xl-colo*|*remus-receive*)
                rss=$(awk '/^VmRSS/ { print $2 }' $d/status)
                fds=$(ls $d/fd | wc -l)
                echo "${rss:-0} $fds" ;;
            esac
        done | awk '{ r += $1; f += $2 } END { print r + 0, f + 0 }'
        tc -s qdisc show | awk '/backlog/ { b += $2 } END { print b + 0 }'
        """).split()
    return {"rss_kib": int(text[0]), "fds": int(text[1]),
            "backlog_bytes": int(text[2])}
