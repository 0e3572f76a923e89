/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-conn.h - What the rewriter knows of one connection (internal)
 */
#ifndef XLC_REWRITE_CONN_H
#define XLC_REWRITE_CONN_H

#include "rewrite-flow.h"

/**
 * struct rewrite_seg - a TCP segment, before any change
 * @seq, @ack, @flags, @win: of its header
 * @len: octets of payload
 * @has_wscale, @wscale: option
 * @has_ts, @tsval, @tsecr: option
 */
struct rewrite_seg {
    uint32_t seq, ack, len;
    uint8_t flags;
    uint16_t win;
    bool has_wscale, has_ts;
    uint8_t wscale;
    uint32_t tsval, tsecr;
};

/**
 * rewrite_conn_off() - the sequence offset in force
 *
 * None while the guest has begun a new connection on the same ports and the
 * primary's ISN for it is not known.
 */
static inline uint32_t rewrite_conn_off(const struct rewrite_flow *f)
{
    const uint16_t moved = FLOW_OPEN | FLOW_KNOW_S;

    return (f->flags & moved) == moved ? 0 : f->off;
}

/** rewrite_conn_told() - the primary's ISN */
void rewrite_conn_told(struct rewrite *r, struct rewrite_flow *f,
                       uint32_t isn);

/** rewrite_conn_mark() - a timestamp that the primary has sent */
void rewrite_conn_mark(struct rewrite *r, struct rewrite_flow *f,
                       uint32_t tsval, uint64_t now);

/** rewrite_conn_in() - follow a segment of the remote end */
void rewrite_conn_in(struct rewrite *r, struct rewrite_flow *f,
                     const struct rewrite_seg *s, uint64_t now);

/** enum rewrite_left - what a segment of the guest leaves of its flow */
enum rewrite_left {
    REWRITE_GOES_ON,
    REWRITE_REFUSED, /* a RST that answers a SYN: not to be translated */
    REWRITE_USELESS, /* nothing to translate now or later */
};

/** rewrite_conn_out() - follow a segment of the guest */
enum rewrite_left rewrite_conn_out(struct rewrite *r, struct rewrite_flow *f,
                                   const struct rewrite_seg *s, uint64_t now);

/**
 * rewrite_conn_ts_out() - what to add to a timestamp of the guest
 *
 * As much as it takes for the sum never to be older than what the primary is
 * known to have sent.
 */
uint32_t rewrite_conn_ts_out(struct rewrite *r, struct rewrite_flow *f,
                             uint32_t tsval, bool syn, uint64_t now);

/**
 * rewrite_conn_ts_in() - an echoed timestamp, as the guest must see it
 *
 * Never newer than what the guest has sent.
 */
uint32_t rewrite_conn_ts_in(const struct rewrite_flow *f, uint32_t tsecr);

/** rewrite_conn_cut() - Return: is it worth to be remembered? */
bool rewrite_conn_cut(struct rewrite *r, struct rewrite_flow *f);

/** rewrite_conn_failover() - Return: is it worth to be remembered? */
bool rewrite_conn_failover(const struct rewrite_flow *f);

#endif
