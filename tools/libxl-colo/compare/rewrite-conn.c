/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-conn.c - What the rewriter knows of one connection
 *
 * Theory of operation: a handshake is FLOW_OPEN until both initial sequence
 * numbers are known: the primary's because it was told, the secondary's
 * because its SYN or SYN/ACK was seen. Then it settles: the offset is their
 * difference. Until then the offset of an older connection on the same ports
 * stays in force, so that a stray or forged SYN changes nothing. Positions
 * (FIN, acknowledgement) are kept as they are on the wire.
 *
 * Timestamps: the wire's are the guest's plus an offset that is set exactly
 * when the remote end answers the handshake (it echoes what the primary sent,
 * the secondary sent its own), and raised whenever the sum would be older than
 * the newest that the primary is known to have sent, the mark. The other
 * direction's timestamps belong to the remote end, which both guests hear: they
 * are never changed.
 */
#include <config.h>

#include "rewrite-conn.h"
#include "rewrite-hold.h"

#define SYN_DATA 65535u                 /* a SYN may carry data (fast open) */
#define RST_GRACE REWRITE_SEC           /* what crosses a RST on its way */
#define TS_FRESH (20 * 86400 * REWRITE_SEC) /* 2^31 ms are 24.8 days */

static bool within(uint32_t value, uint32_t from, uint32_t span)
{
    return value - from <= span;
}

/* Could the guest take this? What was forged blindly is seldom in here. */
static bool in_window(const struct rewrite_flow *f, uint32_t seq)
{
    uint32_t win = (uint32_t)f->win << f->scale;

    if (!(f->flags & FLOW_RCV)) return true;
    return within(seq, f->ack_out, win > 65535 ? win : 65535);
}

static void settle(struct rewrite *r, struct rewrite_flow *f)
{
    f->flags &= (uint16_t)~(FLOW_OPEN | FLOW_FINS | FLOW_EST | FLOW_MARK |
                            FLOW_RCV | FLOW_NATIVE);
    f->flags |= FLOW_HALF;
    rewrite_flow_offsets(r, f, f->isn_s - f->isn_p, 0);
    r->stats.settled++;
    r->generation++;
}

static void know_p(struct rewrite *r, struct rewrite_flow *f, uint32_t isn)
{
    f->isn_p = isn;
    f->flags |= FLOW_KNOW_P;
    if (f->flags & FLOW_KNOW_S) settle(r, f);
    else f->flags |= FLOW_OPEN;
}

static void know_s(struct rewrite *r, struct rewrite_flow *f, uint32_t isn)
{
    f->isn_s = isn;
    f->flags |= FLOW_KNOW_S;
    if (f->flags & FLOW_KNOW_P) settle(r, f);
    else f->flags |= FLOW_OPEN;
}

/* A new handshake; what is known of the last one's numbers is void. */
static void open_anew(struct rewrite *r, struct rewrite_flow *f)
{
    f->flags &= (uint16_t)~(FLOW_KNOW_P | FLOW_KNOW_S | FLOW_HAVE_C |
                            FLOW_NATIVE);
    f->flags |= FLOW_OPEN;
    if (r->failover) f->flags |= FLOW_NATIVE;
}

void rewrite_conn_told(struct rewrite *r, struct rewrite_flow *f,
                       uint32_t isn)
{
    const uint16_t both = FLOW_KNOW_P | FLOW_KNOW_S;

    if (f->flags & FLOW_KNOW_P && f->isn_p == isn) return;
    /*
     * The primary began another connection on the same ports before the
     * secondary did; or, if the remote end has not answered yet, it answered
     * its SYN a second time with another number (SYN cookies do).
     */
    if (!(f->flags & FLOW_OPEN) && (f->flags & both) == both &&
        (f->flags & (FLOW_HALF | FLOW_HAVE_C)) != (FLOW_HALF | FLOW_HAVE_C))
        open_anew(r, f);
    know_p(r, f, isn);
}

