/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * front-modes.c - The disk as the guest on this host sees it: its life
 *
 * A takeover with an overlay, and after it the merge, in this order, each
 * durable before the next:
 *   1. the accepted epochs are in the journal
 *   2. the overlay's data and map
 *   3. the image at the newest accepted epoch, an empty journal, and the
 *      identity: primary, the new generation, "an overlay holds newer data"
 *   for each piece, its range held:
 *   4. the overlay's data in the image
 *   5. the overlay's note that the range is clear
 *   at the end:
 *   6. the identity without the overlay; then its files may go
 * A crash before 3 leaves a secondary. After 3 the overlay is opened and
 * merged again: what 5 cleared is in the image and may have been written
 * since, all else is still as the overlay says.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "front-priv.h"

static int open_front(struct front **out, const struct diskio *io,
                      struct xlc_error *err)
{
    struct front *f = calloc(1, sizeof(*f));

    if (f) f->piece = malloc(FRONT_PIECE);
    if (!f || !f->piece) {
        free(f);
        return xlc_error_set(err, -ENOMEM, "no memory for a disk");
    }
    f->io = io;
    rangelock_init(&f->ranges);
    *out = f;
    return 0;
}

int front_open_image(struct front **out, const struct diskio *io, int fd,
                     uint64_t size, struct xlc_error *err)
{
    int rc = open_front(out, io, err);

    if (rc) return rc;
    (*out)->fd = fd;
    (*out)->size = size;
    (*out)->mode = FRONT_DIRECT;
    return 0;
}

int front_open_store(struct front **out, const struct diskio *io,
                     struct store *s, struct xlc_error *err)
{
    struct store_status st;
    int rc = open_front(out, io, err);

    if (rc) return rc;
    store_status(s, &st);
    (*out)->store = s;
    (*out)->fd = store_image_fd(s);
    (*out)->size = st.size;
    return 0;
}

void front_close(struct front *f)
{
    if (!f) return;
    rangelock_dispose(&f->ranges);
    free(f->piece);
    free(f);
}

/* With all ranges held. */
static void set_mode(struct front *f, enum front_mode mode)
{
    __atomic_store_n(&f->mode, mode, __ATOMIC_RELEASE);
}

int front_resume_merge(struct front *f, struct overlay *o,
                       struct xlc_error *err)
{
    struct rangelock_hold h;

    if (front_mode(f) != FRONT_DIRECT)
        return xlc_error_set(err, -EPERM, "only a primary's disk can resume "
                             "a merge");
    rangelock_take(&f->ranges, &h, 0, RANGELOCK_ALL);
    f->overlay = o;
    f->merged = 0;
    set_mode(f, FRONT_MERGING);
    rangelock_drop(&f->ranges, &h);
    return 0;
}

int front_protect(struct front *f, struct bitmap *b,
                  const struct front_mirror *m, struct xlc_error *err)
{
    struct rangelock_hold h;
    struct extent x = { .off = 0 };
    int rc = 0;

    rangelock_take(&f->ranges, &h, 0, RANGELOCK_ALL);
    /* What a second copy wrote before it took over, the old primary never
     * saw. */
    if (b && front_mode(f) == FRONT_MERGING) {
        while (overlay_next(f->overlay, x.off + x.len, &x))
            bitmap_add(b, x.off, x.len);
        rc = bitmap_flush(b, err);
    }
    if (!rc) {
        f->bitmap = b;
        f->mirror = m ? *m : (struct front_mirror){ .put = NULL };
    }
    rangelock_drop(&f->ranges, &h);
    return rc;
}

void front_drain(struct front *f)
{
    struct rangelock_hold h;

    rangelock_take(&f->ranges, &h, 0, RANGELOCK_ALL);
    rangelock_drop(&f->ranges, &h);
}

static int checkpoint_held(struct front *f, struct overlay *o,
                           uint64_t epoch, struct xlc_error *err)
{
    struct grouplog_binding to;
    struct store_status st;
    int rc;

    if (!f->store || front_mode(f) == FRONT_DIRECT ||
        front_mode(f) == FRONT_MERGING)
        return xlc_error_set(err, -EPERM, "this disk is no copy");
    store_status(f->store, &st);
    /* Asked before anything changes: the overlay that is dropped must no
     * longer be what a power cut leaves us with. */
    if (overlay_epoch(o) > st.durable)
        return xlc_error_set(err, -EBUSY, "epoch %" PRIu64 " is not durable "
                             "yet", overlay_epoch(o));
    rc = store_accept(f->store, epoch, err);
    if (rc) return rc;
    store_binding_of(f->store, epoch, &to);
    rc = overlay_start(o, &to, st.durable, err);
    f->overlay = o;
    set_mode(f, rc ? FRONT_CLOSED : FRONT_OVERLAY);
    return rc;
}

int front_checkpoint(struct front *f, struct overlay *o, uint64_t epoch,
                     struct xlc_error *err)
{
    struct rangelock_hold h;
    int rc;

    rangelock_take(&f->ranges, &h, 0, RANGELOCK_ALL);
    rc = checkpoint_held(f, o, epoch, err);
    rangelock_drop(&f->ranges, &h);
    return rc;
}

int front_keep_overlay(struct front *f, struct overlay *o,
                       struct xlc_error *err)
{
    struct rangelock_hold h;

