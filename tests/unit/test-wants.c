/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-wants.c - What the comparison wants, in the policy's words */
#include <config.h>

#include <string.h>

#include "tap.h"
#include "wants.h"

static void test_causes(void)
{
    static const struct {
        enum compare_reason reason;
        enum policy_cause cause;
    } want[] = {
        { COMPARE_OK, POLICY_NOTHING },
        { COMPARE_PAYLOAD, POLICY_MISCOMPARE },
        { COMPARE_HEADER, POLICY_MISCOMPARE },
        { COMPARE_OPTIONS, POLICY_MISCOMPARE },
        { COMPARE_LATE, POLICY_LATE },
        { COMPARE_EXTRA, POLICY_EXTRA },
        { COMPARE_ACK, POLICY_LATE },
        { COMPARE_UNPLUGGED, POLICY_LATE },
        { COMPARE_FULL, POLICY_FULL },
        { COMPARE_ABORTED, POLICY_OUTPUT },
    };
    bool good = true;

    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        good &= wants_cause(want[i].reason) == want[i].cause;
    ok(good && sizeof(want) / sizeof(want[0]) == COMPARE_NREASONS,
       "every reason has its cause");
    ok(wants_cause((enum compare_reason)-1) == POLICY_NOTHING &&
       wants_cause(COMPARE_NREASONS) == POLICY_NOTHING,
       "what is none has none");
}

static const char *flow(enum packet_kind kind, uint8_t family,
                        enum compare_reason reason)
{
    static char text[WANTS_FLOW_MAX];
    struct compare_want w = {
        .reason = reason,
        .key = { .kind = (uint8_t)kind, .family = family, .sport = 80,
                 .dport = 4711 },
    };

    memset(w.key.src, 0xff, sizeof(w.key.src));
    memset(w.key.dst, 0, sizeof(w.key.dst));
    memcpy(w.key.src + 12, "\12\115\0\145", 4);
    w.key.dst[15] = 1;
    memset(text, '?', sizeof(text));
    wants_flow(text, 15, &w);
    return text;
}

static void test_flow(void)
{
    ok(!strcmp(flow(PACKET_TCP, 4, COMPARE_LATE),
               "vif 15: tcp 10.77.0.101:80 > 0.0.0.1:4711"), "TCP");
    ok(!strcmp(flow(PACKET_UDP, 6, COMPARE_PAYLOAD),
               "vif 15: udp [ffff:ffff:ffff:ffff:ffff:ffff:a4d:65]:80 > "
               "[::1]:4711"), "UDP over IPv6");
    ok(!strcmp(flow(PACKET_ICMP, 4, COMPARE_LATE),
               "vif 15: icmp 10.77.0.101 > 0.0.0.1"),
       "what has no ports shows none");
    ok(!*flow(PACKET_RAW, 0, COMPARE_LATE), "no addresses, no words");
    ok(!*flow(PACKET_TCP, 4, COMPARE_OK), "nothing is wanted, no words");
}

int main(void)
{
    test_causes();
    test_flow();
    return done_testing();
}
