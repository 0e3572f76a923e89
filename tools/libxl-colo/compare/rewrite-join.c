/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-join.c - A second failover: an older table goes on in a newer one
 *
 * Theory of operation: the newer table's offsets are 0 for everything that
 * both guests had at the last cut, and so for every connection of the older
 * table. What is left to add up is how far the clock of the copy lags. What
 * the newer table calls the wire are the older one's guest: positions (FIN)
 * and timestamps that it has noted are moved by the older offsets.
 *
 * An entry of the newer table with a sequence offset, or of which an initial
 * number is known, is a connection that began after the cut on the same ports:
 * the older one is over, at least where it counts, in the copy.
 */
#include <config.h>

#include "rewrite-flow.h"
#include "rewrite-join.h"

/* The newer table saw another connection begin there. */
static bool begun_anew(const struct rewrite_flow *newer)
{
    return newer->off || newer->flags & (FLOW_KNOW_P | FLOW_KNOW_S);
}

/* What the copy's process has noted since counts, in the network's numbers. */
static void add_notes(struct rewrite_flow *t, const struct rewrite_flow *old,
                      const struct rewrite_flow *newer)
{
    uint32_t mark = newer->ts_mark + old->ts_off;

    if (newer->flags & FLOW_MARK &&
        (!(t->flags & FLOW_MARK) || packet_after(mark, t->ts_mark))) {
        t->ts_mark = mark;
        t->mark_at = newer->mark_at;
    }
    if (newer->flags & FLOW_LAST) t->ts_last = newer->ts_last;
    if (newer->flags & FLOW_RCV) {
        t->ack_out = newer->ack_out;
        t->win = newer->win;
    }
    if (newer->flags & FLOW_FIN_OUT) t->fin_out = newer->fin_out - old->off;
    if (newer->flags & FLOW_FIN_IN) t->fin_in = newer->fin_in;
    if (newer->flags & FLOW_RST) t->rst_at = newer->rst_at;
    t->flags |= newer->flags & (FLOW_EST | FLOW_RCV | FLOW_MARK | FLOW_LAST |
                                FLOW_FINS);
}

/* Somebody asked for another connection on those ports, and nobody answered:
 * the older one counts until the copy does. */
static void add_handshake(struct rewrite_flow *t,
                          const struct rewrite_flow *newer)
{
    if (!(newer->flags & FLOW_OPEN)) return;
    t->flags &= (uint16_t)~(FLOW_KNOW_P | FLOW_KNOW_S | FLOW_NATIVE |
                            FLOW_HAVE_C);
    t->flags |= newer->flags & (FLOW_OPEN | FLOW_HAVE_C);
    t->isn_c = newer->isn_c;
}

/* All but the flow's place in the table, its key and its offsets. */
static void take(struct rewrite_flow *f, const struct rewrite_flow *t)
{
    f->scale = t->scale;
    f->win = t->win;
    f->flags = t->flags;
    f->isn_p = t->isn_p;
    f->isn_s = t->isn_s;
    f->isn_c = t->isn_c;
    f->ts_mark = t->ts_mark;
    f->ts_last = t->ts_last;
    f->ack_out = t->ack_out;
    f->fin_out = t->fin_out;
    f->fin_in = t->fin_in;
    f->mark_at = t->mark_at;
    f->rst_at = t->rst_at;
}

/* Return: false if there is no room */
static bool join(struct rewrite *r, const struct rewrite_flow *old,
                 uint64_t now)
{
    struct rewrite_flow *f = rewrite_flow_find(r, &old->key);
    uint32_t ts_off = old->ts_off;
    struct rewrite_flow t = *old;

    if (f && begun_anew(f)) return true;
    if (f) {
        add_notes(&t, old, f);
        add_handshake(&t, f);
        ts_off += f->ts_off;
    } else {
        f = rewrite_flow_add(r, &old->key, now);
        if (!f) return false;
    }
    take(f, &t);
    rewrite_flow_offsets(r, f, old->off, ts_off);
    rewrite_flow_touch(r, f, now);
    return true;
}

uint32_t rewrite_join(struct rewrite *r, const struct rewrite *older,
                      uint64_t now)
{
    uint32_t lost = 0;

    for (unsigned int k = 0; k < REWRITE_NCLASSES; k++)
        for (uint32_t i = older->head[k]; i != REWRITE_NONE;
             i = older->flows[i].next)
            lost += !join(r, &older->flows[i], now);
    return lost;
}
