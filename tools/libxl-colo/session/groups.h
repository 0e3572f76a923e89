/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * groups.h - A guest tells anew which multicast groups it listens to (RULES B7)
 *
 * A bridge or switch that looks into IGMP and MLD sends a group only where
 * somebody has asked for it, and it was asked where the guest was before. The
 * guest does not ask again by itself: it does not know that it has moved. So
 * it is asked, as a router does it, and its answers go where everything goes
 * that it sends.
 *
 * The questions are of version 3 and 2: an older stack takes them for its own.
 * They come from no router: the IPv4 source is 0.0.0.0, which never becomes
 * one, and the IPv6 source the highest there is, so that a guest that is a
 * router itself stays it.
 */
#ifndef XLC_GROUPS_H
#define XLC_GROUPS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* Octets of the longer of the two questions. */
#define GROUPS_FRAME_MAX 90u

/**
 * groups_igmp_query(), groups_mld_query() - the question as a frame
 * @from: the source address
 *
 * To be answered within a second. Sources: RFC 3376, RFC 3810.
 *
 * Return: its octets, at most GROUPS_FRAME_MAX
 */
size_t groups_igmp_query(uint8_t frame[GROUPS_FRAME_MAX],
                         const uint8_t from[6]);
size_t groups_mld_query(uint8_t frame[GROUPS_FRAME_MAX],
                        const uint8_t from[6]);

/**
 * groups_ask() - ask whoever is behind @ifname, nobody else
 *
 * Return: 0; a negative errno
 */
int groups_ask(const char *ifname, struct xlc_error *err);

#endif
