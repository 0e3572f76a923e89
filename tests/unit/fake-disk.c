/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-disk.c - A file system in memory that fails on demand */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "cleanup.h"
#include "fake-disk.h"

#define INODES 64
#define NAMES  32
#define SECTOR 512

/* A file's content: octets beyond @size don't exist. */
struct content {
    uint8_t *b;
    size_t size;
};

enum change { WRITE, RESIZE };

struct pending {
    enum change what;
    size_t off;
    size_t len;
    uint8_t *b;
};

struct inode {
    bool used;
    struct content live;
    struct content durable;
    struct pending *pending;
    size_t n;
    bool open;
};

struct name {
    char path[128];
    int inode; /* -1: no name */
};

struct fake_disk {
    pthread_mutex_t lock;
    struct inode inode[INODES];
    struct name live[NAMES];
    struct name durable[NAMES];
    /* Whole tables as they were after each change since the last syncdir. */
    struct name (*history)[NAMES];
    size_t changes;
    unsigned long calls;
    unsigned long fault_at;
    enum fake_fault fault;
    bool hit;
    bool dead;
    bool no_zero;
    uint64_t rng;
};

uint64_t fake_random(uint64_t *state, uint64_t n)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull; /* splitmix64 */

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (z ^ z >> 31) % n;
}

static void *must(void *p)
{
    if (!p) abort();
    return p;
}

static void resize(struct content *c, size_t size)
{
    if (size > c->size) {
        c->b = must(realloc(c->b, size));
        memset(c->b + c->size, 0, size - c->size);
    }
    c->size = size;
}

static void put(struct content *c, const uint8_t *b, size_t off, size_t len)
{
    if (off + len > c->size) resize(c, off + len);
    if (len) memcpy(c->b + off, b, len);
}

static void remember(struct inode *i, enum change what, size_t off,
                     const uint8_t *b, size_t len)
{
    struct pending p = { what, off, len, NULL };

    if (b) {
        p.b = must(malloc(len ? len : 1));
        if (len) memcpy(p.b, b, len);
    }
    i->pending = must(realloc(i->pending, (i->n + 1) * sizeof(p)));
    i->pending[i->n++] = p;
}

static void forget(struct inode *i)
{
    while (i->n) free(i->pending[--i->n].b);
    free(i->pending);
    i->pending = NULL;
}

/* Pending changes reach the medium: all of them, or by luck. */
static void settle(struct fake_disk *d, struct inode *i, bool all)
{
    unsigned int luck = all ? 0 : (unsigned int)fake_random(&d->rng, 4);

    for (size_t n = 0; n < i->n && luck != 1; n++) {
        struct pending *p = &i->pending[n];

        if (p->what == RESIZE) {
            if (luck < 2 || fake_random(&d->rng, 2))
                resize(&i->durable, p->len);
            continue;
        }
        for (size_t at = p->off; at < p->off + p->len;) {
            size_t end = (at / SECTOR + 1) * SECTOR;

            if (end > p->off + p->len) end = p->off + p->len;
            if (luck < 2 || fake_random(&d->rng, 2))
                put(&i->durable, p->b + (at - p->off), at, end - at);
            at = end;
        }
    }
    forget(i);
}

static void drop_inode(struct inode *i)
{
    forget(i);
    free(i->live.b);
    free(i->durable.b);
    *i = (struct inode){ .used = false };
}

struct fake_disk *fake_disk_new(uint64_t seed)
{
    struct fake_disk *d = must(calloc(1, sizeof(*d)));

    pthread_mutex_init(&d->lock, NULL);
    d->rng = seed;
    for (int i = 0; i < NAMES; i++) d->live[i].inode = -1;
    memcpy(d->durable, d->live, sizeof(d->live));
    return d;
}

