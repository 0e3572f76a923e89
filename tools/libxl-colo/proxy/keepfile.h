/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keepfile.h - Memory that outlives a process: the rewriters' tables
 *
 * A memfd that a guard makes before it forks whoever writes to it. One part
 * for each vif's rewriter (rewrite-keep.h); it takes memory only where it was
 * written to.
 */
#ifndef XLC_KEEPFILE_H
#define XLC_KEEPFILE_H

#include <stddef.h>

#include "error.h"

/* Octets of a part: room for all flows of a rewriter (rewrite_keep_room()). */
#define KEEPFILE_PART ((size_t)32 << 20)

/** struct keepfile - @fd: of the memfd, close-on-exec; 0: there is none */
struct keepfile {
    int fd;
};

/* With room for WIRE_VIFS_MAX parts. */
int keepfile_new(struct keepfile *k, struct xlc_error *err);

/* It stays with whoever else has it. May be repeated. */
void keepfile_close(struct keepfile *k);

/**
 * keepfile_map() - a part of it
 * @need: octets that will be written to: they are reserved now, since a lack
 *        of memory later could not be told in words; 0: those that are there
 * @mem_r: KEEPFILE_PART octets, for keepfile_unmap()
 */
int keepfile_map(const struct keepfile *k, unsigned int part, size_t need,
                 void **mem_r, struct xlc_error *err);

/* NULL is allowed. */
void keepfile_unmap(void *mem);

#endif
