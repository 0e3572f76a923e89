/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * announce.h - Tell the network where a domain is (RULES B7)
 *
 * A guest that goes on without having been restored says nothing by itself,
 * while bridges and switches may still send its packets to the host where its
 * copy was.
 */
#ifndef XLC_ANNOUNCE_H
#define XLC_ANNOUNCE_H

#include <stdint.h>

#include <libxl.h>

#include "error.h"

/**
 * announce_vif() - the ways to @mac lead to @ifname from here on
 * @ifname: an interface of this host, up
 * @mac: the guest's
 *
 * The interface's Linux bridge learns it, and a RARP request with that source
 * leaves all other ports of the bridge, for the switches behind them. On what
 * is on no such bridge (openvswitch, a routed vif) nothing is done. Source:
 * RFC 903; the same frame that QEMU sends after a migration.
 *
 * Return: 0; 1 if it is on no Linux bridge; a negative errno
 */
int announce_vif(const char *ifname, const uint8_t mac[6],
                 struct xlc_error *err);

/* All vifs of a domain that this host serves; and it is asked for its multicast
 * groups (groups.h). Return: 0, or the first error;
 * the others are announced all the same. */
int announce_domain(libxl_ctx *ctx, uint32_t domid, struct xlc_error *err);

#endif
