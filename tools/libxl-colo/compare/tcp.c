/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tcp.c - Comparing TCP: the life of a connection, on both sides
 *
 * A SYN with a new number begins a new connection ("gen") on the same
 * addresses and ports. Each side counts its own; the comparison (@gen) follows
 * the primary's queue: it goes on to the next connection when its SYN is the
 * first frame there, so that older frames keep their place. What the
 * secondary says of a connection that is not reached yet waits in @later.
 *
 * tcp-match.c compares what the secondary sent, tcp-ack.c decides what a
 * released header may promise.
 */
#include <config.h>

#include "engine.h"

/* Where the stream octets of @g are, if it begins at @seq. */
void tcp_seg(struct seg *g, uint32_t seq)
{
    bool rst = g->pk.flags & PACKET_RST;

    g->a = seq + !!(g->pk.flags & PACKET_SYN);
    /* What a RST carries is not part of the stream. */
    g->b = g->a + (rst ? 0 : packet_payload_len(&g->pk));
}

/* Return: the scale of the window in @g, of either side; or SCALE_NONE */
uint8_t tcp_scale(const struct tcp *t, const struct seg *g)
{
    if (g->pk.flags & PACKET_SYN) return 0;
    return g->gen == t->p.gen ? t->scale : SCALE_NONE;
}

/*
 * A number that two SYNs share if they promise the same: the same options with
 * the same values in any order, timestamp values excepted (RULES B5).
 */
uint64_t tcp_syn_sig(const struct compare *c, const struct seg *g)
{
    const uint8_t *at = g->frame + g->pk.opts;
    const uint8_t *end = at + g->pk.opts_len;
    uint8_t fixed[6] = { g->pk.flags & (PACKET_SYN | PACKET_ACK | PACKET_ECE |
                                        PACKET_CWR) };
    uint64_t sum;

    if (g->pk.flags & PACKET_ACK) packet_put32(fixed + 2, g->pk.ack);
    sum = flow_mix(c, fixed, sizeof(fixed));
    while (at < end && *at != PACKET_OPT_END) {
        size_t n = 1;

        if (*at == PACKET_OPT_NOP) {
            at++;
            continue;
        }
        if (end - at > 1) n = at[1];
        /* Malformed: all that is left counts. */
        if (n < 2 || n > (size_t)(end - at)) n = (size_t)(end - at);
        sum += flow_mix(c, at, *at == PACKET_OPT_TS ? 2 : n);
        at += n;
    }
    return sum;
}

/* ---- The primary, as it arrives ----------------------------------------- */

static void tell_isn(struct compare *c, const struct flow *f,
                     const struct seg *g, const struct packet_tcp_opts *o)
{
    uint32_t at = (c->isn_head + c->isn_n) % ISN_EVENTS;

    if (c->mode != COMPARE_COLO || c->open || f->pass) return;
    if (c->isn_n == ISN_EVENTS) {
        /* Its connection will differ, which is safe; the newest may not. */
        c->isn_head = (c->isn_head + 1) % ISN_EVENTS;
        c->isn_n--;
        c->st.isn_lost++;
    }
    c->isn[at] = (struct compare_isn){ .key = f->key, .isn = g->pk.seq,
                                       .tsval = o->tsval,
                                       .has_ts = o->has_ts };
    c->isn_n++;
}

static void note_syn(struct compare *c, struct flow *f, const struct seg *g)
{
    struct tcp *t = &f->tcp;
    struct packet_tcp_opts o;

    packet_tcp_options(&o, &g->pk, g->frame);
    if (!t->p.has_isn || t->p.isn != g->pk.seq || t->p.closed) {
        t->p = (struct tcp_end){ .gen = (uint16_t)(t->p.gen + 1),
                                 .has_isn = true, .isn = g->pk.seq,
                                 .win = g->pk.win };
        t->scale = t->offered = SCALE_NONE;
        if (!o.has_wscale) t->scale = 0;
        else t->offered = o.wscale < WSCALE_MAX ? o.wscale : WSCALE_MAX;
        /* The guest answers an offer only with one of its own. */
        if (g->pk.flags & PACKET_ACK && o.has_wscale) t->scale = t->offered;
        tell_isn(c, f, g, &o);
    }
    t->p.sig = tcp_syn_sig(c, g);
}

static void note_end(struct tcp_end *e, const struct seg *g)
{
    bool fin = g->pk.flags & PACKET_FIN;
    uint32_t end = g->b + fin;

    if (!e->has_max || packet_after(end, e->max)) e->max = end;
    e->has_max = true;
    if (!fin) return;
    e->fin = g->b;
    e->has_fin = e->closed = true;
}

