/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tcp-ack.c - Comparing TCP: what a released header promises (RULES B5)
 *
 * If the primary dies, the secondary has to keep what released headers said:
 * an acknowledged octet is never sent again, an offered window may be filled.
 * So a frame leaves with the lower acknowledgement and right edge of both
 * sides. What it would have said more is owed: a model of it is kept, and once
 * the secondary catches up a pure acknowledgement goes out by itself.
 *
 * Without a known window scale right edges can't be compared. Then a frame
 * waits until the secondary has acknowledged as much, and leaves with the
 * smaller window field: right for every scale.
 */
#include <config.h>

#include <string.h>

#include "engine.h"

/* A window that lets the client go on: two segments or more. */
#define WINDOW_FEW 4096u
#define WINDOW_RAW 32u /* the same, at the scale that most have */

enum gate {
    GATE_WAIT,
    GATE_PASS,
    GATE_LOWER,
};

/* Read the SACK blocks of @g. Return: false if there can be none */
static bool sack_of(struct packet_tcp_opts *o, const struct packet *pk,
                    const uint8_t *frame)
{
    const uint8_t *opts = frame + pk->opts;

    if (pk->opts_len < 10) return false;
    /* The usual: two NOPs and a timestamp. */
    if (pk->opts_len == 12 && opts[0] == PACKET_OPT_NOP &&
        opts[1] == PACKET_OPT_NOP && opts[2] == PACKET_OPT_TS) return false;
    return packet_tcp_options(o, pk, frame) && o->nsack;
}

/* Remember what one side acknowledged and offered. */
void ack_note(struct tcp_end *e, const struct seg *g, uint8_t scale)
{
    struct packet_tcp_opts o;
    uint32_t edge;

    if (!e->has_ack || !packet_after(e->ack, g->pk.ack)) {
        e->ack = g->pk.ack;
        e->win = g->pk.win;
        e->has_ack = true;
        e->nsack = 0;
        if (sack_of(&o, &g->pk, g->frame)) {
            e->nsack = o.nsack;
            memcpy(e->sack, o.sack, sizeof(e->sack));
        }
    }
    if (scale == SCALE_NONE) return;
    edge = g->pk.ack + ((uint32_t)g->pk.win << scale);
    if (!e->has_edge || packet_after(edge, e->edge)) e->edge = edge;
    e->has_edge = true;
}

/* A retransmission overtakes: what it overtook must not look older. */
void ack_note_ts(struct tcp *t, const struct seg *g)
{
    struct packet_tcp_opts o;

    if (!packet_tcp_options(&o, &g->pk, g->frame) || !o.has_ts) return;
    if (!t->has_ts || packet_after(o.tsval, t->out_ts)) t->out_ts = o.tsval;
    t->has_ts = true;
}

/*
 * The client drops segments with a timestamp older than the last it saw. Give
 * @s that of the retransmission that overtook it; what came later has its own.
 */
static void raise_ts(struct tcp *t, struct slot *s)
{
    struct packet_tcp_opts o;

    if (!packet_tcp_options(&o, &s->seg.pk, s->buf) || !o.has_ts) return;
    /* Younger than it: all that was overtaken has left. */
    if (packet_after(o.tsval, t->out_ts)) t->has_ts = false;
    if (!packet_after(t->out_ts, o.tsval)) return;
    packet_store32(&s->seg.pk, s->buf, o.ts_off + 2u, t->out_ts);
}

/* How far @to is beyond @from; what is older was told before. */
static uint32_t beyond(bool has, uint32_t from, uint32_t to)
{
    return has && packet_after(to, from) ? to - from : 0;
}

/* Remember what a frame that leaves says. */
void ack_released(struct compare *c, struct flow *f, struct slot *s)
{
    const struct seg *g = &s->seg;
    struct tcp *t = &f->tcp;
    uint8_t scale = tcp_scale(t, g);
    uint32_t end = g->b + !!(g->pk.flags & PACKET_FIN);
    uint32_t edge = g->pk.ack +
                    ((uint32_t)g->pk.win << (scale == SCALE_NONE ? 0 : scale));

    if (g->pk.flags & PACKET_RST) return;
    if (g->gen != t->out_gen) t->has_out = t->has_nxt = t->has_ts = false;
    if (t->has_ts) raise_ts(t, s);
    t->out_gen = g->gen;
    c->st.said += beyond(t->has_nxt, t->out_nxt, end);
    if (!t->has_nxt || packet_after(end, t->out_nxt)) t->out_nxt = end;
    t->has_nxt = true;
    if (!(g->pk.flags & PACKET_ACK)) return;
    c->st.acked += beyond(t->has_out, t->out_ack, g->pk.ack);
    if (!t->has_out || !packet_after(t->out_ack, g->pk.ack)) {
        t->out_ack = g->pk.ack;
        t->out_win = g->pk.win;
    }
    if (!t->has_out || packet_after(edge, t->out_edge)) t->out_edge = edge;
    t->has_out = true;
}