void rewrite_conn_mark(struct rewrite *r, struct rewrite_flow *f,
                       uint32_t tsval, uint64_t now)
{
    if (f->flags & FLOW_MARK && now - f->mark_at < TS_FRESH &&
        !packet_after(tsval, f->ts_mark))
        return;
    f->ts_mark = tsval;
    f->mark_at = now;
    f->flags |= FLOW_MARK;
    r->generation++;
}

static void syn_in(struct rewrite *r, struct rewrite_flow *f, uint32_t seq)
{
    const uint16_t active = FLOW_OPEN | FLOW_KNOW_S;

    if (f->flags & FLOW_HAVE_C && f->isn_c == seq) return;
    /* Both ends began at once, or the primary's answer was told already. */
    if ((f->flags & (active | FLOW_HAVE_C)) == active ||
        (f->flags & (FLOW_OPEN | FLOW_KNOW_P | FLOW_HAVE_C)) ==
            (FLOW_OPEN | FLOW_KNOW_P)) {
        f->isn_c = seq;
        f->flags |= FLOW_HAVE_C;
        return;
    }
    open_anew(r, f);
    f->isn_c = seq;
    f->flags |= FLOW_HAVE_C;
}

static void syn_out(struct rewrite *r, struct rewrite_flow *f, uint32_t seq)
{
    if (f->flags & FLOW_KNOW_S && f->isn_s == seq) return;
    /* Told first: the primary's SYN was faster. */
    if ((f->flags & (FLOW_OPEN | FLOW_KNOW_S | FLOW_HAVE_C)) != FLOW_OPEN)
        open_anew(r, f);
    know_s(r, f, seq);
}

static void synack_out(struct rewrite *r, struct rewrite_flow *f,
                       const struct rewrite_seg *s)
{
    if (f->flags & FLOW_KNOW_S && f->isn_s == s->seq) return;
    /* The answer to an older SYN, sent again. */
    if (f->flags & FLOW_HAVE_C && !within(s->ack, f->isn_c + 1, SYN_DATA))
        return;
    know_s(r, f, s->seq);
}

/*
 * The primary is gone before it could tell its ISN, but its answer may have
 * reached the remote end: then that end's first acknowledgement says it.
 */
static void infer(struct rewrite *r, struct rewrite_flow *f,
                  const struct rewrite_seg *s)
{
    if (!r->failover || !(s->flags & PACKET_ACK) || s->flags & PACKET_RST ||
        (f->flags & (FLOW_OPEN | FLOW_KNOW_S | FLOW_KNOW_P)) !=
            (FLOW_OPEN | FLOW_KNOW_S))
        return;
    if (f->flags & FLOW_HAVE_C ? s->seq != f->isn_c + 1
                               : !(s->flags & PACKET_SYN))
        return;
    r->stats.inferred++;
    know_p(r, f, s->ack - 1);
}

/* The remote end answered the handshake: its echo tells the primary's clock. */
static void answered(struct rewrite *r, struct rewrite_flow *f,
                     const struct rewrite_seg *s)
{
    bool knows_us = f->flags & FLOW_NATIVE;
    uint32_t ts_off = s->tsecr - f->ts_last;

    f->flags &= (uint16_t)~(FLOW_HALF | FLOW_NATIVE);
    f->flags |= FLOW_EST;
    r->generation++;
    if (!s->has_ts || !s->tsecr || !(f->flags & FLOW_LAST)) return;
    /* Once it has seen the sum, that must not go back. */
    if (!knows_us || packet_after(ts_off, f->ts_off))
        rewrite_flow_offsets(r, f, f->off, ts_off);
}

static void end_in(struct rewrite *r, struct rewrite_flow *f,
                   const struct rewrite_seg *s, uint64_t now)
{
    uint16_t before = f->flags;

    if (s->flags & PACKET_RST) {
        f->flags |= FLOW_RST;
        if (!(f->flags & FLOW_RCV) || s->seq == f->ack_out)
            f->flags |= FLOW_RST_EXACT;
        f->rst_at = now;
    } else {
        if (s->flags & PACKET_FIN) {
            f->flags |= FLOW_FIN_IN;
            f->fin_in = s->seq + s->len + 1;
        }
        if (s->flags & PACKET_ACK && f->flags & FLOW_FIN_OUT &&
            within(s->ack, f->fin_out, INT32_MAX))
            f->flags |= FLOW_FIN_OUT_OK;
    }
    if (f->flags != before) r->generation++;
}

