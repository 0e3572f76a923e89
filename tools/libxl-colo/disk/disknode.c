/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disknode.c - A disk that this process serves: its life
 *
 * Theory of operation: a primary that was protected once has a bitmap file,
 * and keeps it up from its next start on, whether a peer is there or not. The
 * identity learns what the peer made durable before the bitmap's intents are
 * cleared for it; so a peer that is behind the identity is known to lack what
 * the bitmap no longer has (mirror_basis()).
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "disknode-priv.h"

static int image_size(struct disknode *n, struct xlc_error *err)
{
    int rc;

    n->fd = diskio_open(n->io, n->o.image, 0, err);
    if (n->fd < 0) return n->fd;
    rc = n->io->ops->size(n->io->ctx, n->fd, &n->size);
    if (!rc && !n->size) rc = -EINVAL;
    return rc ? xlc_error_set(err, rc, "%s has no size that can be used",
                              n->o.image)
              : 0;
}

static void first_identity(struct disknode *n)
{
    n->id = (struct identity){ .generation = 1,
                               .size = n->size,
                               .role = IDENTITY_PRIMARY,
                               .flags = IDENTITY_CONSISTENT };
    memcpy(n->id.uuid, n->o.uuid, sizeof(n->id.uuid));
    snprintf(n->id.image, sizeof(n->id.image), "%s", n->o.image);
}

static int opened(struct disknode *n, struct xlc_error *err)
{
    identity_set_claim(&n->id, IDENTITY_ALONE);
    return identity_save(n->io, n->id_path, &n->id, false, err);
}

static int primary_identity(struct disknode *n, struct xlc_error *err)
{
    int rc = identity_load(n->io, n->id_path, &n->id, err);

    if (rc == -ENOENT) {
        first_identity(n);
        return identity_save(n->io, n->id_path, &n->id, false, err);
    }
    if (!rc)
        rc = identity_belongs(&n->id, n->o.uuid, n->o.image, n->size, err);
    if (rc) return rc;
    rc = identity_may_boot(&n->id, n->o.newest, err);
    if (rc && n->o.force) xlc_error_clear(err);
    if (rc) return n->o.force ? 1 : rc;
    /* It was asked for, and a guest runs from it from here on. */
    return identity_claim(&n->id) == IDENTITY_TAKEN ? opened(n, err) : 0;
}

/* A new history, so that whatever is newer elsewhere is not of it. */
static int new_generation(struct disknode *n, struct xlc_error *err)
{
    identity_set_claim(&n->id, IDENTITY_ALONE);
    n->id.generation++;
    return identity_save(n->io, n->id_path, &n->id, false, err);
}

/* The same, of an image of which nothing else is known to be true. */
static int as_it_is(struct disknode *n, struct xlc_error *err)
{
    n->id.role = IDENTITY_PRIMARY;
    n->id.flags = IDENTITY_CONSISTENT;
    n->id.overlay_generation = n->id.overlay_epoch = 0;
    return new_generation(n, err);
}

/* Serve a copy that nobody told to take over: with what its journal, and an
 * overlay, have. If they can't be used, the image as it is: it was forced.
 * Return: 1: as it is. */
static int force_copy(struct disknode *n, struct xlc_error *err)
{
    uint64_t generation = n->id.generation + 1;
    int rc;

    if (!(n->id.flags & IDENTITY_CONSISTENT)) return 1;
    rc = disknode_open_secondary(n, err);
    if (rc) return rc;
    if (follow_store(n->follow)) {
        rc = disknode_takeover(n, generation, true, err);
        return rc ? rc : opened(n, err);
    }
    rc = follow_close(n->follow, err);
    n->follow = NULL;
    if (!rc) n->fd = diskio_open(n->io, n->o.image, 0, err);
    return rc ? rc : n->fd < 0 ? n->fd : 1;
}

static void bitmap_key_of(const struct disknode *n, struct bitmap_key *key)
{
    memcpy(key->uuid, n->o.uuid, sizeof(key->uuid));
    key->generation = n->id.generation;
    key->size = n->size;
}

int disknode_remember(struct disknode *n, struct bitmap *b,
                      struct xlc_error *err)
{
    struct front_mirror fm = { .put = mirror_put, .copy = mirror_copy };
    struct mirror *m;
    int rc = mirror_open(&m, &n->o.mirror, n->front, b, err);

