/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * follow.c - The secondary's end of the stream: its life, and the session
 *
 * Theory of operation: the reader (follow-read.c) puts writes into the store
 * and says what it holds at each mark. The committer waits for epochs that
 * the session accepted, commits them, and says what is durable. Both send
 * under @sending, so a STATE is always whole. A stream that breaks ends the
 * reader only; what was accepted is committed all the same.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "follow-priv.h"

void follow_pause(struct follow *f, uint64_t ms)
{
    struct timespec ts = clock_timespec(clock_us() + ms * 1000u);

    pthread_cond_timedwait(&f->changed, &f->lock, &ts);
}

static void follow_free(struct follow *f)
{
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->attaching);
    pthread_mutex_destroy(&f->sending);
    pthread_mutex_destroy(&f->lock);
    free(f->id_path);
    free(f->bitmap_path);
    free(f);
}

/* What is known of the image; a store if it is a copy that can go on. */
static int look(struct follow *f, struct xlc_error *err)
{
    struct xlc_error why = XLC_ERROR_INIT;
    int rc = identity_load(f->o.io, f->id_path, &f->id, err);

    if (rc == -ENOENT) {
        memset(&f->id, 0, sizeof(f->id));
        return 0;
    }
    if (!rc)
        rc = identity_belongs(&f->id, f->o.uuid, f->o.image, f->size, &why);
    if (rc == -EPERM && f->force) {
        snprintf(f->st.why, sizeof(f->st.why), "%s", why.msg);
        memset(&f->id, 0, sizeof(f->id));
        f->foreign = true;
        return 0;
    }
    if (rc == -EPERM)
        return xlc_error_set(err, rc, "%s (it is overwritten only with "
                             "--force-sync)", why.msg);
    if (rc || f->id.role == IDENTITY_PRIMARY) return rc;
    rc = store_open(&f->store, &f->o, &why);
    if (rc == -EUCLEAN) {
        /* Not even its epoch is known to be there. */
        snprintf(f->st.why, sizeof(f->st.why), "%s", why.msg);
        f->id.flags &= ~IDENTITY_CONSISTENT;
        f->id.epoch = 0;
        return 0;
    }
    return rc ? xlc_error_set(err, rc, "%s", why.msg) : 0;
}

int follow_open(struct follow **out, const struct store_opts *o,
                uint64_t size, bool force, struct xlc_error *err)
{
    struct follow *f = calloc(1, sizeof(*f));
    pthread_condattr_t a;
    int rc = 0;

    if (!f) return xlc_error_set(err, -ENOMEM, "no memory");
    pthread_mutex_init(&f->lock, NULL);
    pthread_mutex_init(&f->sending, NULL);
    pthread_mutex_init(&f->attaching, NULL);
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &a);
    pthread_condattr_destroy(&a);
    f->o = *o;
    f->size = size;
    f->force = force;
    f->fd = -1;
    if (asprintf(&f->id_path, "%s/%s.identity", o->dir, o->name) < 0)
        f->id_path = NULL;
    if (asprintf(&f->bitmap_path, "%s/%s.bitmap", o->dir, o->name) < 0)
        f->bitmap_path = NULL;
    if (!f->id_path || !f->bitmap_path)
        rc = xlc_error_set(err, -ENOMEM, "no memory");
    if (!rc) rc = look(f, err);
    if (rc) follow_free(f);
    else *out = f;
    return rc;
}

/* ---- The committer ------------------------------------------------------- */

/* Return: whether to go on. */
static bool commit_once(struct follow *f)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct store_status st;
    int rc = store_journal(f->store, &err);

    /* Whoever waits for this need not wait for the image. */
    if (!rc) {
        follow_say_state(f);
        pthread_mutex_lock(&f->lock);
        pthread_cond_broadcast(&f->changed);
        pthread_mutex_unlock(&f->lock);
        rc = store_apply(f->store, &err);
    }
    if (rc) {
        store_status(f->store, &st);
        follow_fail(f, rc, "committing: %s", err.msg);
        if (st.failed) return false;
    }
    LOCK_SCOPE(&f->lock);
    /* Nothing is lost; there may be room later. */
    if (rc && !f->ending) {
        f->accepted = true;
        follow_pause(f, 1000);
    }
    pthread_cond_broadcast(&f->changed);
    return true;
}

static void *committer(void *arg)
{
    struct follow *f = arg;
    bool go = true;

    while (go) {
        pthread_mutex_lock(&f->lock);
        while (!f->accepted && !f->ending)
            pthread_cond_wait(&f->changed, &f->lock);
        go = !f->ending;
        f->accepted = false;
        pthread_mutex_unlock(&f->lock);
        if (go) go = commit_once(f);
    }
    return NULL;
}

int follow_start(struct follow *f, struct xlc_error *err)
{
    int rc = pthread_create(&f->committer, NULL, committer, f);

    f->committing = !rc;
    return rc ? xlc_error_set(err, -rc, "no thread: %s", strerror(rc)) : 0;
}

/* ---- The stream's life --------------------------------------------------- */

/* With @attaching held, and not @lock. */
static void end_stream(struct follow *f, const char *why)
{
    pthread_mutex_lock(&f->lock);
    f->cut = true;
    if (f->fd >= 0) {
        if (f->st.state != FOLLOW_IDLE)
            snprintf(f->st.why, sizeof(f->st.why), "%s", why);
        shutdown(f->fd, SHUT_RDWR);
    }
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (f->reading) pthread_join(f->reader, NULL);
    f->reading = false;
    LOCK_SCOPE(&f->sending);
    LOCK_SCOPE(&f->lock);
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
    f->st.state = FOLLOW_IDLE;
}

