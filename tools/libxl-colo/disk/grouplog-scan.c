/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grouplog-scan.c - A file of checksummed groups of writes: reading
 *
 * Theory of operation: a group is read twice. The first time its checksum and
 * each of its entries is checked, the second time the visitor is told, so
 * that a visitor never sees a part of a group that is not whole. Memory is
 * bounded, whatever the file says: data and entries pass through the gather
 * buffer.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cursor.h"
#include "grouplog-format.h"

/* One group, as its header says. */
struct group {
    uint64_t at;
    uint64_t chain;
    uint64_t epoch;
    uint64_t data;
    uint32_t entries;
    uint64_t body; /* checksum of data and entries */
    uint64_t sum;  /* of the header, and so of all */
};

static bool decode_header(struct grouplog *l, const uint8_t *b)
{
    struct rcur c = { b, GROUPLOG_HEADER, false };
    struct grouplog n = *l;
    bool magic = rcur_u64(&c) == GROUPLOG_HEADER_MAGIC;
    uint32_t version = rcur_u32(&c), kind = rcur_u32(&c);

    n.seq = rcur_u64(&c);
    rcur_bytes(&c, n.to.uuid, sizeof(n.to.uuid));
    n.to.generation = rcur_u64(&c);
    n.to.epoch = rcur_u64(&c);
    n.to.size = rcur_u64(&c);
    rcur_zero(&c, 16);
    if (!magic || version != GROUPLOG_VERSION || kind != (uint32_t)l->kind ||
        rcur_u64(&c) != XXH3_64bits(b, GROUPLOG_HEADER - 8) ||
        !rcur_done(&c) || n.to.size > INT64_MAX)
        return false;
    if (l->chain && l->seq > n.seq) return true; /* the other block counts */
    n.tail = GROUPLOG_FIRST;
    n.chain = XXH3_64bits(b, GROUPLOG_HEADER);
    n.epoch = n.to.epoch;
    *l = n;
    return true;
}

int grouplog_open(struct grouplog *l, const struct diskio *io,
                  const char *path, enum grouplog_kind kind,
                  struct xlc_error *err)
{
    uint8_t b[GROUPLOG_HEADER];
    int rc = grouplog_prepare(l, io, path, kind, 0, err);
    bool found = false;

    for (unsigned int slot = 0; !rc && slot < 2; slot++) {
        rc = diskio_read(io, l->fd, b, sizeof(b), slot * GROUPLOG_BLOCK);
        if (!rc && decode_header(l, b)) found = true;
        if (rc == -ENODATA) rc = 0;
        if (rc) xlc_error_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    if (!rc && !found)
        rc = xlc_error_set(err, -EINVAL, "%s: torn, or not a file of this "
                           "program", path);
    if (rc && rc != -ENOENT) grouplog_close(l);
    return rc;
}

/* A group header with a right checksum, of a sequence, at this place. */
static bool decode_group(uint64_t seq, const uint8_t *b, uint64_t at,
                         struct group *g)
{
    struct rcur c = { b, GROUPLOG_GROUP, false };
    bool fits = rcur_u64(&c) == GROUPLOG_GROUP_MAGIC &&
                rcur_u64(&c) == seq;

