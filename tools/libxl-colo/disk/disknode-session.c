/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disknode-session.c - A disk that this process serves: what the session asks
 *
 * Calls that wait do so without @session, so that a mark, an acceptance or a
 * takeover never waits for one of them.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "disknode-priv.h"

/* What never changes once it is there. */
static void parts(struct disknode *n, struct mirror **m, struct follow **f)
{
    LOCK_SCOPE(&n->state_lock);

    *m = n->primary ? n->mirror : NULL;
    *f = n->primary ? NULL : n->follow;
}

static int no_primary(struct xlc_error *err)
{
    return xlc_error_set(err, -EPERM, "this is no primary's disk");
}

static int no_secondary(struct xlc_error *err)
{
    return xlc_error_set(err, -EPERM, "this is no secondary's disk");
}

static int protect(struct disknode *n, uint64_t epoch, int fd,
                   struct xlc_error *err)
{
    CLEANUP_FD int own = fd;
    struct bitmap_key key = { .generation = n->id.generation,
                              .size = n->size };
    struct bitmap *b;
    int rc;

    if (!n->primary || !n->o.dir) return no_primary(err);
    if (own < 0)
        return xlc_error_set(err, -EBADF, "there is no connection to the "
                             "peer's disk");
    if (!n->mirror) {
        /* Never protected: the peer lacks everything. */
        memcpy(key.uuid, n->o.uuid, sizeof(key.uuid));
        rc = bitmap_create(&b, n->io, n->bitmap_path, &key, true, err);
        if (!rc) rc = disknode_remember(n, b, err);
        if (rc) return rc;
    }
    rc = disknode_note(n, err);
    if (rc) return rc;
    return mirror_attach(n->mirror, steal_fd(&own), &n->id, n->taken, epoch,
                         err);
}

/* RULES A7: durable before an epoch can count elsewhere, so before the first
 * mark; and taken back only when none can come. */
static int claim(struct disknode *n, uint64_t which, struct xlc_error *err)
{
    struct identity id = n->id;
    struct mirror_status ms = { .state = MIRROR_SOLO };
    int rc;

    if (!n->primary || !n->o.dir) return no_primary(err);
    if (which > IDENTITY_GIVEN)
        return xlc_error_set(err, -EINVAL, "%" PRIu64 " is no claim", which);
    if (n->mirror) mirror_status(n->mirror, &ms);
    if (which != IDENTITY_HAS_PEER && ms.state != MIRROR_SOLO)
        return xlc_error_set(err, -EBUSY, "%s is mirrored at this moment: "
                             "end the protection first", n->o.image);
    identity_set_claim(&id, (enum identity_claim)which);
    if (id.flags == n->id.flags) return 0;
    rc = identity_save(n->io, n->id_path, &id, false, err);
    if (rc) return rc;
    LOCK_SCOPE(&n->state_lock);
    n->id = id;
    return 0;
}

/* RULES A7: the guest goes on here, although the other host may have taken
 * over: newer than that can be. The identity first: a bitmap of another
 * generation counts for nothing. */
static int outrank(struct disknode *n, uint64_t generation,
                   struct xlc_error *err)
{
    struct identity id = n->id;
    struct mirror_status ms = { .state = MIRROR_SOLO };
    int rc;

    if (!n->primary || !n->o.dir) return no_primary(err);
    if (n->mirror) mirror_status(n->mirror, &ms);
    if (ms.state != MIRROR_SOLO)
        return xlc_error_set(err, -EBUSY, "%s is mirrored at this moment: "
                             "end the protection first", n->o.image);
    if (generation <= id.generation)
        return xlc_error_set(err, -EINVAL, "generation %" PRIu64 " is not "
                             "newer than %" PRIu64, generation, id.generation);
    id.generation = generation;
    if (identity_claim(&id) == IDENTITY_GIVEN)
        identity_set_claim(&id, IDENTITY_HAS_PEER);
    rc = identity_save(n->io, n->id_path, &id, false, err);
    if (rc) return rc;
    pthread_mutex_lock(&n->state_lock);
    n->id = id;
    pthread_mutex_unlock(&n->state_lock);
    n->taken = 0;
    if (n->bitmap && bitmap_renew(n->bitmap, generation, NULL))
        return bitmap_forget(n->bitmap, err);
    return 0;
}

