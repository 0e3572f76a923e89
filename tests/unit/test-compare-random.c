/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-compare-random.c - The engine's promises over random interleavings
 *
 * A guest and its copy speak on several connections at once: random
 * segmentation, losses and retransmissions, acknowledgements and windows at
 * their own pace, cuts, commits and aborts in between, sometimes a copy that
 * differs. A model of what the copy has said and what was committed judges
 * each frame that leaves. Frames carry their number in the source MAC, which
 * does not count.
 *
 * COMPARE_SEED=N runs that round only; COMPARE_SECONDS=N runs for so long.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "compare-rig.h"
#include "tap.h"

#define FLOWS  6u
#define STEPS  500u
#define STREAM 120000u
#define FRAMES 8192u
#define SCALE  7u

/**
 * struct side - one of both guests, on one connection
 * @up: the connection exists (its SYN was sent)
 * @isn: first number
 * @sent: octets of the stream that were sent
 * @ack, @edge: of what the client sent
 * @fin: the end was sent
 */
struct side {
    bool up, fin;
    uint32_t isn, sent, ack, edge;
};

/**
 * struct flow - a connection, or a flow of datagrams
 * @udp: datagrams; @sent counts them
 * @p, @s: the guest and its copy
 * @in: octets that the client sent
 * @length: of the stream; FIN follows
 * @differs: the copy's stream differs from here on
 * @said: the copy said octet i, and it was right
 * @covered: a commit covers the stream up to here
 * @said_syn, @said_fin: the copy said them
 * @cov_syn, @cov_fin: a commit covers them
 * @s_ack, @s_edge: the copy's highest, as the engine may know
 * @out_ack, @out_edge: the highest released
 * @p_ack, @p_edge: the last that the guest sent
 * @last: number of the last released frame, retransmissions apart
 * @newest: highest number released
 * @nxt: end of the stream that was released
 */
struct flow {
    bool udp;
    uint16_t port;
    struct side p, s;
    uint32_t in, length, differs, covered;
    uint8_t said[STREAM + 1];
    bool said_syn, said_fin, cov_syn, cov_fin, acked;
    uint32_t s_ack, s_edge, out_ack, out_edge, p_ack, p_edge, last;
    uint32_t newest;
    uint32_t nxt;
};

/**
 * struct sent - a frame of the guest
 * @flow: whose
 * @epoch: cuts before it
 * @out: how often it was released
 * @pure: a pure acknowledgement
 * @a, @b: its part of the stream, or its number
 */
struct sent {
    struct flow *flow;
    unsigned int epoch, out;
    bool pure, syn, fin;
    uint32_t a, b;
};

static struct flow flows[FLOWS];
static struct sent sent[FRAMES];
static struct frame f;
static struct rig r;
static unsigned int nsent, committed, aborted;
static bool failed;
static uint64_t state;

static uint32_t rnd(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % n;
}

static void wrong(const char *what, uint32_t i)
{
    if (!failed)
        printf("# %s: frame %u, flow %ld\n", what, i,
               i < nsent ? (long)(sent[i].flow - flows) : -1L);
    failed = true;
}

static uint8_t octet(const struct flow *fl, uint32_t at, bool copy)
{
    uint32_t v = (at + 1) * 2654435761u + fl->port;

    return (uint8_t)((v >> 13) ^ (copy && at >= fl->differs ? 0x55 : 0));
}

static void mark(uint32_t number)
{
    packet_put32(f.b + 8, number);
}

/* ---- The model: may this frame leave? ----------------------------------- */

static void judge_promise(struct flow *fl, const struct got *g, uint32_t i,
                          bool by_commit)
{
    uint32_t shift = g->pk.flags & PACKET_SYN ? 0 : SCALE;
    uint32_t edge = g->pk.ack + ((uint32_t)g->pk.win << shift);

    if (!by_commit && (packet_after(g->pk.ack, fl->s_ack) ||
                       packet_after(edge, fl->s_edge)))
        wrong("promises more than the copy", i);
    /* What was overtaken may say less, as late frames do. */
    if (i >= fl->newest) {
        if (fl->acked && packet_after(fl->out_ack, g->pk.ack))
            wrong("acknowledgement moves left", i);
        /* It may only lose what the scale rounds off; a SYN has none. */
        if (fl->acked && shift &&
            packet_after(fl->out_edge, edge + (1u << SCALE) - 1))
            wrong("right edge moves left", i);
        fl->newest = i;
    }
    if (!fl->acked || packet_after(g->pk.ack, fl->out_ack))
        fl->out_ack = g->pk.ack;
    if (!fl->acked || packet_after(edge, fl->out_edge)) fl->out_edge = edge;
    fl->acked = true;
}

