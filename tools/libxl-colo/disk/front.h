/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * front.h - The disk as the guest on this host sees it
 *
 * What the NBD plugin calls for a guest's requests, on either host:
 *   DIRECT   the image. A primary: with a bitmap and a mirror, each write goes
 *            range lock, intent, image, queue, unlock (RULES A6, A8)
 *   OVERLAY  COLO's second copy: the accepted epochs, and its own writes
 *   MERGING  after a takeover: the image, and what the overlay still has
 *   CLOSED   no guest runs here
 *
 * Trim is write-zeroes: mirrored copies must not differ in what a trimmed
 * range reads as.
 *
 * Threads: requests from any number; front_merge() from one. What changes the
 * mode holds all ranges, so no write is in flight then.
 */
#ifndef XLC_FRONT_H
#define XLC_FRONT_H

#include "bitmap.h"
#include "overlay.h"
#include "rangelock.h"
#include "store.h"

enum front_mode {
    FRONT_CLOSED,
    FRONT_DIRECT,
    FRONT_OVERLAY,
    FRONT_MERGING,
};

/**
 * struct front_mirror - where a primary's writes also go
 * @put: append one write (without @buf zeroes) to the peer's queue. Returns
 *       its epoch, or 0 if the peer does not get it. May wait for room, but
 *       not for long (RULES A8); it is called with the range held.
 * @ctx: first parameter
 * @copy: the same, of a range that front_copy() read; NULL: @put
 */
struct front_mirror {
    uint64_t (*put)(void *ctx, const void *buf, uint64_t len, uint64_t off);
    void *ctx;
    uint64_t (*copy)(void *ctx, const void *buf, uint64_t len, uint64_t off);
};

struct front;

/**
 * front_open_image() - a primary's disk
 * @fd: of the image, the caller's
 */
int front_open_image(struct front **out, const struct diskio *io, int fd,
                     uint64_t size, struct xlc_error *err);

/* A secondary's disk: CLOSED. @s is the caller's, and outlives the front. */
int front_open_store(struct front **out, const struct diskio *io,
                     struct store *s, struct xlc_error *err);

/**
 * front_resume_merge() - a primary's image whose merge was interrupted
 * @o: from overlay_open() with what the identity says; the caller's
 *
 * The front is MERGING.
 */
int front_resume_merge(struct front *f, struct overlay *o,
                       struct xlc_error *err);

void front_close(struct front *f);

enum front_mode front_mode(struct front *f);

/**
 * front_protect() - remember what the peer lacks, and mirror, from now on
 * @b: or NULL; @m: or NULL. Both belong to the caller.
 *
 * Waits for writes in flight. After a takeover it comes before the first
 * front_merge(): what the overlay has is marked as lacking.
 */
int front_protect(struct front *f, struct bitmap *b,
                  const struct front_mirror *m, struct xlc_error *err);

/* Wait until all writes in flight have ended: a new connection of the same
 * guest is served only after this (RULES A8). */
void front_drain(struct front *f);

/* Requests. Return: 0 or a negative errno. -ENOBUFS: the overlay is full; try
 * again after a checkpoint (OVERLAY) or some of front_merge() (MERGING). */
int front_read(struct front *f, void *buf, size_t len, uint64_t off,
               struct xlc_error *err);
int front_write(struct front *f, const void *buf, size_t len, uint64_t off,
                struct xlc_error *err);
int front_zero(struct front *f, uint64_t len, uint64_t off,
               struct xlc_error *err);
int front_flush(struct front *f, struct xlc_error *err);

/**
 * front_copy() - a resync: put a range into the peer's queue as it is now
 * @buf: room for @len
 *
 * The range is held meanwhile, so writes before and after it are too.
 * Return: 0; -ENOTCONN if the mirror did not take it; an error
 */
int front_copy(struct front *f, void *buf, size_t len, uint64_t off,
               struct xlc_error *err);

/**
 * front_checkpoint() - COLO: the second copy goes on from another epoch
 * @o: where it writes; the caller's, closed after the front
 * @epoch: closed in the store
 *
 * Accepts the epoch and drops what the copy wrote: no request of it may be in
 * flight (its backend is closed). The first call makes the front OVERLAY.
 * Return: 0; -EBUSY: store_commit() the epoch before first
 */
int front_checkpoint(struct front *f, struct overlay *o, uint64_t epoch,
                     struct xlc_error *err);

/**
 * front_keep_overlay() - what a copy left behind that a former process served
 * @o: from overlay_open(), over the store's newest epoch
 *
 * The front is OVERLAY; front_takeover() comes next.
 */
int front_keep_overlay(struct front *f, struct overlay *o,
                       struct xlc_error *err);

/* No copy runs here any more: CLOSED. None of its requests is in flight. */
int front_shut(struct front *f, struct xlc_error *err);

/**
 * front_takeover() - the guest on this host is the guest from now on
 * @generation: of the new history
 *
 * In Remus mode the image at the newest accepted epoch; in COLO mode with what
 * the second copy wrote, if it runs from that epoch. On return DIRECT or
 * MERGING. After an error the mode is as before.
 */
int front_takeover(struct front *f, uint64_t generation,
                   struct xlc_error *err);

/**
 * front_merge() - a piece of the merge, beside the guest's requests
 * @most: about how many octets
 *
 * Return: 1: call again; 0: done, DIRECT, and nothing needs the overlay any
 * more (the caller clears the identity's mark, then removes the files); a
 * negative errno
 */
int front_merge(struct front *f, uint64_t most, struct xlc_error *err);

#endif
