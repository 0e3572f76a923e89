/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tcp-match.c - Comparing TCP: octets by their position in the stream
 *
 * An octet is verified once the secondary sent the same one at the same
 * position; which positions are is kept as one piece, [base, ver), and a few
 * others. A frame of the primary may leave if all its positions are verified:
 * a retransmission needs no second word of the secondary, because TCP never
 * changes what it has sent.
 */
#include <config.h>

#include <string.h>

#include "engine.h"

/* Is [a, b) within [lo, hi)? */
static bool within(uint32_t a, uint32_t b, uint32_t lo, uint32_t hi)
{
    return !packet_after(lo, a) && !packet_after(b, hi);
}

static bool touch(uint32_t a, uint32_t b, uint32_t lo, uint32_t hi)
{
    return !packet_after(a, hi) && !packet_after(lo, b);
}

static uint32_t lower(uint32_t a, uint32_t b)
{
    return packet_after(a, b) ? b : a;
}

static uint32_t higher(uint32_t a, uint32_t b)
{
    return packet_after(a, b) ? a : b;
}

bool tcp_verified(const struct tcp *t, uint32_t a, uint32_t b)
{
    if (a == b) return true;
    if (!t->has_base) return false;
    if (within(a, b, t->base, t->ver)) return true;
    for (unsigned int i = 0; i < t->nranges; i++)
        if (within(a, b, t->range[i][0], t->range[i][1])) return true;
    return false;
}

static void drop_range(struct tcp *t, unsigned int i)
{
    t->nranges--;
    memcpy(t->range[i], t->range[t->nranges], sizeof(t->range[i]));
}

/* [a, b) is verified. Without room for one more hole it is not remembered. */
static void add(struct tcp *t, uint32_t a, uint32_t b)
{
    unsigned int i = 0;

    while (i < t->nranges) {
        if (!touch(a, b, t->range[i][0], t->range[i][1])) {
            i++;
            continue;
        }
        a = lower(a, t->range[i][0]);
        b = higher(b, t->range[i][1]);
        drop_range(t, i);
        i = 0;
    }
    if (touch(a, b, t->base, t->ver)) {
        t->base = lower(t->base, a);
        t->ver = higher(t->ver, b);
        if (t->ver - t->base > TCP_TRUST) t->base = t->ver - TCP_TRUST;
    } else if (t->nranges < TCP_RANGES) {
        t->range[t->nranges][0] = a;
        t->range[t->nranges][1] = b;
        t->nranges++;
    }
}

/* The next frame of the connection that is compared; @s NULL: the first */
static struct slot *next_primary(const struct flow *f, const struct slot *s)
{
    const struct ring *at;
    struct slot *n = f->cmp;

    if (s) {
        at = s->in_flow.next;
        n = at == &f->pq ? NULL : ring_entry(at, struct slot, in_flow);
    }
    return n && n->seg.gen == f->tcp.gen ? n : NULL;
}

/* The primary's first frame with octets to verify; what is stays so. */
static struct slot *first_data(struct flow *f)
{
    struct slot *s = f->data;

    while (s && s->seg.gen == f->tcp.gen &&
           tcp_verified(&f->tcp, s->seg.a, s->seg.b)) {
        struct ring *next = s->in_flow.next;

        s = next == &f->pq ? NULL : ring_entry(next, struct slot, in_flow);
    }
    f->data = s;
    return s && s->seg.gen == f->tcp.gen ? s : NULL;
}

/* The primary's first frame with @flag. */
static struct slot *find_primary(const struct flow *f, uint8_t flag)
{
    struct slot *s = next_primary(f, NULL);

    while (s && !(s->seg.pk.flags & flag))
        s = next_primary(f, s);
    return s;
}

static void try_syn(struct compare *c, struct flow *f, struct seg *g,
                    uint64_t now)
{
    const struct slot *s = find_primary(f, PACKET_SYN);
    struct tcp *t = &f->tcp;

    if (!s) return;
    if ((s->seg.pk.flags ^ g->pk.flags) & PACKET_ACK ||
        (g->pk.flags & PACKET_ACK && s->seg.pk.ack != g->pk.ack)) {
        flow_bad(c, f, COMPARE_HEADER, now);
        return;
    }
    t->syn_sig = tcp_syn_sig(c, g);
    if (tcp_syn_sig(c, &s->seg) != t->syn_sig) {
        flow_bad(c, f, COMPARE_OPTIONS, now);
        return;
    }
    t->delta = g->a - s->seg.a;
    t->ver = s->seg.a;
    t->base = s->seg.a - 1;
    t->has_base = t->syn_ok = true;
    t->syn_wait = false;
    g->need &= (uint8_t)~NEED_SYN;
}

