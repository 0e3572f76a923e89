/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-commit.c - The secondary's disk: from accepted to applied
 *
 * Theory of operation, and the order of syncs:
 *
 *   commit  1. one group with all that was accepted goes to the journal
 *           2. sync of the journal: the epochs are durable now
 *           3. the group is applied to the image, without a sync
 *   trim    4. sync of the image
 *           5. an empty journal's header, sync of the journal
 *
 * Trimming comes when the journal is full, so that its two syncs are shared
 * by many epochs. A crash before 2 leaves the epochs before; after 2,
 * store_open() repeats 3 to 5 for every group in the journal, which changes
 * nothing that was already done. No group is written over an older one before
 * 5 ended: the header that would still call the older ones valid is gone.
 *
 * After a failed sync nobody knows what the medium holds (the kernel forgets
 * the pages), so the store stops there; the journal still has all that the
 * image may lack.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store-priv.h"

struct grouplog_binding store_binding(const struct store *s, uint64_t epoch)
{
    struct grouplog_binding b = { .generation = s->id.generation,
                                  .epoch = epoch,
                                  .size = s->size };

    memcpy(b.uuid, s->id.uuid, sizeof(b.uuid));
    return b;
}

int store_fail(struct store *s, int rc, struct xlc_error *err)
{
    LOCK_SCOPE(&s->lock);

    if (!s->failed) s->failed = rc;
    return xlc_error_set(err, rc, "%s: what the disk holds is unknown after "
                         "a failed sync: %s", s->image, strerror(-rc));
}

static int usable(struct store *s, enum store_mode mode,
                  struct xlc_error *err)
{
    if (s->failed)
        return xlc_error_set(err, s->failed, "%s: failed before", s->image);
    if (s->mode != mode)
        return xlc_error_set(err, -EPERM, "%s: not in this state", s->image);
    return 0;
}

static void note_journal(struct store *s)
{
    LOCK_SCOPE(&s->lock);

    s->journal_size = s->journal.tail;
}

int store_trim_locked(struct store *s, struct xlc_error *err)
{
    struct grouplog_binding to = store_binding(s, s->durable);
    bool large = s->journal.tail > s->journal_limit;
    int rc = s->io->ops->sync(s->io->ctx, s->image_fd);

    if (!rc) rc = grouplog_reset(&s->journal, &to, true, NULL);
    if (rc) return store_fail(s, rc, err);
    note_journal(s);
    /* One huge epoch must not keep its room for ever. */
    if (large)
        rc = s->io->ops->resize(s->io->ctx, s->journal.fd, GROUPLOG_FIRST);
    return rc ? xlc_error_set(err, rc, "%s: %s", s->journal_path,
                              strerror(-rc))
              : 0;
}

/* The accepted epochs, as they were when the commit began. */
static struct epoch *accepted(struct store *s, uint64_t *number)
{
    LOCK_SCOPE(&s->lock);

    *number = s->accepted;
    return s->oldest && s->oldest->state == EPOCH_ACCEPTED ? s->oldest : NULL;
}

/* The next of them. New ones may be linked meanwhile, hence the lock. */
static struct epoch *next_accepted(struct store *s, struct epoch *e,
                                   uint64_t number)
{
    LOCK_SCOPE(&s->lock);

    return e->newer && e->newer->number <= number ? e->newer : NULL;
}

/* The next piece of a layer's data: where it lies in memory, else a copy. */
static int piece(struct store *s, const struct layer *l, uint64_t at,
                 uint64_t left, const uint8_t **p, size_t *n)
{
    size_t most = left < STORE_PIECE ? (size_t)left : STORE_PIECE;

    *p = layer_peek(l, at, most, n);
    if (*p) return 0;
    *p = s->copy;
    *n = most;
    return layer_read(l, at, s->copy, most);
}

static int put_extent(struct store *s, const struct layer *l,
                      const struct extent *x)
{
    uint64_t left = x->where == EXTMAP_ZERO ? 0 : x->len, at = x->where;
    int rc = 0;

    while (!rc && left) {
        const uint8_t *p;
        size_t n;

        rc = piece(s, l, at, left, &p, &n);
        if (!rc) rc = grouplog_put(&s->journal, p, n);
        at += n;
        left -= n;
    }
    return rc;
}

/* One pass over all extents of the epochs up to @number. */
enum pass { PASS_COUNT, PASS_DATA, PASS_ENTRIES };

static int pass(struct store *s, struct epoch *first, uint64_t number,
                enum pass what, uint64_t *data, uint32_t *entries)
{
    int rc = 0;

    for (struct epoch *e = first; !rc && e; e = next_accepted(s, e, number)) {
        struct extent x = { .off = 0 };

        while (!rc && extmap_find(&e->layer.map, x.off + x.len, &x)) {
            bool zero = x.where == EXTMAP_ZERO;

            if (what == PASS_COUNT) {
                *data += zero ? 0 : x.len;
                ++*entries;
            } else if (what == PASS_DATA) {
                rc = put_extent(s, &e->layer, &x);
            } else {
                rc = grouplog_put_entry(&s->journal, zero ? GROUPLOG_ZERO
                                                          : GROUPLOG_DATA,
                                        x.off, x.len);
            }
        }
    }
    return rc;
}

