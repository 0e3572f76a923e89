/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store.h - The secondary's disk: an image that only whole epochs change
 *
 * What the peer sends of the open epoch is kept aside. Closing an epoch only
 * draws a line. Accepting it (the session decided: this state counts) makes
 * it visible to STORE_ACCEPTED and final; committing it makes it durable in
 * the journal and applies it to the image. A crash at any octet of that leaves
 * the image, after store_open(), at one of the two epochs.
 *
 * Threads: any number may call, at the same time. Inside, in this order:
 *   @commit  one commit, promotion or synchronisation at a time; the journal,
 *            the image's identity, @durable, @failed
 *   @write   one writer at a time; the open epoch's log, @mode
 *   @lock    the list of epochs, their maps and states, @accepted; never held
 *            over I/O on the image or the journal
 */
#ifndef XLC_STORE_H
#define XLC_STORE_H

#include "grouplog.h"
#include "identity.h"
#include "layer.h"

/* Closed and not accepted epochs with writes; the session has one in flight,
 * and aborted ones wait here for the next that is accepted. */
#define STORE_CLOSED_MAX 16u

enum store_view {
    STORE_ACCEPTED, /* the image, and what was accepted */
    STORE_ALL,      /* that, what was closed, and the open epoch */
};

enum store_mode {
    STORE_INCONSISTENT, /* half a sync: only store_sync_begin() helps */
    STORE_SYNCING,      /* writes go to the image itself */
    STORE_FOLLOWING,    /* epochs */
    STORE_PROMOTED,     /* the image is a primary's */
};

/**
 * struct store_opts - what a store is about; strings are copied
 * @io: how to reach files; must outlive the store
 * @image: absolute path of a raw file or a block device
 * @dir: the state folder; exists
 * @name: of this disk, the prefix of its files' names in @dir
 * @uuid: the guest's
 * @memory_limit: @spill_limit: octets of epochs in memory, and in files
 * @journal_limit: the journal is emptied before it grows beyond this, unless
 *                 one epoch is larger
 */
struct store_opts {
    const struct diskio *io;
    const char *image;
    const char *dir;
    const char *name;
    uint8_t uuid[16];
    uint64_t memory_limit;
    uint64_t spill_limit;
    uint64_t journal_limit;
};

#define STORE_MEMORY_LIMIT  (128ull << 20)
#define STORE_SPILL_LIMIT   (4ull << 30)
#define STORE_JOURNAL_LIMIT (256ull << 20)

struct store;

/**
 * struct store_status - for those who show it
 * @mode: enum store_mode
 * @size: of the image
 * @generation: of its history
 * @accepted: newest epoch that counts
 * @durable: newest that a power cut does not take away; for bitmap_durable()
 * @kept: @limit: octets kept aside, with overhead, and the most that may be
 * @journal: octets in the journal
 * @replayed: epochs applied from the journal at the start
 * @failed: a negative errno after an error that only a new start heals
 */
struct store_status {
    enum store_mode mode;
    uint64_t size;
    uint64_t generation;
    uint64_t accepted;
    uint64_t durable;
    uint64_t kept;
    uint64_t limit;
    uint64_t journal;
    uint64_t replayed;
    int failed;
};

/**
 * store_create() - make an existing image the secondary of a guest
 * @force: even if it is known to be another guest's, or newer
 *
 * The image is not touched; it is INCONSISTENT until a sync has ended.
 * Return: 0; -EPERM, -ESTALE, -EINVAL with the reason why not
 */
int store_create(const struct store_opts *o, uint64_t generation, bool force,
                 struct xlc_error *err);

/**
 * store_open() - open a secondary, and replay its journal
 *
 * Return: 0; -ENOENT if there is no identity; -EPERM if it is not this
 * guest's secondary; -EUCLEAN if it needs a new sync; an I/O error
 */
int store_open(struct store **out, const struct store_opts *o,
               struct xlc_error *err);

/* Apply what was accepted, forget the rest, empty the journal. On an error the
 * journal still has it. @s is gone in any case; NULL is allowed. */
int store_close(struct store *s, struct xlc_error *err);

/**
 * store_write(), store_zero() - one write of the peer
 * @epoch: larger than any closed one; the open one, if one is open
 *
 * Return: 0; -ENOBUFS: back-pressure, nothing was taken, try again after a
 * commit; -EINVAL outside the image or of an epoch that is over; an error of
 * the spill file, nothing was taken
 */
int store_write(struct store *s, uint64_t epoch, const void *buf, size_t len,
                uint64_t off, struct xlc_error *err);
int store_zero(struct store *s, uint64_t epoch, uint64_t off, uint64_t len,
               struct xlc_error *err);

/**
 * store_close_epoch() - all writes of an epoch are here
 *
 * Return: 0; -EINVAL if it is over, or another is open; -ENOBUFS if too many
 * wait to be accepted
 */
int store_close_epoch(struct store *s, uint64_t epoch, struct xlc_error *err);

/* An epoch, and closed ones before it, count from now on and can't be
 * discarded. No I/O. Return: 0, or -EINVAL if @epoch was not closed. */
int store_accept(struct store *s, uint64_t epoch, struct xlc_error *err);

/**
 * store_commit() - make what was accepted durable, then apply it
 *
 * Epochs that were accepted together are one group of the journal. On an
 * error nothing is lost, and a second call tries again unless the status says
 * failed (then what the medium holds is unknown until the next store_open()).
 */
int store_commit(struct store *s, struct xlc_error *err);

/* The two halves of store_commit(): until what was accepted is durable, and
 * until the image has what is durable. */
int store_journal(struct store *s, struct xlc_error *err);
int store_apply(struct store *s, struct xlc_error *err);

/* The journal says so even if the newest epochs wrote nothing. */
int store_settle(struct store *s, struct xlc_error *err);

/* Drop the open epoch, and those that were closed and not accepted. */
void store_discard(struct store *s);

/**
 * store_promote() - the image becomes a primary's
 * @generation: of the new history, larger than the old
 * @overlay_epoch: if the SVM's overlay is to be kept, what it lies over;
 *                 it must be durable before this call; else 0
 *
 * In this order, each durable: discard, commit, the image, an empty journal,
 * the new identity (RULES A7). After an error it is still a secondary.
 */
int store_promote(struct store *s, uint64_t generation,
                  uint64_t overlay_epoch, struct xlc_error *err);

/* The overlay was merged: the identity no longer names it. */
int store_merged(struct store *s, struct xlc_error *err);

/**
 * store_sync_begin() - the image becomes the target of a sync
 *
 * Durably INCONSISTENT before this returns; then writes go to the image, in
 * the order of arrival, whatever their epoch.
 */
int store_sync_begin(struct store *s, uint64_t generation,
                     struct xlc_error *err);

/**
 * store_sync_end() - all differences, and all writes up to @epoch, are here
 *
 * Instead of store_close_epoch(). Durably consistent at @epoch on return.
 */
int store_sync_end(struct store *s, uint64_t epoch, struct xlc_error *err);

/* Return: 0, -EINVAL outside the image, or the error of a file. */
int store_read(struct store *s, enum store_view view, void *buf, size_t len,
               uint64_t off, struct xlc_error *err);

void store_status(struct store *s, struct store_status *st);

/* What an overlay over @epoch of this disk is bound to. */
void store_binding_of(struct store *s, uint64_t epoch,
                      struct grouplog_binding *to);
/* The image, for who serves it after store_promote(). */
int store_image_fd(const struct store *s);

#endif
