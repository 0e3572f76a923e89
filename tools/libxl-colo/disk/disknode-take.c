/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disknode-take.c - A disk that this process serves: a takeover, and its undo
 *
 * A takeover ends the stream, makes the image a primary's (front.h says in
 * which order), and a bitmap of what the old primary lacks; only then is the
 * guest served.
 *
 * The undo is for a session whose takeover came to nothing: as long as nobody
 * was connected and nothing was written, the image is what it was, and the
 * empty journal still is of the generation before. If a copy had run, some of
 * what it wrote may be in the image: that is half a sync from then on, and
 * compared as a whole by the next one. What others may hold a pointer to stays
 * until the end. A takeover that is still to come when one is taken back, this
 * one or another of that session, is refused, as long as no other session came.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disknode-priv.h"

int disknode_need_front(struct disknode *n, struct store *s,
                        struct xlc_error *err)
{
    struct front *f;
    int rc;

    if (n->front) return 0;
    rc = front_open_store(&f, n->io, s, err);
    if (rc) return rc;
    /* What clears intents looks at it, whatever the node is. */
    LOCK_SCOPE(&n->state_lock);
    n->front = f;
    return 0;
}

/* What the guest writes here from now on, the old primary lacks. */
static int new_history(struct disknode *n, struct xlc_error *err)
{
    struct bitmap_key key = { .size = n->size };
    struct identity id;
    struct bitmap *b;
    int rc = identity_load(n->io, n->id_path, &id, err);

    if (rc) return rc;
    pthread_mutex_lock(&n->state_lock);
    n->id = id; /* a status may be asked for meanwhile */
    pthread_mutex_unlock(&n->state_lock);
    memcpy(key.uuid, n->o.uuid, sizeof(key.uuid));
    key.generation = n->id.generation;
    rc = bitmap_create(&b, n->io, n->bitmap_path, &key, false, err);
    if (!rc) rc = disknode_remember(n, b, err);
    if (!rc) n->taken = n->id.epoch;
    return rc;
}

static int take(struct disknode *n, struct store *s, uint64_t generation,
                bool left, struct xlc_error *err)
{
    struct store_status st;
    int rc = disknode_need_front(n, s, err);

    if (!rc && left && front_mode(n->front) == FRONT_CLOSED)
        rc = disknode_left_overlay(n, err);
    /* What a first call did, whose rest failed, is done. */
    if (rc || front_mode(n->front) == FRONT_DIRECT ||
        front_mode(n->front) == FRONT_MERGING)
        return rc;
    store_status(s, &st);
    n->before = st.generation;
    /* A copy of another epoch has to be rolled back: what it writes from now
     * on would go to the image. */
    if (n->overlay && overlay_epoch(n->overlay) != st.accepted)
        disknode_fence(n);
    return front_takeover(n->front, generation, err);
}

int disknode_takeover(struct disknode *n, uint64_t generation, bool left,
                      struct xlc_error *err)
{
    struct store *s;
    int rc;

    if (n->primary)
        return xlc_error_set(err, -EPERM, "this is no secondary's disk");
    if (__atomic_load_n(&n->given_up, __ATOMIC_ACQUIRE))
        return xlc_error_set(err, -ECANCELED, "this takeover was taken back "
                             "before it was done");
    s = follow_end(n->follow, err);
    if (!s) return -ENOENT;
    rc = take(n, s, generation, left, err);
    /* Before the guest is served: the bitmap is there before its writes. */
    if (!rc && !n->mirror) rc = new_history(n, err);
    if (rc) return rc;
    /* What a copy wrote that does not count. */
    if (!(n->id.flags & IDENTITY_MERGING)) disknode_no_overlay(n);
    pthread_mutex_lock(&n->state_lock);
    n->primary = true;
    pthread_mutex_unlock(&n->state_lock);
    if (n->started) rc = disknode_start_merge(n, err);
    if (rc) return rc;
    LOCK_SCOPE(&n->conns_lock);
    n->served = true;
    return 0;
}

/* ---- The undo ------------------------------------------------------------ */

