/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* frames.c - Ethernet frames for tests */
#include <config.h>

#include <string.h>

#include "frames.h"

static void put16(uint8_t *p, unsigned int v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static unsigned int sum(unsigned int s, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        s += i & 1 ? p[i] : (unsigned int)p[i] << 8;
        s = (s & 0xffff) + (s >> 16);
    }
    return s;
}

/* Ethernet and IP. Return: where the content goes */
static uint8_t *start(struct frame *f, const struct ip_spec *ip, uint8_t proto,
                      size_t len)
{
    static const uint8_t macs[12] = { 0, 0x16, 0x3e, 0, 0, 2,
                                      0, 0x16, 0x3e, 0, 0, 1 };
    uint8_t src = ip->src ? ip->src : 1, dst = ip->dst ? ip->dst : 2;
    uint8_t *p = f->b + 12;

    memset(&f->vnet, 0, sizeof(f->vnet));
    memcpy(f->b, macs, sizeof(macs));
    if (ip->vlan) {
        put16(p, 0x8100);
        put16(p + 2, ip->vlan);
        p += 4;
    }
    put16(p, ip->v6 ? 0x86dd : 0x0800);
    p += 2;
    memset(p, 0, 40);
    if (ip->v6) {
        p[0] = 0x60;
        put16(p + 4, (unsigned int)len);
        p[6] = proto;
        p[7] = ip->ttl ? ip->ttl : 64;
        p[8] = p[24] = 0xfd;
        p[23] = src;
        p[39] = dst;
        p += 40;
    } else {
        p[0] = 0x45;
        put16(p + 2, (unsigned int)len + 20);
        put16(p + 4, ip->id);
        p[8] = ip->ttl ? ip->ttl : 64;
        p[9] = proto;
        p[12] = p[16] = 10;
        p[15] = src;
        p[19] = dst;
        put16(p + 10, ~sum(0, p, 20) & 0xffff);
        p += 20;
    }
    f->len = (size_t)(p - f->b) + len + ip->pad;
    memset(p + len, 0xee, ip->pad);
    return p;
}

static unsigned int pseudo(const uint8_t *l4, bool v6, uint8_t proto,
                           size_t len)
{
    unsigned int s = sum(0, v6 ? l4 - 32 : l4 - 8, v6 ? 32 : 8);

    s += proto + (unsigned int)len;
    return (s & 0xffff) + (s >> 16);
}

static void checksum(struct frame *f, const struct ip_spec *ip, uint8_t *l4,
                     size_t at, uint8_t proto, size_t len)
{
    unsigned int s = proto == 1 ? 0 : pseudo(l4, ip->v6, proto, len);

    put16(l4 + at, ip->partial ? s : 0);
    if (ip->partial) {
        f->vnet.flags = PACKET_VNET_NEEDS_CSUM;
        f->vnet.csum_start = (uint16_t)(l4 - f->b);
        f->vnet.csum_offset = (uint16_t)at;
        return;
    }
    s = ~sum(s, l4, len) & 0xffff;
    put16(l4 + at, !s && proto == 17 ? 0xffff : s);
}

void frame_tcp(struct frame *f, const struct tcp_spec *t)
{
    size_t hlen = 20 + t->nopts, len = hlen + t->len;
    uint8_t *p = start(f, &t->ip, 6, len);

    memset(p, 0, hlen);
    put16(p, t->sport ? t->sport : 80);
    put16(p + 2, t->dport ? t->dport : 40000);
    put32(p + 4, t->seq);
    put32(p + 8, t->ack);
    p[12] = (uint8_t)(hlen / 4 << 4);
    p[13] = t->flags;
    put16(p + 14, t->win);
    put16(p + 18, t->urg);
    if (t->nopts) memcpy(p + 20, t->opts, t->nopts);
    if (t->len) memcpy(p + hlen, t->data, t->len);
    checksum(f, &t->ip, p, 16, 6, len);
    if (!t->ip.gso_size) return;
    f->vnet.gso_type = t->ip.v6 ? PACKET_GSO_TCPV6 : PACKET_GSO_TCPV4;
    f->vnet.gso_size = t->ip.gso_size;
    f->vnet.hdr_len = (uint16_t)(p - f->b + (long)hlen);
}

