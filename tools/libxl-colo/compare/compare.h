/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * compare.h - Two packet streams in, verdicts out
 *
 * One engine a virtual interface. It holds what the primary guest sends until
 * the secondary guest has sent the same, or until a checkpoint covers it. It
 * is pure: no I/O, no clock (@now is a parameter: nanoseconds, monotonic), all
 * memory taken by compare_new(). Not thread-safe. docs/compare.md says what is
 * compared, and what is ignored and why. (Long because of its comments.)
 *
 * After each call that can release something (primary, secondary, inbound,
 * tick, commit, open) the caller drains compare_next().
 */
#ifndef XLC_COMPARE_H
#define XLC_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "packet.h"

struct compare;

/** No deadline. */
#define COMPARE_NEVER UINT64_MAX
/** Cuts that may wait for their commit or abort at once. */
#define COMPARE_CUTS 8u

/** enum compare_mode - what happens to the primary's packets */
enum compare_mode {
    COMPARE_PASSIVE, /* hold all until a commit covers them */
    COMPARE_COLO,    /* release what the secondary sends too */
};

/** enum compare_reason - why a checkpoint is wanted */
enum compare_reason {
    COMPARE_OK,        /* none is */
    COMPARE_PAYLOAD,   /* bytes or lengths differ */
    COMPARE_HEADER,    /* SYN, FIN, RST or URG differ */
    COMPARE_OPTIONS,   /* TCP options differ, or can't be compared */
    COMPARE_LATE,      /* the secondary did not send it in time */
    COMPARE_EXTRA,     /* only the secondary sent it (RULES C2) */
    COMPARE_ACK,       /* the secondary's acknowledgement is late */
    COMPARE_UNPLUGGED, /* the secondary's vif did not connect in time */
    COMPARE_FULL,      /* a bound was reached */
    COMPARE_ABORTED,   /* an epoch was given up: its output still waits */
    COMPARE_NREASONS,
};

/**
 * struct compare_rule - flows that are never compared, but held for a commit
 * @family: 4, 6, or 0 for both (then without an address)
 * @proto: IP protocol, or 0 for all
 * @port: either port, or 0 for all
 * @prefix: octets of @addr that count, in bits; 0 for all addresses
 * @addr: either address, 4 or 16 octets
 */
struct compare_rule {
    uint8_t family, proto;
    uint16_t port;
    uint8_t prefix;
    uint8_t addr[16];
};

/**
 * struct compare_opts - limits and rules; start from COMPARE_OPTS_INIT
 * @flows: flows remembered at once
 * @packets: frames up to 2 KiB held at once, both sides together
 * @jumbos: longer frames held at once
 * @bytes: octets of frames held at once
 * @late_ns: how long the secondary may take
 * @plug_ns: how long its vif may take to connect while output waits
 * @idle_ns: a flow that is silent for this long is forgotten
 * @hash_key: random; whoever knows it can make the flow table slow
 * @mode: before the first cut
 * @epoch: before the first cut
 * @rules: @nrules of them, copied
 */
struct compare_opts {
    uint32_t flows, packets, jumbos;
    uint64_t bytes;
    uint64_t late_ns, plug_ns, idle_ns;
    uint64_t hash_key[2];
    enum compare_mode mode;
    uint64_t epoch;
    const struct compare_rule *rules;
    size_t nrules;
};

#define COMPARE_OPTS_INIT                                              \
    {                                                                  \
        .flows = 131072, .packets = 32768, .jumbos = 1024,             \
        .bytes = UINT64_C(96) << 20, .late_ns = UINT64_C(200000000),   \
        .plug_ns = UINT64_C(2000000000),                               \
        .idle_ns = UINT64_C(600000000000), .mode = COMPARE_PASSIVE,    \
    }

/**
 * struct compare_meta - what comes with a frame of the secondary
 * @epoch: the state that the secondary runs from (RULES A10)
 * @seq_off: what its rewriter added to the TCP sequence number, modulo 2^32
 * @answered: its proxy has answered this ARP request or neighbour solicitation
 *   (RULES C2): it need not be the primary's too
 */
struct compare_meta {
    uint64_t epoch;
    uint32_t seq_off;
    bool answered;
};

