/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv-tcp.c - TCP conversations that QEMU judges wrongly, or not at all */
#include <config.h>

#include <string.h>

#include "conv.h"
#include "rng.h"

static uint32_t some(struct conv *c, uint32_t least, uint32_t most)
{
    return least + rng_below(&c->rng, most - least + 1);
}

static void say(struct conv *c, enum conv_side side, uint32_t at, size_t len,
                uint8_t flags)
{
    struct frame_spec s = conv_tcp(c, at, len, flags);

    conv_say(c, side, &s);
}

/* The same, with a sequence number that differs by @shift. */
static void say_shifted(struct conv *c, enum conv_side side, uint32_t at,
                        size_t len, uint8_t flags, uint32_t shift)
{
    struct frame_spec s = conv_tcp(c, at, len, flags);

    s.seq += shift;
    conv_say(c, side, &s);
}

static void say_acking(struct conv *c, enum conv_side side, uint32_t at,
                       size_t len, uint32_t more, uint16_t window)
{
    struct frame_spec s = conv_tcp(c, at, len, 0);

    s.ack += more;
    s.window = window;
    conv_say(c, side, &s);
}

/* A SYN/ACK, whose window is not scaled (there is no such option). */
static void say_syn(struct conv *c, enum conv_side side, uint32_t shift,
                    const uint8_t *opts, size_t opts_len)
{
    struct frame_spec s = conv_tcp(c, 0, 0, TH_SYN);

    s.seq += shift - 1;
    s.opts = opts;
    s.opts_len = opts_len;
    conv_say(c, side, &s);
}

static void both_syn(struct conv *c)
{
    say_syn(c, CONV_P, 0, NULL, 0);
    say_syn(c, CONV_S, 0, NULL, 0);
    conv_truth(c, 1, false);
}

/* What differs is found at the latest when the secondary is late. */
static void late(struct conv *c)
{
    c->step[c->steps - 1].perhaps = true;
    conv_wait(c, CONV_LATE_MS);
    conv_truth(c, c->step[c->steps - 1].out, true);
}

/* ---- Position ------------------------------------------------------------*/

static void make_shifted(struct conv *c)
{
    uint32_t len = some(c, 2, 1400), shift = some(c, 1, 1400);
    enum conv_side first = rng_once_in(&c->rng, 2) ? CONV_P : CONV_S;

    if (rng_once_in(&c->rng, 4)) shift = 0u - shift;
    say_shifted(c, first, 0, len, 0, first == CONV_S ? shift : 0);
    say_shifted(c, first == CONV_S ? CONV_P : CONV_S, 0, len, 0,
                first == CONV_S ? 0 : shift);
    conv_truth(c, 0, c->step[c->steps - 1].wanted);
    late(c);
}

static void make_other_isn(struct conv *c)
{
    uint32_t shift = (uint32_t)rng_next(&c->rng) | 1, at = 0;
    unsigned int out = 1;

    say_syn(c, CONV_P, 0, NULL, 0);
    say_syn(c, CONV_S, shift, NULL, 0);
    conv_truth(c, out, false);
    for (unsigned int n = some(c, 1, 12); n; n--) {
        uint32_t len = some(c, 1, 1400);

        if (rng_once_in(&c->rng, 2)) {
            say_shifted(c, CONV_S, at, len, 0, shift);
            say(c, CONV_P, at, len, 0);
        } else {
            say(c, CONV_P, at, len, 0);
            say_shifted(c, CONV_S, at, len, 0, shift);
        }
        conv_truth(c, ++out, false);
        at += len;
    }
}

