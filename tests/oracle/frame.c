/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* frame.c - Ethernet frames, made and read back without the engine's parser */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define ETHERTYPE_V4   0x0800u
#define ETHERTYPE_V6   0x86ddu
#define ETHERTYPE_VLAN 0x8100u
#define EXT_DSTOPTS    60u

static void put16(uint8_t *p, unsigned int v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffffu);
}

static unsigned int get16(const uint8_t *p)
{
    return ((unsigned int)p[0] << 8) | p[1];
}

static uint32_t get32(const uint8_t *p)
{
    return ((uint32_t)get16(p) << 16) | get16(p + 2);
}

static uint32_t sum(const uint8_t *p, size_t len, uint32_t s)
{
    for (; len > 1; p += 2, len -= 2) {
        s += get16(p);
        s = (s & 0xffffu) + (s >> 16);
    }
    if (len) s += (uint32_t)p[0] << 8;
    return (s & 0xffffu) + (s >> 16);
}

static uint16_t fold(uint32_t s)
{
    while (s >> 16) s = (s & 0xffffu) + (s >> 16);
    return (uint16_t)s;
}

/* The pseudo header's sum for the IP header at @ip. */
static uint32_t pseudo(const uint8_t *ip, unsigned int proto, size_t len)
{
    uint32_t s = proto + (uint32_t)len;

    return (ip[0] >> 4) == 6 ? sum(ip + 8, 32, s) : sum(ip + 12, 8, s);
}

/* Offset of the checksum in the transport header, or 0 if it has none. */
static size_t sum_offset(unsigned int proto)
{
    switch (proto) {
    case PROTO_TCP: return 16;
    case PROTO_UDP: return 6;
    case PROTO_ICMP:
    case PROTO_ICMPV6: return 2;
    default: return 0;
    }
}

/* ---- Making --------------------------------------------------------------*/

static size_t transport_header(const struct frame_spec *s, uint8_t *p)
{
    switch (s->proto) {
    case PROTO_TCP:
        memset(p, 0, 20);
        put16(p, s->sport);
        put16(p + 2, s->dport);
        put32(p + 4, s->seq);
        put32(p + 8, s->ack);
        p[12] = (uint8_t)((20 + s->opts_len) / 4 << 4);
        p[13] = s->flags;
        put16(p + 14, s->window);
        put16(p + 18, s->urgent);
        if (s->opts_len) memcpy(p + 20, s->opts, s->opts_len);
        return 20 + s->opts_len;
    case PROTO_UDP:
        put16(p, s->sport);
        put16(p + 2, s->dport);
        put16(p + 4, (unsigned int)(8 + s->len));
        put16(p + 6, 0);
        return 8;
    case PROTO_ICMP:
    case PROTO_ICMPV6:
        p[0] = s->type;
        p[1] = s->code;
        put16(p + 2, 0);
        put16(p + 4, s->sport);
        put16(p + 6, s->dport);
        return 8;
    default: return 0;
    }
}

static void transport_sum(const struct frame_spec *s, const uint8_t *ip,
                          uint8_t *p, size_t len)
{
    size_t at = sum_offset(s->proto);
    uint32_t v = s->proto == PROTO_ICMP ? 0 : pseudo(ip, s->proto, len);

    if (!at) return;
    if (s->partial && (s->proto == PROTO_TCP || s->proto == PROTO_UDP)) {
        put16(p + at, fold(v));
        return;
    }
    v = fold(~(uint32_t)fold(sum(p, len, v)) & 0xffffu);
    put16(p + at, s->proto == PROTO_UDP && !v ? 0xffffu : v);
}

static size_t header_v4(const struct frame_spec *s, uint8_t *p, size_t len)
{
    memset(p, 0, 20);
    p[0] = 0x45;
    put16(p + 2, (unsigned int)(20 + len));
    put16(p + 4, s->id);
    put16(p + 6, s->frag);
    p[8] = s->ttl ? s->ttl : 64;
    p[9] = s->proto;
    put32(p + 12, s->src);
    put32(p + 16, s->dst);
    put16(p + 10, fold(~(uint32_t)fold(sum(p, 20, 0)) & 0xffffu));
    return 20;
}

