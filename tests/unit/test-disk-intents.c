/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disk-intents.c - RULES A6: what is not in the bitmap is on the medium
 *
 * Two whole nodes on file systems in memory, one mirrored to the other. When
 * the primary has cleared its write intents its power is cut, and what it
 * never synced is lost by chance. What its bitmap does not name then must be
 * in its image as the other host has it: an intent may go only after the local
 * image was synced, or the two images differ and nobody knows where. And what
 * clears them may be in that sync when a takeover is taken back.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bitmap.h"
#include "cleanup.h"
#include "clock.h"
#include "disknode.h"
#include "fake-disk.h"
#include "tap.h"

#define SIZE   (16u << 20)
#define BLOCK  4096u
#define ROUNDS 10u
#define CUTS   16u
#define WRITES 60u
#define WAIT   20000u /* ms */
#define COPYS  0xc5u  /* what COLO's copy writes */
#define FILES  256

/**
 * struct host - a node and its disk
 * @folder: of its files
 * @image: in it
 * @gated: its image's calls are as with struct gate
 */
struct host {
    struct fake_disk *disk;
    struct diskio io;
    struct disknode *node;
    const char *folder;
    const char *image;
    bool gated;
};

/**
 * struct gate - while it is closed, no thread but the main one gets what the
 *               copy wrote into the image, and a sync of it waits
 * @image: these descriptors are the image's
 * @waits: a sync does
 * @no_bitmap: none can be opened, or made
 */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    pthread_t main;
    bool image[FILES];
    bool closed, waits, no_bitmap;
    struct diskio real;
    struct diskio_ops ops;
} gate = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .cond = PTHREAD_COND_INITIALIZER,
};

static int gate_open(void *ctx, const char *path, unsigned int how)
{
    int fd = gate.no_bitmap && strstr(path, ".bitmap") ? -EIO :
             gate.real.ops->open(ctx, path, how);
    LOCK_SCOPE(&gate.lock);

    if (fd >= FILES) abort();
    if (fd >= 0) gate.image[fd] = strstr(path, "/image");
    return fd;
}

/* With the lock held. */
static bool shut_for(int fd)
{
    return gate.closed && gate.image[fd] &&
           !pthread_equal(gate.main, pthread_self());
}

static ssize_t gate_pwrite(void *ctx, int fd, const void *buf, size_t len,
                           uint64_t off)
{
    bool shut;

    pthread_mutex_lock(&gate.lock);
    shut = shut_for(fd) && *(const uint8_t *)buf == COPYS;
    pthread_mutex_unlock(&gate.lock);
    return shut ? -EIO : gate.real.ops->pwrite(ctx, fd, buf, len, off);
}

static int gate_sync(void *ctx, int fd)
{
    pthread_mutex_lock(&gate.lock);
    while (shut_for(fd)) {
        gate.waits = true;
        pthread_cond_broadcast(&gate.cond);
        pthread_cond_wait(&gate.cond, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
    return gate.real.ops->sync(ctx, fd);
}

static void gate_set(bool closed)
{
    LOCK_SCOPE(&gate.lock);

    gate.closed = closed;
    pthread_cond_broadcast(&gate.cond);
}

static void gate_wait(void)
{
    LOCK_SCOPE(&gate.lock);

    while (!gate.waits) pthread_cond_wait(&gate.cond, &gate.lock);
}

static void gate_put(struct diskio *io)
{
    gate.main = pthread_self();
    gate.real = *io;
    gate.ops = *io->ops;
    gate.ops.open = gate_open;
    gate.ops.pwrite = gate_pwrite;
    gate.ops.sync = gate_sync;
    io->ops = &gate.ops;
}

static void must(int rc, const struct xlc_error *err, const char *what)
{
    if (!rc) return;
    printf("# %s: %s\n", what, err->msg);
    abort();
}

static void host_open(struct host *h, bool secondary, uint64_t seed)
{
    struct disknode_opts o = {
        .io = &h->io,
        .image = h->image,
        .dir = h->folder,
        .name = "g",
        .uuid = { 7 },
        .secondary = secondary,
        .force = secondary,
        .connections = 1,
        .tidy_ms = 1,
        .mirror = { MIRROR_LIMIT, MIRROR_HOLD_MS, 0 },
        .overlay = OVERLAY_LIMIT,
        .memory = STORE_MEMORY_LIMIT,
        .spill = STORE_SPILL_LIMIT,
        .journal = STORE_JOURNAL_LIMIT,
    };
    struct xlc_error err = XLC_ERROR_INIT;
    int rc;

    h->disk = fake_disk_new(seed);
    h->io = fake_disk_io(h->disk);
    if (h->gated) gate_put(&h->io);
    fake_disk_put(h->disk, h->image, SIZE, 0);
    rc = disknode_open(&h->node, &o, &err);
    if (!rc) rc = disknode_start(h->node, &err);
    must(rc, &err, "a node");
}

static void control(struct host *h, enum diskctl_op op, uint64_t a, int fd)
{
    const struct diskctl_ask ask = { op, a, WAIT };
    struct xlc_error err = XLC_ERROR_INIT;

    must(disknode_control(h->node, &ask, fd, &err), &err, h->folder);
}

static void checkpoint(struct host *a, struct host *b, uint64_t epoch)
{
    control(a, DISKCTL_MARK, epoch, -1);
    control(b, DISKCTL_WAIT, epoch, -1);
    control(b, DISKCTL_ACCEPT, epoch, -1);
    control(a, DISKCTL_WAIT_DURABLE, epoch, -1);
}

static void protect_from(struct host *a, struct host *b, uint64_t epoch)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) abort();
    control(b, DISKCTL_FOLLOW, 0, fds[1]);
    control(a, DISKCTL_PROTECT, epoch, fds[0]);
    control(a, DISKCTL_WAIT_SYNCED, 0, -1);
    control(a, DISKCTL_CLAIM, IDENTITY_HAS_PEER, -1);
    checkpoint(a, b, epoch);
}

