/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-announce.c - The network learns where a guest is, without the guest
 *
 *   v0 --- br0 --- u0 ... u1 --- sw --- far   (u0, u1: a cable; sw: a switch)
 *                                 '---- old
 *
 * In a network namespace of its own; needs root and ip(8).
 */
#include <config.h>

#include <sched.h>
#include <stdlib.h>

#include "announce.h"
#include "tap.h"

#define QUIET " >/dev/null 2>&1"
#define MAC "00:16:3e:77:00:65"

static const uint8_t mac[6] = { 0x00, 0x16, 0x3e, 0x77, 0x00, 0x65 };

static bool sh(const char *command)
{
    return !system(command);
}

/* The frame crosses two bridges at once, but not in our call. */
static bool soon(const char *command)
{
    for (int i = 0; i < 100; i++)
        if (sh(command) || !sh("sleep 0.02")) return sh(command);
    return false;
}

static bool set_up(void)
{
    return !unshare(CLONE_NEWNET) &&
           sh("ip link add br0 type bridge" QUIET) &&
           sh("ip link add sw type bridge" QUIET) &&
           sh("ip link add v0 type veth peer name v1" QUIET) &&
           sh("ip link add u0 type veth peer name u1" QUIET) &&
           sh("ip link add old type veth peer name older" QUIET) &&
           sh("ip link set v0 master br0 up && ip link set v1 up" QUIET) &&
           sh("ip link set u0 master br0 up && ip link set u1 master sw up"
              QUIET) &&
           sh("ip link set old master sw up && ip link set older up" QUIET) &&
           sh("ip link set br0 up && ip link set sw up" QUIET);
}

#define FDB(port) "bridge fdb show | grep -q '^" MAC " dev " port " master'"

int main(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!set_up()) {
        skip("needs root, ip(8), and bridges and veth pairs");
        return done_testing();
    }
    ok(soon("ip -o link show u1 | grep -q 'state UP'"), "the cable is in");
    ok(sh("bridge fdb replace " MAC " dev u0 master dynamic") &&
       sh("bridge fdb replace " MAC " dev old master dynamic") &&
       sh(FDB("u0")) && sh(FDB("old")), "the guest was at another host");
    ok(!announce_vif("v0", mac, &e), "rule_B7: it is announced %s", e.msg);
    ok(sh(FDB("v0")) && !sh(FDB("u0")), "its bridge knows at once");
    ok(soon(FDB("u1")) && !sh(FDB("old")), "and so does the switch");
    ok(!announce_vif("v0", mac, &e) && sh(FDB("v0")), "twice is once");
    ok(sh("ip link set v0 nomaster") && announce_vif("v0", mac, &e) == 1,
       "on no bridge there is nothing to do %s", e.msg);
    ok(announce_vif("v9", mac, &e) < 0, "no such interface: %s", e.msg);
    return done_testing();
}
