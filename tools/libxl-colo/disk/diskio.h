/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * diskio.h - Every file operation of the block mirror, behind one table
 *
 * The table has one implementation for the world (diskio_real) and one for
 * tests, which fails or loses power at a call of the test's choice. Nothing
 * else in this folder makes a system call on a file, so that what a test cuts
 * is all that can be cut.
 *
 * Members of the table return 0 (or a length) or a negative errno; they may
 * be called from several threads at once.
 */
#ifndef XLC_DISKIO_H
#define XLC_DISKIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

#define DISKIO_PATH_MAX 1024

/* How to open: combined with |. Without any: must exist, read and write. */
#define DISKIO_CREATE   1u /* make it if it is missing */
#define DISKIO_TRUNCATE 2u /* make it empty */
#define DISKIO_TEMP     4u /* @path is a folder: a file without a name in it */
#define DISKIO_READONLY 8u

/**
 * struct diskio_ops - what the block mirror asks of a file system
 * @open: a descriptor, or a negative errno
 * @close: never fails
 * @pread: octets read, 0 at the end
 * @pwrite: octets written, at least 1
 * @sync: data, and what is needed to read it again, is durable
 * @zero: the range reads as zeroes, inside the file's size; @punch: space may
 *        be given back. -EOPNOTSUPP: not here, write zeroes instead
 * @size: of a file or a block device
 * @resize: cut a file, or make it longer with zeroes
 * @rename: atomic
 * @unlink: -ENOENT if there is none
 * @syncdir: names in this folder are durable
 */
struct diskio_ops {
    int (*open)(void *ctx, const char *path, unsigned int how);
    void (*close)(void *ctx, int fd);
    ssize_t (*pread)(void *ctx, int fd, void *buf, size_t len, uint64_t off);
    ssize_t (*pwrite)(void *ctx, int fd, const void *buf, size_t len,
                      uint64_t off);
    int (*sync)(void *ctx, int fd);
    int (*zero)(void *ctx, int fd, uint64_t off, uint64_t len, bool punch);
    int (*size)(void *ctx, int fd, uint64_t *size);
    int (*resize)(void *ctx, int fd, uint64_t size);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *path);
    int (*syncdir)(void *ctx, const char *path);
};

/**
 * struct diskio - a table and what it works on
 * @ops: the table
 * @ctx: first parameter of each member
 */
struct diskio {
    const struct diskio_ops *ops;
    void *ctx;
};

extern const struct diskio diskio_real;

/* A descriptor, or a negative errno with a sentence that names @path. */
int diskio_open(const struct diskio *io, const char *path, unsigned int how,
                struct xlc_error *err);

/* Closes *@fd if it is one, and makes it -1. */
void diskio_close(const struct diskio *io, int *fd);

/**
 * diskio_read() - all of a range
 *
 * Return: 0; -ENODATA if the file ends before; another negative errno
 */
int diskio_read(const struct diskio *io, int fd, void *buf, size_t len,
                uint64_t off);

/* All of a range, or a negative errno (then any part may be written). */
int diskio_write(const struct diskio *io, int fd, const void *buf, size_t len,
                 uint64_t off);

/* Zeroes, by whatever way the file offers. */
int diskio_zero(const struct diskio *io, int fd, uint64_t off, uint64_t len,
                bool punch);

/**
 * diskio_replace() - put a new file in the place of an old one, durably
 * @path: reads as the old or as the new content after a crash, never else
 *
 * On an error either may be there.
 */
int diskio_replace(const struct diskio *io, const char *path, const void *buf,
                   size_t len, struct xlc_error *err);

/* Make the name of @path durable: fsync of the folder that holds it. */
int diskio_sync_parent(const struct diskio *io, const char *path,
                       struct xlc_error *err);

/**
 * diskio_load() - a whole small file
 * @buf: room for @max octets
 * @len: set to its length
 *
 * Return: 0, -ENOENT (without a sentence), -EFBIG, another negative errno
 */
int diskio_load(const struct diskio *io, const char *path, void *buf,
                size_t max, size_t *len, struct xlc_error *err);

#endif
