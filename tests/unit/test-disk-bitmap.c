/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disk-bitmap.c - RULES A6: what the peer may lack is never forgotten
 *
 * A primary's life (writes, flushes, epochs that become durable, a peer that
 * goes and comes back, resyncs) loses power at each call. Whatever reached
 * the local medium: where it differs from what the peer can't lose, the
 * bitmap says so.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake-disk.h"
#include "front.h"
#include "tap.h"

#define GRAIN  (1u << BITMAP_GRAIN_SHIFT)
#define EXTENT (64u * GRAIN)
#define PATH   "/d/x.bitmap"

static const struct bitmap_key small = { { 5 }, 3, 10 * EXTENT + 5 };

static struct bitmap *fresh(const struct diskio *io, bool lacking)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct bitmap *b = NULL;

    if (bitmap_create(&b, io, PATH, &small, lacking, &err)) abort();
    return b;
}

/* A guest's write, or a whole range that a resync sends. */
enum what { WROTE, COPIED };

static void put(struct bitmap *b, uint64_t off, uint64_t len, uint64_t epoch,
                enum what what)
{
    struct bitmap_hold h;

    if (bitmap_begin(b, &h, off, len, NULL)) abort();
    if (what == COPIED) bitmap_copying(b, &h);
    bitmap_end(b, &h, epoch);
}

/* All that lacks is this range. */
static bool lacks(struct bitmap *b, uint64_t off, uint64_t len)
{
    uint64_t at = 0, n, end = off;

    while (bitmap_next(b, &at, &n)) {
        if (at != end) return false;
        at = end = at + n;
    }
    return end == off + len;
}

static uint64_t syncs(struct bitmap *b)
{
    struct bitmap_status st;

    bitmap_status(b, &st);
    return st.syncs;
}

static uint64_t intents(struct bitmap *b)
{
    struct bitmap_status st;

    bitmap_status(b, &st);
    return st.intents;
}

static void test_rules(void)
{
    struct fake_disk *d = fake_disk_new(1);
    struct diskio io = fake_disk_io(d);
    struct bitmap *b = fresh(&io, false);
    struct bitmap_status st;
    struct bitmap_hold h;

    put(b, 5, 10, 1, WROTE);
    ok(syncs(b) == 1 && intents(b) == 1, "the first write syncs an intent");
    put(b, EXTENT - GRAIN, GRAIN, 1, WROTE);
    ok(syncs(b) == 1, "the next in its extent costs nothing");
    put(b, EXTENT, 1, 2, WROTE);
    put(b, 2 * EXTENT, 1, 2, WROTE);
    ok(syncs(b) == 2 && intents(b) > 3, "a sequential writer pays ahead");
    ok(lacks(b, 0, 0), "what is sent does not lack");
    ok(bitmap_durable(b, 1) == -EINVAL, "durable comes after held");
    bitmap_held(b, 9);
    bitmap_clean(b, NULL);
    bitmap_clean(b, NULL);
    bitmap_status(b, &st);
    ok(st.unsafe == 4 * GRAIN && st.held == 9 && !st.durable,
       "RULES A6: held clears nothing");
    bitmap_durable(b, 1);
    bitmap_durable(b, 2);
    bitmap_status(b, &st);
    ok(!st.unsafe && st.intents, "durable clears grains, not yet intents");
    bitmap_clean(b, NULL);
    ok(!intents(b), "intents go when they were clean for a while");
    put(b, GRAIN, 1, 3, WROTE);
    ok(syncs(b) == 3, "and cost again");

    if (bitmap_begin(b, &h, 3 * GRAIN, 1, NULL)) abort();
    bitmap_lost(b);
    ok(lacks(b, GRAIN, GRAIN), "a lost peer lacks what was not durable");
    bitmap_end(b, &h, 4);
    bitmap_held(b, 10);
    bitmap_durable(b, 10);
    put(b, 2 * GRAIN, GRAIN, 0, WROTE);
    ok(lacks(b, GRAIN, 3 * GRAIN),
       "and what went into its queue before, and what was not sent");
    put(b, GRAIN, 1, 11, WROTE);
    ok(lacks(b, GRAIN, 3 * GRAIN), "a write does not bring the rest of it");
    put(b, GRAIN, 2 * GRAIN + GRAIN / 2, 11, COPIED);
    ok(lacks(b, 3 * GRAIN, GRAIN), "a copy brings whole grains only");
    put(b, 3 * GRAIN, GRAIN, 11, COPIED);
    ok(lacks(b, 0, 0), "all is sent");
    bitmap_add(b, GRAIN, GRAIN);
    if (bitmap_begin(b, &h, GRAIN, GRAIN, NULL)) abort();
    bitmap_copying(b, &h);
    ok(lacks(b, 0, 0), "a copy is about to be sent");
    bitmap_add(b, GRAIN, GRAIN);
    bitmap_end(b, &h, 11);
    ok(lacks(b, GRAIN, GRAIN), "the peer's answer that it differs comes "
       "before the end of that: it lacks");
    if (bitmap_begin(b, &h, GRAIN, GRAIN, NULL)) abort();
    bitmap_copying(b, &h);
    bitmap_end(b, &h, 0);
    ok(lacks(b, GRAIN, GRAIN), "a copy that was not sent still lacks");
    put(b, GRAIN, GRAIN, 11, COPIED);
    bitmap_add(b, 10 * EXTENT, 5);
    put(b, 10 * EXTENT, 5, 11, COPIED);
    ok(lacks(b, 0, 0), "the disk's end ends a grain");
    ok(bitmap_begin(b, &h, small.size, 1, NULL) == -EINVAL &&
       bitmap_begin(b, &h, 1, small.size, NULL) == -EINVAL &&
       bitmap_begin(b, &h, 1, UINT64_MAX, NULL) == -EINVAL &&
       bitmap_begin(b, &h, 1, 0, NULL) == -EINVAL, "not outside of the disk");
    bitmap_close(b, NULL);
    fake_disk_free(d);
}

