/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pool.c - Slots for frames: reserved at the start, touched when used */
#include <config.h>

#include <errno.h>
#include <sys/mman.h>

#include "engine.h"

static void *reserve(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

int pool_init(struct pool *p, const struct compare_opts *o)
{
    ring_init(&p->free[0]);
    ring_init(&p->free[1]);
    p->n[0] = p->nfree[0] = p->fresh[0] = o->packets;
    p->n[1] = p->nfree[1] = p->fresh[1] = o->jumbos;
    p->bytes_max = o->bytes;
    p->slots_len = ((size_t)o->packets + o->jumbos) * sizeof(*p->slots);
    p->small_len = (size_t)o->packets * SLOT_SMALL;
    p->jumbo_len = (size_t)o->jumbos * PACKET_MAX;
    p->slots = reserve(p->slots_len);
    p->small = reserve(p->small_len);
    p->jumbo = reserve(p->jumbo_len);
    return p->slots && p->small && p->jumbo ? 0 : -ENOMEM;
}

void pool_dispose(struct pool *p)
{
    if (p->slots) munmap(p->slots, p->slots_len);
    if (p->small) munmap(p->small, p->small_len);
    if (p->jumbo) munmap(p->jumbo, p->jumbo_len);
    p->slots = NULL;
    p->small = p->jumbo = NULL;
}

/* A slot that was never used. */
static struct slot *pool_fresh(struct pool *p, bool jumbo)
{
    uint32_t i = --p->fresh[jumbo];
    struct slot *s = &p->slots[jumbo ? p->n[0] + i : i];

    s->buf = jumbo ? p->jumbo + (size_t)i * PACKET_MAX
                   : p->small + (size_t)i * SLOT_SMALL;
    s->jumbo = jumbo;
    return s;
}

/* Return: a slot with its links initialised; NULL if none is left */
struct slot *pool_get(struct pool *p, bool jumbo)
{
    struct slot *s;

    if (!p->nfree[jumbo]) return NULL;
    p->nfree[jumbo]--;
    if (ring_empty(&p->free[jumbo])) {
        s = pool_fresh(p, jumbo);
    } else {
        /* The last one given back is still in the cache. */
        s = ring_entry(p->free[jumbo].prev, struct slot, in_flow);
        ring_del(&s->in_flow);
    }
    ring_init(&s->in_flow);
    ring_init(&s->in_all);
    ring_init(&s->in_wait);
    s->flow = NULL;
    s->matched = false;
    s->pub.frame = s->buf;
    s->pub.len = 0;
    s->pub.made = false;
    return s;
}

void pool_put(struct pool *p, struct slot *s)
{
    p->bytes -= s->pub.len;
    s->pub.len = 0;
    p->nfree[s->jumbo]++;
    ring_add(&p->free[s->jumbo], &s->in_flow);
}

bool pool_room(const struct pool *p, bool spare)
{
    uint64_t limit = spare ? p->bytes_max / 4 * 3 : p->bytes_max;

    return p->nfree[0] > (spare ? p->n[0] / 4 : 0) &&
           p->nfree[1] > (spare ? p->n[1] / 4 : 0) &&
           p->bytes + PACKET_MAX <= limit;
}
