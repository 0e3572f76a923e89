/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store-priv.h - What the files of the store share; see store.h for locks */
#ifndef XLC_STORE_PRIV_H
#define XLC_STORE_PRIV_H

#include "cleanup.h"
#include "store.h"

/* What one read or write moves at a time. */
#define STORE_PIECE (256u << 10)

enum epoch_state {
    EPOCH_OPEN,     /* -> CLOSED */
    EPOCH_CLOSED,   /* -> ACCEPTED, or gone */
    EPOCH_ACCEPTED, /* -> applied, and gone */
};

/**
 * struct epoch - an epoch that wrote
 * @newer: the next one
 * @layer: its writes; constant once it is closed
 * @number: which
 * @state: see above
 * @refs: the list, and readers of its spill file
 */
struct epoch {
    struct epoch *newer;
    struct layer layer;
    uint64_t number;
    enum epoch_state state;
    unsigned int refs;
};

/**
 * struct store - see store.h
 * @commit: @write: @lock: the locks, in their order
 * @io: how to reach files
 * @pool: the bounds of all epochs
 * @image: @image_fd: @size: the image
 * @id: @id_path: its identity, as written
 * @journal: @journal_path: accepted epochs
 * @journal_limit: see store_opts
 * @oldest: list of epochs that wrote and are not applied
 * @mode: changed under @write and @lock
 * @closed: newest closed epoch
 * @accepted: newest accepted epoch
 * @durable: newest epoch of which no write can get lost; like @failed,
 *           @journal_size and what changes of @id written under @commit and
 *           @lock
 * @failed: latched error of a sync
 * @journal_size: octets in the journal
 * @copy: STORE_PIECE octets for whoever has @commit
 */
struct store {
    pthread_mutex_t commit;
    pthread_mutex_t write;
    pthread_mutex_t lock;
    const struct diskio *io;
    struct layer_pool pool;
    char *dir;
    char *image;
    int image_fd;
    uint64_t size;
    struct identity id;
    char *id_path;
    struct grouplog journal;
    char *journal_path;
    uint64_t journal_limit;
    uint64_t replayed;
    struct epoch *oldest;
    enum store_mode mode;
    uint64_t closed;
    uint64_t accepted;
    uint64_t durable;
    int failed;
    uint64_t journal_size;
    uint8_t *copy;
};

/* With @lock held. */
void store_epoch_put(struct epoch *e);

/* With @commit held. */
int store_commit_locked(struct store *s, struct xlc_error *err);
int store_trim_locked(struct store *s, struct xlc_error *err);

/* What went wrong in a sync is not known: nothing more is tried. */
int store_fail(struct store *s, int rc, struct xlc_error *err);

/* What the journal belongs to when it is empty at @epoch. */
struct grouplog_binding store_binding(const struct store *s, uint64_t epoch);

#endif
