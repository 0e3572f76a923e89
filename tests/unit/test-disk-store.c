/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-disk-store.c - The secondary's disk: what it does and refuses */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake-disk.h"
#include "store.h"
#include "tap.h"

#define SIZE    (1u << 20)
#define JOURNAL "/d/x.journal"

static struct fake_disk *d;
static struct diskio io;

static struct store_opts opts(void)
{
    return (struct store_opts){ .io = &io,
                                .image = "/d/image",
                                .dir = "/d",
                                .name = "x",
                                .uuid = { 1, 2, 3 },
                                .memory_limit = 2 * LAYER_CHUNK,
                                .spill_limit = 2 * LAYER_CHUNK,
                                .journal_limit = 1 << 20 };
}

static struct store *try_open(int *rc, struct xlc_error *err)
{
    struct store_opts o = opts();
    struct store *s = NULL;

    *err = (struct xlc_error)XLC_ERROR_INIT;
    *rc = store_open(&s, &o, err);
    return s;
}

/* A secondary that follows, at epoch 10 of generation 3. */
static struct store *following(void)
{
    struct store_opts o = opts();
    struct xlc_error err;
    struct store *s;
    int rc;

    d = fake_disk_new(1);
    io = fake_disk_io(d);
    fake_disk_put(d, o.image, SIZE, 0x11);
    if (store_create(&o, 3, false, NULL)) abort();
    s = try_open(&rc, &err);
    if (rc || store_sync_begin(s, 3, &err) || store_sync_end(s, 10, &err))
        abort();
    return s;
}

static void done(struct store *s)
{
    store_close(s, NULL);
    fake_disk_free(d);
}

/* All of [@off, @off + @len) is @octet. */
static bool reads(struct store *s, enum store_view view, uint64_t off,
                  size_t len, uint8_t octet)
{
    uint8_t *b = malloc(len);
    bool good = !store_read(s, view, b, len, off, NULL);

    for (size_t i = 0; good && i < len; i++) good = b[i] == octet;
    free(b);
    return good;
}

static int put(struct store *s, uint64_t epoch, uint64_t off, size_t len,
               uint8_t octet, struct xlc_error *err)
{
    uint8_t *b = malloc(len);
    int rc;

    memset(b, octet, len);
    *err = (struct xlc_error)XLC_ERROR_INIT;
    rc = store_write(s, epoch, b, len, off, err);
    free(b);
    return rc;
}

static void test_views(void)
{
    struct store *s = following();
    struct store_status st;
    struct xlc_error err = XLC_ERROR_INIT;

    put(s, 11, 4096, 8192, 0x22, &err);
    put(s, 11, 5000, 10, 0x33, &err);
    ok(reads(s, STORE_ACCEPTED, 0, SIZE, 0x11), "the open epoch is aside");
    ok(reads(s, STORE_ALL, 4096, 904, 0x22) &&
       reads(s, STORE_ALL, 5000, 10, 0x33) &&
       reads(s, STORE_ALL, 5010, 7278, 0x22) &&
       reads(s, STORE_ALL, 12288, 100, 0x11), "and seen by who wants all");
    ok(!store_close_epoch(s, 11, &err), "closed");
    put(s, 12, 8192, 100, 0x44, &err);
    ok(reads(s, STORE_ACCEPTED, 0, SIZE, 0x11) &&
       reads(s, STORE_ALL, 8192, 100, 0x44) &&
       reads(s, STORE_ALL, 8292, 100, 0x22), "closed is not accepted");
    ok(!store_accept(s, 11, &err) &&
       reads(s, STORE_ACCEPTED, 8192, 4096, 0x22), "accepted is seen");
    store_status(s, &st);
    ok(st.accepted == 11 && st.durable == 10, "accepted is not durable");
    ok(!store_commit(s, &err), "committed");
    store_status(s, &st);
    ok(st.durable == 11 && reads(s, STORE_ACCEPTED, 8192, 4096, 0x22) &&
       reads(s, STORE_ALL, 8192, 100, 0x44), "committed is durable");
    store_discard(s);
    ok(reads(s, STORE_ALL, 8192, 4096, 0x22), "the open epoch is dropped");
    store_zero(s, 12, 0, SIZE, &err);
    store_close_epoch(s, 12, &err);
    ok(!store_accept(s, 12, &err) && !store_commit(s, &err) &&
       reads(s, STORE_ACCEPTED, 0, SIZE, 0), "zeroes are writes");
    store_status(s, &st);
    ok(st.kept == 0 && st.durable == 12, "nothing is kept any more");
    done(s);
}