/* Steps 1 and 2; the tail moves only if all went well. */
static int journal_group(struct store *s, struct epoch *first,
                         uint64_t number, struct xlc_error *err)
{
    uint64_t data = 0;
    uint32_t entries = 0;
    int rc;

    pass(s, first, number, PASS_COUNT, &data, &entries);
    if (s->journal.groups && s->journal.tail +
        grouplog_group_size(data, entries) > s->journal_limit) {
        rc = store_trim_locked(s, err);
        if (rc) return rc;
    }
    rc = grouplog_begin(&s->journal, number, data, entries);
    if (!rc) rc = pass(s, first, number, PASS_DATA, NULL, NULL);
    if (!rc) rc = pass(s, first, number, PASS_ENTRIES, NULL, NULL);
    if (!rc) rc = grouplog_end(&s->journal);
    if (rc)
        return xlc_error_set(err, rc, "%s: %s", s->journal_path,
                             strerror(-rc));
    rc = grouplog_sync(&s->journal);
    if (rc) return store_fail(s, rc, err);
    note_journal(s);
    return 0;
}

static int apply_extent(struct store *s, const struct layer *l,
                        const struct extent *x)
{
    uint64_t left = x->len, at = x->where, off = x->off;
    int rc = 0;

    if (x->where == EXTMAP_ZERO)
        return diskio_zero(s->io, s->image_fd, x->off, x->len, true);
    while (!rc && left) {
        const uint8_t *p;
        size_t n;

        rc = piece(s, l, at, left, &p, &n);
        if (!rc) rc = diskio_write(s->io, s->image_fd, p, n, off);
        at += n;
        off += n;
        left -= n;
    }
    return rc;
}

/*
 * Step 3 for one epoch. Extents that touch each other go as one write, though
 * their data lies apart.
 */
static int apply(struct store *s, const struct epoch *e)
{
    struct extent x = { .off = 0 }, n;
    size_t have = 0;
    int rc = 0;

    while (!rc && extmap_find(&e->layer.map, x.off + x.len, &x)) {
        if (x.where == EXTMAP_ZERO || x.len > STORE_PIECE / 2) {
            rc = apply_extent(s, &e->layer, &x);
            continue;
        }
        rc = layer_read(&e->layer, x.where, s->copy, (size_t)x.len);
        have = (size_t)x.len;
        while (!rc && extmap_find(&e->layer.map, x.off + have, &n) &&
               n.off == x.off + have && n.where != EXTMAP_ZERO &&
               n.len <= STORE_PIECE - have) {
            rc = layer_read(&e->layer, n.where, s->copy + have,
                            (size_t)n.len);
            have += (size_t)n.len;
        }
        if (!rc)
            rc = diskio_write(s->io, s->image_fd, s->copy, have, x.off);
        x.len = have;
    }
    return rc;
}

/* Step 3 for what is durable; each goes as soon as the image has it. */
static int apply_durable(struct store *s, struct xlc_error *err)
{
    uint64_t number;
    struct epoch *e = accepted(s, &number);

    while (e && e->number <= s->durable) {
        struct epoch *next = next_accepted(s, e, number);
        int rc = apply(s, e);

        if (rc)
            return xlc_error_set(err, rc, "%s: %s", s->image, strerror(-rc));
        LOCK_SCOPE(&s->lock);
        s->oldest = e->newer;
        store_epoch_put(e);
        e = next;
    }
    return 0;
}

static int journal_locked(struct store *s, struct xlc_error *err)
{
    uint64_t number;
    struct epoch *first;
    /* Before a trim nothing may wait that only the journal has: a former
     * commit may have failed between 2 and 3. */
    int rc = apply_durable(s, err);

    if (rc) return rc;
    first = accepted(s, &number);
    if (number <= s->durable) return 0;
    rc = first ? journal_group(s, first, number, err) : 0;
    if (rc) return rc;
    LOCK_SCOPE(&s->lock);
    s->durable = number;
    return 0;
}

int store_commit_locked(struct store *s, struct xlc_error *err)
{
    int rc = journal_locked(s, err);

    return rc ? rc : apply_durable(s, err);
}

/* With @commit held. Who ended the following has left nothing to do. */
static bool idle(const struct store *s)
{
    return !s->failed && s->mode != STORE_FOLLOWING;
}

int store_journal(struct store *s, struct xlc_error *err)
{
    LOCK_SCOPE(&s->commit);
    int rc = idle(s) ? 0 : usable(s, STORE_FOLLOWING, err);

    return rc || idle(s) ? rc : journal_locked(s, err);
}

int store_apply(struct store *s, struct xlc_error *err)
{
    LOCK_SCOPE(&s->commit);
    int rc = idle(s) ? 0 : usable(s, STORE_FOLLOWING, err);

    return rc || idle(s) ? rc : apply_durable(s, err);
}

