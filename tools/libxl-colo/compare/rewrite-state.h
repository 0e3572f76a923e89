/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rewrite-state.h - A flow as octets (internal; docs/rewrite.md) */
#ifndef XLC_REWRITE_STATE_H
#define XLC_REWRITE_STATE_H

#include "cursor.h"
#include "rewrite-flow.h"

#define REWRITE_STATE_FLOW 96u

/**
 * struct rewrite_saved - a flow as it is written
 * @f: all but its place in the table
 * @mark_s: how old its mark is
 */
struct rewrite_saved {
    struct rewrite_flow f;
    uint32_t mark_s;
};

/** rewrite_state_put() - REWRITE_STATE_FLOW octets of @f as it is at @now */
void rewrite_state_put(struct wcur *c, const struct rewrite_flow *f,
                       uint64_t now);

/** rewrite_state_get() - the reverse; what makes no sense sets @c->bad */
void rewrite_state_get(struct rcur *c, struct rewrite_saved *s);

/** rewrite_state_sane() - is this a state that rewrite-conn could have left? */
bool rewrite_state_sane(const struct rewrite_saved *s, bool failover);

/**
 * rewrite_state_store() - give @f, which is in the table with its key, the rest
 * @saved_at: when @s was written
 */
void rewrite_state_store(struct rewrite *r, struct rewrite_flow *f,
                         const struct rewrite_saved *s, uint64_t saved_at,
                         uint64_t now);

#endif
