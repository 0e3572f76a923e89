/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* neigh.c - Neighbours learned from what goes to the guest, and answers */
#include <config.h>

#include <string.h>

#include "cursor.h"
#include "neigh.h"

#define ETH_LEN       14u
#define ETH_MIN       60u
#define TYPE_ARP      0x0806u
#define TYPE_IPV6     0x86ddu
#define ARP_LEN       28u
#define ARP_REQUEST   1u
#define ARP_REPLY     2u
#define IPV6_LEN      40u
#define PROTO_ICMPV6  58u
#define ND_SOLICIT    135u
#define ND_ADVERTISE  136u
#define ND_LEN        24u
#define OPT_SOURCE    1u
#define OPT_TARGET    2u
#define NA_SOLICITED  0x40u
#define NA_OVERRIDE   0x20u

/**
 * struct asked - a frame of ARP or neighbour discovery, taken apart
 * @family: 4 or 6
 * @op: ARP's operation, or ICMPv6's type
 * @tags: octets of VLAN tags
 * @tag: they
 * @eth_src: the frame's sender
 * @mac: who the sender says it is; NULL if it doesn't
 * @sender: its address
 * @target: which address it is about
 */
struct asked {
    uint8_t family;
    uint16_t op;
    uint8_t tags;
    const uint8_t *tag;
    const uint8_t *eth_src;
    const uint8_t *mac;
    const uint8_t *sender;
    const uint8_t *target;
};

static bool parse_arp(struct rcur *c, struct asked *a)
{
    /* Ethernet, IPv4, and the lengths of their addresses. */
    static const uint8_t kind[] = { 0, 1, 8, 0, 6, 4 };
    const uint8_t *head = rcur_take(c, sizeof(kind));

    if (!head || memcmp(head, kind, sizeof(kind))) return false;
    a->family = 4;
    a->op = rcur_u16(c);
    a->mac = rcur_take(c, 6);
    a->sender = rcur_take(c, 4);
    rcur_take(c, 6);
    a->target = rcur_take(c, 4);
    return !c->bad && (a->op == ARP_REQUEST || a->op == ARP_REPLY);
}

static uint32_t sum(uint32_t s, const uint8_t *p, size_t len)
{
    for (; len > 1; p += 2, len -= 2)
        s += (uint32_t)p[0] << 8 | p[1];
    return len ? s + ((uint32_t)p[0] << 8) : s;
}

static uint16_t icmp6_sum(const uint8_t *ip, const uint8_t *icmp, size_t len)
{
    uint32_t s = sum(PROTO_ICMPV6 + (uint32_t)len, ip + 8, 32);

    s = sum(s, icmp, len);
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

/* Only with hop limit 255, which no router lets pass, and right sums. */
static bool parse_nd(struct rcur *c, struct asked *a)
{
    const uint8_t *ip = rcur_take(c, IPV6_LEN), *icmp;
    size_t len, at;
    uint8_t want;

    if (!ip || ip[0] >> 4 != 6 || ip[6] != PROTO_ICMPV6 || ip[7] != 255)
        return false;
    len = (size_t)ip[4] << 8 | ip[5];
    icmp = rcur_take(c, len);
    if (!icmp || len < ND_LEN || icmp[1] ||
        (icmp[0] != ND_SOLICIT && icmp[0] != ND_ADVERTISE))
        return false;
    a->family = 6;
    a->op = icmp[0];
    a->sender = ip + 8;
    a->target = icmp + 8;
    want = a->op == ND_SOLICIT ? OPT_SOURCE : OPT_TARGET;
    for (at = ND_LEN; at + 8 <= len && icmp[at + 1];
         at += (size_t)icmp[at + 1] * 8) {
        if (at + (size_t)icmp[at + 1] * 8 > len) return false;
        if (icmp[at] == want && icmp[at + 1] == 1) a->mac = icmp + at + 2;
    }
    return icmp6_sum(ip, icmp, len) == 0;
}

static bool parse(struct asked *a, const uint8_t *frame, size_t len)
{
    struct rcur c = { .p = frame, .left = len };
    const uint8_t *eth = rcur_take(&c, ETH_LEN);
    unsigned int type;

    *a = (struct asked){ 0 };
    if (!eth) return false;
    type = (unsigned int)eth[12] << 8 | eth[13];
    a->eth_src = eth + 6;
    a->tag = eth + 12;
    while ((type == 0x8100 || type == 0x88a8) && a->tags < 8) {
        const uint8_t *t = rcur_take(&c, 4);

        if (!t) return false;
        type = (unsigned int)t[2] << 8 | t[3];
        a->tags += 4;
    }
    if (type == TYPE_ARP) return parse_arp(&c, a);
    return type == TYPE_IPV6 && parse_nd(&c, a);
}

static bool all_zero(const uint8_t *p, size_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

static size_t addr_len(uint8_t family)
{
    return family == 4 ? 4 : 16;
}

static bool same(const struct neigh_entry *e, const struct asked *a,
                 const uint8_t *addr)
{
    return e->family == a->family && e->tags == a->tags &&
           !memcmp(e->tag, a->tag, a->tags) &&
           !memcmp(e->addr, addr, addr_len(a->family));
}

/*
 * The first of the places that an address may have. Anyone on the LAN who
 * can choose addresses can fill these places, or simply answer himself.
 */
static struct neigh_entry *places(struct neigh *n, const struct asked *a,
                                  const uint8_t *addr)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < addr_len(a->family); i++)
        h = (h ^ addr[i]) * 16777619u;
    for (size_t i = 0; i < a->tags; i++)
        h = (h ^ a->tag[i]) * 16777619u;
    h ^= h >> 15;
    return n->at + h % (NEIGH_MAX / NEIGH_WAYS) * NEIGH_WAYS;
}