int follow_attach(struct follow *f, int fd, struct xlc_error *err)
{
    CLEANUP_FD int own = fd;
    int rc;

    LOCK_SCOPE(&f->attaching);
    if (f->ended)
        return xlc_error_set(err, -EPERM, "the disk is no copy any more");
    end_stream(f, "another stream came");
    /* First, so that what is dropped can't be accepted any more. */
    pthread_mutex_lock(&f->lock);
    f->st.held = 0;
    pthread_mutex_unlock(&f->lock);
    if (f->store) store_discard(f->store);
    pthread_mutex_lock(&f->lock);
    f->cut = f->begun = false;
    f->st.why[0] = '\0';
    f->st.state = FOLLOW_GREETING;
    f->fd = steal_fd(&own);
    pthread_mutex_unlock(&f->lock);
    rc = pthread_create(&f->reader, NULL, follow_reader, f);
    f->reading = !rc;
    if (!rc) return 0;
    end_stream(f, "no thread");
    return xlc_error_set(err, -rc, "no thread: %s", strerror(rc));
}

int follow_discard(struct follow *f, struct xlc_error *err)
{
    LOCK_SCOPE(&f->attaching);

    end_stream(f, "the session dropped what was not accepted");
    if (!f->store)
        return xlc_error_set(err, -ENOENT, "there is no copy of the disk");
    pthread_mutex_lock(&f->lock);
    f->st.held = 0;
    pthread_mutex_unlock(&f->lock);
    store_discard(f->store);
    return 0;
}

struct store *follow_end(struct follow *f, struct xlc_error *err)
{
    LOCK_SCOPE(&f->attaching);

    end_stream(f, "the disk is no copy any more");
    pthread_mutex_lock(&f->lock);
    f->ending = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (f->committing) pthread_join(f->committer, NULL);
    f->committing = false;
    f->ended = true;
    if (!f->store)
        xlc_error_set(err, -ENOENT, "%s is no copy that can be taken over%s%s",
                      f->o.image, f->st.why[0] ? ": " : "", f->st.why);
    return f->store;
}

int follow_close(struct follow *f, struct xlc_error *err)
{
    int rc;

    if (!f) return 0;
    follow_end(f, NULL);
    rc = store_close(f->store, err);
    follow_free(f);
    return rc;
}

/* ---- The session --------------------------------------------------------- */

/* With @lock held. */
static bool reached(struct follow *f, uint64_t epoch, bool durable)
{
    struct store_status st;

    if (!f->store) return false;
    store_status(f->store, &st);
    return (durable ? st.durable : f->st.held) >= epoch;
}

int follow_wait(struct follow *f, uint64_t epoch, bool durable,
                uint64_t timeout_ms, struct xlc_error *err)
{
    uint64_t end = clock_us() + timeout_ms * 1000u;
    struct timespec ts = clock_timespec(end);
    struct store_status st;

    LOCK_SCOPE(&f->lock);
    while (!reached(f, epoch, durable)) {
        if (!durable && f->st.state == FOLLOW_IDLE)
            return xlc_error_set(err, -ENOTCONN, "no stream comes to the "
                                 "disk%s%s", f->st.why[0] ? ": " : "",
                                 f->st.why);
        if (durable && f->store) {
            store_status(f->store, &st);
            if (st.failed)
                return xlc_error_set(err, st.failed, "%s: what it holds is "
                                     "unknown after an error", f->o.image);
        }
        if (clock_us() >= end)
            return xlc_error_set(err, -ETIMEDOUT, durable
                                 ? "the epoch is not durable yet"
                                 : "the epoch is not all there yet");
        pthread_cond_timedwait(&f->changed, &f->lock, &ts);
    }
    return 0;
}

/* With @lock held. Return: 1: it was before; 0: it may be now. */
static int may_accept(struct follow *f, uint64_t epoch, struct xlc_error *err)
{
    struct store_status st;

    if (!f->store || f->ending)
        return xlc_error_set(err, -ENOENT, "there is no copy of the disk");
    store_status(f->store, &st);
    if (epoch <= st.accepted) return 1;
    /* What was closed and dropped again can't count. */
    if (epoch > f->st.held)
        return xlc_error_set(err, -EINVAL, "epoch %" PRIu64 " is not all "
                             "here", epoch);
    return 0;
}

int follow_accept(struct follow *f, uint64_t epoch, struct xlc_error *err)
{
    LOCK_SCOPE(&f->lock);
    int rc = may_accept(f, epoch, err);

    if (rc) return rc < 0 ? rc : 0;
    rc = store_accept(f->store, epoch, err);
    if (rc) return rc;
    f->accepted = true;
    pthread_cond_broadcast(&f->changed);
    return 0;
}

int follow_accept_by(struct follow *f, uint64_t epoch,
                     int (*how)(void *ctx, uint64_t epoch,
                                struct xlc_error *err),
                     void *ctx, struct xlc_error *err)
{
    LOCK_SCOPE(&f->attaching);
    int rc;

    pthread_mutex_lock(&f->lock);
    rc = may_accept(f, epoch, err);
    pthread_mutex_unlock(&f->lock);
    if (rc >= 0) rc = how(ctx, epoch, err);
    /* Even if the rest failed, the epoch may count. */
    LOCK_SCOPE(&f->lock);
    f->accepted = true;
    pthread_cond_broadcast(&f->changed);
    return rc;
}

void follow_hold_up(struct follow *f, bool runs)
{
    LOCK_SCOPE(&f->lock);

    f->held_up = runs;
}

struct store *follow_store(struct follow *f)
{
    LOCK_SCOPE(&f->lock);

    return f->store;
}

void follow_status(struct follow *f, struct follow_status *st)
{
    LOCK_SCOPE(&f->lock);

    *st = f->st;
    st->have = f->store;
    if (f->store) store_status(f->store, &st->store);
}
