/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overlay.c - What a guest wrote that runs beside its original
 *
 * Theory of operation: writes are gathered in a tail in memory, which becomes
 * a group of the log when it is full or flushed. The position that a write
 * will have in the file is known at once, so the map never changes because of
 * that: data at or behind the beginning of the next group is still in memory.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "overlay.h"

/* What the map's memory counts for each extent. */
#define EXTENT_COST 96u

struct tail_entry {
    uint64_t off;
    uint64_t len;
    uint32_t type;
};

/**
 * struct overlay - see overlay.h
 * @lock: guards all that follows
 * @log: the two files; @cur is in use
 * @map: positions in the file @cur
 * @tail: data that is not in the file yet
 * @used: octets of it
 * @entry: its writes; @entries of them
 * @active: it lies over something
 * @failed: a latched error of a sync
 */
struct overlay {
    pthread_mutex_t lock;
    char *path[2];
    struct grouplog log[2];
    unsigned int cur;
    struct extmap map;
    uint64_t limit;
    uint8_t *tail;
    size_t used;
    struct tail_entry *entry;
    uint32_t entries;
    bool active;
    int failed;
};

static struct overlay *prepare(const struct overlay_opts *opts)
{
    struct overlay *o = calloc(1, sizeof(*o));
    bool good = o;

    for (int i = 0; o && i < 2; i++) {
        o->log[i].fd = -1;
        if (asprintf(&o->path[i], "%s/%s.overlay%d", opts->dir, opts->name,
                     i) < 0) {
            o->path[i] = NULL;
            good = false;
        }
    }
    if (!o) return NULL;
    pthread_mutex_init(&o->lock, NULL);
    o->limit = opts->limit;
    o->tail = malloc(OVERLAY_TAIL);
    o->entry = calloc(OVERLAY_ENTRIES, sizeof(*o->entry));
    if (good && o->tail && o->entry) return o;
    overlay_close(o);
    return NULL;
}