void rewrite_conn_in(struct rewrite *r, struct rewrite_flow *f,
                     const struct rewrite_seg *s, uint64_t now)
{
    bool plain = s->flags & PACKET_ACK && !(s->flags & PACKET_RST);

    if ((s->flags & (PACKET_SYN | PACKET_ACK | PACKET_RST)) == PACKET_SYN) {
        syn_in(r, f, s->seq);
        return;
    }
    infer(r, f, s);
    /* A segment sent again may begin before the window. */
    if (!in_window(f, s->seq) && !in_window(f, s->seq + s->len) &&
        !(f->flags & FLOW_HALF))
        return;
    if ((f->flags & (FLOW_HALF | FLOW_OPEN)) == FLOW_HALF && plain &&
        within(s->ack, f->isn_p + 1, INT32_MAX))
        answered(r, f, s);
    if (plain && s->has_ts && s->tsecr && !r->failover)
        rewrite_conn_mark(r, f, s->tsecr, now);
    end_in(r, f, s, now);
}

static void end_out(struct rewrite *r, struct rewrite_flow *f,
                    const struct rewrite_seg *s, uint64_t now)
{
    uint32_t end = s->seq - rewrite_conn_off(f) + s->len;
    uint16_t before = f->flags;

    if (s->flags & PACKET_RST) {
        f->flags |= FLOW_RST;
        f->flags &= (uint16_t)~FLOW_RST_EXACT;
    } else {
        /* It lives: the reset was not for it. */
        if (!(f->flags & FLOW_RST_EXACT) || now - f->rst_at > RST_GRACE)
            f->flags &= (uint16_t)~(FLOW_RST | FLOW_RST_EXACT);
        if (f->flags & FLOW_FIN_OUT && packet_after(end, f->fin_out))
            f->flags &= (uint16_t)~(FLOW_FIN_OUT | FLOW_FIN_OUT_OK);
        if (s->flags & PACKET_FIN) {
            f->flags |= FLOW_FIN_OUT;
            f->fin_out = end + 1;
        }
        if (s->flags & PACKET_ACK && f->flags & FLOW_FIN_IN &&
            within(s->ack, f->fin_in, INT32_MAX))
            f->flags |= FLOW_FIN_IN_OK;
    }
    if (f->flags != before) r->generation++;
}

static void window_out(struct rewrite_flow *f, const struct rewrite_seg *s)
{
    if (s->flags & PACKET_SYN)
        f->scale = s->has_wscale ? (s->wscale > 14 ? 14 : s->wscale) : 0;
    if (!(s->flags & PACKET_ACK) || s->flags & PACKET_RST) return;
    if (f->flags & FLOW_RCV && !(s->flags & PACKET_SYN) &&
        packet_after(f->ack_out, s->ack))
        return;
    f->ack_out = s->ack;
    f->win = s->win;
    f->flags |= FLOW_RCV;
}

/* After the failover: nothing to translate, and no mark ahead of the clock? */
static bool useless(const struct rewrite *r, const struct rewrite_flow *f,
                    const struct rewrite_seg *s)
{
    const uint16_t native = FLOW_NATIVE | FLOW_OPEN | FLOW_KNOW_S;

    if ((f->flags & native) == native) return true;
    return r->failover && !f->off && !f->ts_off && f->flags & FLOW_EST &&
           !(f->flags & FLOW_OPEN) &&
           (!(f->flags & FLOW_MARK) ||
            (s->has_ts && !packet_after(f->ts_mark, s->tsval)));
}

