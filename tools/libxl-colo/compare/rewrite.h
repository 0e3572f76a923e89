/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite.h - Let the secondary's TCP connections speak as the primary's do
 *
 * A connection that was born after the last checkpoint has another initial
 * sequence number on the secondary than on the primary, which the remote end
 * talks to. The rewriter translates what goes to the secondary guest and what
 * comes from it, so that the compare engine sees equal streams and, after a
 * failover, the remote end sees one connection. docs/rewrite.md has the
 * reasoning and the format of the exported state.
 *
 * Pure: no I/O, no clock (@now: nanoseconds, monotonic), no allocation after
 * rewrite_new() but for export. Not thread-safe. Keys are always as the guest
 * sends: src is the guest.
 */
#ifndef XLC_REWRITE_H
#define XLC_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "packet.h"

struct rewrite;

/** enum rewrite_verdict - what to do with the frame */
enum rewrite_verdict {
    REWRITE_PASS, /* nothing was changed: deliver it */
    REWRITE_DONE, /* changed in place: deliver it */
    REWRITE_HELD, /* copied: don't deliver it, see rewrite_take() */
    REWRITE_DROP, /* can't be translated whole: don't deliver it */
};

/** Why a checkpoint would help; bits of rewrite_wanted(). */
#define REWRITE_WANT_FULL   0x1u /* no room for a flow */
#define REWRITE_WANT_HELD   0x2u /* no room for a segment that must wait */
#define REWRITE_WANT_SIGNED 0x4u /* an authenticated connection (MD5, AO) */
#define REWRITE_WANT_TINY   0x8u /* a fragment that cuts the TCP header */

/**
 * struct rewrite_opts - bounds; start from REWRITE_OPTS_INIT
 * @flows: flows remembered at once
 * @held: octets of segments that wait for the guest's SYN/ACK
 * @hash_key: random; whoever knows it can make the table slow
 */
struct rewrite_opts {
    uint32_t flows, held;
    uint64_t hash_key[2];
};

#define REWRITE_OPTS_INIT { .flows = 131072, .held = 1u << 20 }

/**
 * struct rewrite_held - a frame whose time has come, already translated
 * @frame: @len octets, the rewriter's, until its next call
 */
struct rewrite_held {
    const uint8_t *frame;
    uint32_t len;
    struct packet_vnet vnet;
};

/**
 * struct rewrite_stats - counters since rewrite_new(), and gauges
 * @in, @out: frames seen
 * @in_done, @out_done: of them, those that were changed
 * @held, @held_dropped: waited; found no room or lost their flow
 * @refused: flows for which there was no room
 * @evicted: unanswered attempts forgotten in favour of a newer flow
 * @signed_segments: left alone because their sender signed them
 * @tiny: first fragments without the whole TCP header, dropped
 * @icmp: headers in ICMP errors that were translated
 * @settled: connections whose offset became known
 * @inferred: of them, those that the remote end told after a failover
 * @expired: entries that ended by time
 * @cuts: rewrite_cut()s that counted
 * @flows: entries in the table (gauge)
 * @offsets: of them, those with an offset in force (gauge)
 */
struct rewrite_stats {
    uint64_t in, out, in_done, out_done;
    uint64_t held, held_dropped, refused, evicted;
    uint64_t signed_segments, tiny, icmp, settled, inferred, expired, cuts;
    uint64_t flows, offsets;
};

/**
 * rewrite_new() - a rewriter that knows no flow
 * @out: where to; the caller's, for rewrite_free()
 *
 * Return: 0; -EINVAL (a bound is zero or too large) or -ENOMEM
 */
int rewrite_new(struct rewrite **out, const struct rewrite_opts *opts,
                struct xlc_error *err);

/** rewrite_free() - NULL is allowed */
void rewrite_free(struct rewrite *r);

/** rewrite_in() - a frame on its way to the guest, changed in place */
enum rewrite_verdict rewrite_in(struct rewrite *r, uint8_t *frame, size_t len,
                                const struct packet_vnet *vnet, uint64_t now);

/**
 * rewrite_out() - a frame that the guest sent, changed in place
 * @seq_off: set to what was added to the TCP sequence number, modulo 2^32
 *
 * Return: REWRITE_PASS, REWRITE_DONE or REWRITE_DROP
 */
enum rewrite_verdict rewrite_out(struct rewrite *r, uint8_t *frame, size_t len,
                                 const struct packet_vnet *vnet, uint64_t now,
                                 uint32_t *seq_off);

/**
 * rewrite_take() - the next inbound frame that no longer has to wait
 *
 * To be called until false after each rewrite_out() and rewrite_isn().
 */
bool rewrite_take(struct rewrite *r, struct rewrite_held *h, uint64_t now);

/**
 * rewrite_isn() - the primary sent a SYN or SYN/ACK
 * @key: as the primary sends
 * @isn: its sequence number
 *
 * To be told before the inbound segment that answers it. Only for the epoch
 * that the secondary runs: what is told of a later one is the caller's to keep
 * until rewrite_cut().
 */
void rewrite_isn(struct rewrite *r, const struct packet_key *key,
                 uint32_t isn, uint64_t now);

/**
 * rewrite_tsval() - the primary sent, or is about to send, this timestamp
 *
 * The survivor will not send an older one. Timestamps that the remote end
 * echoes are learned without it.
 */
void rewrite_tsval(struct rewrite *r, const struct packet_key *key,
                   uint32_t tsval, uint64_t now);

/**
 * rewrite_cut() - the secondary was made the same as the primary again
 *
 * Call it while the guest stands still and its output was read empty. Sequence
 * offsets return to zero and held frames are forgotten (the checkpoint has
 * them); the newest timestamps of the primary are remembered. After
 * rewrite_failover() it changes nothing: the remote ends did not take part.
 */
void rewrite_cut(struct rewrite *r, uint64_t now);

/** rewrite_failover() - the primary is gone: no new flow gets an offset */
void rewrite_failover(struct rewrite *r, uint64_t now);

/** rewrite_tick() - let what has ended go; about once a second */
void rewrite_tick(struct rewrite *r, uint64_t now);

/**
 * rewrite_live() - flows that still need the rewriter
 *
 * Return: flows with an offset in force; after rewrite_failover() also those
 * whose first timestamp has yet to be seen. Then 0 means that it may go.
 */
uint32_t rewrite_live(const struct rewrite *r);

/** rewrite_wanted() - REWRITE_WANT_* bits, latched until rewrite_cut() */
uint32_t rewrite_wanted(const struct rewrite *r);

/** rewrite_generation() - changes when an export would say something new */
uint64_t rewrite_generation(const struct rewrite *r);

/** rewrite_export_size() - octets that rewrite_export() needs now */
size_t rewrite_export_size(const struct rewrite *r);

/**
 * rewrite_export() - write down the table (not the held frames)
 * @buf: @size octets
 * @len: set to how many were written
 *
 * Return: 0; -ENOSPC (@size is too small) or -ENOMEM
 */
int rewrite_export(const struct rewrite *r, uint8_t *buf, size_t size,
                   size_t *len, uint64_t now, struct xlc_error *err);

/**
 * rewrite_import() - replace the table by an exported one
 *
 * Return: 0; -EPROTO (not whole, or not such a state), -ENOSPC (more flows
 * than fit); then nothing has changed
 */
int rewrite_import(struct rewrite *r, const uint8_t *buf, size_t len,
                   uint64_t now, struct xlc_error *err);

void rewrite_get_stats(const struct rewrite *r, struct rewrite_stats *s);

/** rewrite_flow_size() - octets of memory that a flow takes */
size_t rewrite_flow_size(void);

#endif
