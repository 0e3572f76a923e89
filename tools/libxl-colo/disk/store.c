/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store.c - The secondary's disk: the open epoch, and reading
 *
 * Theory of operation: epochs that wrote form a list, oldest first, each with
 * a layer. At most the newest is open. A reader finds, under @lock, the newest
 * layer that has the octet it wants; from memory it copies at once, a spill
 * file or the image it reads without the lock (a spill file can't go while a
 * reader holds a reference). An epoch leaves the list only after it was
 * applied, so that the image has what the layer had.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store-priv.h"

/* In-place changes of more than this would hold up readers. */
#define OVERWRITE_MAX (64u << 10)

void store_epoch_put(struct epoch *e)
{
    if (--e->refs) return;
    layer_dispose(&e->layer);
    free(e);
}

static struct epoch *newest(struct store *s)
{
    struct epoch *e = s->oldest;

    while (e && e->newer) e = e->newer;
    return e;
}

static int outside(const struct store *s, uint64_t off, uint64_t len,
                   struct xlc_error *err)
{
    if (off <= s->size && len <= s->size - off) return 0;
    return xlc_error_set(err, -EINVAL, "%" PRIu64 " octets at %" PRIu64
                         " are outside of %s", len, off, s->image);
}

/* With @write held: the open epoch @number, made if there is none. */
static int open_epoch(struct store *s, uint64_t number, struct epoch **out,
                      struct xlc_error *err)
{
    CLEANUP_FREE struct epoch *e = NULL;
    struct epoch *last;
    int rc;

    {
        LOCK_SCOPE(&s->lock);

        if (number <= s->closed)
            return xlc_error_set(err, -EINVAL, "epoch %" PRIu64 " is over",
                                 number);
        last = newest(s);
        if (last && last->state == EPOCH_OPEN) {
            *out = last;
            if (last->number == number) return 0;
            return xlc_error_set(err, -EINVAL, "epoch %" PRIu64 " is still "
                                 "open, and %" PRIu64 " was named",
                                 last->number, number);
        }
    }
    e = calloc(1, sizeof(*e));
    rc = e ? layer_init(&e->layer, &s->pool) : -ENOMEM;
    if (rc) return xlc_error_set(err, rc, "no memory for an epoch");
    e->number = number;
    e->refs = 1;
    LOCK_SCOPE(&s->lock);
    last = newest(s);
    *out = e;
    if (last) last->newer = steal_ptr(&e);
    else s->oldest = steal_ptr(&e);
    return 0;
}

/* The usual fate of a hot block: it is written again in the same epoch. */
static bool overwritten(struct store *s, struct epoch *e, const void *buf,
                        size_t len, uint64_t off)
{
    LOCK_SCOPE(&s->lock);
    struct extent x;

    return len <= OVERWRITE_MAX && extmap_find(&e->layer.map, off, &x) &&
           x.off <= off && x.where != EXTMAP_ZERO &&
           x.off + x.len >= off + len &&
           layer_overwrite(&e->layer, x.where + (off - x.off), buf, len);
}

static int kept_error(struct xlc_error *err, int rc, const struct store *s)
{
    if (rc == -ENOBUFS)
        return xlc_error_set(err, rc, "%s: no more room for the open epoch",
                             s->image);
    return xlc_error_set(err, rc, "%s: keeping the open epoch aside: %s",
                         s->image, strerror(-rc));
}

static int keep(struct store *s, uint64_t number, const void *buf,
                uint64_t len, uint64_t off, struct xlc_error *err)
{
    uint64_t where = EXTMAP_ZERO;
    struct epoch *e = NULL;
    int rc = open_epoch(s, number, &e, err);

    if (rc) return rc;
    if (buf && overwritten(s, e, buf, (size_t)len, off)) return 0;
    rc = layer_charge(&e->layer, buf ? len : 0);
    if (!rc && buf) {
        rc = layer_append(&e->layer, buf, (size_t)len, &where);
        if (rc) layer_refund(&e->layer, len);
    }
    if (!rc) {
        LOCK_SCOPE(&s->lock);

        rc = extmap_set(&e->layer.map, off, len, where);
    }
    return rc ? kept_error(err, rc, s) : 0;
}

/* A write of the peer; without @buf zeroes. */
static int take(struct store *s, uint64_t epoch, const void *buf,
                uint64_t len, uint64_t off, struct xlc_error *err)
{
    LOCK_SCOPE(&s->write);
    int rc = outside(s, off, len, err);

    if (rc || !len) return rc;
    switch (s->mode) {
    case STORE_FOLLOWING:
        return keep(s, epoch, buf, len, off, err);
    case STORE_SYNCING:
        rc = buf ? diskio_write(s->io, s->image_fd, buf, (size_t)len, off)
                 : diskio_zero(s->io, s->image_fd, off, len, true);
        return rc ? xlc_error_set(err, rc, "%s: %s", s->image, strerror(-rc))
                  : 0;
    case STORE_INCONSISTENT:
    case STORE_PROMOTED:
        break;
    }
    return xlc_error_set(err, -EPERM, "%s takes no writes of the peer",
                         s->image);
}

int store_write(struct store *s, uint64_t epoch, const void *buf, size_t len,
                uint64_t off, struct xlc_error *err)
{
    return take(s, epoch, buf, len, off, err);
}

int store_zero(struct store *s, uint64_t epoch, uint64_t off, uint64_t len,
               struct xlc_error *err)
{
    return take(s, epoch, NULL, len, off, err);
}