static struct bitmap *reopen(const struct diskio *io,
                             const struct bitmap_key *key,
                             struct xlc_error *why)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct bitmap *b = NULL;

    *why = (struct xlc_error)XLC_ERROR_INIT;
    if (bitmap_open(&b, io, PATH, key, why, &err)) abort();
    return b;
}

static void test_file(void)
{
    struct fake_disk *d = fake_disk_new(2);
    struct diskio io = fake_disk_io(d);
    struct bitmap *b = fresh(&io, false);
    struct bitmap_key other = small;
    struct xlc_error why;

    put(b, EXTENT + GRAIN, GRAIN, 0, WROTE);
    put(b, 4 * EXTENT, 1, 7, WROTE);
    ok(!bitmap_close(b, NULL), "an orderly end");
    b = reopen(&io, &small, &why);
    bitmap_add(b, EXTENT + 2 * GRAIN, 1);
    ok(!why.status && !bitmap_flush(b, NULL), "grains are known again");
    put(b, EXTENT + GRAIN, 2 * GRAIN, 8, COPIED);
    ok(lacks(b, 4 * EXTENT, GRAIN), "and no others");
    bitmap_close(b, NULL);
    b = reopen(&io, &small, &why);
    put(b, EXTENT, EXTENT, 9, COPIED);
    fake_disk_restart(d);
    /* The process dies here: what it had open stays as it is. */
    {
        struct bitmap *dead = b;

        b = reopen(&io, &small, &why);
        ok(!why.status && lacks(b, EXTENT, EXTENT) == false,
           "after a crash");
        put(b, 4 * EXTENT, EXTENT, 9, COPIED);
        ok(lacks(b, EXTENT, EXTENT), "extents with an intent lack whole");
        bitmap_close(b, NULL);
        bitmap_close(dead, NULL);
    }

    other.generation = 4;
    b = reopen(&io, &other, &why);
    ok(why.status == -ESTALE && lacks(b, 0, small.size),
       "another history: everything (%s)", why.msg);
    bitmap_close(b, NULL);
    io.ops->unlink(io.ctx, PATH);
    b = reopen(&io, &small, &why);
    ok(why.status == -ENOENT && lacks(b, 0, small.size),
       "no file: everything (%s)", why.msg);

    bitmap_close(b, NULL);
    fake_disk_free(d);
}

