/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bridge.h - Take an interface off its bridge, and bring it back
 *
 * Down and off: what has a bridge of its own kind (openvswitch) is at least
 * down. Both are idempotent.
 */
#ifndef XLC_BRIDGE_H
#define XLC_BRIDGE_H

#include "error.h"

/* Take @ifname down, and off whatever bridge it is on. */
int bridge_leave(const char *ifname, struct xlc_error *err);

/**
 * bridge_join() - the way back
 * @bridge: where it belongs; NULL or empty: it is brought up where it is
 */
int bridge_join(const char *ifname, const char *bridge,
                struct xlc_error *err);

#endif
