/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identity.c - What an image is: whose, of which history, fit or not */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <xxhash.h>

#include "cursor.h"
#include "identity.h"

#define IDENTITY_MAGIC   0x584c43444944310aull /* "XLCDID1\n" */
#define IDENTITY_VERSION 2u
#define FLAGS_CLAIM      (IDENTITY_PAIRED | IDENTITY_HANDED | \
                          IDENTITY_UNOPENED)
#define FLAGS_KNOWN      (IDENTITY_CONSISTENT | IDENTITY_MERGING | FLAGS_CLAIM)

static bool claim_makes_sense(const struct identity *id)
{
    uint32_t claim = id->flags & FLAGS_CLAIM;

    /* One of them at most. */
    return !claim || (!(claim & (claim - 1)) &&
                      id->role == IDENTITY_PRIMARY);
}

/* What must hold of one in memory and of one on disk. */
static bool makes_sense(const struct identity *id)
{
    size_t len = strnlen(id->image, sizeof(id->image));

    return id->generation && id->size && id->size <= INT64_MAX &&
           (id->role == IDENTITY_PRIMARY || id->role == IDENTITY_SECONDARY) &&
           !(id->flags & ~FLAGS_KNOWN) && claim_makes_sense(id) && len &&
           len <= IDENTITY_IMAGE_MAX && id->image[0] == '/' &&
           (id->flags & IDENTITY_MERGING
                ? id->role == IDENTITY_PRIMARY && id->overlay_generation
                : !id->overlay_generation && !id->overlay_epoch);
}

size_t identity_encode(const struct identity *id, uint8_t *buf)
{
    struct wcur c = { buf, IDENTITY_FILE_MAX, false };
    size_t len;

    if (!makes_sense(id)) return 0;
    len = strlen(id->image);
    wcur_u64(&c, IDENTITY_MAGIC);
    wcur_u32(&c, IDENTITY_VERSION);
    wcur_u32(&c, id->role);
    wcur_u32(&c, id->flags);
    wcur_u32(&c, (uint32_t)len);
    wcur_bytes(&c, id->uuid, sizeof(id->uuid));
    wcur_u64(&c, id->generation);
    wcur_u64(&c, id->epoch);
    wcur_u64(&c, id->size);
    wcur_u64(&c, id->overlay_generation);
    wcur_u64(&c, id->overlay_epoch);
    wcur_zero(&c, 8);
    wcur_bytes(&c, id->image, len);
    wcur_u64(&c, XXH3_64bits(buf, (size_t)(c.p - buf)));
    return c.bad ? 0 : (size_t)(c.p - buf);
}

int identity_decode(struct identity *id, const uint8_t *buf, size_t len,
                    struct xlc_error *err)
{
    struct rcur c = { buf, len, false };
    struct identity n = { .generation = 0 };
    uint32_t version, path_len;
    bool magic = rcur_u64(&c) == IDENTITY_MAGIC;

    version = rcur_u32(&c);
    if (!c.bad && magic && version != IDENTITY_VERSION)
        return xlc_error_set(err, -EINVAL, "written by another version of "
                             "this program (format %" PRIu32 ")", version);
    n.role = rcur_u32(&c);
    n.flags = rcur_u32(&c);
    path_len = rcur_u32(&c);
    rcur_bytes(&c, n.uuid, sizeof(n.uuid));
    n.generation = rcur_u64(&c);
    n.epoch = rcur_u64(&c);
    n.size = rcur_u64(&c);
    n.overlay_generation = rcur_u64(&c);
    n.overlay_epoch = rcur_u64(&c);
    rcur_zero(&c, 8);
    if (path_len > IDENTITY_IMAGE_MAX) c.bad = true;
    rcur_bytes(&c, n.image, c.bad ? 0 : path_len);
    if (!magic || rcur_u64(&c) != XXH3_64bits(buf, len < 8 ? 0 : len - 8) ||
        !rcur_done(&c))
        return xlc_error_set(err, -EINVAL, "torn or damaged");
    if (!makes_sense(&n) || strlen(n.image) != path_len)
        return xlc_error_set(err, -EINVAL, "a field makes no sense");
    *id = n;
    return 0;
}

int identity_load(const struct diskio *io, const char *path,
                  struct identity *id, struct xlc_error *err)
{
    uint8_t buf[IDENTITY_FILE_MAX];
    size_t len;
    int rc = diskio_load(io, path, buf, sizeof(buf), &len, err);

