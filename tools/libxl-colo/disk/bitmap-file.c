/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bitmap-file.c - What the peer may lack: the file
 *
 * Theory of operation: each sector of intents has a checksum of its own, so a
 * torn one costs its own extents and no others. A file is OPEN as long as it
 * is used, and its intents count; it becomes SAVED, so that its grains count,
 * as the last thing of an orderly end. Order: grains, sync, header, sync; and
 * at the start: header OPEN, sync, before anything is written.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include <xxhash.h>

#include "bitmap-priv.h"
#include "cursor.h"

#define BITMAP_MAGIC   0x584c43444249540aull /* "XLCDBIT\n" */
#define BITMAP_VERSION 1u

/* Words of grains that are moved at a time. */
#define PIECE 512u

static uint32_t sectors(const struct bitmap *b)
{
    return (b->extents + BITMAP_SECTOR_BITS - 1) / BITMAP_SECTOR_BITS;
}

static uint64_t grains_at(const struct bitmap *b)
{
    uint64_t end = BITMAP_INTENTS_AT + (uint64_t)sectors(b) * BITMAP_SECTOR;

    return (end + 4095) / 4096 * 4096;
}

struct bitmap *bitmap_alloc(const struct diskio *io, const char *path,
                            const struct bitmap_key *key)
{
    struct bitmap *b = calloc(1, sizeof(*b));
    uint64_t extents;

    if (!b) return NULL;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->synced, NULL);
    b->io = io;
    b->fd = -1;
    b->key = *key;
    b->path = strdup(path);
    b->shift = BITMAP_GRAIN_SHIFT;
    for (;;) {
        extents = (key->size - 1) / bitmap_extent_size(b) + 1;
        if (extents <= BITMAP_EXTENTS_MAX) break;
        b->shift++;
    }
    b->extents = (uint32_t)extents;
    b->lacking = calloc(b->extents, sizeof(*b->lacking));
    b->fresh = calloc(b->extents, sizeof(*b->fresh));
    b->stale = calloc(b->extents, sizeof(*b->stale));
    b->inflight = calloc(b->extents, sizeof(*b->inflight));
    b->intent = calloc(bitmap_words(b), sizeof(*b->intent));
    b->ondisk = calloc(bitmap_words(b), sizeof(*b->ondisk));
    b->touched = calloc(bitmap_words(b), sizeof(*b->touched));
    if (b->path && b->lacking && b->fresh && b->stale && b->inflight &&
        b->intent && b->ondisk && b->touched)
        return b;
    bitmap_free(b);
    return NULL;
}