/* A takeover whose image is a primary's, and whose rest failed. */
static bool half_taken(const struct disknode *n)
{
    return !n->primary && n->front &&
           (front_mode(n->front) == FRONT_DIRECT ||
            front_mode(n->front) == FRONT_MERGING);
}

/* Return: 0, and nobody is let in any more. */
static int unused(struct disknode *n, struct xlc_error *err)
{
    struct mirror_status ms = { .state = MIRROR_SOLO };
    bool never = !n->follow || (!n->primary && !half_taken(n));

    /* Who asks may have had no answer to a TAKEOVER which waits behind this
     * question, and believes from here on that there was none. */
    if (never) __atomic_store_n(&n->given_up, true, __ATOMIC_RELEASE);
    if (never)
        return xlc_error_set(err, -EPERM, "only a takeover by this process "
                             "can be taken back");
    if (n->mirror) mirror_status(n->mirror, &ms);
    if (n->mirror && (ms.state != MIRROR_SOLO || ms.losses ||
                      n->id.epoch != n->taken))
        return xlc_error_set(err, -EBUSY, "the disk was mirrored since its "
                             "takeover");
    LOCK_SCOPE(&n->conns_lock);
    if (n->conns)
        return xlc_error_set(err, -EBUSY, "somebody is connected to the disk");
    if (!n->overlay && __atomic_load_n(&n->wrote, __ATOMIC_ACQUIRE))
        return xlc_error_set(err, -EBUSY, "the disk was written since its "
                             "takeover");
    n->served = false;
    return 0;
}

/* It names a history that never was. */
static int no_bitmap(struct disknode *n, struct xlc_error *err)
{
    int rc;

    if (n->bitmap) return bitmap_forget(n->bitmap, err);
    rc = n->io->ops->unlink(n->io->ctx, n->bitmap_path);
    return !rc || rc == -ENOENT ? 0 :
           xlc_error_set(err, rc, "%s: %s", n->bitmap_path, strerror(-rc));
}

static int old_identity(struct disknode *n, struct xlc_error *err)
{
    struct identity id = n->id;
    int rc = half_taken(n) ? identity_load(n->io, n->id_path, &id, err) : 0;

    if (rc) return rc;
    identity_set_claim(&id, IDENTITY_ALONE);
    id.role = IDENTITY_SECONDARY;
    id.generation = n->before;
    if (n->overlay) {
        id.flags &= ~(IDENTITY_CONSISTENT | IDENTITY_MERGING);
        id.overlay_generation = id.overlay_epoch = id.epoch = 0;
    }
    rc = identity_save(n->io, n->id_path, &id, true, err);
    return rc ? rc : no_bitmap(n, err);
}

int disknode_untake(struct disknode *n, struct xlc_error *err)
{
    struct disknode_grave *g = calloc(1, sizeof(*g));
    int rc = g ? unused(n, err) : xlc_error_set(err, -ENOMEM, "no memory");

    if (!rc) rc = old_identity(n, err);
    if (rc) {
        free(g);
        return rc;
    }
    *g = (struct disknode_grave){ n->graves, n->front, n->bitmap, n->mirror,
                                  n->follow, NULL };
    if (n->overlay) g->overlay = disknode_end_merge(n);
    pthread_mutex_lock(&n->state_lock);
    n->graves = g;
    n->front = NULL;
    n->bitmap = NULL;
    n->mirror = NULL;
    n->follow = NULL;
    n->primary = false;
    n->taken = 0;
    pthread_mutex_unlock(&n->state_lock);
    /* The same TAKEOVER, asked for again, may wait behind this. */
    __atomic_store_n(&n->given_up, true, __ATOMIC_RELEASE);
    rc = disknode_open_secondary(n, err);
    return rc ? rc : follow_start(n->follow, err);
}

int disknode_bury(struct disknode *n, struct xlc_error *err)
{
    int rc = 0;

    while (n->graves) {
        struct disknode_grave *g = n->graves;
        int more;

        n->graves = g->next;
        mirror_close(g->mirror);
        more = g->bitmap ? bitmap_close(g->bitmap, err) : 0;
        if (!rc) rc = more;
        front_close(g->front);
        overlay_close(g->overlay);
        more = follow_close(g->follow, err);
        if (!rc) rc = more;
        free(g);
    }
    return rc;
}