static size_t header_v6(const struct frame_spec *s, uint8_t *p, size_t len)
{
    static const uint8_t net[12] = { 0x20, 0x01, 0x0d, 0xb8 };
    size_t at = 40;
    uint8_t *next = p + 6;

    memset(p, 0, 40);
    p[0] = 0x60;
    put16(p + 4, (unsigned int)(len + 8u * s->ext));
    p[7] = s->ttl ? s->ttl : 64;
    memcpy(p + 8, net, 12);
    put32(p + 20, s->src);
    memcpy(p + 24, net, 12);
    put32(p + 36, s->dst);
    for (unsigned int i = 0; i < s->ext; i++, at += 8) {
        *next = EXT_DSTOPTS;
        next = p + at;
        memset(p + at, 0, 8);
        p[at + 2] = 1; /* PadN, four octets */
        p[at + 3] = 4;
    }
    *next = s->proto;
    return at;
}

size_t frame_build(const struct frame_spec *s, uint8_t *out)
{
    uint8_t head[64], *p = out + ETH_LEN, *ip;
    bool raw = s->ethertype || s->raw;
    size_t head_len, len;

    if (s->len + s->pad > FRAME_MAX - 256 || s->opts_len > 40) abort();
    memcpy(out, "\x02\x00\x00\x00\x00\x01\x02\x00\x00", 9);
    out[9] = (uint8_t)(s->mark >> 16);
    put16(out + 10, s->mark & 0xffffu);
    if (s->vlan) {
        put16(p - 2, ETHERTYPE_VLAN);
        put16(p, s->vlan);
        p += 4;
    }
    put16(p - 2, s->ethertype ? s->ethertype : s->v6 ? ETHERTYPE_V6 :
          ETHERTYPE_V4);
    ip = p;
    head_len = raw ? 0 : transport_header(s, head);
    len = head_len + s->len;
    if (!s->ethertype) p += s->v6 ? header_v6(s, p, len) : header_v4(s, p, len);
    memcpy(p, head, head_len);
    if (s->len) memcpy(p + head_len, s->data, s->len);
    if (!raw) transport_sum(s, ip, p, len);
    memset(p + len, s->pad_byte, s->pad);
    return (size_t)(p - out) + len + s->pad;
}

/* ---- Reading -------------------------------------------------------------*/

uint32_t frame_mark(const uint8_t *frame)
{
    return ((uint32_t)frame[9] << 16) | get16(frame + 10);
}

size_t frame_l4(const uint8_t *frame, size_t len, uint8_t *proto, size_t *end)
{
    size_t at = ETH_LEN, ip;

    if (len < ETH_LEN + 20) return 0;
    if (get16(frame + at - 2) == ETHERTYPE_VLAN) at += 4;
    ip = at;
    if (get16(frame + at - 2) == ETHERTYPE_V4) {
        *proto = frame[ip + 9];
        *end = ip + get16(frame + ip + 2);
        at = ip + 4u * (frame[ip] & 15u);
        if (get16(frame + ip + 6) & 0x1fffu) return 0;
    } else if (get16(frame + at - 2) == ETHERTYPE_V6 && len >= at + 40) {
        *proto = frame[ip + 6];
        *end = ip + 40 + get16(frame + ip + 4);
        for (at = ip + 40; *proto == EXT_DSTOPTS && at + 8 <= len; at += 8)
            *proto = frame[at];
    } else {
        return 0;
    }
    return *end <= len && at <= *end ? at : 0;
}

bool frame_read_tcp(const uint8_t *frame, size_t len, struct frame_tcp *t)
{
    uint8_t proto = 0;
    size_t end = 0, at = frame_l4(frame, len, &proto, &end), head;
    const uint8_t *p = frame + at;

    if (!at || proto != PROTO_TCP || end - at < 20) return false;
    head = 4u * (p[12] >> 4);
    if (head < 20 || at + head > end) return false;
    *t = (struct frame_tcp){
        .seq = get32(p + 4), .ack = get32(p + 8), .flags = p[13],
        .window = (uint16_t)get16(p + 14), .opts = p + 20,
        .opts_len = head - 20, .data = p + head, .len = end - at - head,
    };
    return true;
}

bool frame_sums_right(const uint8_t *frame, size_t len, bool partial)
{
    uint8_t proto = 0;
    size_t end = 0, at = frame_l4(frame, len, &proto, &end), off;
    size_t ip = ETH_LEN;
    uint32_t v;

    if (!at) return false;
    if (get16(frame + 12) == ETHERTYPE_VLAN) ip += 4;
    if (frame[ip] >> 4 == 4 && fold(sum(frame + ip, 20, 0)) != 0xffff)
        return false;
    off = sum_offset(proto);
    if (!off) return true;
    v = proto == PROTO_ICMP ? 0 : pseudo(frame + ip, proto, end - at);
    if (partial && (proto == PROTO_TCP || proto == PROTO_UDP))
        return get16(frame + at + off) == fold(v);
    return fold(sum(frame + at, end - at, v)) == 0xffff;
}
