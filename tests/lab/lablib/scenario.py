# SPDX-License-Identifier: LGPL-2.1-or-later
# scenario.py - find scenarios, and judge the hosts after one
"""A scenario is a module in tests/lab/scenarios: the first line of its
docstring says what it shows, run(lab) shows it or raises.  Optional names:

  SLOW = True           run only with --slow (or when named exactly)
  XEN = ("4.17.5",)     the Xen releases on which it makes sense
  GUEST = "pvh"         start with such a guest, g1, running on A
  PRODUCT = True        needs the product installed (`lab run --install`)
  DIRTY = True          may leave domains, qdiscs and processes behind
  TIMEOUT = 600         seconds after which it has failed
"""

import fnmatch
import importlib.util
import os
import sys

from .output import LabError
from .paths import LABDIR
from .wait import wait

DIRECTORY = os.path.join(LABDIR, "scenarios")

PROCESSES = (r"^([^ ]*/)?(xl (remus|migrate|save|restore)|nbdkit|xlcolo|"
             "libxl-save)")

LEFTOVERS = r"""
xl list | awk 'NR > 2 { print "domain " $1 }'
ps -eo args | grep -E '@PROCESSES@' |
    sed 's/^/process /'
ls /sys/class/net | grep -E '^(vif|ifb|cpx|rb|tap|x[io][0-9])' |
    sed 's/^/interface /'
tc qdisc show | grep -vE 'qdisc (noqueue|mq|pfifo_fast|fq_codel|pfifo) ' |
    sed 's/^/qdisc /'
for size in /sys/block/nbd*/size /sys/block/loop*/size; do
    [ "$(cat $size)" = 0 ] || echo "block device $size"
done
true
""".replace("@PROCESSES@", PROCESSES)


class Scenario:
    """One scenario, and its options with their defaults."""

    def __init__(self, path):
        self.name = os.path.basename(path)[:-len(".py")]
        spec = importlib.util.spec_from_file_location(
            "scenario_" + self.name.replace("-", "_"), path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not module.__doc__ or not hasattr(module, "run"):
            raise LabError(f"{path} is not a scenario: it needs a docstring "
                           "and a function run(lab)")
        self.title = module.__doc__.strip().splitlines()[0]
        self.run = module.run
        self.slow = getattr(module, "SLOW", False)
        self.xen = getattr(module, "XEN", None)
        self.guest = getattr(module, "GUEST", None)
        self.product = getattr(module, "PRODUCT", False)
        self.dirty = getattr(module, "DIRTY", False)
        self.timeout = getattr(module, "TIMEOUT", 600)

    def reason_to_skip(self, xen, slow, product):
        """Why the scenario can't or shall not run here, or None."""
        if self.xen and xen not in self.xen:
            return f"needs Xen {' or '.join(self.xen)}"
        if self.slow and not slow:
            return "slow: give --slow"
        if self.product and not product:
            return "needs the product: give --install DESTDIR"
        return None


def load(patterns):
    """The scenarios whose names match one of the patterns, in order; all
    of them without a pattern."""
    if DIRECTORY not in sys.path:
        sys.path.insert(0, DIRECTORY)  # for what scenarios share
    names = sorted(n[:-len(".py")] for n in os.listdir(DIRECTORY)
                   if n.endswith(".py") and not n.startswith("_"))
    chosen = []
    for pattern in patterns or ["*"]:
        found = [n for n in names if fnmatch.fnmatch(n, pattern)]
        if not found:
            raise LabError(f"no scenario matches '{pattern}': 'lab run "
                           "--list' shows those there are")
        chosen += [n for n in found if n not in chosen]
    return [Scenario(os.path.join(DIRECTORY, n + ".py")) for n in chosen]


def leftovers(lab):
    """What a scenario left on the hosts that still have power, once its
    guests are destroyed. A device or a process that is about to end is
    waited for; what is there after 20 s is left."""
    found = []
    for host in lab.hosts.values():
        if not host.running():
            continue
        for name in lab.guests():
            host.sh(f"xl destroy {name}")
        lines = ["?"]

        def gone():
            looked = host.sh(LEFTOVERS)
            lines[:] = looked.stdout.decode(errors="replace").splitlines()
            if looked.returncode:
                lines.append("could not be looked at")
            return not lines
        try:
            wait(gone, 20, "nothing to be left", interval=0.5)
        except LabError:
            found += [f"{host.name}: {line}" for line in lines]
    return found
