/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer.c - The writes of one epoch, kept aside: memory, then a spill file */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "layer.h"

/* Memory that is kept for the next epoch instead of given back, of what the
 * pool may have: fresh memory would come, zeroed, page by page. */
#define SPARES_PART 2u

void layer_pool_init(struct layer_pool *pool, const struct diskio *io,
                     const char *dir, uint64_t memory_limit,
                     uint64_t spill_limit)
{
    *pool = (struct layer_pool){ .io = io,
                                 .dir = dir,
                                 .memory_limit = memory_limit,
                                 .spill_limit = spill_limit };
    pthread_mutex_init(&pool->lock, NULL);
}

void layer_pool_dispose(struct layer_pool *pool)
{
    while (pool->spare) {
        void *chunk = pool->spare;

        memcpy(&pool->spare, chunk, sizeof(pool->spare));
        free(chunk);
    }
    pool->spares = 0;
    pthread_mutex_destroy(&pool->lock);
}

uint64_t layer_pool_used(struct layer_pool *pool)
{
    LOCK_SCOPE(&pool->lock);

    return pool->used;
}

uint64_t layer_pool_limit(const struct layer_pool *pool)
{
    return pool->memory_limit + pool->spill_limit;
}

/* A chunk of memory, or NULL at the bound (or without memory: the file will
 * do). */
static uint8_t *chunk_take(struct layer_pool *pool)
{
    LOCK_SCOPE(&pool->lock);
    void *chunk = pool->spare;

    if (pool->memory + LAYER_CHUNK > pool->memory_limit) return NULL;
    if (chunk) {
        memcpy(&pool->spare, chunk, sizeof(pool->spare));
        pool->spares--;
    } else {
        chunk = malloc(LAYER_CHUNK);
    }
    if (chunk) pool->memory += LAYER_CHUNK;
    return chunk;
}

static void chunk_give(struct layer_pool *pool, uint8_t *chunk)
{
    LOCK_SCOPE(&pool->lock);

    if (!chunk) return;
    pool->memory -= LAYER_CHUNK;
    if (pool->spares >= pool->memory_limit / LAYER_CHUNK / SPARES_PART) {
        free(chunk);
        return;
    }
    memcpy(chunk, &pool->spare, sizeof(pool->spare));
    pool->spare = chunk;
    pool->spares++;
}

int layer_init(struct layer *l, struct layer_pool *pool)
{
    *l = (struct layer){ .pool = pool, .fd = -1 };
    /* All that the bounds allow, so that it never moves under a reader; what
     * is not used is never touched. The log holds less than was charged. */
    l->room = (size_t)(layer_pool_limit(pool) / LAYER_CHUNK) + 2;
    l->chunk = calloc(l->room, sizeof(*l->chunk));
    return l->chunk ? 0 : -ENOMEM;
}

void layer_dispose(struct layer *l)
{
    if (!l || !l->pool) return;
    for (size_t i = 0; i < l->chunks; i++) chunk_give(l->pool, l->chunk[i]);
    free(l->chunk);
    extmap_dispose(&l->map);
    diskio_close(l->pool->io, &l->fd);
    pthread_mutex_lock(&l->pool->lock);
    l->pool->used -= l->charged;
    pthread_mutex_unlock(&l->pool->lock);
    *l = (struct layer){ .fd = -1 };
}

int layer_charge(struct layer *l, uint64_t len)
{
    struct layer_pool *pool = l->pool;
    LOCK_SCOPE(&pool->lock);
    uint64_t left = layer_pool_limit(pool) - pool->used;

    if (len > left || left - len < LAYER_OVERHEAD) return -ENOBUFS;
    pool->used += len + LAYER_OVERHEAD;
    l->charged += len + LAYER_OVERHEAD;
    return 0;
}

void layer_refund(struct layer *l, uint64_t len)
{
    LOCK_SCOPE(&l->pool->lock);

    l->pool->used -= len + LAYER_OVERHEAD;
    l->charged -= len + LAYER_OVERHEAD;
}

/* The part of [@at, @at + @len) that is in one chunk. */
static size_t part(uint64_t at, size_t len)
{
    size_t n = LAYER_CHUNK - (size_t)(at % LAYER_CHUNK);

    return n < len ? n : len;
}

static int spill(struct layer *l, const void *buf, size_t len, uint64_t at)
{
    if (l->fd < 0) {
        const struct diskio *io = l->pool->io;
        int fd = io->ops->open(io->ctx, l->pool->dir, DISKIO_TEMP);

        if (fd < 0) return fd;
        l->fd = fd;
    }
    return diskio_write(l->pool->io, l->fd, buf, len, at);
}

int layer_append(struct layer *l, const void *buf, size_t len,
                 uint64_t *where)
{
    const uint8_t *p = buf;
    uint64_t at = l->data, end = at + len;

    if (end > (uint64_t)l->room * LAYER_CHUNK) return -ENOBUFS;
    while (at < end) {
        size_t i = (size_t)(at / LAYER_CHUNK);
        size_t n = part(at, (size_t)(end - at));
        int rc;

        if (i == l->chunks) {
            l->chunk[i] = chunk_take(l->pool);
            l->chunks++;
        }
        if (l->chunk[i]) {
            memcpy(l->chunk[i] + at % LAYER_CHUNK, p, n);
        } else {
            rc = spill(l, p, n, at);
            if (rc) return rc;
        }
        p += n;
        at += n;
    }
    *where = l->data;
    l->data = end;
    return 0;
}

bool layer_in_memory(const struct layer *l, uint64_t where, size_t len)
{
    for (uint64_t at = where, end = where + len; at < end;) {
        if (!l->chunk[at / LAYER_CHUNK]) return false;
        at += part(at, (size_t)(end - at));
    }
    return true;
}

bool layer_overwrite(struct layer *l, uint64_t where, const void *buf,
                     size_t len)
{
    const uint8_t *p = buf;

    if (!layer_in_memory(l, where, len)) return false;
    while (len) {
        size_t n = part(where, len);

        memcpy(l->chunk[where / LAYER_CHUNK] + where % LAYER_CHUNK, p, n);
        p += n;
        where += n;
        len -= n;
    }
    return true;
}

const uint8_t *layer_peek(const struct layer *l, uint64_t where, size_t len,
                          size_t *n)
{
    const uint8_t *chunk = l->chunk[where / LAYER_CHUNK];

    *n = part(where, len);
    return chunk ? chunk + where % LAYER_CHUNK : NULL;
}

int layer_read(const struct layer *l, uint64_t where, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len) {
        size_t n = part(where, len);
        const uint8_t *chunk = l->chunk[where / LAYER_CHUNK];

        if (chunk) {
            memcpy(p, chunk + where % LAYER_CHUNK, n);
        } else {
            int rc = diskio_read(l->pool->io, l->fd, p, n, where);

            if (rc) return rc;
        }
        p += n;
        where += n;
        len -= n;
    }
    return 0;
}
