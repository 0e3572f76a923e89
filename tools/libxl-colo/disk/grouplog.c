/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grouplog.c - A file of checksummed groups of writes: writing
 *
 * Theory of operation: two header blocks, of which the whole one with the
 * higher sequence number counts; a new header goes into the block that does
 * not count. Behind them groups, each { group header, data, entries }, each
 * naming the sequence, its own position, and the checksum of its predecessor,
 * so that remains of former groups never fit. The group header is written
 * last, and nothing depends on that.
 *
 * The first sequence number is random: a guest, whose data lies in the groups,
 * can't make its data look like one.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cursor.h"
#include "grouplog-format.h"

static void encode_header(uint8_t *b, const struct grouplog *l)
{
    struct wcur c = { b, GROUPLOG_HEADER, false };

    wcur_u64(&c, GROUPLOG_HEADER_MAGIC);
    wcur_u32(&c, GROUPLOG_VERSION);
    wcur_u32(&c, (uint32_t)l->kind);
    wcur_u64(&c, l->seq);
    wcur_bytes(&c, l->to.uuid, sizeof(l->to.uuid));
    wcur_u64(&c, l->to.generation);
    wcur_u64(&c, l->to.epoch);
    wcur_u64(&c, l->to.size);
    wcur_zero(&c, 16);
    wcur_u64(&c, XXH3_64bits(b, GROUPLOG_HEADER - 8));
}

static int write_header(struct grouplog *l)
{
    uint8_t b[GROUPLOG_HEADER];

    encode_header(b, l);
    l->tail = GROUPLOG_FIRST;
    l->chain = XXH3_64bits(b, sizeof(b));
    l->epoch = l->to.epoch;
    l->groups = 0;
    return diskio_write(l->io, l->fd, b, sizeof(b),
                        (l->seq & 1) * GROUPLOG_BLOCK);
}

