/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bitmap.c - What the peer may lack: the rules, in memory */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bitmap-priv.h"

/* Extents ahead of a sequential writer that get their intents with it. */
#define AHEAD 16u

uint64_t bitmap_grains(const struct bitmap *b, uint32_t extent)
{
    uint64_t left = b->key.size - extent * bitmap_extent_size(b);
    uint64_t n = (left + (1ull << b->shift) - 1) >> b->shift;

    return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}

void bitmap_intend(struct bitmap *b, uint32_t extent)
{
    bit_set(b->touched, extent);
    if (bit_test(b->intent, extent)) return;
    bit_set(b->intent, extent);
    bit_clear(b->ondisk, extent);
    b->sector_dirty[extent / BITMAP_SECTOR_BITS] = true;
}

/* The grains of @extent that [@off, @end) touches. */
static uint64_t grains_of(const struct bitmap *b, uint32_t extent,
                          uint64_t off, uint64_t end)
{
    uint64_t base = extent * bitmap_extent_size(b);
    uint64_t first = off > base ? (off - base) >> b->shift : 0;
    uint64_t last = (end - 1 - base) >> b->shift, mask;

    if (last > 63) last = 63;
    mask = last == 63 ? UINT64_MAX : (1ull << (last + 1)) - 1;
    return mask & ~((1ull << first) - 1);
}

/* Those that lie wholly in it; the end of the disk counts as a boundary. */
static uint64_t whole_grains_of(const struct bitmap *b, uint32_t extent,
                                uint64_t off, uint64_t end)
{
    uint64_t grain = 1ull << b->shift;
    uint64_t from = (off + grain - 1) & ~(grain - 1);
    uint64_t to = end == b->key.size ? end : end & ~(grain - 1);
    uint64_t base = extent * bitmap_extent_size(b);

    if (from >= to || to <= base || from >= base + bitmap_extent_size(b))
        return 0;
    return grains_of(b, extent, from, to);
}

static void range(const struct bitmap *b, uint64_t off, uint64_t len,
                  uint32_t *first, uint32_t *last)
{
    *first = (uint32_t)(off / bitmap_extent_size(b));
    *last = (uint32_t)((off + len - 1) / bitmap_extent_size(b));
}

/* A writer that goes on behind the last extent pays for some at once. */
static void look_ahead(struct bitmap *b, uint32_t first, uint32_t last)
{
    if (!first || !bit_test(b->intent, first - 1)) return;
    for (uint32_t e = last + 1; e < b->extents && e - last < AHEAD; e++)
        bitmap_intend(b, e);
}

static bool all_on_disk(const struct bitmap *b, uint32_t first,
                        uint32_t last)
{
    for (uint32_t e = first; e <= last; e++)
        if (!bit_test(b->ondisk, e)) return false;
    return true;
}

int bitmap_begin(struct bitmap *b, struct bitmap_hold *h, uint64_t off,
                 uint64_t len, struct xlc_error *err)
{
    uint32_t first, last;
    int rc = 0;

    if (!len || off >= b->key.size || len > b->key.size - off)
        return xlc_error_set(err, -EINVAL, "%" PRIu64 " octets at %" PRIu64
                             " are outside of the disk", len, off);
    range(b, off, len, &first, &last);
    LOCK_SCOPE(&b->lock);
    for (uint32_t e = first; e <= last; e++)
        if (b->inflight[e] == UINT16_MAX)
            return xlc_error_set(err, -EBUSY, "too many writes at once");
    *h = (struct bitmap_hold){ off, len, b->incarnation };
    for (uint32_t e = first; e <= last; e++) {
        b->inflight[e]++;
        if (!bit_test(b->intent, e)) look_ahead(b, e, e);
        bitmap_intend(b, e);
    }
    while (!rc && !b->forgotten && !all_on_disk(b, first, last))
        rc = bitmap_write_out(b, true, err);
    for (uint32_t e = first; rc && e <= last; e++) b->inflight[e]--;
    return rc;
}

void bitmap_copying(struct bitmap *b, const struct bitmap_hold *h)
{
    uint64_t end = h->off + h->len;
    uint32_t first, last;

    range(b, h->off, h->len, &first, &last);
    LOCK_SCOPE(&b->lock);
    for (uint32_t e = first; e <= last; e++)
        b->lacking[e] &= ~whole_grains_of(b, e, h->off, end);
}

void bitmap_end(struct bitmap *b, const struct bitmap_hold *h,
                uint64_t epoch)
{
    uint64_t end = h->off + h->len;
    uint32_t first, last;

    range(b, h->off, h->len, &first, &last);
    LOCK_SCOPE(&b->lock);
    /* Put into the queue of a peer that is gone: as good as not at all. */
    if (h->incarnation != b->incarnation) epoch = 0;
    if (epoch > b->newest) b->newest = epoch;
    for (uint32_t e = first; e <= last; e++) {
        uint64_t grains = grains_of(b, e, h->off, end);

        b->inflight[e]--;
        bit_set(b->touched, e);
        if (!epoch) {
            b->lacking[e] |= grains;
            continue;
        }
        b->fresh[e] |= grains;
    }
}

