/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rangelock.c - One at a time for each octet of a disk, in order of arrival */
#include <config.h>

#include <stdbool.h>
#include <stddef.h>

#include "cleanup.h"
#include "rangelock.h"

void rangelock_init(struct rangelock *r)
{
    *r = (struct rangelock){ .newest = NULL };
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->gone, NULL);
}

void rangelock_dispose(struct rangelock *r)
{
    pthread_cond_destroy(&r->gone);
    pthread_mutex_destroy(&r->lock);
}

/* The list is as long as there are requests in flight: a few dozen. */
static bool must_wait(const struct rangelock_hold *h)
{
    for (const struct rangelock_hold *o = h->older; o; o = o->older)
        if (o->off < h->end && h->off < o->end) return true;
    return false;
}

void rangelock_take(struct rangelock *r, struct rangelock_hold *h,
                    uint64_t off, uint64_t len)
{
    LOCK_SCOPE(&r->lock);

    h->off = len == RANGELOCK_ALL ? 0 : off;
    h->end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
    if (len == RANGELOCK_ALL) h->end = UINT64_MAX;
    h->older = r->newest;
    h->newer = NULL;
    if (h->older) h->older->newer = h;
    r->newest = h;
    while (must_wait(h)) {
        r->waiting++;
        pthread_cond_wait(&r->gone, &r->lock);
        r->waiting--;
    }
}

void rangelock_drop(struct rangelock *r, struct rangelock_hold *h)
{
    LOCK_SCOPE(&r->lock);

    if (h->older) h->older->newer = h->newer;
    if (h->newer) h->newer->older = h->older;
    else r->newest = h->older;
    if (r->waiting) pthread_cond_broadcast(&r->gone);
}
