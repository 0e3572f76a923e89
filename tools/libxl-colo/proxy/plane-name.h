/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plane-name.h - How the packet plane's parts are called
 *
 * Pure functions. A vif's TAPs are found by its name alone, so that whatever
 * a killed process left behind can be removed by somebody who knows nothing
 * but the vif: "xo" (out of the guest) and "xi" (into it) take the place of
 * "vif", and an "e" that of "-emu".
 */
#ifndef XLC_PLANE_NAME_H
#define XLC_PLANE_NAME_H

#include <stdbool.h>

#include <net/if.h>

#include "netbuf-name.h"

/**
 * plane_port() - whose vif is it?
 * @vif: "vif<domid>.<devid>", perhaps with "-emu" behind it
 *
 * Return: 0; -EINVAL if @vif is not the name of a vif, or a number of it is
 * too large
 */
int plane_port(const char *vif, struct netbuf_port *port);

/**
 * plane_name() - the TAP of a vif
 * @name: where to
 * @vif: "vif<domid>.<devid>", perhaps with "-emu" behind it
 * @inbound: the one that leads into the guest
 *
 * Return: 0; -EINVAL as plane_port(), -ERANGE if a name is too long
 */
int plane_name(char name[IFNAMSIZ], const char *vif, bool inbound);

#endif