    if (rc == -EFBIG) rc = -EINVAL;
    if (rc) return rc;
    rc = identity_decode(id, buf, len, err);
    if (rc)
        xlc_error_wrap(err, "%s: what is known of the image can't be used "
                       "(synchronise it again, or remove the file if you "
                       "know that no newer copy of the disk exists)", path);
    return rc;
}

int identity_compare(const struct identity *a, const struct identity *b)
{
    if (a->generation != b->generation)
        return a->generation < b->generation ? -1 : 1;
    return a->epoch == b->epoch ? 0 : a->epoch < b->epoch ? -1 : 1;
}

int identity_save(const struct diskio *io, const char *path,
                  const struct identity *id, bool force,
                  struct xlc_error *err)
{
    uint8_t buf[IDENTITY_FILE_MAX];
    struct identity old;
    size_t len = identity_encode(id, buf);
    int rc;

    if (!len)
        return xlc_error_set(err, -EINVAL, "%s: refused to write an identity "
                             "that makes no sense", path);
    if (!force) {
        rc = identity_load(io, path, &old, err);
        if (rc && rc != -ENOENT) return rc;
        if (!rc && memcmp(old.uuid, id->uuid, sizeof(old.uuid)))
            return xlc_error_set(err, -EPERM, "%s: the image belongs to "
                                 "another guest", path);
        if (!rc && identity_compare(id, &old) < 0)
            return xlc_error_set(err, -ESTALE, "%s: generation %" PRIu64
                                 ", epoch %" PRIu64 " is older than what the "
                                 "image already is (generation %" PRIu64
                                 ", epoch %" PRIu64 ")", path,
                                 id->generation, id->epoch, old.generation,
                                 old.epoch);
    }
    return diskio_replace(io, path, buf, len, err);
}

int identity_belongs(const struct identity *id, const uint8_t uuid[16],
                     const char *image, uint64_t size, struct xlc_error *err)
{
    if (memcmp(id->uuid, uuid, sizeof(id->uuid)))
        return xlc_error_set(err, -EPERM, "%s belongs to another guest",
                             image);
    if (strcmp(id->image, image))
        return xlc_error_set(err, -EPERM, "what is known is of the image %s, "
                             "not of %s", id->image, image);
    if (id->size != size)
        return xlc_error_set(err, -EPERM, "%s has %" PRIu64 " octets now, "
                             "and had %" PRIu64 " when it was last used: a "
                             "mirrored disk can't be resized", image, size,
                             id->size);
    return 0;
}

enum identity_claim identity_claim(const struct identity *id)
{
    return id->flags & IDENTITY_HANDED     ? IDENTITY_GIVEN
           : id->flags & IDENTITY_PAIRED   ? IDENTITY_HAS_PEER
           : id->flags & IDENTITY_UNOPENED ? IDENTITY_TAKEN
                                           : IDENTITY_ALONE;
}

void identity_set_claim(struct identity *id, enum identity_claim claim)
{
    id->flags &= ~FLAGS_CLAIM;
    if (claim == IDENTITY_HAS_PEER) id->flags |= IDENTITY_PAIRED;
    if (claim == IDENTITY_GIVEN) id->flags |= IDENTITY_HANDED;
    if (claim == IDENTITY_TAKEN) id->flags |= IDENTITY_UNOPENED;
}

int identity_may_boot(const struct identity *id, bool newest,
                      struct xlc_error *err)
{
    if (!(id->flags & IDENTITY_CONSISTENT))
        return xlc_error_set(err, -ESTALE, "%s is the target of a "
                             "synchronisation that did not end: part of it "
                             "is old", id->image);
    if (id->role != IDENTITY_PRIMARY)
        return xlc_error_set(err, -ESTALE, "%s is a copy: the guest runs, or "
                             "ran last, from the peer's image", id->image);
    if (identity_claim(id) == IDENTITY_GIVEN)
        return xlc_error_set(err, -ESTALE, "%s is not the newest: its guest "
                             "was given to the other host", id->image);
    if (identity_claim(id) == IDENTITY_HAS_PEER && !newest)
        return xlc_error_set(err, -ESTALE, "%s may not be the newest: it was "
                             "mirrored, and the other host, which could have "
                             "taken over, was not asked", id->image);
    if (identity_claim(id) == IDENTITY_TAKEN && !newest)
        return xlc_error_set(err, -ESTALE, "%s may not be the newest: it was "
                             "taken over, no guest is known to have run from "
                             "it, and the host from which it was taken was "
                             "not asked", id->image);
    return 0;
}
