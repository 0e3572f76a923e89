/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * colo-secondary.h - The secondary's copy is a domain, not a waiting restore
 *
 * Theory of operation
 * -------------------
 * svm.h over the real Xen, for a protection whose primary asks for it
 * (PROTO_CAP_COLO). libxl restores the first epoch to its end: a domain
 * X--colo, paused. Its disks and vifs are attached at once; the vifs leave
 * their bridge before anything else happens (RULES A9). Every later epoch puts
 * it back in place. A failover brings the vifs to their bridge and lets it go.
 *
 * If packets are compared (PROTO_CAP_PROXY) the copy runs from each epoch of
 * which the primary's proxy says so, until the next one counts; of the others
 * it stays paused. Nobody watches it meanwhile: what it does to itself (it
 * halts, it crashes) ends with the next epoch. A failover finds it running and
 * leaves it so. If it has halted by itself, it is put back if nobody can have
 * heard it since the epoch, and its disks were not taken over; else the
 * failover fails if the primary waits for it, and without one, so has the
 * guest.
 *
 * Threads: feed, check, apply and turn are the data thread's; ready, go,
 * release and beside the work thread's, after the data thread has ended; the
 * others anybody's.
 */
#ifndef XLC_COLO_SECONDARY_H
#define XLC_COLO_SECONDARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "json.h"

struct secondary;
struct colo_secondary;

/**
 * colo_secondary_new() - for @s, whose restore has just begun
 *
 * Return: 0; -EPERM, -ENOMEM: not this guest, or not on this host, with a
 * sentence
 */
int colo_secondary_new(struct colo_secondary **c_r, struct secondary *s,
                       struct xlc_error *err);

/* NULL is allowed. The domain stays as it is. */
void colo_secondary_free(struct colo_secondary *c);

int colo_secondary_feed(struct colo_secondary *c, const uint8_t *data,
                        size_t len, struct xlc_error *err);

/* Before the epoch is told to the machine, and so acknowledged. */
int colo_secondary_check(struct colo_secondary *c, struct xlc_error *err);

/**
 * colo_secondary_apply() - epoch @n counts
 *
 * @final: the last one of a planned failover: the copy waits
 *
 * Of epoch 1 the restore has taken in all. Return: 0; -ECANCELED: the machine
 * has left PAIRED, and whoever opens the copy brings it up to date
 */
int colo_secondary_apply(struct colo_secondary *c, uint64_t n, bool final,
                         struct xlc_error *err);

/**
 * colo_secondary_turn() - between two epochs: does the copy run, is it there?
 * @wait_ms: call it again after so long, or when secondary_proxy_wake_fd()
 *           becomes readable; -1: there is nothing to wait for
 *
 * Return: 0; -ECANCELED; -EIO: the copy is of no use any more
 */
int colo_secondary_turn(struct colo_secondary *c, int *wait_ms,
                        struct xlc_error *err);

/* The end of the restore was asked for: it is not the end of the copy. */
bool colo_secondary_finishing(struct colo_secondary *c);

/* Up to date, its vifs on their bridge. May be tried again, but for -EINTR: it
 * is dead, and nobody waits for the primary any more. */
int colo_secondary_ready(struct colo_secondary *c, struct xlc_error *err);

/* It is ready: what it wrote to its disks stays, or is nothing. Before they
 * are taken over; may be tried again. */
int colo_secondary_settle(struct colo_secondary *c, struct xlc_error *err);

/* Its first step, under the machine's lock. */
int colo_secondary_go(struct colo_secondary *c, struct xlc_error *err);

/* It runs, or will never run: nothing of ours is needed any more. */
void colo_secondary_release(struct colo_secondary *c);

/* The copy's domain, 0 if there is none yet. */
uint32_t colo_secondary_domid(struct colo_secondary *c);

/* Keys of the status. */
void colo_secondary_status(struct colo_secondary *c, struct json *j);

#endif
