/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv.c - Conversations of one flow: the core, and what QEMU does right */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "conv.h"
#include "rng.h"

#define NONE UINT32_MAX

/* ---- Making --------------------------------------------------------------*/

void conv_make(struct conv *c, const struct conv_kind *kind)
{
    uint32_t n = c->flow;

    c->kind = kind;
    c->steps = c->primaries = c->absorbed = 0;
    c->used = 0;
    for (size_t i = 0; i < CONV_DATA; i += sizeof(uint64_t)) {
        uint64_t v = rng_next(&c->rng);

        memcpy(c->data + i, &v, sizeof(v));
    }
    c->base = (struct frame_spec){
        .proto = PROTO_TCP, .src = 0x0a000001, .dst = 0x0a800000 + n,
        .sport = 80, .dport = (uint16_t)(1024 + n % 60000),
        .seq = (uint32_t)rng_next(&c->rng), .window = 4000,
        .ack = (uint32_t)rng_next(&c->rng), .data = c->data,
    };
    kind->make(c);
}

static uint32_t make_mark(unsigned int slot, unsigned int n)
{
    return (slot + 1) << 16 | n;
}

int conv_which(uint32_t mark, unsigned int *slot)
{
    *slot = (mark >> 16) - 1;
    return *slot < CONV_SLOTS && (mark & 0xffff) < CONV_STEPS ?
           (int)(mark & 0xffff) : -1;
}

static struct conv_step *append(struct conv *c, enum conv_side side)
{
    struct conv_step *step = &c->step[c->steps];

    if (c->steps == CONV_STEPS) abort();
    *step = (struct conv_step){ .side = side };
    if (c->steps) {
        step->out = step[-1].out;
        step->wanted = step[-1].wanted;
    }
    c->steps++;
    return step;
}

struct conv_step *conv_say(struct conv *c, enum conv_side side,
                           const struct frame_spec *s)
{
    struct conv_step *step = append(c, side);
    struct frame_spec mine = *s;

    if (c->used + s->len + s->pad + 256 > CONV_ROOM) abort();
    mine.mark = side == CONV_P ? make_mark(c->slot, c->primaries++) : 0;
    /* What never makes a difference always differs. */
    mine.id = mine.id ? mine.id : (uint16_t)rng_next(&c->rng);
    mine.ttl = side == CONV_P ? 64 : 63;
    if (c->vnet && s->proto == PROTO_TCP && !s->ethertype)
        mine.partial = s->len > 1460 || rng_once_in(&c->rng, 2);
    step->partial = mine.partial;
    step->frame = c->room + c->used;
    step->len = frame_build(&mine, c->room + c->used);
    c->used += step->len;
    return step;
}

struct conv_step *conv_wait(struct conv *c, uint32_t ms)
{
    struct conv_step *step = append(c, CONV_TIME);

    step->len = ms;
    return step;
}

void conv_truth(struct conv *c, unsigned int out, bool wanted)
{
    c->step[c->steps - 1].out = out;
    c->step[c->steps - 1].wanted = wanted;
}

struct frame_spec conv_tcp(const struct conv *c, uint32_t at, size_t len,
                           uint8_t flags)
{
    struct frame_spec s = c->base;

    s.seq += at;
    s.len = len;
    s.data = c->data + at;
    s.flags = flags | TH_ACK;
    return s;
}

/* ---- TCP -----------------------------------------------------------------*/

/* Both sides' SYN/ACKs with the same ISN; the primary's comes first, since
 * QEMU keeps a secondary's empty segment for the next frame. */
static void handshake(struct conv *c)
{
    static const uint8_t mss[4] = { 2, 4, 5, 0xb4 };
    struct frame_spec s = conv_tcp(c, 0, 0, TH_SYN);

    s.seq--;
    s.opts = mss;
    s.opts_len = sizeof(mss);
    conv_say(c, CONV_P, &s);
    conv_say(c, CONV_S, &s);
    conv_truth(c, 1, false);
}

/**
 * struct cuts - one side's segmentation
 * @end: where each segment ends
 * @n: how many
 * @sent: how many were said
 * @ack: how much more than the conversation's first ack it acknowledges
 * @ack_step: and how much more with each segment
 */
struct cuts {
    uint32_t end[40];
    unsigned int n, sent;
    uint32_t ack, ack_step;
};

#define CUTS_MAX 39u

