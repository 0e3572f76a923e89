/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overlay.h - What a guest wrote that runs beside its original
 *
 * COLO's second copy writes here, over the image at an accepted epoch. The
 * next checkpoint drops all of it; a takeover merges it into the image.
 * RULES B3: overlay_flush() makes data and map durable, bound to the epoch it
 * lies over; a range is cleared only after the image was synced.
 *
 * Two files take turns, each a group log: while the image is durable only at
 * the epoch before, the overlay of that epoch must not be lost either.
 *
 * Threads: any number may read, write and flush at the same time.
 * overlay_start() and overlay_close() need all requests to have ended.
 * @lock guards everything but the sync of a file.
 */
#ifndef XLC_OVERLAY_H
#define XLC_OVERLAY_H

#include "extmap.h"
#include "grouplog.h"

#include <pthread.h>

/* What is gathered in memory before it goes to the file. */
#define OVERLAY_TAIL    (2u << 20)
#define OVERLAY_ENTRIES 4096u

/**
 * struct overlay_opts - see struct store_opts
 * @io: how to reach files
 * @dir: the state folder
 * @name: prefix of the files' names
 * @limit: octets of one file
 */
struct overlay_opts {
    const struct diskio *io;
    const char *dir;
    const char *name;
    uint64_t limit;
};

#define OVERLAY_LIMIT (4ull << 30)

struct overlay;

/* Two empty files, bound to nothing: overlay_start() comes next. */
int overlay_create(struct overlay **out, const struct overlay_opts *o,
                   struct xlc_error *err);

/**
 * overlay_open() - what was durable of the overlay over @to
 *
 * Return: 0; -ENOENT if there is none that is bound to it
 */
int overlay_open(struct overlay **out, const struct overlay_opts *o,
                 const struct grouplog_binding *to, struct xlc_error *err);
void overlay_close(struct overlay *o);

/**
 * overlay_start() - drop everything; it lies over another epoch from now on
 * @durable: newest epoch at which the image survives a power cut
 *
 * Return: 0; -EBUSY if the epoch that it lay over until now is not durable;
 * an I/O error. After an error it holds nothing and takes nothing.
 */
int overlay_start(struct overlay *o, const struct grouplog_binding *to,
                  uint64_t durable, struct xlc_error *err);

/* What it lies over; 0 if it holds nothing and takes nothing. */
uint64_t overlay_epoch(struct overlay *o);

/**
 * overlay_write() - one write; without @buf zeroes
 *
 * Return: 0; -ENOBUFS: full, nothing was taken, a checkpoint empties it;
 * another negative errno
 */
int overlay_write(struct overlay *o, const void *buf, uint64_t len,
                  uint64_t off, struct xlc_error *err);

/**
 * overlay_run() - what is at @off: ours, or a hole?
 * @len: octets asked for; set to those that are alike
 */
bool overlay_run(struct overlay *o, uint64_t off, uint64_t *len);

/**
 * overlay_read() - from @off on, as much as is alike
 * @done: set to the octets that were read, or that are a hole
 *
 * Return: 1 if they were read, 0 if they are a hole, a negative errno
 */
int overlay_read(struct overlay *o, void *buf, size_t len, uint64_t off,
                 size_t *done, struct xlc_error *err);

/**
 * overlay_flush() - all that was written before is durable
 *
 * It only counts while the image is at the epoch that it lies over: that has
 * to be durable too. A failed sync is final.
 */
int overlay_flush(struct overlay *o, struct xlc_error *err);

/* Octets that it takes of @limit, in its file and in memory. */
uint64_t overlay_used(struct overlay *o);

/* The first range at or after @off. Return: false if there is none. */
bool overlay_next(struct overlay *o, uint64_t off, struct extent *x);

/**
 * overlay_clear() - the image has this range now, durably
 *
 * overlay_flush() must follow before the image's range is written again: or
 * the old data would come back after a crash.
 */
int overlay_clear(struct overlay *o, uint64_t off, uint64_t len,
                  struct xlc_error *err);

/* Remove the files of @o, which has been closed. */
int overlay_remove(const struct overlay_opts *o, struct xlc_error *err);

#endif