int store_close_epoch(struct store *s, uint64_t epoch, struct xlc_error *err)
{
    LOCK_SCOPE(&s->write);
    LOCK_SCOPE(&s->lock);
    unsigned int waiting = 0;
    struct epoch *e = s->oldest;

    if (s->mode == STORE_SYNCING) return 0;
    if (s->mode != STORE_FOLLOWING)
        return xlc_error_set(err, -EPERM, "%s has no epochs", s->image);
    if (epoch <= s->closed)
        return xlc_error_set(err, -EINVAL, "epoch %" PRIu64 " is over",
                             epoch);
    for (; e && e->state != EPOCH_OPEN; e = e->newer)
        waiting += e->state == EPOCH_CLOSED;
    if (e && e->number != epoch)
        return xlc_error_set(err, -EINVAL, "epoch %" PRIu64 " is still open, "
                             "and %" PRIu64 " was named", e->number, epoch);
    if (e && waiting >= STORE_CLOSED_MAX)
        return xlc_error_set(err, -ENOBUFS, "%u epochs wait to be accepted",
                             waiting);
    if (e) e->state = EPOCH_CLOSED;
    s->closed = epoch;
    return 0;
}

int store_accept(struct store *s, uint64_t epoch, struct xlc_error *err)
{
    LOCK_SCOPE(&s->lock);

    if (s->mode != STORE_FOLLOWING)
        return xlc_error_set(err, -EPERM, "%s has no epochs", s->image);
    if (epoch > s->closed || epoch < s->accepted)
        return xlc_error_set(err, -EINVAL, "epoch %" PRIu64 " can't be "
                             "accepted: %" PRIu64 " is closed, %" PRIu64
                             " accepted", epoch, s->closed, s->accepted);
    for (struct epoch *e = s->oldest; e && e->number <= epoch; e = e->newer)
        e->state = EPOCH_ACCEPTED;
    s->accepted = epoch;
    return 0;
}

void store_discard(struct store *s)
{
    LOCK_SCOPE(&s->write);
    LOCK_SCOPE(&s->lock);
    struct epoch **at = &s->oldest;

    while (*at && (*at)->state == EPOCH_ACCEPTED) at = &(*at)->newer;
    while (*at) {
        struct epoch *e = *at;

        *at = e->newer;
        store_epoch_put(e);
    }
}

/*
 * With @lock held: who has the octet at @off in this view?
 *
 * Return: the epoch, or NULL for the image; @x is cut to what can be read
 * from there in one go, at most up to @end
 */
static struct epoch *find(struct store *s, enum store_view view,
                          uint64_t off, uint64_t end, struct extent *x)
{
    struct epoch *best = NULL;
    struct extent f;

    *x = (struct extent){ .off = off, .len = end - off };
    for (struct epoch *e = s->oldest; e; e = e->newer) {
        if (view == STORE_ACCEPTED && e->state != EPOCH_ACCEPTED) break;
        if (!extmap_find(&e->layer.map, off, &f) || f.off >= x->off + x->len)
            continue;
        if (f.off > off) { /* newer data begins later: up to there */
            x->len = f.off - off;
            continue;
        }
        best = e;
        if (f.off + f.len < x->off + x->len) x->len = f.off + f.len - off;
        x->where = f.where == EXTMAP_ZERO ? f.where
                                          : f.where + (off - f.off);
    }
    return best;
}

int store_read(struct store *s, enum store_view view, void *buf, size_t len,
               uint64_t off, struct xlc_error *err)
{
    uint8_t *p = buf;
    int rc = outside(s, off, len, err);

    pthread_mutex_lock(&s->lock);
    while (!rc && len) {
        struct extent x;
        struct epoch *e = find(s, view, off, off + len, &x);

        if (e && x.where == EXTMAP_ZERO) {
            memset(p, 0, (size_t)x.len);
        } else if (e && layer_in_memory(&e->layer, x.where, (size_t)x.len)) {
            rc = layer_read(&e->layer, x.where, p, (size_t)x.len);
        } else {
            if (e) e->refs++;
            pthread_mutex_unlock(&s->lock);
            rc = e ? layer_read(&e->layer, x.where, p, (size_t)x.len)
                   : diskio_read(s->io, s->image_fd, p, (size_t)x.len, off);
            pthread_mutex_lock(&s->lock);
            if (e) store_epoch_put(e);
            if (rc)
                xlc_error_set(err, rc, "%s: %s", s->image, strerror(-rc));
        }
        p += x.len;
        off += x.len;
        len -= (size_t)x.len;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void store_status(struct store *s, struct store_status *st)
{
    /* A commit may take long, and who asks must not wait for it. */
    LOCK_SCOPE(&s->lock);

    *st = (struct store_status){ .mode = s->mode,
                                 .size = s->size,
                                 .generation = s->id.generation,
                                 .accepted = s->accepted,
                                 .durable = s->durable,
                                 .kept = layer_pool_used(&s->pool),
                                 .limit = layer_pool_limit(&s->pool),
                                 .journal = s->journal_size,
                                 .replayed = s->replayed,
                                 .failed = s->failed };
}

void store_binding_of(struct store *s, uint64_t epoch,
                      struct grouplog_binding *to)
{
    LOCK_SCOPE(&s->lock);

    *to = store_binding(s, epoch);
}

int store_image_fd(const struct store *s)
{
    return s->image_fd;
}
