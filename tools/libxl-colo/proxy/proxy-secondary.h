/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proxy-secondary.h - The proxy beside the secondary guest
 *
 * A thread of its own. What the primary guest was given comes from the peer's
 * proxy and goes through the rewriter into the guest's vif; what the guest
 * sends goes through the rewriter to the peer's proxy, tagged with the epoch
 * that it runs from. The vif is on no bridge until a failover; from then on
 * both ways lead to the bridge, through the rewriter for as long as it is
 * needed.
 *
 * Calls may come from any thread; see proxy-primary.h. A checkpoint:
 *
 *   ... the epoch N is whole; pause the guest, disconnect its vifs ...
 *   proxy_secondary_cut(N)         what it sent is thrown away
 *   ... roll back, unpause; wait until its vifs are connected ...
 *   proxy_secondary_connected()    input of N, which waited, goes in
 */
#ifndef XLC_PROXY_SECONDARY_H
#define XLC_PROXY_SECONDARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "proxy-port.h"
#include "rewrite.h"
#include "wirestream.h"

struct keepfile;
struct proxy_secondary;

/* What may wait for the guest, and what is kept to be delivered again. */
#define PROXY_BACKLOG      (16u << 20)
#define PROXY_AGAIN_BYTES  (512u << 10)
#define PROXY_AGAIN_FRAMES 128u

/**
 * struct proxy_secondary_cfg - what it needs to know
 * @ports: @nports of them, 1 to WIRE_VIFS_MAX. Before a failover only @out_rd
 *         and @in_wr are used
 * @rewrite: bounds for each vif; the key is set by the proxy
 * @keep: where the rewriters' tables are kept after a failover, for a next
 *        process; NULL: nowhere
 * @resume: this is the next process: go on after the failover with the tables
 *          that are in @keep
 */
struct proxy_secondary_cfg {
    const struct proxy_port *ports;
    unsigned int nports;
    struct rewrite_opts rewrite;
    const struct keepfile *keep;
    bool resume;
};

/**
 * struct proxy_secondary_status - how it is
 * @epoch: that the guest runs from
 * @told: newest that the peer has told of
 * @mode: of that one, enum wire_mode; 0: none was told
 * @connected: the guest's vifs are
 * @open: the failover was
 * @peer, @greeted: there is a stream to the peer's proxy, which said HELLO
 * @live: connections that need the rewriter
 * @generation: changes when an export of some vif's rewriter would
 * @in_frames, @in_lost: given to the guest; its vif did not take them
 * @in_again: of them, given again after a rollback
 * @in_old: dropped, since the rolled back guest has them already
 * @out_frames, @out_lost: sent to the peer, or the bridge; the kernel did not
 *                         take them
 * @out_stale: thrown away at a cut
 * @dropped: could not be rewritten
 * @answered: questions about neighbours, for the primary guest's sake
 * @oversize: frames that were longer than any frame may be
 * @ports_lost: vifs whose packets can't be read any more
 * @waiting, @waiting_bytes: for the guest
 * @sent, @received: octets to and from the peer's proxy
 * @err: why it does not work any more, or why the stream was closed (until
 *       there is another one)
 */
struct proxy_secondary_status {
    uint64_t epoch, told;
    unsigned int mode;
    bool connected, open, peer, greeted;
    uint32_t live;
    uint64_t generation;
    uint64_t in_frames, in_lost, in_again, in_old;
    uint64_t out_frames, out_lost, out_stale;
    uint64_t dropped, answered, oversize;
    unsigned int ports_lost;
    uint64_t waiting, waiting_bytes;
    uint64_t sent, received;
    struct xlc_error err;
};

/*
 * Start it, in epoch 0, disconnected, without a peer; with cfg->resume, open.
 * Tables that are not whole (see rewrite_keep_recover()) fail it.
 */
int proxy_secondary_start(struct proxy_secondary **s_r,
                          const struct proxy_secondary_cfg *cfg,
                          struct xlc_error *err);

/* End it. No other call may be under way. NULL is allowed. */
void proxy_secondary_stop(struct proxy_secondary *s);

/* Readable (an eventfd) when the peer told of an epoch, the stream broke, the
 * rewriter is no more needed after a failover, or the proxy can't go on. */
int proxy_secondary_event_fd(const struct proxy_secondary *s);

/* The stream to the peer's proxy; @fd, @ctx are taken over on success. */
int proxy_secondary_peer(struct proxy_secondary *s, int fd,
                         const struct wirestream_ops *ops, void *ctx,
                         struct xlc_error *err);

int proxy_secondary_no_peer(struct proxy_secondary *s,
                            struct xlc_error *err);

/**
 * proxy_secondary_cut() - the guest is about to become what it was at @epoch
 *
 * While it stands still and its vifs are disconnected: what it sent is read
 * and thrown away, and only then the tag changes (RULES A10). -EBUSY: more
 * came all the time; nothing has changed. The same epoch again: the guest is
 * put back there once more.
 */
int proxy_secondary_cut(struct proxy_secondary *s, uint64_t epoch,
                        struct xlc_error *err);

/* All its vifs are connected: input goes in, and the peer is told (C1). */
int proxy_secondary_connected(struct proxy_secondary *s,
                              struct xlc_error *err);

/* The failover: packets go to the bridge, and come from it. Final. */
int proxy_secondary_open(struct proxy_secondary *s, struct xlc_error *err);

/* Return: 0 if nothing waits to be read or written anywhere (after a failover,
 * before the plane is taken away); -EAGAIN. */
int proxy_secondary_idle(struct proxy_secondary *s, struct xlc_error *err);

/**
 * proxy_secondary_export() - the rewriter's state of one vif
 * @buf: @size octets
 * @len: how many it took, or would take
 *
 * Return: 0; -ENOSPC; another negative errno
 */
int proxy_secondary_export(struct proxy_secondary *s, unsigned int vif,
                           uint8_t *buf, size_t size, size_t *len,
                           struct xlc_error *err);

/* The reverse. Nothing has changed unless 0 is returned. */
int proxy_secondary_import(struct proxy_secondary *s, unsigned int vif,
                           const uint8_t *buf, size_t len,
                           struct xlc_error *err);

/**
 * proxy_secondary_older() - how the primary translates connections of before a
 * failover that it was, as of the checkpoint which is about to count here
 * @older: the proxy's if 0 is returned; it takes the place of the one before
 *
 * With the failover they go on from here (rewrite-join.h).
 */
int proxy_secondary_older(struct proxy_secondary *s, unsigned int vif,
                          struct rewrite *older, struct xlc_error *err);

int proxy_secondary_status(struct proxy_secondary *s,
                           struct proxy_secondary_status *st,
                           struct xlc_error *err);

#endif
