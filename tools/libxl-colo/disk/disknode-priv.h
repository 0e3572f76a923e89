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
 * struct disknode_grave - what a takeover was that was taken back
 * @next: an older one
 */
struct disknode_grave {
    struct disknode_grave *next;
    struct front *front;
    struct bitmap *bitmap;
    struct mirror *mirror;
    struct follow *follow;
    struct overlay *overlay;
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
 * @started: threads may be started
 * @overlay: what COLO's copy writes; changed under @session and @state_lock
 * @merger: thread that merges it after a takeover, if @merging; it gives up
 *          if @unmerge
 * @pieces: that were merged; under @state_lock, with @ticked
 * @merge_failed: 0, or why the merge does not go on; under @state_lock
 * @before: generation before the takeover
 * @given_up: UNTAKE came, and before a TAKEOVER perhaps, which then does not
 *            count; until the next session's stream; atomic
 * @wrote: a guest wrote; atomic
 * @graves: of takeovers that were taken back
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
    bool started;
    struct overlay *overlay;
    pthread_t merger;
    bool merging;
    bool unmerge;
    unsigned int pieces;
    int merge_failed;
    uint64_t before;
    bool given_up;
    bool wrote;
    struct disknode_grave *graves;
};

/* With @session held: from now on it is remembered what the peer lacks. */
int disknode_remember(struct disknode *n, struct bitmap *b,
                      struct xlc_error *err);

/* With @session held: what the peer made durable goes into the identity;
 * before the bitmap forgets it. */
int disknode_note(struct disknode *n, struct xlc_error *err);

int disknode_open_secondary(struct disknode *n, struct xlc_error *err);

/* ---- disknode-conn.c ----------------------------------------------------- */

/* All connections there are end; new ones may come. */
void disknode_fence(struct disknode *n);

/* No request is in flight, and none begins before disknode_go_on(). -EBUSY if
 * one is. With it @conns_lock is held. */
int disknode_stop_requests(struct disknode *n, struct xlc_error *err);
void disknode_go_on(struct disknode *n);

/* ---- disknode-take.c; with @session held --------------------------------- */

/* @left: with what a copy left behind that a former process served. */
int disknode_takeover(struct disknode *n, uint64_t generation, bool left,
                      struct xlc_error *err);
int disknode_untake(struct disknode *n, struct xlc_error *err);
int disknode_bury(struct disknode *n, struct xlc_error *err);

/* A copy's, over its store: once there it stays until that is buried. */
int disknode_need_front(struct disknode *n, struct store *s,
                        struct xlc_error *err);

/* ---- disknode-svm.c; with @session held, but for put() and epoch() ------- */

int disknode_svm_open(struct disknode *n, struct xlc_error *err);
int disknode_checkpoint(struct disknode *n, uint64_t epoch,
                        struct xlc_error *err);
int disknode_svm_close(struct disknode *n, struct xlc_error *err);

/* What the overlay lies over; 0: nothing. */
uint64_t disknode_svm_epoch(struct disknode *n);

/* Go on from an overlay that lies over the newest epoch, if there is one. */
int disknode_left_overlay(struct disknode *n, struct xlc_error *err);

/* A primary whose merge ended: the files may still be there. */
void disknode_no_overlay(struct disknode *n);

/* A primary whose identity says that an overlay has newer data. */
int disknode_resume_merge(struct disknode *n, struct xlc_error *err);

/* If there is something to merge. */
int disknode_start_merge(struct disknode *n, struct xlc_error *err);

/* Merge no further; what is not merged is thrown away. Nobody is served.
 * Return: the overlay, for the grave: the front may still be flushing it. */
struct overlay *disknode_end_merge(struct disknode *n);

/* A guest's write; without @buf zeroes. */
int disknode_put(struct disknode *n, const void *buf, uint32_t len,
                 uint64_t off, struct xlc_error *err);

#endif
