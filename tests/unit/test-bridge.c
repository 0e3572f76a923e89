/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-bridge.c - An interface leaves its bridge, and comes back
 *
 * In a network namespace of its own; needs root and ip(8).
 */
#include <config.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "tap.h"

#define QUIET " >/dev/null 2>&1"

static bool sh(const char *command)
{
    return !system(command);
}

static bool on_bridge(void)
{
    return sh("ip -o link show d0 | grep -q 'master br0'");
}

static bool is_up(void)
{
    return sh("ip -o link show d0 | grep -q '<.*UP.*>'");
}

int main(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (unshare(CLONE_NEWNET) ||
        !sh("ip link add br0 type bridge" QUIET) ||
        !sh("ip link add d0 type veth peer name d1" QUIET) ||
        !sh("ip link set d0 master br0 up" QUIET)) {
        skip("needs root, ip(8), and bridges and veth pairs");
        return done_testing();
    }
    ok(on_bridge() && is_up(), "an interface is on a bridge");
    ok(!bridge_leave("d0", &e) && !on_bridge() && !is_up(),
       "it leaves: off the bridge, and down %s", e.msg);
    ok(!bridge_leave("d0", &e) && !on_bridge() && !is_up(),
       "twice is once %s", e.msg);
    ok(bridge_join("d0", "br9", &e) && strstr(e.msg, "br9") && !is_up(),
       "there is no such bridge: %s", e.msg);
    xlc_error_clear(&e);
    ok(!bridge_join("d0", "br0", &e) && on_bridge() && is_up(),
       "it comes back %s", e.msg);
    ok(!bridge_join("d0", "br0", &e) && on_bridge() && is_up(),
       "twice is once %s", e.msg);
    ok(bridge_leave("d9", &e) && strstr(e.msg, "d9"),
       "there is no such interface: %s", e.msg);
    return done_testing();
}