static void make_reuse(struct conv *c)
{
    uint32_t len = some(c, 10, 1400), back = some(c, 5000, 1000000);

    both_syn(c);
    say(c, CONV_P, 0, len, 0);
    say(c, CONV_S, 0, len, 0);
    conv_truth(c, 2, false);
    say(c, CONV_P, len, 0, TH_RST);
    say(c, CONV_S, len, 0, TH_RST);
    conv_truth(c, 3, false);
    c->base.seq -= back;
    both_syn(c);
    conv_truth(c, 4, false);
    say(c, CONV_P, 0, len, 0);
    conv_truth(c, 4, false);
    c->data[some(c, 0, len - 1)] ^= 1;
    say(c, CONV_S, 0, len, 0);
    conv_truth(c, 4, true);
}

static void make_retransmission(struct conv *c)
{
    uint32_t len = some(c, 1, 1400);

    say(c, CONV_P, 0, len, 0);
    say(c, CONV_S, 0, len, 0);
    conv_truth(c, 1, false);
    say(c, CONV_P, 0, len, 0);
    conv_truth(c, 2, false);
}

static void make_secondary_reordered(struct conv *c)
{
    uint32_t a = some(c, 1, 1400), b = some(c, 1, 1400);

    say(c, CONV_P, 0, a, 0);
    say(c, CONV_P, a, b, 0);
    say(c, CONV_S, a, b, 0);
    say(c, CONV_S, 0, a, 0);
    conv_truth(c, 2, false);
}

static void make_secondary_leads(struct conv *c)
{
    uint32_t a = some(c, 1, 1400), b = some(c, 1, 1400);

    say(c, CONV_P, 0, 0, 0);
    say(c, CONV_S, 0, 0, 0);
    conv_truth(c, 1, false);
    say(c, CONV_S, 0, a, 0);
    say(c, CONV_S, a, b, 0);
    say(c, CONV_P, a, b, 0);
    conv_truth(c, 2, false);
    say(c, CONV_P, 0, a, 0);
    conv_truth(c, 3, false);
}

/* ---- Anything at once ----------------------------------------------------*/

#define CHAOS_MAX 8000u

/**
 * struct chaos - a conversation with losses, seen from the guests
 * @said: octets that each side has said
 * @left: octets that have been let out
 * @from: first octet of each segment of the primary's
 * @to: its end
 * @over: it says only what was let out before: it overtakes
 * @n: segments of the primary's
 * @next: the first of them that is held
 * @out: how many may be out
 * @flip: octet that the secondary says otherwise, or UINT32_MAX
 * @total: octets of the stream
 * @edge: how far each side has come
 * @shift: the secondary's ISN less the primary's
 */
struct chaos {
    bool said[2][CHAOS_MAX], left[CHAOS_MAX];
    uint32_t from[CONV_STEPS], to[CONV_STEPS];
    bool over[CONV_STEPS];
    unsigned int n, next, out;
    uint32_t flip, total, edge[2], shift;
};

static bool all_said(const struct chaos *x, uint32_t from, uint32_t to)
{
    if (x->flip >= from && x->flip < to) return false;
    for (; from < to; from++)
        if (!x->said[CONV_S][from]) return false;
    return true;
}

/* The truth after a frame. */
static void chaos_truth(struct conv *c, struct chaos *x)
{
    for (; x->next < x->n; x->next++) {
        uint32_t from = x->from[x->next], to = x->to[x->next];

        if (x->over[x->next]) continue;
        if (!all_said(x, from, to)) break;
        memset(&x->left[from], 1, to - from);
        x->out++;
    }
    conv_truth(c, 1 + x->out, x->flip < x->total &&
               x->said[CONV_P][x->flip] && x->said[CONV_S][x->flip]);
}

static void chaos_say(struct conv *c, struct chaos *x, enum conv_side side,
                      uint32_t from, uint32_t to)
{
    bool flip = side == CONV_S && x->flip >= from && x->flip < to;

    if (flip) c->data[x->flip] ^= 0x40;
    say_shifted(c, side, from, to - from, 0, side == CONV_S ? x->shift : 0);
    if (flip) c->data[x->flip] ^= 0x40;
    memset(&x->said[side][from], 1, to - from);
    if (side == CONV_P) {
        bool over = !memchr(&x->left[from], 0, to - from);

        x->from[x->n] = from;
        x->to[x->n] = to;
        x->over[x->n++] = over;
        x->out += over;
        c->step[c->steps - 1].overtakes = over;
    }
    chaos_truth(c, x);
}