    if (rc) {
        bitmap_close(b, NULL);
        return rc;
    }
    fm.ctx = m;
    rc = front_protect(n->front, b, &fm, err);
    if (rc) {
        mirror_close(m);
        bitmap_close(b, NULL);
        return rc;
    }
    LOCK_SCOPE(&n->state_lock);
    n->bitmap = b;
    n->mirror = m;
    return 0;
}

/* If this disk was protected before, go on remembering. */
static int old_bitmap(struct disknode *n, struct xlc_error *err)
{
    int fd = diskio_open(n->io, n->bitmap_path, DISKIO_READONLY, NULL);
    struct xlc_error why = XLC_ERROR_INIT;
    struct bitmap_key key;
    struct bitmap *b;
    int rc;

    if (fd == -ENOENT) return 0;
    diskio_close(n->io, &fd);
    bitmap_key_of(n, &key);
    rc = bitmap_open(&b, n->io, n->bitmap_path, &key, &why, err);
    return rc ? rc : disknode_remember(n, b, err);
}

static int open_primary(struct disknode *n, struct xlc_error *err)
{
    int rc = n->o.dir ? primary_identity(n, err) : 0;

    if (rc == 1) {
        bool whole = n->id.role == IDENTITY_PRIMARY &&
                     n->id.flags & IDENTITY_CONSISTENT;

        /* What an overlay has of it is still to be merged. */
        rc = whole ? new_generation(n, err) : force_copy(n, err);
        if (!rc && !whole) return 0;
        if (rc == 1) rc = as_it_is(n, err);
    }
    if (!rc) rc = front_open_image(&n->front, n->io, n->fd, n->size, err);
    /* Before the bitmap: it has to know what the overlay has. */
    if (!rc && n->id.flags & IDENTITY_MERGING) {
        struct xlc_error why = XLC_ERROR_INIT;

        rc = disknode_resume_merge(n, &why);
        if (rc == -ESTALE && n->o.force) rc = as_it_is(n, err);
        else if (rc) xlc_error_set(err, rc, "%s", why.msg);
    }
    if (!rc && n->o.dir && !n->overlay) disknode_no_overlay(n);
    if (!rc && n->o.dir) rc = old_bitmap(n, err);
    n->primary = n->served = !rc;
    return rc;
}

int disknode_open_secondary(struct disknode *n, struct xlc_error *err)
{
    struct store_opts so = {
        .io = n->io,
        .image = n->o.image,
        .dir = n->o.dir,
        .name = n->o.name,
        .memory_limit = n->o.memory,
        .spill_limit = n->o.spill,
        .journal_limit = n->o.journal,
    };
    struct follow *f;
    int rc;

    memcpy(so.uuid, n->o.uuid, sizeof(so.uuid));
    diskio_close(n->io, &n->fd); /* the store has its own */
    rc = follow_open(&f, &so, n->size, n->o.force, err);
    if (rc) return rc;
    /* After an undo others look at it already. */
    LOCK_SCOPE(&n->state_lock);
    n->follow = f;
    return 0;
}

static int paths(struct disknode *n, struct xlc_error *err)
{
    if (!n->o.dir) return 0;
    if (asprintf(&n->id_path, "%s/%s.identity", n->o.dir, n->o.name) < 0)
        n->id_path = NULL;
    if (asprintf(&n->bitmap_path, "%s/%s.bitmap", n->o.dir, n->o.name) < 0)
        n->bitmap_path = NULL;
    return n->id_path && n->bitmap_path
               ? 0
               : xlc_error_set(err, -ENOMEM, "no memory");
}

int disknode_open(struct disknode **out, const struct disknode_opts *o,
                  struct xlc_error *err)
{
    struct disknode *n = calloc(1, sizeof(*n));
    pthread_condattr_t a;
    int rc;

    if (!n) return xlc_error_set(err, -ENOMEM, "no memory");
    pthread_mutex_init(&n->session, NULL);
    pthread_mutex_init(&n->conns_lock, NULL);
    pthread_mutex_init(&n->state_lock, NULL);
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&n->ticked, &a);
    pthread_condattr_destroy(&a);
    n->o = *o;
    n->io = o->io ? o->io : &diskio_real;
    n->fd = -1;
    rc = paths(n, err);
    if (!rc) rc = image_size(n, err);
    if (!rc) rc = o->secondary ? disknode_open_secondary(n, err)
                               : open_primary(n, err);
    if (rc) disknode_close(n, NULL);
    else *out = n;
    return rc;
}

