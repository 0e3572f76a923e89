/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* packet.c - What is inside an Ethernet frame */
#include <config.h>

#include <string.h>

#include "cursor.h"
#include "packet.h"

#define TYPE_IPV4  0x0800u
#define TYPE_ARP   0x0806u
#define TYPE_VLAN  0x8100u
#define TYPE_IPV6  0x86ddu
#define TYPE_QINQ  0x88a8u

#define IP6_HOP     0u
#define IP6_ROUTING 43u
#define IP6_FRAG    44u
#define IP6_AUTH    51u
#define IP6_NONE    59u
#define IP6_DEST    60u
/* No stack sends more; each costs a look. */
#define IP6_EXT_MAX 8u

#define VNET_GSO(v) ((v)->gso_type & ~PACKET_GSO_ECN)

/* Walk one option. Return: its kind, or -1 at the end, or -2 if malformed */
static int next_option(struct rcur *c, const uint8_t **body, size_t *n)
{
    uint8_t kind, len;

    *body = NULL;
    *n = 0;
    if (!c->left) return -1;
    kind = rcur_u8(c);
    if (kind == PACKET_OPT_END) return -1;
    if (kind == PACKET_OPT_NOP) return kind;
    len = rcur_u8(c);
    if (c->bad || len < 2) return -2;
    *n = len - 2u;
    *body = rcur_take(c, *n);
    return *body ? kind : -2;
}

/* Return: false if an option of a kind that we know has a wrong length */
static bool take_option(struct packet_tcp_opts *o, int kind,
                        const uint8_t *body, size_t n, uint16_t off)
{
    switch (kind) {
    case PACKET_OPT_MSS:
        if (n != 2) return false;
        o->has_mss = true;
        o->mss = packet_get16(body);
        return true;
    case PACKET_OPT_WSCALE:
        if (n != 1) return false;
        o->has_wscale = true;
        o->wscale = body[0];
        return true;
    case PACKET_OPT_SACKOK:
        o->sack_ok = true;
        return n == 0;
    case PACKET_OPT_TS:
        if (n != 8) return false;
        o->has_ts = true;
        o->tsval = packet_get32(body);
        o->tsecr = packet_get32(body + 4);
        o->ts_off = off;
        return true;
    case PACKET_OPT_SACK:
        if (n == 0 || n % 8 || n > 32) return false;
        o->nsack = (uint8_t)(n / 8);
        o->sack_off = off;
        for (size_t i = 0; i < o->nsack; i++) {
            o->sack[i][0] = packet_get32(body + 8 * i);
            o->sack[i][1] = packet_get32(body + 8 * i + 4);
        }
        return true;
    default:
        return true;
    }
}

static bool known_option(int kind)
{
    return kind <= (int)PACKET_OPT_SACK || kind == (int)PACKET_OPT_TS;
}

bool packet_tcp_options(struct packet_tcp_opts *o, const struct packet *p,
                        const uint8_t *frame)
{
    struct rcur c = { frame + p->opts, p->opts_len, false };
    const uint8_t *body;
    size_t n;
    int kind;

    memset(o, 0, sizeof(*o));
    for (;;) {
        uint16_t off = (uint16_t)(c.p - frame);

        kind = next_option(&c, &body, &n);
        if (kind < 0) return kind == -1;
        if (body && !take_option(o, kind, body, n, off)) return false;
    }
}

/* Is there anything in the option area that is not one of ours? */
static bool opaque_options(const uint8_t *opts, size_t len)
{
    static const uint8_t usual[4] = { PACKET_OPT_NOP, PACKET_OPT_NOP,
                                      PACKET_OPT_TS, 10 };
    struct rcur c = { opts, len, false };
    struct packet_tcp_opts o;
    const uint8_t *body;
    size_t n;
    int kind;

    if (!len || (len == 12 && !memcmp(opts, usual, sizeof(usual))))
        return false;
    while ((kind = next_option(&c, &body, &n)) >= 0) {
        if (!known_option(kind)) return true;
        if (body && !take_option(&o, kind, body, n, 0)) return true;
    }
    return kind != -1;
}

static void parse_tcp(struct packet *p, const uint8_t *frame, struct rcur *c)
{
    const uint8_t *h = rcur_take(c, PACKET_TCP_HLEN);
    size_t hlen;

    if (!h) return;
    hlen = (size_t)(h[12] >> 4) * 4;
    if (hlen < PACKET_TCP_HLEN ||
        !rcur_take(c, hlen - PACKET_TCP_HLEN)) return;
    p->kind = PACKET_TCP;
    p->seq = packet_get32(h + 4);
    p->ack = packet_get32(h + 8);
    p->flags = h[13];
    p->win = packet_get16(h + 14);
    p->urg = packet_get16(h + 18);
    p->opts = (uint16_t)(p->l4 + PACKET_TCP_HLEN);
    p->opts_len = (uint16_t)(hlen - PACKET_TCP_HLEN);
    p->payload = (uint32_t)(p->l4 + hlen);
    p->opaque = opaque_options(frame + p->opts, p->opts_len);
}