/* One side's turn: the next segment, one that leaves a gap, or one that the
 * client seems to have lost. */
static void chaos_turn(struct conv *c, struct chaos *x, enum conv_side side)
{
    uint32_t edge = x->edge[side], from = edge, to;

    if (edge && rng_once_in(&c->rng, 4)) {
        from = rng_below(&c->rng, edge);
    } else if (rng_once_in(&c->rng, 4)) {
        from += some(c, 1, 500);
    }
    if (from >= x->total) from = edge == x->total ? 0 : edge;
    to = from + some(c, 1, 1400);
    if (to > x->total) to = x->total;
    chaos_say(c, x, side, from, to);
    /* One gap at a time, and the next segment fills it. */
    if (from > edge) chaos_say(c, x, side, edge, from);
    if (to > edge) x->edge[side] = to;
}

static void chaos(struct conv *c, bool diverge)
{
    struct chaos x = { .flip = UINT32_MAX };

    x.total = some(c, 1, CHAOS_MAX);
    if (diverge) x.flip = some(c, 0, x.total - 1);
    if (rng_once_in(&c->rng, 2)) x.shift = (uint32_t)rng_next(&c->rng);
    say_syn(c, CONV_P, 0, NULL, 0);
    say_syn(c, CONV_S, x.shift, NULL, 0);
    conv_truth(c, 1, false);
    while (x.edge[0] + x.edge[1] < 2 * x.total && c->steps < 100)
        chaos_turn(c, &x, rng_once_in(&c->rng, 2) ? CONV_P : CONV_S);
    /* Whatever is still missing. */
    chaos_say(c, &x, CONV_S, 0, x.total < 1400 ? x.total : 1400);
}

static void make_chaos(struct conv *c)
{
    chaos(c, false);
}

static void make_chaos_differs(struct conv *c)
{
    chaos(c, true);
}

/* ---- Flags ---------------------------------------------------------------*/

static void make_fin_missing(struct conv *c)
{
    uint32_t len = some(c, 0, 1400);

    both_syn(c);
    say(c, CONV_P, 0, len, TH_FIN);
    say(c, CONV_S, 0, len, 0);
    late(c);
    conv_truth(c, 1, true);
}

static void make_rst_missing(struct conv *c)
{
    uint32_t len = some(c, 1, 1400);

    both_syn(c);
    say(c, CONV_P, 0, 0, TH_RST);
    say(c, CONV_S, 0, len, 0);
    late(c);
    conv_truth(c, 1, true);
}

static void make_urgent_differs(struct conv *c)
{
    uint32_t len = some(c, 2, 1400);
    struct frame_spec s = conv_tcp(c, 0, len, TH_URG);

    both_syn(c);
    s.urgent = 1;
    conv_say(c, CONV_P, &s);
    say(c, CONV_S, 0, len, 0);
    late(c);
    conv_truth(c, 1, true);
}

static void make_syn_options_differ(struct conv *c)
{
    static const uint8_t a[4] = { 2, 4, 5, 0xb4 }, b[4] = { 2, 4, 2, 0x18 };
    unsigned int which = some(c, 0, 2);

    say_syn(c, CONV_P, 0, which ? a : NULL, which ? sizeof(a) : 0);
    say_syn(c, CONV_S, 0, which == 1 ? NULL : b, which == 1 ? 0 : sizeof(b));
    conv_truth(c, 0, true);
}