static void protect(struct host *a, struct host *b)
{
    protect_from(a, b, 1);
}

static void guest_writes(struct host *a, uint8_t *model, uint64_t *rng)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct disknode_conn *c;
    uint8_t buf[BLOCK];

    must(disknode_connect(a->node, &c, &err), &err, "a guest");
    for (unsigned int i = 0; i < WRITES; i++) {
        uint64_t off = fake_random(rng, SIZE / BLOCK) * BLOCK;

        memset(buf, 1 + (int)fake_random(rng, 255), sizeof(buf));
        memcpy(model + off, buf, sizeof(buf));
        must(disknode_write(c, buf, BLOCK, off, &err), &err, "a write");
    }
    disknode_disconnect(c);
}

/* Return: whether all intents went in time, or the power did. */
static bool intents_gone(struct host *a)
{
    uint64_t end = clock_us() + WAIT * 1000u;
    struct diskctl_status st;

    do {
        disknode_status(a->node, &st);
        if (!st.intents || fake_disk_hit(a->disk)) return true;
        sched_yield();
    } while (clock_us() < end);
    return false;
}

/* No power from here on; nothing is left of the process. */
static void power_off(struct host *a)
{
    struct xlc_error err = XLC_ERROR_INIT;

    fake_disk_fault(a->disk, 1, FAKE_CUT);
    disknode_close(a->node, &err);
    fake_disk_reboot(a->disk);
}

/* Blocks that the bitmap does not name and that are not as the guest wrote
 * them. @named: blocks that it names. */
static unsigned int silently_lost(struct host *a, const uint8_t *model,
                                  unsigned int *named)
{
    struct xlc_error why = XLC_ERROR_INIT, err = XLC_ERROR_INIT;
    struct bitmap_key key = { { 7 }, 1, SIZE };
    uint64_t off = 0, len;
    unsigned int lost = 0;
    uint8_t *now, *known = calloc(1, SIZE / BLOCK);
    struct bitmap *b;
    size_t size;

    must(bitmap_open(&b, &a->io, "/a/g.bitmap", &key, &why, &err), &err,
         "the bitmap");
    for (; bitmap_next(b, &off, &len); off += len)
        memset(known + off / BLOCK, 1, (size_t)(len / BLOCK));
    bitmap_close(b, NULL);
    now = fake_disk_get(a->disk, a->image, &size);
    if (!now || size != SIZE) abort();
    *named = 0;
    for (size_t i = 0; i < SIZE / BLOCK; i++) {
        *named += known[i];
        lost += !known[i] &&
                memcmp(now + i * BLOCK, model + i * BLOCK, BLOCK);
    }
    free(now);
    free(known);
    return lost;
}

/* @cut: 0, or at which call on the primary's disk after the guest's last
 * write was made durable elsewhere the power goes. Return: no intent is left */
