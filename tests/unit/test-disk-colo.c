/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disk-colo.c - COLO's second copy: its overlay, and what becomes of it
 *
 * A second copy runs over epochs, takes over, and its overlay is merged while
 * it runs. The host loses power at each call of that life. Each sector then
 * reads as what was flushed last, or as something written since; the primary's
 * open epoch is never seen; a flushed overlay over a durable epoch is there.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake-disk.h"
#include "front.h"
#include "tap.h"

#define SECTORS 96u
#define SECTOR  512u
#define SIZE    (SECTORS * SECTOR)
#define LAST    4u /* epochs 1 to LAST */
#define CHOICES 96u

/* What a sector may read as. */
struct choice {
    uint64_t stamp[CHOICES];
    unsigned int n;
};

/* What the copy over one epoch may have left behind. */
struct copy {
    uint64_t epoch;
    bool flushed; /* a flush has ended since it lies over this */
    struct choice may[SECTORS];
    uint64_t now[SECTORS];
};

struct life {
    uint64_t rng;
    uint64_t stamp;
    uint64_t image[LAST + 2][SECTORS]; /* the primary's, at each epoch */
    struct copy copy;
    struct copy before; /* over the epoch before, until that is durable */
    bool takeover;      /* was begun */
    bool taken;         /* has ended */
    int rc;
};

static const uint8_t uuid[16] = { 9, 9 };

static struct store_opts opts(const struct diskio *io)
{
    struct store_opts o = { .io = io,
                            .image = "/d/image",
                            .dir = "/d",
                            .name = "x",
                            .memory_limit = 4 * LAYER_CHUNK,
                            .spill_limit = 1 << 20,
                            .journal_limit = 64 << 10 };

    memcpy(o.uuid, uuid, sizeof(uuid));
    return o;
}

static struct overlay_opts overlay_opts(const struct diskio *io)
{
    return (struct overlay_opts){ io, "/d", "x", 8 << 20 };
}

static void add(struct choice *c, uint64_t stamp)
{
    if (c->n == CHOICES) abort();
    c->stamp[c->n++] = stamp;
}

static void only(struct choice *c, uint64_t stamp)
{
    c->n = 0;
    add(c, stamp);
}

static void settle(struct copy *c)
{
    for (unsigned int i = 0; i < SECTORS; i++) only(&c->may[i], c->now[i]);
}

/* The stamp of a sector, or UINT64_MAX if it is a mixture. */
static uint64_t stamp_of(const uint8_t *b)
{
    uint64_t first, s;

    memcpy(&first, b, 8);
    for (unsigned int i = 8; i < SECTOR; i += 8) {
        memcpy(&s, b + i, 8);
        if (s != first) return UINT64_MAX;
    }
    return first;
}

static void fill(uint8_t *b, uint64_t stamp, unsigned int sectors)
{
    for (unsigned int i = 0; i < sectors * SECTOR; i += 8)
        memcpy(b + i, &stamp, 8);
}

static void pick(struct life *l, unsigned int *first, unsigned int *n)
{
    *first = (unsigned int)fake_random(&l->rng, SECTORS);
    *n = 1 + (unsigned int)fake_random(&l->rng, 10);
    if (*n > SECTORS - *first) *n = SECTORS - *first;
}

/* The primary writes. */
static int primary(struct life *l, struct store *s, uint64_t epoch,
                   struct xlc_error *err)
{
    uint8_t b[10 * SECTOR];
    unsigned int first, n;
    int rc = 0;

    memcpy(l->image[epoch], l->image[epoch - 1], sizeof(l->image[0]));
    for (int i = 0; !rc && i < 4; i++) {
        pick(l, &first, &n);
        fill(b, ++l->stamp, n);
        for (unsigned int j = 0; j < n; j++)
            l->image[epoch][first + j] = l->stamp;
        rc = store_write(s, epoch, b, n * SECTOR, first * SECTOR, err);
    }
    return rc;
}

/* The copy writes, and flushes now and then. */
static int second(struct life *l, struct front *f, unsigned int times,
                  struct xlc_error *err)
{
    uint8_t b[10 * SECTOR];
    unsigned int first, n;
    int rc = 0;

