#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test-proxy-real.py - Programs of the machine through both proxies, as TAP

usage: test-proxy-real.py RUN-PAIR

RUN-PAIR is the program tests/net/run-pair. Needs root; a program that is not
installed is skipped. What the two guests say is the same where nothing about
the program is random; where it is (a key exchange, a statistic), the
difference must be seen, and the program still works by checkpoints.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

GUEST = "10.9.0.1"
count = failed = 0


def ok(good, what):
    global count, failed
    count += 1
    failed += not good
    print(f"{'' if good else 'not '}ok {count} - {what}", flush=True)


def skip(what, why):
    global count
    count += 1
    print(f"ok {count} - {what} # SKIP {why}", flush=True)


def have(what, *programs):
    """All of these are installed; else a skip is printed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [p for p in programs if not shutil.which(p, path=path)]
    if missing:
        skip(what, f"{' and '.join(missing)} not installed")
    return not missing


def pair(port, server, client, *options):
    """Return what run-pair reported, or a dict with the error."""
    read, write = os.pipe()
    env = dict(os.environ, PAIR_PORT=str(port))
    script = 'exec 3>&"$0"; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, str(write), RUN, *options, server, client],
        pass_fds=[write], env=env, stdin=subprocess.DEVNULL, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    said = json.loads(text) if text else {"client_status": None}
    said["output"] = done.stdout.decode(errors="replace")
    if said["client_status"] != 0:
        for line in said["output"].splitlines()[-20:]:
            print("#", line)
    print("#", {k: v for k, v in said.items() if k != "output"})
    return said


def worked(said):
    return said["client_status"] == 0 and said.get("lost_frames") == 0


def http(tmp):
    what = "HTTP: a file of 8 MiB"
    if not have(what, "curl"):
        return
    data = os.urandom(1 << 20)
    for size in (8, 32):
        with open(f"{tmp}/{size}", "wb") as file:
            file.write(data * size)
    want = hashlib.sha256(data * 8).hexdigest()
    server = (f"exec {sys.executable} -m http.server -d {tmp} 7000 "
              ">/dev/null 2>&1")
    client = (f"curl -sS -m 60 http://{GUEST}:7000/8 | sha256sum | "
              f"grep -q {want}")
    said = pair(7000, server, client)
    # Date and time are in the answer: two clocks may tell two seconds.
    ok(worked(said) and (said["wanted"] == "payload" or
       said["wanted"] == "none" and said["compared_frames"] > 100), what)
    said = pair(7000, server, client, "-p")
    ok(worked(said) and said["compared_frames"] == 0 and
       said["committed_frames"] > 100, f"{what}, passive")
    # Slowly, so that the primary dies in the middle.
    want = hashlib.sha256(data * 32).hexdigest()
    client = (f"curl -sS -m 60 --limit-rate 8M http://{GUEST}:7000/32 | "
              f"sha256sum | grep -q {want}")
    what = "HTTP: a file of 32 MiB, with a failover in the middle"
    said = pair(7000, server, client, "-f", "1000")
    if said["wanted"] == "payload":
        skip(what, "the two clocks told two seconds")
    else:
        ok(worked(said) and said["open"] and said["rewritten_flows"] > 0,
           what)


# Says 3000 commands, one after the other, and checks each answer.
REDIS_CLIENT = f"""
import socket
s = socket.create_connection(("{GUEST}", 6379), timeout=20)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
f = s.makefile("rb")
def ask(*words):
    s.sendall(b"".join([b"*%d\\r\\n" % len(words)] + [
        b"$%d\\r\\n%s\\r\\n" % (len(w), w) for w in words]))
    line = f.readline().rstrip()
    if line[:1] == b"$":
        return f.read(int(line[1:]) + 2)[:-2]
    return line
for i in range(1000):
    key, value = b"key%d" % i, b"x" * (i % 500) + b"%d" % i
    assert ask(b"SET", key, value) == b"+OK"
    assert ask(b"INCR", b"n") == b":%d" % (i + 1)
    assert ask(b"GET", key) == value
"""


def redis(tmp):
    what = "redis: 3000 commands"
    if not have(what, "redis-server", "redis-cli"):
        return
    with open(f"{tmp}/client.py", "w", encoding="ascii") as file:
        file.write(REDIS_CLIENT)
    server = (f"exec redis-server --port 6379 --save '' --dir {tmp} "
              "--bind 0.0.0.0 --protected-mode no >/dev/null")
    said = pair(6379, server, f"exec {sys.executable} {tmp}/client.py")
    ok(worked(said) and said["wanted"] == "none" and
       said["compared_frames"] >= 3000, what)
    # Its list of commands is in the order of a hash with a random seed.
    said = pair(6379, server, f"redis-cli -h {GUEST} COMMAND DOCS >/dev/null")
    ok(worked(said) and said["wanted"] == "payload",
       "redis: a random order is seen")


def iperf3():
    what = "iperf3: 3 s into the guest"
    if not have(what, "iperf3"):
        return
    server = "exec iperf3 -s >/dev/null"
    said = pair(5201, server, f"iperf3 -c {GUEST} -t 3 -J >/dev/null")
    # The server's own statistics come at the end, and differ.
    ok(worked(said) and said["wanted"] in ("none", "payload", "late") and
       said["compared_frames"] > 10, what)
    said = pair(5201, server,
                f"iperf3 -c {GUEST} -t 3 -R --repeating-payload -J "
                ">/dev/null", "-p")
    ok(worked(said), "iperf3: 3 s out of the guest, passive")


def ssh(tmp):
    what = "ssh: a command"
    if not have(what, "sshd", "ssh", "ssh-keygen"):
        return
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                        f"{tmp}/{name}"], check=True)
    shutil.copy(f"{tmp}/user.pub", f"{tmp}/authorized")
    os.makedirs("/run/sshd", exist_ok=True)
    with open(f"{tmp}/sshd_config", "w", encoding="ascii") as file:
        file.write(f"Port 2222\nHostKey {tmp}/host\nUsePAM no\n"
                   f"AuthorizedKeysFile {tmp}/authorized\nStrictModes no\n"
                   "PermitRootLogin prohibit-password\nPidFile none\n")
    sshd = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
    server = f"exec {sshd} -D -f {tmp}/sshd_config 2>/dev/null"
    client = (f"ssh -p 2222 -i {tmp}/user -o StrictHostKeyChecking=no "
              f"-o UserKnownHostsFile=/dev/null -o BatchMode=yes "
              f"root@{GUEST} 'seq 1 1000' </dev/null 2>{tmp}/err | "
              "sha256sum >" f"{tmp}/sum; cat {tmp}/err >&2; "
              f"seq 1 1000 | sha256sum | cmp -s - {tmp}/sum")
    said = pair(2222, server, client)
    ok(worked(said) and said["wanted"] == "payload",
       f"{what}: its random numbers are seen, checkpoints let it go on")


def main(args):
    global RUN
    if len(args) != 1:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    RUN = os.path.abspath(args[0])
    if os.geteuid() or not os.access("/dev/net/tun", os.W_OK):
        print("1..0 # SKIP needs root and tun")
        return 77
    for test in (http, redis, ssh):
        with tempfile.TemporaryDirectory() as tmp:
            test(tmp)
    iperf3()
    print(f"1..{count}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