static void make_timestamps_differ(struct conv *c)
{
    uint8_t opts[12] = { 1, 1, 8, 10 };
    struct frame_spec s = conv_tcp(c, 0, 0, TH_SYN);

    s.seq--;
    s.opts = opts;
    s.opts_len = sizeof(opts);
    for (unsigned int i = 0; i < 2; i++) {
        opts[4] = 1;
        conv_say(c, CONV_P, &s);
        opts[4] = 2;
        conv_say(c, CONV_S, &s);
        conv_truth(c, i + 1, false);
        s = conv_tcp(c, 0, some(c, 1, 1400), 0);
        s.opts = opts;
        s.opts_len = sizeof(opts);
    }
}

/* ---- What a header promises ----------------------------------------------*/

static void make_ack_ahead(struct conv *c)
{
    uint32_t len = some(c, 1, 1400), more = some(c, 1, 3000);
    uint32_t ack = c->base.ack;

    both_syn(c);
    say_acking(c, CONV_P, 0, len, more, 4000);
    say_acking(c, CONV_S, 0, len, 0, 4000);
    conv_truth(c, 2, false);
    c->step[c->steps - 1].ack = ack;
    say_acking(c, CONV_S, len, 0, more, 4000);
    c->step[c->steps - 1].ack = ack + more;
    c->step[c->steps - 1].made = true;
}

/* The same across the end of the number space. */
static void make_ack_wraps(struct conv *c)
{
    c->base.ack = 0u - some(c, 1, 200);
    make_ack_ahead(c);
}

static void make_window_ahead(struct conv *c)
{
    static const uint8_t opts[4] = { 1, 3, 3, 7 };
    uint32_t len = some(c, 1, 1400);
    uint16_t less = (uint16_t)some(c, 0, 3999);
    uint8_t scale = rng_once_in(&c->rng, 2) ? 7 : 0;

    for (unsigned int i = 0; i < 2; i++)
        say_syn(c, i ? CONV_S : CONV_P, 0, opts, scale ? sizeof(opts) : 0);
    conv_truth(c, 1, false);
    say_acking(c, CONV_P, 0, len, 4000, 4000);
    say_acking(c, CONV_S, 0, len, 4000, less);
    conv_truth(c, 2, false);
    c->step[c->steps - 1].right = c->base.ack + 4000u +
                                  ((uint32_t)less << scale);
    c->step[c->steps - 1].scale = scale;
}

/* A lone ack that the secondary's data has carried already. */
static void make_pure_ack(struct conv *c)
{
    uint32_t len = some(c, 1, 1400), more = some(c, 1, 3000);

    both_syn(c);
    say_acking(c, CONV_P, 0, len, 0, 4000);
    say_acking(c, CONV_S, 0, len, more, 4000);
    conv_truth(c, 2, false);
    say_acking(c, CONV_P, len, 0, more, 4000);
    conv_truth(c, 3, false);
    c->step[c->steps - 1].ack = c->base.ack + more;
}

/* A lone ack of what the secondary has not got: QEMU takes any packet of it
 * for consent. */
static void make_pure_ack_ahead(struct conv *c)
{
    uint32_t more = some(c, 1, 3000), ack = c->base.ack;

    both_syn(c);
    say_acking(c, CONV_P, 0, 0, more, 4000);
    conv_truth(c, 1, false);
    say_acking(c, CONV_S, 0, 0, 0, 4000);
    conv_truth(c, 1, false);
    say_acking(c, CONV_S, 0, 0, more, 4000);
    c->step[c->steps - 1].ack = ack + more;
    c->step[c->steps - 1].made = true;
    c->absorbed = 1;
}

/* ---- Padding, IPv6, VLAN -------------------------------------------------*/

static void make_padding(struct conv *c)
{
    uint32_t at = 0;
    unsigned int out = 0;

    for (unsigned int n = some(c, 1, 8); n; n--) {
        uint32_t len = some(c, 1, 5);
        struct frame_spec s = conv_tcp(c, at, len, 0);

        s.pad = 6 - len;
        s.pad_byte = 0xa5;
        conv_say(c, CONV_P, &s);
        say(c, CONV_S, at, len, 0);
        conv_truth(c, ++out, false);
        at += len;
    }
}