    g->at = rcur_u64(&c);
    g->chain = rcur_u64(&c);
    g->epoch = rcur_u64(&c);
    g->data = rcur_u64(&c);
    g->entries = rcur_u32(&c);
    rcur_zero(&c, 4);
    g->body = rcur_u64(&c);
    g->sum = rcur_u64(&c);
    return fits && rcur_done(&c) && g->at == at &&
           g->sum == XXH3_64bits(b, GROUPLOG_GROUP - 8);
}

static int fail(const struct grouplog *l, int rc, struct xlc_error *err)
{
    return xlc_error_set(err, rc, "%s: %s", l->path, strerror(-rc));
}

/* The checksum of what follows the header. */
static int check_body(struct grouplog *l, const struct group *g,
                      uint64_t size, bool *whole)
{
    uint64_t at = g->at + GROUPLOG_GROUP, left;

    *whole = false;
    if (g->data > size || at > size - g->data ||
        (size - g->data - at) / GROUPLOG_ENTRY < g->entries)
        return 0;
    left = g->data + (uint64_t)g->entries * GROUPLOG_ENTRY;
    if (XXH3_64bits_reset(l->w.hash) != XXH_OK) return -EINVAL;
    while (left) {
        size_t n = left < GROUPLOG_GATHER ? (size_t)left : GROUPLOG_GATHER;
        int rc = diskio_read(l->io, l->fd, l->gather, n, at);

        if (rc) return rc;
        XXH3_64bits_update(l->w.hash, l->gather, n);
        at += n;
        left -= n;
    }
    *whole = XXH3_64bits_digest(l->w.hash) == g->body;
    return 0;
}

static bool decode_entry(const struct grouplog *l, struct rcur *c,
                         struct grouplog_entry *e)
{
    e->off = rcur_u64(c);
    e->len = rcur_u64(c);
    e->type = rcur_u32(c);
    rcur_zero(c, 4);
    return !c->bad && e->len && e->off <= l->to.size &&
           e->len <= l->to.size - e->off &&
           (e->type == GROUPLOG_DATA || e->type == GROUPLOG_ZERO ||
            (e->type == GROUPLOG_CLEAR && l->kind == GROUPLOG_OVERLAY));
}

/*
 * All entries, checked; @v is told of each unless it is NULL. The pieces of
 * the table are read where the visitor can't disturb them.
 */
static int walk(struct grouplog *l, const struct group *g,
                const struct grouplog_visitor *v, struct xlc_error *err)
{
    uint8_t piece[128 * GROUPLOG_ENTRY];
    uint64_t at = g->at + GROUPLOG_GROUP + g->data;
    uint64_t where = g->at + GROUPLOG_GROUP, data_left = g->data;

    for (uint32_t left = g->entries; left;) {
        uint32_t n = left < 128 ? left : 128;
        struct rcur c = { piece, n * GROUPLOG_ENTRY, false };
        int rc = diskio_read(l->io, l->fd, piece, n * GROUPLOG_ENTRY, at);

        if (rc) return fail(l, rc, err);
        for (uint32_t i = 0; i < n; i++) {
            struct grouplog_entry e = { .where = where };
            bool sound = decode_entry(l, &c, &e);

            if (sound && e.type == GROUPLOG_DATA) {
                sound = e.len <= data_left;
                where += e.len;
                data_left -= sound ? e.len : 0;
            }
            if (!sound)
                return xlc_error_set(err, -EINVAL, "%s: the group at %" PRIu64
                                     " makes no sense", l->path, g->at);
            rc = v ? v->entry(v->ctx, &e, err) : 0;
            if (rc) return rc;
        }
        left -= n;
        at += n * GROUPLOG_ENTRY;
    }
    if (data_left)
        return xlc_error_set(err, -EINVAL, "%s: the group at %" PRIu64
                             " makes no sense", l->path, g->at);
    return 0;
}

/*
 * Is there a group of this sequence behind the one that is not whole? Or of
 * the next sequence at the beginning, whose header is gone? Neither can be
 * what a power cut leaves.
 */
static int look_beyond(struct grouplog *l, uint64_t size,
                       struct xlc_error *err)
{
    uint64_t at = l->groups ? l->tail + GROUPLOG_BLOCK : GROUPLOG_FIRST;
    uint8_t b[GROUPLOG_GROUP];
    struct group g;

    for (; at + GROUPLOG_GROUP <= size; at += GROUPLOG_BLOCK) {
        int rc = diskio_read(l->io, l->fd, b, sizeof(b), at);

        if (rc) return fail(l, rc, err);
        if ((at > l->tail && decode_group(l->seq, b, at, &g)) ||
            (at == GROUPLOG_FIRST && decode_group(l->seq + 1, b, at, &g)))
            return xlc_error_set(err, -EUCLEAN, "%s: damaged in the middle "
                                 "(at %" PRIu64 "); the image has to be "
                                 "synchronised again", l->path, l->tail);
    }
    return 0;
}

/* The group at the tail. Return: 1 if it is whole, 0 if not, or an error. */
static int next_group(struct grouplog *l, uint64_t size, struct group *g,
                      struct xlc_error *err)
{
    uint8_t b[GROUPLOG_GROUP];
    bool whole;
    int rc;

    if (l->tail > size || size - l->tail < GROUPLOG_GROUP) return 0;
    rc = diskio_read(l->io, l->fd, b, sizeof(b), l->tail);
    if (rc) return fail(l, rc, err);
    if (!decode_group(l->seq, b, l->tail, g) || g->chain != l->chain) return 0;
    rc = check_body(l, g, size, &whole);
    if (rc) return fail(l, rc, err);
    if (whole && g->epoch < l->epoch)
        return xlc_error_set(err, -EINVAL, "%s: epochs run backwards",
                             l->path);
    return whole;
}

int grouplog_scan(struct grouplog *l, const struct grouplog_visitor *v,
                  struct xlc_error *err)
{
    uint64_t size = 0;
    struct group g;
    int rc = l->io->ops->size(l->io->ctx, l->fd, &size);

    if (rc) return fail(l, rc, err);
    for (;;) {
        rc = next_group(l, size, &g, err);
        if (rc <= 0) break;
        rc = walk(l, &g, NULL, err);
        if (!rc && v->group) rc = v->group(v->ctx, g.epoch, err);
        if (!rc) rc = walk(l, &g, v, err);
        if (rc) return rc;
        l->tail += grouplog_group_size(g.data, g.entries);
        l->chain = g.sum;
        l->epoch = g.epoch;
        l->groups++;
    }
    if (!rc && l->kind == GROUPLOG_JOURNAL) rc = look_beyond(l, size, err);
    return rc;
}
