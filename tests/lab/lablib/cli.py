# SPDX-License-Identifier: LGPL-2.1-or-later
# cli.py - the commands of tests/lab/lab

import argparse
import os
import signal
import subprocess
import sys

from . import guest, images, output, recipe, runner, saved
from .lab import Lab
from .output import LabError, say


def cmd_build(args):
    """build images and saved states"""
    chosen = recipe.choose(args.suite, args.xen)
    path, lock = images.ensure(chosen, args.fresh)
    saved.ensure(path, lock)
    print(path)


def cmd_up(args):
    """bring both hosts up"""
    lab = Lab(args.lab)
    lab.up(args.suite, args.xen, args.fresh)
    say(f"ready: Xen {lab.xen}; try: lab --lab {lab.name} sh A 'xl list'")


def cmd_down(args):
    """end the lab, whatever state it is in"""
    Lab(args.lab).down()


def _command(args):
    words = args.command
    if words and words[0] == "--":
        words = words[1:]
    if not words:
        raise LabError("no command was given")
    return " ".join(words)


def cmd_sh(args):
    """run a command in a host's dom0"""
    lab = Lab.attach(args.lab)
    argv = lab.host(args.host).ssh_argv(_command(args))
    os.execvp(argv[0], argv)


def cmd_push(args):
    """copy a file into dom0"""
    Lab.attach(args.lab).push(args.host, args.source, args.target)


def cmd_pull(args):
    """copy a file out of dom0"""
    Lab.attach(args.lab).pull(args.host, args.source, args.target)


def cmd_client(args):
    """run a command as the client"""
    argv = Lab.attach(args.lab).net.argv("sh", "-c", _command(args))
    os.execvp(argv[0], argv)


def cmd_power_off(args):
    """take the power from a host"""
    Lab.attach(args.lab).power_off(args.host)


def cmd_power_on(args):
    """start a host again"""
    Lab.attach(args.lab).power_on(args.host, args.saved, args.dom0)


def cmd_reset(args):
    """both hosts as after up, or as after 'snapshot NAME'"""
    Lab.attach(args.lab).reset(args.name)


def cmd_snapshot(args):
    """save both hosts, with their guests, for 'reset NAME'"""
    Lab.attach(args.lab).snapshot(args.name)


def cmd_cut(args):
    """cut a wire"""
    Lab.attach(args.lab).cut(args.wire, args.host)


def cmd_heal(args):
    """restore a wire"""
    Lab.attach(args.lab).heal(args.wire, args.host)


def cmd_rate(args):
    """limit the rate of a wire"""
    rate = None if args.rate == "none" else args.rate
    Lab.attach(args.lab).rate(args.wire, rate)


def cmd_install(args):
    """unpack a DESTDIR tree on both hosts"""
    Lab.attach(args.lab).install(args.tree)


def cmd_logs(args):
    """collect logs of both hosts"""
    Lab.attach(args.lab).logs(args.directory)


def cmd_guest_start(args):
    """start a guest and wait until it answers"""
    disk = "both" if args.disk_both else "here" if args.disk else None
    started = Lab.attach(args.lab).guest_start(
        args.kind, name=args.name, memory=args.memory, vcpus=args.vcpus,
        disk=disk, mirror=args.mirror, on=args.on, ip=args.ip,
        http=args.http, ip6=args.ip6,
        extra=args.extra, config=args.config.replace(r"\n", "\n"))
    print(started.name, started.address)


def _guest(args):
    lab = Lab.attach(args.lab)
    found = lab.guests().get(args.name)
    if found is None:
        raise LabError(f"there is no guest '{args.name}' in this lab: "
                       f"'lab guest list' shows those there are")
    return found


def cmd_guest_console(args):
    """print a guest's console log, or attach to its console"""
    found = _guest(args)
    if not args.attach:
        print(found.console(), end="")
        return
    where = found.hosts()
    if not where:
        raise LabError(f"no host runs {found.name}")
    argv = found.lab.host(where[0]).ssh_argv(f"xl console {found.name}")
    os.execvp("ssh", [argv[0], "-t", *argv[1:]])


def cmd_guest_sh(args):
    """run a command in a guest, by its ssh server"""
    argv = _guest(args).ssh_argv(_command(args))
    os.execvp(argv[0], argv)