static void learn(struct neigh *n, const struct asked *a,
                  const uint8_t *addr, const uint8_t *mac)
{
    struct neigh_entry *e = places(n, a, addr), *to = e;

    if (mac[0] & 1 || all_zero(mac, 6) || all_zero(addr, addr_len(a->family)))
        return;
    for (unsigned int i = 0; i < NEIGH_WAYS; i++) {
        if (same(&e[i], a, addr)) {
            to = &e[i];
            break;
        }
        if (e[i].heard < to->heard) to = &e[i];
    }
    *to = (struct neigh_entry){ .family = a->family, .tags = a->tags };
    memcpy(to->mac, mac, sizeof(to->mac));
    memcpy(to->tag, a->tag, a->tags);
    memcpy(to->addr, addr, addr_len(a->family));
    to->heard = ++n->clock;
    n->learned++;
}

void neigh_learn(struct neigh *n, const uint8_t *frame, size_t len)
{
    struct asked a;

    if (!parse(&a, frame, len)) return;
    if (a.family == 4) {
        learn(n, &a, a.sender, a.mac);
    } else if (a.op == ND_SOLICIT) {
        if (a.mac) learn(n, &a, a.sender, a.mac);
    } else {
        /* An answer to one who asked alone may leave its MAC out. */
        learn(n, &a, a.target, a.mac ? a.mac : a.eth_src);
    }
}

static void put_eth(struct wcur *c, const struct asked *a,
                    const uint8_t *mac, unsigned int type)
{
    wcur_bytes(c, a->eth_src, 6);
    wcur_bytes(c, mac, 6);
    wcur_bytes(c, a->tag, a->tags);
    wcur_u16(c, (uint16_t)type);
}

static void put_arp(struct wcur *c, const struct asked *a,
                    const uint8_t *mac)
{
    put_eth(c, a, mac, TYPE_ARP);
    wcur_be(c, 0x000108000604u, 6);
    wcur_u16(c, ARP_REPLY);
    wcur_bytes(c, mac, 6);
    wcur_bytes(c, a->target, 4);
    wcur_bytes(c, a->mac, 6);
    wcur_bytes(c, a->sender, 4);
}

static void put_na(struct wcur *c, const struct asked *a, const uint8_t *mac)
{
    uint8_t *ip, *icmp;
    uint16_t s;

    put_eth(c, a, mac, TYPE_IPV6);
    ip = c->p;
    wcur_u32(c, 6u << 28);
    wcur_u16(c, ND_LEN + 8);
    wcur_u8(c, PROTO_ICMPV6);
    wcur_u8(c, 255);
    wcur_bytes(c, a->target, 16);
    wcur_bytes(c, a->sender, 16);
    icmp = c->p;
    wcur_u8(c, ND_ADVERTISE);
    wcur_zero(c, 3); /* code, and the sum until it is known */
    wcur_u32(c, (uint32_t)(NA_SOLICITED | NA_OVERRIDE) << 24);
    wcur_bytes(c, a->target, 16);
    wcur_u8(c, OPT_TARGET);
    wcur_u8(c, 1);
    wcur_bytes(c, mac, 6);
    s = icmp6_sum(ip, icmp, ND_LEN + 8);
    icmp[2] = (uint8_t)(s >> 8);
    icmp[3] = (uint8_t)s;
}

size_t neigh_answer(struct neigh *n, const uint8_t *frame, size_t len,
                    uint8_t *answer)
{
    struct wcur c = { .p = answer, .left = NEIGH_ANSWER_MAX };
    struct neigh_entry *e;
    struct asked a;
    size_t al;

    if (!parse(&a, frame, len)) return 0;
    if (a.op != (a.family == 4 ? ARP_REQUEST : ND_SOLICIT)) return 0;
    al = addr_len(a.family);
    if (all_zero(a.sender, al) || !memcmp(a.sender, a.target, al)) return 0;
    e = places(n, &a, a.target);
    for (unsigned int i = 0; i < NEIGH_WAYS; i++) {
        if (!same(&e[i], &a, a.target)) continue;
        if (a.family == 4) put_arp(&c, &a, e[i].mac);
        else put_na(&c, &a, e[i].mac);
        if (NEIGH_ANSWER_MAX - c.left < ETH_MIN)
            wcur_zero(&c, ETH_MIN - (NEIGH_ANSWER_MAX - c.left));
        n->answered++;
        return c.bad ? 0 : NEIGH_ANSWER_MAX - c.left;
    }
    return 0;
}