/* An urgent octet long before @at no longer counts; it would wrap around. */
static void forget_urg(struct tcp_end *e, uint32_t at)
{
    if (e->has_urg && packet_after(at, e->urg + TCP_TRUST))
        e->has_urg = false;
}

/* Remember what the primary said; in every mode. */
void tcp_note(struct compare *c, struct flow *f, struct slot *s)
{
    struct seg *g = &s->seg;
    struct tcp *t = &f->tcp;
    uint32_t edge;
    uint8_t scale;

    tcp_seg(g, g->pk.seq);
    if (g->pk.flags & PACKET_SYN) note_syn(c, f, g);
    g->gen = t->p.gen;
    if (g->pk.flags & PACKET_RST) {
        t->p.closed = true;
        return;
    }
    note_end(&t->p, g);
    forget_urg(&t->p, t->p.max);
    forget_urg(&t->s, t->p.max + t->delta);
    if (g->pk.flags & PACKET_URG) {
        t->p.urg = g->pk.seq + g->pk.urg;
        t->p.has_urg = true;
    }
    if (!(g->pk.flags & PACKET_ACK)) return;
    scale = tcp_scale(t, g);
    edge = g->pk.ack + ((uint32_t)g->pk.win << (scale & 15));
    g->dup = t->p.has_ack && t->p.ack == g->pk.ack &&
             (scale == SCALE_NONE ? t->p.win == g->pk.win
                                  : t->p.has_edge && t->p.edge == edge);
    ack_note(&t->p, g, scale);
}

/* ---- Epochs and connections --------------------------------------------- */

/* A cut: both sides are the primary as it is now (RULES A10, B4). */
void tcp_sync(struct flow *f)
{
    struct tcp *t = &f->tcp;

    if (t->gen != t->p.gen) t->has_out = t->has_nxt = false;
    t->gen = t->p.gen;
    t->s = t->p;
    t->delta = 0;
    t->syn_wait = false;
    t->syn_ok = t->p.has_isn;
    t->syn_sig = t->p.sig;
    t->fin_ok = t->p.has_fin;
    t->fin = t->p.fin;
    t->rst_ok = false;
    t->nranges = 0;
    t->has_base = t->p.has_max;
    t->ver = t->p.max;
    t->base = t->ver - TCP_TRUST;
}

/* Compare what the secondary said of the connection that is compared now. */
static void take(struct compare *c, struct flow *f, struct seg *g,
                 struct slot *s, uint64_t now)
{
    struct tcp *t = &f->tcp;
    struct ring *at;

    g->need = 0;
    if (g->pk.flags & PACKET_SYN) {
        if (t->syn_wait) g->need |= NEED_SYN;
        else t->syn_sig = tcp_syn_sig(c, g);
        if (!t->s.has_ack) t->s.win = g->pk.win;
    }
    if (g->a != g->b) g->need |= NEED_DATA;
    if (g->pk.flags & PACKET_FIN) g->need |= NEED_FIN;
    if (g->pk.flags & PACKET_RST) g->need |= NEED_RST;
    if (g->pk.flags & PACKET_URG) {
        t->s.urg = g->a - !!(g->pk.flags & PACKET_SYN) + g->pk.urg;
        t->s.has_urg = true;
    }
    if (g->pk.flags & PACKET_ACK) {
        ack_note(&t->s, g, tcp_scale(t, g));
        ack_try_owed(c, f, now);
    }
    if (tcp_try(c, f, g, now) || f->bad) {
        if (s) drop_secondary(c, s);
        return;
    }
    if (!s) s = take_secondary(c, g, f, now);
    if (!s) return;
    for (at = f->sq.prev; at != &f->sq; at = at->prev)
        if (!packet_after(ring_entry(at, struct slot, in_flow)->seg.a, g->a))
            break;
    ring_add(at->next, &s->in_flow);
}

/* The next connection of the primary has come to the head of its queue. */
void tcp_switch(struct compare *c, struct flow *f, uint16_t gen, uint64_t now)
{
    struct tcp *t = &f->tcp;

    ack_forget(c, f);
    while (!ring_empty(&f->sq))
        drop_secondary(c, ring_entry(f->sq.next, struct slot, in_flow));
    t->gen = gen;
    t->delta = 0;
    t->syn_wait = true;
    t->syn_ok = t->fin_ok = t->rst_ok = false;
    t->has_base = t->has_out = t->has_nxt = t->has_ts = false;
    t->nranges = t->s.nsack = 0;
    t->s.has_ack = t->s.has_edge = t->s.has_urg = false;
    while (!ring_empty(&f->later) && !f->bad) {
        struct slot *s = ring_entry(f->later.next, struct slot, in_flow);

        if ((int16_t)(s->seg.gen - gen) > 0) return;
        ring_del(&s->in_flow);
        if (s->seg.gen == gen) take(c, f, &s->seg, s, now);
        else drop_secondary(c, s);
    }
}