/* The file can't be written. */
static void test_errors(void)
{
    struct fake_disk *d = fake_disk_new(5);
    struct diskio io = fake_disk_io(d);
    struct bitmap *b = fresh(&io, true);
    struct xlc_error why, err = XLC_ERROR_INIT;

    fake_disk_fault(d, 1, FAKE_EIO);
    put(b, 0, 1, 1, WROTE);
    ok(!fake_disk_hit(d), "an intent that is there needs no file");
    fake_disk_fault(d, 0, FAKE_NONE);
    bitmap_close(b, NULL);
    b = fresh(&io, false);
    fake_disk_fault(d, 2, FAKE_EIO);
    {
        struct bitmap_hold h;

        ok(bitmap_begin(b, &h, 0, 1, &err) == -EIO && err.msg[0],
           "no intent, no write (%s)", err.msg);
        ok(bitmap_begin(b, &h, EXTENT, 1, NULL) == -EIO,
           "after a failed sync never again");
        ok(!bitmap_forget(b, NULL) && !bitmap_begin(b, &h, 0, 1, NULL),
           "unless the file is gone");
        bitmap_end(b, &h, 0);
    }
    bitmap_close(b, NULL);
    b = reopen(&io, &small, &why);
    ok(why.status == -ENOENT, "which is remembered");
    bitmap_close(b, NULL);
    fake_disk_free(d);
}

/* A guest's write does not fail with the bitmap; the bitmap goes. */
static void test_guest_goes_on(void)
{
    struct fake_disk *d = fake_disk_new(6);
    struct diskio io = fake_disk_io(d);
    struct bitmap *b = fresh(&io, false);
    struct xlc_error why;
    struct front *f;
    int fd;

    fake_disk_put(d, "/image", (size_t)small.size, 0);
    fd = io.ops->open(io.ctx, "/image", 0);
    if (fd < 0 || front_open_image(&f, &io, fd, small.size, NULL) ||
        front_protect(f, b, NULL, NULL))
        abort();
    fake_disk_fault(d, 2, FAKE_EIO);
    ok(!front_write(f, "x", 1, 0, NULL) && fake_disk_hit(d),
       "a guest's write outlives its bitmap's file");
    ok(!front_write(f, "x", 1, EXTENT, NULL), "and so do later ones");
    front_close(f);
    bitmap_close(b, NULL);
    io.ops->close(io.ctx, fd);
    b = reopen(&io, &small, &why);
    ok(why.status == -ENOENT, "then everything is compared");
    bitmap_close(b, NULL);
    fake_disk_free(d);
}

static void test_large(void)
{
    struct bitmap_key key = { { 5 }, 3, 1ull << 50 };
    struct fake_disk *d = fake_disk_new(3);
    struct diskio io = fake_disk_io(d);
    struct xlc_error err = XLC_ERROR_INIT;
    struct bitmap_status st;
    struct bitmap *b = NULL;
    uint64_t at = 0, n;

    ok(!bitmap_create(&b, &io, PATH, &key, false, &err), "1 PiB");
    put(b, key.size - 1, 1, 0, WROTE);
    bitmap_status(b, &st);
    ok(st.extent == 1ull << 32 && bitmap_next(b, &at, &n) &&
       at == key.size - st.grain && n == st.grain,
       "has extents of 4 GiB, and no more than others");
    bitmap_close(b, NULL);
    key.size = 1ull << 40;
    ok(!bitmap_create(&b, &io, PATH, &key, true, &err), "1 TiB");
    bitmap_status(b, &st);
    ok(st.extent == EXTENT && st.lacking == key.size, "has those of 4 MiB");
    bitmap_close(b, NULL);
    fake_disk_free(d);
}