    while (!rc && times--) {
        bool zero = !fake_random(&l->rng, 5);
        uint64_t stamp = zero ? 0 : ++l->stamp;

        pick(l, &first, &n);
        fill(b, stamp, n);
        for (unsigned int j = first; j < first + n; j++) {
            add(&l->copy.may[j], stamp);
            l->copy.now[j] = stamp;
        }
        rc = zero ? front_zero(f, n * SECTOR, first * SECTOR, err)
                  : front_write(f, b, n * SECTOR, first * SECTOR, err);
        if (rc || fake_random(&l->rng, 4)) continue;
        rc = front_flush(f, err);
        if (rc) continue;
        settle(&l->copy);
        l->copy.flushed = true;
    }
    return rc;
}

/* The copy sees its epoch and its own writes, nothing else. */
static void look(struct life *l, struct front *f)
{
    static uint8_t b[SIZE];
    struct xlc_error err = XLC_ERROR_INIT;

    if (front_read(f, b, SIZE, 0, &err)) return;
    for (unsigned int i = 0; i < SECTORS; i++)
        if (stamp_of(b + i * SECTOR) != l->copy.now[i]) abort();
}

static int epochs(struct life *l, struct store *s, struct front *f,
                  struct overlay *o, struct xlc_error *err)
{
    int rc = 0;

    for (uint64_t e = 1; !rc && e <= LAST; e++) {
        rc = e == 1 ? 0 : primary(l, s, e, err);
        if (!rc && e > 1) rc = store_close_epoch(s, e, err);
        if (!rc && e > 1) rc = store_commit(s, err); /* the one before */
        if (rc) break;
        l->before = l->copy;
        l->copy = (struct copy){ .epoch = e };
        memcpy(l->copy.now, l->image[e], sizeof(l->copy.now));
        settle(&l->copy);
        rc = front_checkpoint(f, o, e, err);
        if (!rc && fake_random(&l->rng, 2)) rc = store_commit(s, err);
        if (!rc) rc = second(l, f, 8, err);
        if (!rc) look(l, f);
    }
    return rc;
}

/* All of the disk, and a flush. */
static int rewrite(struct life *l, struct front *f, struct xlc_error *err)
{
    uint8_t b[8 * SECTOR];
    int rc = 0;

    for (unsigned int i = 0; !rc && i < SECTORS; i += 8) {
        fill(b, ++l->stamp, 8);
        for (unsigned int j = i; j < i + 8; j++) {
            add(&l->copy.may[j], l->stamp);
            l->copy.now[j] = l->stamp;
        }
        rc = front_write(f, b, sizeof(b), i * SECTOR, err);
    }
    if (!rc) rc = front_flush(f, err);
    if (!rc) settle(&l->copy);
    return rc;
}

static int after(struct life *l, struct store *s, struct front *f,
                 struct xlc_error *err)
{
    int more = 1, rc = primary(l, s, LAST + 1, err); /* never to be seen */

    if (rc) return rc;
    l->takeover = true;
    rc = front_takeover(f, 4, err);
    if (rc) return rc;
    l->taken = true;
    settle(&l->copy);
    while (!rc && more) {
        look(l, f);
        rc = second(l, f, 3, err);
        if (rc) break;
        more = front_merge(f, 8 * SECTOR, err);
        if (more < 0) rc = more;
    }
    /* The identity still says that there is something to merge. */
    if (!rc) rc = rewrite(l, f, err);
    if (!rc) rc = store_merged(s, err);
    if (!rc) rc = second(l, f, 4, err);
    if (!rc) look(l, f);
    return rc;
}

static int start(struct store **s, const struct store_opts *o,
                 struct xlc_error *err)
{
    int rc = store_create(o, 3, false, err);

    if (!rc) rc = store_open(s, o, err);
    if (!rc) rc = store_sync_begin(*s, 3, err);
    if (!rc) rc = store_sync_end(*s, 1, err);
    return rc;
}

static void live(struct life *l, const struct diskio *io, bool takeover)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct overlay_opts oo = overlay_opts(io);
    struct store_opts so = opts(io);
    struct overlay *o = NULL;
    struct front *f = NULL;
    struct store *s = NULL;

    l->rc = start(&s, &so, &err);
    if (!l->rc) l->rc = overlay_create(&o, &oo, &err);
    if (!l->rc) l->rc = front_open_store(&f, io, s, &err);
    if (!l->rc) l->rc = epochs(l, s, f, o, &err);
    if (!l->rc && takeover) l->rc = after(l, s, f, &err);
    if (l->rc && !(err.status && err.msg[0])) abort();
    front_close(f);
    overlay_close(o);
    store_close(s, NULL);
}

