/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-devices.h - Disconnect a paused guest's backends, through xenstore
 *
 * Theory of operation
 * -------------------
 * Linux's netback and blkback disconnect and wait for a frontend again, without
 * being destroyed and without any hotplug script, when the frontend's state
 * goes to Closing (5), Closed (6) and Initialising (1) while their own "online"
 * is 1. The guest is paused, so its part is played here.
 *
 * Which devices there are, and where their backends are, is read below /libxl,
 * where the guest can't write. Of what the guest can write nothing is read,
 * except whether its "state" still is what was written here: a request that it
 * had sent before it was paused may come in between, and is written over.
 *
 * Linux's blkback says Closed although requests are under way, keeps their
 * grants until they are done, and its ring until it hears Closed once more. So
 * its word is not enough: the caller looks whether a backend is still bound to
 * the guest's event channels, and Closed is said again until none is.
 */
#ifndef XLC_INPLACE_DEVICES_H
#define XLC_INPLACE_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include <xenstore.h>

#include "error.h"

#define INPLACE_DEVICES_MAX 64u

/**
 * struct inplace_device - one vif or disk
 * @frontend, @backend: their paths in xenstore
 */
struct inplace_device {
    char frontend[80], backend[96];
};

/**
 * struct inplace_devices - of one guest
 * @xsh: a handle whose watches are ours
 * @n: of @dev
 * @stale: the list has to be read again
 * @bound: is a backend bound to an event channel of the guest's? 1, 0, or a
 *         negative errno; NULL: their word is enough. @opaque: its parameter
 */
struct inplace_devices {
    struct xs_handle *xsh;
    uint32_t domid;
    struct inplace_device dev[INPLACE_DEVICES_MAX];
    unsigned int n;
    bool stale;
    int (*bound)(void *opaque, struct xlc_error *err);
    void *opaque;
};

/* Watch the devices of a guest. */
int inplace_devices_open(struct inplace_devices *d, uint32_t domid,
                         struct xlc_error *err);

/**
 * inplace_devices_read() - what devices are there now?
 *
 * Return: 0; -ENOTSUP: one that can't be put back, with a sentence; another
 * negative errno
 */
int inplace_devices_read(struct inplace_devices *d, struct xlc_error *err);
void inplace_devices_close(struct inplace_devices *d);

/**
 * inplace_devices_reset() - disconnect all backends of the paused guest
 * @timeout_ms: for each of the steps
 */
int inplace_devices_reset(struct inplace_devices *d, uint32_t timeout_ms,
                          struct xlc_error *err);

/* Are all backends connected to their frontends? */
bool inplace_devices_connected(struct inplace_devices *d);

#endif