void bitmap_free(struct bitmap *b)
{
    diskio_close(b->io, &b->fd);
    free(b->path);
    free(b->lacking);
    free(b->fresh);
    free(b->stale);
    free(b->inflight);
    free(b->intent);
    free(b->ondisk);
    free(b->touched);
    pthread_cond_destroy(&b->synced);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static uint64_t sector_sum(const struct bitmap *b, const uint8_t *s,
                           uint32_t n)
{
    return XXH3_64bits_withSeed(s, BITMAP_SECTOR - 8, b->salt ^ n);
}

static void encode_sector(const struct bitmap *b, uint32_t n, uint8_t *s)
{
    struct wcur c = { s + BITMAP_SECTOR - 8, 8, false };
    uint32_t first = n * BITMAP_SECTOR_BITS;

    memset(s, 0, BITMAP_SECTOR - 8);
    for (uint32_t i = 0; i < BITMAP_SECTOR_BITS && first + i < b->extents;
         i++)
        if (bit_test(b->intent, first + i))
            s[i / 8] = (uint8_t)(s[i / 8] | 1u << (i % 8));
    wcur_u64(&c, sector_sum(b, s, n));
}

/* A sector that is not whole says that all of its extents may differ. */
static void decode_sector(struct bitmap *b, uint32_t n, const uint8_t *s)
{
    struct rcur c = { s + BITMAP_SECTOR - 8, 8, false };
    bool whole = rcur_u64(&c) == sector_sum(b, s, n);
    uint32_t first = n * BITMAP_SECTOR_BITS;

    for (uint32_t i = 0; i < BITMAP_SECTOR_BITS && first + i < b->extents;
         i++) {
        if (whole && !(s[i / 8] >> (i % 8) & 1)) continue;
        bit_set(b->intent, first + i);
        if (whole) bit_set(b->ondisk, first + i);
        else b->sector_dirty[n] = true;
    }
}

static int write_header(struct bitmap *b, enum bitmap_state state,
                        uint64_t grains_sum)
{
    uint8_t s[BITMAP_HEADER];
    struct wcur c = { s, sizeof(s), false };
    int rc;

    wcur_u64(&c, BITMAP_MAGIC);
    wcur_u32(&c, BITMAP_VERSION);
    wcur_u32(&c, (uint32_t)state);
    wcur_bytes(&c, b->key.uuid, sizeof(b->key.uuid));
    wcur_u64(&c, b->key.generation);
    wcur_u64(&c, b->key.size);
    wcur_u64(&c, b->salt);
    wcur_u64(&c, grains_sum);
    wcur_u32(&c, b->shift);
    wcur_zero(&c, 4);
    wcur_u64(&c, XXH3_64bits(s, sizeof(s) - 8));
    rc = diskio_write(b->io, b->fd, s, sizeof(s), 0);
    return rc ? rc : b->io->ops->sync(b->io->ctx, b->fd);
}

/* Return: the state, or 0 with a sentence. @sum is of the grains. */
static unsigned int decode_header(struct bitmap *b, const uint8_t *s,
                                  uint64_t *sum, struct xlc_error *why)
{
    struct rcur c = { s, BITMAP_HEADER, false };
    struct bitmap_key key;
    bool magic = rcur_u64(&c) == BITMAP_MAGIC;
    uint32_t version = rcur_u32(&c), state = rcur_u32(&c), shift;

    rcur_bytes(&c, key.uuid, sizeof(key.uuid));
    key.generation = rcur_u64(&c);
    key.size = rcur_u64(&c);
    b->salt = rcur_u64(&c);
    *sum = rcur_u64(&c);
    shift = rcur_u32(&c);
    rcur_zero(&c, 4);
    if (rcur_u64(&c) != XXH3_64bits(s, BITMAP_HEADER - 8) || !rcur_done(&c) ||
        !magic || version != BITMAP_VERSION || shift != b->shift ||
        (state != BITMAP_OPEN && state != BITMAP_SAVED))
        xlc_error_set(why, -EINVAL, "%s is torn or damaged", b->path);
    else if (memcmp(key.uuid, b->key.uuid, sizeof(key.uuid)) ||
             key.generation != b->key.generation || key.size != b->key.size)
        xlc_error_set(why, -ESTALE, "%s is of another history of the disk",
                      b->path);
    else
        return state;
    return 0;
}

/* All sectors of intents and of grains, clean or saved. */
static int write_grains(struct bitmap *b, uint64_t *sum)
{
    uint64_t at = grains_at(b);
    uint8_t piece[PIECE * 8];
    XXH3_state_t *hash = XXH3_createState();
    int rc = hash && XXH3_64bits_reset(hash) == XXH_OK ? 0 : -ENOMEM;

    for (uint32_t e = 0; !rc && e < b->extents; e += PIECE) {
        uint32_t n = b->extents - e < PIECE ? b->extents - e : PIECE;
        struct wcur c = { piece, sizeof(piece), false };

        for (uint32_t i = e; i < e + n; i++)
            wcur_u64(&c, b->lacking[i] | b->fresh[i] | b->stale[i]);
        XXH3_64bits_update(hash, piece, n * 8);
        rc = diskio_write(b->io, b->fd, piece, n * 8, at);
        at += n * 8;
    }
    if (!rc) *sum = XXH3_64bits_digest(hash);
    XXH3_freeState(hash);
    return rc;
}

/* Return: 0; 1 if they are not whole (then nothing was taken); an error. */
static int read_grains(struct bitmap *b, uint64_t want)
{
    uint64_t at = grains_at(b);
    uint8_t piece[PIECE * 8];
    XXH3_state_t *hash = XXH3_createState();
    int rc = hash && XXH3_64bits_reset(hash) == XXH_OK ? 0 : -ENOMEM;

    for (uint32_t e = 0; !rc && e < b->extents; e += PIECE) {
        uint32_t n = b->extents - e < PIECE ? b->extents - e : PIECE;
        struct rcur c = { piece, n * 8, false };

        rc = diskio_read(b->io, b->fd, piece, n * 8, at);
        if (rc) break;
        XXH3_64bits_update(hash, piece, n * 8);
        for (uint32_t i = e; i < e + n; i++)
            b->lacking[i] = rcur_u64(&c) & bitmap_grains(b, i);
        at += n * 8;
    }
    if (!rc && XXH3_64bits_digest(hash) != want) rc = 1;
    if (rc == -ENODATA) rc = 1;
    if (rc) memset(b->lacking, 0, b->extents * sizeof(*b->lacking));
    XXH3_freeState(hash);
    return rc;
}

int bitmap_write_out(struct bitmap *b, bool sync, struct xlc_error *err)
{
    static const size_t most = BITMAP_SECTORS_MAX * BITMAP_SECTOR;
    CLEANUP_FREE uint8_t *copy = NULL;
    bool dirty[BITMAP_SECTORS_MAX];
    int rc = 0;

    if (b->writing) {
        pthread_cond_wait(&b->synced, &b->lock);
        return 0; /* the caller looks again */
    }
    if (b->failed)
        return xlc_error_set(err, b->failed, "%s: failed before", b->path);
    copy = malloc(most);
    if (!copy) return xlc_error_set(err, -ENOMEM, "no memory");
    memcpy(dirty, b->sector_dirty, sizeof(dirty));
    memset(b->sector_dirty, 0, sizeof(b->sector_dirty));
    for (uint32_t n = 0; n < sectors(b); n++)
        if (dirty[n]) encode_sector(b, n, copy + n * BITMAP_SECTOR);
    b->writing = true;
    pthread_mutex_unlock(&b->lock);
    for (uint32_t n = 0; !rc && n < sectors(b); n++)
        if (dirty[n])
            rc = diskio_write(b->io, b->fd, copy + n * BITMAP_SECTOR,
                              BITMAP_SECTOR,
                              BITMAP_INTENTS_AT + n * BITMAP_SECTOR);
    if (!rc && sync) rc = b->io->ops->sync(b->io->ctx, b->fd);
    pthread_mutex_lock(&b->lock);
    b->writing = false;
    b->syncs += sync;
    for (uint32_t n = 0; n < sectors(b); n++) {
        if (!dirty[n]) continue;
        /* Written and not synced is as good as to be written. */
        if (rc || !sync) b->sector_dirty[n] = true;
        for (uint32_t i = 0; !rc && sync && i < BITMAP_SECTOR_BITS; i++) {
            uint32_t e = n * BITMAP_SECTOR_BITS + i;

            if (e < b->extents && bit_test(b->intent, e) &&
                copy[n * BITMAP_SECTOR + i / 8] >> (i % 8) & 1)
                bit_set(b->ondisk, e);
        }
    }
    pthread_cond_broadcast(&b->synced);
    if (rc && sync) b->failed = rc;
    return rc ? xlc_error_set(err, rc, "%s: %s", b->path, strerror(-rc)) : 0;
}

/* A file that says what memory says, OPEN; nothing that was in it counts. */
static int make_file(struct bitmap *b, struct xlc_error *err)
{
    uint8_t s[BITMAP_SECTOR];
    uint64_t sum = 0;
    int rc = 0;

    diskio_close(b->io, &b->fd);
    b->fd = diskio_open(b->io, b->path, DISKIO_CREATE | DISKIO_TRUNCATE, err);
    if (b->fd < 0) {
        rc = b->fd;
        b->fd = -1;
        return rc;
    }
    if (getrandom(&b->salt, sizeof(b->salt), 0) != sizeof(b->salt)) rc = -EIO;
    for (uint32_t n = 0; !rc && n < sectors(b); n++) {
        encode_sector(b, n, s);
        rc = diskio_write(b->io, b->fd, s, sizeof(s),
                          BITMAP_INTENTS_AT + n * BITMAP_SECTOR);
        b->sector_dirty[n] = false;
    }
    /* The room for the grains is taken now, not when the disk is full. */
    if (!rc) rc = write_grains(b, &sum);
    if (!rc) rc = b->io->ops->sync(b->io->ctx, b->fd);
    if (!rc) rc = write_header(b, BITMAP_OPEN, 0);
    if (rc)
        return xlc_error_set(err, rc, "%s: %s", b->path, strerror(-rc));
    memcpy(b->ondisk, b->intent, bitmap_words(b) * sizeof(*b->ondisk));
    return diskio_sync_parent(b->io, b->path, err);
}

static void everything(struct bitmap *b)
{
    for (uint32_t e = 0; e < b->extents; e++) {
        b->lacking[e] = bitmap_grains(b, e);
        bitmap_intend(b, e);
    }
}

static int create(struct bitmap *b, bool lacking, struct bitmap **out,
                  struct xlc_error *err)
{
    int rc;

    if (lacking) everything(b);
    rc = make_file(b, err);
    if (rc) bitmap_free(b);
    else *out = b;
    return rc;
}

int bitmap_create(struct bitmap **out, const struct diskio *io,
                  const char *path, const struct bitmap_key *key,
                  bool lacking, struct xlc_error *err)
{
    struct bitmap *b;

    if (!key->size || key->size > INT64_MAX)
        return xlc_error_set(err, -EINVAL, "%s: a disk of that size can't be "
                             "mirrored", path);
    b = bitmap_alloc(io, path, key);
    if (!b) return xlc_error_set(err, -ENOMEM, "no memory for %s", path);
    return create(b, lacking, out, err);
}

static int read_intents(struct bitmap *b, struct xlc_error *why)
{
    uint8_t s[BITMAP_SECTOR];
    int rc = 0;

    for (uint32_t n = 0; !rc && n < sectors(b); n++) {
        rc = diskio_read(b->io, b->fd, s, sizeof(s),
                         BITMAP_INTENTS_AT + n * BITMAP_SECTOR);
        if (!rc) decode_sector(b, n, s);
    }
    if (rc == -ENODATA)
        return xlc_error_set(why, -EINVAL, "%s is cut off", b->path);
    return rc;
}

/* Return: 0; with a sentence in @why if nothing is known; an error. */
static int load(struct bitmap *b, struct xlc_error *why,
                struct xlc_error *err)
{
    uint8_t s[BITMAP_HEADER];
    unsigned int state = 0;
    uint64_t sum = 0;
    int rc = diskio_read(b->io, b->fd, s, sizeof(s), 0);

    if (rc == -ENODATA) {
        rc = 0;
        xlc_error_set(why, -EINVAL, "%s is cut off", b->path);
    } else if (!rc) {
        state = decode_header(b, s, &sum, why);
    }
    if (!rc && state) rc = read_intents(b, why);
    if (why->status) return 0;
    if (!rc && state == BITMAP_SAVED) rc = read_grains(b, sum);
    if (rc == 1 || (!rc && state == BITMAP_OPEN)) {
        rc = 0;
        for (uint32_t e = 0; e < b->extents; e++)
            if (bit_test(b->intent, e)) b->lacking[e] = bitmap_grains(b, e);
    }
    for (uint32_t e = 0; e < b->extents; e++)
        if (b->lacking[e]) bitmap_intend(b, e);
    if (!rc) rc = write_header(b, BITMAP_OPEN, 0);
    return rc ? xlc_error_set(err, rc, "%s: %s", b->path, strerror(-rc)) : 0;
}

int bitmap_open(struct bitmap **out, const struct diskio *io,
                const char *path, const struct bitmap_key *key,
                struct xlc_error *why, struct xlc_error *err)
{
    struct bitmap *b;
    int rc;

    if (!key->size || key->size > INT64_MAX)
        return xlc_error_set(err, -EINVAL, "%s: a disk of that size can't be "
                             "mirrored", path);
    b = bitmap_alloc(io, path, key);
    if (!b) return xlc_error_set(err, -ENOMEM, "no memory for %s", path);
    b->fd = io->ops->open(io->ctx, path, 0);
    rc = b->fd < 0 ? b->fd : load(b, why, err);
    if (rc == -ENOENT)
        xlc_error_set(why, rc, "%s is missing", path);
    if (why->status) {
        memset(b->intent, 0, bitmap_words(b) * sizeof(*b->intent));
        return create(b, true, out, err);
    }
    if (!rc) rc = bitmap_flush(b, err);
    if (rc) {
        xlc_error_set(err, rc, "%s: %s", path, strerror(-rc));
        bitmap_free(b);
        return rc;
    }
    *out = b;
    return 0;
}

int bitmap_close(struct bitmap *b, struct xlc_error *err)
{
    uint64_t sum = 0;
    int rc = 0;

    if (!b) return 0;
    if (!b->forgotten) {
        rc = b->failed;
        if (!rc) rc = write_grains(b, &sum);
        if (!rc) rc = b->io->ops->sync(b->io->ctx, b->fd);
        if (!rc) rc = write_header(b, BITMAP_SAVED, sum);
        if (rc) xlc_error_set(err, rc, "%s: %s", b->path, strerror(-rc));
    }
    bitmap_free(b);
    return rc;
}

int bitmap_renew(struct bitmap *b, uint64_t generation, struct xlc_error *err)
{
    LOCK_SCOPE(&b->lock);

    while (b->writing) pthread_cond_wait(&b->synced, &b->lock);
    b->key.generation = generation;
    everything(b);
    return b->forgotten ? 0 : make_file(b, err);
}

int bitmap_forget(struct bitmap *b, struct xlc_error *err)
{
    LOCK_SCOPE(&b->lock);
    int rc;

    if (b->forgotten) return 0;
    rc = b->io->ops->unlink(b->io->ctx, b->path);
    if (rc && rc != -ENOENT)
        return xlc_error_set(err, rc, "%s: %s", b->path, strerror(-rc));
    rc = diskio_sync_parent(b->io, b->path, err);
    if (rc) return rc;
    b->forgotten = true;
    pthread_cond_broadcast(&b->synced);
    return 0;
}
