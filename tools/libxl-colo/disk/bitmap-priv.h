/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bitmap-priv.h - What the files of the bitmap share; see bitmap.h */
#ifndef XLC_BITMAP_PRIV_H
#define XLC_BITMAP_PRIV_H

#include <pthread.h>

#include "bitmap.h"
#include "cleanup.h"

/* The file: a header block, sectors of intents, words of grains. */
#define BITMAP_SECTOR      512u
#define BITMAP_SECTOR_BITS ((BITMAP_SECTOR - 8u) * 8u)
#define BITMAP_INTENTS_AT  4096u
#define BITMAP_HEADER      80u
#define BITMAP_SECTORS_MAX (BITMAP_EXTENTS_MAX / BITMAP_SECTOR_BITS + 1u)

enum bitmap_state {
    BITMAP_OPEN = 1,  /* the intents count */
    BITMAP_SAVED = 2, /* the grains do */
};

/**
 * struct bitmap - see bitmap.h
 * @lock: guards everything but the file
 * @synced: the writer ended
 * @io: @path: @fd: the file, which belongs to the thread that is @writing
 * @key: whose
 * @salt: of this file; sectors of another one don't fit
 * @shift: of a grain
 * @extents: how many
 * @lacking: @fresh: @stale: a word of grains for each extent; sent ones are
 *           fresh, and stale once all of them are of epochs up to @mark
 * @inflight: for each extent, holds
 * @intent: a bit for each extent: it is, or is about to be, in the file
 * @ondisk: a bit: it is durable there
 * @touched: a bit: not clean since the last bitmap_clean()
 * @sector_dirty: sectors of intents to be written
 * @writing: a thread writes; others wait for @synced
 * @mark: see @stale
 * @newest: epoch of any fresh grain
 * @forgotten: there is no file any more
 * @failed: of a sync
 */
struct bitmap {
    pthread_mutex_t lock;
    pthread_cond_t synced;
    const struct diskio *io;
    char *path;
    int fd;
    struct bitmap_key key;
    uint64_t salt;
    unsigned int shift;
    uint32_t extents;
    uint64_t *lacking;
    uint64_t *fresh;
    uint64_t *stale;
    uint16_t *inflight;
    uint64_t *intent;
    uint64_t *ondisk;
    uint64_t *touched;
    bool sector_dirty[BITMAP_SECTORS_MAX];
    bool writing;
    uint64_t held;
    uint64_t durable;
    uint64_t mark;
    uint64_t newest;
    uint64_t incarnation;
    uint64_t syncs;
    bool forgotten;
    int failed;
};

static inline bool bit_test(const uint64_t *map, uint32_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(uint64_t *map, uint32_t i)
{
    map[i / 64] |= 1ull << (i % 64);
}

static inline void bit_clear(uint64_t *map, uint32_t i)
{
    map[i / 64] &= ~(1ull << (i % 64));
}

static inline uint32_t bitmap_words(const struct bitmap *b)
{
    return (b->extents + 63) / 64;
}

static inline uint64_t bitmap_extent_size(const struct bitmap *b)
{
    return 64ull << b->shift;
}

/* Grains of this extent that exist; the last extent may be short. */
uint64_t bitmap_grains(const struct bitmap *b, uint32_t extent);

/* With @lock held: this extent's intent goes to the file with the next
 * sync. */
void bitmap_intend(struct bitmap *b, uint32_t extent);

/* Memory for a key; fd is -1. NULL without memory. */
struct bitmap *bitmap_alloc(const struct diskio *io, const char *path,
                            const struct bitmap_key *key);
void bitmap_free(struct bitmap *b);

/* With @lock held, which is dropped meanwhile: dirty sectors to the file. */
int bitmap_write_out(struct bitmap *b, bool sync, struct xlc_error *err);

#endif
