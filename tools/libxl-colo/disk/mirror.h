/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mirror.h - The primary's end of the stream to the peer's disk
 *
 *   SOLO ──attach──► SYNCING ──nothing lacks──► SYNCED ──mark──► PROTECTED
 *    ▲                  │                         │                 │
 *    └──────────────────┴──── lost or detached ───┴─────────────────┘
 *
 * SOLO: the bitmap remembers what the peer lacks; the guest does not notice.
 * While the peer is slow a guest's write waits for room in the queue, but
 * never longer than the hold, which is well below the time after which an
 * NBD client sends again (RULES A8): then the mirror is lost.
 *
 * Threads, while attached: one sends, one reads, one copies. @lock guards
 * everything here; it is taken inside of a range of the front, and the
 * bitmap's lock inside of it.
 */
#ifndef XLC_MIRROR_H
#define XLC_MIRROR_H

#include "diskproto.h"
#include "front.h"
#include "identity.h"

enum mirror_state {
    MIRROR_SOLO,
    MIRROR_SYNCING,   /* the peer's image is being made ours */
    MIRROR_SYNCED,    /* the next mark ends the sync */
    MIRROR_PROTECTED, /* epochs */
};

/**
 * struct mirror_opts - constant of a mirror
 * @limit: octets that may wait for the peer
 * @hold_ms: a write waits no longer than this for room
 * @rate: octets a second that a sync copies; 0: as many as it can
 */
struct mirror_opts {
    uint64_t limit;
    uint32_t hold_ms;
    uint64_t rate;
};

#define MIRROR_LIMIT   (64ull << 20)
#define MIRROR_HOLD_MS 5000u

/**
 * struct mirror_status - for those who show it
 * @state: enum mirror_state
 * @epoch: the open one
 * @held: @durable: the peer's watermarks
 * @queued: octets in the queue
 * @copied: octets that the sync copied
 * @compared: octets that the peer had already, by their checksums
 * @waits: writes that had to wait for room; @wait_us: for how long together
 * @losses: how often the peer was lost
 * @why: the last loss, a sentence
 */
struct mirror_status {
    enum mirror_state state;
    uint64_t epoch;
    uint64_t held;
    uint64_t durable;
    uint64_t queued;
    uint64_t copied;
    uint64_t compared;
    uint64_t waits;
    uint64_t wait_us;
    uint64_t losses;
    char why[XLC_ERROR_MAX];
};

struct mirror;

/* @f and @b outlive the mirror. */
int mirror_open(struct mirror **out, const struct mirror_opts *o,
                struct front *f, struct bitmap *b, struct xlc_error *err);

/* Detaches first. NULL is allowed. */
void mirror_close(struct mirror *m);

/* For front_protect(): a guest's write, and a range that is copied. */
uint64_t mirror_put(void *ctx, const void *buf, uint64_t len, uint64_t off);
uint64_t mirror_copy(void *ctx, const void *buf, uint64_t len, uint64_t off);

/**
 * mirror_basis() - can the bitmap be trusted for this peer? Pure.
 * @mine: the primary's identity; its epoch is the newest that the peer made
 *        durable, or that of the takeover
 * @taken: the epoch at which this host took over, if nothing was made durable
 *         by any peer since; else 0
 *
 * Return: 1: the bitmap (and the peer's marks); 0: everything is copied;
 * -EPERM, -ESTALE with a sentence: this peer is not to be overwritten
 */
int mirror_basis(const struct identity *mine, uint64_t taken,
                 const struct diskproto_hello *peer, struct xlc_error *err);

/**
 * mirror_attach() - begin to protect
 * @fd: connected to the peer's plugin; taken over in any case
 * @mine: @taken: see mirror_basis()
 * @epoch: the first; larger than all before it of this generation
 *
 * Return: 0: the sync has begun
 */
int mirror_attach(struct mirror *m, int fd, const struct identity *mine,
                  uint64_t taken, uint64_t epoch, struct xlc_error *err);

/* Go solo; waits for the threads. @why is shown. */
void mirror_detach(struct mirror *m, const char *why);

/**
 * mirror_mark() - the epoch's last write is in: a line in the queue
 *
 * Does not wait. Return: 0; -ENOTCONN: solo; -EAGAIN: the sync goes on;
 * -EINVAL: not the open epoch
 */
int mirror_mark(struct mirror *m, uint64_t epoch, struct xlc_error *err);

enum mirror_until { MIRROR_UNTIL_SYNCED, MIRROR_UNTIL_HELD,
                    MIRROR_UNTIL_DURABLE };

/* Wait for the peer. Return: 0, -ETIMEDOUT, -ENOTCONN. */
int mirror_wait(struct mirror *m, enum mirror_until what, uint64_t epoch,
                uint64_t timeout_ms, struct xlc_error *err);

void mirror_rate(struct mirror *m, uint64_t rate);
void mirror_status(struct mirror *m, struct mirror_status *st);

#endif
