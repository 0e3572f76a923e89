/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv-other.c - UDP, ARP and the rest, where QEMU is wrong about them */
#include <config.h>

#include <string.h>

#include "conv.h"
#include "rng.h"

static struct frame_spec datagram(struct conv *c, unsigned int n, uint8_t proto)
{
    struct frame_spec s = c->base;

    s.proto = proto;
    s.data = c->data + n * 1400;
    s.len = 20 + 50 * n;
    return s;
}

/* The secondary lags behind a burst, and then says the same. */
static void make_burst(struct conv *c)
{
    unsigned int n = 2 + rng_below(&c->rng, 15);
    uint8_t proto = rng_once_in(&c->rng, 3) ? PROTO_ICMP : PROTO_UDP;

    for (unsigned int i = 0; i < n; i++) {
        struct frame_spec s = datagram(c, i, proto);

        conv_say(c, CONV_P, &s);
    }
    for (unsigned int i = 0; i < n; i++) {
        struct frame_spec s = datagram(c, i, proto);

        conv_say(c, CONV_S, &s);
        conv_truth(c, i + 1, false);
    }
}

/* The two say the same in another order. */
static void make_swapped(struct conv *c)
{
    struct frame_spec a = datagram(c, 0, PROTO_UDP);
    struct frame_spec b = datagram(c, 1, PROTO_UDP);

    conv_say(c, CONV_P, &a);
    conv_say(c, CONV_P, &b);
    conv_say(c, CONV_S, &b);
    conv_truth(c, 0, true);
    conv_say(c, CONV_S, &a);
    conv_truth(c, 0, true);
}

static void equal_then_not(struct conv *c, struct frame_spec *s)
{
    uint8_t *data = c->data;

    conv_say(c, CONV_P, s);
    conv_say(c, CONV_S, s);
    conv_truth(c, 1, false);
    conv_say(c, CONV_P, s);
    data[s->len - 1] ^= 1;
    conv_say(c, CONV_S, s);
    conv_truth(c, 1, true);
}

static void make_udp_v6(struct conv *c)
{
    struct frame_spec s = datagram(c, 0, PROTO_UDP);

    s.v6 = true;
    equal_then_not(c, &s);
}

static void make_icmp_v6(struct conv *c)
{
    struct frame_spec s = datagram(c, 0, PROTO_ICMPV6);

    s.v6 = true;
    s.type = 129;
    equal_then_not(c, &s);
}

static void make_udp_vlan(struct conv *c)
{
    struct frame_spec s = datagram(c, 0, PROTO_UDP);

    s.vlan = 7;
    equal_then_not(c, &s);
}

/* A reply, which is not one of those that C2 lets the secondary say alone. */
static void make_arp(struct conv *c)
{
    uint8_t *body = c->data;
    struct frame_spec s = {
        .ethertype = 0x0806, .data = body, .len = 28, .pad = 18,
    };

    memcpy(body, "\x00\x01\x08\x00\x06\x04\x00\x02", 8);
    memcpy(body + 8, "\x02\x00\x00\x00\x00\x02\x0a\x00\x00\x01", 10);
    memcpy(body + 18, "\x02\x00\x00\x00\x00\x01\x0a\x80", 8);
    body[26] = (uint8_t)(c->flow >> 8);
    body[27] = (uint8_t)c->flow;
    conv_say(c, CONV_P, &s);
    conv_truth(c, 0, false);
    conv_say(c, CONV_S, &s);
    conv_truth(c, 1, false);
}

/* Any other protocol: its body counts, the header around it does not. */
static void make_other_proto(struct conv *c)
{
    struct frame_spec s = datagram(c, 0, 47);

    /* A plain GRE header. */
    memcpy(c->data, "\x00\x00\x08\x00", 4);
    equal_then_not(c, &s);
}

/* The primary cuts a datagram that the secondary sends whole. */
static void make_one_fragments(struct conv *c)
{
    struct frame_spec s = datagram(c, 0, PROTO_UDP), f;
    uint8_t whole[2048];

    s.len = 1400;
    frame_build(&s, whole);
    f = s;
    f.raw = true;
    f.id = 77;
    f.frag = 0x2000;
    f.data = whole + ETH_LEN + 20;
    f.len = 800;
    conv_say(c, CONV_P, &f);
    f.frag = 100;
    f.data = whole + ETH_LEN + 20 + 800;
    f.len = 608;
    conv_say(c, CONV_P, &f);
    conv_say(c, CONV_S, &s);
    c->step[c->steps - 1].perhaps = true;
    conv_wait(c, CONV_LATE_MS);
    conv_truth(c, 0, true);
}

#define FIFO "first in, first out per flow; a lag is no difference"

const struct conv_kind conv_other_rules[] = {
    { "udp-burst", CONV_OUR_RULE, FIFO, make_burst },
    { "udp-swapped", CONV_OUR_RULE,
      "first in, first out per flow; another order is a difference",
      make_swapped },
    { "udp-v6", CONV_OUR_RULE, "IPv6 is compared", make_udp_v6 },
    { "icmp-v6", CONV_OUR_RULE, "IPv6 is compared", make_icmp_v6 },
    { "udp-vlan", CONV_OUR_RULE, "frames with a VLAN tag are compared",
      make_udp_vlan },
    { "arp", CONV_OUR_RULE, "ARP is compared", make_arp },
    { "other-proto", CONV_OUR_RULE, "IP id, TTL and MACs make no difference",
      make_other_proto },
    { "one-fragments", CONV_AT_END, NULL, make_one_fragments },
    { NULL, CONV_EACH_STEP, NULL, NULL },
};
