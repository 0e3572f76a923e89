/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grouplog.h - A file of checksummed groups of writes: journal and overlay
 *
 * docs/specs/disk-format.md has the format. A group is a set of writes that
 * counts as a whole or not at all: its checksum covers all of it, so one sync
 * makes it durable, and there is no moment at which half of it could be taken
 * for a group. Emptying the file is one header with a new sequence number:
 * groups of older sequences mean nothing.
 *
 * No locks: the owner lets one thread at a time in; grouplog_sync() alone may
 * run beside others.
 */
#ifndef XLC_GROUPLOG_H
#define XLC_GROUPLOG_H

#include <xxhash.h>

#include "diskio.h"

/* Groups begin at multiples of this, the first behind the two headers. */
#define GROUPLOG_BLOCK  4096u
#define GROUPLOG_FIRST  (2u * GROUPLOG_BLOCK)
#define GROUPLOG_HEADER 88u
#define GROUPLOG_GROUP  72u
#define GROUPLOG_ENTRY  24u
#define GROUPLOG_GATHER (128u << 10)

enum grouplog_kind {
    GROUPLOG_JOURNAL = 1, /* a group is an accepted epoch */
    GROUPLOG_OVERLAY = 2, /* a group is what was written between two flushes */
};

enum grouplog_type {
    GROUPLOG_DATA = 1,
    GROUPLOG_ZERO = 2,
    GROUPLOG_CLEAR = 3, /* what earlier groups say of it is void */
};

/**
 * struct grouplog_entry - one write of a group
 * @type: enum grouplog_type
 * @off: first octet in the image
 * @len: octets, never 0
 * @where: position of its data in the file (GROUPLOG_DATA)
 */
struct grouplog_entry {
    uint32_t type;
    uint64_t off;
    uint64_t len;
    uint64_t where;
};

/**
 * struct grouplog_binding - what the file belongs to
 * @uuid: the guest's
 * @generation: the image's when the file was emptied
 * @epoch: what the image itself holds (journal), or what the overlay lies
 *         over
 * @size: of the image
 */
struct grouplog_binding {
    uint8_t uuid[16];
    uint64_t generation;
    uint64_t epoch;
    uint64_t size;
};

/**
 * struct grouplog - an open file; all zero but @fd = -1 is a closed one
 * @io: how to reach it
 * @path: for sentences; the owner's
 * @fd: or -1
 * @kind: enum grouplog_kind
 * @to: what it belongs to
 * @seq: sequence number of valid groups
 * @tail: where the next group begins
 * @chain: checksum of the last group, or of the header
 * @epoch: of the last group, or of the header
 * @groups: valid groups
 * @gather: GROUPLOG_GATHER octets
 * @w: the group being written
 */
struct grouplog {
    const struct diskio *io;
    const char *path;
    int fd;
    enum grouplog_kind kind;
    struct grouplog_binding to;
    uint64_t seq;
    uint64_t tail;
    uint64_t chain;
    uint64_t epoch;
    uint64_t groups;
    uint8_t *gather;
    struct {
        XXH3_state_t *hash;
        uint64_t at;      /* where the gathered octets go */
        size_t gathered;  /* octets in gather */
        uint64_t epoch;
        uint64_t data;    /* octets of data promised */
        uint32_t entries; /* entries promised */
    } w;
};

/**
 * struct grouplog_visitor - told of each valid group's writes, in order
 * @group: a group begins; may be NULL
 * @entry: one write. Either may stop the scan with an error, which
 *         grouplog_scan() returns.
 */
struct grouplog_visitor {
    int (*group)(void *ctx, uint64_t epoch, struct xlc_error *err);
    int (*entry)(void *ctx, const struct grouplog_entry *e,
                 struct xlc_error *err);
    void *ctx;
};

/**
 * grouplog_create() - a new, empty file in place of what may be there, durable
 *
 * @path must outlive @l.
 */
int grouplog_create(struct grouplog *l, const struct diskio *io,
                    const char *path, enum grouplog_kind kind,
                    const struct grouplog_binding *to,
                    struct xlc_error *err);

/**
 * grouplog_open() - an existing file: its header
 *
 * Return: 0; -ENOENT (no sentence); -EINVAL if no header is whole. Then
 * grouplog_scan() must come before anything is written.
 */
int grouplog_open(struct grouplog *l, const struct diskio *io,
                  const char *path, enum grouplog_kind kind,
                  struct xlc_error *err);

/**
 * grouplog_scan() - walk over the valid groups, and find the end
 *
 * A group that is not whole ends the walk. In a journal each group was synced
 * before the next was begun, so a group beyond one that is not whole means
 * that the medium lost what it had promised: -EUCLEAN.
 *
 * Return: 0; -EUCLEAN; -EINVAL if a whole group makes no sense; the file's or
 * the visitor's error
 */
int grouplog_scan(struct grouplog *l, const struct grouplog_visitor *v,
                  struct xlc_error *err);

void grouplog_close(struct grouplog *l);

/* Octets a group takes. */
uint64_t grouplog_group_size(uint64_t data, uint32_t entries);

/**
 * grouplog_begin() - begin a group of known size at the tail
 *
 * Then grouplog_put() all of the data, grouplog_put_entry() each entry (data
 * belongs to entries in order), grouplog_end(). If one fails, the group never
 * was, and another may be begun.
 */
int grouplog_begin(struct grouplog *l, uint64_t epoch, uint64_t data,
                   uint32_t entries);
int grouplog_put(struct grouplog *l, const void *buf, size_t len);
int grouplog_put_entry(struct grouplog *l, uint32_t type, uint64_t off,
                       uint64_t len);
int grouplog_end(struct grouplog *l);

/* What was ended is durable. */
int grouplog_sync(struct grouplog *l);

/**
 * grouplog_reset() - empty it
 * @to: what it belongs to from now on
 * @durable: the emptiness is, on return. Without: whoever writes groups must
 *           have another reason why neither the old nor the new ones count.
 */
int grouplog_reset(struct grouplog *l, const struct grouplog_binding *to,
                   bool durable, struct xlc_error *err);

#endif
