/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peerq.c - What the peer is to get, in order, with its epoch; bounded */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "peerq.h"

/* Rooms of big items: 64 KiB, twice that, ... up to the largest. */
#define ROOM(class) (64u << 10 << (class))
#define CLASSES 5u

_Static_assert(ROOM(CLASSES - 1) == DISKPROTO_DATA_MAX, "the largest item");

/*
 * Memory of big items, newest first, which is the one still in the caches; a
 * list for each room. @lock guards it: items are made outside of their queue's
 * lock. @octets may be looked at without.
 */
static struct {
    pthread_mutex_t lock;
    struct peerq_item *first[CLASSES];
    uint64_t octets;
} spare = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned int class_of(uint32_t len)
{
    unsigned int class = 0;

    while (ROOM(class) < len) class++;
    return class;
}

/* With the lock of the spares held. */
static struct peerq_item *take_spare(unsigned int class)
{
    struct peerq_item *i = spare.first[class];

    if (!i) return NULL;
    spare.first[class] = i->next;
    __atomic_store_n(&spare.octets, spare.octets - i->room, __ATOMIC_RELAXED);
    return i;
}

static struct peerq_item *new_item(uint32_t len)
{
    struct peerq_item *i = NULL;
    uint32_t room = len;

    if (len >= PEERQ_BIG) {
        unsigned int class = class_of(len);
        LOCK_SCOPE(&spare.lock);

        i = take_spare(class);
        room = ROOM(class);
    }
    if (!i) i = malloc(sizeof(*i) + room);
    if (!i) return NULL;
    memset(i, 0, sizeof(*i));
    i->room = room;
    return i;
}

/* Back, or kept if there are no more than @most octets of spares then. */
static void release(struct peerq_item *i, uint64_t most)
{
    if (i->room >= ROOM(0)) {
        LOCK_SCOPE(&spare.lock);
        struct peerq_item **first = &spare.first[class_of(i->room)];

        if (spare.octets + i->room <= most) {
            i->next = *first;
            *first = i;
            __atomic_store_n(&spare.octets, spare.octets + i->room,
                             __ATOMIC_RELAXED);
            return;
        }
    }
    free(i);
}

/* No more than @most octets of spares, please. */
static void shrink(uint64_t most)
{
    unsigned int class = CLASSES;

    if (peerq_spare() <= most) return;
    LOCK_SCOPE(&spare.lock);
    while (class && spare.octets > most) {
        struct peerq_item *i = take_spare(class - 1);

        if (!i) class--;
        free(i);
    }
}

/* What a queue leaves for the spares. */
static uint64_t most_spares(const struct peerq *q)
{
    uint64_t left = q->limit > q->cost ? q->limit - q->cost : 0;

    return left > PEERQ_SPARE ? left : PEERQ_SPARE;
}

uint64_t peerq_spare(void)
{
    return __atomic_load_n(&spare.octets, __ATOMIC_RELAXED);
}

void peerq_trim(void)
{
    shrink(PEERQ_SPARE);
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

        release(chain, PEERQ_SPARE);
        chain = next;
    }
}

void peerq_close(struct peerq *q)
{
    q->epoch = 0;
    while (q->first) peerq_free(q, peerq_pop(q));
    shrink(0);
}

static struct peerq_item *make(enum diskproto_type type, const void *buf,
                               uint32_t len, uint64_t off)
{
    struct peerq_item *i = new_item(len);

    if (!i) return NULL;
    i->m.type = type;
    i->m.off = off;
    i->m.data = len ? i->data : NULL;
    i->m.len = len;
    /* All of a room may have been written to by somebody larger. */
    i->cost = PEERQ_OVERHEAD + (len ? (uint64_t)i->room : 0u);
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
    shrink(most_spares(q));
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
    release(item, most_spares(q));
}