/* A commit lets @s go as it is: what was owed before it is said by it. */
void ack_committed(struct compare *c, struct flow *f, struct slot *s)
{
    ack_released(c, f, s);
    if (f->owed && s->seg.pk.flags & PACKET_ACK &&
        f->owed->arrival < s->arrival) ack_forget(c, f);
}

/* What may @g say? @ack and @win are set unless it must wait. */
static enum gate gate(const struct tcp *t, const struct seg *g, uint32_t *ack,
                      uint16_t *win)
{
    uint8_t scale = tcp_scale(t, g);
    uint32_t edge, room;
    bool ahead;

    *ack = g->pk.ack;
    *win = g->pk.win;
    if (!(g->pk.flags & PACKET_ACK)) {
        if (!(g->pk.flags & PACKET_SYN) || *win <= t->s.win) return GATE_PASS;
        *win = t->s.win;
        return GATE_LOWER;
    }
    if (!t->s.has_ack) return GATE_WAIT;
    ahead = packet_after(g->pk.ack, t->s.ack);
    if (g->pk.flags & PACKET_RST) return ahead ? GATE_WAIT : GATE_PASS;
    if (scale == SCALE_NONE) {
        if (ahead) return GATE_WAIT;
        if (g->pk.win <= t->s.win) return GATE_PASS;
        *win = t->s.win;
        return GATE_LOWER;
    }
    if (!t->s.has_edge) return GATE_WAIT;
    edge = g->pk.ack + ((uint32_t)g->pk.win << scale);
    if (!ahead && !packet_after(edge, t->s.edge)) return GATE_PASS;
    if (ahead) *ack = t->s.ack;
    if (packet_after(edge, t->s.edge)) edge = t->s.edge;
    room = packet_after(edge, *ack) ? (edge - *ack) >> scale : 0;
    *win = room < UINT16_MAX ? (uint16_t)room : UINT16_MAX;
    return GATE_LOWER;
}

/* Would this tell the client anything that it does not know? */
static bool news(const struct tcp *t, const struct seg *g, uint32_t ack,
                 uint16_t win)
{
    uint8_t scale = tcp_scale(t, g);

    if (!t->has_out || packet_after(ack, t->out_ack)) return true;
    if (scale == SCALE_NONE)
        return ack == t->out_ack && win > t->out_win;
    return packet_after(ack + ((uint32_t)win << scale), t->out_edge);
}

static bool sack_covered(const struct tcp *t, const uint32_t block[2])
{
    if (!t->s.has_ack) return false;
    if (!packet_after(block[1], t->s.ack)) return true;
    for (unsigned int i = 0; i < t->s.nsack; i++)
        if (!packet_after(t->s.sack[i][0], block[0]) &&
            !packet_after(block[1], t->s.sack[i][1])) return true;
    return false;
}

/* Take out SACK blocks that the secondary does not have. */
static void trim_sack(struct compare *c, const struct tcp *t,
                      const struct packet *pk, uint8_t *frame)
{
    struct packet_tcp_opts o;
    uint8_t opt[2 + 8 * TCP_SACKS];
    unsigned int kept = 0;

    if (!(pk->flags & PACKET_ACK) || !sack_of(&o, pk, frame)) return;
    memset(opt, PACKET_OPT_NOP, sizeof(opt));
    for (unsigned int i = 0; i < o.nsack; i++) {
        if (!sack_covered(t, o.sack[i])) continue;
        packet_put32(opt + 2 + 8 * kept, o.sack[i][0]);
        packet_put32(opt + 6 + 8 * kept, o.sack[i][1]);
        kept++;
    }
    if (kept == o.nsack) return;
    if (kept) {
        opt[0] = PACKET_OPT_SACK;
        opt[1] = (uint8_t)(2 + 8 * kept);
    }
    packet_store(pk, frame, o.sack_off, opt, 2u + 8u * o.nsack);
    c->st.sacks += o.nsack - kept;
}