/* What waits for "durable" need not wait for the image. */
static void test_halves(void)
{
    struct store *s = following();
    struct xlc_error err = XLC_ERROR_INIT;
    struct store_status st;
    size_t size;
    uint8_t *b;
    int rc;

    put(s, 11, 4096, 512, 0x22, &err);
    store_close_epoch(s, 11, &err);
    store_accept(s, 11, &err);
    ok(!store_journal(s, &err), "into the journal");
    store_status(s, &st);
    b = fake_disk_get(d, "/d/image", &size);
    ok(st.durable == 11 && st.kept && b[4096] == 0x11 &&
       reads(s, STORE_ACCEPTED, 4096, 512, 0x22),
       "durable, and not in the image yet");
    free(b);
    ok(!store_apply(s, &err), "into the image");
    store_status(s, &st);
    b = fake_disk_get(d, "/d/image", &size);
    ok(!st.kept && b[4096] == 0x22, "then it is there");
    free(b);
    put(s, 12, 4096, 512, 0x33, &err);
    store_close_epoch(s, 12, &err);
    store_accept(s, 12, &err);
    store_journal(s, &err);
    put(s, 13, 8192, 512, 0x44, &err);
    store_close_epoch(s, 13, &err);
    store_accept(s, 13, &err);
    fake_disk_fault(d, 1, FAKE_CUT);
    store_close(s, NULL);
    fake_disk_reboot(d);
    s = try_open(&rc, &err);
    store_status(s, &st);
    ok(!rc && st.durable == 12 && st.replayed &&
       reads(s, STORE_ACCEPTED, 4096, 512, 0x33) &&
       reads(s, STORE_ACCEPTED, 8192, 512, 0x11),
       "power lost between both: the journal has it");
    ok(!store_sync_begin(s, 3, &err) && !store_journal(s, &err) &&
       !store_apply(s, &err), "who came too late for a sync does no harm");
    done(s);
}

static void test_rules(void)
{
    struct store *s = following();
    struct xlc_error err;

    ok(put(s, 10, 0, 1, 1, &err) == -EINVAL &&
       !strcmp(err.msg, "epoch 10 is over"), "%s", err.msg);
    put(s, 11, 0, 1, 1, &err);
    ok(put(s, 12, 0, 1, 1, &err) == -EINVAL &&
       !strcmp(err.msg, "epoch 11 is still open, and 12 was named"), "%s",
       err.msg);
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(store_close_epoch(s, 12, &err) == -EINVAL, "%s", err.msg);
    ok(put(s, 11, SIZE, 1, 1, &err) == -EINVAL &&
       !strcmp(err.msg, "1 octets at 1048576 are outside of /d/image"), "%s",
       err.msg);
    ok(store_zero(s, 11, 1, UINT64_MAX, NULL) == -EINVAL &&
       store_zero(s, 11, UINT64_MAX, 1, NULL) == -EINVAL, "nor far outside");
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(store_accept(s, 11, &err) == -EINVAL, "%s", err.msg);
    ok(!store_close_epoch(s, 11, &err) && !store_accept(s, 11, &err),
       "in order it goes");
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(store_promote(s, 3, 0, &err) == -EINVAL, "%s", err.msg);
    store_discard(s);
    ok(reads(s, STORE_ACCEPTED, 0, 1, 1), "what is accepted stays");
    done(s);
}