    if (!f->store || front_mode(f) != FRONT_CLOSED)
        return xlc_error_set(err, -EPERM, "only a copy of which no guest runs "
                             "can go on from an overlay");
    rangelock_take(&f->ranges, &h, 0, RANGELOCK_ALL);
    f->overlay = o;
    set_mode(f, FRONT_OVERLAY);
    rangelock_drop(&f->ranges, &h);
    return 0;
}

int front_shut(struct front *f, struct xlc_error *err)
{
    struct rangelock_hold h;

    if (front_mode(f) != FRONT_CLOSED && front_mode(f) != FRONT_OVERLAY)
        return xlc_error_set(err, -EPERM, "this disk is no copy");
    rangelock_take(&f->ranges, &h, 0, RANGELOCK_ALL);
    set_mode(f, FRONT_CLOSED);
    f->overlay = NULL;
    rangelock_drop(&f->ranges, &h);
    return 0;
}

static int takeover_held(struct front *f, uint64_t generation,
                         struct xlc_error *err)
{
    struct store_status st;
    uint64_t over = 0;
    int rc = 0;

    if (!f->store || front_mode(f) == FRONT_DIRECT ||
        front_mode(f) == FRONT_MERGING)
        return xlc_error_set(err, -EPERM, "this disk is no copy");
    store_status(f->store, &st);
    if (front_mode(f) == FRONT_OVERLAY) over = overlay_epoch(f->overlay);
    /* The copy ran from an older epoch: it has to be rolled back, and with it
     * what it wrote. */
    if (over != st.accepted) over = 0;
    if (over) rc = store_settle(f->store, err);
    if (!rc && over) rc = overlay_flush(f->overlay, err);
    if (!rc) rc = store_promote(f->store, generation, over, err);
    if (rc) return rc;
    f->merged = 0;
    set_mode(f, over ? FRONT_MERGING : FRONT_DIRECT);
    return 0;
}

int front_takeover(struct front *f, uint64_t generation,
                   struct xlc_error *err)
{
    struct rangelock_hold h;
    int rc;

    rangelock_take(&f->ranges, &h, 0, RANGELOCK_ALL);
    rc = takeover_held(f, generation, err);
    rangelock_drop(&f->ranges, &h);
    return rc;
}

/* Step 4 for what the overlay has of [@off, @end), without the sync. */
static int copy_down(struct front *f, uint64_t off, uint64_t end,
                     struct xlc_error *err)
{
    int rc = 0;

    while (!rc && off < end) {
        size_t n = end - off < FRONT_PIECE ? (size_t)(end - off)
                                           : FRONT_PIECE;
        size_t done;

        rc = overlay_read(f->overlay, f->piece, n, off, &done, err);
        if (rc == 1) {
            rc = diskio_write(f->io, f->fd, f->piece, done, off);
            if (rc)
                xlc_error_set(err, rc, "the image: %s", strerror(-rc));
        }
        off += done;
    }
    return rc;
}

/* Steps 4 and 5. */
static int merge_range(struct front *f, uint64_t off, uint64_t end,
                       struct xlc_error *err)
{
    struct extent x;
    int rc = copy_down(f, off, end, err);

    if (rc) return rc;
    rc = f->io->ops->sync(f->io->ctx, f->fd);
    if (rc)
        return xlc_error_set(err, rc, "the image: %s", strerror(-rc));
    for (uint64_t at = off; !rc && overlay_next(f->overlay, at, &x);) {
        uint64_t from = x.off < off ? off : x.off, to = x.off + x.len;

        if (from >= end) break;
        if (to > end) to = end;
        rc = overlay_clear(f->overlay, from, to - from, err);
        at = to;
    }
    return rc ? rc : overlay_flush(f->overlay, err);
}

/* The overlay is empty: writes need not look there any more. */
static int end_merge(struct front *f)
{
    struct rangelock_hold h;
    struct extent x;
    bool left;

    rangelock_take(&f->ranges, &h, 0, RANGELOCK_ALL);
    left = overlay_next(f->overlay, 0, &x);
    if (!left) set_mode(f, FRONT_DIRECT);
    rangelock_drop(&f->ranges, &h);
    return left;
}

int front_merge(struct front *f, uint64_t most, struct xlc_error *err)
{
    struct rangelock_hold h;
    uint64_t end, data = 0;
    struct extent x;
    int rc;

    if (front_mode(f) == FRONT_DIRECT) return 0;
    if (front_mode(f) != FRONT_MERGING)
        return xlc_error_set(err, -EPERM, "there is nothing to merge");
    if (!overlay_next(f->overlay, f->merged, &x)) {
        f->merged = 0;
        return end_merge(f);
    }
    if (x.off < f->merged) x.off = f->merged;
    f->merged = end = x.off;
    /* Extents that are near each other share the two syncs. */
    while (data < most && overlay_next(f->overlay, end, &x) &&
           x.off <= f->merged + most) {
        data += x.off + x.len - (x.off > end ? x.off : end);
        end = x.off + x.len;
        if (end > f->merged + most) end = f->merged + most;
        if (end == f->merged + most) break;
    }
    rangelock_take(&f->ranges, &h, f->merged, end - f->merged);
    rc = merge_range(f, f->merged, end, err);
    rangelock_drop(&f->ranges, &h);
    if (rc) return rc;
    f->merged = end;
    return 1;
}
