/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bitmap.h - What the peer may lack: write intents, and a dirty bitmap
 *
 * RULES A6. The disk is cut into extents, each into 64 grains. Before a local
 * write its extents' intents are durable in the file; they stay until the
 * peer has said that all of it is durable there. In memory each grain is
 *   lacking  the peer was never sent it, or may have lost it
 *   sent     it was, with an epoch that is not durable there yet
 *   clean    neither
 * An orderly end saves the grains. After a crash every extent with an intent
 * is lacking as a whole; without a file, or with one that can't be trusted,
 * the whole disk is.
 *
 * Memory: at most 2^18 extents, some 7 MiB, whatever the disk's size; a grain
 * is 64 KiB up to 1 TiB, and more above.
 *
 * Threads: any number may call. @lock guards everything; it is not held over
 * I/O: one thread at a time writes and syncs for all that wait.
 */
#ifndef XLC_BITMAP_H
#define XLC_BITMAP_H

#include "diskio.h"

#define BITMAP_EXTENTS_MAX (1u << 18)
#define BITMAP_GRAIN_SHIFT 16u

struct bitmap;

/**
 * struct bitmap_key - whose bitmap it is
 * @uuid: the guest's
 * @generation: of the image's history
 * @size: of the image, octets
 */
struct bitmap_key {
    uint8_t uuid[16];
    uint64_t generation;
    uint64_t size;
};

/**
 * struct bitmap_hold - a range between bitmap_begin() and bitmap_end()
 * @off: @len: the range
 * @incarnation: which peer it was begun with
 */
struct bitmap_hold {
    uint64_t off;
    uint64_t len;
    uint64_t incarnation;
};

/**
 * struct bitmap_status - for those who show it
 * @lacking: octets, by whole grains
 * @unsafe: octets sent and not durable at the peer, by whole grains
 * @held: newest epoch that the peer holds: what releases output
 * @durable: newest epoch that the peer can't lose: what clears
 * @intents: extents with an intent
 * @syncs: how often the file was synced for an intent
 * @grain: octets
 * @extent: octets
 * @forgotten: the file could not be written, and is gone
 */
struct bitmap_status {
    uint64_t lacking;
    uint64_t unsafe;
    uint64_t held;
    uint64_t durable;
    uint64_t intents;
    uint64_t syncs;
    uint64_t grain;
    uint64_t extent;
    bool forgotten;
};

/**
 * bitmap_create() - a new file, in place of what may be there
 * @lacking: the peer lacks everything; else it has everything
 */
int bitmap_create(struct bitmap **out, const struct diskio *io,
                  const char *path, const struct bitmap_key *key,
                  bool lacking, struct xlc_error *err);

/**
 * bitmap_open() - what is known since the last time
 * @why: set to a sentence if nothing is known, and so everything is lacking;
 *       else its status is 0
 *
 * Return: 0, or the error of a file
 */
int bitmap_open(struct bitmap **out, const struct diskio *io,
                const char *path, const struct bitmap_key *key,
                struct xlc_error *why, struct xlc_error *err);

/**
 * bitmap_close() - save the grains
 *
 * What is sent and not durable is saved as lacking. @b is gone in any case;
 * after an error the intents still tell the truth. NULL is allowed.
 */
int bitmap_close(struct bitmap *b, struct xlc_error *err);

/**
 * bitmap_begin() - before a local write
 *
 * Return: 0: the intent is durable. Else it must not be written, unless
 * bitmap_forget() succeeds.
 */
int bitmap_begin(struct bitmap *b, struct bitmap_hold *h, uint64_t off,
                 uint64_t len, struct xlc_error *err);

/* A resync is about to send all of the range: from here on it no longer lacks.
 * Before the sending, whose answer may come at once and say that it does
 * after all (bitmap_add()). */
void bitmap_copying(struct bitmap *b, const struct bitmap_hold *h);

/**
 * bitmap_end() - after the write, and after it went into the peer's queue
 * @epoch: with which; 0 if it did not
 */
void bitmap_end(struct bitmap *b, const struct bitmap_hold *h,
                uint64_t epoch);

/* The peer holds, or can't lose, all epochs up to this. Never goes back.
 * Return: 0, or -EINVAL (durable and not held). */
int bitmap_held(struct bitmap *b, uint64_t epoch);
int bitmap_durable(struct bitmap *b, uint64_t epoch);

/* The image is of another history from now on, of which nobody else has
 * anything: all is lacking. */
int bitmap_renew(struct bitmap *b, uint64_t generation, struct xlc_error *err);

/* The peer is gone: what is not durable there is lacking. */
void bitmap_lost(struct bitmap *b);

/* A range, or everything, is lacking: the other host's marks. Durable only
 * after bitmap_flush(). */
void bitmap_add(struct bitmap *b, uint64_t off, uint64_t len);
void bitmap_add_all(struct bitmap *b);
int bitmap_flush(struct bitmap *b, struct xlc_error *err);

/**
 * bitmap_next() - the next range that is lacking
 * @off: where to begin; set to the range's begin
 * @len: set to its length, at most one extent
 *
 * Return: false if there is none
 */
bool bitmap_next(struct bitmap *b, uint64_t *off, uint64_t *len);

/* Clear intents of extents that were clean now and at the last call: from
 * time to time, not at once, or each write would pay again. */
int bitmap_clean(struct bitmap *b, struct xlc_error *err);

/**
 * bitmap_forget() - the file can't be written: make it vanish, durably
 *
 * From then on everything would be compared after a crash, and writes go on.
 */
int bitmap_forget(struct bitmap *b, struct xlc_error *err);

void bitmap_status(struct bitmap *b, struct bitmap_status *st);

#endif
