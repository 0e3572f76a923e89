/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disknode-svm.c - A disk that this process serves: COLO's second copy
 *
 * Theory of operation: the copy is served from the store and an overlay. At a
 * checkpoint all connections are stopped at their door; if a request is inside,
 * the checkpoint is refused, for it might read what was dropped. A takeover
 * keeps the overlay (disknode-take.c); then a thread merges it into the image,
 * piece by piece, beside the guest's requests. After a crash the merge goes on
 * from what the identity says.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "disknode-priv.h"

/* One piece of the merge; its range waits for two syncs. */
#define MERGE_PIECE (4u << 20)

/* How often the end of a merge tries to have its turn. */
#define SESSION_MS 20u

/* A write waits no longer for room in an overlay that is being merged; well
 * below the NBD client's timeout. */
#define ROOM_MS 15000u

static void overlay_opts_of(const struct disknode *n, struct overlay_opts *o)
{
    *o = (struct overlay_opts){ n->io, n->o.dir, n->o.name, n->o.overlay };
}

/* Whoever looks at it holds @state_lock. */
static struct overlay *exchange(struct disknode *n, struct overlay *o)
{
    LOCK_SCOPE(&n->state_lock);
    struct overlay *old = n->overlay;

    n->overlay = o;
    return old;
}

/* ---- The copy runs ------------------------------------------------------- */

int disknode_svm_open(struct disknode *n, struct xlc_error *err)
{
    struct overlay_opts oo;
    struct overlay *o;
    struct store *s;
    int rc;

    if (n->primary || !n->follow)
        return xlc_error_set(err, -EPERM, "this is no secondary's disk");
    if (n->overlay) return 0;
    s = follow_store(n->follow);
    if (!s)
        return xlc_error_set(err, -ENOENT, "there is no copy of the disk yet "
                             "that a guest could run from");
    overlay_opts_of(n, &oo);
    rc = disknode_need_front(n, s, err);
    if (!rc) rc = overlay_create(&o, &oo, err);
    if (rc) return rc;
    exchange(n, o);
    follow_hold_up(n->follow, true);
    LOCK_SCOPE(&n->conns_lock);
    n->served = true;
    return 0;
}

static int checkpoint(void *ctx, uint64_t epoch, struct xlc_error *err)
{
    struct disknode *n = ctx;

    return front_checkpoint(n->front, n->overlay, epoch, err);
}

int disknode_checkpoint(struct disknode *n, uint64_t epoch,
                        struct xlc_error *err)
{
    int rc;

    if (n->primary || !n->overlay)
        return xlc_error_set(err, -EPERM, "no copy of the guest runs from "
                             "this disk: there is nothing to checkpoint");
    rc = disknode_stop_requests(n, err);
    if (rc) return rc;
    rc = follow_accept_by(n->follow, epoch, checkpoint, n, err);
    disknode_go_on(n);
    return rc;
}

int disknode_svm_close(struct disknode *n, struct xlc_error *err)
{
    struct overlay_opts oo;
    int rc;

    if (n->primary)
        return xlc_error_set(err, -EPERM, "this is no secondary's disk");
    if (!n->overlay) return 0;
    rc = disknode_stop_requests(n, err);
    if (rc) return rc;
    /* Not of a takeover that was begun: what it keeps is for its undo. */
    rc = front_shut(n->front, err);
    if (!rc) {
        n->served = false;
        /* What the copy wrote is gone. */
        __atomic_store_n(&n->wrote, false, __ATOMIC_RELEASE);
    }
    disknode_go_on(n);
    if (rc) return rc;
    overlay_close(exchange(n, NULL));
    follow_hold_up(n->follow, false);
    overlay_opts_of(n, &oo);
    return overlay_remove(&oo, err);
}

uint64_t disknode_svm_epoch(struct disknode *n)
{
    LOCK_SCOPE(&n->state_lock);

    return n->overlay ? overlay_epoch(n->overlay) : 0;
}

/* ---- What a former process left ------------------------------------------ */

int disknode_left_overlay(struct disknode *n, struct xlc_error *err)
{
    struct grouplog_binding to;
    struct overlay_opts oo;
    struct store_status st;
    struct overlay *o;
    struct store *s = follow_store(n->follow);
    int rc;

    if (!s || n->overlay) return 0;
    store_status(s, &st);
    store_binding_of(s, st.accepted, &to);
    overlay_opts_of(n, &oo);
    rc = overlay_open(&o, &oo, &to, err);
    if (rc) return rc == -ENOENT ? 0 : rc;
    rc = front_keep_overlay(n->front, o, err);
    if (rc) overlay_close(o);
    else exchange(n, o);
    return rc;
}

void disknode_no_overlay(struct disknode *n)
{
    struct overlay_opts oo;

    overlay_opts_of(n, &oo);
    /* They say nothing any more, and only take room. */
    (void)overlay_remove(&oo, NULL);
}

