/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-join.h - A second failover: an older table goes on in a newer one
 *
 * RULES B4. After a failover the survivor's table translates between the
 * network and its guest. When that guest is protected again, its table travels
 * with the checkpoints, and the new copy has a table of its own, between the
 * numbers of that guest and those of the copy. If the copy takes over, both
 * are put together: from the network to the copy.
 */
#ifndef XLC_REWRITE_JOIN_H
#define XLC_REWRITE_JOIN_H

#include "rewrite.h"

/**
 * rewrite_join() - @r goes on with what @older translates
 * @r: the copy's, just before its rewrite_failover()
 * @older: as it came with the newest checkpoint, in the state after a failover;
 *         unchanged
 *
 * A connection that @r has seen beginning on the ports of an older one is
 * @r's alone.
 *
 * Return: how many found no room in @r, and will break
 */
uint32_t rewrite_join(struct rewrite *r, const struct rewrite *older,
                      uint64_t now);

#endif