static void test_bounds(void)
{
    struct store *s = following();
    struct xlc_error err;
    struct store_status st;
    uint64_t off = 0;
    int rc = 0;

    while (!rc && off < 8 * SIZE) {
        rc = put(s, 11, off % SIZE, 8192, (uint8_t)(off / 8192 + 1), &err);
        if (!rc) off += 8192;
    }
    store_status(s, &st);
    /* Hot blocks in memory cost once, those that were spilled each time. */
    ok(rc == -ENOBUFS && off > 2 * LAYER_CHUNK && st.kept <= st.limit,
       "%s (after %lu octets)", err.msg, (unsigned long)off);
    ok(reads(s, STORE_ALL, 0, 8192, 1) &&
       reads(s, STORE_ALL, 3 * LAYER_CHUNK, 8192, 97),
       "memory and the spill file read back");
    ok(put(s, 11, off % SIZE, 8192, 1, &err) == -ENOBUFS &&
       put(s, 11, 0, 4096, 0xee, &err) == 0 &&
       put(s, 11, 3 * LAYER_CHUNK, 8192, 0xee, &err) == -ENOBUFS,
       "full is full, but what is in memory can change");
    store_close_epoch(s, 11, NULL);
    ok(!store_accept(s, 11, NULL) && !store_commit(s, NULL) &&
       reads(s, STORE_ACCEPTED, 0, 4096, 0xee) &&
       reads(s, STORE_ACCEPTED, 3 * LAYER_CHUNK, 8192, 97) &&
       put(s, 12, 0, SIZE / 2, 5, &err) == 0, "a commit makes room");
    store_discard(s);
    for (rc = 0, off = 0; !rc && off < 200000; off++)
        rc = store_zero(s, 13, off % 2 * 4096, 512, NULL);
    ok(rc == -ENOBUFS, "writes without data end too (after %lu)",
       (unsigned long)off);
    store_discard(s);
    for (rc = 0, off = 20; !rc && off < 60; off++) {
        rc = put(s, off, 0, 1, 1, &err);
        if (!rc) rc = store_close_epoch(s, off, NULL);
    }
    ok(rc == -ENOBUFS, "nor do epochs that nobody accepts pile up");
    done(s);
}

static void test_promote(void)
{
    struct store *s = following();
    struct xlc_error err = XLC_ERROR_INIT;
    struct identity id;
    uint8_t *b;
    size_t size;
    int rc;

    put(s, 11, 0, 512, 0x22, &err);
    store_close_epoch(s, 11, &err);
    store_accept(s, 11, &err);
    put(s, 12, 0, 512, 0x33, &err);
    ok(!store_promote(s, 4, 0, &err), "promoted");
    b = fake_disk_get(d, "/d/image", &size);
    ok(b[0] == 0x22 && b[511] == 0x22 && b[512] == 0x11,
       "RULES A7: the image is the newest accepted epoch");
    free(b);
    ok(!identity_load(&io, "/d/x.identity", &id, &err) &&
       id.role == IDENTITY_PRIMARY && id.generation == 4 && id.epoch == 11 &&
       id.flags == (IDENTITY_CONSISTENT | IDENTITY_UNOPENED),
       "RULES A7: and its identity says so, and that no guest has run");
    b = fake_disk_get(d, JOURNAL, &size);
    ok(put(s, 12, 0, 1, 1, &err) == -EPERM, "%s", err.msg);
    store_close(s, NULL);
    ok(!try_open(&rc, &err) && rc == -EPERM, "%s", err.msg);
    free(b);
    fake_disk_free(d);
}

