/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plane-tc.h - The filters that the packet plane is made of, as netlink
 *
 * Only for plane.c. Requests return 0 or the kernel's negative errno;
 * tc_why() has its words.
 */
#ifndef XLC_PLANE_TC_H
#define XLC_PLANE_TC_H

#include <stdbool.h>
#include <stdint.h>

#include "tc.h"

/* enum plane_match - which packets a filter takes */
enum plane_match {
    PLANE_ALL,  /* matchall, with @handle as its own number */
    PLANE_MARK, /* fw: those whose mark is @handle */
};

/**
 * struct plane_filter - one filter
 * @dev: interface it is on
 * @egress: what leaves @dev, not what it receives
 * @prio: the lower comes first
 * @match: which packets
 * @handle: see @match
 * @mark: set on the packet before it moves; 0 leaves it
 * @target: interface that the packet moves to; 0: it passes, and no filter
 *          behind this one sees it
 * @drop: neither, it is dropped
 * @into: @target receives the packet; else @target sends it
 */
struct plane_filter {
    int dev;
    bool egress;
    uint16_t prio;
    enum plane_match match;
    uint32_t handle;
    uint32_t mark;
    int target;
    bool into, drop;
};

/* -EEXIST if there is one of that priority and handle. */
int plane_tc_add(struct tc *tc, const struct plane_filter *f);

/* Only a filter of this kind, priority and handle; -ENOENT if none. */
int plane_tc_del(struct tc *tc, const struct plane_filter *f);

/* How many packets may wait in @ifindex. */
int plane_tc_txqlen(struct tc *tc, int ifindex, uint32_t packets);

#endif