/* Compare [lo, hi) of both. */
static bool same(const struct seg *p, const struct seg *s, uint32_t delta,
                 uint32_t lo, uint32_t hi)
{
    return !memcmp(p->frame + p->pk.payload + (lo - p->a),
                   s->frame + s->pk.payload + (lo - (s->a - delta)), hi - lo);
}

static void try_data(struct compare *c, struct flow *f, struct seg *g,
                     uint64_t now)
{
    struct tcp *t = &f->tcp;
    uint32_t a = g->a - t->delta, b = g->b - t->delta;
    const struct slot *s;

    if (!t->has_base) return;
    if (t->fin_ok && packet_after(b, t->fin)) {
        flow_bad(c, f, COMPARE_PAYLOAD, now);
        return;
    }
    /* What was sent before we knew the connection is of no use. */
    if (packet_after(t->base, a)) a = lower(t->base, b);
    for (s = first_data(f); s && !tcp_verified(t, a, b);
         s = next_primary(f, s)) {
        uint32_t lo = higher(a, s->seg.a), hi = lower(b, s->seg.b);

        if (!packet_after(hi, lo)) continue;
        if (!same(&s->seg, g, t->delta, lo, hi)) {
            flow_bad(c, f, COMPARE_PAYLOAD, now);
            return;
        }
        add(t, lo, hi);
    }
    if (tcp_verified(t, a, b)) g->need &= (uint8_t)~NEED_DATA;
}

static void try_fin(struct compare *c, struct flow *f, struct seg *g,
                    uint64_t now)
{
    struct tcp *t = &f->tcp;
    uint32_t at = g->b - t->delta;
    const struct slot *s = NULL;

    if (!t->fin_ok) s = find_primary(f, PACKET_FIN);
    if (s) {
        t->fin_ok = s->seg.b == at;
        t->fin = at;
    } else if (!t->fin_ok) {
        /* Not there yet, unless it sent something else at this place. */
        if (t->gen != t->p.gen || !t->p.has_max ||
            !packet_after(t->p.max, at)) return;
    }
    if (!t->fin_ok || t->fin != at) flow_bad(c, f, COMPARE_HEADER, now);
    else g->need &= (uint8_t)~NEED_FIN;
}

static void try_rst(struct flow *f, struct seg *g)
{
    struct tcp *t = &f->tcp;
    uint32_t at = g->a - t->delta;
    struct slot *s;

    for (s = next_primary(f, NULL); s; s = next_primary(f, s)) {
        if (!(s->seg.pk.flags & PACKET_RST) || s->matched) continue;
        if (s->seg.a != at ||
            (s->seg.pk.flags ^ g->pk.flags) & PACKET_ACK) continue;
        s->matched = t->rst_ok = true;
        t->rst = at;
        g->need &= (uint8_t)~NEED_RST;
        return;
    }
    if (t->rst_ok && t->rst == at) g->need &= (uint8_t)~NEED_RST;
}

/* Compare what @g still needs. Return: true if nothing is left */
bool tcp_try(struct compare *c, struct flow *f, struct seg *g, uint64_t now)
{
    if (g->need & NEED_SYN) try_syn(c, f, g, now);
    if (f->tcp.syn_wait || f->bad) return !g->need;
    if (g->need & NEED_DATA) try_data(c, f, g, now);
    if (g->need & NEED_FIN && !f->bad) try_fin(c, f, g, now);
    if (g->need & NEED_RST && !f->bad) try_rst(f, g);
    return !g->need;
}

/* The primary sent more: see what of the secondary's that waits it settles. */
void tcp_match(struct compare *c, struct flow *f, uint64_t now)
{
    const struct tcp *t = &f->tcp;
    struct ring *at, *next;

    for (at = f->sq.next; at != &f->sq; at = next) {
        struct slot *s = ring_entry(at, struct slot, in_flow);

        next = at->next;
        if (s->seg.need == NEED_DATA && !t->syn_wait &&
            !packet_after(t->p.max, s->seg.a - t->delta)) return;
        if (tcp_try(c, f, &s->seg, now)) drop_secondary(c, s);
        /* That dropped all of them. */
        if (f->bad) return;
    }
}