int grouplog_prepare(struct grouplog *l, const struct diskio *io,
                     const char *path, enum grouplog_kind kind,
                     unsigned int how, struct xlc_error *err)
{
    *l = (struct grouplog){ .io = io, .path = path, .fd = -1, .kind = kind };
    l->fd = io->ops->open(io->ctx, path, how);
    if (l->fd == -ENOENT) return -ENOENT;
    if (l->fd < 0) {
        int rc = l->fd;

        l->fd = -1;
        return xlc_error_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    l->gather = malloc(GROUPLOG_GATHER);
    l->w.hash = XXH3_createState();
    if (l->gather && l->w.hash) return 0;
    grouplog_close(l);
    return xlc_error_set(err, -ENOMEM, "%s: no memory", path);
}

int grouplog_create(struct grouplog *l, const struct diskio *io,
                    const char *path, enum grouplog_kind kind,
                    const struct grouplog_binding *to, struct xlc_error *err)
{
    int rc = grouplog_prepare(l, io, path, kind,
                              DISKIO_CREATE | DISKIO_TRUNCATE, err);

    if (rc) return rc;
    l->to = *to;
    if (getrandom(&l->seq, sizeof(l->seq), 0) != sizeof(l->seq)) rc = -EIO;
    l->seq >>= 1; /* never wraps */
    if (!rc) rc = io->ops->resize(io->ctx, l->fd, GROUPLOG_FIRST);
    if (!rc) rc = write_header(l);
    if (!rc) rc = grouplog_sync(l);
    if (rc) xlc_error_set(err, rc, "%s: %s", path, strerror(-rc));
    if (!rc) rc = diskio_sync_parent(io, path, err);
    if (rc) grouplog_close(l);
    return rc;
}

void grouplog_close(struct grouplog *l)
{
    if (!l->io) return;
    diskio_close(l->io, &l->fd);
    free(l->gather);
    XXH3_freeState(l->w.hash);
    *l = (struct grouplog){ .fd = -1 };
}

uint64_t grouplog_group_size(uint64_t data, uint32_t entries)
{
    uint64_t size = GROUPLOG_GROUP + data + (uint64_t)entries * GROUPLOG_ENTRY;

    return (size + GROUPLOG_BLOCK - 1) / GROUPLOG_BLOCK * GROUPLOG_BLOCK;
}

int grouplog_begin(struct grouplog *l, uint64_t epoch, uint64_t data,
                   uint32_t entries)
{
    l->w.at = l->tail + GROUPLOG_GROUP;
    l->w.gathered = 0;
    l->w.epoch = epoch;
    l->w.data = data;
    l->w.entries = entries;
    return XXH3_64bits_reset(l->w.hash) == XXH_OK ? 0 : -EINVAL;
}

/* What is no shorter than this is written from where it is. */
#define DIRECT (64u << 10)

static int write_next(struct grouplog *l, const uint8_t *p, size_t len)
{
    int rc;

    XXH3_64bits_update(l->w.hash, p, len);
    rc = diskio_write(l->io, l->fd, p, len, l->w.at);
    l->w.at += len;
    return rc;
}

static int write_gathered(struct grouplog *l)
{
    size_t n = l->w.gathered;

    l->w.gathered = 0;
    return n ? write_next(l, l->gather, n) : 0;
}

int grouplog_put(struct grouplog *l, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    if (len >= DIRECT) {
        int rc = write_gathered(l);

        return rc ? rc : write_next(l, p, len);
    }
    while (len) {
        size_t n = GROUPLOG_GATHER - l->w.gathered;
        int rc = 0;

        if (n > len) n = len;
        memcpy(l->gather + l->w.gathered, p, n);
        l->w.gathered += n;
        p += n;
        len -= n;
        if (l->w.gathered == GROUPLOG_GATHER) rc = write_gathered(l);
        if (rc) return rc;
    }
    return 0;
}

int grouplog_put_entry(struct grouplog *l, uint32_t type, uint64_t off,
                       uint64_t len)
{
    uint8_t b[GROUPLOG_ENTRY];
    struct wcur c = { b, sizeof(b), false };

    wcur_u64(&c, off);
    wcur_u64(&c, len);
    wcur_u32(&c, type);
    wcur_zero(&c, 4);
    return grouplog_put(l, b, sizeof(b));
}

int grouplog_end(struct grouplog *l)
{
    uint8_t b[GROUPLOG_GROUP];
    struct wcur c = { b, sizeof(b), false };
    uint64_t sum;
    int rc = write_gathered(l);

    if (rc) return rc;
    /* The caller promised a size, and its groups must not overlap. */
    if (l->w.at != l->tail + GROUPLOG_GROUP + l->w.data +
                       (uint64_t)l->w.entries * GROUPLOG_ENTRY)
        return -EINVAL;
    wcur_u64(&c, GROUPLOG_GROUP_MAGIC);
    wcur_u64(&c, l->seq);
    wcur_u64(&c, l->tail);
    wcur_u64(&c, l->chain);
    wcur_u64(&c, l->w.epoch);
    wcur_u64(&c, l->w.data);
    wcur_u32(&c, l->w.entries);
    wcur_zero(&c, 4);
    wcur_u64(&c, XXH3_64bits_digest(l->w.hash)); /* of data and entries */
    sum = XXH3_64bits(b, sizeof(b) - 8);
    wcur_u64(&c, sum);
    rc = diskio_write(l->io, l->fd, b, sizeof(b), l->tail);
    if (rc) return rc;
    l->tail += grouplog_group_size(l->w.data, l->w.entries);
    l->chain = sum;
    l->epoch = l->w.epoch;
    l->groups++;
    return 0;
}

int grouplog_sync(struct grouplog *l)
{
    return l->io->ops->sync(l->io->ctx, l->fd);
}

int grouplog_reset(struct grouplog *l, const struct grouplog_binding *to,
                   bool durable, struct xlc_error *err)
{
    int rc;

    l->to = *to;
    l->seq++;
    rc = write_header(l);
    if (!rc && durable) rc = grouplog_sync(l);
    return rc ? xlc_error_set(err, rc, "%s: %s", l->path, strerror(-rc)) : 0;
}
