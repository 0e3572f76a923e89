# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest reboots, crashes and shuts down when it is told to"""

GUEST = "pvh"
SLOW = True


def run(lab):
    guest = lab.guests()["g1"]
    boot_id = "cat /proc/sys/kernel/random/boot_id"
    first = guest.sh(boot_id, check=True).stdout
    lab.out("A", f"xl reboot {guest.name}")
    lab.wait(lambda: guest.sh(boot_id).stdout not in (b"", first), 90,
             "the guest to reboot", 0.5)
    lab.log("rebooted")
    guest.sh("(usleep 300000; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 "
             "</dev/null &", check=True)
    lab.wait(lambda: not guest.hosts(), 60, "the crashed guest to go", 0.5)
    lab.log("crashed")
    assert "Kernel panic" in guest.console()
    guest.create("B")
    lab.log("started on B")
    lab.out("B", f"xl shutdown -w {guest.name}")
    lab.wait(lambda: not guest.hosts(), 30, "the guest to be gone", 0.5)