void fake_disk_free(struct fake_disk *d)
{
    for (int i = 0; i < INODES; i++) drop_inode(&d->inode[i]);
    free(d->history);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static struct name *find(struct fake_disk *d, const char *path)
{
    for (int i = 0; i < NAMES; i++)
        if (d->live[i].inode >= 0 && !strcmp(d->live[i].path, path))
            return &d->live[i];
    return NULL;
}

static struct name *set_name(struct fake_disk *d, const char *path, int inode)
{
    struct name *n = find(d, path);

    for (int i = 0; !n && i < NAMES; i++)
        if (d->live[i].inode < 0) n = &d->live[i];
    must(n);
    if (strlen(path) >= sizeof(n->path)) abort();
    memcpy(n->path, path, strlen(path) + 1);
    n->inode = inode;
    return n;
}

static void names_changed(struct fake_disk *d)
{
    d->history = must(realloc(d->history,
                              (d->changes + 1) * sizeof(*d->history)));
    memcpy(d->history[d->changes++], d->live, sizeof(d->live));
}

static int new_inode(struct fake_disk *d)
{
    for (int i = 0; i < INODES; i++) {
        if (d->inode[i].used) continue;
        d->inode[i].used = true;
        return i;
    }
    abort();
}

/* Every call comes here first. Return: what it meets. */
static enum fake_fault enter(struct fake_disk *d)
{
    if (d->dead) return FAKE_EIO;
    d->calls++;
    if (!d->fault_at || d->calls != d->fault_at) return FAKE_NONE;
    d->hit = true;
    if (d->fault == FAKE_CUT) d->dead = true;
    return d->fault;
}

/* The error of a call that can't do half of its work. */
static int refused(enum fake_fault f, bool takes_space)
{
    switch (f) {
    case FAKE_EIO:
    case FAKE_CUT:
        return -EIO;
    case FAKE_ENOSPC:
        return takes_space ? -ENOSPC : 0;
    case FAKE_NONE:
    case FAKE_SHORT:
        break;
    }
    return 0;
}

static int fake_open(void *ctx, const char *path, unsigned int how)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    int rc = refused(enter(d), how & DISKIO_CREATE), i;
    struct name *n = find(d, path);

    if (rc) return rc;
    if (how & DISKIO_TEMP) {
        i = new_inode(d);
    } else if (n) {
        i = n->inode;
        if (how & DISKIO_TRUNCATE) {
            remember(&d->inode[i], RESIZE, 0, NULL, 0);
            resize(&d->inode[i].live, 0);
        }
    } else {
        if (!(how & DISKIO_CREATE)) return -ENOENT;
        i = new_inode(d);
        set_name(d, path, i);
        names_changed(d);
    }
    d->inode[i].open = true;
    return 100 + i;
}

/* Names may still refer to it after a crash: it stays until then, unless it
 * never had one. */
static void fake_close(void *ctx, int fd)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    bool named = false;

    d->inode[fd - 100].open = false;
    for (int n = 0; n < NAMES; n++)
        named = named || d->live[n].inode == fd - 100 ||
                d->durable[n].inode == fd - 100;
    for (size_t c = 0; c < d->changes; c++)
        for (int n = 0; n < NAMES; n++)
            named = named || d->history[c][n].inode == fd - 100;
    if (!named) drop_inode(&d->inode[fd - 100]);
}

static ssize_t fake_pread(void *ctx, int fd, void *buf, size_t len,
                          uint64_t off)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    struct content *c = &d->inode[fd - 100].live;
    enum fake_fault f = enter(d);
    int rc = refused(f, false);

    if (rc) return rc;
    if (off >= c->size) return 0;
    if (len > c->size - off) len = c->size - (size_t)off;
    if (f == FAKE_SHORT && len > 1) len /= 2;
    memcpy(buf, c->b + off, len);
    return (ssize_t)len;
}

static ssize_t do_write(struct fake_disk *d, int fd, const uint8_t *buf,
                        size_t len, uint64_t off, bool may_be_short)
{
    struct inode *i = &d->inode[fd - 100];
    enum fake_fault f = enter(d);

    if (f == FAKE_EIO || f == FAKE_CUT || f == FAKE_ENOSPC) {
        bool was_dead = f == FAKE_EIO && d->dead;

        /* Some of it may have been written all the same; of what comes in
         * sectors, whole ones. */
        if (!was_dead && len > 1) {
            bool sectors = !(off % SECTOR) && !(len % SECTOR);

            len = (size_t)fake_random(&d->rng, len);
            if (sectors) len -= len % SECTOR;
            remember(i, WRITE, (size_t)off, buf, len);
            put(&i->live, buf, (size_t)off, len);
        }
        return f == FAKE_ENOSPC ? -ENOSPC : -EIO;
    }
    if (f == FAKE_SHORT && may_be_short && len > 1) len /= 2;
    remember(i, WRITE, (size_t)off, buf, len);
    put(&i->live, buf, (size_t)off, len);
    return (ssize_t)len;
}

static ssize_t fake_pwrite(void *ctx, int fd, const void *buf, size_t len,
                           uint64_t off)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);

    return do_write(d, fd, buf, len, off, true);
}

static int fake_sync(void *ctx, int fd)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    bool was_dead = d->dead;
    int rc = refused(enter(d), false);

    if (!was_dead) settle(d, &d->inode[fd - 100], !rc);
    return rc;
}

static int fake_zero(void *ctx, int fd, uint64_t off, uint64_t len, bool punch)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    uint8_t *zeroes;
    ssize_t n;

    (void)punch;
    if (d->no_zero) return -EOPNOTSUPP;
    zeroes = must(calloc(1, (size_t)len));
    n = do_write(d, fd, zeroes, (size_t)len, off, false);
    free(zeroes);
    return n < 0 ? (int)n : 0;
}

