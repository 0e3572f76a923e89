# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest's packets go through the inline proxy, both ways, and nothing stays

The plane and the proxy beside a primary guest, on a real vif: set up under
traffic, held and released, segments of 64 KiB as one frame, a backend that is
closed in the middle of a hold (RULES A11), the orderly end and SIGKILL."""

import json
import select
import subprocess
import time

import _inplace

GUEST = "pvh"
LOG = "/var/log/plane-drive.log"
SIZE = 8 << 20


class Drive:
    """plane-drive in dom0, on a vif that is inline from now on."""

    def __init__(self, lab, vif):
        self.lab, self.vif = lab, vif
        self.process = subprocess.Popen(
            lab.host("A").ssh_argv(f"exec /root/plane-drive {vif} 2>{LOG}"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer("set up")

    def _answer(self, what, timeout=60):
        out = self.process.stdout
        ready, _, _ = select.select([out], [], [], timeout)
        line = out.readline() if ready else b""
        log = self.lab.sh("A", f"cat {LOG}").stdout.decode(errors="replace")
        assert line, f"plane-drive: {what}: no answer\n{log}"
        answer = json.loads(line)
        assert not answer.get("error"), f"{what}: {answer}\n{log}"
        return answer

    def ask(self, command, timeout=60):
        """Give it a command; its answer."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self._answer(command, timeout)

    def quit(self):
        """The orderly end."""
        self.ask("quit")
        self.process.stdin.close()
        assert self.process.wait(30) == 0


def nothing_left(lab, vif):
    """No TAP, no filter, no clsact."""
    rest = lab.sh("A", f"tc qdisc show dev {vif} | grep clsact; "
                       "ip -o link | grep ' x[io][0-9]'").stdout
    assert not rest, rest


def ping(lab, guest, count):
    """Answers to pings that are sent as fast as it goes."""
    said = lab.client(f"ping -c {count} -i 0.02 -W 5 {guest.address}", 60)
    return int(said.stdout.split(b" received")[0].split()[-1])


def download(lab, guest):
    """The guest's file, every byte checked."""
    report = lab.client_start("http-get", f"http://{guest.address}/file"
                              ).report(120)
    assert report["good"], report
    return report


def pings_of(lab, guest, count):
    """Each is answered in the end, however long it is held."""
    return lab.client_start("ping-probe", guest.address, "--count",
                            str(count), "--drain", "30")


def through(lab, guest, vif):
    """Both ways: ping and HTTP, held, in epochs, and in large frames. On a
    clsact of somebody else's, which stays: Linux 6.1 stops a device's queues
    for a moment when its clsact comes or goes, and loses what it sends."""
    lab.out("A", f"tc qdisc add dev {vif} clsact")
    drive = Drive(lab, vif)
    pings = pings_of(lab, guest, 15)
    # The guest's answers are held, and not lost.
    lab.wait(lambda: drive.ask("status")["held_frames"] >= 10, 20,
             "answers to be held", interval=0.2)
    before = drive.ask("status")
    assert before["out_frames"] == 0 and before["in_frames"] >= 10, before
    drive.ask("cut")
    drive.ask("commit")
    drive.ask("open")
    report = pings.report(60)
    assert report["answered"] == 15 and not report["doubles"], report
    before = drive.ask("status")
    download(lab, guest)
    after = drive.ask("status")
    frames = after["out_frames"] - before["out_frames"]
    lab.log(f"{SIZE >> 20} MiB in {frames} frames out, "
            f"{after['in_frames'] - before['in_frames']} in")
    assert SIZE // 65536 <= frames < SIZE // 1460, "no large frames"
    # Input that rests comes later.
    drive.ask("hold")
    pings = pings_of(lab, guest, 10)
    time.sleep(1)
    assert drive.ask("status")["holding"]
    drive.ask("go")
    report = pings.report(60)
    assert report["answered"] == 10 and not report["doubles"], report
    # By epochs, as under a session.
    drive.ask("cut")
    client = lab.client_start("http-get", f"http://{guest.address}/file")
    drive.ask("epochs 400 20", 120)
    drive.ask("open")
    report = client.report(60)
    assert report["good"], report
    last = drive.ask("status")
    # Frames of 64 KiB are 128; some may have left before and after.
    assert last["committed_frames"] > 50 and not last["oversize"], last
    assert not last["in_lost"] and not last["out_lost"], last
    # The end under traffic.
    pings = pings_of(lab, guest, 50)
    drive.quit()
    report = pings.report(60)
    assert report["answered"] == 50 and not report["doubles"], report
    assert "clsact" in lab.out("A", f"tc qdisc show dev {vif}")
    for way in "ingress", "egress":
        left = lab.out("A", f"tc filter show dev {vif} {way}")
        assert left == "", left
    lab.out("A", f"tc qdisc del dev {vif} clsact")
    nothing_left(lab, vif)


