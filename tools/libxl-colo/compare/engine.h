/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * engine.h - What the files of the compare engine share; nobody else's
 * (and so longer than other headers)
 *
 * Theory of operation. Each frame of the primary lies in a slot that is in its
 * flow's queue @pq and in the engine's list @held, both in order of arrival;
 * while the secondary owes its counterpart, also in @wait, whose first is the
 * oldest. Frames of the secondary are compared in the caller's buffer; what
 * can't be decided yet is copied into a slot of the flow's @sq.
 *
 * Arrival numbers tell epochs apart: a frame below @pos lay before the last
 * cut and is no longer compared, one below @committed may leave. A cut takes
 * its own number, costs nothing per flow, and a flow notices it when it is next
 * looked at (flow_sync()). As long as @committed is not @pos the last cut is
 * not covered, and nothing behind it leaves.
 */
#ifndef XLC_ENGINE_H
#define XLC_ENGINE_H

#include "compare.h"
#include "ring.h"

#define SLOT_SMALL  2048u
#define SCALE_NONE  255u /* the window scale is not known */
#define WSCALE_MAX  14u
#define ISN_EVENTS  1024u
#define TCP_RANGES  4u
#define TCP_SACKS   4u
/* Sequence numbers this far back are still "before", not "after". */
#define TCP_TRUST   (UINT32_C(1) << 30)

/** What a segment of the secondary still waits for. */
#define NEED_SYN  1u
#define NEED_DATA 2u
#define NEED_FIN  4u
#define NEED_RST  8u

struct flow;

/**
 * struct seg - a frame under comparison, of either side
 * @pk, @frame, @vnet: what it is
 * @a, @b: TCP: its stream octets, in its sender's sequence space
 * @gen: TCP: which connection on this 4-tuple; more than frames can be held
 * @need: the secondary's: NEED_*
 * @answered: the secondary's: somebody has answered it (compare_meta)
 * @dup: TCP, the primary's: acknowledges and offers what the one before did
 */
struct seg {
    struct packet pk;
    const uint8_t *frame;
    struct packet_vnet vnet;
    uint32_t a, b;
    uint16_t gen;
    uint8_t need;
    bool answered, dup;
};

/**
 * struct slot - a frame that the engine holds
 * @pub: what the caller sees after release
 * @seg: parsed
 * @in_flow: in pq, sq or later; or the pool's free list
 * @in_all: in held, s_held or the release queue
 * @in_wait: in wait
 * @flow: whose; NULL on the release queue
 * @arrival: order number (primary)
 * @time: when it came
 * @buf: SLOT_SMALL or PACKET_MAX octets
 * @jumbo: the latter
 * @matched: the secondary's counterpart was seen (FIFO flows, RST)
 */
struct slot {
    struct compare_packet pub;
    struct seg seg;
    struct ring in_flow, in_all, in_wait;
    struct flow *flow;
    uint64_t arrival, time;
    uint8_t *buf;
    bool jumbo, matched;
};

/**
 * struct tcp_end - what one side has said on a connection
 * @gen: how many SYNs with a new number there were
 * @isn, @max: first number, end of what was sent
 * @ack, @edge, @win: highest acknowledgement and right edge, last raw window
 *   (until there is one, that of the SYN)
 * @fin, @urg: positions of FIN and urgent pointer
 * @sig: of the last SYN (tcp_syn_sig())
 * @sack: @nsack blocks of the last acknowledgement
 * @has_*: the field is valid
 * @closed: FIN or RST was sent
 */
struct tcp_end {
    uint32_t isn, max, ack, edge, fin, urg;
    uint16_t win, gen;
    uint8_t nsack;
    bool has_isn, has_max, has_ack, has_edge, has_fin, has_urg, closed;
    uint64_t sig;
    uint32_t sack[TCP_SACKS][2];
};

