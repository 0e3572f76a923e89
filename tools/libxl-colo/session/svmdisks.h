/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * svmdisks.h - The mirrored disks of a copy that is a domain
 *
 * Theory of operation
 * -------------------
 * With --colo the copy has its disks all the time, also while the primary
 * still runs: each plugin serves it the newest epoch that counts, and under an
 * overlay what the copy has written since. So an epoch needs one more step
 * than without --colo (secondary-disks.c):
 *
 *   ACCEPT      it counts, under the lock of RULES A3. From here on the copy,
 *               if it runs, reads a mixture; but it will never be kept as it
 *               is, since what counts is newer
 *   CHECKPOINT  when the copy is paused and no backend has a request of its
 *               own under way: what it wrote is dropped
 *
 * A crash between the two leaves an overlay over an older epoch, which no
 * takeover takes. A takeover first puts a copy back that is behind, and so
 * does CHECKPOINT; then a copy that runs keeps its overlay, and one that does
 * not has none any more (svmdisks_settle()).
 *
 * The block device in domain 0 has a cache that no checkpoint empties, and
 * that nothing of the guest goes through: blkback sends its requests to the
 * device itself.
 *
 * Threads: the data thread's, then the work thread's.
 */
#ifndef XLC_SVMDISKS_H
#define XLC_SVMDISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct disks;

/**
 * svmdisks_open() - domain @domid, and no other, may have the disks
 * @n: the epoch that it is at; accepted
 */
int svmdisks_open(struct disks *d, uint32_t domid, uint64_t n,
                  struct xlc_error *err);

/**
 * svmdisks_checkpoint() - drop what the copy wrote: it is put back to @n
 *
 * Its backends are disconnected. Disks that were taken over stay as they are:
 * the copy was put back before, and has written nothing since. May be called
 * again.
 */
int svmdisks_checkpoint(struct disks *d, uint64_t n, struct xlc_error *err);

/**
 * svmdisks_settle() - before the takeover of the disks
 * @runs: the copy runs beside, and runs on
 *
 * A copy that does not has written nothing, and a takeover without an overlay
 * can be taken back.
 */
int svmdisks_settle(struct disks *d, bool runs, struct xlc_error *err);

/* Has one of them been taken over, or may it have been? */
bool svmdisks_taken(const struct disks *d);

/* The copy is gone, and what it wrote goes; of disks that were taken over
 * nothing changes. One that was asked to, and did not say that it has, is left
 * for svmdisks_forget(). May be called again. */
void svmdisks_close(struct disks *d);

/* The same for disk @i, of which it is known by now; @never: that it was not
 * taken over. */
void svmdisks_forget(struct disks *d, unsigned int i, bool never);

#endif