def cmd_guest_list(args):
    """list guests, and what each host runs"""
    lab = Lab.attach(args.lab)
    for found in guest.known(lab).values():
        print(found.name, found.kind, found.address,
              "on", ",".join(found.hosts()) or "-")


def cmd_run(args):
    """run scenarios"""
    sys.exit(runner.main(args))


def _build_options(parser):
    parser.add_argument("--suite", choices=sorted(recipe.DEFAULT_XEN))
    parser.add_argument("--xen", choices=sorted(recipe.RECIPES))
    parser.add_argument("--fresh", action="store_true",
                        help="build the images again")


def _guest_options(sub):
    parser = sub.add_parser("guest", help="guests")
    sub = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name, function):
        one = sub.add_parser(name, help=function.__doc__)
        one.set_defaults(function=function)
        return one
    start = add("start", cmd_guest_start)
    start.add_argument("kind", choices=guest.KINDS)
    start.add_argument("--name")
    start.add_argument("--memory", type=int, default=128)
    start.add_argument("--vcpus", type=int, default=1)
    start.add_argument("--disk", action="store_true",
                       help="root on a disk (on the host it starts on)")
    start.add_argument("--mirror", action="store_true",
                       help="with --disk: one that xl remus can mirror")
    start.add_argument("--disk-both", action="store_true",
                       help="the same, with a copy on the other host")
    start.add_argument("--on", default="A", choices=["A", "B"])
    start.add_argument("--ip", default="auto")
    start.add_argument("--ip6", action="store_true")
    start.add_argument("--http", type=int, default=8, metavar="MIB",
                       help="size of the file at http://GUEST/file")
    start.add_argument("--extra", default="",
                       help="words for the kernel's command line")
    start.add_argument("--config", default="",
                       help=r"lines for xl.cfg, separated by \n")
    console = add("console", cmd_guest_console)
    console.add_argument("name")
    console.add_argument("--attach", action="store_true")
    shell = add("sh", cmd_guest_sh)
    shell.add_argument("name")
    shell.add_argument("command", nargs=argparse.REMAINDER)
    add("list", cmd_guest_list)


def parser():
    """The command line."""
    top = argparse.ArgumentParser(
        prog="lab", description="two real Xen hosts on this machine")
    top.add_argument("--lab", metavar="NAME",
                     default=os.environ.get("XL_COLO_LAB", "main"),
                     help="which lab (default: XL_COLO_LAB, or main)")
    top.add_argument("--quiet", action="store_true", help="no progress")
    sub = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name, function, *arguments, **optional):
        one = sub.add_parser(name, help=function.__doc__)
        one.set_defaults(function=function)
        for argument in arguments:
            one.add_argument(argument, **(
                {"choices": ["A", "B"]} if argument == "host" else
                {"nargs": argparse.REMAINDER} if argument == "command" else
                {"choices": ["link", "lan"]} if argument == "wire" else {}))
        return one
    _build_options(add("up", cmd_up))
    _build_options(add("build", cmd_build))
    add("down", cmd_down)
    add("reset", cmd_reset).add_argument("name", nargs="?")
    add("snapshot", cmd_snapshot, "name")
    add("sh", cmd_sh, "host", "command")
    add("push", cmd_push, "host", "source", "target")
    add("pull", cmd_pull, "host", "source", "target")
    add("client", cmd_client, "command")
    _guest_options(sub)
    add("power-off", cmd_power_off, "host")
    power_on = add("power-on", cmd_power_on, "host")
    power_on.add_argument("--saved", action="store_true",
                          help="from the saved state: the disk as after up")
    power_on.add_argument("--dom0", default="", metavar="WORDS",
                          help="for dom0's command line, such as "
                          "lab.xenstored=C")
    for name, function in (("cut", cmd_cut), ("heal", cmd_heal)):
        add(name, function, "wire").add_argument(
            "host", nargs="?", choices=["A", "B"])
    add("rate", cmd_rate, "wire", "rate")
    add("install", cmd_install, "tree")
    add("logs", cmd_logs, "directory")
    runner.options(add("run", cmd_run))
    return top


def main():
    """Run the command line; errors are one sentence and status 1."""
    def stop(*_):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # once is enough
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    args = parser().parse_args()
    output.quiet = args.quiet
    try:
        args.function(args)
    except LabError as err:
        print(f"lab: {err}", file=sys.stderr)
        sys.exit(1)
    except subprocess.TimeoutExpired as err:
        print(f"lab: {err}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
