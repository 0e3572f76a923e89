/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* packet-csum.c - Internet checksums, from scratch and by difference */
#include <config.h>

#include <string.h>

#include "packet.h"

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint32_t packet_sum(uint32_t sum, const uint8_t *buf, size_t n)
{
    uint64_t s = sum;

    for (; n >= 4; buf += 4, n -= 4)
        s += packet_get32(buf);
    if (n >= 2) s += packet_get16(buf);
    if (n & 1) s += (uint32_t)buf[n - 1] << 8;
    return fold(s);
}

void packet_csum_fix(uint8_t *field, const uint8_t *old, const uint8_t *new,
                     size_t n, bool odd)
{
    uint64_t s = (uint16_t)~packet_get16(field);

    for (size_t i = 0; i < n; i++) {
        unsigned int shift = (i + odd) & 1 ? 0 : 8;

        /* A word of one octet: ~m + m' is the same for the other. */
        s += (uint32_t)new[i] << shift;
        s += 0xffffu - ((uint32_t)old[i] << shift);
    }
    packet_put16(field, (uint16_t)~fold(s));
}

size_t packet_l4_csum_at(const struct packet *p)
{
    switch (p->kind) {
    case PACKET_TCP:
        return p->l4 + 16u;
    case PACKET_UDP:
        return p->l4 + 6u;
    case PACKET_ICMP:
        return p->l4 + 2u;
    default:
        return 0;
    }
}

uint16_t packet_l4_pseudo(const struct packet *p, const uint8_t *frame)
{
    uint64_t s = (uint64_t)p->proto + (p->end - p->l4);

    if (p->proto == PACKET_IP_ICMP) return 0;
    if (p->family == 4) s += packet_sum(0, frame + p->l3 + 12, 8);
    else s += packet_sum(0, frame + p->l3 + 8, 32);
    return fold(s);
}

uint16_t packet_l4_csum(const struct packet *p, const uint8_t *frame)
{
    size_t at = packet_l4_csum_at(p);
    uint64_t s = packet_l4_pseudo(p, frame);
    uint16_t csum;

    if (!at) return 0;
    s += packet_sum(0, frame + p->l4, at - p->l4);
    s += packet_sum(0, frame + at + 2, p->end - at - 2);
    csum = (uint16_t)~fold(s);
    /* Zero says "no checksum" in UDP. */
    return !csum && p->kind == PACKET_UDP ? 0xffff : csum;
}

void packet_store(const struct packet *p, uint8_t *frame, size_t off,
                  const void *src, size_t n)
{
    size_t at = packet_l4_csum_at(p);
    bool udp = p->kind == PACKET_UDP;

    /* Absent, and to stay so. */
    if (udp && !packet_get16(frame + at)) at = 0;
    if (at && !p->partial) {
        packet_csum_fix(frame + at, frame + off, src, n, (off - p->l4) & 1);
        if (udp && !packet_get16(frame + at))
            packet_put16(frame + at, 0xffff);
    }
    memcpy(frame + off, src, n);
}

void packet_store16(const struct packet *p, uint8_t *frame, size_t off,
                    uint16_t v)
{
    uint8_t b[2];

    packet_put16(b, v);
    packet_store(p, frame, off, b, sizeof(b));
}

void packet_store32(const struct packet *p, uint8_t *frame, size_t off,
                    uint32_t v)
{
    uint8_t b[4];

    packet_put32(b, v);
    packet_store(p, frame, off, b, sizeof(b));
}
