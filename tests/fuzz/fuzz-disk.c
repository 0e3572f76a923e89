/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-disk.c - The block mirror's files, after whatever happened to them
 *
 * The first octet says which file the rest is: 0 an identity, 1 a journal, 2
 * an overlay, 3 a bitmap; 128 more: with right checksums, so that what they
 * guard is reached. Gaps between a file's parts are left out. 4: what another
 * host says of its identity.
 *
 * What is believed lies within the disk; what is refused comes with a
 * sentence; an overlay reads back; a bitmap that is not understood says that
 * everything may differ.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "claim.h"
#include "cursor.h"
#include "fake-disk.h"
#include "front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)            \
    do {                      \
        if (!(cond)) abort(); \
    } while (0)

#define DISK    (1u << 20)
#define AT_MOST (64u << 10) /* octets of an input */
#define PATH    "/d/x.overlay0"

static uint64_t get64(const uint8_t *b)
{
    struct rcur c = { b, 8, false };

    return rcur_u64(&c);
}

static void put64(uint8_t *b, uint64_t v)
{
    struct wcur c = { b, 8, false };

    wcur_u64(&c, v);
}

/* A sum over what is before it. */
static void sum(uint8_t *b, size_t len)
{
    put64(b + len - 8, XXH3_64bits(b, len - 8));
}

static void identity(uint8_t *b, size_t len, bool fix)
{
    uint8_t again[IDENTITY_FILE_MAX];
    struct xlc_error err = XLC_ERROR_INIT;
    struct identity id, before;
    int rc;

    if (fix && len >= 8) sum(b, len);
    memset(&id, 0x5a, sizeof(id));
    before = id;
    rc = identity_decode(&id, b, len, &err);
    if (rc) {
        MUST(rc == -EINVAL && err.msg[0]);
        MUST(!memcmp(&id, &before, sizeof(id)));
        return;
    }
    MUST(identity_encode(&id, again) == len && !memcmp(again, b, len));
}

/* Whatever it says, a guest does not start from what it calls newer. */
static void answer(const uint8_t *b, size_t len)
{
    struct xlc_error err = XLC_ERROR_INIT, why = XLC_ERROR_INIT;
    struct identity mine = { .generation = 3, .role = IDENTITY_PRIMARY,
                             .image = "/x" };
    struct claim_answer a;
    int rc = claim_parse(&a, (const char *)b, len, &err);

    MUST(!rc || (rc == -EPROTO && err.msg[0]));
    if (rc) return;
    memcpy(mine.uuid, a.id.uuid, sizeof(mine.uuid));
    rc = claim_judge(&mine, &a, "b", &why);
    MUST(!rc == !why.msg[0]);
    if (!a.known || a.id.generation > 3) MUST(rc);
    identity_set_claim(&mine, IDENTITY_TAKEN);
    xlc_error_clear(&why);
    rc = claim_judge(&mine, &a, "b", &why);
    MUST(!rc == !why.msg[0]);
    if (!a.known || a.id.generation > 3 || a.served || a.solo) MUST(rc);
}

/* Every group fits what is before it; what they say stays as it is. */
static void fix_groups(uint8_t *b, size_t size)
{
    uint64_t at = GROUPLOG_FIRST, seq, chain;

    sum(b, GROUPLOG_HEADER);
    seq = get64(b + 16);
    chain = XXH3_64bits(b, GROUPLOG_HEADER);
    while (at + GROUPLOG_GROUP <= size) {
        uint8_t *g = b + at;
        uint64_t data = get64(g + 40) % 4096, entries = g[51] % 8;
        size_t body = (size_t)(data + entries * GROUPLOG_ENTRY);

        if (at + GROUPLOG_GROUP + body > size) return;
        put64(g + 8, seq);
        put64(g + 16, at);
        put64(g + 24, chain);
        put64(g + 40, data);
        put64(g + 48, entries << 32);
        put64(g + 56, XXH3_64bits(g + GROUPLOG_GROUP, body));
        chain = XXH3_64bits(g, GROUPLOG_GROUP - 8);
        put64(g + 64, chain);
        at += grouplog_group_size(data, (uint32_t)entries);
    }
}

