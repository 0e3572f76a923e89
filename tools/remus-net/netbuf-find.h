/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf-find.h - What of network buffers there is in the kernel
 *
 * Between netbuf.c and netbuf-find.c; others use netbuf.h.
 */
#ifndef XLC_NETBUF_FIND_H
#define XLC_NETBUF_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include <net/if.h>

#include "netbuf-name.h"
#include "netbuf.h"
#include "tc.h"

/* What the plug of a port is known to do. */
enum plug_state {
    PLUG_UNKNOWN, /* another process left it */
    PLUG_OPEN,
    PLUG_HOLDING, /* an epoch is collected, none is closed */
    PLUG_CLOSED,  /* one is closed, the next is collected */
};

/* Who made the clsact qdisc of the vif. */
enum clsact_owner {
    CLSACT_UNKNOWN,
    CLSACT_OURS,
    CLSACT_OTHERS,
};

/**
 * struct port - one interface under protection
 * @id: which one
 * @vif: its interface in dom0; empty if no filter of ours is on any
 * @ifb: the ifb device's name, whether there is one or not
 * @vif_index: of @vif; 0 if there is none
 * @ifb_index: of @ifb; 0 if there is none
 * @state: what its plug does
 * @clsact: who made the vif's clsact
 * @muted: the vif's packets are dropped in front of the buffer
 * @down: the ifb is down or gone: it holds nothing, and nothing passes
 * @queue: what the plug holds; from the last look at it
 * @received: packets that the vif had received at netbuf_settle()'s last look
 */
struct port {
    struct netbuf_port id;
    char vif[IFNAMSIZ];
    char ifb[IFNAMSIZ];
    int vif_index;
    int ifb_index;
    enum plug_state state;
    enum clsact_owner clsact;
    bool muted;
    bool down;
    struct tc_queue queue;
    uint64_t received;
};

/**
 * struct ports - what netbuf_find() found; @at is released by the caller
 */
struct ports {
    struct port *at;
    unsigned int n;
};

/**
 * netbuf_find() - all ports that have a part of ours in the kernel
 * @domid: only of this domain; NULL for every one
 * @found: starts as { NULL, 0 }
 *
 * Return: 0 or a negative errno; @found holds nothing then
 */
int netbuf_find(struct tc *tc, const uint32_t *domid, struct ports *found,
                struct xlc_error *err);

/* @port as netbuf_stat() and netbuf_scan() show it. */
void netbuf_port_stat(const struct port *port, struct netbuf_stat *out);

#endif
