/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proxy-primary.h - The proxy beside the primary guest
 *
 * A thread of its own. What the guest sends goes into the compare engine and
 * leaves when that lets it go; what is for the guest goes to it and, in COLO
 * mode, as a copy with its epoch to the peer's proxy.
 *
 * Every call may come from any thread, is answered within a turn of the
 * proxy's loop, and never waits for the network. They return 0 or a negative
 * errno; -ESHUTDOWN: the proxy has ended, and the log says why.
 *
 * A checkpoint, with the guest's output and input as it must see them:
 *
 *   proxy_primary_hold(true)     input rests
 *   ... suspend; plane_settle() for each vif ...
 *   proxy_primary_cut(N)         what was sent until now lies before N
 *   ... capture, resume ...
 *   proxy_primary_hold(false)    what comes belongs to N, on both sides
 *   ... the peer holds N ...
 *   proxy_primary_commit(N)      what lay before N leaves
 */
#ifndef XLC_PROXY_PRIMARY_H
#define XLC_PROXY_PRIMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "compare.h"
#include "error.h"
#include "proxy-port.h"
#include "rewrite.h"
#include "wirestream.h"

struct proxy_primary;

/**
 * struct proxy_primary_cfg - what it needs to know
 * @ports: @nports of them, 1 to WIRE_VIFS_MAX
 * @compare: limits and rules for each vif. Key, mode and epoch are set by the
 *           proxy: passive, epoch 0
 * @stuck_ns: a peer that has not read for so long is dropped, while input
 *            waits for it (until its copy is connected: @compare.plug_ns, if
 *            that is longer); 0: PROXY_STUCK_NS
 * @older: for each vif what translates connections of before a failover, or
 *         NULL: between the network and the guest, outside of all else here.
 *         The caller's, and nobody else's to use until proxy_primary_stop()
 */
struct proxy_primary_cfg {
    const struct proxy_port *ports;
    unsigned int nports;
    struct compare_opts compare;
    uint64_t stuck_ns;
    struct rewrite *older[WIRE_VIFS_MAX];
};

#define PROXY_STUCK_NS UINT64_C(1000000000)

/**
 * struct proxy_primary_status - how it is
 * @epoch: of the last cut
 * @mode: since then
 * @holding: input is held by proxy_primary_hold()
 * @full: input and output are held, since the engine is full
 * @peer: there is a stream to the peer's proxy
 * @greeted: which has said HELLO
 * @want: a checkpoint is wanted if @want.reason is not COMPARE_OK
 * @want_vif: for this vif
 * @in_frames, @in_teed: to the guest; of them, also to the peer
 * @in_lost: the guest's vif did not take them
 * @out_frames, @out_lost: released; of them, the kernel did not take
 * @oversize: frames that were longer than any frame may be
 * @ports_lost: vifs whose packets can't be read any more
 * @cut_unread: cuts at which the engine was full, so that a TAP may not have
 *              been read until it was empty
 * @connected: the peer's copy says and hears something in @epoch
 * @lag_us: from the last cut after which it did until then
 * @live: connections of before a failover that need to be translated
 * @dropped: frames of such that could not be
 * @sent, @received: octets from and to the peer's proxy
 * @compare: all vifs together
 * @err: why it does not work any more, or why the stream was closed (until
 *       there is another one)
 */
struct proxy_primary_status {
    uint64_t epoch;
    enum compare_mode mode;
    bool holding, full, peer, greeted;
    struct compare_want want;
    unsigned int want_vif;
    uint64_t in_frames, in_teed, in_lost;
    uint64_t out_frames, out_lost;
    uint64_t oversize, cut_unread;
    unsigned int ports_lost;
    bool connected;
    uint64_t lag_us;
    uint32_t live;
    uint64_t dropped;
    uint64_t sent, received;
    struct compare_stats compare;
    struct xlc_error err;
};

/**
 * struct proxy_primary_held - the packets that left since this was asked last
 * @packets: how many
 * @held_us: how long they had been held, all together
 * @longest_us: and the one that was held longest
 * @said, @acked: octets, see struct compare_stats
 */
struct proxy_primary_held {
    uint64_t packets, held_us, longest_us;
    uint64_t said, acked;
};

/* Start it, passive and without a peer. Output is held from now on. */
int proxy_primary_start(struct proxy_primary **p_r,
                        const struct proxy_primary_cfg *cfg,
                        struct xlc_error *err);

/* End it; what it holds is lost. No other call may be under way. NULL is
 * allowed. */
void proxy_primary_stop(struct proxy_primary *p);

/**
 * proxy_primary_event_fd() - readable (an eventfd) when something happened
 *
 * A checkpoint is wanted, the peer's copy is connected, the stream broke, or
 * the proxy can't go on: then proxy_primary_status() says what.
 */
int proxy_primary_event_fd(const struct proxy_primary *p);

/* The stream to the peer's proxy; @fd, @ctx are taken over on success. In an
 * epoch that runs already nothing is teed or compared over it: that begins
 * with the next cut. */
int proxy_primary_peer(struct proxy_primary *p, int fd,
                       const struct wirestream_ops *ops, void *ctx,
                       struct xlc_error *err);

/* Close that stream: input goes to the guest alone. Output stays held. */
int proxy_primary_no_peer(struct proxy_primary *p, struct xlc_error *err);

/* Hold what is for the guest, or let it go on. */
int proxy_primary_hold(struct proxy_primary *p, bool hold,
                       struct xlc_error *err);

/**
 * proxy_primary_cut() - what the guest sent until now lies before @epoch
 *
 * For a suspended guest: what waits in the TAPs is read first (RULES A4).
 */
int proxy_primary_cut(struct proxy_primary *p, uint64_t epoch,
                      struct xlc_error *err);

/* The peer holds @epoch: what lay before its cut leaves. */
int proxy_primary_commit(struct proxy_primary *p, uint64_t epoch,
                         struct xlc_error *err);

/* Takes effect at the next cut (RULES B6). */
int proxy_primary_mode(struct proxy_primary *p, enum compare_mode mode,
                       struct xlc_error *err);

/* The peer's copy will never run: everything leaves, from now on at once,
 * until the next cut. Closes the stream; one that is made then is teed nothing
 * before that cut. */
int proxy_primary_open(struct proxy_primary *p, struct xlc_error *err);

/* Return: 0 if nothing waits to be read or written anywhere (before the plane
 * is taken away); -EAGAIN, also while input is held. */
int proxy_primary_idle(struct proxy_primary *p, struct xlc_error *err);

/**
 * proxy_primary_older() - how connections of before a failover are translated
 * @generation: of what the caller has; UINT64_MAX: nothing. Set to the newest
 * @buf_r: malloc'd: @len_r octets of rewrite_export(). NULL: it is as the
 *         caller has it, or there never was such a table
 */
int proxy_primary_older(struct proxy_primary *p, unsigned int vif,
                        uint64_t *generation, uint8_t **buf_r, size_t *len_r,
                        struct xlc_error *err);

/* For one caller. */
int proxy_primary_held(struct proxy_primary *p, struct proxy_primary_held *h,
                       struct xlc_error *err);

/* Another late_ns and plug_ns of struct compare_opts, at once. */
int proxy_primary_limits(struct proxy_primary *p, uint64_t late_ns,
                         uint64_t plug_ns, struct xlc_error *err);

int proxy_primary_status(struct proxy_primary *p,
                         struct proxy_primary_status *s,
                         struct xlc_error *err);

#endif
