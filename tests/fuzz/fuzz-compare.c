/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-compare.c - The engine under any order of calls, with any frames
 *
 * Each step is one octet of what to do and its operands. Frames are either
 * built (so that both sides meet) or taken as they are. The n-th frame of the
 * primary carries n in its source MAC, if that is no part of its flow's key.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "cursor.h"
#include "frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

#define STEPS 400u
#define MARK  0x02000000u /* of a source MAC that is a number */

/**
 * struct told - a numbered frame of the primary
 * @key: its flow
 * @pure: a pure acknowledgement: a later one may take its place
 * @data: a segment with octets: a retransmission may overtake
 * @out: it left
 */
struct told {
    struct packet_key key;
    bool pure, data, out;
};

static struct frame f;
static struct told told[STEPS];
static uint32_t ntold;
static uint64_t now, epoch;
static struct compare *c;

/* A TCP segment or a datagram, from a few octets. */
static void built(struct rcur *in)
{
    static const uint8_t opts[20] = { 1, 1, 5, 18, 0, 0, 0, 9, 0, 0, 0, 20,
                                      0, 0, 0, 40, 0, 0, 0, 60 };
    static const uint8_t syn[4] = { 1, 3, 3, 7 };
    static const char text[64] = "what both sides say, or nearly so";
    uint8_t what = rcur_u8(in), seq = rcur_u8(in), ack = rcur_u8(in);
    uint8_t flags = rcur_u8(in), win = rcur_u8(in);
    struct tcp_spec t = { .sport = what & 3, .seq = (uint32_t)seq - 16,
                          .ack = ack, .flags = flags, .win = win,
                          .len = (what >> 2) & 31, .data = text + (seq & 15),
                          .urg = win & 3, .ip.v6 = what & 128 };
    struct udp_spec u = { .sport = what & 3, .data = text + (seq & 15),
                          .len = ack & 31 };

    if (win & 64) {
        t.opts = flags & PACKET_SYN ? syn : opts;
        t.nopts = flags & PACKET_SYN ? sizeof(syn) : sizeof(opts);
    }
    t.ip.partial = win & 32;
    if (flags & 128) frame_udp(&f, &u);
    else frame_tcp(&f, &t);
}

/* Any octets. Return: false if there are none */
static bool raw(struct rcur *in)
{
    size_t n = rcur_u8(in);
    const uint8_t *p;

    rcur_bytes(in, &f.vnet, n & 1 ? sizeof(f.vnet) : 0);
    p = rcur_take(in, n);
    if (!p || !n) return false;
    memcpy(f.b, p, n);
    f.len = n;
    f.b[6] &= (uint8_t)~(MARK >> 24);
    if (!(n & 1)) memset(&f.vnet, 0, sizeof(f.vnet));
    return true;
}

static void tell(void)
{
    struct told *t = &told[ntold];
    struct packet pk;

    packet_parse(&pk, f.b, f.len, &f.vnet);
    packet_key(&t->key, &pk, f.b);
    t->out = false;
    t->pure = pk.kind == PACKET_TCP && !packet_seq_len(&pk) &&
              !(pk.flags & (PACKET_RST | PACKET_URG));
    t->data = pk.kind == PACKET_TCP && packet_payload_len(&pk);
    if (pk.kind == PACKET_RAW) return;
    packet_put32(f.b + 6, MARK);
    packet_put16(f.b + 10, (uint16_t)ntold);
    if (!compare_primary(c, f.b, f.len, &f.vnet, now)) ntold++;
}

static void drain(void)
{
    struct compare_packet *p;

    while ((p = compare_next(c))) {
        uint32_t n = UINT32_MAX;

        MUST(p->len && p->len <= PACKET_MAX);
        if (p->len >= 14 && packet_get32(p->frame + 6) == MARK)
            n = packet_get16(p->frame + 10);
        if (!p->made && n < ntold) {
            MUST(!told[n].out);
            told[n].out = true;
            for (uint32_t i = n + 1; i < ntold; i++)
                MUST(!told[i].out || told[i].data ||
                     memcmp(&told[i].key, &told[n].key,
                            sizeof(told[n].key)));
        }
        compare_put(c, p);
    }
}

static void check(void)
{
    struct compare_stats s;

    drain();
    compare_get_stats(c, &s);
    MUST(s.released + s.held + s.superseded <= s.primary);
    MUST(s.compared + s.committed <= s.released);
}

static void secondary(void)
{
    struct compare_meta m = { .epoch = epoch };
    uint8_t *b = malloc(f.len);

    MUST(b);
    memcpy(b, f.b, f.len);
    MUST(!compare_secondary(c, &m, b, f.len, &f.vnet, now));
    free(b);
}

static void step(struct rcur *in)
{
    uint8_t what = rcur_u8(in);
    struct compare_isn isn;

    switch (what & 15) {
    case 0:
    case 1:
    case 2:
        built(in);
        if (what & 16) secondary();
        tell();
        if (what & 32) secondary();
        break;
    case 3:
    case 4:
    case 5:
        built(in);
        secondary();
        break;
    case 6:
        if (!raw(in)) break;
        if (what & 16) compare_primary(c, f.b, f.len, &f.vnet, now);
        if (what & 32) secondary();
        break;
    case 7:
        built(in);
        compare_inbound(c, f.b, f.len, &f.vnet, now);
        break;
    case 8:
        epoch += !compare_cut(c, epoch + 1, now);
        break;
    case 9:
        compare_commit(c, epoch - (what >> 4) % 3, now);
        break;
    case 10:
        compare_abort(c, epoch - (what >> 4) % 3, now);
        break;
    case 11:
        now += (uint64_t)rcur_u8(in) * 10000000;
        compare_tick(c, now);
        MUST(compare_deadline(c) > now || compare_wanted(c, NULL));
        break;
    case 12:
        compare_set_mode(c, what & 16 ? COMPARE_COLO : COMPARE_PASSIVE);
        break;
    case 13:
        compare_svm_connected(c, now);
        break;
    case 14:
        while (compare_next_isn(c, &isn))
            MUST(isn.key.kind == PACKET_TCP);
        break;
    default:
        if (what == 255) compare_open(c, now);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct compare_opts o = COMPARE_OPTS_INIT;
    struct compare_stats s;
    struct rcur in = { data, size, false };

    o.flows = 8;
    o.packets = 32;
    o.jumbos = 4;
    o.mode = COMPARE_COLO;
    ntold = 0;
    now = 1000;
    epoch = 0;
    MUST(!compare_new(&c, &o, NULL));
    compare_svm_connected(c, now);
    while (in.left && !in.bad && ntold < STEPS) {
        step(&in);
        check();
    }
    compare_open(c, now);
    drain();
    compare_get_stats(c, &s);
    MUST(!s.held && !s.held_bytes && !s.waiting_secondary);
    for (uint32_t i = 0; i < ntold; i++)
        MUST(told[i].out || told[i].pure);
    compare_free(c);
    return 0;
}