def killed(lab, guest, vif):
    """SIGKILL: nothing passes until it is cleared away."""
    drive = Drive(lab, vif)
    drive.ask("open")
    assert ping(lab, guest, 5) == 5
    lab.out("A", "kill -9 $(pidof plane-drive)")
    drive.process.wait(30)
    assert ping(lab, guest, 5) == 0
    lab.out("A", f"/root/plane-drive --clear {vif}")
    nothing_left(lab, vif)
    assert ping(lab, guest, 5) == 5


def backend_closes(lab, guest, vif, domid):
    """rule_A11: held packets hold no page of the guest, so its backend can
    close, and another guest's disk come, in the middle of a hold."""
    front = f"/local/domain/{domid}/device/vif/0/state"
    back = f"/local/domain/0/backend/vif/{domid}/0/state"
    drive = Drive(lab, vif)
    lab.client(f"ping -c 20 -i 0.05 -s 1400 -W 1 {guest.address}", 60)
    lab.wait(lambda: drive.ask("status")["held_frames"] >= 10, 20,
             "packets to be held", interval=0.3)
    lab.wait(lambda: "nr_pending_reqs 0" in lab.out(
        "A", f"cat /sys/kernel/debug/xen-netback/{vif}/io_ring_q0"), 5,
             "no request to be pending")
    began = time.monotonic()
    lab.out("A", f"xenstore-write {front} 5")
    lab.wait(lambda: lab.out("A", f"xenstore-read {back}") in "56", 20,
             "the backend to close", interval=0.1)
    lab.out("A", f"xenstore-write {front} 6")
    lab.wait(lambda: lab.out("A", f"xenstore-read {back}") == "6", 20,
             "the backend to be closed", interval=0.1)
    closed = time.monotonic() - began
    began = time.monotonic()
    lab.out("A", "xl block-attach g2 phy:/dev/loop0 xvdb w", timeout=180)
    lab.log(f"the backend closed in {closed:.1f} s, another guest's disk "
            f"came in {time.monotonic() - began:.1f} s")
    assert drive.ask("status")["held_frames"] >= 10
    lab.out("A", "xl block-detach g2 xvdb", timeout=180)
    drive.quit()
    nothing_left(lab, vif)


def run(lab):
    guest = lab.guests()["g1"]
    domid = lab.out("A", "xl domid g1")
    vif = f"vif{domid}.0"
    lab.push("A", _inplace.program("plane-drive"), "/root/plane-drive")
    lab.out("A", "modprobe tun; truncate -s 8M /srv/lab/d.img; "
                 "losetup /dev/loop0 /srv/lab/d.img; mountpoint -q "
                 "/sys/kernel/debug || mount -t debugfs d /sys/kernel/debug")
    # While its output is held the guest can't answer ARP either.
    lab.client(f"ip neigh replace {guest.address} lladdr {guest.mac} "
               "dev br-lan nud permanent")
    other = lab.guest_start("pvh", name="g2")
    through(lab, guest, vif)
    killed(lab, guest, vif)
    backend_closes(lab, guest, vif, domid)
    other.wait_answer(60)
    lab.out("A", "losetup -d /dev/loop0; rm /srv/lab/d.img")
