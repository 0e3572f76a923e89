/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-rig.h - Segments through the rewriter, checked on the way
 *
 * The frames are made and read back by tests/oracle/frame.c, which shares
 * nothing with the parser under test; all checksums are computed from scratch.
 */
#ifndef XLC_TESTS_REWRITE_RIG_H
#define XLC_TESTS_REWRITE_RIG_H

#include <stdlib.h>
#include <string.h>

#include "../oracle/frame.h"
#include "rewrite.h"

#define SEC UINT64_C(1000000000)
#define REMOTE 0x0a000001u
#define GUEST  0x0a000002u

/**
 * struct seg - a segment in words
 * @ts: with a timestamp option, @tsval and @tsecr
 * @wscale: with a window scale option, minus one
 * @nsack: SACK blocks in @sack
 * @odd: options start with one NOP, so that fields are at odd places
 * @kind: an option of this kind without a body is added
 * @len: octets of payload
 * @data: the payload; NULL: anything
 */
struct seg {
    uint8_t flags;
    uint32_t seq, ack;
    bool ts, odd;
    uint32_t tsval, tsecr;
    uint8_t wscale, nsack, kind;
    uint32_t sack[4][2];
    size_t len;
    const void *data;
};

/**
 * struct rig - a rewriter, and the shape of its frames
 * @out: of the last call
 * @verdict, @seq_off: of the last call
 * @sums: all checksums of all frames so far were right
 * @same: the last frame came out as it went in
 * @flows: opened with; @kept: where its table is kept, @kept_len octets
 */
struct rig {
    struct rewrite *r;
    uint64_t now;
    bool v6, partial;
    unsigned int ext;
    uint16_t vlan, port;
    struct seg out;
    enum rewrite_verdict verdict;
    uint32_t seq_off;
    bool sums, same;
    size_t len;
    struct packet_vnet vnet;
    uint32_t flows;
    uint8_t *kept;
    size_t kept_len;
    uint8_t frame[FRAME_MAX];
};

#define ISN_C 0x10000000u
#define ISN_P 0xd0000000u
#define ISN_S 0xfffffff0u /* wraps soon */
#define DELTA (ISN_S - ISN_P)

/* A rewriter of REWRITE_OPTS_INIT, but for @flows and, unless 0, @held. */
void rig_open_with(struct rig *g, uint32_t flows, uint32_t held);
void rig_open_n(struct rig *g, uint32_t flows);
void rig_open(struct rig *g);
void rig_close(struct rig *g);

/* Write the frame of @s into g->frame, as the remote end's if @in. */
void rig_build(struct rig *g, const struct seg *s, bool in);

/* Read a frame into g->out, and check its checksums. */
void rig_read(struct rig *g, const uint8_t *frame, size_t len);

/* Run g->frame, from a block of exactly its size. */
void rig_run(struct rig *g, bool in);

/* A segment of the remote end to the guest. Return: what the guest gets. */
const struct seg *rig_in(struct rig *g, struct seg s);

/* A segment of the guest. Return: what the remote end gets. */
const struct seg *rig_out(struct rig *g, struct seg s);

/* The primary's ISN and timestamp. */
void rig_told(struct rig *g, uint32_t isn);
void rig_told_ts(struct rig *g, uint32_t tsval);

/* The next held frame, read into g->out. Return: was there one? */
bool rig_take(struct rig *g);

/* Flows in the conditions that a failover leaves: settled, an open handshake,
 * IPv6 in a VLAN that the guest has closed. */
void rig_conditions(struct rig *g);

/* The failover: the table is kept from here on. */
void rig_failover(struct rig *g);

/* Its process dies, and another takes the table over. Return: as
 * rewrite_keep_recover(); if it fails, the rewriter is a new one */
int rig_die(struct rig *g, struct xlc_error *err);

/* A connection that the remote end opened, up to its first ACK. */
void rig_connect(struct rig *g);

#endif