int store_commit(struct store *s, struct xlc_error *err)
{
    LOCK_SCOPE(&s->commit);
    int rc = usable(s, STORE_FOLLOWING, err);

    return rc ? rc : store_commit_locked(s, err);
}

int store_settle(struct store *s, struct xlc_error *err)
{
    LOCK_SCOPE(&s->commit);
    int rc = usable(s, STORE_FOLLOWING, err);

    if (!rc) rc = store_commit_locked(s, err);
    if (!rc && s->journal.epoch < s->durable)
        rc = journal_group(s, NULL, s->durable, err);
    return rc;
}

/* Write @id, and only then let it count. */
static int save_identity(struct store *s, const struct identity *id,
                         struct xlc_error *err)
{
    int rc = identity_save(s->io, s->id_path, id, false, err);

    if (rc) return rc;
    LOCK_SCOPE(&s->lock);
    s->id = *id;
    return 0;
}

static void set_mode(struct store *s, enum store_mode mode)
{
    LOCK_SCOPE(&s->write);
    LOCK_SCOPE(&s->lock);

    s->mode = mode;
}

int store_promote(struct store *s, uint64_t generation,
                  uint64_t overlay_epoch, struct xlc_error *err)
{
    LOCK_SCOPE(&s->commit);
    struct identity id = s->id;
    int rc = usable(s, STORE_FOLLOWING, err);

    if (!rc && generation <= s->id.generation)
        rc = xlc_error_set(err, -EINVAL, "generation %" PRIu64 " is not newer "
                           "than %" PRIu64, generation, s->id.generation);
    if (!rc && overlay_epoch && overlay_epoch != s->accepted)
        rc = xlc_error_set(err, -EINVAL, "the overlay lies over epoch %" PRIu64
                           ", the disk is at %" PRIu64, overlay_epoch,
                           s->accepted);
    if (rc) return rc;
    store_discard(s);
    rc = store_commit_locked(s, err);
    if (!rc) rc = store_trim_locked(s, err);
    if (rc) return rc;
    id.role = IDENTITY_PRIMARY;
    id.generation = generation;
    id.epoch = s->durable;
    identity_set_claim(&id, IDENTITY_TAKEN);
    if (overlay_epoch) {
        id.flags |= IDENTITY_MERGING;
        id.overlay_generation = s->id.generation;
        id.overlay_epoch = overlay_epoch;
    }
    rc = save_identity(s, &id, err);
    if (!rc) set_mode(s, STORE_PROMOTED);
    return rc;
}

int store_merged(struct store *s, struct xlc_error *err)
{
    LOCK_SCOPE(&s->commit);
    struct identity id = s->id;

    id.flags &= ~IDENTITY_MERGING;
    id.overlay_generation = id.overlay_epoch = 0;
    return save_identity(s, &id, err);
}

int store_sync_begin(struct store *s, uint64_t generation,
                     struct xlc_error *err)
{
    LOCK_SCOPE(&s->commit);
    struct identity id = s->id;
    int rc = 0;

    if (s->failed || s->mode == STORE_PROMOTED)
        return usable(s, STORE_FOLLOWING, err);
    if (generation < s->id.generation)
        return xlc_error_set(err, -ESTALE, "generation %" PRIu64 " is older "
                             "than %" PRIu64 ", which the image is of",
                             generation, s->id.generation);
    if (s->mode == STORE_FOLLOWING) {
        store_discard(s);
        rc = store_commit_locked(s, err);
        if (!rc) rc = store_trim_locked(s, err);
    }
    id.epoch = s->durable;
    id.flags &= ~IDENTITY_CONSISTENT;
    if (!rc) rc = save_identity(s, &id, err);
    if (rc) return rc;
    /* The journal and the identity get it when the sync has ended. */
    LOCK_SCOPE(&s->write);
    LOCK_SCOPE(&s->lock);
    s->id.generation = generation;
    s->mode = STORE_SYNCING;
    return 0;
}

int store_sync_end(struct store *s, uint64_t epoch, struct xlc_error *err)
{
    LOCK_SCOPE(&s->commit);
    struct identity id = s->id;
    struct grouplog_binding to = store_binding(s, epoch);
    int rc = usable(s, STORE_SYNCING, err);

    if (rc) return rc;
    rc = s->io->ops->sync(s->io->ctx, s->image_fd);
    if (!rc) rc = grouplog_reset(&s->journal, &to, true, NULL);
    if (rc) return store_fail(s, rc, err);
    note_journal(s);
    id.epoch = epoch;
    id.flags |= IDENTITY_CONSISTENT;
    rc = save_identity(s, &id, err);
    if (rc) return rc;
    LOCK_SCOPE(&s->write);
    LOCK_SCOPE(&s->lock);
    s->mode = STORE_FOLLOWING;
    s->closed = s->accepted = s->durable = epoch;
    return 0;
}