static bool run(uint64_t seed, unsigned long cut)
{
    struct host a = { .folder = "/a", .image = "/a/image" };
    struct host b = { .folder = "/b", .image = "/b/image" };
    uint8_t *model = calloc(1, SIZE);
    unsigned int named, lost;
    uint64_t rng = seed;
    bool gone;

    if (!model) abort();
    host_open(&a, false, seed);
    host_open(&b, true, seed + 1000);
    protect(&a, &b);
    guest_writes(&a, model, &rng);
    checkpoint(&a, &b, 2);
    if (cut) fake_disk_fault(a.disk, cut, FAKE_CUT);
    gone = intents_gone(&a);
    power_off(&a);
    lost = silently_lost(&a, model, &named);
    ok(gone && !lost,
       "RULES A6: the local image is synced before intents are cleared: of "
       "%u blocks %u are named, %u were lost silently (cut at %lu)",
       SIZE / BLOCK, named, lost, cut);
    disknode_close(b.node, NULL);
    fake_disk_free(a.disk);
    fake_disk_free(b.disk);
    free(model);
    return !named;
}

static void copy_writes(struct host *b)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct disknode_conn *c;
    uint8_t buf[BLOCK];

    memset(buf, COPYS, sizeof(buf));
    must(disknode_connect(b->node, &c, &err), &err, "a copy");
    must(disknode_write(c, buf, BLOCK, 5 * BLOCK, &err), &err, "a write");
    disknode_disconnect(c);
}

/* A guest on @a, and its copy on @b that runs and has written. */
static void with_copy(struct host *a, struct host *b)
{
    host_open(a, false, 1);
    host_open(b, true, 2);
    protect(a, b);
    control(b, DISKCTL_SVM_OPEN, 0, -1);
    control(b, DISKCTL_CHECKPOINT, 1, -1);
    copy_writes(b);
}

/* A thread syncs the image, and would go on with the overlay that is being
 * merged: that must be there still (the sanitizer says it). */
static void test_untake(void)
{
    struct host a = { .folder = "/a", .image = "/a/image" };
    struct host b = { .folder = "/b", .image = "/b/image", .gated = true };
    struct xlc_error err = XLC_ERROR_INIT;
    struct diskctl_status st;
    int rc;

    with_copy(&a, &b);
    gate_set(true);
    control(&b, DISKCTL_TAKEOVER, 2, -1);
    gate_wait();
    control(&b, DISKCTL_UNTAKE, 0, -1);
    gate_set(false);
    disknode_status(b.node, &st);
    rc = disknode_close(b.node, &err);
    ok(!rc && st.role == DISKCTL_SECONDARY && !st.overlay,
       "a takeover is taken back while its image is synced: %s", err.msg);
    disknode_close(a.node, NULL);
    fake_disk_free(a.disk);
    fake_disk_free(b.disk);
}

/* The image is a primary's, and then there is no bitmap. */
static void test_half_taken(void)
{
    const struct diskctl_ask take = { DISKCTL_TAKEOVER, 2, 0 };
    struct host a = { .folder = "/a", .image = "/a/image" };
    struct host b = { .folder = "/b", .image = "/b/image", .gated = true };
    struct xlc_error err = XLC_ERROR_INIT;
    struct diskctl_status st, then;
    int rc;

    host_open(&a, false, 1);
    host_open(&b, true, 2);
    protect(&a, &b);
    gate.no_bitmap = true;
    rc = disknode_control(b.node, &take, -1, &err);
    gate.no_bitmap = false;
    ok(rc == -EIO, "a takeover fails half done: %s", err.msg);
    control(&b, DISKCTL_UNTAKE, 0, -1);
    disknode_status(b.node, &st);
    control(&a, DISKCTL_STOP, 0, -1);
    protect_from(&a, &b, 10);
    control(&b, DISKCTL_TAKEOVER, 2, -1);
    disknode_status(b.node, &then);
    ok(st.role == DISKCTL_SECONDARY && st.generation == 1 &&
       then.role == DISKCTL_PRIMARY && then.generation == 2,
       "it can be taken back, and the copy is one again");
    disknode_close(b.node, NULL);
    disknode_close(a.node, NULL);
    fake_disk_free(a.disk);
    fake_disk_free(b.disk);
}

/* Return: does block 5 read as @octet? */
static bool reads(struct host *b, uint8_t octet)
{
    struct xlc_error err = XLC_ERROR_INIT;
    uint8_t buf[BLOCK], want[BLOCK];
    struct disknode_conn *c;

    memset(want, octet, sizeof(want));
    must(disknode_connect(b->node, &c, &err), &err, "a guest");
    must(disknode_read(c, buf, BLOCK, 5 * BLOCK, &err), &err, "a read");
    disknode_disconnect(c);
    return !memcmp(buf, want, BLOCK);
}

