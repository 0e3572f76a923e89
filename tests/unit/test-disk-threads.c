/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disk-threads.c - The disk under many threads at once
 *
 * RULES A8: overlapping writes reach the image and the peer's queue in one
 * order. And whatever nbdkit's threads, the receiver and a commit do at the
 * same time: also a target for the thread sanitizer. With "bench" as argument
 * it prints what a write costs instead.
 */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "disknode.h"
#include "tap.h"

#define SIZE    (8u << 20)
#define BLOCK   4096u
#define HOT     6u /* blocks that all threads write */
#define THREADS 4u
#define ROUNDS  1500u

static char dir[] = "/tmp/test-disk-XXXXXX";

static uint64_t random_of(uint64_t *s, uint64_t n)
{
    *s = *s * 6364136223846793005ull + 1442695040888963407ull;
    return (*s >> 33) % n;
}

static const char *path(const char *name)
{
    static __thread char p[64];

    snprintf(p, sizeof(p), "%s/%s", dir, name);
    return p;
}

static int new_image(const char *name, uint64_t size)
{
    int fd = diskio_open(&diskio_real, path(name), DISKIO_CREATE, NULL);

    if (fd < 0 || diskio_real.ops->resize(NULL, fd, size)) abort();
    return fd;
}

/* ---- A primary: what the peer was sent is what the image holds ----------- */

/**
 * struct peer - where writes go, and what was wrong with them
 * @image: what the image is now must be what is put: nobody came between
 */
struct peer {
    pthread_mutex_t lock;
    uint8_t *b;
    uint64_t epoch;
    unsigned long writes;
    unsigned long crossed;
    int image;
};

static uint64_t peer_put(void *ctx, const void *buf, uint64_t len,
                         uint64_t off)
{
    struct peer *p = ctx;
    LOCK_SCOPE(&p->lock);

    uint8_t now[2 * BLOCK];

    if (buf) memcpy(p->b + off, buf, (size_t)len);
    else memset(p->b + off, 0, (size_t)len);
    p->crossed += diskio_read(&diskio_real, p->image, now, (size_t)len, off) ||
                  memcmp(now, p->b + off, (size_t)len);
    p->writes++;
    return p->epoch;
}

/* Let others in between the image and the queue: there the lock matters. */
static ssize_t yielding_pwrite(void *ctx, int fd, const void *buf, size_t len,
                               uint64_t off)
{
    ssize_t n = diskio_real.ops->pwrite(ctx, fd, buf, len, off);

    sched_yield();
    return n;
}

struct job {
    unsigned int number;
    struct front *f;
    struct store *s;
    struct bitmap *b;
    struct peer *peer;
    uint64_t seed;
    int rc;
    bool *stop;
};

static void *write_hot(void *arg)
{
    struct job *j = arg;
    uint8_t b[2 * BLOCK];

    for (unsigned int i = 0; !j->rc && i < ROUNDS; i++) {
        uint64_t off = random_of(&j->seed, HOT) * BLOCK +
                       random_of(&j->seed, 8) * 512;
        size_t len = 512 * (1 + random_of(&j->seed, 8));

        memset(b, (int)random_of(&j->seed, 256), len);
        j->rc = random_of(&j->seed, 8)
                    ? front_write(j->f, b, len, off, NULL)
                    : front_zero(j->f, len, off, NULL);
        if (!j->rc && !random_of(&j->seed, 4))
            j->rc = front_read(j->f, b, len, off, NULL);
        if (!j->rc && !random_of(&j->seed, 32)) j->rc = front_flush(j->f, NULL);
    }
    return NULL;
}

/* The link: epochs pass, become durable, the bitmap is cleaned. */
static void *pass_epochs(void *arg)
{
    struct job *j = arg;

    while (!__atomic_load_n(j->stop, __ATOMIC_ACQUIRE)) {
        uint64_t e;

        pthread_mutex_lock(&j->peer->lock);
        e = j->peer->epoch++;
        pthread_mutex_unlock(&j->peer->lock);
        bitmap_held(j->b, e);
        bitmap_durable(j->b, e);
        if (bitmap_clean(j->b, NULL)) j->rc = -EIO;
        if (e % 16 == 0) bitmap_lost(j->b);
    }
    return NULL;
}