/**
 * struct tcp - the comparison of one connection
 * @p: the primary, as its frames arrived
 * @s: the secondary, as far as compared; its positions in its own space
 * @gen: the connection that is being compared
 * @scale: of the guest's window in connection @p.gen, or SCALE_NONE
 * @offered: what its SYN offered, or SCALE_NONE
 * @syn_wait: @gen's SYNs were not both seen yet
 * @syn_ok, @fin_ok, @rst_ok: both sides sent it, with signature @syn_sig, at
 *   @fin, at @rst
 * @has_base: @base and @ver are valid
 * @delta: secondary's numbers minus primary's
 * @base, @ver: octets from @base up to @ver are verified
 * @range: @nranges verified pieces elsewhere
 * @out_ack, @out_edge, @out_win, @out_nxt: what was released (@has_out,
 *   @has_nxt) of connection @out_gen
 * @out_ts: a retransmission with this timestamp has overtaken (@has_ts)
 */
struct tcp {
    struct tcp_end p, s;
    uint16_t gen, out_gen;
    uint8_t scale, offered, nranges;
    bool syn_wait, syn_ok, fin_ok, rst_ok, has_base, has_out, has_nxt;
    bool has_ts;
    uint16_t out_win;
    uint64_t syn_sig;
    uint32_t delta, base, ver, fin, rst;
    uint32_t range[TCP_RANGES][2];
    uint32_t out_ack, out_edge, out_nxt, out_ts;
};

/**
 * struct flow - all frames between two ends
 * @key: who
 * @hash: of @key
 * @pq: the primary's, in order of arrival
 * @sq: the secondary's that wait: FIFO, or TCP by position
 * @later: the secondary's of a connection that is not reached yet
 * @cmp: the primary's first since the cut that is not released (TCP) or not
 *   matched (others)
 * @data: TCP: likewise, the first that has unverified octets, or later ones of
 *   another connection; so that what waits for a commit only is not searched
 * @owed: TCP: model of an acknowledgement that waits for the secondary's
 * @in_owed, @owed_since: in the engine's list of those
 * @seen: last frame
 * @cut: the cut that this state belongs to
 * @used: in the table
 * @pass: never compared
 * @bad: differs; not compared until the next cut
 * @tcp: state of a PACKET_TCP
 */
struct flow {
    struct packet_key key;
    uint32_t hash, cut;
    struct ring pq, sq, later;
    struct slot *cmp, *data, *owed;
    struct ring in_owed;
    uint64_t owed_since, seen;
    struct flow *free_next;
    bool used, pass, bad;
    struct tcp tcp;
};

/** struct bucket - one place of the hash index; @flow 0 is empty */
struct bucket {
    uint32_t hash, flow;
};

/** struct cut - a cut that waits for its verdict */
struct cut {
    uint64_t epoch, pos;
};

/**
 * struct pool - slots of both sizes, taken from two mappings
 * @free: ready to be used again, by size
 * @nfree: how many are left, fresh ones too
 * @fresh: how many were never used
 */
struct pool {
    struct slot *slots;
    uint8_t *small, *jumbo;
    size_t slots_len, small_len, jumbo_len;
    struct ring free[2];
    uint32_t n[2], nfree[2], fresh[2];
    uint64_t bytes, bytes_max;
};

struct compare {
    struct compare_opts o;
    struct compare_rule *rules;
    struct pool pool;
    struct slot *room;
    /* Flow table. */
    struct flow *flows, over;
    struct bucket *index;
    struct flow *free_flow;
    uint32_t mask, nflows, fresh_flow, hand;
    /* Lists. */
    struct ring held, wait, waited, s_held, out, owed;
    uint32_t nout;
    /* Epochs. */
    struct cut cuts[COMPARE_CUTS];
    uint32_t ncuts, cut;
    uint64_t arrival, pos, committed, epoch;
    uint64_t cut_at, covered_at, connected_at, swept_at;
    uint64_t now, longest_ns; /* of the call; see compare_longest_ns() */
    enum compare_mode mode, next_mode;
    bool connected, open;
    struct compare_want want;
    struct compare_isn isn[ISN_EVENTS];
    uint32_t isn_head, isn_n;
    struct compare_stats st;
};

