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
#include <string.h>

#include "announce.h"
#include "groups.h"
#include "tap.h"

#define QUIET " >/dev/null 2>&1"
#define GUEST "xlcolo-groups"
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

/* A guest behind v0 that listens to a group of each kind; no questions of
 * others, and what it says by itself it says at once. */
static bool set_up_groups(void)
{
    return sh("ip link set v0 master br0") &&
           sh("ip netns add " GUEST QUIET) &&
           sh("ip link set v1 netns " GUEST) &&
           sh("ip netns exec " GUEST " sh -c '"
              "cd /proc/sys/net && ip link set v1 up && "
              "echo 1 >ipv4/conf/v1/igmpv3_unsolicited_report_interval && "
              "echo 1 >ipv6/conf/v1/mldv2_unsolicited_report_interval && "
              "ip addr add 192.0.2.2/24 dev v1 && "
              "ip addr add 2001:db8::2/64 dev v1 nodad && "
              "ip addr add 239.9.9.9/32 dev v1 autojoin && "
              "ip addr add ff05::99/128 dev v1 autojoin'" QUIET);
}

#define MDB(group) "bridge mdb show | grep -q 'port v0 grp " group " '"
#define FORGET(group) \
    "bridge mdb del dev br0 port v0 grp " group " temp" QUIET

static void test_groups(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!set_up_groups() || !soon(MDB("239.9.9.9")) || !soon(MDB("ff05::99"))) {
        skip("needs network namespaces and a bridge with IGMP snooping");
    } else {
        ok(sh(FORGET("239.9.9.9")) && sh(FORGET("ff05::99")) &&
           !sh(MDB("239.9.9.9")) && !sh(MDB("ff05::99")),
           "a bridge that knows of no groups");
        ok(!groups_ask("v0", &e) && soon(MDB("239.9.9.9")),
           "rule_B7: asked, the guest tells them again: IGMP %s", e.msg);
        ok(soon(MDB("ff05::99")), "rule_B7: and MLD");
        ok(groups_ask("v9", &e) < 0, "no such interface: %s", e.msg);
    }
    sh("ip netns del " GUEST QUIET);
}

/* By hand from the RFCs. */
static void test_questions(void)
{
    static const uint8_t from[6] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };
    static const uint8_t igmp[] =
        "\x01\x00\x5e\x00\x00\x01\xfe\xff\xff\xff\xff\xff\x08\x00"
        "\x46\xc0\x00\x24\x00\x00\x00\x00\x01\x02\x44\x13"
        "\x00\x00\x00\x00\xe0\x00\x00\x01\x94\x04\x00\x00"
        "\x11\x0a\xec\x78\x00\x00\x00\x00\x02\x7d\x00\x00";
    uint8_t frame[GROUPS_FRAME_MAX];
    uint32_t sum = 0x3a + 28; /* next header, length */

    ok(groups_igmp_query(frame, from) == sizeof(igmp) - 1 &&
       !memcmp(frame, igmp, sizeof(igmp) - 1), "the IGMP question");
    ok(groups_mld_query(frame, from) == 90 && frame[12] == 0x86 &&
       frame[20] == 0 && frame[21] == 1 && frame[54] == 58 &&
       frame[62] == 130 && frame[66] == 0x03 && frame[67] == 0xe8,
       "the MLD question");
    for (unsigned int i = 22; i < 90; i += 2)
        if (i < 54 || i >= 62) sum += (uint32_t)frame[i] << 8 | frame[i + 1];
    ok((sum & 0xffff) + (sum >> 16) == 0xffff, "with its checksum");
}

#define FDB(port) "bridge fdb show | grep -q '^" MAC " dev " port " master'"

int main(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    test_questions();
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
    test_groups();
    return done_testing();
}
