# SPDX-License-Identifier: LGPL-2.1-or-later
# packages.py - trees of Debian packages, by mmdebstrap
"""Mirrors are never named here: the one that this machine's apt uses is
asked for at run time, and mmdebstrap's own default serves a machine whose
apt knows no Debian mirror."""

import os

from .output import LabError
from .procs import call, run

# Settings of this machine's apt without which its mirror may not work.
APT_OPTIONS = ("Acquire::http::Proxy", "Acquire::https::Proxy",
               "Acquire::Check-Valid-Until", "Acquire::Check-Date")

# What mmdebstrap mounts it mounts for itself, and all that it started ends
# with it: nothing is left on this machine however the build ends.
PRIVATE = ["unshare", "--mount", "--propagation", "private", "--pid",
           "--fork", "--kill-child", "--mount-proc", "--"]


def _sites():
    """This machine's mirrors: {'Debian': URI, 'Debian-Security': URI}."""
    fields = "$(LABEL)|$(SITE)|$(CREATED_BY)"
    try:
        text = run(["apt-get", "indextargets", "--format", fields]).decode()
    except (LabError, FileNotFoundError):
        return {}
    sites = {}
    for line in text.splitlines():
        label, site, kind = (line.split("|") + ["", ""])[:3]
        if kind == "Packages":
            sites.setdefault(label, site)
    return sites


def sources(recipe):
    """The lines of sources.list, or [] to leave it to mmdebstrap."""
    sites = _sites()
    if "Debian" not in sites:
        if not recipe.security:
            raise LabError(
                f"Xen {recipe.xen} needs {recipe.suite} without its security "
                "updates, and apt names no Debian mirror: add one to "
                "/etc/apt/sources.list and run apt-get update")
        return []
    suite = recipe.suite
    lines = [f"deb {sites['Debian']} {suite} main"]
    if recipe.security:
        security = sites.get("Debian-Security",
                             sites["Debian"].rstrip("/") + "-security")
        lines.append(f"deb {security} {suite}-security main")
    return lines


def _apt_options():
    out = []
    for line in run(["apt-config", "dump"]).decode().splitlines():
        name, _, value = line.partition(" ")
        if name in APT_OPTIONS and value.strip('";'):
            out.append(f"--aptopt={name} {value}")
    return out


def bootstrap(recipe, target, variant, include, exclude, log):
    """Make the directory target out of packages; the chatter goes to log."""
    argv = PRIVATE + ["mmdebstrap", "--mode=root", f"--variant={variant}",
            "--include=" + ",".join(include), "--skip=output/dev"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in exclude]
    argv += _apt_options() + [recipe.suite, target]
    lines = sources(recipe)
    with open(log, "wb") as out:
        done = call(argv + (["-"] if lines else []),
                    "\n".join(lines).encode() + b"\n", out, out)
    if done.returncode != 0:
        with open(log, errors="replace") as f:
            tail = "".join(f.readlines()[-8:])
        raise LabError(f"mmdebstrap could not make {recipe.suite} "
                       f"({variant}); its last words:\n{tail}")


def versions(target):
    """{package: version} of an installed tree."""
    found, name = {}, None
    with open(os.path.join(target, "var/lib/dpkg/status")) as f:
        for line in f:
            if line.startswith("Package: "):
                name = line.split()[1]
            elif line.startswith("Version: "):
                found[name] = line.split()[1]
    return found
