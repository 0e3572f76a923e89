/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disk-crash.c - The secondary's disk loses power at each of its calls
 *
 * One life of a secondary (sync, epochs, commits, trims, a promotion) is run
 * again and again, each time cut at another call. Whatever of the unsynced
 * writes is on the medium then, after store_open() the image is one of the
 * epochs: no older one than was said to be durable, no newer one than was
 * accepted, and never a mixture. The same with errors in place of the cut.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake-disk.h"
#include "store.h"
#include "tap.h"

#define SIZE   (96u << 10)
#define EPOCHS 9u
#define IMAGE  "/d/image"

/* What the life did until its end, and what the image is at each epoch. */
struct life {
    uint64_t seed;
    uint8_t model[EPOCHS + 2][SIZE];
    uint64_t accepted;
    uint64_t durable;
    uint64_t synced;   /* epoch at which the sync ended, 0: it did not */
    bool promoting;
    bool promoted;
    int rc;
};

static struct store_opts opts(const struct diskio *io)
{
    return (struct store_opts){ .io = io,
                                .image = IMAGE,
                                .dir = "/d",
                                .name = "web-xvda",
                                .uuid = { 7 },
                                .memory_limit = 2 * LAYER_CHUNK,
                                .spill_limit = 1 << 20,
                                .journal_limit = 64 << 10 };
}

/* Some writes of @epoch, into the model and the store. */
static int write_epoch(struct life *l, struct store *s, uint64_t epoch,
                       uint64_t *rng, struct xlc_error *err)
{
    static uint8_t buf[SIZE];
    uint8_t *m = l->model[epoch];
    unsigned int n = (unsigned int)fake_random(rng, 12);
    int rc = 0;

    memcpy(m, l->model[epoch - 1], SIZE);
    while (!rc && n--) {
        uint64_t off = fake_random(rng, SIZE / 512) * 512, len;
        bool zero = !fake_random(rng, 5);

        len = 512 * (1 + fake_random(rng, 16));
        if (len > SIZE - off) len = SIZE - off;
        for (uint64_t i = 0; i < len; i++)
            buf[i] = zero ? 0 : (uint8_t)(1 + fake_random(rng, 255));
        memcpy(m + off, buf, len);
        /* An error that took nothing, and is over: once more. */
        for (int i = 0; i < 2; i++) {
            struct xlc_error mine = XLC_ERROR_INIT;

            rc = zero ? store_zero(s, epoch, off, len, &mine)
                      : store_write(s, epoch, buf, len, off, &mine);
            if (!rc) break;
            *err = mine;
        }
    }
    return rc;
}

static int sync_image(struct life *l, struct store *s, uint64_t *rng,
                      struct xlc_error *err)
{
    int rc = store_sync_begin(s, 3, err);

    memset(l->model[0], 0x11, SIZE);
    if (!rc) rc = write_epoch(l, s, 1, rng, err);
    if (!rc) rc = store_sync_end(s, 1, err);
    if (rc) return rc;
    l->synced = l->accepted = l->durable = 1;
    return 0;
}

/* Commit; an error may be over at the second call. */
static int commit(struct life *l, struct store *s, struct xlc_error *err)
{
    struct store_status st;
    int rc = 0;

    for (int i = 0; i < 2; i++) {
        *err = (struct xlc_error)XLC_ERROR_INIT;
        rc = store_commit(s, err);
        store_status(s, &st);
        l->durable = st.durable;
        if (!rc || st.failed) break;
    }
    return rc;
}

static int live_epochs(struct life *l, struct store *s, uint64_t *rng,
                       struct xlc_error *err)
{
    for (uint64_t e = 2; e <= EPOCHS; e++) {
        int rc = write_epoch(l, s, e, rng, err);

        if (!rc) rc = store_close_epoch(s, e, err);
        if (rc) return rc;
        /* Some epochs are aborted, and covered by the next. */
        if (e < EPOCHS && !fake_random(rng, 4)) continue;
        rc = store_accept(s, e, err);
        if (rc) return rc;
        l->accepted = e;
        if (!fake_random(rng, 4)) continue; /* committed with the next */
        rc = commit(l, s, err);
        if (rc) return rc;
    }
    return 0;
}

/* From the creation to the end, or to the first error. */
static void live(struct life *l, const struct diskio *io, bool promote)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct store_opts o = opts(io);
    struct store *s = NULL;
    uint64_t rng = l->seed;

    l->rc = store_create(&o, 3, false, &err);
    if (!l->rc) l->rc = store_open(&s, &o, &err);
    if (!l->rc) l->rc = sync_image(l, s, &rng, &err);
    if (!l->rc) l->rc = live_epochs(l, s, &rng, &err);
    if (!l->rc && promote) {
        write_epoch(l, s, EPOCHS + 1, &rng, &err); /* the open one: dropped */
        l->promoting = true;
        l->rc = store_promote(s, 4, 0, &err);
        l->promoted = !l->rc;
    }
    if (!l->rc) {
        l->rc = store_close(s, &err);
        if (!l->rc) l->durable = l->accepted;
        s = NULL;
    }
    if (l->rc && !(err.status && err.msg[0])) abort();
    store_close(s, NULL);
}

static bool image_is(struct fake_disk *d, const uint8_t *model)
{
    size_t size;
    uint8_t *b = fake_disk_get(d, IMAGE, &size);
    bool same = b && size == SIZE && !memcmp(b, model, SIZE);

    free(b);
    return same;
}

/* Open again, losing power again now and then. */
static int reopen(struct fake_disk *d, struct store **s,
                  const struct store_opts *o, uint64_t *rng, bool cuts,
                  struct xlc_error *err)
{
    int rc;

