/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wants.c - What the comparison wants, in the policy's words */
#include <config.h>

#include <arpa/inet.h>
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>

#include "wants.h"

static const enum policy_cause causes[] = {
    [COMPARE_OK] = POLICY_NOTHING,
    [COMPARE_PAYLOAD] = POLICY_MISCOMPARE,
    [COMPARE_HEADER] = POLICY_MISCOMPARE,
    [COMPARE_OPTIONS] = POLICY_MISCOMPARE,
    [COMPARE_LATE] = POLICY_LATE,
    [COMPARE_EXTRA] = POLICY_EXTRA,
    [COMPARE_ACK] = POLICY_LATE,
    [COMPARE_UNPLUGGED] = POLICY_LATE,
    [COMPARE_FULL] = POLICY_FULL,
    [COMPARE_ABORTED] = POLICY_OUTPUT,
};
static_assert(sizeof(causes) / sizeof(causes[0]) == COMPARE_NREASONS,
              "every reason has a cause");

enum policy_cause wants_cause(enum compare_reason reason)
{
    return (unsigned int)reason < COMPARE_NREASONS ? causes[reason] :
                                                     POLICY_NOTHING;
}

static const char *kind_name(const struct packet_key *k)
{
    switch ((enum packet_kind)k->kind) {
    case PACKET_TCP:
        return "tcp";
    case PACKET_UDP:
        return "udp";
    case PACKET_ICMP:
        return "icmp";
    case PACKET_ARP:
        return "arp";
    case PACKET_FRAG:
        return "fragments";
    default:
        return "ip";
    }
}

/* An address, and the port where there are ports. */
static void put_end(char *text, size_t size, const struct packet_key *k,
                    const uint8_t *addr, uint16_t port)
{
    bool ports = k->kind == PACKET_TCP || k->kind == PACKET_UDP;
    char buf[INET6_ADDRSTRLEN] = "?";

    /* The key has an IPv4 address as the end of a mapped one. */
    if (k->family == 6) inet_ntop(AF_INET6, addr, buf, sizeof(buf));
    else inet_ntop(AF_INET, addr + 12, buf, sizeof(buf));
    if (!ports) snprintf(text, size, "%s", buf);
    else if (k->family == 6) snprintf(text, size, "[%s]:%u", buf, port);
    else snprintf(text, size, "%s:%u", buf, port);
}

void wants_flow(char text[WANTS_FLOW_MAX], unsigned int vif,
                const struct compare_want *want)
{
    const struct packet_key *k = &want->key;
    char from[INET6_ADDRSTRLEN + 9], to[INET6_ADDRSTRLEN + 9];

    *text = 0;
    if (want->reason == COMPARE_OK || !k->family) return;
    put_end(from, sizeof(from), k, k->src, k->sport);
    put_end(to, sizeof(to), k, k->dst, k->dport);
    snprintf(text, WANTS_FLOW_MAX, "vif %u: %s %s > %s", vif, kind_name(k),
             from, to);
}
