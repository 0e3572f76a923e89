/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-frame.c - Any frame, with any vnet header
 *
 * Ten octets of vnet header, then the frame. Whatever is found must lie within
 * the frame, and a change of it must keep a right checksum right.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

static void check_shape(const struct packet *p, size_t size)
{
    MUST(p->kind <= PACKET_TCP);
    MUST(p->l3 <= p->l4 && p->l4 <= p->payload && p->payload <= p->end);
    MUST(p->end <= size || size > PACKET_MAX);
    if (p->kind == PACKET_RAW) MUST(p->end == size && !p->payload);
    if (p->kind == PACKET_TCP) MUST(p->payload >= p->l4 + PACKET_TCP_HLEN);
    if (p->kind == PACKET_TCP)
        MUST(p->opts + p->opts_len == (int)p->payload);
    if (p->kind == PACKET_UDP) MUST(p->payload == p->l4 + PACKET_UDP_HLEN);
}

static void check_options(const struct packet *p, const uint8_t *frame)
{
    struct packet_tcp_opts o;
    bool right = packet_tcp_options(&o, p, frame);

    MUST(o.nsack <= 4 && (right || p->opaque || p->opts_len == 12));
    if (o.sack_off) MUST(o.sack_off + 2u + 8u * o.nsack <= p->payload);
    if (o.ts_off) MUST(o.ts_off + 10u <= p->payload);
}

static void check_stores(const struct packet *p, uint8_t *frame)
{
    size_t at = packet_l4_csum_at(p), off = at + 2, n = p->end - off;
    uint8_t buf[3] = { 0xff, 0, 0x5a };

    packet_put16(frame + at, p->partial ? packet_l4_pseudo(p, frame)
                                        : packet_l4_csum(p, frame));
    for (size_t i = 0; i + sizeof(buf) <= n && i < 64; i += 3) {
        packet_store(p, frame, off + i, buf, sizeof(buf));
        MUST(!memcmp(frame + off + i, buf, sizeof(buf)));
        buf[i % 3] ^= (uint8_t)(i * 31);
    }
    MUST(packet_get16(frame + at) ==
         (p->partial ? packet_l4_pseudo(p, frame)
                     : packet_l4_csum(p, frame)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE uint8_t *frame = NULL;
    struct packet_key key, back;
    struct packet_vnet vnet;
    struct packet p;

    if (size < sizeof(vnet)) return 0;
    memcpy(&vnet, data, sizeof(vnet));
    size -= sizeof(vnet);
    frame = malloc(size ? size : 1);
    MUST(frame);
    if (size) memcpy(frame, data + sizeof(vnet), size);
    packet_parse(&p, frame, size, &vnet);
    check_shape(&p, size);
    if (size > PACKET_MAX) return 0;
    packet_key(&key, &p, frame);
    packet_key_reverse(&back, &key);
    packet_key_reverse(&back, &back);
    MUST(!memcmp(&key, &back, sizeof(key)));
    if (p.kind == PACKET_TCP) check_options(&p, frame);
    if (packet_l4_csum_at(&p)) check_stores(&p, frame);
    return 0;
}