/* ---- Both sides, compared ----------------------------------------------- */

void tcp_primary(struct compare *c, struct flow *f, struct slot *s,
                 uint64_t now)
{
    const struct seg *g = &s->seg;
    struct tcp *t = &f->tcp;
    bool syn = g->pk.flags & PACKET_SYN, rst = g->pk.flags & PACKET_RST;

    if ((g->pk.opaque && !syn) || (rst && packet_payload_len(&g->pk))) {
        flow_bad(c, f, COMPARE_OPTIONS, now);
        return;
    }
    if (g->gen != t->gen) return;
    if (!t->has_base && !t->syn_wait && !rst) {
        t->has_base = true;
        t->base = t->ver = g->a;
    }
    if (!ring_empty(&f->sq)) tcp_match(c, f, now);
}

/*
 * A retransmission of octets that have left already does not wait behind what
 * has not: the secondary may be waiting for the client to acknowledge them
 * before it sends the rest. The client cannot tell it from a late original,
 * except by timestamps: see ack_raise_ts().
 */
void tcp_overtake(struct compare *c, struct flow *f, struct slot *s,
                  uint64_t now)
{
    const struct seg *g = &s->seg;
    const struct tcp *t = &f->tcp;
    bool fin = g->pk.flags & PACKET_FIN;

    if (s->flow != f || !covered(c) || f->bad || g->gen != t->gen ||
        t->syn_wait || g->a == g->b) return;
    if (g->pk.flags & (PACKET_SYN | PACKET_RST | PACKET_URG)) return;
    if (!t->has_nxt || t->out_gen != g->gen ||
        packet_after(g->b + fin, t->out_nxt)) return;
    if (!tcp_verified(t, g->a, g->b) || (fin && !t->fin_ok)) return;
    ack_note_ts(&f->tcp, g);
    ack_release(c, f, s, now);
}

/* @seq: the first sequence number of @g as the secondary's stack chose it. */
void tcp_secondary(struct compare *c, struct flow *f, struct seg *g,
                   uint32_t seq, uint64_t now)
{
    struct tcp *t = &f->tcp;
    struct slot *s;

    tcp_seg(g, seq);
    if (g->pk.flags & PACKET_SYN &&
        (!t->s.has_isn || t->s.isn != seq || t->s.closed)) {
        t->s.gen++;
        t->s.isn = seq;
        t->s.has_isn = true;
        t->s.closed = false;
    }
    if (g->pk.flags & (PACKET_FIN | PACKET_RST)) t->s.closed = true;
    g->gen = t->s.gen;
    if (g->gen == t->gen) {
        take(c, f, g, NULL, now);
    } else if ((int16_t)(g->gen - t->gen) > 0) {
        s = take_secondary(c, g, f, now);
        if (s) ring_add(&f->later, &s->in_flow);
    } else {
        /* Of a connection whose frames have all left. */
        c->st.ignored++;
    }
}

/* Did both sides point to the same urgent octet? */
static bool same_urg(struct compare *c, struct flow *f, const struct seg *g,
                     uint64_t now)
{
    const struct tcp *t = &f->tcp;
    uint32_t urg = t->s.urg - t->delta;

    if (g->pk.flags & PACKET_URG)
        return t->s.has_urg && urg == g->pk.seq + g->pk.urg;
    if (g->a == g->b || !t->s.has_urg || !packet_after(urg, g->a))
        return true;
    if (t->has_nxt && !packet_after(g->b, t->out_nxt)) return true;
    flow_bad(c, f, COMPARE_HEADER, now);
    return false;
}

/* Release @s, the head of @f's queue, if it may leave. Return: did it? */
bool tcp_release(struct compare *c, struct flow *f, struct slot *s,
                 uint64_t now)
{
    const struct seg *g = &s->seg;
    const struct tcp *t = &f->tcp;

    if (t->syn_wait) return false;
    if (g->pk.flags & PACKET_SYN &&
        (!t->syn_ok || tcp_syn_sig(c, g) != t->syn_sig)) return false;
    if (!tcp_verified(t, g->a, g->b)) return false;
    if (g->pk.flags & PACKET_FIN && !(t->fin_ok && t->fin == g->b))
        return false;
    if (g->pk.flags & PACKET_RST && !s->matched &&
        !(t->rst_ok && t->rst == g->a)) return false;
    if (!same_urg(c, f, g, now)) return false;
    return ack_release(c, f, s, now);
}
