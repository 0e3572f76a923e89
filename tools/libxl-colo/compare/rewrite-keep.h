/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-keep.h - After a failover: the rewriter's table, for a next process
 *
 * RULES B4: the table survives its process. It is kept in memory that another
 * process holds as well, flow by flow: whatever a frame changes is written
 * down before the frame is given back to the caller. A process that dies at
 * any instruction leaves every flow as it was before the frame that it worked
 * on, or as it was afterwards; nobody saw that frame yet. docs/rewrite.md has
 * the format.
 */
#ifndef XLC_REWRITE_KEEP_H
#define XLC_REWRITE_KEEP_H

#include "rewrite.h"

/** rewrite_keep_size() - octets that rewrite_keep() needs now */
size_t rewrite_keep_size(const struct rewrite *r);

/** rewrite_keep_room() - octets that it needs at most, with @flows flows */
size_t rewrite_keep_room(uint32_t flows);

/**
 * rewrite_keep() - from now on keep the table in @mem
 * @mem: @size octets; it must outlive @r, or the next rewrite_import()
 *
 * For after rewrite_failover(), since when no flow is added.
 *
 * Return: 0; -EINVAL: before a failover; -ENOSPC
 */
int rewrite_keep(struct rewrite *r, void *mem, size_t size,
                 struct xlc_error *err);

/**
 * rewrite_keep_recover() - take over what another rewriter kept, and go on
 * @r: of rewrite_new(), which has seen nothing
 * @mem: from rewrite_keep() of a process that is gone; from now on ours
 * @now: of the same clock as that one's
 *
 * What its process was writing when it died counts as not written.
 *
 * Return: 0; -EPROTO: that is no such table, or is damaged; -ENOSPC: more
 * flows than @r has room for. Then @r is empty, and @mem as it was
 */
int rewrite_keep_recover(struct rewrite *r, void *mem, size_t size,
                         uint64_t now, struct xlc_error *err);

#endif
