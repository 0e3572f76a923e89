/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peerq.c - What the peer is to get, in order, with its epoch; bounded */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "peerq.h"

/*
 * Memory of big items, newest first, which is the one still in the caches.
 * @lock guards it: items are made outside of their queue's lock.
 */
static struct {
    pthread_mutex_t lock;
    struct peerq_item *first;
    uint64_t octets;
} spare = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct peerq_item *take_spare(uint32_t len)
{
    LOCK_SCOPE(&spare.lock);

    for (struct peerq_item **at = &spare.first; *at; at = &(*at)->next) {
        struct peerq_item *i = *at;

        /* Not much larger: what it costs is what it takes. */
        if (i->room < len || i->room / 2 > len) continue;
        *at = i->next;
        spare.octets -= i->room;
        return i;
    }
    return NULL;
}

static void release(struct peerq_item *i)
{
    if (i->room >= PEERQ_BIG) {
        LOCK_SCOPE(&spare.lock);

        if (spare.octets + i->room <= PEERQ_SPARE) {
            i->next = spare.first;
            spare.first = i;
            spare.octets += i->room;
            return;
        }
    }
    free(i);
}

static void forget_spares(void)
{
    LOCK_SCOPE(&spare.lock);

    while (spare.first) {
        struct peerq_item *i = spare.first;

        spare.first = i->next;
        free(i);
    }
    spare.octets = 0;
}

void peerq_init(struct peerq *q, uint64_t limit)
{
    *q = (struct peerq){ .limit = limit };
}

void peerq_open(struct peerq *q, uint64_t epoch)
{
    q->epoch = epoch;
    q->marked = epoch - 1;
}

void peerq_drop(struct peerq_item *chain)
{
    while (chain) {
        struct peerq_item *next = chain->next;

        release(chain);
        chain = next;
    }
}

void peerq_close(struct peerq *q)
{
    q->epoch = 0;
    while (q->first) peerq_free(q, peerq_pop(q));
    forget_spares();
}

static struct peerq_item *make(enum diskproto_type type, const void *buf,
                               uint32_t len, uint64_t off)
{
    struct peerq_item *i = len >= PEERQ_BIG ? take_spare(len) : NULL;
    uint32_t room = i ? i->room : len;

    if (!i) i = malloc(sizeof(*i) + len);
    if (!i) return NULL;
    memset(i, 0, sizeof(*i));
    i->room = room;
    i->m.type = type;
    i->m.off = off;
    i->m.data = len ? i->data : NULL;
    i->m.len = len;
    i->cost = PEERQ_OVERHEAD + (uint64_t)len;
    if (len) memcpy(i->data, buf, len);
    return i;
}

struct peerq_item *peerq_make(const void *buf, uint64_t len, uint64_t off)
{
    struct peerq_item *first = NULL, **end = &first;
    const uint8_t *p = buf;

    if (!p) {
        first = make(DISKPROTO_ZERO, NULL, 0, off);
        if (first) first->m.u.count = len;
        return first;
    }
    while (len) {
        uint32_t n = len < DISKPROTO_DATA_MAX ? (uint32_t)len
                                              : DISKPROTO_DATA_MAX;

        *end = make(DISKPROTO_WRITE, p, n, off);
        if (!*end) {
            peerq_drop(first);
            return NULL;
        }
        end = &(*end)->next;
        p += n;
        off += n;
        len -= n;
    }
    return first;
}

struct peerq_item *peerq_make_sum(const struct diskproto_sum *sum,
                                  uint64_t off)
{
    struct peerq_item *i = make(DISKPROTO_SUM, NULL, 0, off);

    if (i) i->m.u.sum = *sum;
    return i;
}

static void append(struct peerq *q, struct peerq_item *first,
                   struct peerq_item *last)
{
    if (q->last) q->last->next = first;
    else q->first = first;
    q->last = last;
}

uint64_t peerq_push(struct peerq *q, struct peerq_item *chain)
{
    struct peerq_item *last = chain;
    uint64_t cost = 0;

    for (struct peerq_item *i = chain; i; i = i->next) cost += i->cost;
    if (!q->epoch || (q->cost && (q->cost > q->limit ||
                                  cost > q->limit - q->cost)))
        return 0;
    for (struct peerq_item *i = chain; i; i = i->next) {
        i->m.epoch = q->epoch;
        last = i;
    }
    append(q, chain, last);
    q->cost += cost;
    return q->epoch;
}

int peerq_mark(struct peerq *q, uint64_t epoch, enum diskproto_type type)
{
    struct peerq_item *i;

    if (!epoch || epoch != q->epoch) return -EINVAL;
    i = make(type, NULL, 0, 0);
    if (!i) return -ENOMEM;
    i->m.epoch = epoch;
    append(q, i, i);
    q->cost += i->cost;
    q->marked = epoch;
    q->epoch = epoch + 1;
    return 0;
}

struct peerq_item *peerq_pop(struct peerq *q)
{
    struct peerq_item *i = q->first;

    if (!i) return NULL;
    q->first = i->next;
    if (!q->first) q->last = NULL;
    i->next = NULL;
    return i;
}

void peerq_free(struct peerq *q, struct peerq_item *item)
{
    q->cost -= item->cost;
    release(item);
}