/**
 * struct compare_packet - a released frame; the engine's, until put back
 * @frame: @len octets
 * @len: length
 * @vnet: to be written before it
 * @made: an acknowledgement that the engine made, not the guest
 */
struct compare_packet {
    uint8_t *frame;
    uint32_t len;
    struct packet_vnet vnet;
    bool made;
};

/**
 * struct compare_want - a checkpoint is wanted; latched until the next cut
 * @reason: the first one
 * @key: the flow, as the primary sends; all zero if there is none
 * @since: when it was first wanted
 */
struct compare_want {
    enum compare_reason reason;
    struct packet_key key;
    uint64_t since;
};

/**
 * struct compare_isn - a SYN or SYN/ACK of the primary was seen
 * @key: as the primary sends
 * @isn: its sequence number
 * @tsval: its timestamp, if @has_ts
 */
struct compare_isn {
    struct packet_key key;
    uint32_t isn;
    uint32_t tsval;
    bool has_ts;
};

/**
 * struct compare_stats - counters since compare_new(), and gauges
 * @primary, @secondary: frames taken
 * @released: frames of the primary that left
 * @compared: of them, those that the secondary had sent too
 * @committed: of them, those that a commit released
 * @made: acknowledgements made by the engine
 * @superseded: pure acknowledgements of the primary that a later one replaced
 * @lowered: released with a lower acknowledgement or window
 * @sacks: SACK blocks taken out
 * @stale: frames of the secondary with another epoch
 * @passive: frames of the secondary outside COLO mode, or on a flow that is
 *   not compared
 * @ignored: frames that only the secondary sent and that do not matter (C2)
 * @dropped: frames of the secondary for which there was no room
 * @refused: calls that found no room for a frame of the primary
 * @isn_lost: compare_next_isn() was not called often enough
 * @cuts, @commits, @aborts: of those calls
 * @wanted: checkpoints asked for, by reason
 * @held, @held_bytes: frames of the primary that wait (gauge)
 * @held_max: the most that waited
 * @waiting_secondary: frames of the secondary that wait (gauge)
 * @flows: flows remembered (gauge)
 * @aged: flows forgotten
 * @run_ns: how long the last epoch ran from cut to wanted
 * @held_ns: how long those that left had been held, all together
 * @said, @acked: octets of streams (of other frames: all) that left for the
 *   first time; octets of the clients' streams acknowledged for the first time
 */
struct compare_stats {
    uint64_t primary, secondary;
    uint64_t released, compared, committed, made, superseded;
    uint64_t lowered, sacks;
    uint64_t stale, passive, ignored, dropped, refused, isn_lost;
    uint64_t cuts, commits, aborts;
    uint64_t wanted[COMPARE_NREASONS];
    uint64_t held, held_bytes, held_max, waiting_secondary;
    uint64_t flows, aged;
    uint64_t run_ns;
    uint64_t held_ns;
    uint64_t said, acked;
};

/**
 * compare_new() - an engine
 * @out: where to; the caller's, for compare_free()
 *
 * Memory for the bounds is reserved; pages are used as they are touched.
 *
 * Return: 0; -EINVAL (a bound of zero, or too large) or -ENOMEM
 */
int compare_new(struct compare **out, const struct compare_opts *opts,
                struct xlc_error *err);

/** compare_free() - forget everything, held packets too; NULL is allowed */
void compare_free(struct compare *c);

/**
 * compare_room() - where the primary's next frame may be read to
 * @size: how much fits: always PACKET_MAX
 *
 * Return: room that stays the same until compare_filled(); NULL if there is
 * none (see compare_full())
 */
uint8_t *compare_room(struct compare *c, size_t *size);

/**
 * compare_filled() - a frame of the primary is in compare_room()'s room
 * @len: 0 < @len <= PACKET_MAX
 * @vnet: its vnet header; NULL means all zero
 *
 * Return: 0; -EINVAL for a bad @len. After compare_room() gave room it never
 * lacks any.
 */
int compare_filled(struct compare *c, size_t len,
                   const struct packet_vnet *vnet, uint64_t now);

/**
 * compare_primary() - a frame of the primary; copied
 *
 * Return: 0; -EINVAL (@len is 0), -EMSGSIZE (above PACKET_MAX) or -ENOBUFS;
 * then the frame is still the caller's, to be given again
 */
int compare_primary(struct compare *c, const uint8_t *frame, size_t len,
                    const struct packet_vnet *vnet, uint64_t now);