/* Whatever is left of the file: at least what it said is lacking. */
static void test_cut(void)
{
    struct fake_disk *d = fake_disk_new(4);
    struct diskio io = fake_disk_io(d);
    struct bitmap *b = fresh(&io, false);
    unsigned int odd = 0, exact = 0, coarse = 0, all = 0;
    struct bitmap_status st;
    struct xlc_error why;
    uint8_t *file;
    size_t size;

    put(b, 2 * EXTENT + 3 * GRAIN, GRAIN, 0, WROTE);
    if (bitmap_close(b, NULL)) abort();
    file = fake_disk_get(d, PATH, &size);
    for (size_t i = 0; i < 2 * size; i += i < size ? 1 : 3) {
        uint64_t off = 2 * EXTENT + 3 * GRAIN, len;
        size_t cut = i < size ? i : size;

        /* First cut at each octet, then every third octet changed. */
        if (i >= size) file[i - size] ^= 16;
        fake_disk_set(d, PATH, file, cut);
        if (i >= size) file[i - size] ^= 16;
        b = reopen(&io, &small, &why);
        odd += !bitmap_next(b, &off, &len) ||
               off != 2 * EXTENT + 3 * GRAIN;
        bitmap_status(b, &st);
        if (st.lacking == GRAIN) exact++;
        else if (st.lacking == EXTENT) coarse++;
        else all += why.status != 0 && lacks(b, 0, small.size);
        bitmap_close(b, NULL);
    }
    ok(!odd && exact && coarse && all > 4096, "cut at each octet, or changed: "
       "%u times exact, %u its extent, %u everything", exact, coarse, all);
    free(file);
    fake_disk_free(d);
}

/* ---- The crash ---------------------------------------------------------- */

#define SIZE   (EXTENT + 4u * GRAIN)
#define BLOCKS (SIZE / GRAIN)
#define WRITES 64u

struct sent {
    uint64_t epoch;
    uint64_t off;
    uint64_t len;
    uint8_t *data;
};

struct life {
    uint64_t rng;
    uint64_t epoch;
    bool connected;
    bool goes_on; /* after a write that failed, as a guest may */
    uint8_t *peer; /* what it can't lose */
    struct sent queue[WRITES * 2];
    unsigned int queued;
    int rc;
};

static uint64_t mirror_put(void *ctx, const void *buf, uint64_t len,
                           uint64_t off)
{
    struct life *l = ctx;
    uint8_t *data;

    if (!l->connected || l->queued == WRITES * 2) return 0;
    data = calloc(1, (size_t)len);
    if (data && buf) memcpy(data, buf, (size_t)len);
    l->queue[l->queued++] = (struct sent){ l->epoch, off, len, data };
    return l->epoch;
}

/* The peer can't lose what was sent up to @epoch. */
static void peer_durable(struct life *l, struct bitmap *b, uint64_t epoch)
{
    unsigned int left = 0;

    for (unsigned int i = 0; i < l->queued; i++) {
        struct sent *s = &l->queue[i];

        if (s->epoch > epoch) {
            l->queue[left++] = *s;
            continue;
        }
        memcpy(l->peer + s->off, s->data, (size_t)s->len);
        free(s->data);
    }
    l->queued = left;
    bitmap_held(b, epoch);
    bitmap_durable(b, epoch);
}

static int some_write(struct life *l, struct front *f, struct xlc_error *err)
{
    static uint8_t buf[2 * GRAIN];
    uint64_t block = fake_random(&l->rng, BLOCKS);
    size_t len = fake_random(&l->rng, 2) ? 512 : GRAIN;

    /* Now and then the same value in both places would hide an error. */
    memset(buf, (int)(1 + fake_random(&l->rng, 255)), len);
    if (!fake_random(&l->rng, 6)) return front_zero(f, len, block * GRAIN, err);
    return front_write(f, buf, len, block * GRAIN, err);
}

static int resync(struct life *l, struct front *f, struct bitmap *b,
                  struct xlc_error *err)
{
    uint8_t *buf = malloc(EXTENT);
    uint64_t off = 0, len;
    int rc = buf ? 0 : -ENOMEM;

    l->connected = true;
    while (!rc && bitmap_next(b, &off, &len)) {
        rc = front_copy(f, buf, (size_t)len, off, err);
        if (rc == -ENOTCONN) rc = 0; /* the queue is full */
        off += len;
    }
    free(buf);
    return rc;
}

/* The peer is gone, and its queue. */
static void lose(struct life *l)
{
    while (l->queued) free(l->queue[--l->queued].data);
    l->connected = false;
}