static void cut_up(struct conv *c, struct cuts *k, uint32_t total)
{
    uint32_t max = rng_once_in(&c->rng, 3) ? 300 : 1460, at = 0;

    if (total > 300 * CUTS_MAX) max = 1460;
    if (c->vnet && (total > 1460 * CUTS_MAX || rng_once_in(&c->rng, 2)))
        max = 40000;
    *k = (struct cuts){ .n = 0 };
    while (at < total) {
        uint32_t len = 1 + rng_below(&c->rng, max), left = total - at;
        uint32_t least = left / (CUTS_MAX - k->n) + 1;

        /* Not more of them than there is room for. */
        if (len < least) len = least;
        if (len > left) len = left;
        k->end[k->n++] = at += len;
    }
}

static uint32_t said(const struct cuts *k)
{
    return k->sent ? k->end[k->sent - 1] : 0;
}

/* Say @side's next segment, with the octet at @flip changed. */
static void next_segment(struct conv *c, enum conv_side side, struct cuts *k,
                         uint32_t flip, bool fin)
{
    uint32_t from = said(k), to = k->end[k->sent++];
    bool last = k->sent == k->n;
    struct frame_spec s = conv_tcp(c, from, to - from,
                                   last && fin ? TH_FIN | TH_PSH : 0);

    s.ack += k->ack + k->ack_step * k->sent;
    if (flip != NONE) c->data[flip] ^= 0x20;
    conv_say(c, side, &s);
    if (flip != NONE) c->data[flip] ^= 0x20;
}

static uint32_t pick_total(struct conv *c)
{
    if (c->vnet && rng_once_in(&c->rng, 3))
        return 1 + rng_below(&c->rng, 150000);
    return 1 + rng_below(&c->rng, rng_once_in(&c->rng, 4) ? 12000 : 3000);
}

/* Any segmentation of both, and any interleaving; in order. With @acks the
 * primary acknowledges more with each segment, but never more than the
 * secondary. */
static void stream(struct conv *c, bool diverge, bool acks)
{
    uint32_t total = pick_total(c), flip = NONE;
    bool fin = rng_once_in(&c->rng, 2), wanted = false;
    unsigned int first = 0, out;
    struct cuts p, s;

    if (diverge) flip = rng_below(&c->rng, total);
    if (rng_once_in(&c->rng, 2)) {
        handshake(c);
        first = 1;
    }
    cut_up(c, &p, total);
    cut_up(c, &s, total);
    if (acks) {
        p.ack_step = 1 + rng_below(&c->rng, 3000);
        s.ack = p.ack_step * p.n;
        s.ack_step = rng_below(&c->rng, 3000);
    }
    while (p.sent < p.n || s.sent < s.n) {
        bool mine = s.sent == s.n ||
                    (p.sent < p.n && rng_once_in(&c->rng, 2));

        next_segment(c, mine ? CONV_P : CONV_S, mine ? &p : &s,
                     mine ? NONE : flip, fin);
        for (out = 0; out < p.sent && p.end[out] <= said(&s) &&
             (flip == NONE || p.end[out] <= flip); out++) ;
        wanted = flip != NONE && said(&p) > flip && said(&s) > flip;
        conv_truth(c, first + out, wanted);
    }
}

static void make_stream(struct conv *c)
{
    stream(c, false, false);
}

static void make_stream_acks(struct conv *c)
{
    stream(c, false, true);
}

static void make_stream_differs(struct conv *c)
{
    stream(c, true, rng_once_in(&c->rng, 2));
}