struct seen {
    const struct grouplog *l;
    uint64_t size;
};

static int see(void *ctx, const struct grouplog_entry *e,
               struct xlc_error *err)
{
    const struct seen *s = ctx;

    (void)err;
    MUST(e->len && e->off <= s->l->to.size);
    MUST(e->len <= s->l->to.size - e->off);
    if (e->type == GROUPLOG_DATA)
        MUST(e->where >= GROUPLOG_FIRST && e->where + e->len <= s->size);
    return 0;
}

static void read_overlay(const struct diskio *io,
                         const struct grouplog_binding *to)
{
    struct overlay_opts oo = { io, "/d", "x", 1 << 20 };
    struct xlc_error err = XLC_ERROR_INIT;
    struct overlay *o = NULL;
    struct extent x = { .off = 0 };
    uint8_t b[256];
    size_t done;

    if (overlay_open(&o, &oo, to, &err)) return;
    while (overlay_next(o, x.off + x.len, &x)) {
        MUST(x.len && x.off + x.len <= to->size);
        MUST(overlay_read(o, b, sizeof(b), x.off, &done, &err) == 1);
        MUST(done && done <= sizeof(b));
    }
    overlay_close(o);
}

static void grouplog(const struct diskio *io,
                     enum grouplog_kind kind, size_t size)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct grouplog l;
    struct seen seen = { &l, size };
    struct grouplog_visitor v = { .entry = see, .ctx = &seen };
    struct grouplog_binding to;
    int rc = grouplog_open(&l, io, PATH, kind, &err);

    if (!rc) {
        to = l.to;
        rc = grouplog_scan(&l, &v, &err);
        grouplog_close(&l);
        if (kind == GROUPLOG_OVERLAY && to.size) read_overlay(io, &to);
    }
    MUST(!rc || ((rc == -EINVAL || rc == -EUCLEAN) && err.msg[0]));
}

static void bitmap(const struct diskio *io)
{
    struct xlc_error why = XLC_ERROR_INIT, err = XLC_ERROR_INIT;
    struct bitmap_key key = { { 1 }, 1, 9u << 20 };
    uint64_t off = 0, len, end = 0;
    struct bitmap *b = NULL;

    MUST(!bitmap_open(&b, io, PATH, &key, &why, &err));
    while (bitmap_next(b, &off, &len)) {
        MUST(len && off >= end && len <= key.size - off);
        MUST(!why.status || off == end);
        end = off += len;
    }
    MUST(!why.status || (end == key.size && why.msg[0]));
    MUST(!bitmap_close(b, &err));
}

/* The parts of a file at their places. */
static uint8_t *spread(const uint8_t *data, size_t size, size_t head,
                       size_t rest_at, size_t *len)
{
    uint8_t *b;

    *len = size > head ? rest_at + size - head : size;
    b = calloc(1, *len + rest_at + GROUPLOG_HEADER);
    MUST(b);
    memcpy(b, data, size < head ? size : head);
    if (size > head) memcpy(b + rest_at, data + head, size - head);
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_disk *d;
    struct diskio io;
    unsigned int what;
    uint8_t *b;
    size_t len;
    bool fix;

    if (!size || size > AT_MOST) return 0;
    what = (data[0] & 127) == 4 ? 4 : data[0] % 4;
    fix = data[0] & 128;
    data++;
    size--;
    if (!what || what == 4) {
        b = malloc(size ? size : 1);
        MUST(b);
        if (size) memcpy(b, data, size);
        if (what) answer(b, size);
        else identity(b, size, fix);
        free(b);
        return 0;
    }
    b = what == 3 ? spread(data, size, 80, 4096, &len)
                  : spread(data, size, GROUPLOG_HEADER, GROUPLOG_FIRST, &len);
    if (fix && what == 3 && len >= 80) sum(b, 80);
    if (fix && what != 3 && len >= GROUPLOG_HEADER) fix_groups(b, len);
    d = fake_disk_new(1);
    io = fake_disk_io(d);
    fake_disk_set(d, PATH, b, len);
    free(b);
    if (what == 3) bitmap(&io);
    else grouplog(&io, (enum grouplog_kind)what, len);
    fake_disk_free(d);
    return 0;
}