static int wait_for(struct disknode *n, const struct diskctl_ask *ask,
                    struct xlc_error *err)
{
    struct mirror *m;
    struct follow *f;

    parts(n, &m, &f);
    if (f && ask->op != DISKCTL_WAIT_SYNCED)
        return follow_wait(f, ask->a, ask->op == DISKCTL_WAIT_DURABLE,
                           ask->b, err);
    if (!m) return no_primary(err);
    return mirror_wait(m,
                       ask->op == DISKCTL_WAIT     ? MIRROR_UNTIL_HELD
                       : ask->op == DISKCTL_WAIT_SYNCED
                           ? MIRROR_UNTIL_SYNCED
                           : MIRROR_UNTIL_DURABLE,
                       ask->a, ask->b, err);
}

static int mark(struct disknode *n, struct mirror *m, uint64_t epoch,
                struct xlc_error *err)
{
    bool claimed;

    pthread_mutex_lock(&n->state_lock);
    claimed = identity_claim(&n->id) == IDENTITY_HAS_PEER;
    pthread_mutex_unlock(&n->state_lock);
    if (!claimed)
        return xlc_error_set(err, -EAGAIN, "%s does not say yet that another "
                             "host may take over", n->o.image);
    return mirror_mark(m, epoch, err);
}

/* Without @session, and quick. */
static int primary_ask(struct disknode *n, struct mirror *m,
                       const struct diskctl_ask *ask, struct xlc_error *err)
{
    if (!m) return no_primary(err);
    if (ask->op == DISKCTL_MARK) return mark(n, m, ask->a, err);
    if (ask->op == DISKCTL_RATE) mirror_rate(m, ask->a);
    else mirror_detach(m, "the session ended it");
    return 0;
}

/* A session's stream: it may take over, whatever a former one took back. */
static int follow(struct disknode *n, struct follow *f, int fd,
                  struct xlc_error *err)
{
    int rc = follow_attach(f, fd, err);

    if (!rc) __atomic_store_n(&n->given_up, false, __ATOMIC_RELEASE);
    return rc;
}

/* What changes the role or the protection. */
static int one_at_a_time(struct disknode *n, struct follow *f,
                         const struct diskctl_ask *ask, int fd,
                         struct xlc_error *err)
{
    CLEANUP_FD int own = fd;
    uint64_t below = disknode_svm_epoch(n);
    int rc = 0;

    /* What the overlay lies over must not be lost before it is dropped. */
    if (ask->op == DISKCTL_CHECKPOINT && f && below)
        rc = follow_wait(f, below, true, ask->b, err);
    if (rc) return rc;
    LOCK_SCOPE(&n->session);
    switch (ask->op) {
    case DISKCTL_TAKEOVER:
        return disknode_takeover(n, ask->a, ask->b == 1, err);
    case DISKCTL_SVM_OPEN:
        return disknode_svm_open(n, err);
    case DISKCTL_CHECKPOINT:
        return disknode_checkpoint(n, ask->a, err);
    case DISKCTL_SVM_CLOSE:
        return disknode_svm_close(n, err);
    case DISKCTL_UNTAKE:
        return disknode_untake(n, err);
    case DISKCTL_CLAIM:
        return claim(n, ask->a, err);
    case DISKCTL_OUTRANK:
        return outrank(n, ask->a, err);
    default:
        return protect(n, ask->a, steal_fd(&own), err);
    }
}

int disknode_control(struct disknode *n, const struct diskctl_ask *ask,
                     int fd, struct xlc_error *err)
{
    CLEANUP_FD int own = fd;
    struct mirror *m;
    struct follow *f;

    parts(n, &m, &f);
    switch (ask->op) {
    case DISKCTL_STATUS:
        return 0;
    case DISKCTL_WAIT:
    case DISKCTL_WAIT_DURABLE:
    case DISKCTL_WAIT_SYNCED:
        return wait_for(n, ask, err);
    case DISKCTL_MARK:
    case DISKCTL_RATE:
    case DISKCTL_STOP:
        return primary_ask(n, m, ask, err);
    case DISKCTL_FOLLOW:
        if (own < 0) return xlc_error_set(err, -EBADF, "no connection");
        return f ? follow(n, f, steal_fd(&own), err) : no_secondary(err);
    case DISKCTL_ACCEPT:
        return f ? follow_accept(f, ask->a, err) : no_secondary(err);
    case DISKCTL_DISCARD:
        return f ? follow_discard(f, err) : no_secondary(err);
    case DISKCTL_PROTECT:
    case DISKCTL_TAKEOVER:
    case DISKCTL_SVM_OPEN:
    case DISKCTL_CHECKPOINT:
    case DISKCTL_SVM_CLOSE:
    case DISKCTL_UNTAKE:
    case DISKCTL_CLAIM:
    case DISKCTL_OUTRANK:
        break;
    }
    return one_at_a_time(n, f, ask, steal_fd(&own), err);
}