/* The primary's segments come out of order, all before the secondary's. */
static void make_primary_reordered(struct conv *c)
{
    uint32_t total = pick_total(c);
    unsigned int order[40], out = 0;
    struct cuts p, s;

    /* So that it is known where the stream begins. */
    handshake(c);
    cut_up(c, &p, total);
    cut_up(c, &s, total);
    for (unsigned int i = 0; i < p.n; i++) {
        /* Within four of them: more gaps are not remembered. */
        unsigned int j = i / 4 * 4 + rng_below(&c->rng, i % 4 + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (unsigned int i = 0; i < p.n; i++) {
        p.sent = order[i];
        next_segment(c, CONV_P, &p, NONE, false);
    }
    while (s.sent < s.n) {
        next_segment(c, CONV_S, &s, NONE, false);
        while (out < p.n && p.end[order[out]] <= said(&s)) out++;
        conv_truth(c, 1 + out, false);
    }
}

/* The secondary repeats what was compared already. */
static void make_secondary_repeats(struct conv *c)
{
    uint32_t total = pick_total(c);
    struct cuts p, s;
    unsigned int out = 0;

    cut_up(c, &p, total);
    cut_up(c, &s, total);
    while (p.sent < p.n || s.sent < s.n) {
        bool mine = s.sent == s.n ||
                    (p.sent < p.n && rng_once_in(&c->rng, 2));

        next_segment(c, mine ? CONV_P : CONV_S, mine ? &p : &s, NONE, false);
        while (out < p.sent && p.end[out] <= said(&s)) out++;
        conv_truth(c, out, false);
        if (!mine && out && said(&s) <= p.end[out - 1] &&
            c->steps < CONV_STEPS - 40) {
            s.sent--;
            next_segment(c, CONV_S, &s, NONE, false);
        }
    }
}

/* ---- UDP, ICMP, fragments ------------------------------------------------*/

/* One frame of each at a time, either first, and perhaps the last differs. */
static void pairs(struct conv *c, struct frame_spec *s, bool diverge)
{
    unsigned int n = 1 + rng_below(&c->rng, 8);

    for (unsigned int i = 0; i < n; i++) {
        bool last = diverge && i == n - 1;
        bool mine = rng_once_in(&c->rng, 2);

        s->len = 1 + rng_below(&c->rng, 1400);
        s->data = c->data + i * 1400;
        for (unsigned int k = 0; k < 2; k++, mine = !mine) {
            uint32_t flip = i * 1400 + rng_below(&c->rng, (uint32_t)s->len);

            if (last && !mine) c->data[flip] ^= 1;
            conv_say(c, mine ? CONV_P : CONV_S, s);
            if (last && !mine) c->data[flip] ^= 1;
        }
        conv_truth(c, last ? i : i + 1, last);
    }
}

static void make_udp(struct conv *c)
{
    struct frame_spec s = c->base;

    s.proto = PROTO_UDP;
    pairs(c, &s, false);
}

static void make_udp_differs(struct conv *c)
{
    struct frame_spec s = c->base;

    s.proto = PROTO_UDP;
    pairs(c, &s, true);
}

static void make_icmp(struct conv *c)
{
    struct frame_spec s = c->base;

    s.proto = PROTO_ICMP;
    pairs(c, &s, rng_once_in(&c->rng, 2));
}

/* Both cut the same datagram at the same places. */
static void make_udp_fragments(struct conv *c)
{
    struct frame_spec s = c->base;
    uint8_t whole[FRAME_MAX];
    size_t len, total;
    unsigned int n = 0;

    s.proto = PROTO_UDP;
    s.len = 2000 + rng_below(&c->rng, 2000);
    len = frame_build(&s, whole);
    /* QEMU does not compare a last fragment of a few octets. */
    if ((len - ETH_LEN - 20) % 1480 < 64) {
        s.len += 64;
        len = frame_build(&s, whole);
    }
    total = len - ETH_LEN - 20;
    s.id = (uint16_t)(1 + rng_below(&c->rng, 60000));
    s.raw = true;
    for (size_t at = 0; at < total; at += 1480, n++) {
        size_t part = total - at < 1480 ? total - at : 1480;

        s.frag = (uint16_t)(at / 8 | (at + part < total ? 0x2000 : 0));
        s.data = whole + ETH_LEN + 20 + at;
        s.len = part;
        conv_say(c, CONV_P, &s);
        conv_say(c, CONV_S, &s);
        conv_truth(c, n + 1, false);
    }
}

const struct conv_kind conv_plain[] = {
    { "tcp-stream", CONV_EACH_STEP, NULL, make_stream },
    { "tcp-stream-acks", CONV_EACH_STEP, NULL, make_stream_acks },
    { "tcp-stream-differs", CONV_EACH_STEP, NULL, make_stream_differs },
    { "tcp-primary-reordered", CONV_AT_END, NULL, make_primary_reordered },
    { "tcp-secondary-repeats", CONV_EACH_STEP, NULL, make_secondary_repeats },
    { "udp-pairs", CONV_EACH_STEP, NULL, make_udp },
    { "udp-pairs-differ", CONV_EACH_STEP, NULL, make_udp_differs },
    { "icmp-pairs", CONV_EACH_STEP, NULL, make_icmp },
    { "udp-fragments", CONV_EACH_STEP, NULL, make_udp_fragments },
    { NULL, CONV_EACH_STEP, NULL, NULL },
};