/* ---- What is owed ------------------------------------------------------- */

static void drop_model(struct compare *c, struct flow *f)
{
    if (!f->owed) return;
    if (!f->owed->pub.made) c->st.superseded++;
    pool_put(&c->pool, f->owed);
    f->owed = NULL;
}

/* Nothing is owed any more. */
void ack_forget(struct compare *c, struct flow *f)
{
    drop_model(c, f);
    ring_del(&f->in_owed);
}

static void owe(struct compare *c, struct flow *f, struct slot *model,
                uint64_t now)
{
    /* A retransmission that has overtaken @model said more. */
    if (f->owed && f->owed->arrival > model->arrival) {
        if (!model->pub.made) c->st.superseded++;
        pool_put(&c->pool, model);
        return;
    }
    drop_model(c, f);
    f->owed = model;
    model->flow = f;
    if (!ring_empty(&f->in_owed)) return;
    f->owed_since = now;
    ring_add(&c->owed, &f->in_owed);
}

/* The secondary made some way: it is not late yet. */
static void owe_since(struct compare *c, struct flow *f, uint64_t now)
{
    if (ring_empty(&f->in_owed)) return;
    ring_del(&f->in_owed);
    f->owed_since = now;
    ring_add(&c->owed, &f->in_owed);
}

/* A copy of the headers of @s. Return: NULL if there is no room */
static struct slot *copy_headers(struct compare *c, const struct slot *s)
{
    uint32_t len = s->seg.pk.payload;
    struct slot *n = NULL;

    if (len <= SLOT_SMALL && c->pool.nfree[0] > c->pool.n[0] / 8)
        n = pool_get(&c->pool, false);
    if (!n) return NULL;
    memcpy(n->buf, s->buf, len);
    n->seg = s->seg;
    n->seg.frame = n->buf;
    n->seg.pk.end = len;
    n->pub.len = len;
    n->pub.made = true;
    n->arrival = s->arrival;
    c->pool.bytes += len;
    return n;
}

/* A pure acknowledgement takes the place of the frame in @s, and leaves. */
static void emit(struct compare *c, struct flow *f, struct slot *s,
                 uint32_t ack, uint16_t win)
{
    struct packet *pk = &s->seg.pk;
    struct tcp *t = &f->tcp;
    uint8_t *ip = s->buf + pk->l3, *tcp = s->buf + pk->l4;

    c->pool.bytes -= s->pub.len - pk->payload;
    s->pub.len = pk->end = pk->payload;
    s->pub.vnet = (struct packet_vnet){ 0 };
    s->pub.made = true;
    pk->partial = pk->gso = false;
    pk->flags = PACKET_ACK | (pk->flags & PACKET_ECE);
    pk->ack = ack;
    pk->win = win;
    if (t->has_nxt) pk->seq = t->out_nxt;
    s->seg.a = s->seg.b = pk->seq;
    packet_put32(tcp + 4, pk->seq);
    packet_put32(tcp + 8, ack);
    tcp[13] = pk->flags;
    packet_put16(tcp + 14, win);
    packet_put16(tcp + 18, 0);
    trim_sack(c, t, pk, s->buf);
    packet_put16(tcp + 16, packet_l4_csum(pk, s->buf));
    if (pk->family == 4) {
        packet_put16(ip + 2, (uint16_t)(pk->end - pk->l3));
        packet_put16(ip + 10, 0);
        packet_put16(ip + 10,
                     (uint16_t)~packet_sum(0, ip, (ip[0] & 15u) * 4));
    } else {
        packet_put16(ip + 4, (uint16_t)(pk->end - pk->l3 - 40));
    }
    ack_released(c, f, s);
    s->flow = NULL;
    ring_add(&c->out, &s->in_all);
    c->nout++;
    c->st.made++;
}

/* Send as much of what is owed as the secondary allows by now. */
void ack_try_owed(struct compare *c, struct flow *f, uint64_t now)
{
    struct slot *s = f->owed;
    enum gate g;
    uint32_t ack;
    uint16_t win;

    if (!s || f->bad || !covered(c) || c->mode != COMPARE_COLO) return;
    /* What a commit released in between has said more. */
    if (f->tcp.has_out && packet_after(f->tcp.out_ack, s->seg.pk.ack)) {
        ack_forget(c, f);
        return;
    }
    g = gate(&f->tcp, &s->seg, &ack, &win);
    if (g == GATE_WAIT) return;
    if (!news(&f->tcp, &s->seg, ack, win)) {
        if (g == GATE_PASS) ack_forget(c, f);
        return;
    }
    if (g == GATE_PASS) {
        f->owed = NULL;
        ring_del(&f->in_owed);
    } else {
        s = copy_headers(c, s);
        if (!s) return;
        owe_since(c, f, now);
    }
    emit(c, f, s, ack, win);
}