void frame_udp(struct frame *f, const struct udp_spec *u)
{
    uint8_t *p = start(f, &u->ip, 17, 8 + u->len);

    put16(p, u->sport ? u->sport : 53);
    put16(p + 2, u->dport ? u->dport : 40000);
    put16(p + 4, (unsigned int)(8 + u->len));
    put16(p + 6, 0);
    if (u->len) memcpy(p + 8, u->data, u->len);
    if (!u->no_csum) checksum(f, &u->ip, p, 6, 17, 8 + u->len);
    if (!u->ip.gso_size) return;
    f->vnet.gso_type = PACKET_GSO_UDP_L4;
    f->vnet.gso_size = u->ip.gso_size;
}

void frame_icmp(struct frame *f, const struct ip_spec *ip, const void *body,
                size_t len)
{
    uint8_t *p = start(f, ip, ip->v6 ? 58 : 1, len);

    memcpy(p, body, len);
    put16(p + 2, 0);
    checksum(f, ip, p, 2, ip->v6 ? 58 : 1, len);
}

void frame_ip(struct frame *f, const struct ip_spec *ip, uint8_t proto,
              uint16_t frag, const void *body, size_t len)
{
    uint8_t *p = start(f, ip, proto, len);

    if (len) memcpy(p, body, len);
    if (ip->v6) return;
    put16(p - 14, frag);
    put16(p - 10, 0);
    put16(p - 10, ~sum(0, p - 20, 20) & 0xffff);
}

void frame_frag6(struct frame *f, const struct ip_spec *ip, uint8_t proto,
                 uint16_t off_more, uint32_t id, const void *body, size_t len)
{
    uint8_t *p = start(f, ip, 44, len + 8);

    p[0] = proto;
    p[1] = 0;
    put16(p + 2, off_more);
    put32(p + 4, id);
    memcpy(p + 8, body, len);
}

void frame_arp(struct frame *f, uint16_t op, uint8_t spa, uint8_t tpa)
{
    static const uint8_t head[22] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x16, 0x3e, 0, 0, 1,
        8, 6, 0, 1, 8, 0, 6, 4,
    };
    uint8_t *p = f->b + 20;

    memset(&f->vnet, 0, sizeof(f->vnet));
    memset(f->b, 0, 60);
    memcpy(f->b, head, sizeof(head));
    put16(p, op);
    memcpy(p + 2, head + 6, 6);
    p[8] = p[18] = 10;
    p[11] = spa;
    p[21] = tpa;
    f->len = 60;
}

bool frame_csum_ok(const uint8_t *b, size_t len,
                   const struct packet_vnet *vnet)
{
    struct packet pk;
    const uint8_t *l4;
    unsigned int s;
    size_t n;
    uint8_t proto;

    packet_parse(&pk, b, len, vnet);
    if (pk.family == 4 && sum(0, b + pk.l3, (b[pk.l3] & 15u) * 4) != 0xffff)
        return false;
    if (pk.kind != PACKET_TCP && pk.kind != PACKET_UDP) return true;
    l4 = b + pk.l4;
    n = pk.end - pk.l4;
    proto = pk.proto;
    s = sum(0, b + pk.l3 + (pk.family == 4 ? 12 : 8), pk.family == 4 ? 8 : 32);
    s += proto + (unsigned int)n;
    s = (s & 0xffff) + (s >> 16);
    if (pk.partial) {
        const uint8_t *field = l4 + (proto == 6 ? 16 : 6);

        return ((unsigned int)field[0] << 8 | field[1]) == s;
    }
    if (proto == 17 && !l4[6] && !l4[7]) return true;
    return sum(s, l4, n) == 0xffff;
}
