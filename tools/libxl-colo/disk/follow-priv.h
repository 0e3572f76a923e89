/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* follow-priv.h - What the files of the follower share; see follow.h */
#ifndef XLC_FOLLOW_PRIV_H
#define XLC_FOLLOW_PRIV_H

#include <pthread.h>

#include "cleanup.h"
#include "follow.h"
#include "stream.h"

/**
 * struct follow - see follow.h
 * @lock: guards @cut to @st; @store is set once, under it
 * @sending: the socket, for a STATE or an ERROR; taken outside of @lock
 * @attaching: begin and end of the stream, one at a time; outermost
 * @changed: of everything
 * @o: @size: @force: @id_path: @bitmap_path: constant
 * @id: of the image before there was a store; the reader's once it runs
 * @store: NULL before the first SYNC of an image that is no copy
 * @fd: the stream; stays open until the reader was joined
 * @reading: @committing: threads to be joined; @ended: no stream any more;
 *           under @attaching
 * @begun: SYNC was there; the reader's
 * @foreign: what is known of the image does not count: @force, and it is of
 *           another guest or had another size
 * @held_up: a copy of the guest runs from the image: no sync
 * @cut: the stream is to end
 * @ending: so is the committer
 * @accepted: there is something to commit
 */
struct follow {
    pthread_mutex_t lock;
    pthread_mutex_t sending;
    pthread_mutex_t attaching;
    pthread_cond_t changed;
    struct store_opts o;
    uint64_t size;
    bool force;
    char *id_path;
    char *bitmap_path;
    struct identity id;
    struct store *store;
    int fd;
    pthread_t reader;
    pthread_t committer;
    bool reading;
    bool committing;
    bool ended;
    bool foreign;
    bool held_up;
    bool begun;
    bool cut;
    bool ending;
    bool accepted;
    struct follow_status st;
};

void *follow_reader(void *arg);

/* Tell the peer what we have; without a stream nothing happens. */
void follow_say_state(struct follow *f);

/* Tell the peer why we give up, and end the stream. */
void follow_fail(struct follow *f, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Wait for a change, not for long. With @lock held. */
void follow_pause(struct follow *f, uint64_t ms);

#endif