static void parse_l4(struct packet *p, const uint8_t *frame, struct rcur *c)
{
    const uint8_t *h;

    p->kind = PACKET_IP;
    p->payload = p->l4;
    switch (p->proto) {
    case PACKET_IP_TCP:
        parse_tcp(p, frame, c);
        break;
    case PACKET_IP_UDP:
        h = rcur_take(c, PACKET_UDP_HLEN);
        if (!h || packet_get16(h + 4) != p->end - p->l4) return;
        p->kind = PACKET_UDP;
        p->payload = p->l4 + PACKET_UDP_HLEN;
        break;
    case PACKET_IP_ICMP:
    case PACKET_IP_ICMP6:
        if ((p->proto == PACKET_IP_ICMP) != (p->family == 4)) return;
        if (!rcur_take(c, 8)) return;
        p->kind = PACKET_ICMP;
        p->payload = p->l4 + 8u;
        break;
    default:
        break;
    }
}

/* Return: false if the header does not fit the frame */
static bool parse_ipv4(struct packet *p, const uint8_t *frame, struct rcur *c)
{
    const uint8_t *h = rcur_take(c, 20);
    size_t hlen, total;
    uint16_t frag;

    if (!h || h[0] >> 4 != 4) return false;
    hlen = (size_t)(h[0] & 15) * 4;
    total = packet_get16(h + 2);
    if (hlen < 20 || total < hlen || total - 20 > c->left) return false;
    c->left = total - 20;
    rcur_take(c, hlen - 20);
    p->family = 4;
    p->proto = h[9];
    p->l4 = (uint16_t)(p->l3 + hlen);
    p->end = (uint32_t)(p->l3 + total);
    frag = packet_get16(h + 6);
    if (frag & 0x3fff) {
        p->kind = PACKET_FRAG;
        p->payload = p->l4;
        p->more = frag & 0x2000;
        p->frag_off = (frag & 0x1fffu) * 8;
        p->frag_id = packet_get16(h + 4);
        return true;
    }
    parse_l4(p, frame, c);
    return true;
}

/* The end of an extension header chain: what comes next is @proto. */
static void chain_ends(struct packet *p, const uint8_t *frame, uint8_t proto,
                       struct rcur *c)
{
    p->proto = proto;
    p->l4 = (uint16_t)(c->p - frame);
    p->payload = p->l4;
}

/* Return: false if the header does not fit the frame */
static bool parse_ipv6(struct packet *p, const uint8_t *frame, struct rcur *c)
{
    const uint8_t *h = rcur_take(c, 40), *x;
    uint8_t next;
    size_t plen;

    if (!h || h[0] >> 4 != 6) return false;
    plen = packet_get16(h + 4);
    next = h[6];
    if (plen > c->left || (!plen && next == IP6_HOP)) return false;
    c->left = plen;
    p->family = 6;
    p->end = (uint32_t)(p->l3 + 40 + plen);
    p->kind = PACKET_IP;
    for (unsigned int i = 0; i < IP6_EXT_MAX; i++) {
        chain_ends(p, frame, next, c);
        if (next != IP6_HOP && next != IP6_ROUTING && next != IP6_FRAG &&
            next != IP6_AUTH && next != IP6_DEST) {
            parse_l4(p, frame, c);
            return true;
        }
        x = rcur_take(c, 8);
        if (!x) return true;
        /* On a source route the checksum is for another address. */
        if (next == IP6_ROUTING && x[3]) return true;
        if (next == IP6_FRAG && (packet_get16(x + 2) & 0xfff9)) {
            chain_ends(p, frame, x[0], c);
            p->kind = PACKET_FRAG;
            p->frag_off = packet_get16(x + 2) & 0xfff8;
            p->more = x[3] & 1;
            p->frag_id = packet_get32(x + 4);
            return true;
        }
        if (next == IP6_AUTH) {
            if (!x[1] || !rcur_take(c, (x[1] + 2u) * 4 - 8)) return true;
        } else if (next != IP6_FRAG && !rcur_take(c, x[1] * 8u)) {
            return true;
        }
        next = x[0];
    }
    return true;
}

/* Ethernet and IPv4 only, as on every bridge. */
static bool parse_arp(struct packet *p, struct rcur *c)
{
    static const uint8_t fixed[6] = { 0, 1, 8, 0, 6, 4 };
    const uint8_t *h = rcur_take(c, 28);

    if (!h || memcmp(h, fixed, sizeof(fixed))) return false;
    p->kind = PACKET_ARP;
    p->l4 = p->l3;
    p->payload = p->l3;
    p->end = p->l3 + 28u;
    return true;
}

