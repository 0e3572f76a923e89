/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-flow.h - The rewriter's table of flows (internal)
 *
 * A fixed array, chained by a keyed hash. Each entry is in the list of its
 * class; a list is in the order of last use and has one limit, so that what
 * ends by time is always at its head.
 */
#ifndef XLC_REWRITE_FLOW_H
#define XLC_REWRITE_FLOW_H

#include "rewrite.h"

#define REWRITE_NONE  UINT32_MAX
#define REWRITE_SEC   UINT64_C(1000000000)
#define REWRITE_RECS  512u  /* frames held at most */
#define REWRITE_SECRET 192u /* octets of key for the hash */

/**
 * enum rewrite_class - how long an entry may be silent
 * @REWRITE_ASKED: an attempt that the guest has not answered
 * @REWRITE_HALF: both ISNs known, the remote end has not answered yet
 * @REWRITE_PLAIN: established; at most a lagging clock to make up for, which
 *   silence does as well
 * @REWRITE_CLOSING: the guest's FIN is not acknowledged: it must send again
 * @REWRITE_CLOSED: RST, or both FINs are acknowledged
 * @REWRITE_KEPT: established, with an offset: never ends by time
 */
enum rewrite_class {
    REWRITE_ASKED,
    REWRITE_HALF,
    REWRITE_PLAIN,
    REWRITE_CLOSING,
    REWRITE_CLOSED,
    REWRITE_KEPT,
    REWRITE_NCLASSES,
};

/* @flags of a flow; part of the exported state. */
#define FLOW_OPEN       0x0001u /* a handshake whose offset is not known */
#define FLOW_KNOW_P     0x0002u /* isn_p is the newest handshake's */
#define FLOW_KNOW_S     0x0004u /* isn_s is */
#define FLOW_HAVE_C     0x0008u /* isn_c is: the remote end began */
#define FLOW_HALF       0x0010u /* settled, not yet answered by the remote */
#define FLOW_EST        0x0020u /* was seen established */
#define FLOW_NATIVE     0x0040u /* after the failover: OPEN: it began then;
                                 * HALF: the remote may know our clock */
#define FLOW_RCV        0x0080u /* ack_out and win are known */
#define FLOW_MARK       0x0100u /* ts_mark is known */
#define FLOW_LAST       0x0200u /* ts_last is known */
#define FLOW_FIN_OUT    0x0400u /* the guest sent FIN, which ends at fin_out */
#define FLOW_FIN_OUT_OK 0x0800u /* the remote end acknowledged it */
#define FLOW_FIN_IN     0x1000u /* the remote end sent FIN */
#define FLOW_FIN_IN_OK  0x2000u /* the guest acknowledged it */
#define FLOW_RST        0x4000u /* reset by either side */
#define FLOW_RST_EXACT  0x8000u /* by the remote end, just where it belongs */
#define FLOW_FINS (FLOW_FIN_OUT | FLOW_FIN_OUT_OK | FLOW_FIN_IN | \
                   FLOW_FIN_IN_OK | FLOW_RST | FLOW_RST_EXACT)

/**
 * struct rewrite_flow - one connection
 * @key: as the guest sends
 * @chain: next entry with the same hash, or next free one
 * @prev, @next: in the list of its class
 * @cls: enum rewrite_class
 * @scale: the guest's window scale
 * @win: the guest's window, as sent
 * @flags: FLOW_*
 * @held: its frames that wait
 * @off: the guest's sequence numbers minus the wire's; in force
 * @isn_p, @isn_s, @isn_c: primary's, secondary's, remote end's
 * @ts_off: the wire's timestamps minus the guest's; in force
 * @ts_mark: the newest that the primary is known to have sent
 * @ts_last: the newest that the secondary sent, as it sent it
 * @ack_out: the guest's newest acknowledgement
 * @fin_out, @fin_in: sequence numbers after the FINs, as on the wire
 * @last: time of the last packet
 * @mark_at: when @ts_mark was learned
 * @rst_at: when the remote end's RST came
 */
struct rewrite_flow {
    struct packet_key key;
    uint32_t chain, prev, next;
    uint8_t cls, scale;
    uint16_t win, flags;
    uint32_t held;
    uint32_t off, isn_p, isn_s, isn_c;
    uint32_t ts_off, ts_mark, ts_last;
    uint32_t ack_out, fin_out, fin_in;
    uint64_t last, mark_at, rst_at;
};