static void live(struct life *l, const struct diskio *io)
{
    struct front_mirror m = { .put = mirror_put, .ctx = l };
    struct bitmap_key key = { { 5 }, 3, SIZE };
    struct xlc_error err = XLC_ERROR_INIT;
    struct front *f = NULL;
    struct bitmap *b = NULL;
    int fd = diskio_open(io, "/d/image", 0, &err);

    l->rc = fd < 0 ? fd : bitmap_create(&b, io, PATH, &key, false, &err);
    if (!l->rc) l->rc = front_open_image(&f, io, fd, SIZE, &err);
    if (!l->rc) l->rc = front_protect(f, b, &m, &err);
    for (unsigned int i = 0; !l->rc && i < WRITES; i++) {
        l->rc = some_write(l, f, &err);
        if (l->rc && l->goes_on) l->rc = 0;
        if (l->rc) break;
        switch (fake_random(&l->rng, 12)) {
        case 0:
            l->rc = front_flush(f, &err);
            break;
        case 1:
        case 2:
        case 3:
            l->epoch++;
            break;
        case 4:
        case 5:
            if (l->connected && l->epoch > 1)
                peer_durable(l, b, l->epoch - fake_random(&l->rng, 2));
            break;
        case 6:
        case 7:
            l->rc = bitmap_clean(b, &err);
            break;
        case 8:
            lose(l);
            bitmap_lost(b);
            break;
        case 9:
            if (!l->connected) l->rc = resync(l, f, b, &err);
            break;
        default:
            break;
        }
    }
    front_close(f);
    if (b) bitmap_close(b, NULL);
    diskio_close(io, &fd);
}

/* Blocks that differ and that the bitmap does not name. */
static const char *judge(struct life *l, struct fake_disk *d,
                         const struct diskio *io)
{
    struct bitmap_key key = { { 5 }, 3, SIZE };
    struct xlc_error why = XLC_ERROR_INIT, err = XLC_ERROR_INIT;
    struct bitmap *b = NULL;
    uint64_t off = 0, len;
    const char *bad = NULL;
    uint8_t *image;
    size_t size;

    if (bitmap_open(&b, io, PATH, &key, &why, &err)) return "open";
    image = fake_disk_get(d, "/d/image", &size);
    while (bitmap_next(b, &off, &len)) {
        memcpy(image + off, l->peer + off, (size_t)len);
        off += len;
    }
    if (memcmp(image, l->peer, SIZE)) bad = "a difference is not known";
    free(image);
    bitmap_close(b, NULL);
    return bad;
}

static unsigned long once(uint64_t seed, unsigned long n,
                          enum fake_fault fault, bool *good)
{
    struct fake_disk *d = fake_disk_new(seed * 1000003 + n);
    struct diskio io = fake_disk_io(d);
    struct life *l = calloc(1, sizeof(*l));
    unsigned long calls;
    const char *bad;

    if (!l) abort();
    l->rng = seed;
    l->epoch = 1;
    l->connected = true;
    l->goes_on = fault == FAKE_EIO;
    l->peer = calloc(1, SIZE);
    fake_disk_put(d, "/d/image", SIZE, 0);
    fake_disk_fault(d, n, fault);
    live(l, &io);
    calls = fake_disk_calls(d);
    if (fault == FAKE_CUT) fake_disk_reboot(d);
    else fake_disk_restart(d);
    bad = judge(l, d, &io);
    *good = !bad && (n || !l->rc);
    if (!*good)
        printf("# seed %lu, call %lu, fault %d, rc %d: %s\n",
               (unsigned long)seed, n, (int)fault, l->rc, bad);
    lose(l);
    free(l->peer);
    free(l);
    fake_disk_free(d);
    return calls;
}

static void each_call(const char *what, uint64_t first, unsigned int seeds,
                      enum fake_fault fault)
{
    unsigned long lives = 0, bad = 0;
    bool good;

    for (uint64_t seed = first; seed < first + seeds; seed++) {
        unsigned long calls = once(seed, 0, FAKE_NONE, &good);

        bad += !good;
        for (unsigned long n = 1; n <= calls; n++) {
            once(seed, n, fault, &good);
            bad += !good;
            lives++;
        }
    }
    ok(lives && !bad, "%s: %lu lives, %lu of them bad (seeds %lu to %lu)",
       what, lives, bad, (unsigned long)first,
       (unsigned long)(first + seeds - 1));
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned int n = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 1;

    test_rules();
    test_file();
    test_errors();
    test_guest_goes_on();
    test_large();
    test_cut();
    each_call("RULES A6: power is cut", first, n, FAKE_CUT);
    each_call("RULES A6: EIO", first, n, FAKE_EIO);
    return done_testing();
}