int disknode_note(struct disknode *n, struct xlc_error *err)
{
    struct identity id = n->id;
    struct mirror_status st;
    int rc;

    if (!n->mirror) return 0;
    mirror_status(n->mirror, &st);
    if (st.durable <= id.epoch) return 0;
    id.epoch = st.durable;
    rc = identity_save(n->io, n->id_path, &id, false, err);
    if (rc) return rc;
    LOCK_SCOPE(&n->state_lock);
    n->id = id;
    return 0;
}

/* RULES A6: an intent may go when neither host can lose what was written:
 * the peer's durable epoch says so of the other one, this of ours.
 * Return: the bitmap whose image it was; NULL: it is not synced. */
static struct bitmap *sync_image(struct disknode *n)
{
    struct bitmap *b;
    struct front *f;

    /* Together: a takeover that is taken back takes both away, and what it
     * leaves in the grave stays until this thread has ended. */
    pthread_mutex_lock(&n->state_lock);
    b = n->bitmap;
    f = n->front;
    pthread_mutex_unlock(&n->state_lock);
    return b && !front_flush(f, NULL) ? b : NULL;
}

/* From time to time: the image, the identity, then the bitmap's intents. */
static void *tick(void *arg)
{
    struct disknode *n = arg;

    for (;;) {
        uint64_t at = clock_us() + n->o.tidy_ms * 1000ull;
        struct timespec ts = clock_timespec(at);
        struct bitmap *synced;
        bool ending;

        pthread_mutex_lock(&n->state_lock);
        if (!n->ending)
            pthread_cond_timedwait(&n->ticked, &n->state_lock, &ts);
        ending = n->ending;
        pthread_mutex_unlock(&n->state_lock);
        if (ending) return NULL;
        synced = sync_image(n);
        LOCK_SCOPE(&n->session);
        /* What failed is tried again; the intents stay till then. */
        if (synced && synced == n->bitmap && !disknode_note(n, NULL))
            (void)bitmap_clean(synced, NULL);
    }
}

int disknode_start(struct disknode *n, struct xlc_error *err)
{
    int rc = n->follow ? follow_start(n->follow, err) : 0;

    n->started = true;
    if (!rc) rc = disknode_start_merge(n, err);
    if (rc || !n->o.dir) return rc;
    rc = pthread_create(&n->tick, NULL, tick, n);
    n->ticking = !rc;
    return rc ? xlc_error_set(err, -rc, "no thread: %s", strerror(rc)) : 0;
}

static void stop_tick(struct disknode *n)
{
    pthread_mutex_lock(&n->state_lock);
    n->ending = true;
    pthread_cond_broadcast(&n->ticked);
    pthread_mutex_unlock(&n->state_lock);
    if (n->ticking) pthread_join(n->tick, NULL);
    if (n->merging) pthread_join(n->merger, NULL);
}

int disknode_close(struct disknode *n, struct xlc_error *err)
{
    int rc = 0, more;

    if (!n) return 0;
    stop_tick(n);
    if (n->mirror) mirror_detach(n->mirror, "the disk was closed");
    /* The image first: a bitmap that says "clean" speaks of what is there. */
    if (n->front && n->primary)
        rc = front_flush(n->front, err);
    more = disknode_note(n, err);
    if (!rc) rc = more;
    mirror_close(n->mirror);
    if (n->bitmap) {
        more = bitmap_close(n->bitmap, err);
        if (!rc) rc = more;
    }
    front_close(n->front);
    overlay_close(n->overlay);
    more = follow_close(n->follow, err);
    if (!rc) rc = more;
    more = disknode_bury(n, err);
    if (!rc) rc = more;
    diskio_close(n->io, &n->fd);
    free(n->id_path);
    free(n->bitmap_path);
    pthread_cond_destroy(&n->ticked);
    pthread_mutex_destroy(&n->state_lock);
    pthread_mutex_destroy(&n->conns_lock);
    pthread_mutex_destroy(&n->session);
    free(n);
    return rc;
}

uint64_t disknode_size(const struct disknode *n)
{
    return n->size;
}