static int fake_size(void *ctx, int fd, uint64_t *size)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    int rc = refused(enter(d), false);

    *size = d->inode[fd - 100].live.size;
    return rc;
}

static int fake_resize(void *ctx, int fd, uint64_t size)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    int rc = refused(enter(d), true);

    if (rc) return rc;
    remember(&d->inode[fd - 100], RESIZE, 0, NULL, (size_t)size);
    resize(&d->inode[fd - 100].live, (size_t)size);
    return 0;
}

static int fake_rename(void *ctx, const char *from, const char *to)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    int rc = refused(enter(d), true);
    struct name *n = find(d, from);

    if (rc) return rc;
    if (!n) return -ENOENT;
    set_name(d, to, n->inode);
    n->inode = -1;
    names_changed(d);
    return 0;
}

static int fake_unlink(void *ctx, const char *path)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    int rc = refused(enter(d), false);
    struct name *n = find(d, path);

    if (rc) return rc;
    if (!n) return -ENOENT;
    n->inode = -1;
    names_changed(d);
    return 0;
}

static int fake_syncdir(void *ctx, const char *path)
{
    struct fake_disk *d = ctx;
    LOCK_SCOPE(&d->lock);
    int rc = refused(enter(d), false);

    (void)path;
    if (rc) return rc;
    memcpy(d->durable, d->live, sizeof(d->live));
    d->changes = 0;
    return 0;
}

static const struct diskio_ops fake_ops = {
    .open = fake_open,
    .close = fake_close,
    .pread = fake_pread,
    .pwrite = fake_pwrite,
    .sync = fake_sync,
    .zero = fake_zero,
    .size = fake_size,
    .resize = fake_resize,
    .rename = fake_rename,
    .unlink = fake_unlink,
    .syncdir = fake_syncdir,
};

struct diskio fake_disk_io(struct fake_disk *d)
{
    return (struct diskio){ &fake_ops, d };
}

void fake_disk_set(struct fake_disk *d, const char *path, const void *b,
                   size_t size)
{
    struct name *n = find(d, path);
    int i = n ? n->inode : new_inode(d);

    forget(&d->inode[i]);
    resize(&d->inode[i].live, 0);
    put(&d->inode[i].live, b, 0, size);
    resize(&d->inode[i].durable, 0);
    put(&d->inode[i].durable, b, 0, size);
    set_name(d, path, i);
    memcpy(d->durable, d->live, sizeof(d->live));
    d->changes = 0;
}

void fake_disk_put(struct fake_disk *d, const char *path, size_t size,
                   uint8_t octet)
{
    uint8_t *b = must(malloc(size));

    memset(b, octet, size);
    fake_disk_set(d, path, b, size);
    free(b);
}

uint8_t *fake_disk_get(struct fake_disk *d, const char *path, size_t *size)
{
    struct name *n = find(d, path);
    struct content *c = n ? &d->inode[n->inode].live : NULL;
    uint8_t *b;

    if (!c) return NULL;
    b = must(malloc(c->size ? c->size : 1));
    if (c->size) memcpy(b, c->b, c->size);
    *size = c->size;
    return b;
}

void fake_disk_fault(struct fake_disk *d, unsigned long n,
                     enum fake_fault fault)
{
    d->fault_at = n ? d->calls + n : 0;
    d->fault = fault;
    d->hit = false;
}

void fake_disk_no_zero(struct fake_disk *d)
{
    d->no_zero = true;
}

unsigned long fake_disk_calls(const struct fake_disk *d)
{
    return d->calls;
}

bool fake_disk_hit(const struct fake_disk *d)
{
    return d->hit;
}

void fake_disk_restart(struct fake_disk *d)
{
    d->fault_at = 0;
    for (int i = 0; i < INODES; i++) d->inode[i].open = false;
}

void fake_disk_reboot(struct fake_disk *d)
{
    bool named[INODES] = { false };
    size_t keep = (size_t)fake_random(&d->rng, d->changes + 1);

    if (keep) memcpy(d->durable, d->history[keep - 1], sizeof(d->durable));
    memcpy(d->live, d->durable, sizeof(d->live));
    d->changes = 0;
    for (int n = 0; n < NAMES; n++)
        if (d->live[n].inode >= 0) named[d->live[n].inode] = true;
    for (int i = 0; i < INODES; i++) {
        struct inode *f = &d->inode[i];

        if (!named[i]) {
            drop_inode(f);
            continue;
        }
        settle(d, f, false);
        resize(&f->live, f->durable.size);
        if (f->live.size) memcpy(f->live.b, f->durable.b, f->live.size);
    }
    d->dead = false;
    fake_disk_restart(d);
}