/* RULES A7: a stale image, an old journal. */
static void test_histories(void)
{
    struct store *s = following();
    struct store_opts o = opts();
    struct xlc_error err = XLC_ERROR_INIT;
    uint8_t *old, *image;
    size_t size, image_size;
    int rc;

    put(s, 11, 0, 512, 0x22, &err);
    store_close_epoch(s, 11, &err);
    store_accept(s, 11, &err);
    store_commit(s, &err);
    old = fake_disk_get(d, JOURNAL, &size);
    put(s, 12, 0, 512, 0x33, &err);
    store_close_epoch(s, 12, &err);
    store_accept(s, 12, &err);
    ok(!store_close(s, &err), "an orderly end");
    fake_disk_set(d, JOURNAL, old, size);
    ok(!try_open(&rc, &err) && rc == -EUCLEAN, "an old journal: %s", err.msg);
    fake_disk_set(d, JOURNAL, old, 100);
    ok(!try_open(&rc, &err) && rc == -EUCLEAN, "a cut one: %s", err.msg);
    io.ops->unlink(io.ctx, JOURNAL);
    ok(!try_open(&rc, &err) && rc == -EUCLEAN, "none: %s", err.msg);
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(store_create(&o, 2, false, &err) == -ESTALE, "%s", err.msg);
    o.uuid[0]++;
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(store_create(&o, 9, false, &err) == -EPERM, "%s", err.msg);
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(store_open(&s, &o, &err) == -EPERM, "%s", err.msg);
    o = opts();
    image = fake_disk_get(d, "/d/image", &image_size);
    fake_disk_set(d, "/d/image", image, image_size - 512);
    ok(!try_open(&rc, &err) && rc == -EPERM, "%s", err.msg);
    io.ops->unlink(io.ctx, "/d/x.identity");
    ok(!try_open(&rc, &err) && rc == -ENOENT, "%s", err.msg);
    free(old);
    free(image);
    fake_disk_free(d);
}

/* From nothing, or by force, to a secondary. */
static void test_create(void)
{
    struct store *s = following();
    struct store_opts o = opts();
    struct xlc_error err = XLC_ERROR_INIT;
    struct store_status st;
    int rc;

    store_close(s, NULL);
    ok(!store_create(&o, 3, true, &err), "by force");
    s = try_open(&rc, &err);
    ok(!rc, "it is a secondary again");
    store_status(s, &st);
    ok(st.mode == STORE_INCONSISTENT && put(s, 13, 0, 1, 1, &err) == -EPERM,
       "which has nothing yet: %s", err.msg);
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(store_promote(s, 9, 0, &err) == -EPERM, "and can't take over");
    ok(store_sync_begin(s, 2, NULL) == -ESTALE, "nor follow an older one");
    ok(!store_sync_begin(s, 5, &err) && !put(s, 1, 0, 512, 0x77, &err),
       "a sync");
    store_close(s, NULL);
    s = try_open(&rc, &err);
    store_status(s, &st);
    ok(!rc && st.mode == STORE_INCONSISTENT,
       "RULES A7: half a sync is remembered");
    ok(!store_sync_begin(s, 5, &err) && !store_sync_end(s, 40, &err) &&
       !store_close(s, &err), "a whole one");
    s = try_open(&rc, &err);
    store_status(s, &st);
    ok(!rc && st.mode == STORE_FOLLOWING && st.durable == 40 &&
       st.generation == 5, "too");
    done(s);
}

/* RULES A7: a sync first says that its target is one. */
static void test_resync(void)
{
    struct store *s = following();
    struct xlc_error err = XLC_ERROR_INIT;
    struct store_status st;
    struct identity id;
    int rc;

    put(s, 11, 0, 512, 0x22, &err);
    store_close_epoch(s, 11, &err);
    store_accept(s, 11, &err);
    put(s, 12, 0, 512, 0x33, &err);
    ok(!store_sync_begin(s, 3, &err) &&
       reads(s, STORE_ALL, 0, 512, 0x22), "a sync begins at what counts");
    ok(!identity_load(&io, "/d/x.identity", &id, &err) &&
       !(id.flags & IDENTITY_CONSISTENT), "RULES A7: and says so first");
    put(s, 99, 0, 512, 0x44, &err);
    ok(reads(s, STORE_ACCEPTED, 0, 512, 0x44), "its writes go to the image");
    store_close(s, NULL);
    s = try_open(&rc, &err);
    store_status(s, &st);
    ok(!rc && st.mode == STORE_INCONSISTENT, "it is remembered");
    done(s);
}

