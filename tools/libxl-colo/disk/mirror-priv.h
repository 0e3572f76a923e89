/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mirror-priv.h - What the files of the mirror share; see mirror.h */
#ifndef XLC_MIRROR_PRIV_H
#define XLC_MIRROR_PRIV_H

#include <pthread.h>

#include "cleanup.h"
#include "mirror.h"
#include "peerq.h"
#include "stream.h"

/* One piece of a sync: its range is held while it is read and queued. */
#define MIRROR_PIECE (256u << 10)

/**
 * struct mirror - see mirror.h
 * @lock: guards what follows
 * @room: something left the queue; @work: something came; @changed: the rest
 * @o: constants, but for the rate
 * @front: @bitmap: the owner's
 * @q: what is not sent yet
 * @fd: the connection; stays open until the threads were joined
 * @threads: running: sender, reader, copier
 * @attaching: one at a time
 * @hurry: the queue has something that must not wait for more
 * @sleeps: the sender waits, and nobody has woken it yet
 * @guess: no sync has ended since what lacks was more than was known to
 *         differ (a start, another peer, its marks); under @lock
 * @summing: the copier asks with a SUM first; its own once it runs
 * @seed: of the checksums; constant of a stream
 * @sums: SUM that were not answered; under @lock
 * @st: what is shown
 */
struct mirror {
    pthread_mutex_t lock;
    pthread_cond_t room;
    pthread_cond_t work;
    pthread_cond_t changed;
    struct mirror_opts o;
    struct front *front;
    struct bitmap *bitmap;
    struct peerq q;
    int fd;
    pthread_t thread[3];
    unsigned int threads;
    pthread_mutex_t attaching;
    bool hurry;
    bool sleeps;
    bool guess;
    bool summing;
    uint64_t seed;
    uint64_t sums;
    struct mirror_status st;
};

/* With @lock held; mirror_put() looks without. */
static inline void mirror_set(struct mirror *m, enum mirror_state state)
{
    __atomic_store_n(&m->st.state, state, __ATOMIC_RELEASE);
}

/* With @lock held: solo from now on; the threads end. */
void mirror_lose(struct mirror *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A chain into the queue; see mirror_put(). NULL: there was no memory. */
uint64_t mirror_push(struct mirror *m, struct peerq_item *chain);

/* With @lock held: the answer to a SUM. */
void mirror_summed(struct mirror *m, const struct diskproto_msg *msg);

/* The handshake; see mirror_attach(). */
int mirror_greet(struct mirror *m, int fd, const struct identity *mine,
                 uint64_t taken, struct xlc_error *err);

void *mirror_copier(void *arg);

#endif