void overlay_close(struct overlay *o)
{
    if (!o) return;
    for (int i = 0; i < 2; i++) {
        grouplog_close(&o->log[i]);
        free(o->path[i]);
    }
    extmap_dispose(&o->map);
    free(o->tail);
    free(o->entry);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

int overlay_create(struct overlay **out, const struct overlay_opts *opts,
                   struct xlc_error *err)
{
    static const struct grouplog_binding nothing = { .epoch = 0 };
    struct overlay *o = prepare(opts);
    int rc = 0;

    if (!o) return xlc_error_set(err, -ENOMEM, "no memory for an overlay");
    for (int i = 0; !rc && i < 2; i++)
        rc = grouplog_create(&o->log[i], opts->io, o->path[i],
                             GROUPLOG_OVERLAY, &nothing, err);
    if (rc) overlay_close(o);
    else *out = o;
    return rc;
}

static int loaded(void *ctx, const struct grouplog_entry *e,
                  struct xlc_error *err)
{
    struct overlay *o = ctx;
    int rc;

    if (e->type == GROUPLOG_CLEAR)
        rc = extmap_remove(&o->map, e->off, e->len);
    else
        rc = extmap_set(&o->map, e->off, e->len,
                        e->type == GROUPLOG_ZERO ? EXTMAP_ZERO : e->where);
    return rc ? xlc_error_set(err, rc, "no memory for an overlay") : 0;
}

static bool bound(const struct grouplog *l, const struct grouplog_binding *to)
{
    return !memcmp(l->to.uuid, to->uuid, sizeof(to->uuid)) &&
           l->to.generation == to->generation &&
           l->to.epoch == to->epoch && l->to.size == to->size;
}

int overlay_open(struct overlay **out, const struct overlay_opts *opts,
                 const struct grouplog_binding *to, struct xlc_error *err)
{
    struct grouplog_visitor v = { .entry = loaded };
    struct overlay *o = prepare(opts);
    struct xlc_error mine = XLC_ERROR_INIT;
    int rc = 0;

    if (!o) return xlc_error_set(err, -ENOMEM, "no memory for an overlay");
    v.ctx = o;
    for (unsigned int i = 0; !rc && i < 2; i++) {
        rc = grouplog_open(&o->log[i], opts->io, o->path[i],
                           GROUPLOG_OVERLAY, &mine);
        /* One of the two may well have been torn; it is not the one. */
        if (rc == -ENOENT || rc == -EINVAL) {
            xlc_error_clear(&mine);
            rc = grouplog_create(&o->log[i], opts->io, o->path[i],
                                 GROUPLOG_OVERLAY,
                                 &(struct grouplog_binding){ .epoch = 0 },
                                 &mine);
        } else if (!rc && bound(&o->log[i], to)) {
            o->cur = i;
            o->active = true;
        }
    }
    if (!rc && o->active) rc = grouplog_scan(&o->log[o->cur], &v, &mine);
    if (!rc && !o->active) rc = -ENOENT;
    if (!rc) {
        *out = o;
        return 0;
    }
    overlay_close(o);
    return mine.status ? xlc_error_set(err, rc, "%s", mine.msg) : rc;
}

static void forget(struct overlay *o)
{
    extmap_clear(&o->map);
    o->used = 0;
    o->entries = 0;
    o->active = false;
}

int overlay_start(struct overlay *o, const struct grouplog_binding *to,
                  uint64_t durable, struct xlc_error *err)
{
    LOCK_SCOPE(&o->lock);
    bool was = o->active;
    int rc;

    forget(o);
    if (o->failed)
        return xlc_error_set(err, o->failed, "%s: failed before",
                             o->path[o->cur]);
    if (was && durable < o->log[o->cur].to.epoch)
        return xlc_error_set(err, -EBUSY, "the epoch below the overlay is "
                             "not durable yet");
    rc = grouplog_reset(&o->log[!o->cur], to, false, err);
    if (rc) return rc;
    o->cur = !o->cur;
    o->active = true;
    return 0;
}

uint64_t overlay_epoch(struct overlay *o)
{
    LOCK_SCOPE(&o->lock);

    return o->active ? o->log[o->cur].to.epoch : 0;
}

/* The tail becomes a group. After an error it is still there. */
static int write_tail(struct overlay *o, struct xlc_error *err)
{
    struct grouplog *l = &o->log[o->cur];
    int rc = 0;

    if (!o->entries) return 0;
    rc = grouplog_begin(l, l->to.epoch, o->used, o->entries);
    if (!rc) rc = grouplog_put(l, o->tail, o->used);
    for (uint32_t i = 0; !rc && i < o->entries; i++)
        rc = grouplog_put_entry(l, o->entry[i].type, o->entry[i].off,
                                o->entry[i].len);
    if (!rc) rc = grouplog_end(l);
    if (rc)
        return xlc_error_set(err, rc, "%s: %s", l->path, strerror(-rc));
    o->used = 0;
    o->entries = 0;
    return 0;
}

/* Position in the file of the first octet of the tail. */
static uint64_t tail_at(const struct overlay *o)
{
    return o->log[o->cur].tail + GROUPLOG_GROUP;
}

static bool in_tail(const struct overlay *o, uint64_t where)
{
    return where >= tail_at(o);
}

/* A hot range is written again before its group is. */
static bool overwritten(struct overlay *o, const void *buf, uint64_t len,
                        uint64_t off)
{
    struct extent x;

    if (!buf || !extmap_find(&o->map, off, &x) || x.off > off ||
        x.where == EXTMAP_ZERO || !in_tail(o, x.where) ||
        x.off + x.len < off + len)
        return false;
    memcpy(o->tail + (x.where - tail_at(o)) + (off - x.off), buf,
           (size_t)len);
    return true;
}

static int put_entry(struct overlay *o, uint32_t type, const void *buf,
                     uint64_t len, uint64_t off, struct xlc_error *err)
{
    uint64_t where = tail_at(o) + o->used;
    int rc;

    if (type == GROUPLOG_CLEAR)
        rc = extmap_remove(&o->map, off, len);
    else
        rc = extmap_set(&o->map, off, len, buf ? where : EXTMAP_ZERO);
    if (rc) return xlc_error_set(err, rc, "no memory for the overlay");
    o->entry[o->entries++] = (struct tail_entry){ off, len, type };
    if (buf) {
        memcpy(o->tail + o->used, buf, (size_t)len);
        o->used += (size_t)len;
    }
    return 0;
}

/* With @lock held. */
static uint64_t used_of(const struct overlay *o)
{
    return o->log[o->cur].tail + o->used +
           (uint64_t)o->map.count * EXTENT_COST +
           (uint64_t)o->entries * GROUPLOG_ENTRY;
}

uint64_t overlay_used(struct overlay *o)
{
    LOCK_SCOPE(&o->lock);

    return o->active ? used_of(o) : 0;
}

static bool room_for(const struct overlay *o, uint64_t data)
{
    uint64_t used = used_of(o) +
                    (data / OVERLAY_TAIL + 2) * 2 * GROUPLOG_BLOCK;

    return used < o->limit && data < o->limit - used;
}

int overlay_write(struct overlay *o, const void *buf, uint64_t len,
                  uint64_t off, struct xlc_error *err)
{
    LOCK_SCOPE(&o->lock);
    const uint8_t *p = buf;
    int rc = 0;

    if (!o->active)
        return xlc_error_set(err, -EPERM, "the overlay lies over nothing");
    if (!len || overwritten(o, buf, len, off)) return 0;
    if (!room_for(o, buf ? len : 0))
        return xlc_error_set(err, -ENOBUFS, "%s: the overlay is full",
                             o->path[o->cur]);
    while (!rc && len) {
        uint64_t n = len;

        if (o->entries == OVERLAY_ENTRIES || o->used == OVERLAY_TAIL)
            rc = write_tail(o, err);
        if (p && n > OVERLAY_TAIL - o->used) n = OVERLAY_TAIL - o->used;
        if (!rc)
            rc = put_entry(o, p ? GROUPLOG_DATA : GROUPLOG_ZERO, p, n, off,
                           err);
        p = p ? p + n : NULL;
        off += n;
        len -= n;
    }
    return rc;
}

/* With @lock held. */
static bool run_at(struct overlay *o, uint64_t off, uint64_t *len,
                   uint64_t *where)
{
    struct extent x;

    if (!extmap_find(&o->map, off, &x) || x.off >= off + *len) return false;
    if (x.off > off) {
        *len = x.off - off;
        return false;
    }
    if (x.off + x.len < off + *len) *len = x.off + x.len - off;
    *where = x.where == EXTMAP_ZERO ? x.where : x.where + (off - x.off);
    return true;
}

bool overlay_run(struct overlay *o, uint64_t off, uint64_t *len)
{
    LOCK_SCOPE(&o->lock);
    uint64_t where;

    return run_at(o, off, len, &where);
}

int overlay_read(struct overlay *o, void *buf, size_t len, uint64_t off,
                 size_t *done, struct xlc_error *err)
{
    uint64_t n = len, where;
    struct grouplog *l;
    int rc;

    {
        LOCK_SCOPE(&o->lock);
        bool ours = run_at(o, off, &n, &where);

        *done = (size_t)n;
        if (!ours) return 0;
        if (where == EXTMAP_ZERO) {
            memset(buf, 0, (size_t)n);
            return 1;
        }
        if (in_tail(o, where)) {
            memcpy(buf, o->tail + (where - tail_at(o)), (size_t)n);
            return 1;
        }
        l = &o->log[o->cur];
    }
    /* What is in the file stays there until overlay_start(). */
    rc = diskio_read(l->io, l->fd, buf, (size_t)n, where);
    return rc ? xlc_error_set(err, rc, "%s: %s", l->path, strerror(-rc)) : 1;
}

int overlay_flush(struct overlay *o, struct xlc_error *err)
{
    struct grouplog *l;
    int rc;

    {
        LOCK_SCOPE(&o->lock);

        if (o->failed)
            return xlc_error_set(err, o->failed, "%s: failed before",
                                 o->path[o->cur]);
        if (!o->active) return 0;
        rc = write_tail(o, err);
        if (rc) return rc;
        l = &o->log[o->cur];
    }
    rc = grouplog_sync(l);
    if (!rc) return 0;
    LOCK_SCOPE(&o->lock);
    if (!o->failed) o->failed = rc;
    return xlc_error_set(err, rc, "%s: %s", l->path, strerror(-rc));
}

bool overlay_next(struct overlay *o, uint64_t off, struct extent *x)
{
    LOCK_SCOPE(&o->lock);

    return extmap_find(&o->map, off, x);
}

int overlay_clear(struct overlay *o, uint64_t off, uint64_t len,
                  struct xlc_error *err)
{
    LOCK_SCOPE(&o->lock);
    int rc = 0;

    if (o->entries == OVERLAY_ENTRIES) rc = write_tail(o, err);
    return rc ? rc : put_entry(o, GROUPLOG_CLEAR, NULL, len, off, err);
}

int overlay_remove(const struct overlay_opts *opts, struct xlc_error *err)
{
    char path[DISKIO_PATH_MAX];
    int rc = 0, r;

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s.overlay%d", opts->dir,
                 opts->name, i);
        r = opts->io->ops->unlink(opts->io->ctx, path);
        if (r && r != -ENOENT && !rc)
            rc = xlc_error_set(err, r, "%s: %s", path, strerror(-r));
    }
    return rc ? rc : diskio_sync_parent(opts->io, path, err);
}