static void judge_content(const struct sent *s, uint32_t i)
{
    const struct flow *fl = s->flow;

    for (uint32_t at = s->a; at < s->b; at++)
        if (at >= fl->covered && !fl->said[at]) {
            wrong("octets that the copy did not say", i);
            return;
        }
    if (s->syn && !fl->said_syn && !fl->cov_syn) wrong("SYN alone", i);
    if (s->fin && !fl->said_fin && !fl->cov_fin) wrong("FIN alone", i);
}

static void judge(const struct got *g)
{
    uint32_t i = packet_get32(g->b + 8);
    struct sent *s = &sent[i];
    bool by_commit;

    if (i >= nsent || !s->flow) {
        wrong("unknown frame", i);
        return;
    }
    if (!frame_csum_ok(g->b, g->len, &g->vnet)) wrong("bad checksum", i);
    by_commit = s->epoch < committed;
    if (g->made) {
        if (packet_payload_len(&g->pk) || g->pk.flags != PACKET_ACK)
            wrong("made more than an acknowledgement", i);
        judge_promise(s->flow, g, i, false);
        return;
    }
    if (s->out++) wrong("released twice", i);
    /* A retransmission may overtake. */
    if (s->flow->udp || s->a == s->b || s->b > s->flow->nxt) {
        if (s->flow->last && i <= s->flow->last) wrong("out of order", i);
        s->flow->last = i;
        if (s->b > s->flow->nxt) s->flow->nxt = s->b;
    }
    if (!by_commit) {
        if (committed != r.epoch) wrong("overtook the commit", i);
        judge_content(s, i);
    }
    if (!s->flow->udp) judge_promise(s->flow, g, i, by_commit);
}

static void judge_all(void)
{
    for (size_t i = 0; i < r.n; i++)
        judge(&r.got[i]);
    rig_clear(&r);
}

/* ---- Both guests -------------------------------------------------------- */

static void build(struct flow *fl, const struct side *me, uint32_t a,
                  uint32_t b, uint8_t flags, bool copy)
{
    static const uint8_t opts[4] = { 1, 3, 3, SCALE };
    static uint8_t data[STREAM];
    bool syn = flags & PACKET_SYN;
    struct tcp_spec t = { .sport = fl->port, .seq = me->isn + 1 + a,
                          .ack = me->ack, .flags = flags, .data = data,
                          .len = b - a, .ip.id = (uint16_t)rnd(65536) };

    for (uint32_t at = a; at < b; at++)
        data[at - a] = octet(fl, at, copy);
    t.win = (uint16_t)((me->edge - me->ack) >> (syn ? 0 : SCALE));
    if (syn) {
        t.seq = me->isn;
        t.opts = opts;
        t.nopts = sizeof(opts);
        t.win = 500;
    }
    t.ip.partial = rnd(2);
    if (b - a > 1460) {
        t.ip.partial = true;
        t.ip.gso_size = 1460;
    }
    frame_tcp(&f, &t);
}

/* The guest's frame [a, b) goes to the engine. */
static void primary(struct flow *fl, uint32_t a, uint32_t b, uint8_t flags)
{
    struct sent *s;

    if (nsent == FRAMES) return;
    s = &sent[nsent];
    if (fl->udp) {
        struct udp_spec u = { .sport = fl->port, .data = &a, .len = sizeof(a),
                              .ip.pad = rnd(9) };

        frame_udp(&f, &u);
    } else {
        build(fl, &fl->p, a, b, flags, false);
        fl->p_ack = fl->p.ack;
        if (!(flags & PACKET_SYN)) fl->p_edge = fl->p.edge;
    }
    mark(nsent);
    *s = (struct sent){ .flow = fl, .epoch = (unsigned int)r.epoch, .a = a,
                        .b = b, .syn = flags & PACKET_SYN,
                        .fin = flags & PACKET_FIN };
    s->pure = !fl->udp && a == b && !s->syn && !s->fin;
    nsent++;
    rig_p(&r, &f);
    judge_all();
}

/* The copy's frame [a, b) goes to the engine, or is lost. */
static void secondary(struct flow *fl, uint32_t a, uint32_t b, uint8_t flags,
                      bool lost)
{
    struct side *me = &fl->s;

    if (lost) return;
    if (fl->udp) {
        uint32_t data = a >= fl->differs ? ~a : a;
        struct udp_spec u = { .sport = fl->port, .data = &data,
                              .len = sizeof(data) };

        frame_udp(&f, &u);
    } else {
        build(fl, me, a, b, flags, true);
    }
    for (uint32_t at = a; at < b; at++)
        fl->said[at] |= at < fl->differs;
    if (flags & PACKET_SYN) fl->said_syn = true;
    if (flags & PACKET_FIN && fl->differs >= fl->length) fl->said_fin = true;
    if (packet_after(me->ack, fl->s_ack)) fl->s_ack = me->ack;
    if (packet_after(me->edge, fl->s_edge)) fl->s_edge = me->edge;
    rig_s(&r, &f);
    judge_all();
}