static void test_primary(void)
{
    struct bitmap_key key = { { 1 }, 1, SIZE };
    struct peer peer = { .epoch = 1, .b = calloc(1, SIZE) };
    struct front_mirror m = { .put = peer_put, .ctx = &peer };
    struct diskio_ops ops = *diskio_real.ops;
    struct diskio io = { &ops, NULL };
    int fd = new_image("primary", SIZE);
    uint8_t *b = malloc(SIZE);
    struct front *f = NULL;
    struct bitmap *map = NULL;
    pthread_t t[THREADS], link;
    struct job j[THREADS + 1];
    bool stop = false;
    int rc = 0;

    peer.image = fd;
    pthread_mutex_init(&peer.lock, NULL);
    ops.pwrite = yielding_pwrite;
    if (bitmap_create(&map, &diskio_real, path("primary.bitmap"), &key, false,
                      NULL) ||
        front_open_image(&f, &io, fd, SIZE, NULL) ||
        front_protect(f, map, &m, NULL))
        abort();
    for (unsigned int i = 0; i <= THREADS; i++)
        j[i] = (struct job){ .f = f, .b = map, .peer = &peer, .seed = i + 1,
                             .stop = &stop };
    for (unsigned int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, write_hot, &j[i]);
    pthread_create(&link, NULL, pass_epochs, &j[THREADS]);
    for (unsigned int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(link, NULL);
    for (unsigned int i = 0; i <= THREADS; i++) rc = rc ? rc : j[i].rc;
    if (diskio_read(&diskio_real, fd, b, SIZE, 0)) rc = -EIO;
    ok(!rc && peer.writes == THREADS * ROUNDS && !peer.crossed &&
           !memcmp(b, peer.b, SIZE),
       "RULES A8: the peer's disk is ours, after %lu overlapping writes",
       peer.writes);
    front_close(f);
    bitmap_close(map, NULL);
    close(fd);
    free(b);
    free(peer.b);
    pthread_mutex_destroy(&peer.lock);
}

/* ---- A secondary: the peer writes, epochs pass, the copy runs ------------ */

/* A block of epoch e is full of the octet e: no read may see two of them. */
static void *receive(void *arg)
{
    struct job *j = arg;
    uint8_t b[BLOCK];

    for (uint64_t e = 2; !j->rc && e < 60; e++) {
        memset(b, (int)e, sizeof(b));
        for (unsigned int i = 0; !j->rc && i < 64; i++)
            j->rc = store_write(j->s, e, b, BLOCK,
                                random_of(&j->seed, SIZE / BLOCK) * BLOCK,
                                NULL);
        if (!j->rc) j->rc = store_close_epoch(j->s, e, NULL);
        if (!j->rc) j->rc = store_accept(j->s, e, NULL);
    }
    __atomic_store_n(j->stop, true, __ATOMIC_RELEASE);
    return NULL;
}

static void *commit(void *arg)
{
    struct job *j = arg;
    struct store_status st;
    bool last = false;

    while (!j->rc && !last) {
        last = __atomic_load_n(j->stop, __ATOMIC_ACQUIRE);
        j->rc = store_commit(j->s, NULL);
        store_status(j->s, &st);
        if (last && st.durable != 59) j->rc = -EINVAL;
    }
    return NULL;
}

static void *look(void *arg)
{
    struct job *j = arg;
    uint8_t b[BLOCK];

    while (!j->rc && !__atomic_load_n(j->stop, __ATOMIC_ACQUIRE)) {
        uint64_t off = random_of(&j->seed, SIZE / BLOCK) * BLOCK;

        j->rc = store_read(j->s, STORE_ACCEPTED, b, BLOCK, off, NULL);
        if (!j->rc) j->rc = store_read(j->s, STORE_ALL, b, BLOCK, off, NULL);
    }
    return NULL;
}

static struct store *new_store(const char *name, uint64_t memory)
{
    struct store_opts o = { .io = &diskio_real,
                            .dir = dir,
                            .name = name,
                            .memory_limit = memory,
                            .spill_limit = 256 << 20,
                            .journal_limit = 256 << 20 };
    struct store *s = NULL;
    char image[64];

    snprintf(image, sizeof(image), "%s/%s.image", dir, name);
    o.image = image;
    if (store_create(&o, 1, true, NULL) || store_open(&s, &o, NULL) ||
        store_sync_begin(s, 1, NULL) || store_sync_end(s, 1, NULL))
        abort();
    return s;
}

static void test_secondary(void)
{
    int fd = new_image("sec.image", SIZE);
    struct store *s = new_store("sec", 2 * LAYER_CHUNK);
    void *(*work[])(void *) = { receive, commit, look, look };
    pthread_t t[4];
    struct job j[4];
    bool stop = false;
    int rc = 0;

    for (unsigned int i = 0; i < 4; i++) {
        j[i] = (struct job){ .s = s, .seed = i + 1, .stop = &stop };
        pthread_create(&t[i], NULL, work[i], &j[i]);
    }
    for (unsigned int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        rc = rc ? rc : j[i].rc;
    }
    ok(!rc, "a receiver, a commit and readers at once");
    ok(!store_close(s, NULL), "and an orderly end");
    close(fd);
}

static void *merge(void *arg)
{
    struct job *j = arg;
    int more = 1;

    while (more > 0) more = front_merge(j->f, 16 << 10, NULL);
    j->rc = more;
    return NULL;
}

/* Blocks of which each thread has its own: what was written is what is read. */
static void *own_blocks(void *arg)
{
    struct job *j = arg;
    uint8_t b[BLOCK], want[64] = { 0 };

    for (unsigned int i = 0; !j->rc && i < ROUNDS; i++) {
        uint64_t n = random_of(&j->seed, 64);
        uint64_t off = (n * THREADS + j->number) * BLOCK;

        if (want[n]) {
            j->rc = front_read(j->f, b, BLOCK, off, NULL);
            if (b[0] != want[n] || b[BLOCK - 1] != want[n]) j->rc = -EILSEQ;
        }
        want[n] = (uint8_t)(1 + random_of(&j->seed, 255));
        memset(b, want[n], BLOCK);
        if (!j->rc) j->rc = front_write(j->f, b, BLOCK, off, NULL);
        if (!j->rc && !random_of(&j->seed, 64)) j->rc = front_flush(j->f, NULL);
    }
    return NULL;
}

static int all_own(struct front *f, bool merging)
{
    pthread_t t[THREADS], m;
    struct job j[THREADS + 1];
    int rc = 0;

    for (unsigned int i = 0; i <= THREADS; i++)
        j[i] = (struct job){ .f = f, .seed = i + 7, .number = i };
    if (merging) pthread_create(&m, NULL, merge, &j[THREADS]);
    for (unsigned int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, own_blocks, &j[i]);
    for (unsigned int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    if (merging) pthread_join(m, NULL);
    for (unsigned int i = 0; i <= THREADS; i++) rc = rc ? rc : j[i].rc;
    return rc;
}

static void test_copy(void)
{
    struct overlay_opts oo = { &diskio_real, dir, "copy", 1 << 30 };
    int fd = new_image("copy.image", SIZE);
    struct store *s = new_store("copy", 8 << 20);
    struct overlay *o = NULL;
    struct front *f = NULL;

    if (overlay_create(&o, &oo, NULL) ||
        front_open_store(&f, &diskio_real, s, NULL) ||
        front_checkpoint(f, o, 1, NULL))
        abort();
    ok(!all_own(f, false), "a copy's threads");
    ok(!front_takeover(f, 2, NULL) && front_mode(f) == FRONT_MERGING,
       "take over");
    ok(!all_own(f, true) && front_mode(f) == FRONT_DIRECT,
       "and write while the overlay is merged");
    front_close(f);
    overlay_close(o);
    store_close(s, NULL);
    close(fd);
}

/* ---- A node: who looks on while its role changes ------------------------- */

#define TURNS 20u

/**
 * struct looker - asks for the status, as `xl disk-status` may at any time
 * @bad: a status that no role has
 * @asked: how often
 */
struct looker {
    struct disknode *n;
    bool *stop;
    unsigned long bad, asked;
};

static void *look_on(void *arg)
{
    struct looker *l = arg;
    struct diskctl_status st;

    while (!__atomic_load_n(l->stop, __ATOMIC_ACQUIRE)) {
        disknode_status(l->n, &st);
        l->bad += st.size != SIZE ||
                  (st.role == DISKCTL_PRIMARY ? st.generation != 2
                                              : st.role != DISKCTL_SECONDARY);
        __atomic_add_fetch(&l->asked, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* Somebody has asked, so what clears intents had its turns, too. */
static void looked(struct looker *l)
{
    unsigned long was = __atomic_load_n(&l->asked, __ATOMIC_ACQUIRE);

    while (__atomic_load_n(&l->asked, __ATOMIC_ACQUIRE) < was + 8)
        sched_yield();
}

static int node_ask(struct disknode *n, enum diskctl_op op, uint64_t a)
{
    const struct diskctl_ask ask = { op, a, 0 };
    struct xlc_error err = XLC_ERROR_INIT;
    int fds[2] = { -1, -1 }, rc;

    /* A session's stream, which is gone already. */
    if (op == DISKCTL_FOLLOW &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        abort();
    if (fds[1] >= 0) close(fds[1]);
    rc = disknode_control(n, &ask, fds[0], &err);

    if (rc) printf("# %s\n", err.msg);
    return rc;
}

/* Taken over and back, with and without a copy that runs. */
static int take_turns(struct looker *l)
{
    int rc = 0;

    for (unsigned int i = 0; !rc && i < TURNS; i++) {
        rc = node_ask(l->n, DISKCTL_FOLLOW, 0);
        /* Last: an image that had a copy is half a sync from then on. */
        if (!rc && i == TURNS - 1) rc = node_ask(l->n, DISKCTL_SVM_OPEN, 0);
        if (!rc) rc = node_ask(l->n, DISKCTL_TAKEOVER, 2);
        looked(l);
        if (!rc) rc = node_ask(l->n, DISKCTL_UNTAKE, 0);
        looked(l);
    }
    return rc;
}

static void test_node(void)
{
    char image[64];
    struct disknode_opts o = {
        .image = image,
        .dir = dir,
        .name = "node",
        .secondary = true,
        .connections = 1,
        .tidy_ms = 0, /* always */
        .mirror = { MIRROR_LIMIT, MIRROR_HOLD_MS, 0 },
        .memory = 1 << 20,
        .spill = 256 << 20,
        .journal = 256 << 20,
        .overlay = 1 << 30,
    };
    int fd = new_image("node.image", SIZE), rc;
    struct looker l = { 0 };
    bool stop = false;
    pthread_t t;

    snprintf(image, sizeof(image), "%s/node.image", dir);
    store_close(new_store("node", 1 << 20), NULL);
    if (disknode_open(&l.n, &o, NULL) || disknode_start(l.n, NULL)) abort();
    l.stop = &stop;
    pthread_create(&t, NULL, look_on, &l);
    rc = take_turns(&l);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(t, NULL);
    ok(!rc && l.asked && !l.bad,
       "%u takeovers that are taken back, while others look on", TURNS);
    ok(!disknode_close(l.n, NULL), "and an orderly end");
    close(fd);
}

/* ---- Figures ------------------------------------------------------------ */

static void bench_bitmap(void)
{
    struct bitmap_key key = { { 1 }, 1, 1ull << 40 };
    struct bitmap *b = NULL;
    struct bitmap_hold h;
    uint64_t seed = 1, t;
    unsigned int n = 1000000;

    if (bitmap_create(&b, &diskio_real, path("b.bitmap"), &key, false, NULL))
        abort();
    for (unsigned int i = 0; i < 1024; i++) /* the intents are there */
        if (!bitmap_begin(b, &h, i * (4ull << 20), 4096, NULL))
            bitmap_end(b, &h, 1);
    t = clock_us();
    for (unsigned int i = 0; i < n; i++)
        if (!bitmap_begin(b, &h, random_of(&seed, 1u << 20) * 4096, 4096,
                          NULL))
            bitmap_end(b, &h, 1);
    t = clock_us() - t;
    printf("# bitmap: %.1f ns a write whose intent is there\n",
           (double)t * 1000 / n);
    n = 200;
    t = clock_us();
    for (unsigned int i = 0; i < n; i++)
        if (!bitmap_begin(b, &h, (1ull << 39) + i * (64ull << 20), 4096,
                          NULL))
            bitmap_end(b, &h, 1);
    t = clock_us() - t;
    printf("# bitmap: %.1f us a write that needs one\n", (double)t / n);
    t = clock_us();
    bitmap_held(b, 2);
    bitmap_durable(b, 2);
    printf("# bitmap: %lu us for an epoch that becomes durable\n",
           (unsigned long)(clock_us() - t));
    bitmap_close(b, NULL);
}

static void bench_epoch(const char *what, uint64_t total, size_t block,
                        bool random)
{
    struct store *s = new_store("bench", 256 << 20);
    uint8_t *b = malloc(block);
    uint64_t seed = 1, t[4];
    int fd = new_image("plain", 1 << 30);

    memset(b, 7, block);
    for (uint64_t e = 2; e < 5; e++) {
        t[0] = clock_us();
        for (uint64_t i = 0; i < total / block; i++)
            store_write(s, e, b, block,
                        (random ? random_of(&seed, (1 << 30) / block) : i) *
                            block, NULL);
        t[1] = clock_us();
        store_close_epoch(s, e, NULL);
        store_accept(s, e, NULL);
        if (store_commit(s, NULL)) abort();
        t[2] = clock_us();
        for (uint64_t i = 0; i < total / block; i++)
            diskio_write(&diskio_real, fd, b, block,
                         (random ? random_of(&seed, (1 << 30) / block) : i) *
                             block);
        diskio_real.ops->sync(NULL, fd);
        t[3] = clock_us();
        printf("# %s: %.2f us a write kept aside, commit %lu ms, the same "
               "writes and a sync %lu ms\n", what,
               (double)(t[1] - t[0]) * (double)block / (double)total,
               (unsigned long)(t[2] - t[1]) / 1000,
               (unsigned long)(t[3] - t[2]) / 1000);
    }
    free(b);
    close(fd);
    store_close(s, NULL);
}

static void clean_up(void)
{
    const char *left[] = {
        "primary", "primary.bitmap", "sec.image", "sec.identity",
        "sec.journal", "copy.image", "copy.identity", "copy.journal",
        "copy.overlay0", "copy.overlay1", "b.bitmap", "bench.image",
        "bench.identity", "bench.journal", "plain", "node.image",
        "node.identity", "node.journal", "node.bitmap", "node.overlay0",
        "node.overlay1",
    };

    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        unlink(path(left[i]));
    rmdir(dir);
}

int main(int argc, char **argv)
{
    if (!mkdtemp(dir)) return 99;
    if (argc > 1 && !strcmp(argv[1], "bench")) {
        close(new_image("bench.image", 1 << 30));
        bench_bitmap();
        bench_epoch("64 MiB of 4k, random", 64 << 20, 4096, true);
        bench_epoch("64 MiB of 1M", 64 << 20, 1 << 20, false);
    } else {
        test_primary();
        test_secondary();
        test_copy();
        test_node();
    }
    clean_up();
    return done_testing();
}
