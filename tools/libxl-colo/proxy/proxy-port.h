/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proxy-port.h - What a proxy reads from and writes to, for one vif */
#ifndef XLC_PROXY_PORT_H
#define XLC_PROXY_PORT_H

#include "plane.h"

/* Frames that are moved in one direction before others get their turn. */
#define PROXY_BATCH 64u

/**
 * struct proxy_port - four ends of one vif: TAPs, not owned
 * @out_rd: what the guest sends is read from here
 * @out_wr: what may leave is written here; -1: nothing ever leaves
 * @in_rd: what is for the guest is read from here; -1: comes another way
 * @in_wr: the guest is given what is written here
 *
 * An end may be the same descriptor as another.
 */
struct proxy_port {
    int out_rd, out_wr;
    int in_rd, in_wr;
};

/* The ends of a vif on @plane. */
static inline struct proxy_port proxy_port_of(const struct plane *plane)
{
    return (struct proxy_port){
        .out_rd = plane->out.fd,
        .out_wr = plane->out.fd,
        .in_rd = plane->in.fd,
        .in_wr = plane->in.fd,
    };
}

#endif