int disknode_resume_merge(struct disknode *n, struct xlc_error *err)
{
    struct grouplog_binding to = { .generation = n->id.overlay_generation,
                                   .epoch = n->id.overlay_epoch,
                                   .size = n->size };
    struct overlay_opts oo;
    struct overlay *o;
    int rc;

    memcpy(to.uuid, n->o.uuid, sizeof(to.uuid));
    overlay_opts_of(n, &oo);
    rc = overlay_open(&o, &oo, &to, err);
    if (rc == -ENOENT)
        return xlc_error_set(err, -ESTALE, "newer data than what %s has was in "
                             "%s/%s.overlay0 or 1, and is missing there: "
                             "restore these files, or serve the image without "
                             "them with force", n->o.image, n->o.dir,
                             n->o.name);
    if (rc) return rc;
    exchange(n, o);
    return front_resume_merge(n->front, o, err);
}

/* ---- The merge ----------------------------------------------------------- */

/* With @state_lock held. */
static bool gives_up(const struct disknode *n)
{
    return n->ending || n->unmerge;
}

/* Step 6 of front-modes.c, and the end of the files. With @session held. */
static int merged_held(struct disknode *n, struct xlc_error *err)
{
    struct identity id = n->id;
    struct overlay_opts oo;
    int rc;

    id.flags &= ~IDENTITY_MERGING;
    id.overlay_generation = id.overlay_epoch = 0;
    rc = identity_save(n->io, n->id_path, &id, false, err);
    if (rc) return rc;
    pthread_mutex_lock(&n->state_lock);
    n->id = id;
    pthread_mutex_unlock(&n->state_lock);
    overlay_opts_of(n, &oo);
    return overlay_remove(&oo, err);
}

static bool wait_ms(struct disknode *n, uint64_t ms)
{
    struct timespec ts = clock_timespec(clock_us() + ms * 1000u);

    LOCK_SCOPE(&n->state_lock);
    if (!gives_up(n))
        pthread_cond_timedwait(&n->ticked, &n->state_lock, &ts);
    return !gives_up(n);
}

/* Who has @session may wait for this thread's end. */
static int merged(struct disknode *n)
{
    int rc;

    while (pthread_mutex_trylock(&n->session))
        if (!wait_ms(n, SESSION_MS)) return -ECANCELED;
    rc = merged_held(n, NULL);
    pthread_mutex_unlock(&n->session);
    return rc;
}

static bool told(struct disknode *n, int rc)
{
    LOCK_SCOPE(&n->state_lock);

    n->merge_failed = rc < 0 ? rc : 0;
    n->pieces++;
    pthread_cond_broadcast(&n->ticked);
    return !gives_up(n);
}

/* What fails is tried again; the overlay still has it. */
static void *merger(void *arg)
{
    struct disknode *n = arg;
    bool go = true;

    while (go) {
        int rc = front_merge(n->front, MERGE_PIECE, NULL);

        if (!rc) rc = merged(n);
        go = told(n, rc);
        if (!rc) return NULL;
        if (rc < 0 && go) go = wait_ms(n, 1000);
    }
    return NULL;
}

int disknode_start_merge(struct disknode *n, struct xlc_error *err)
{
    int rc;

    /* The identity is what says it: an empty overlay is merged too. */
    if (!n->primary || !(n->id.flags & IDENTITY_MERGING) || n->merging)
        return 0;
    rc = pthread_create(&n->merger, NULL, merger, n);
    n->merging = !rc;
    return rc ? xlc_error_set(err, -rc, "no thread: %s", strerror(rc)) : 0;
}

struct overlay *disknode_end_merge(struct disknode *n)
{
    pthread_mutex_lock(&n->state_lock);
    n->unmerge = true;
    pthread_cond_broadcast(&n->ticked);
    pthread_mutex_unlock(&n->state_lock);
    if (n->merging) pthread_join(n->merger, NULL);
    pthread_mutex_lock(&n->state_lock);
    n->merging = n->unmerge = false;
    n->merge_failed = 0;
    pthread_mutex_unlock(&n->state_lock);
    disknode_no_overlay(n);
    return exchange(n, NULL);
}

/* The overlay is full: is it worth to try again, @since a first time? */
static bool room_may_come(struct disknode *n, uint64_t *since)
{
    uint64_t now = clock_us(), end;
    struct timespec ts;
    unsigned int seen;

    if (front_mode(n->front) == FRONT_OVERLAY) return false;
    if (!*since) *since = now;
    end = *since + ROOM_MS * 1000u;
    ts = clock_timespec(end);
    LOCK_SCOPE(&n->state_lock);
    seen = n->pieces;
    while (n->pieces == seen && !n->ending && clock_us() < end)
        pthread_cond_timedwait(&n->ticked, &n->state_lock, &ts);
    return n->pieces != seen && !n->ending;
}

int disknode_put(struct disknode *n, const void *buf, uint32_t len,
                 uint64_t off, struct xlc_error *err)
{
    uint64_t since = 0;
    int rc;

    for (;;) {
        struct xlc_error mine = XLC_ERROR_INIT;

        rc = buf ? front_write(n->front, buf, len, off, &mine)
                 : front_zero(n->front, len, off, &mine);
        if (rc != -ENOBUFS || !room_may_come(n, &since)) {
            /* The next checkpoint drops what the copy makes of it. */
            if (rc == -ENOBUFS) rc = -ENOSPC;
            return rc ? xlc_error_set(err, rc, "%s", mine.msg) : 0;
        }
    }
}