static void mirror_numbers(struct disknode *n, struct mirror *m,
                           struct bitmap *b, struct diskctl_status *st)
{
    struct mirror_status ms;
    struct bitmap_status bs;

    mirror_status(m, &ms);
    bitmap_status(b, &bs);
    st->state = ms.state;
    st->epoch = ms.epoch;
    st->held = ms.held;
    st->durable = ms.durable;
    st->lacking = bs.lacking;
    st->unsafe = bs.unsafe;
    st->intents = bs.intents * bs.extent;
    st->queued = ms.queued;
    st->queue_limit = n->o.mirror.limit;
    st->copied = ms.copied;
    st->compared = ms.compared;
    st->forgotten = bs.forgotten;
    st->waits = ms.waits;
    st->wait_us = ms.wait_us;
    st->losses = ms.losses;
    snprintf(st->why, sizeof(st->why), "%.*s", (int)sizeof(st->why) - 1,
             ms.why);
}

static void follow_numbers(struct follow *f, struct diskctl_status *st)
{
    struct follow_status fs;

    follow_status(f, &fs);
    st->state = fs.state;
    st->held = fs.held;
    snprintf(st->why, sizeof(st->why), "%.*s", (int)sizeof(st->why) - 1,
             fs.why);
    if (!fs.have) return;
    st->mode = fs.store.mode;
    st->generation = fs.store.generation;
    st->durable = fs.store.durable;
    st->accepted = fs.store.accepted;
    st->kept = fs.store.kept;
    st->kept_limit = fs.store.limit;
    st->journal = fs.store.journal;
    st->failed = (uint64_t)-fs.store.failed;
}

static void svm_numbers(struct disknode *n, struct follow *f,
                        struct diskctl_status *st)
{
    static const enum diskctl_svm shown[] = {
        [FRONT_CLOSED] = DISKCTL_SVM_CLOSED,
        [FRONT_DIRECT] = DISKCTL_SVM_NONE,
        [FRONT_OVERLAY] = DISKCTL_SVM_OVERLAY,
        [FRONT_MERGING] = DISKCTL_SVM_MERGING,
    };

    LOCK_SCOPE(&n->state_lock);
    if (!f) st->generation = n->id.generation;
    if (!f) st->claim = identity_claim(&n->id);
    /* What a mirror that is gone, or another process, had reached. */
    if (!f && st->epoch < n->id.epoch) st->epoch = n->id.epoch;
    if (!f && n->merge_failed) st->failed = (uint64_t)-n->merge_failed;
    if (!n->overlay) return;
    st->svm = shown[front_mode(n->front)];
    if (n->id.flags & IDENTITY_MERGING) st->svm = DISKCTL_SVM_MERGING;
    if (!st->svm) return; /* merged */
    st->overlay = overlay_used(n->overlay);
    st->overlay_limit = n->o.overlay;
}

void disknode_status(struct disknode *n, struct diskctl_status *st)
{
    struct mirror *m;
    struct follow *f;
    struct bitmap *b;

    memset(st, 0, sizeof(*st));
    parts(n, &m, &f);
    st->role = !n->o.dir ? DISKCTL_PLAIN
               : f       ? DISKCTL_SECONDARY
                         : DISKCTL_PRIMARY;
    st->size = n->size;
    pthread_mutex_lock(&n->state_lock);
    b = n->bitmap;
    pthread_mutex_unlock(&n->state_lock);
    if (m && b) mirror_numbers(n, m, b, st);
    if (f) follow_numbers(f, st);
    svm_numbers(n, f, st);
    LOCK_SCOPE(&n->conns_lock);
    for (struct disknode_conn *c = n->conns; c; c = c->next)
        st->connections += !c->fenced;
}