/** struct rewrite_rec - a held frame: @len octets @at the arena */
struct rewrite_rec {
    uint32_t flow, at, len;
    struct packet_vnet vnet;
};

/**
 * struct rewrite - everything
 * @flows: @max entries; those from @fresh on were never used
 * @buckets: @mask + 1 heads of chains
 * @free_head: entries that were used before
 * @head, @tail: of each class's list
 * @secret: of the hash
 * @failover: the primary is gone
 * @want: REWRITE_WANT_*
 * @offsets: flows with an offset in force
 * @generation: see rewrite_generation()
 * @arena, @arena_size, @arena_used: octets of held frames
 * @recs, @nrecs: held frames in order of arrival
 * @ready: a flow with held frames need not wait any more
 * @keep, @keep_slots: see rewrite_keep(); entries below are in there; or NULL
 */
struct rewrite {
    struct rewrite_flow *flows;
    uint32_t *buckets;
    uint32_t max, mask, used, fresh, free_head;
    uint32_t head[REWRITE_NCLASSES], tail[REWRITE_NCLASSES];
    uint8_t secret[REWRITE_SECRET];
    bool failover, ready;
    uint32_t want, offsets;
    uint64_t generation;
    uint8_t *arena;
    uint32_t arena_size, arena_used, nrecs;
    struct rewrite_rec recs[REWRITE_RECS];
    struct rewrite_stats stats;
    uint8_t *keep;
    uint32_t keep_slots;
};

int rewrite_flow_init(struct rewrite *r, uint32_t max,
                      const uint64_t hash_key[2]);

/** rewrite_flow_find() - Return: the entry, or NULL */
struct rewrite_flow *rewrite_flow_find(struct rewrite *r,
                                       const struct packet_key *key);

/**
 * rewrite_flow_add() - an entry for a key that has none
 *
 * Return: NULL if there is no room; then it is counted and latched
 */
struct rewrite_flow *rewrite_flow_add(struct rewrite *r,
                                      const struct packet_key *key,
                                      uint64_t now);

/** rewrite_flow_place() - the same, as entry @i, which was never used */
struct rewrite_flow *rewrite_flow_place(struct rewrite *r, uint32_t i,
                                        const struct packet_key *key,
                                        uint64_t now);

void rewrite_flow_del(struct rewrite *r, struct rewrite_flow *f);

/** rewrite_flow_touch() - it was used now; its class follows its state */
void rewrite_flow_touch(struct rewrite *r, struct rewrite_flow *f,
                        uint64_t now);

/** rewrite_flow_offsets() - the only way to change @off and @ts_off */
void rewrite_flow_offsets(struct rewrite *r, struct rewrite_flow *f,
                          uint32_t off, uint32_t ts_off);

/** rewrite_flow_expire() - end what was silent for too long */
void rewrite_flow_expire(struct rewrite *r, uint64_t now);

/** rewrite_flow_clear() - forget all */
void rewrite_flow_clear(struct rewrite *r);

/** rewrite_keep_put() - write @f down, if the table is kept (rewrite-keep.c) */
void rewrite_keep_put(struct rewrite *r, const struct rewrite_flow *f);

/** rewrite_keep_del() - entry @i has no flow any more */
void rewrite_keep_del(struct rewrite *r, uint32_t i);

/** rewrite_keep_end() - the table is another one: keep nothing of it */
void rewrite_keep_end(struct rewrite *r);

/**
 * rewrite_flow_shared() - do both guests have this connection, and its clock?
 *
 * So it is unless its handshake was seen after the last cut. Then the offset
 * of its timestamps is only how far one guest is behind the other.
 */
static inline bool rewrite_flow_shared(const struct rewrite_flow *f)
{
    const uint16_t both = FLOW_KNOW_P | FLOW_KNOW_S;

    return !f->off && (f->flags & both) != both;
}

static inline uint32_t rewrite_flow_index(const struct rewrite *r,
                                          const struct rewrite_flow *f)
{
    return (uint32_t)(f - r->flows);
}

#endif