/* Held until the secondary says it; QEMU lets it out at once. */
static void differs_later(struct conv *c)
{
    uint32_t at = 0;
    unsigned int out = 0;

    for (unsigned int n = some(c, 1, 8); n; n--) {
        uint32_t len = some(c, 1, 1300);

        say(c, CONV_P, at, len, 0);
        if (n == 1) c->data[at + some(c, 0, len - 1)] ^= 1;
        say(c, CONV_S, at, len, 0);
        if (n > 1) out++;
        conv_truth(c, out, n == 1);
        at += len;
    }
}

static void make_v6(struct conv *c)
{
    c->base.v6 = true;
    c->base.ext = some(c, 0, 2);
    differs_later(c);
}

static void make_vlan(struct conv *c)
{
    c->base.vlan = (uint16_t)some(c, 1, 4094);
    differs_later(c);
}

/* ---- Storms --------------------------------------------------------------*/

static void make_storm(struct conv *c)
{
    uint32_t len = some(c, 1, 300);

    say(c, CONV_P, 0, len, 0);
    c->data[0] ^= 1;
    say(c, CONV_S, 0, len, 0);
    conv_truth(c, 0, true);
    for (unsigned int i = 1; i < 20; i++)
        say(c, rng_once_in(&c->rng, 2) ? CONV_P : CONV_S, i * len, len, 0);
}

#define POSITION "a position in the stream counts, whatever the bytes there"
#define PROMISE  "B5: no header promises more than the secondary's does"
#define VERDICT  CONV_OUR_RULE

const struct conv_kind conv_tcp_rules[] = {
    { "tcp-shifted", VERDICT, POSITION, make_shifted },
    { "tcp-other-isn", VERDICT,
      "B5: a constant difference is none if both SYNs were seen",
      make_other_isn },
    { "tcp-reused-tuple", VERDICT, "a SYN on a known 4-tuple starts anew",
      make_reuse },
    { "tcp-retransmission", VERDICT,
      "what was verified needs no second consent", make_retransmission },
    { "tcp-secondary-reordered", VERDICT, POSITION, make_secondary_reordered },
    { "tcp-secondary-leads", VERDICT, POSITION, make_secondary_leads },
    { "tcp-chaos", VERDICT, POSITION, make_chaos },
    { "tcp-chaos-differs", VERDICT, POSITION, make_chaos_differs },
    { "tcp-fin-missing", VERDICT, "FIN counts", make_fin_missing },
    { "tcp-rst-missing", VERDICT, "RST counts", make_rst_missing },
    { "tcp-urgent-differs", VERDICT, "URG counts", make_urgent_differs },
    { "tcp-syn-options-differ", VERDICT,
      "B5: options of SYNs are equal in set and value",
      make_syn_options_differ },
    { "tcp-timestamps-differ", CONV_EACH_STEP, NULL, make_timestamps_differ },
    { "tcp-ack-ahead", VERDICT, PROMISE, make_ack_ahead },
    { "tcp-ack-wraps", VERDICT, PROMISE, make_ack_wraps },
    { "tcp-window-ahead", VERDICT, PROMISE, make_window_ahead },
    { "tcp-pure-ack", VERDICT, "an ack that the secondary gave is its consent",
      make_pure_ack },
    { "tcp-pure-ack-ahead", VERDICT, PROMISE, make_pure_ack_ahead },
    { "tcp-padding", VERDICT, "lengths are IP's, padding is no payload",
      make_padding },
    { "tcp-v6", VERDICT, "IPv6 is compared", make_v6 },
    { "tcp-vlan", VERDICT, "frames with a VLAN tag are compared", make_vlan },
    { "tcp-storm", VERDICT, "one request until the checkpoint", make_storm },
    { NULL, CONV_EACH_STEP, NULL, NULL },
};