/* The application reads, the stack acknowledges. */
static void receive(struct flow *fl, struct side *me)
{
    uint32_t have = 1 + fl->in - me->ack, edge;

    me->ack += rnd(4) ? rnd(have + 1) : have;
    edge = me->ack + (((me->edge - me->ack + 127) >> SCALE) << SCALE);
    if (me->edge - me->ack > 4000000) edge = me->ack;
    edge += rnd(3) ? 0 : rnd(50) << SCALE;
    if (packet_after(me->edge, edge)) edge += 1u << SCALE;
    if (edge - me->ack < 60000u << SCALE) me->edge = edge;
    else me->edge = me->ack + ((me->edge - me->ack) >> SCALE << SCALE);
}

static void say(struct flow *fl, struct side *me, uint32_t a, uint32_t b,
                uint8_t flags, bool lost)
{
    if (me == &fl->p) primary(fl, a, b, flags);
    else secondary(fl, a, b, flags, lost);
}

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* One side does something on one connection. */
static void act(struct flow *fl, struct side *me)
{
    uint32_t most = rnd(20) ? 1460 : 20000, a, n;
    bool lost = !rnd(12);

    if (fl->udp) {
        /* The copy's may not get lost: they are counted. */
        if (me->sent < 1000) {
            say(fl, me, me->sent, me->sent + 1, 0, false);
            me->sent++;
        }
        return;
    }
    if (!me->up || !rnd(40)) {
        if (!me->up || !me->sent)
            say(fl, me, 0, 0, PACKET_SYN | PACKET_ACK, false);
        me->up = true;
        return;
    }
    if (!rnd(3)) fl->in += rnd(5000);
    receive(fl, me);
    switch (rnd(6)) {
    case 0:
        say(fl, me, me->sent + me->fin, me->sent + me->fin, PACKET_ACK, lost);
        break;
    case 1: /* again, with other borders */
        if (!me->sent) break;
        a = me->sent - rnd(min32(me->sent, 6000)) - 1;
        n = min32(me->sent - a, 1 + rnd(most));
        say(fl, me, a, a + n,
            PACKET_ACK | (me->fin && a + n == me->sent ? PACKET_FIN : 0),
            lost);
        break;
    default:
        n = min32(fl->length - me->sent, 1 + rnd(most));
        if (me->fin) break;
        a = me->sent;
        me->sent += n;
        me->fin = me->sent == fl->length;
        say(fl, me, a, a + n,
            PACKET_ACK | (me->fin ? PACKET_FIN : 0), lost);
        break;
    }
}

/* The copy says all that the guest has said, from its last cut on. */
static void catch_up(struct flow *fl)
{
    struct side *me = &fl->s;

    if (fl->udp) {
        while (me->sent < fl->p.sent)
            act(fl, me);
        return;
    }
    if (!fl->p.up) return;
    if (!me->up) {
        secondary(fl, 0, 0, PACKET_SYN | PACKET_ACK, false);
        me->up = true;
    }
    me->ack = fl->p.ack;
    me->edge = fl->p.edge;
    me->sent = fl->p.sent;
    me->fin = fl->p.fin;
    for (uint32_t a = 0; a < me->sent; a += 20000)
        secondary(fl, a, min32(a + 20000, me->sent), PACKET_ACK, false);
    secondary(fl, me->sent, me->sent,
              PACKET_ACK | (me->fin ? PACKET_FIN : 0), false);
}

/* ---- Epochs ------------------------------------------------------------- */

/* What each cut took a picture of, until its commit. */
static struct picture {
    uint32_t sent, ack, edge;
    bool syn, fin;
} pictures[64][FLOWS];

static void cut(void)
{
    rig_cut(&r);
    judge_all();
    for (unsigned int i = 0; i < FLOWS; i++) {
        struct flow *fl = &flows[i];

        fl->s = fl->p;
        pictures[r.epoch % 64][i] = (struct picture){
            .sent = fl->p.sent, .ack = fl->p.ack, .edge = fl->p.edge,
            .syn = fl->p.up, .fin = fl->p.fin };
    }
}

static void commit(void)
{
    committed = (unsigned int)r.epoch;
    for (unsigned int i = 0; i < FLOWS; i++) {
        struct picture *pic = &pictures[r.epoch % 64][i];
        struct flow *fl = &flows[i];

        fl->covered = pic->sent;
        fl->cov_syn = pic->syn;
        fl->cov_fin = pic->fin;
        /* A copy that differs says what the guest said, up to here. */
        if (fl->differs < pic->sent) fl->differs = pic->sent + rnd(30000);
        fl->s_ack = pic->ack;
        fl->s_edge = pic->edge;
        /* A copy of the new epoch may have said more already. */
        if (packet_after(fl->s.ack, fl->s_ack)) fl->s_ack = fl->s.ack;
        if (packet_after(fl->s.edge, fl->s_edge)) fl->s_edge = fl->s.edge;
    }
    rig_commit(&r);
    judge_all();
}