enum rewrite_left rewrite_conn_out(struct rewrite *r, struct rewrite_flow *f,
                                   const struct rewrite_seg *s, uint64_t now)
{
    const uint16_t asked = FLOW_OPEN | FLOW_HAVE_C;
    bool waits = (f->flags & (asked | FLOW_KNOW_S)) == asked;

    switch (s->flags & (PACKET_SYN | PACKET_ACK | PACKET_RST)) {
    case PACKET_SYN:
        syn_out(r, f, s->seq);
        break;
    case PACKET_SYN | PACKET_ACK:
        synack_out(r, f, s);
        break;
    case PACKET_RST | PACKET_ACK:
        if (!waits || s->seq || !within(s->ack, f->isn_c + 1, SYN_DATA))
            break;
        f->flags &= (uint16_t)~(FLOW_OPEN | FLOW_NATIVE);
        return f->off || f->ts_off || f->flags & FLOW_EST ? REWRITE_REFUSED
                                                          : REWRITE_USELESS;
    case PACKET_RST:
        break;
    default:
        /* Not an answer to that SYN: an older connection goes on. */
        if (waits) f->flags &= (uint16_t)~FLOW_OPEN;
        if (f->flags & FLOW_OPEN) break;
        f->flags |= FLOW_EST;
        f->flags &= (uint16_t)~(FLOW_HALF | FLOW_NATIVE);
    }
    if (useless(r, f, s)) return REWRITE_USELESS;
    if (r->failover && s->flags & PACKET_SYN && f->flags & FLOW_HALF)
        f->flags |= FLOW_NATIVE;
    window_out(f, s);
    end_out(r, f, s, now);
    return REWRITE_GOES_ON;
}

uint32_t rewrite_conn_ts_out(struct rewrite *r, struct rewrite_flow *f,
                             uint32_t tsval, bool syn, uint64_t now)
{
    /* The survivor's own clock has passed all that it sent: it may take over */
    if (r->failover && f->ts_off && rewrite_flow_shared(f) &&
        f->flags & FLOW_LAST && !packet_after(f->ts_last + f->ts_off, tsval))
        rewrite_flow_offsets(r, f, f->off, 0);
    if (syn || !(f->flags & FLOW_LAST) || now - f->last >= TS_FRESH ||
        packet_after(tsval, f->ts_last)) {
        f->ts_last = tsval;
        f->flags |= FLOW_LAST;
    }
    if ((f->flags & (FLOW_OPEN | FLOW_KNOW_S)) == (FLOW_OPEN | FLOW_KNOW_S))
        return 0;
    if (f->flags & FLOW_MARK && now - f->mark_at < TS_FRESH &&
        packet_after(f->ts_mark, tsval + f->ts_off))
        rewrite_flow_offsets(r, f, f->off, f->ts_mark - tsval);
    return f->ts_off;
}

uint32_t rewrite_conn_ts_in(const struct rewrite_flow *f, uint32_t tsecr)
{
    uint32_t v = tsecr - f->ts_off;

    /* Zero is "nothing to echo" for many. */
    if (!tsecr || ((f->flags & FLOW_OPEN) && f->flags & FLOW_KNOW_S))
        return tsecr;
    return f->flags & FLOW_LAST && packet_after(v, f->ts_last) ? f->ts_last
                                                               : v;
}

bool rewrite_conn_cut(struct rewrite *r, struct rewrite_flow *f)
{
    const uint16_t keep = FLOW_EST | FLOW_RCV | FLOW_MARK;
    const uint16_t fins = FLOW_FIN_OUT_OK | FLOW_FIN_IN_OK;
    /* Or what has ended fills the table, and each new flow wants a cut. */
    bool ended = f->flags & FLOW_RST || (f->flags & fins) == fins;

    rewrite_flow_offsets(r, f, 0, 0);
    f->held = 0;
    f->flags &= keep;
    /* What the primary sent before the cut, both have sent. */
    if (f->flags & FLOW_MARK) {
        f->ts_last = f->ts_mark;
        f->flags |= FLOW_LAST;
    }
    return !ended &&
           (f->flags & (FLOW_EST | FLOW_MARK)) == (FLOW_EST | FLOW_MARK);
}

bool rewrite_conn_failover(const struct rewrite_flow *f)
{
    return f->off || f->ts_off || f->flags & (FLOW_OPEN | FLOW_MARK);
}