static const char *among(const uint8_t *b, const struct copy *c)
{
    for (unsigned int i = 0; i < SECTORS; i++) {
        uint64_t s = stamp_of(b + i * SECTOR);
        bool found = false;

        for (unsigned int j = 0; j < c->may[i].n; j++)
            found = found || c->may[i].stamp[j] == s;
        if (!found) return "a sector is what it never was";
    }
    return NULL;
}

static const char *judge_secondary(struct life *l, const struct diskio *io)
{
    struct overlay_opts oo = overlay_opts(io);
    struct xlc_error err = XLC_ERROR_INIT;
    struct store_opts so = opts(io);
    struct grouplog_binding to;
    struct overlay *o = NULL;
    struct store *s = NULL;
    struct store_status st;
    static uint8_t b[SIZE];
    const char *bad = NULL;
    const struct copy *c;

    if (store_open(&s, &so, &err)) return "the store can't be opened";
    store_status(s, &st);
    if (st.mode != STORE_FOLLOWING) goto out;
    if (store_read(s, STORE_ALL, b, SIZE, 0, &err)) bad = "read";
    for (unsigned int i = 0; !bad && i < SECTORS; i++)
        if (stamp_of(b + i * SECTOR) != l->image[st.durable][i])
            bad = "the image is not of its epoch";
    if (l->copy.flushed && st.durable < l->copy.epoch)
        bad = "flushed over an epoch that is gone";
    c = l->copy.epoch == st.durable ? &l->copy : &l->before;
    if (bad || c->epoch != st.durable) goto out;
    store_binding_of(s, st.durable, &to);
    if (overlay_open(&o, &oo, &to, &err)) {
        bad = c->flushed ? "a flushed overlay is gone" : NULL;
        goto out;
    }
    for (uint64_t at = 0; at < SIZE;) {
        size_t done;

        if (overlay_read(o, b + at, (size_t)(SIZE - at), at, &done, &err) < 0)
            bad = "the overlay can't be read";
        at += done;
    }
    if (!bad) bad = among(b, c);
out:
    overlay_close(o);
    store_close(s, NULL);
    return bad;
}

/* The merge goes on, and changes nothing that can be read. */
static const char *resume(const struct identity *id, struct front *f,
                          struct overlay **o, const struct diskio *io)
{
    struct grouplog_binding to = { .generation = id->overlay_generation,
                                   .epoch = id->overlay_epoch,
                                   .size = id->size };
    struct overlay_opts oo = overlay_opts(io);
    struct xlc_error err = XLC_ERROR_INIT;

    memcpy(to.uuid, id->uuid, sizeof(to.uuid));
    if (overlay_open(o, &oo, &to, &err)) return "the overlay is gone";
    return front_resume_merge(f, *o, &err) ? "no merge" : NULL;
}

static const char *judge_primary(struct life *l, struct fake_disk *d,
                                 const struct diskio *io,
                                 const struct identity *id)
{
    struct xlc_error err = XLC_ERROR_INIT;
    static uint8_t b[SIZE], again[SIZE];
    int fd = diskio_open(io, "/d/image", 0, &err), more = 1;
    struct overlay *o = NULL;
    struct front *f = NULL;
    const char *bad = NULL;
    uint8_t *raw = NULL;
    size_t size;

    if (!l->takeover) return "a primary without a takeover";
    if (fd < 0 || front_open_image(&f, io, fd, SIZE, &err)) return "open";
    if (id->flags & IDENTITY_MERGING) bad = resume(id, f, &o, io);
    if (!bad && front_read(f, b, SIZE, 0, &err)) bad = "read";
    if (!bad) bad = among(b, &l->copy);
    while (!bad && more > 0) more = front_merge(f, SIZE, &err);
    if (more < 0) bad = "merge";
    if (!bad && front_read(f, again, SIZE, 0, &err)) bad = "read again";
    if (!bad && memcmp(b, again, SIZE)) bad = "the merge changed something";
    raw = fake_disk_get(d, "/d/image", &size);
    if (!bad && memcmp(b, raw, SIZE)) bad = "the merge left something";
    free(raw);
    front_close(f);
    overlay_close(o);
    diskio_close(io, &fd);
    return bad;
}