/**
 * compare_secondary() - a frame of the secondary; copied only if it must wait
 *
 * Return: 0, also when it was dropped and counted; -EINVAL, -EMSGSIZE
 */
int compare_secondary(struct compare *c, const struct compare_meta *meta,
                      const uint8_t *frame, size_t len,
                      const struct packet_vnet *vnet, uint64_t now);

/**
 * compare_inbound() - a frame on its way to the guests (optional, cheap)
 *
 * Only a SYN matters: it tells whether window scaling is in effect for a
 * connection that the guest opens.
 */
void compare_inbound(struct compare *c, const uint8_t *frame, size_t len,
                     const struct packet_vnet *vnet, uint64_t now);

/**
 * compare_next() - the next released frame, in order of release
 *
 * Return: NULL if there is none. A frame goes back with compare_put(); several
 * may be out at once.
 */
struct compare_packet *compare_next(struct compare *c);
void compare_put(struct compare *c, struct compare_packet *p);

/** compare_wanted() - is a checkpoint wanted? @w may be NULL */
bool compare_wanted(const struct compare *c, struct compare_want *w);

/** compare_want_now() - ask for one from outside (a test, a user) */
void compare_want_now(struct compare *c, enum compare_reason reason,
                      uint64_t now);

/** compare_full() - must the primary's output (and input) be held back? */
bool compare_full(const struct compare *c);

/**
 * compare_next_isn() - what the secondary's rewriter must know (RULES B4)
 *
 * A cut takes back what was not asked for.
 */
bool compare_next_isn(struct compare *c, struct compare_isn *isn);

/** compare_deadline() - when compare_tick() must be called; COMPARE_NEVER */
uint64_t compare_deadline(const struct compare *c);
void compare_tick(struct compare *c, uint64_t now);

/**
 * compare_svm_connected() - the secondary's vif is connected (RULES C1)
 *
 * Nothing is late before. A cut takes it back.
 */
void compare_svm_connected(struct compare *c, uint64_t now);

/** compare_set_mode() - takes effect at the next cut (RULES B6) */
void compare_set_mode(struct compare *c, enum compare_mode mode);
enum compare_mode compare_get_mode(const struct compare *c);

/**
 * compare_cut() - the primary is suspended and all its output is here (A4)
 * @epoch: the epoch that begins; higher than any before
 *
 * From now on the secondary's frames must carry @epoch. The secondary's that
 * wait are dropped, offsets return to zero, its acknowledgements, windows and
 * positions become the primary's (A10); the latch is cleared. What waits is
 * released by compare_commit(@epoch) or a later one, and nothing behind it
 * before that.
 *
 * Return: 0; -EINVAL (not higher) or -EBUSY (COMPARE_CUTS outstanding)
 */
int compare_cut(struct compare *c, uint64_t epoch, uint64_t now);

/**
 * compare_commit() - the peer holds the state at cut @epoch
 *
 * Releases, in order, all that lay before that cut, then, if no later cut
 * waits, what has been compared since.
 *
 * Return: 0; -ENOENT (no such cut is outstanding)
 */
int compare_commit(struct compare *c, uint64_t epoch, uint64_t now);

/**
 * compare_abort() - the peer will never hold the state at cut @epoch
 *
 * What lay before it waits for a later cut, which is asked for; until its
 * commit nothing is released.
 *
 * Return: 0; -ENOENT
 */
int compare_abort(struct compare *c, uint64_t epoch, uint64_t now);

/**
 * compare_open() - the peer's copy is gone for good: release all, in order
 *
 * Frames pass at once until the next cut.
 */
void compare_open(struct compare *c, uint64_t now);

void compare_get_stats(const struct compare *c, struct compare_stats *s);

/** compare_longest_ns() - the longest that one of those was held that left
 * since this was asked last */
uint64_t compare_longest_ns(struct compare *c);

/** compare_set_limits() - other ones of compare_opts, at once */
void compare_set_limits(struct compare *c, uint64_t late_ns,
                        uint64_t plug_ns);

/** compare_reason_name() - a word for logs and JSON */
const char *compare_reason_name(enum compare_reason reason);

/** compare_flow_size() - octets of memory that an idle flow takes */
size_t compare_flow_size(void);

#endif
