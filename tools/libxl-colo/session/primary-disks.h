/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-disks.h - The primary's mirrored disks, in the order of the calls
 *
 * primary-disks.c has the theory of operation. Where nothing else is said a
 * function returns 0 or a negative errno.
 */
#ifndef XLC_PRIMARY_DISKS_H
#define XLC_PRIMARY_DISKS_H

#include <stdint.h>

#include "error.h"

struct conn;
struct primary;

/* Those of the guest, and their plugins. Before the other host is asked. */
int primary_disks_find(struct primary *p, struct xlc_error *err);

/* Boot: tell the other host. */
int primary_disks_say(struct primary *p, struct xlc_error *err);

/* Give disk @i its connection, which is taken over. */
int primary_disks_relay(struct primary *p, unsigned int i, struct conn *c,
                        struct xlc_error *err);

/* Checkpoint thread: wait until the copies are equal. -ECANCELED: stopped */
int primary_disks_sync(struct primary *p, struct xlc_error *err);

/* Checkpoint thread, the guest is suspended: the session's epoch @n ends. */
int primary_disks_mark(struct primary *p, uint64_t n, struct xlc_error *err);

/* Main thread, from time to time: did one lose its mirror? */
void primary_disks_check(struct primary *p);

/* The guest has ended by itself; with the lock held. */
void primary_disks_last(struct primary *p);

/* The checkpoint thread is to end, whatever it waits for. */
void primary_disks_hurry(struct primary *p);

/* Over: the plugins go on alone. */
void primary_disks_end(struct primary *p);

/* After that, and after the farewell: may the other host have something newer
 * than our images? */
void primary_disks_claim(struct primary *p);

/* Octets that went to the other host. */
uint64_t primary_disks_moved(const struct primary *p);

/* Of the first copy, over all disks, in percent; -1: not known. */
int primary_disks_percent(struct primary *p);

#endif