    for (int i = 0; cuts && i < 2; i++) {
        fake_disk_fault(d, 1 + fake_random(rng, 30), FAKE_CUT);
        rc = store_open(s, o, err);
        if (!rc && !fake_disk_hit(d)) {
            fake_disk_fault(d, 0, FAKE_NONE);
            return 0;
        }
        if (!rc) store_close(*s, NULL);
        fake_disk_reboot(d);
        *err = (struct xlc_error)XLC_ERROR_INIT;
    }
    return store_open(s, o, err);
}

/* Epochs that wrote nothing are not worth a sync of the journal: after a
 * crash the number may be an older one, of the same image. */
static bool same_image(const struct life *l, uint64_t old, uint64_t now)
{
    return !memcmp(l->model[old], l->model[now], SIZE);
}

/* What must hold after the crash. Return: NULL, or what does not. */
static const char *judge(struct life *l, struct fake_disk *d,
                         const struct diskio *io, bool cuts)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct store_opts o = opts(io);
    struct store *s = NULL;
    struct store_status st;
    struct identity id;
    uint64_t rng = l->seed;
    const char *bad = NULL;
    int rc = reopen(d, &s, &o, &rng, cuts, &err);

    if (rc == -ENOENT || rc == -EPERM) {
        if (rc == -ENOENT) return l->synced ? "it is forgotten" : NULL;
        if (identity_load(io, "/d/web-xvda.identity", &id, &err))
            return "no identity";
        if (id.role != IDENTITY_PRIMARY || !l->promoting ||
            id.epoch != l->accepted)
            return "promoted, and not so";
        return image_is(d, l->model[l->accepted]) ? NULL
                                                  : "not what was promoted";
    }
    if (rc) return "can't be opened";
    store_status(s, &st);
    if (st.mode == STORE_INCONSISTENT) {
        bad = l->synced ? "inconsistent after a sync" : NULL;
    } else if (st.durable < l->durable &&
               !same_image(l, st.durable, l->durable)) {
        bad = "a durable epoch is gone";
    } else if (st.durable > (l->synced ? l->accepted : 1)) {
        bad = "an epoch that was not accepted";
    } else if (l->promoted) {
        bad = "a promotion is gone";
    } else if (!image_is(d, l->model[st.durable])) {
        bad = "a mixture";
    }
    rc = store_close(s, &err);
    return bad ? bad : rc ? "close" : NULL;
}

static struct life *new_life(uint64_t seed)
{
    struct life *l = calloc(1, sizeof(*l));

    if (!l) abort();
    l->seed = seed;
    return l;
}

/* Calls of a life without a fault. */
static unsigned long count(uint64_t seed, bool promote)
{
    struct fake_disk *d = fake_disk_new(seed);
    struct diskio io = fake_disk_io(d);
    struct life *l = new_life(seed);
    unsigned long calls;
    const char *bad;

    fake_disk_put(d, IMAGE, SIZE, 0x11);
    live(l, &io, promote);
    calls = fake_disk_calls(d);
    bad = l->rc ? "it failed" : judge(l, d, &io, false);
    if (bad) ok(false, "seed %lu: %s", (unsigned long)seed, bad);
    free(l);
    fake_disk_free(d);
    return calls;
}

/* The fault at call @n. */
static bool once(uint64_t seed, unsigned long n, enum fake_fault fault,
                 bool promote, bool reboot)
{
    struct fake_disk *d = fake_disk_new(seed * 1000003 + n);
    struct diskio io = fake_disk_io(d);
    struct life *l = new_life(seed);
    const char *bad;

    if (seed % 3 == 0) fake_disk_no_zero(d);
    fake_disk_put(d, IMAGE, SIZE, 0x11);
    fake_disk_fault(d, n, fault);
    live(l, &io, promote);
    if (reboot) fake_disk_reboot(d);
    else fake_disk_restart(d);
    bad = judge(l, d, &io, fault == FAKE_CUT && n % 2);
    if (fault == FAKE_SHORT && l->rc) bad = "a short transfer is no error";
    if (bad)
        printf("# seed %lu, call %lu, fault %d, rc %d: %s\n",
               (unsigned long)seed, n, (int)fault, l->rc, bad);
    free(l);
    fake_disk_free(d);
    return !bad;
}

static void each_call(const char *what, uint64_t first, unsigned int seeds,
                      enum fake_fault fault, bool reboot)
{
    unsigned long lives = 0, bad = 0;

    for (uint64_t seed = first; seed < first + seeds; seed++) {
        bool promote = seed % 2;
        unsigned long calls = count(seed, promote);

        for (unsigned long n = 1; n <= calls; n++, lives++)
            bad += !once(seed, n, fault, promote, reboot);
    }
    ok(lives && !bad, "%s: %lu lives, %lu of them bad (seeds %lu to %lu)",
       what, lives, bad, (unsigned long)first,
       (unsigned long)(first + seeds - 1));
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned int n = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 4;

    each_call("power is cut at each call", first, n, FAKE_CUT, true);
    each_call("EIO at each call, then a restart", first, n, FAKE_EIO, false);
    each_call("EIO at each call, then a power cut", first, n, FAKE_EIO, true);
    each_call("ENOSPC at each call, then a restart", first, n, FAKE_ENOSPC,
              false);
    each_call("ENOSPC at each call, then a power cut", first, n, FAKE_ENOSPC,
              true);
    each_call("half a transfer at each call", first, n, FAKE_SHORT, false);
    return done_testing();
}
