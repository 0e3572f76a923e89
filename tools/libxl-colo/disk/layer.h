/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * layer.h - The writes of one epoch, kept aside: memory, then a spill file
 *
 * A layer is an extmap and the data that it points to. The data is a log in
 * chunks: each chunk is memory while the pool has some, then lies in a file
 * without a name, so that a crash leaves nothing behind. All layers of a pool
 * share its bounds.
 *
 * Locks: the pool's own mutex guards its counters and its spare chunks. A
 * layer is guarded by its owner: one thread at a time appends; what was
 * appended may be read by others as soon as the owner published it (extmap_set
 * under a lock that the readers take).
 */
#ifndef XLC_LAYER_H
#define XLC_LAYER_H

#include <pthread.h>

#include "diskio.h"
#include "extmap.h"

#define LAYER_CHUNK (256u << 10)

/* What a write costs beyond its data, so that many tiny ones end too. */
#define LAYER_OVERHEAD 96u

/**
 * struct layer_pool - the bounds that layers share
 * @lock: guards what follows it
 * @io: for the spill files
 * @dir: the folder they are in
 * @memory_limit: octets of data in memory
 * @spill_limit: octets of data in files
 * @memory: in use
 * @used: in use in both, with overhead
 * @spare: chunks for the next layer, linked through their first octets
 * @spares: how many
 */
struct layer_pool {
    const struct diskio *io;
    const char *dir;
    uint64_t memory_limit;
    uint64_t spill_limit;
    pthread_mutex_t lock;
    uint64_t memory;
    uint64_t used;
    void *spare;
    unsigned int spares;
};

/**
 * struct layer - see above
 * @pool: whose bounds
 * @map: what it holds
 * @data: octets in the log
 * @charged: what it took from the pool's @used
 * @chunk: memory of each chunk, NULL if it is in the file
 * @chunks: entries of @chunk that are in use
 * @room: entries of @chunk
 * @fd: the spill file, or -1
 */
struct layer {
    struct layer_pool *pool;
    struct extmap map;
    uint64_t data;
    uint64_t charged;
    uint8_t **chunk;
    size_t chunks;
    size_t room;
    int fd;
};

void layer_pool_init(struct layer_pool *pool, const struct diskio *io,
                     const char *dir, uint64_t memory_limit,
                     uint64_t spill_limit);
void layer_pool_dispose(struct layer_pool *pool);

/* Octets in use, overhead included; and how many of them may be. */
uint64_t layer_pool_used(struct layer_pool *pool);
uint64_t layer_pool_limit(const struct layer_pool *pool);

/* Return: 0 or -ENOMEM. */
int layer_init(struct layer *l, struct layer_pool *pool);
void layer_dispose(struct layer *l);

/**
 * layer_charge() - ask for room
 * @len: octets of data, 0 for an extent of zeroes
 *
 * Return: 0, or -ENOBUFS: the bound is reached, nothing was taken
 */
int layer_charge(struct layer *l, uint64_t len);

/* Give back a charge for what was not appended. */
void layer_refund(struct layer *l, uint64_t len);

/**
 * layer_append() - put data, charged before, at the log's end
 * @where: set to its position
 *
 * Return: 0; -ENOMEM; the spill file's error. After an error the log is as it
 * was.
 */
int layer_append(struct layer *l, const void *buf, size_t len,
                 uint64_t *where);

/* Replace data that is wholly in memory. Return: false if it isn't. */
bool layer_overwrite(struct layer *l, uint64_t where, const void *buf,
                     size_t len);

/* Is all of this range in memory? Then reading it does no I/O. */
bool layer_in_memory(const struct layer *l, uint64_t where, size_t len);

/* What is in memory of this range without a gap: @n octets from the pointer
 * on. NULL if its begin is in the file. */
const uint8_t *layer_peek(const struct layer *l, uint64_t where, size_t len,
                          size_t *n);

/* Return: 0 or the spill file's error. */
int layer_read(const struct layer *l, uint64_t where, void *buf, size_t len);

#endif