/* The primary's word alone counts now (a commit, or no peer): say it all. */
void ack_settle(struct compare *c, struct flow *f)
{
    struct slot *s = f->owed;
    const struct tcp *t = &f->tcp;

    if ((t->has_out && packet_after(t->out_ack, s->seg.pk.ack)) ||
        !news(t, &s->seg, s->seg.pk.ack, s->seg.pk.win)) {
        ack_forget(c, f);
        return;
    }
    f->owed = NULL;
    ring_del(&f->in_owed);
    emit(c, f, s, s->seg.pk.ack, s->seg.pk.win);
}

/*
 * Does the client need what @f owes? Not if it is only a wider window: stacks
 * size them by their own clock. Unless it can hardly send anything.
 */
static bool is_needed(const struct flow *f)
{
    const struct seg *g = &f->owed->seg;
    const struct tcp *t = &f->tcp;

    if (!t->has_out || packet_after(g->pk.ack, t->out_ack)) return true;
    if (tcp_scale(t, g) == SCALE_NONE) return t->out_win < WINDOW_RAW;
    return !packet_after(t->out_edge, t->out_ack + WINDOW_FEW);
}

/* What @f owes is over the limit. */
void ack_late(struct compare *c, struct flow *f, uint64_t now)
{
    if (is_needed(f))
        want(c, c->connected ? COMPARE_ACK : COMPARE_UNPLUGGED, f, now);
    else if (c->o.late_ns && pool_room(&c->pool, true))
        owe_since(c, f, now);
    else ack_forget(c, f);
}

/* ---- Release ------------------------------------------------------------ */

static bool is_pure_ack(const struct seg *g)
{
    return g->a == g->b && !(g->pk.flags & (PACKET_SYN | PACKET_FIN |
                                            PACKET_RST | PACKET_URG));
}

/* @s says nothing that may be said now: it becomes the model itself. */
static void absorb(struct compare *c, struct flow *f, struct slot *s,
                   uint64_t now)
{
    leave(f, s);
    c->st.held--;
    c->st.held_bytes -= s->pub.len;
    owe(c, f, s, now);
}

/* Lower what @s promises. Return: false if it has to wait for room */
static bool lower(struct compare *c, struct flow *f, struct slot *s,
                  uint32_t ack, uint16_t win, uint64_t now)
{
    struct packet *pk = &s->seg.pk;
    bool more = news(&f->tcp, &s->seg, ack, win);

    if (!(pk->flags & PACKET_SYN)) {
        struct slot *model = copy_headers(c, s);

        if (!model) return false;
        owe(c, f, model, now);
        if (more) owe_since(c, f, now);
    }
    packet_store32(pk, s->buf, pk->l4 + 8u, ack);
    packet_store16(pk, s->buf, pk->l4 + 14u, win);
    pk->ack = ack;
    pk->win = win;
    c->st.lowered++;
    return true;
}

/* All else of @s may leave. Return: did it, or was it absorbed? */
bool ack_release(struct compare *c, struct flow *f, struct slot *s,
                 uint64_t now)
{
    struct tcp *t = &f->tcp;
    uint32_t ack;
    uint16_t win;

    switch (gate(t, &s->seg, &ack, &win)) {
    case GATE_WAIT:
        return false;
    case GATE_PASS:
        /* It says itself what was owed, unless it was overtaken. */
        if (f->owed && s->seg.pk.flags & PACKET_ACK &&
            f->owed->arrival < s->arrival) ack_forget(c, f);
        break;
    case GATE_LOWER:
        if (is_pure_ack(&s->seg) && !news(t, &s->seg, ack, win) &&
            !(s->seg.dup && ack == s->seg.pk.ack)) {
            absorb(c, f, s, now);
            return true;
        }
        if (!lower(c, f, s, ack, win, now)) return false;
        break;
    }
    trim_sack(c, t, &s->seg.pk, s->buf);
    ack_released(c, f, s);
    c->st.compared++;
    release(c, s);
    return true;
}