static const char *judge(struct life *l, struct fake_disk *d,
                         const struct diskio *io)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct identity id;
    int rc = identity_load(io, "/d/x.identity", &id, &err);

    if (rc == -ENOENT) return l->copy.epoch ? "it is forgotten" : NULL;
    if (rc) return "no identity";
    if (id.role == IDENTITY_PRIMARY) return judge_primary(l, d, io, &id);
    if (l->taken) return "the takeover is gone";
    return judge_secondary(l, io);
}

static unsigned long once(uint64_t seed, unsigned long n,
                          enum fake_fault fault, bool reboot, bool *good)
{
    struct fake_disk *d = fake_disk_new(seed * 1000003 + n);
    struct diskio io = fake_disk_io(d);
    struct life *l = calloc(1, sizeof(*l));
    unsigned long calls;
    const char *bad;

    if (!l) abort();
    l->rng = seed;
    fake_disk_put(d, "/d/image", SIZE, 0);
    fake_disk_fault(d, n, fault);
    live(l, &io, seed % 3 != 0);
    calls = fake_disk_calls(d);
    if (reboot) fake_disk_reboot(d);
    else fake_disk_restart(d);
    bad = judge(l, d, &io);
    if (!bad && !n && l->rc) bad = "it failed";
    *good = !bad;
    if (bad)
        printf("# seed %lu, call %lu, fault %d, rc %d: %s\n",
               (unsigned long)seed, n, (int)fault, l->rc, bad);
    free(l);
    fake_disk_free(d);
    return calls;
}

static void each_call(const char *what, uint64_t first, unsigned int seeds,
                      enum fake_fault fault, bool reboot)
{
    unsigned long lives = 0, bad = 0;
    bool good;

    for (uint64_t seed = first; seed < first + seeds; seed++) {
        unsigned long calls = once(seed, 0, FAKE_NONE, false, &good);

        bad += !good;
        for (unsigned long n = 1; n <= calls; n++, lives++) {
            once(seed, n, fault, reboot, &good);
            bad += !good;
        }
    }
    ok(lives && !bad, "%s: %lu lives, %lu of them bad (seeds %lu to %lu)",
       what, lives, bad, (unsigned long)first,
       (unsigned long)(first + seeds - 1));
}

static struct overlay *three_flushes(const struct diskio *io,
                                     const struct grouplog_binding *to)
{
    struct overlay_opts oo = overlay_opts(io);
    struct overlay *o = NULL;
    uint8_t b[SECTOR];

    if (overlay_create(&o, &oo, NULL) || overlay_start(o, to, 1, NULL))
        abort();
    for (uint64_t stamp = 1; stamp <= 3; stamp++) {
        fill(b, stamp, 1);
        if (overlay_write(o, b, SECTOR, 0, NULL) ||
            overlay_write(o, NULL, SECTOR, stamp * SECTOR, NULL) ||
            overlay_flush(o, NULL))
            abort();
    }
    return o;
}

/* An overlay that is cut reads as it was at some flush. */
static void test_cut(void)
{
    struct grouplog_binding to = { { 1 }, 1, 1, SIZE };
    struct fake_disk *d = fake_disk_new(1);
    struct diskio io = fake_disk_io(d);
    struct overlay_opts oo = overlay_opts(&io);
    unsigned int seen[4] = { 0 }, odd = 0, none = 0;
    uint64_t last = 0;
    uint8_t *file, b[SECTOR];
    size_t size, done;

    overlay_close(three_flushes(&io, &to));
    file = fake_disk_get(d, "/d/x.overlay1", &size);
    for (size_t cut = 0; cut <= size; cut++) {
        struct overlay *o = NULL;
        uint64_t stamp = 0, len;

        fake_disk_set(d, "/d/x.overlay1", file, cut);
        if (overlay_open(&o, &oo, &to, NULL)) {
            none++;
            continue;
        }
        if (overlay_read(o, b, SECTOR, 0, &done, NULL) == 1)
            stamp = stamp_of(b);
        for (uint64_t i = 1; i <= 3; i++) {
            len = SECTOR;
            odd += overlay_run(o, i * SECTOR, &len) != (i <= stamp);
        }
        odd += stamp < last || stamp > 3;
        last = stamp;
        seen[stamp & 3]++;
        overlay_close(o);
    }
    ok(!odd && seen[0] && seen[1] && seen[2] && seen[3] && none,
       "an overlay cut at each octet: no %u, then %u, %u, %u, %u", none,
       seen[0], seen[1], seen[2], seen[3]);
    free(file);
    fake_disk_free(d);
}