/* Three committed epochs, then the process dies. */
static uint8_t *three_groups(size_t *size)
{
    struct store *s = following();
    struct xlc_error err;
    uint8_t *journal;

    for (uint64_t e = 11; e <= 13; e++) {
        put(s, e, (e - 11) * 512, 512, (uint8_t)e, &err);
        store_zero(s, e, 8192, 4096, &err);
        store_close_epoch(s, e, &err);
        store_accept(s, e, &err);
        if (store_commit(s, &err)) abort();
    }
    journal = fake_disk_get(d, JOURNAL, size);
    store_close(s, NULL);
    return journal;
}

struct seen {
    uint64_t epoch;
    unsigned int entries;
};

static int see_group(void *ctx, uint64_t epoch, struct xlc_error *err)
{
    (void)err;
    *(struct seen *)ctx = (struct seen){ epoch, 0 };
    return 0;
}

static int see_entry(void *ctx, const struct grouplog_entry *e,
                     struct xlc_error *err)
{
    (void)err;
    (void)e;
    ((struct seen *)ctx)->entries++;
    return 0;
}

static int scan(const uint8_t *b, size_t size, struct seen *seen)
{
    struct grouplog_visitor v = { see_group, see_entry, seen };
    struct grouplog l;
    int rc;

    *seen = (struct seen){ 10, 2 };
    fake_disk_set(d, JOURNAL, b, size);
    rc = grouplog_open(&l, &io, JOURNAL, GROUPLOG_JOURNAL, NULL);
    if (!rc) {
        rc = grouplog_scan(&l, &v, NULL);
        grouplog_close(&l);
    }
    return rc;
}

static void test_journal(void)
{
    size_t size;
    uint8_t *b = three_groups(&size);
    unsigned long whole[4] = { 0 }, odd = 0, damaged = 0;
    struct seen seen;
    int rc = scan(b, size, &seen);

    ok(!rc && seen.epoch == 13 && seen.entries == 2,
       "a journal of three groups, %zu octets", size);
    for (size_t cut = 0; cut < size; cut++) {
        rc = scan(b, cut, &seen);
        if (rc == -EINVAL && cut < GROUPLOG_BLOCK + GROUPLOG_HEADER)
            continue; /* no header */
        if (rc || seen.epoch > 13 || seen.entries != 2) odd++;
        else whole[seen.epoch - 10]++;
    }
    ok(!odd && whole[0] && whole[1] && whole[2] && !whole[3],
       "cut at each octet: %lu, %lu, %lu are whole groups", whole[0],
       whole[1], whole[2]);
    memset(whole, 0, sizeof(whole));
    for (size_t i = 0; i < size; i++) {
        b[i] ^= 0x40;
        rc = scan(b, size, &seen);
        b[i] ^= 0x40;
        if (rc == -EUCLEAN || rc == -EINVAL) damaged++;
        else if (rc || seen.entries != 2) odd++;
        else whole[seen.epoch - 10]++;
    }
    /* The last group may be a torn one; padding and the other header are
     * not read. */
    ok(!odd && damaged && !whole[0] && !whole[1] && whole[2] > 600,
       "one octet changed: %lu damaged, %lu without the last, %lu no matter",
       damaged, whole[2], whole[3]);
    free(b);
    fake_disk_free(d);
}

int main(void)
{
    test_views();
    test_halves();
    test_rules();
    test_bounds();
    test_promote();
    test_histories();
    test_create();
    test_resync();
    test_journal();
    return done_testing();
}