/* pool.c */
int pool_init(struct pool *p, const struct compare_opts *o);
void pool_dispose(struct pool *p);
struct slot *pool_get(struct pool *p, bool jumbo);
void pool_put(struct pool *p, struct slot *s);
/* Is a frame of any length welcome? With @spare, only if a quarter is left. */
bool pool_room(const struct pool *p, bool spare);

/* flow.c */
int flow_init(struct compare *c);
void flow_dispose(struct compare *c);
struct flow *flow_find(struct compare *c, const struct packet_key *key);
struct flow *flow_get(struct compare *c, const struct packet_key *key,
                      uint64_t now);
void flow_sync(struct compare *c, struct flow *f);
void flow_age(struct compare *c, uint64_t now);
uint64_t flow_mix(const struct compare *c, const void *buf, size_t n);

/* compare.c */
void want(struct compare *c, enum compare_reason reason,
          const struct flow *f, uint64_t now);
void flow_bad(struct compare *c, struct flow *f, enum compare_reason reason,
              uint64_t now);
struct slot *take_secondary(struct compare *c, const struct seg *g,
                            struct flow *f, uint64_t now);
void drop_secondary(struct compare *c, struct slot *s);
void release(struct compare *c, struct slot *s);
void leave(struct flow *f, struct slot *s);
void flow_pump(struct compare *c, struct flow *f, uint64_t now);

/* Is what lies behind the last cut free to go once it was compared? */
static inline bool covered(const struct compare *c)
{
    return c->committed == c->pos;
}

/* fifo.c */
void fifo_primary(struct compare *c, struct flow *f, struct slot *s,
                  uint64_t now);
void fifo_secondary(struct compare *c, struct flow *f, const struct seg *g,
                    uint64_t now);
bool fifo_ignorable(const struct flow *f, const struct seg *g);

/* tcp.c */
void tcp_seg(struct seg *g, uint32_t seq);
void tcp_note(struct compare *c, struct flow *f, struct slot *s);
void tcp_sync(struct flow *f);
void tcp_switch(struct compare *c, struct flow *f, uint16_t gen,
                uint64_t now);
void tcp_primary(struct compare *c, struct flow *f, struct slot *s,
                 uint64_t now);
void tcp_overtake(struct compare *c, struct flow *f, struct slot *s,
                  uint64_t now);
void tcp_secondary(struct compare *c, struct flow *f, struct seg *g,
                   uint32_t seq, uint64_t now);
bool tcp_release(struct compare *c, struct flow *f, struct slot *s,
                 uint64_t now);
uint64_t tcp_syn_sig(const struct compare *c, const struct seg *g);
uint8_t tcp_scale(const struct tcp *t, const struct seg *g);

/* tcp-match.c */
bool tcp_verified(const struct tcp *t, uint32_t a, uint32_t b);
bool tcp_try(struct compare *c, struct flow *f, struct seg *g, uint64_t now);
void tcp_match(struct compare *c, struct flow *f, uint64_t now);

/* tcp-ack.c */
void ack_note(struct tcp_end *e, const struct seg *g, uint8_t scale);
bool ack_release(struct compare *c, struct flow *f, struct slot *s,
                 uint64_t now);
void ack_released(struct compare *c, struct flow *f, struct slot *s);
void ack_committed(struct compare *c, struct flow *f, struct slot *s);
void ack_note_ts(struct tcp *t, const struct seg *g);
void ack_try_owed(struct compare *c, struct flow *f, uint64_t now);
void ack_forget(struct compare *c, struct flow *f);
void ack_settle(struct compare *c, struct flow *f);
void ack_late(struct compare *c, struct flow *f, uint64_t now);

/* epoch.c */
void epoch_late(struct compare *c, uint64_t now);

#endif
