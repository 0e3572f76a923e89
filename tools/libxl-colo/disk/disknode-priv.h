/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disknode-priv.h - What the files of the node share; see disknode.h */
#ifndef XLC_DISKNODE_PRIV_H
#define XLC_DISKNODE_PRIV_H

#include <pthread.h>

#include "cleanup.h"
#include "disknode.h"

/**
 * struct disknode_conn - one NBD connection
 * @lock: guards @fenced, @busy
 * @idle: @busy became 0
 * @next: in the node's list, under its @conns_lock
 * @busy: requests in flight
 */
struct disknode_conn {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct disknode *node;
    struct disknode_conn *next;
    bool fenced;
    unsigned int busy;
};

/**
 * struct disknode - see disknode.h
 * @session: one session call at a time that changes role or protection;
 *           outermost; @id, @taken
 * @conns_lock: @conns, @served
 * @state_lock: innermost: pointers below it, which are set once and stay
 * @fd: of a primary's or plain image; else -1
 * @id: the identity, of a primary
 * @taken: see mirror_basis()
 * @served: NBD connections are let in
 * @front: NULL before a takeover
 * @follow: a secondary's; stays, ended, after a takeover: it has the store
 * @tick: thread that clears intents
 */
struct disknode {
    pthread_mutex_t session;
    pthread_mutex_t conns_lock;
    pthread_mutex_t state_lock;
    pthread_cond_t ticked;
    struct disknode_opts o;
    const struct diskio *io;
    uint64_t size;
    int fd;
    char *id_path;
    char *bitmap_path;
    struct identity id;
    uint64_t taken;
    struct disknode_conn *conns;
    bool served;
    struct front *front;
    struct bitmap *bitmap;
    struct mirror *mirror;
    struct follow *follow;
    bool primary;
    pthread_t tick;
    bool ticking;
    bool ending;
};

/* With @session held: from now on it is remembered what the peer lacks. */
int disknode_remember(struct disknode *n, struct bitmap *b,
                      struct xlc_error *err);

/* With @session held: what the peer made durable goes into the identity;
 * before the bitmap forgets it. */
int disknode_note(struct disknode *n, struct xlc_error *err);

#endif
