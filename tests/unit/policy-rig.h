/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy-rig.h - A policy, and a checkpoint of it, for the tests of both */
#ifndef POLICY_RIG_H
#define POLICY_RIG_H

#include "policy.h"

#define MS 1000ull
#define S  1000000ull

static inline struct policy fresh(enum policy_wish wish)
{
    struct policy_set set;
    struct policy p;

    policy_set_init(&set);
    set.wish = wish;
    policy_init(&p, &set, true, 0);
    return p;
}

/* A checkpoint at @at that pauses for 10 ms and commits 10 ms later. */
static inline enum policy_why checkpoint(struct policy *p, uint64_t at)
{
    enum policy_why why;

    policy_suspend(p, at);
    why = policy_cut(p, at + 10 * MS);
    policy_committed(p, at + 20 * MS);
    return why;
}

#endif
