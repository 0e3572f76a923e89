/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * relay.h - A disk's stream between its plugin and the other host
 *
 * Theory of operation
 * -------------------
 * The plugin gets one end of a socket pair, a thread of ours carries octets
 * between the other end and an authenticated connection, both ways, through
 * two buffers of fixed size. It reads only what it has room for, so that who
 * is slow is felt by who sends: the plugin knows what to do then (RULES A8).
 *
 * The end of either side is the end of the relay: what was read before it
 * still goes out, for a short while, because a plugin says why it ends. Then
 * both are closed, which is how the plugin and the other host learn it.
 */
#ifndef XLC_RELAY_H
#define XLC_RELAY_H

#include <stdint.h>

#include "conn.h"

struct relay;

/**
 * relay_ended_fn - the relay is over; called once, on its thread
 * @why: a sentence; not called at all if relay_stop() ended it
 */
typedef void relay_ended_fn(void *opaque, const char *why);

/**
 * relay_start() - begin
 * @c: attached, non-blocking; taken over, whatever happens
 * @plugin_r: the end for the plugin, the caller's to send and to close
 */
int relay_start(struct relay **r_r, struct conn *c, int *plugin_r,
                relay_ended_fn *ended, void *opaque, struct xlc_error *err);

/* End it at once, wait for its thread, free it. NULL is allowed. */
void relay_stop(struct relay *r);

/* Octets that went to, and came from, the other host. */
uint64_t relay_out(const struct relay *r);
uint64_t relay_in(const struct relay *r);

#endif
