/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * identity.h - What an image is: whose, of which history, fit or not
 *
 * One small file for each disk (docs/specs/disk-format.md), replaced
 * atomically, checksummed. It answers whether a guest may boot from an image,
 * and whether an image may be overwritten (RULES A7). Its history only goes
 * forward: identity_save() refuses an older {generation, epoch}.
 *
 * No state of its own: one thread at a time for one file.
 */
#ifndef XLC_IDENTITY_H
#define XLC_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "diskio.h"

#define IDENTITY_IMAGE_MAX 1023
#define IDENTITY_FIXED     88u
#define IDENTITY_FILE_MAX  (IDENTITY_FIXED + IDENTITY_IMAGE_MAX + 8u)

enum identity_role {
    IDENTITY_PRIMARY = 1,   /* guests run from it */
    IDENTITY_SECONDARY = 2, /* a copy; only commits change it */
};

/* @flags */
#define IDENTITY_CONSISTENT 1u /* not the half-filled target of a sync */
#define IDENTITY_MERGING    2u /* an overlay holds newer data than the image */
#define IDENTITY_PAIRED     4u /* primary: another host may have taken over */
#define IDENTITY_HANDED     8u /* primary: another host was told to */
#define IDENTITY_UNOPENED  16u /* primary: took over, and no guest has run */

/**
 * enum identity_claim - of another host on a primary's image
 * @IDENTITY_ALONE: nobody's: no copy of it may run
 * @IDENTITY_HAS_PEER: a copy could take over, and perhaps did: to be asked
 * @IDENTITY_GIVEN: the guest was given to the other host
 * @IDENTITY_TAKEN: taken over from the other host, and no guest is known to
 *                  have run from it: that one is to be asked
 */
enum identity_claim {
    IDENTITY_ALONE,
    IDENTITY_HAS_PEER,
    IDENTITY_GIVEN,
    IDENTITY_TAKEN,
};

/**
 * struct identity - of an image
 * @uuid: the guest's
 * @generation: grows with each takeover
 * @epoch: the newest epoch that this file was told of; a journal may hold
 *         newer ones
 * @size: of the image, octets
 * @overlay_generation: with IDENTITY_MERGING, what the overlay is bound to
 * @overlay_epoch: the same, the epoch
 * @role: enum identity_role
 * @flags: IDENTITY_*
 * @image: absolute path of the image, terminated
 */
struct identity {
    uint8_t uuid[16];
    uint64_t generation;
    uint64_t epoch;
    uint64_t size;
    uint64_t overlay_generation;
    uint64_t overlay_epoch;
    uint32_t role;
    uint32_t flags;
    char image[IDENTITY_IMAGE_MAX + 1];
};

/* Pure. @buf has room for IDENTITY_FILE_MAX. Return: the length, or 0 if the
 * identity makes no sense. */
size_t identity_encode(const struct identity *id, uint8_t *buf);

/* Pure; @id is touched on success only. Return: 0 or -EINVAL. */
int identity_decode(struct identity *id, const uint8_t *buf, size_t len,
                    struct xlc_error *err);

/**
 * identity_load() - read what is written at @path
 *
 * Return: 0; -ENOENT if there is none (no sentence); -EINVAL if it is torn or
 * makes no sense; another negative errno
 */
int identity_load(const struct diskio *io, const char *path,
                  struct identity *id, struct xlc_error *err);

/**
 * identity_save() - write it, durably
 *
 * Refuses to replace one of another guest, an unreadable one, or a newer one
 * (-ESTALE), unless @force.
 */
int identity_save(const struct diskio *io, const char *path,
                  const struct identity *id, bool force,
                  struct xlc_error *err);

/* Of a primary's image; a copy has nobody's claim. */
enum identity_claim identity_claim(const struct identity *id);
void identity_set_claim(struct identity *id, enum identity_claim claim);

/* -1, 0, 1: the history of @a is older than, as old as, newer than @b's. */
int identity_compare(const struct identity *a, const struct identity *b);

/**
 * identity_belongs() - is this image the one that is meant?
 *
 * Return: 0; -EPERM with a sentence if it is another guest's, another file's,
 * or has another size
 */
int identity_belongs(const struct identity *id, const uint8_t uuid[16],
                     const char *image, uint64_t size, struct xlc_error *err);

/**
 * identity_may_boot() - may a guest start from this image on this host?
 * @newest: the other host was asked, and has nothing newer (claim.h)
 *
 * Return: 0; -ESTALE with a sentence if it may not be the newest, is a
 * secondary's copy, or is half a sync
 */
int identity_may_boot(const struct identity *id, bool newest,
                      struct xlc_error *err);

#endif
