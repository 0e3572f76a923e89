/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * follow.h - The secondary's end of the stream: from the peer into the store
 *
 * One thread reads the stream, one commits what was accepted. The session
 * accepts, discards and takes over through the calls here.
 *
 * @lock guards everything here but what the reader alone uses; it is not held
 * over I/O. The store has locks of its own.
 */
#ifndef XLC_FOLLOW_H
#define XLC_FOLLOW_H

#include "diskproto.h"
#include "store.h"

enum follow_state {
    FOLLOW_IDLE,      /* no stream */
    FOLLOW_GREETING,
    FOLLOW_SYNCING,   /* the image is a mixture */
    FOLLOW_FOLLOWING, /* epochs */
};

/**
 * struct follow_status - for those who show it
 * @state: enum follow_state
 * @held: newest epoch that is all here
 * @have: is there a store? Then @store counts
 * @why: why there is no stream any more
 */
struct follow_status {
    enum follow_state state;
    uint64_t held;
    bool have;
    struct store_status store;
    char why[XLC_ERROR_MAX];
};

struct follow;

/**
 * follow_open() - a secondary; its journal is replayed
 * @o: copied, but for the strings
 * @size: of the image
 * @force: an image of which nothing is known may be overwritten
 *
 * An image that needs a new sync, or was a primary's, is no error: it has no
 * store before the stream brings one.
 */
int follow_open(struct follow **out, const struct store_opts *o,
                uint64_t size, bool force, struct xlc_error *err);

/* Start the thread that commits. */
int follow_start(struct follow *f, struct xlc_error *err);

/* End the stream, and close the store in order. NULL is allowed. */
int follow_close(struct follow *f, struct xlc_error *err);

/**
 * follow_attach() - read a primary's stream
 * @fd: taken over in any case
 *
 * The rest is in the status.
 */
int follow_attach(struct follow *f, int fd, struct xlc_error *err);

/* Wait until an epoch is all here (and, with @durable, committed).
 * Return: 0, -ETIMEDOUT, -ENOTCONN. */
int follow_wait(struct follow *f, uint64_t epoch, bool durable,
                uint64_t timeout_ms, struct xlc_error *err);

/* The session decided: this epoch counts. Its commit begins. */
int follow_accept(struct follow *f, uint64_t epoch, struct xlc_error *err);

/**
 * follow_accept_by() - the same, by @how, which calls store_accept() itself
 *
 * No stream begins or ends, and nothing is dropped, meanwhile.
 */
int follow_accept_by(struct follow *f, uint64_t epoch,
                     int (*how)(void *ctx, uint64_t epoch,
                                struct xlc_error *err),
                     void *ctx, struct xlc_error *err);

/* A copy of the guest runs from the image, or no longer: then no sync may
 * begin. */
void follow_hold_up(struct follow *f, bool runs);

/* The store, still ours; NULL: there is none yet. It stays. */
struct store *follow_store(struct follow *f);

/* End the stream; drop what was not accepted. */
int follow_discard(struct follow *f, struct xlc_error *err);

/* End the stream and the committing for good. Return: the store, for a
 * front; NULL if there is none that can be taken over. Still ours. */
struct store *follow_end(struct follow *f, struct xlc_error *err);

void follow_status(struct follow *f, struct follow_status *st);

#endif
