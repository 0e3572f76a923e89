/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disk-model.c - The secondary's disk beside a model that is an array
 *
 * Random writes, zeroes, flushes, epochs, aborted epochs, commits, discards,
 * orderly ends, takeovers with and without an overlay, merges; on real files
 * and on those of fake-disk.h. What can be read must be what the model says,
 * at any moment. The seed is printed; give it as the argument to repeat.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake-disk.h"
#include "front.h"
#include "tap.h"

#define SIZE  ((6u << 20) + 512u)
#define STEPS 700u
#define MOST  (3u << 20) /* one write */

struct world {
    uint64_t rng;
    struct diskio io;
    char dir[64];
    char image[80];
    struct store *s;
    struct front *f;
    struct overlay *o;
    uint8_t *accepted; /* what counts */
    uint8_t *closed;   /* that, and what was closed */
    uint8_t *all;      /* that, and the open epoch */
    uint8_t *copy;     /* what the second copy sees */
    uint64_t epoch;    /* the open one */
    bool colo;         /* the second copy runs */
    uint64_t over;     /* from this epoch */
    const char *bad;
};

static struct store_opts opts(struct world *w)
{
    return (struct store_opts){ .io = &w->io,
                                .image = w->image,
                                .dir = w->dir,
                                .name = "m",
                                .uuid = { 1 },
                                .memory_limit = 4 * LAYER_CHUNK,
                                .spill_limit = 64 << 20,
                                .journal_limit = 5 << 20 };
}

static void must(struct world *w, int rc, const char *what)
{
    if (rc && !w->bad) w->bad = what;
}

static void open_all(struct world *w)
{
    struct overlay_opts oo = { &w->io, w->dir, "m", 64 << 20 };
    struct xlc_error err = XLC_ERROR_INIT;
    struct store_opts o = opts(w);

    must(w, store_open(&w->s, &o, &err), "open");
    if (w->bad) return;
    must(w, overlay_create(&w->o, &oo, &err), "overlay");
    must(w, front_open_store(&w->f, &w->io, w->s, &err), "front");
    w->colo = false;
    if (err.status) printf("# %s\n", err.msg);
}

static void close_all(struct world *w)
{
    front_close(w->f);
    overlay_close(w->o);
    must(w, store_close(w->s, NULL), "close");
    w->f = NULL;
    w->o = NULL;
    w->s = NULL;
}

static void range(struct world *w, uint64_t *off, size_t *len)
{
    uint64_t most = fake_random(&w->rng, 30) ? 20000 : MOST;

    *off = fake_random(&w->rng, SIZE);
    *len = 1 + (size_t)fake_random(&w->rng, most);
    if (fake_random(&w->rng, 3)) { /* as a guest does: blocks, hot ones */
        *off = fake_random(&w->rng, 200) * 4096;
        *len = 4096 * (1 + (size_t)fake_random(&w->rng, 4));
    }
    if (*len > SIZE - *off) *len = (size_t)(SIZE - *off);
}

static void some_data(struct world *w, uint8_t *b, size_t len)
{
    uint64_t salt = fake_random(&w->rng, UINT64_MAX);

    for (size_t i = 0; i < len; i++)
        b[i] = (uint8_t)((salt >> (i % 7 * 8)) + i / 512);
}

/* A write of the peer. */
static void peer_write(struct world *w)
{
    static uint8_t b[MOST];
    uint64_t off;
    size_t len;

    range(w, &off, &len);
    if (!fake_random(&w->rng, 6)) {
        memset(w->all + off, 0, len);
        must(w, store_zero(w->s, w->epoch, off, len, NULL), "zero");
        return;
    }
    some_data(w, b, len);
    memcpy(w->all + off, b, len);
    must(w, store_write(w->s, w->epoch, b, len, off, NULL), "write");
}

static void copy_write(struct world *w)
{
    static uint8_t b[MOST];
    uint64_t off;
    size_t len;

    range(w, &off, &len);
    if (!fake_random(&w->rng, 6)) {
        memset(w->copy + off, 0, len);
        must(w, front_zero(w->f, len, off, NULL), "the copy's zero");
        return;
    }
    some_data(w, b, len);
    memcpy(w->copy + off, b, len);
    must(w, front_write(w->f, b, len, off, NULL), "the copy's write");
}

static void close_epoch(struct world *w)
{
    int rc = store_close_epoch(w->s, w->epoch, NULL);

    if (rc == -ENOBUFS) return; /* one is to be accepted first */
    must(w, rc, "close epoch");
    memcpy(w->closed, w->all, SIZE);
    w->epoch++;
}

/* All that is closed counts; in COLO the copy goes on from there. */
static void accept(struct world *w, bool colo)
{
    if (colo) {
        must(w, store_commit(w->s, NULL), "commit");
        must(w, front_checkpoint(w->f, w->o, w->epoch - 1, NULL),
             "checkpoint");
        memcpy(w->copy, w->closed, SIZE);
        w->colo = true;
        w->over = w->epoch - 1;
    } else {
        must(w, store_accept(w->s, w->epoch - 1, NULL), "accept");
    }
    memcpy(w->accepted, w->closed, SIZE);
}

static void discard(struct world *w)
{
    store_discard(w->s);
    memcpy(w->closed, w->accepted, SIZE);
    memcpy(w->all, w->accepted, SIZE);
}

static void reopen(struct world *w)
{
    struct store_status st;

    close_all(w);
    open_all(w);
    if (w->bad) return;
    store_status(w->s, &st);
    w->epoch = st.durable + 1;
    memcpy(w->closed, w->accepted, SIZE);
    memcpy(w->all, w->accepted, SIZE);
}

