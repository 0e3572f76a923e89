/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf-lock.h - Whose buffer it is: one lock file for each domain
 *
 * XLC_RUNDIR/netbuf-<domid>.lock, flock()ed by the process that set the
 * buffer up or attached to it. The lock dies with that process (and with
 * children that it forked without exec: the descriptor is close-on-exec).
 */
#ifndef XLC_NETBUF_LOCK_H
#define XLC_NETBUF_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#ifndef XLC_RUNDIR
#define XLC_RUNDIR "/run/xl-colo"
#endif

/**
 * netbuf_lock_take() - become the owner
 * @fd_r: close it to give the lock up
 *
 * Tries for up to half a second: a child that a killed owner left may be on
 * its way to exec, and somebody may just be asking netbuf_owner_alive().
 *
 * Return: 0; -EBUSY if there is an owner; another negative errno
 */
int netbuf_lock_take(uint32_t domid, int *fd_r, struct xlc_error *err);

/* Remove the file of a lock that is held: nothing is left to own. */
void netbuf_lock_remove(uint32_t domid);

/* Does a process own this domain's buffer? Without permission to ask: yes. */
bool netbuf_owner_alive(uint32_t domid);

#endif
