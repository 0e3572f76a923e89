/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tc.h - The few rtnetlink requests that the network buffer is made of
 *
 * One connected socket, one request at a time, each waited for until the
 * kernel acknowledged it. A request returns 0 or the kernel's negative errno;
 * tc_why() gives the words that go with the last failure.
 */
#ifndef XLC_TC_H
#define XLC_TC_H

#include <stdbool.h>
#include <stdint.h>

#include <net/if.h>

#include "error.h"

/*
 * What dom0 spends on a held packet beside its payload: the sk_buff and the
 * head that netback allocated (measured: 1 KiB slab + 256). The plug counts
 * it for each packet (as the qdisc's size table), or a guest that sends the
 * smallest packets could take 25 times its limit of dom0's memory.
 */
#define TC_PACKET_COST 1280u

/* Our filters on a vif's ingress. The drop is in front of the copy. */
#define TC_PRIO_DROP 1u
#define TC_PRIO_HOLD 2u

#define TC_WHY_MAX 128

struct nl_sock;

struct tc {
    struct nl_sock *sk;
    char why[TC_WHY_MAX];
};

enum tc_plug {
    TC_PLUG_BUFFER,
    TC_PLUG_RELEASE_ONE,
    TC_PLUG_OPEN,
};

/**
 * struct tc_queue - a qdisc, as a dump or tc_queue_get() tells it
 * @ifindex: its interface
 * @kind: "plug", "clsact", ...
 * @packets: in the queue now
 * @bytes: in the queue now, payload only
 * @drops: since it was made
 * @sent: octets that have left it since it was made
 */
struct tc_queue {
    int ifindex;
    char kind[16];
    uint64_t packets;
    uint64_t bytes;
    uint64_t drops;
    uint64_t sent;
};

/**
 * struct tc_filter - a filter on a vif
 * @handle: as its owner chose it
 * @prio: 1 comes first
 * @matchall: of that kind
 * @target: interface that its first mirred action names; 0 if none (or gone)
 */
struct tc_filter {
    uint32_t handle;
    uint16_t prio;
    bool matchall;
    int target;
};

/**
 * struct tc_link - an interface
 * @ifindex: its number
 * @name: its name
 * @ifb: of that kind
 * @up: administratively
 */
struct tc_link {
    int ifindex;
    char name[IFNAMSIZ];
    bool ifb;
    bool up;
};

/**
 * struct tc_traffic - what went through an interface
 * @in: packets it received, without those it threw away; an ifb: that its
 *      queue gave it
 * @out: packets it sent; an ifb: that it gave back
 */
struct tc_traffic {
    uint64_t in;
    uint64_t out;
};

typedef int tc_link_fn(const struct tc_link *link, void *arg);
typedef int tc_queue_fn(const struct tc_queue *queue, void *arg);
typedef int tc_filter_fn(const struct tc_filter *filter, void *arg);

/* Make and release the socket (close-on-exec). tc_close() may be repeated. */
int tc_open(struct tc *tc, struct xlc_error *err);
void tc_close(struct tc *tc);

/**
 * tc_why() - the sentence's end for a failed request
 * @r: what the request returned
 *
 * Return: the kernel's own words if it gave some, else errno's; valid until
 * the next request
 */
const char *tc_why(struct tc *tc, int r);

/* An ifb device, down, with room for @txqlen packets on its way out. */
int tc_ifb_add(struct tc *tc, const char *name, uint32_t txqlen);
int tc_link_set_up(struct tc *tc, int ifindex, bool up);
int tc_link_del(struct tc *tc, int ifindex);
int tc_link_traffic(struct tc *tc, int ifindex, struct tc_traffic *t);

/* A plug as root of @ifindex. It is closed until TC_PLUG_OPEN. */
int tc_plug_add(struct tc *tc, int ifindex, uint32_t limit);
int tc_plug_do(struct tc *tc, int ifindex, enum tc_plug what);
int tc_queue_get(struct tc *tc, int ifindex, struct tc_queue *q);

/* -EEXIST if there is one, or an ingress qdisc, whoever made it. */
int tc_clsact_add(struct tc *tc, int ifindex);
int tc_clsact_del(struct tc *tc, int ifindex);

/* Every packet that @ifindex receives: a copy to @ifb, the packet ends. */
int tc_hold_add(struct tc *tc, int ifindex, uint32_t handle, int ifb);
/* Every packet that @ifindex receives is dropped. */
int tc_drop_add(struct tc *tc, int ifindex, uint32_t handle);
/* Only the filter with just this priority and handle. -ENOENT if none. */
int tc_filter_del(struct tc *tc, int ifindex, uint16_t prio, uint32_t handle);

/* Call @fn for each; a negative return of @fn ends it and is returned. */
int tc_each_link(struct tc *tc, tc_link_fn *fn, void *arg);
int tc_each_queue(struct tc *tc, tc_queue_fn *fn, void *arg);
int tc_each_filter(struct tc *tc, int ifindex, bool egress, tc_filter_fn *fn,
                   void *arg);

#endif