/* Calls @fn for each extent that has an intent: no other can have grains. */
static void each(struct bitmap *b, void (*fn)(struct bitmap *b, uint32_t e))
{
    for (uint32_t w = 0; w < bitmap_words(b); w++)
        for (uint64_t left = b->intent[w]; left; left &= left - 1)
            fn(b, w * 64 + (uint32_t)__builtin_ctzll(left));
}

static void grow_old(struct bitmap *b, uint32_t e)
{
    b->stale[e] = b->fresh[e];
    b->fresh[e] = 0;
}

static void lose(struct bitmap *b, uint32_t e)
{
    b->lacking[e] |= b->fresh[e] | b->stale[e];
    b->fresh[e] = b->stale[e] = 0;
}

int bitmap_held(struct bitmap *b, uint64_t epoch)
{
    LOCK_SCOPE(&b->lock);

    if (epoch > b->held) b->held = epoch;
    return 0;
}

int bitmap_durable(struct bitmap *b, uint64_t epoch)
{
    LOCK_SCOPE(&b->lock);

    if (epoch > b->held) return -EINVAL;
    if (epoch <= b->durable) return 0;
    b->durable = epoch;
    /* Once for what is stale, once more if all that is fresh is old too. */
    for (int i = 0; i < 2 && b->mark <= epoch; i++) {
        each(b, grow_old);
        b->mark = b->newest;
    }
    return 0;
}

void bitmap_lost(struct bitmap *b)
{
    LOCK_SCOPE(&b->lock);

    each(b, lose);
    b->incarnation++;
}

void bitmap_add(struct bitmap *b, uint64_t off, uint64_t len)
{
    uint32_t first, last;

    if (off >= b->key.size || !len) return;
    if (len > b->key.size - off) len = b->key.size - off;
    range(b, off, len, &first, &last);
    LOCK_SCOPE(&b->lock);
    for (uint32_t e = first; e <= last; e++) {
        b->lacking[e] |= grains_of(b, e, off, off + len);
        bitmap_intend(b, e);
    }
}

void bitmap_add_all(struct bitmap *b)
{
    bitmap_add(b, 0, b->key.size);
}

int bitmap_flush(struct bitmap *b, struct xlc_error *err)
{
    LOCK_SCOPE(&b->lock);
    int rc = 0;

    for (uint32_t w = 0; !rc && !b->forgotten && w < bitmap_words(b); w++)
        while (!rc && !b->forgotten && b->intent[w] & ~b->ondisk[w])
            rc = bitmap_write_out(b, true, err);
    return rc;
}

bool bitmap_next(struct bitmap *b, uint64_t *off, uint64_t *len)
{
    LOCK_SCOPE(&b->lock);
    uint64_t size = bitmap_extent_size(b), from = *off;

    while (from < b->key.size) {
        uint32_t e = (uint32_t)(from / size);
        unsigned int bit = (unsigned int)(from % size >> b->shift), n = 0;
        uint64_t left = b->lacking[e] >> bit;

        if (!left) {
            from = (e + 1ull) * size;
            continue;
        }
        bit += (unsigned int)__builtin_ctzll(left);
        while (bit + n < 64 && b->lacking[e] >> (bit + n) & 1) n++;
        *off = e * size + ((uint64_t)bit << b->shift);
        *len = (uint64_t)n << b->shift;
        if (*len > b->key.size - *off) *len = b->key.size - *off;
        return true;
    }
    return false;
}

int bitmap_clean(struct bitmap *b, struct xlc_error *err)
{
    LOCK_SCOPE(&b->lock);
    bool any = false;

    if (b->forgotten) return 0;
    for (uint32_t e = 0; e < b->extents; e++) {
        if (!bit_test(b->intent, e)) continue;
        if (b->lacking[e] | b->fresh[e] | b->stale[e] || b->inflight[e] ||
            bit_test(b->touched, e)) {
            bit_clear(b->touched, e);
            continue;
        }
        bit_clear(b->intent, e);
        bit_clear(b->ondisk, e);
        b->sector_dirty[e / BITMAP_SECTOR_BITS] = true;
        any = true;
    }
    return any ? bitmap_write_out(b, false, err) : 0;
}

void bitmap_status(struct bitmap *b, struct bitmap_status *st)
{
    LOCK_SCOPE(&b->lock);

    *st = (struct bitmap_status){ .held = b->held,
                                  .durable = b->durable,
                                  .syncs = b->syncs,
                                  .grain = 1ull << b->shift,
                                  .extent = bitmap_extent_size(b),
                                  .forgotten = b->forgotten };
    for (uint32_t e = 0; e < b->extents; e++) {
        uint64_t sent = (b->fresh[e] | b->stale[e]) & ~b->lacking[e];

        st->intents += bit_test(b->intent, e);
        st->lacking += (uint64_t)__builtin_popcountll(b->lacking[e])
                       << b->shift;
        st->unsafe += (uint64_t)__builtin_popcountll(sent) << b->shift;
    }
}
