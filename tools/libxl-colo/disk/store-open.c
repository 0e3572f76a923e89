/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store-open.c - The secondary's disk: creation, replay, the end */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store-priv.h"

static char *state_path(const struct store_opts *o, const char *suffix)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s.%s", o->dir, o->name, suffix) < 0 ? NULL
                                                                    : path;
}

/* What both creation and opening need; store_free() undoes all of it. */
static struct store *prepare(const struct store_opts *o,
                             struct xlc_error *err)
{
    struct store *s = calloc(1, sizeof(*s));

    if (!s) {
        xlc_error_set(err, -ENOMEM, "no memory for %s", o->image);
        return NULL;
    }
    pthread_mutex_init(&s->commit, NULL);
    pthread_mutex_init(&s->write, NULL);
    pthread_mutex_init(&s->lock, NULL);
    s->io = o->io;
    s->image_fd = -1;
    s->journal.fd = -1;
    s->journal_limit = o->journal_limit;
    s->dir = strdup(o->dir);
    layer_pool_init(&s->pool, o->io, s->dir, o->memory_limit,
                    o->spill_limit);
    s->image = strdup(o->image);
    s->id_path = state_path(o, "identity");
    s->journal_path = state_path(o, "journal");
    s->copy = malloc(STORE_PIECE);
    if (!s->dir || !s->image || !s->id_path || !s->journal_path || !s->copy)
        xlc_error_set(err, -ENOMEM, "no memory for %s", o->image);
    return s;
}