/* An epoch came that the copy was never rolled back to: what it wrote since
 * the one before is not the guest's. */
static void test_stale_copy(void)
{
    struct fake_disk *d = fake_disk_new(1);
    struct diskio io = fake_disk_io(d);
    struct overlay_opts oo = overlay_opts(&io);
    struct store_opts so = opts(&io);
    struct overlay *o = NULL;
    struct front *f = NULL;
    struct store *s = NULL;
    uint8_t b[SECTOR];

    fake_disk_put(d, "/d/image", SIZE, 0);
    fill(b, 5, 1);
    if (start(&s, &so, NULL) || overlay_create(&o, &oo, NULL) ||
        front_open_store(&f, &io, s, NULL) ||
        front_checkpoint(f, o, 1, NULL) ||
        front_write(f, b, SECTOR, 0, NULL) ||
        store_write(s, 2, b, SECTOR, SECTOR, NULL) ||
        store_close_epoch(s, 2, NULL) || store_accept(s, 2, NULL))
        abort();
    ok(!front_takeover(f, 4, NULL) && front_mode(f) == FRONT_DIRECT &&
       !front_read(f, b, SECTOR, 0, NULL) && stamp_of(b) == 0 &&
       !front_read(f, b, SECTOR, SECTOR, NULL) && stamp_of(b) == 5,
       "a copy of an older epoch does not take over");
    front_close(f);
    overlay_close(o);
    store_close(s, NULL);
    fake_disk_free(d);
}

/* A copy that writes much; and one that writes too much. */
static void test_full(void)
{
    struct grouplog_binding to = { { 1 }, 1, 1, 1ull << 40 };
    struct fake_disk *d = fake_disk_new(1);
    struct diskio io = fake_disk_io(d);
    struct overlay_opts oo = overlay_opts(&io);
    struct overlay *o = NULL;
    uint8_t *b = calloc(1, 3 << 20), *again = malloc(3 << 20);
    uint64_t off = 0;
    size_t done;
    int rc = 0;

    for (unsigned int i = 0; i < 3u << 20; i++) b[i] = (uint8_t)(i >> 9);
    if (overlay_create(&o, &oo, NULL) || overlay_start(o, &to, 1, NULL))
        abort();
    ok(!overlay_write(o, b, 3 << 20, 5, NULL), "a write larger than the tail");
    for (size_t at = 0; at < 3 << 20; at += done)
        if (overlay_read(o, again + at, (3 << 20) - at, 5 + at, &done,
                         NULL) != 1)
            abort();
    ok(!memcmp(b, again, 3 << 20), "reads back");
    for (off = 4 << 20; !rc && off < 64 << 20; off += 8192)
        rc = overlay_write(o, b, 4096, off, NULL);
    ok(rc == -ENOBUFS && off > 6 << 20, "then it is full (%lu octets)",
       (unsigned long)(off / 2));
    ok(overlay_start(o, &(struct grouplog_binding){ { 1 }, 1, 2, 1 << 20 }, 0,
                     NULL) == -EBUSY, "not dropped before its time");
    overlay_close(o);
    free(b);
    free(again);
    fake_disk_free(d);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned int n = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 2;

    test_cut();
    test_full();
    test_stale_copy();
    each_call("RULES B3: power is cut at each call", first, n, FAKE_CUT,
              true);
    each_call("EIO at each call, then a restart", first, n, FAKE_EIO, false);
    each_call("EIO at each call, then a power cut", first, n, FAKE_EIO, true);
    each_call("ENOSPC at each call, then a power cut", first, n, FAKE_ENOSPC,
              true);
    return done_testing();
}
