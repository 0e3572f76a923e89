/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * front.c - The disk as the guest on this host sees it: requests
 *
 * Theory of operation: a write holds its range from before the intent until
 * after it is in the queue. A read holds nothing: it looks up where the data
 * is, and data only moves (from an epoch or the overlay to the image) in ways
 * that leave both places right until the move is over.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "front-priv.h"

static int outside(const struct front *f, uint64_t off, uint64_t len,
                   struct xlc_error *err)
{
    if (off <= f->size && len <= f->size - off) return 0;
    return xlc_error_set(err, -EINVAL, "%" PRIu64 " octets at %" PRIu64
                         " are outside of the disk", len, off);
}

static int image_error(struct xlc_error *err, int rc)
{
    return rc ? xlc_error_set(err, rc, "the image: %s", strerror(-rc)) : 0;
}

/* What lies below the overlay. */
static int read_below(struct front *f, void *buf, size_t len, uint64_t off,
                      struct xlc_error *err)
{
    if (f->store)
        return store_read(f->store, STORE_ACCEPTED, buf, len, off, err);
    return image_error(err, diskio_read(f->io, f->fd, buf, len, off));
}

int front_read(struct front *f, void *buf, size_t len, uint64_t off,
               struct xlc_error *err)
{
    enum front_mode mode = front_mode(f);
    uint8_t *p = buf;
    int rc = outside(f, off, len, err);

    if (!rc && mode == FRONT_CLOSED)
        rc = xlc_error_set(err, -EPERM, "no guest runs from this disk here");
    while (!rc && len) {
        size_t done = len;

        if (mode != FRONT_DIRECT)
            rc = overlay_read(f->overlay, p, len, off, &done, err);
        if (rc < 0) break;
        rc = rc ? 0 : read_below(f, p, done, off, err);
        p += done;
        off += done;
        len -= done;
    }
    return rc;
}

static int write_image(struct front *f, const void *buf, uint64_t len,
                       uint64_t off, struct xlc_error *err)
{
    return image_error(err, buf ? diskio_write(f->io, f->fd, buf, (size_t)len,
                                               off)
                                : diskio_zero(f->io, f->fd, off, len, true));
}

/* Where the overlay still has something, newer data must lie over it: after a
 * crash it would be merged over the image again. */
static int write_merging(struct front *f, const uint8_t *p, uint64_t len,
                         uint64_t off, struct xlc_error *err)
{
    int rc = 0;

    while (!rc && len) {
        uint64_t n = len;

        if (overlay_run(f->overlay, off, &n))
            rc = overlay_write(f->overlay, p, n, off, err);
        else
            rc = write_image(f, p, n, off, err);
        p = p ? p + n : NULL;
        off += n;
        len -= n;
    }
    return rc;
}

/* With the range held. */
static int write_local(struct front *f, const void *buf, uint64_t len,
                       uint64_t off, struct xlc_error *err)
{
    switch (front_mode(f)) {
    case FRONT_DIRECT:
        return write_image(f, buf, len, off, err);
    case FRONT_OVERLAY:
        return overlay_write(f->overlay, buf, len, off, err);
    case FRONT_MERGING:
        return write_merging(f, buf, len, off, err);
    case FRONT_CLOSED:
        break;
    }
    return xlc_error_set(err, -EPERM, "no guest runs from this disk here");
}

/* The intent. If the bitmap's file can't be written any more it goes, durably
 * (after a crash everything is compared), and the guest goes on. */
static int intend(struct front *f, struct bitmap_hold *h, uint64_t off,
                  uint64_t len, struct xlc_error *err)
{
    struct xlc_error why = XLC_ERROR_INIT;
    int rc = bitmap_begin(f->bitmap, h, off, len, &why);

    if (rc && rc != -EINVAL && rc != -EBUSY && !bitmap_forget(f->bitmap, NULL))
        rc = bitmap_begin(f->bitmap, h, off, len, &why);
    return rc ? xlc_error_set(err, rc, "%s", why.msg) : 0;
}

static int write_held(struct front *f, const void *buf, uint64_t len,
                      uint64_t off, struct xlc_error *err)
{
    struct bitmap_hold h;
    uint64_t epoch = 0;
    int rc;

    if (!f->bitmap) return write_local(f, buf, len, off, err);
    rc = intend(f, &h, off, len, err);
    if (rc) return rc;
    rc = write_local(f, buf, len, off, err);
    /* A write that failed may be there in part: the peer lacks it. */
    if (!rc && f->mirror.put)
        epoch = f->mirror.put(f->mirror.ctx, buf, len, off);
    bitmap_end(f->bitmap, &h, epoch);
    return rc;
}

static int request(struct front *f, const void *buf, uint64_t len,
                   uint64_t off, struct xlc_error *err)
{
    struct rangelock_hold h;
    int rc = outside(f, off, len, err);

    if (rc || !len) return rc;
    rangelock_take(&f->ranges, &h, off, len);
    rc = write_held(f, buf, len, off, err);
    rangelock_drop(&f->ranges, &h);
    return rc;
}

int front_write(struct front *f, const void *buf, size_t len, uint64_t off,
                struct xlc_error *err)
{
    return request(f, buf, len, off, err);
}

int front_zero(struct front *f, uint64_t len, uint64_t off,
               struct xlc_error *err)
{
    return request(f, NULL, len, off, err);
}

int front_copy(struct front *f, void *buf, size_t len, uint64_t off,
               struct xlc_error *err)
{
    struct rangelock_hold r;
    struct bitmap_hold h;
    uint64_t epoch = 0;
    int rc = outside(f, off, len, err);

    if (rc || !len) return rc;
    rangelock_take(&f->ranges, &r, off, len);
    if (!f->bitmap || !f->mirror.put)
        rc = xlc_error_set(err, -ENOTCONN, "there is no mirror");
    if (!rc) rc = bitmap_begin(f->bitmap, &h, off, len, err);
    if (!rc) {
        rc = front_read(f, buf, len, off, err);
        if (!rc) bitmap_copying(f->bitmap, &h);
        if (!rc)
            epoch = (f->mirror.copy ? f->mirror.copy : f->mirror.put)(
                f->mirror.ctx, buf, len, off);
        bitmap_end(f->bitmap, &h, epoch);
        if (!rc && !epoch)
            rc = xlc_error_set(err, -ENOTCONN, "the mirror is gone");
    }
    rangelock_drop(&f->ranges, &r);
    return rc;
}

static int flush(struct front *f, enum front_mode mode, struct xlc_error *err)
{
    int rc = 0;

    if (mode == FRONT_CLOSED)
        return xlc_error_set(err, -EPERM, "no guest runs from this disk "
                             "here");
    /* The overlay only counts over an image that is durable where it lies
     * over it (RULES B3). */
    if (mode == FRONT_OVERLAY)
        rc = store_settle(f->store, err);
    else
        rc = image_error(err, f->io->ops->sync(f->io->ctx, f->fd));
    if (!rc && mode != FRONT_DIRECT) rc = overlay_flush(f->overlay, err);
    return rc;
}

int front_flush(struct front *f, struct xlc_error *err)
{
    struct xlc_error mine;
    enum front_mode mode;
    int rc;

    do { /* a takeover may come between */
        mine = (struct xlc_error)XLC_ERROR_INIT;
        mode = front_mode(f);
        rc = flush(f, mode, &mine);
    } while (rc == -EPERM && mode != front_mode(f));
    return rc ? xlc_error_set(err, rc, "%s", mine.msg) : 0;
}

enum front_mode front_mode(struct front *f)
{
    return __atomic_load_n(&f->mode, __ATOMIC_ACQUIRE);
}