static void store_free(struct store *s)
{
    while (s->oldest) {
        struct epoch *e = s->oldest;

        s->oldest = e->newer;
        store_epoch_put(e);
    }
    grouplog_close(&s->journal);
    diskio_close(s->io, &s->image_fd);
    layer_pool_dispose(&s->pool);
    free(s->dir);
    free(s->image);
    free(s->id_path);
    free(s->journal_path);
    free(s->copy);
    pthread_mutex_destroy(&s->commit);
    pthread_mutex_destroy(&s->write);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int open_image(struct store *s, struct xlc_error *err)
{
    int rc;

    s->image_fd = diskio_open(s->io, s->image, 0, err);
    if (s->image_fd < 0) {
        rc = s->image_fd;
        s->image_fd = -1;
        return rc;
    }
    rc = s->io->ops->size(s->io->ctx, s->image_fd, &s->size);
    if (!rc && !s->size) rc = -EINVAL;
    return rc ? xlc_error_set(err, rc, "%s has no size that can be used",
                              s->image)
              : 0;
}

/*
 * The identity first: an image without a journal that calls itself
 * inconsistent is harmless, one with a journal of another history isn't.
 */
int store_create(const struct store_opts *o, uint64_t generation, bool force,
                 struct xlc_error *err)
{
    struct xlc_error mine = XLC_ERROR_INIT;
    struct store *s = prepare(o, &mine);
    struct identity id = { .generation = generation,
                           .role = IDENTITY_SECONDARY };
    struct grouplog_binding to;
    int rc = mine.status;

    if (!rc && (o->image[0] != '/' ||
                strlen(o->image) > IDENTITY_IMAGE_MAX || !generation))
        rc = xlc_error_set(&mine, -EINVAL, "%s: not an absolute path, or no "
                           "generation", o->image);
    if (!rc) rc = open_image(s, &mine);
    if (!rc) {
        id.size = s->size;
        memcpy(id.uuid, o->uuid, sizeof(id.uuid));
        memcpy(id.image, o->image, strlen(o->image) + 1);
        rc = identity_save(o->io, s->id_path, &id, force, &mine);
    }
    if (!rc) {
        s->id = id;
        to = store_binding(s, 0);
        rc = grouplog_create(&s->journal, o->io, s->journal_path,
                             GROUPLOG_JOURNAL, &to, &mine);
    }
    if (s) store_free(s);
    return rc ? xlc_error_set(err, rc, "%s", mine.msg) : 0;
}

static int replay_entry(void *ctx, const struct grouplog_entry *e,
                        struct xlc_error *err)
{
    struct store *s = ctx;
    uint64_t left = e->len, at = e->where, off = e->off;
    int rc = 0;

    if (e->type == GROUPLOG_ZERO) {
        rc = diskio_zero(s->io, s->image_fd, off, left, true);
        left = 0;
    }
    while (!rc && left) {
        size_t n = left < STORE_PIECE ? (size_t)left : STORE_PIECE;

        rc = diskio_read(s->io, s->journal.fd, s->copy, n, at);
        if (!rc) rc = diskio_write(s->io, s->image_fd, s->copy, n, off);
        at += n;
        off += n;
        left -= n;
    }
    return rc ? xlc_error_set(err, rc, "%s: replaying its journal: %s",
                              s->image, strerror(-rc))
              : 0;
}

/* A journal of another history would put old data over newer (RULES A7). */
static int journal_belongs(const struct store *s, struct xlc_error *err)
{
    const struct grouplog_binding *to = &s->journal.to;

    if (!memcmp(to->uuid, s->id.uuid, sizeof(to->uuid)) &&
        to->generation == s->id.generation && to->size == s->size &&
        to->epoch >= s->id.epoch)
        return 0;
    return xlc_error_set(err, -EUCLEAN, "%s belongs to another history of %s "
                         "(generation %" PRIu64 ", epoch %" PRIu64 "; the "
                         "image is of generation %" PRIu64 ", epoch %" PRIu64
                         "); the image has to be synchronised again",
                         s->journal_path, s->image, to->generation, to->epoch,
                         s->id.generation, s->id.epoch);
}

static int replay(struct store *s, struct xlc_error *err)
{
    struct grouplog_visitor v = { .entry = replay_entry, .ctx = s };
    int rc = grouplog_open(&s->journal, s->io, s->journal_path,
                           GROUPLOG_JOURNAL, err);

    if (rc == -ENOENT)
        return xlc_error_set(err, -EUCLEAN, "%s is missing, and with it what "
                             "%s may lack; the image has to be synchronised "
                             "again", s->journal_path, s->image);
    if (rc) return rc == -EINVAL ? -EUCLEAN : rc;
    rc = journal_belongs(s, err);
    if (!rc) rc = grouplog_scan(&s->journal, &v, err);
    if (rc) return rc == -EINVAL ? -EUCLEAN : rc;
    s->replayed = s->journal.groups;
    s->closed = s->accepted = s->durable = s->journal.epoch;
    if (s->replayed) return store_trim_locked(s, err);
    s->journal_size = s->journal.tail;
    return 0;
}

/* Half a sync: whatever the journal says no longer matters. */
static int start_over(struct store *s, struct xlc_error *err)
{
    struct grouplog_binding to = store_binding(s, s->id.epoch);

    s->mode = STORE_INCONSISTENT;
    s->closed = s->accepted = s->durable = s->id.epoch;
    return grouplog_create(&s->journal, s->io, s->journal_path,
                           GROUPLOG_JOURNAL, &to, err);
}

int store_open(struct store **out, const struct store_opts *o,
               struct xlc_error *err)
{
    struct xlc_error mine = XLC_ERROR_INIT;
    struct store *s = prepare(o, &mine);
    int rc = mine.status;

    if (!rc) rc = identity_load(o->io, s->id_path, &s->id, &mine);
    if (rc == -ENOENT)
        xlc_error_set(&mine, rc, "%s is no mirrored disk of this host",
                      o->image);
    if (!rc) rc = open_image(s, &mine);
    if (!rc)
        rc = identity_belongs(&s->id, o->uuid, o->image, s->size, &mine);
    if (!rc && s->id.role != IDENTITY_SECONDARY)
        rc = xlc_error_set(&mine, -EPERM, "%s is not a copy: a guest runs, "
                           "or ran, from it", o->image);
    if (!rc) s->mode = STORE_FOLLOWING;
    if (!rc)
        rc = s->id.flags & IDENTITY_CONSISTENT ? replay(s, &mine)
                                               : start_over(s, &mine);
    if (!rc) {
        *out = s;
        return 0;
    }
    if (s) store_free(s);
    return xlc_error_set(err, rc, "%s", mine.msg);
}

int store_close(struct store *s, struct xlc_error *err)
{
    struct identity id;
    int rc = 0;

    if (!s) return 0;
    if (s->mode == STORE_FOLLOWING) {
        store_discard(s);
        rc = s->failed ? xlc_error_set(err, s->failed, "%s failed before",
                                       s->image)
                       : store_commit_locked(s, err);
        if (!rc) rc = store_trim_locked(s, err);
        id = s->id;
        id.epoch = s->durable;
        if (!rc) rc = identity_save(s->io, s->id_path, &id, false, err);
    }
    store_free(s);
    return rc;
}