/* The same with a copy that runs: what it wrote is kept by the takeover, if
 * that is tried again, whatever is asked between; if it is taken back, it
 * goes. */
static void test_half_taken_copy(bool keep)
{
    const struct diskctl_ask take = { DISKCTL_TAKEOVER, 2, 0 };
    const struct diskctl_ask shut = { DISKCTL_SVM_CLOSE, 0, 0 };
    const struct diskctl_ask back = { DISKCTL_CHECKPOINT, 1, 0 };
    struct host a = { .folder = "/a", .image = "/a/image" };
    struct host b = { .folder = "/b", .image = "/b/image", .gated = true };
    struct xlc_error err = XLC_ERROR_INIT;
    struct diskctl_status st;
    int rc;

    with_copy(&a, &b);
    gate.no_bitmap = true;
    rc = disknode_control(b.node, &take, -1, NULL);
    gate.no_bitmap = false;
    ok(rc == -EIO && disknode_control(b.node, &back, -1, NULL) &&
       reads(&b, COPYS), "half taken: the copy is not put back, and what it "
       "wrote is there");
    rc = disknode_control(b.node, &shut, -1, &err);
    ok(rc == -EPERM && reads(&b, COPYS), "nor closed: %s", err.msg);
    control(&b, keep ? DISKCTL_TAKEOVER : DISKCTL_UNTAKE, keep ? 2 : 0, -1);
    disknode_status(b.node, &st);
    if (keep)
        ok(st.role == DISKCTL_PRIMARY && reads(&b, COPYS),
           "taken over after all: its writes are kept");
    else
        ok(st.role == DISKCTL_SECONDARY && !st.overlay && !st.svm &&
           st.mode == STORE_INCONSISTENT,
           "taken back: they are not, and the image says that it is half "
           "a copy (mode %u)", (unsigned int)st.mode);
    disknode_close(b.node, NULL);
    disknode_close(a.node, NULL);
    fake_disk_free(a.disk);
    fake_disk_free(b.disk);
}

/* It was held up, and its session has given up meanwhile. @done: it was asked
 * for twice, and the first one is what was taken back. */
static void test_late_takeover(bool done)
{
    const struct diskctl_ask take = { DISKCTL_TAKEOVER, 2, 0 };
    const struct diskctl_ask back = { DISKCTL_UNTAKE, 0, 0 };
    struct host a = { .folder = "/a", .image = "/a/image" };
    struct host b = { .folder = "/b", .image = "/b/image", .gated = true };
    struct xlc_error err = XLC_ERROR_INIT, e = XLC_ERROR_INIT;
    struct diskctl_status st;
    int rc;

    host_open(&a, false, 1);
    host_open(&b, true, 2);
    protect(&a, &b);
    if (done) control(&b, DISKCTL_TAKEOVER, 2, -1);
    rc = disknode_control(b.node, &back, -1, &e);
    ok(rc == (done ? 0 : -EPERM), "%s: %s", done ? "a takeover is taken back" :
       "nothing is to be taken back", e.msg);
    rc = disknode_control(b.node, &take, -1, &err);
    disknode_status(b.node, &st);
    ok(rc == -ECANCELED && st.role == DISKCTL_SECONDARY && st.generation == 1,
       "RULES A7: a takeover that comes after that does not count: %s",
       err.msg);
    control(&a, DISKCTL_STOP, 0, -1);
    protect_from(&a, &b, 10);
    control(&b, DISKCTL_TAKEOVER, 2, -1);
    disknode_status(b.node, &st);
    ok(st.role == DISKCTL_PRIMARY, "another session's does");
    disknode_close(b.node, NULL);
    disknode_close(a.node, NULL);
    fake_disk_free(a.disk);
    fake_disk_free(b.disk);
}

int main(void)
{
    unsigned int cleared = 0;

    alarm(600);
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) cleared += run(seed, 0);
    for (unsigned long cut = 1; cut <= CUTS; cut++) run(100 + cut, cut);
    test_untake();
    test_half_taken();
    test_half_taken_copy(true);
    test_half_taken_copy(false);
    test_late_takeover(false);
    test_late_takeover(true);
    /* What clears them needs no sync of its own: some come back. */
    ok(cleared, "%u of %u were left without any", cleared, ROUNDS);
    return done_testing();
}