/* Does the vnet header say anything that the frame contradicts? */
static bool vnet_fits(const struct packet *p, const struct packet_vnet *v)
{
    size_t at = packet_l4_csum_at(p);

    if ((v->flags & PACKET_VNET_NEEDS_CSUM) && p->kind != PACKET_IP &&
        (!at || v->csum_start != p->l4 || v->csum_offset != at - p->l4))
        return false;
    switch (VNET_GSO(v)) {
    case PACKET_GSO_NONE:
        return true;
    case PACKET_GSO_TCPV4:
        return p->kind == PACKET_TCP && p->family == 4 && v->gso_size;
    case PACKET_GSO_TCPV6:
        return p->kind == PACKET_TCP && p->family == 6 && v->gso_size;
    case PACKET_GSO_UDP:
    case PACKET_GSO_UDP_L4:
        return p->kind == PACKET_UDP && v->gso_size;
    default:
        return false;
    }
}

static bool parse_l3(struct packet *p, const uint8_t *frame, struct rcur *c)
{
    const uint8_t *h = rcur_take(c, PACKET_ETH_HLEN);

    if (!h) return false;
    p->ethertype = packet_get16(h + 12);
    for (int i = 0; i < 2; i++) {
        if (p->ethertype != TYPE_VLAN && p->ethertype != TYPE_QINQ) break;
        h = rcur_take(c, 4);
        if (!h) return false;
        p->vlan[i] = (uint16_t)((packet_get16(h) & 0xfff) + 1);
        p->ethertype = packet_get16(h + 2);
    }
    p->l3 = (uint16_t)(c->p - frame);
    switch (p->ethertype) {
    case TYPE_IPV4:
        return parse_ipv4(p, frame, c);
    case TYPE_IPV6:
        return parse_ipv6(p, frame, c);
    case TYPE_ARP:
        return parse_arp(p, c);
    default:
        return false;
    }
}

void packet_parse(struct packet *p, const uint8_t *frame, size_t len,
                  const struct packet_vnet *vnet)
{
    struct rcur c = { frame, len, false };
    struct packet raw = { .kind = PACKET_RAW };

    memset(p, 0, sizeof(*p));
    if (len <= PACKET_MAX && parse_l3(p, frame, &c) &&
        (!vnet || vnet_fits(p, vnet))) {
        p->partial = vnet && (vnet->flags & PACKET_VNET_NEEDS_CSUM);
        p->gso = vnet && VNET_GSO(vnet) != PACKET_GSO_NONE;
        return;
    }
    raw.vlan[0] = p->vlan[0];
    raw.vlan[1] = p->vlan[1];
    raw.ethertype = p->ethertype;
    raw.end = (uint32_t)len;
    *p = raw;
}

static void map_ipv4(uint8_t to[16], const uint8_t *from)
{
    to[10] = to[11] = 0xff;
    memcpy(to + 12, from, 4);
}

static void key_addresses(struct packet_key *key, const struct packet *p,
                          const uint8_t *frame)
{
    const uint8_t *h = frame + p->l3;

    switch (p->kind == PACKET_ARP ? 0 : p->family) {
    case 4:
        map_ipv4(key->src, h + 12);
        map_ipv4(key->dst, h + 16);
        return;
    case 6:
        memcpy(key->src, h + 8, 16);
        memcpy(key->dst, h + 24, 16);
        return;
    default:
        break;
    }
    if (p->kind == PACKET_ARP) {
        map_ipv4(key->src, h + 14);
        map_ipv4(key->dst, h + 24);
    } else if (p->end >= PACKET_ETH_HLEN) {
        memcpy(key->src, frame + 6, 6);
        memcpy(key->dst, frame, 6);
    }
}

static void key_icmp(struct packet_key *key, const struct packet *p,
                     const uint8_t *frame)
{
    uint8_t type = frame[p->l4];

    key->sport = packet_get16(frame + p->l4);
    if (p->family == 4 ? type == 0 || type == 8 : type == 128 || type == 129)
        key->dport = packet_get16(frame + p->l4 + 4);
}

void packet_key(struct packet_key *key, const struct packet *p,
                const uint8_t *frame)
{
    memset(key, 0, sizeof(*key));
    key->vlan[0] = p->vlan[0];
    key->vlan[1] = p->vlan[1];
    key->proto = p->proto;
    key->kind = p->kind;
    key->family = p->family;
    key_addresses(key, p, frame);
    switch (p->kind) {
    case PACKET_TCP:
    case PACKET_UDP:
        key->sport = packet_get16(frame + p->l4);
        key->dport = packet_get16(frame + p->l4 + 2);
        break;
    case PACKET_ICMP:
        key_icmp(key, p, frame);
        break;
    case PACKET_ARP:
        key->sport = packet_get16(frame + p->l3 + 6);
        break;
    case PACKET_RAW:
        key->sport = p->ethertype;
        break;
    default:
        break;
    }
}

void packet_key_reverse(struct packet_key *to, const struct packet_key *key)
{
    struct packet_key r = *key;

    memcpy(r.src, key->dst, sizeof(r.src));
    memcpy(r.dst, key->src, sizeof(r.dst));
    r.sport = key->dport;
    r.dport = key->sport;
    *to = r;
}