static void epoch_step(void)
{
    bool open = committed != r.epoch;

    if (open && !aborted && !rnd(4)) {
        commit();
    } else if (open && !rnd(20)) {
        compare_abort(r.c, r.epoch, r.now);
        aborted = 1;
    } else if (!rnd(30) || (aborted && !rnd(3))) {
        cut();
        aborted = 0;
    }
}

/* ---- A round ------------------------------------------------------------ */

static void start(bool differ)
{
    struct compare_opts o = COMPARE_OPTS_INIT;

    o.flows = 64;
    rig_start(&r, &o);
    nsent = 0;
    committed = aborted = 0;
    for (unsigned int i = 0; i < FLOWS; i++) {
        struct flow *fl = &flows[i];

        memset(fl, 0, sizeof(*fl));
        fl->udp = i >= FLOWS - 2;
        fl->port = (uint16_t)(100 + i);
        fl->length = 1 + rnd(STREAM);
        fl->differs = differ && rnd(2) ? rnd(fl->udp ? 60 : fl->length)
                                       : UINT32_MAX;
        /* Some wrap around; some of the copy's have other numbers. */
        fl->p.isn = rnd(2) ? UINT32_MAX - rnd(3000) : rnd(UINT32_MAX);
        fl->s.isn = rnd(2) ? fl->p.isn : rnd(UINT32_MAX);
        fl->p.ack = fl->s.ack = 1;
        fl->p.edge = fl->s.edge = 1 + (1000u << SCALE);
    }
}

static void check_nothing_lost(void)
{
    uint64_t missing = 0;

    for (uint32_t i = 0; i < nsent; i++) {
        if (sent[i].out) continue;
        /* A later one says more. */
        if (!sent[i].pure) wrong("lost", i);
        missing++;
    }
    if (rig_stats(&r).held) wrong("held for ever", 0);
    if (missing < rig_stats(&r).superseded) wrong("bad count", 0);
}

/* Without differences the copy settles everything by itself. */
static void check_settled(void)
{
    if (committed != r.epoch) {
        if (aborted) cut();
        aborted = 0;
        commit();
    }
    for (unsigned int i = 0; i < FLOWS; i++)
        catch_up(&flows[i]);
    if (rig_stats(&r).held) wrong("the copy said it all, still held", 0);
    if (rig_wants(&r) != COMPARE_OK) wrong("a needless checkpoint", 0);
    for (unsigned int i = 0; i < FLOWS - 2; i++)
        if (flows[i].p.up && flows[i].acked &&
            (flows[i].out_ack != flows[i].p_ack ||
             (flows[i].p_edge && packet_after(flows[i].p_edge,
                                              flows[i].out_edge + 127))))
            wrong("an acknowledgement is owed for ever", i);
}

static bool round_of(uint64_t seed)
{
    bool differ = seed % 3 == 0;

    state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < 8; i++)
        rnd(2);
    failed = false;
    start(differ);
    for (unsigned int i = 0; i < STEPS && !failed; i++) {
        struct flow *fl = &flows[rnd(FLOWS)];

        r.now += rnd(1000);
        /* Until the epoch is whole the copy does not run. */
        if (rnd(2) || committed != r.epoch) act(fl, &fl->p);
        else act(fl, &fl->s);
        epoch_step();
    }
    if (!differ && !failed) check_settled();
    cut();
    commit();
    check_nothing_lost();
    rig_stop(&r);
    if (failed) printf("# COMPARE_SEED=%llu\n", (unsigned long long)seed);
    return !failed;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);

    return v ? strtoull(v, NULL, 10) : otherwise;
}

int main(void)
{
    uint64_t only = number("COMPARE_SEED", 0), t0 = clock_us();
    uint64_t seed = t0 % 1000000000 + 1, rounds = 0;
    uint64_t limit = number("COMPARE_SECONDS", 4) * 1000000;
    bool right = true;

    if (only) {
        ok(round_of(only), "seed %llu", (unsigned long long)only);
        return done_testing();
    }
    printf("# first seed %llu\n", (unsigned long long)seed);
    while (right && (rounds < 3 || clock_us() - t0 < limit)) {
        right = round_of(seed++);
        rounds++;
    }
    printf("# %llu rounds\n", (unsigned long long)rounds);
    ok(right, "rule_A4, rule_A10, rule_B5: nothing leaves that the copy did "
              "not say or a commit cover, in order, and nothing is lost");
    return done_testing();
}
