/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rangelock.h - One at a time for each octet of a disk, in order of arrival
 *
 * RULES A8: who holds a range may write locally and put the same write into
 * the peer's queue, and both will see overlapping writes in one order. A
 * request waits for every overlapping one that came before it, also for those
 * that wait themselves, so nobody starves. Holding the whole disk is how all
 * else is brought to rest.
 *
 * The mutex inside guards the list; nothing blocks while it is held.
 */
#ifndef XLC_RANGELOCK_H
#define XLC_RANGELOCK_H

#include <pthread.h>
#include <stdint.h>

#define RANGELOCK_ALL UINT64_MAX

/**
 * struct rangelock_hold - a range that is held or waited for
 *
 * Lives on its owner's stack between rangelock_take() and rangelock_drop().
 */
struct rangelock_hold {
    struct rangelock_hold *older;
    struct rangelock_hold *newer;
    uint64_t off;
    uint64_t end;
};

/**
 * struct rangelock - the ranges of one disk
 * @lock: guards the list
 * @gone: a range was dropped
 * @newest: head of the list, in order of arrival
 * @waiting: how many wait
 */
struct rangelock {
    pthread_mutex_t lock;
    pthread_cond_t gone;
    struct rangelock_hold *newest;
    unsigned int waiting;
};

void rangelock_init(struct rangelock *r);
void rangelock_dispose(struct rangelock *r);

/* @len may be RANGELOCK_ALL, whatever @off is. */
void rangelock_take(struct rangelock *r, struct rangelock_hold *h,
                    uint64_t off, uint64_t len);
void rangelock_drop(struct rangelock *r, struct rangelock_hold *h);

#endif