static void compare(struct world *w, bool whole)
{
    static uint8_t b[SIZE];
    uint64_t off = 0;
    size_t len = SIZE;

    if (!whole) range(w, &off, &len);
    must(w, store_read(w->s, STORE_ACCEPTED, b, len, off, NULL), "read");
    if (memcmp(b, w->accepted + off, len)) must(w, 1, "accepted differs");
    must(w, store_read(w->s, STORE_ALL, b, len, off, NULL), "read all");
    if (memcmp(b, w->all + off, len)) must(w, 1, "all differs");
    if (!w->colo) return;
    must(w, front_read(w->f, b, len, off, NULL), "the copy's read");
    if (memcmp(b, w->copy + off, len)) must(w, 1, "the copy differs");
}

static void step(struct world *w)
{
    switch (fake_random(&w->rng, 40)) {
    case 0:
    case 1:
    case 2:
        close_epoch(w);
        break;
    case 3:
        /* A copy that is not told of a newer epoch is not one any more. */
        if (w->colo && w->over != w->epoch - 1) w->colo = false;
        accept(w, false);
        break;
    case 4:
    case 5:
        accept(w, true);
        break;
    case 6:
    case 7:
        must(w, store_commit(w->s, NULL), "commit");
        break;
    case 8:
        if (!fake_random(&w->rng, 4)) discard(w);
        break;
    case 9:
        if (!fake_random(&w->rng, 4)) reopen(w);
        break;
    case 10:
        if (w->colo) must(w, front_flush(w->f, NULL), "flush");
        break;
    case 11:
    case 12:
    case 13:
    case 14:
        compare(w, false);
        break;
    default:
        if (w->colo && fake_random(&w->rng, 2)) copy_write(w);
        else peer_write(w);
        break;
    }
}

/* The guest on this host is the guest now. */
static void take_over(struct world *w)
{
    static uint8_t b[SIZE];
    bool merging = w->colo;
    int more = 1;

    must(w, front_takeover(w->f, 9, NULL), "takeover");
    if (!merging) memcpy(w->copy, w->accepted, SIZE);
    if (merging != (front_mode(w->f) == FRONT_MERGING))
        must(w, 1, "the wrong mode");
    for (unsigned int i = 0; !w->bad && (i < 40 || more); i++) {
        copy_write(w);
        if (i % 3 == 0) more = front_merge(w->f, 128 << 10, NULL);
        if (i % 7 == 0) must(w, front_flush(w->f, NULL), "flush");
        must(w, front_read(w->f, b, SIZE, 0, NULL), "read");
        if (memcmp(b, w->copy, SIZE)) must(w, 1, "what it reads differs");
        if (more < 0) must(w, more, "merge");
    }
    must(w, store_merged(w->s, NULL), "merged");
}

static bool image_is(struct world *w, const uint8_t *model)
{
    static uint8_t b[SIZE];
    int fd = diskio_open(&w->io, w->image, 0, NULL);
    bool same = fd >= 0 && !diskio_read(&w->io, fd, b, SIZE, 0) &&
                !memcmp(b, model, SIZE);

    diskio_close(&w->io, &fd);
    return same;
}

static void run(uint64_t seed, struct fake_disk *d, const char *dir)
{
    struct world w = { .rng = seed, .epoch = 2 };
    struct store_opts o;
    int fd;

    w.io = d ? fake_disk_io(d) : diskio_real;
    snprintf(w.dir, sizeof(w.dir), "%s", dir);
    snprintf(w.image, sizeof(w.image), "%s/image", dir);
    w.accepted = calloc(4, SIZE);
    w.closed = w.accepted + SIZE;
    w.all = w.closed + SIZE;
    w.copy = w.all + SIZE;
    fd = diskio_open(&w.io, w.image, DISKIO_CREATE | DISKIO_TRUNCATE, NULL);
    w.io.ops->resize(w.io.ctx, fd, SIZE);
    diskio_close(&w.io, &fd);
    o = opts(&w);
    must(&w, store_create(&o, 3, true, NULL), "create");
    open_all(&w);
    must(&w, store_sync_begin(w.s, 3, NULL), "sync begin");
    must(&w, store_sync_end(w.s, 1, NULL), "sync end");
    for (unsigned int i = 0; !w.bad && i < STEPS; i++) {
        step(&w);
        if (i % 100 == 99) compare(&w, true);
    }
    if (!w.bad && seed % 2) {
        take_over(&w);
        memcpy(w.accepted, w.copy, SIZE);
    }
    close_all(&w);
    if (!w.bad && !image_is(&w, w.accepted)) w.bad = "the image differs";
    ok(!w.bad, "seed %lu, %s files%s%s", (unsigned long)seed,
       d ? "fake" : "real", w.bad ? ": " : "", w.bad ? w.bad : "");
    free(w.accepted);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/test-disk-XXXXXX", path[64];
    const char *left[] = { "image", "m.identity", "m.journal", "m.overlay0",
                           "m.overlay1" };
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0)
                              : (uint64_t)time(NULL) % 1000000 * 16;
    unsigned int n = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 4;

    if (!mkdtemp(dir)) return 99;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct fake_disk *d = seed / 2 % 2 ? fake_disk_new(seed) : NULL;

        run(seed, d, dir);
        if (d) fake_disk_free(d);
    }
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, left[i]);
        unlink(path);
    }
    ok(!rmdir(dir), "nothing is left behind");
    return done_testing();
}
