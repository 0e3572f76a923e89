/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-xen.h - inplace_ops over the real Xen
 *
 * PVH guests only. A PV guest can't be reset in place (the hypervisor refuses,
 * and its page tables are pinned), and the device model of an HVM guest can't
 * load a state once it has run: both are refused with a sentence.
 *
 * Thread: one; it has its own handles.
 */
#ifndef XLC_INPLACE_XEN_H
#define XLC_INPLACE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "inplace.h"

struct inplace_xen;

extern const struct inplace_ops inplace_xen_ops;

/**
 * inplace_xen_open() - handles to a domain that will be put back
 * @log: switch log-dirty on, and off at the close. False only for a domain
 *       of which somebody else already keeps a log
 *
 * The domain must be what the image is: paused where its restore ended, or at
 * a checkpoint. Everything that it writes from now on is in its log.
 *
 * Return: 0; -ENOTSUP with a sentence; another negative errno
 */
int inplace_xen_open(struct inplace_xen **x_r, uint32_t domid, bool log,
                     struct xlc_error *err);

/**
 * inplace_xen_held() - the domain is paused where its restore ended
 *
 * It never ran, its devices have not been connected, and the operation @go is
 * what lets it run. For inplace_held().
 */
void inplace_xen_held(struct inplace_xen *x);

/* Is it not paused, though nobody here has let it go? */
bool inplace_xen_runs(struct inplace_xen *x);

/**
 * inplace_xen_look() - what has become of a domain that was let go?
 *
 * Return: one of enum inplace_xen_seen; -ENOENT: there is none any more
 */
enum inplace_xen_seen {
    INPLACE_XEN_RUNNING,
    INPLACE_XEN_PAUSED, /* by somebody else */
    INPLACE_XEN_DEAD, /* it crashed, is off, or wants to reboot */
};
int inplace_xen_look(struct inplace_xen *x, struct xlc_error *err);

/* The domain keeps its state; one that is quiet stays paused. NULL is
 * allowed. */
void inplace_xen_close(struct inplace_xen *x);

/**
 * inplace_xen_clock() - the guest's wall clock, when it is let go the next time
 * @offset_s: seconds that it is ahead of this host's
 *
 * So that the copy's clock is the primary's (RULES C3). Xen knows whole
 * seconds. A note in xenstore says so to whoever protects this guest later
 * (clocknote.h).
 */
void inplace_xen_clock(struct inplace_xen *x, int32_t offset_s);

/* How long a backend may take for one step; 5000 at first. */
void inplace_xen_timeout(struct inplace_xen *x, uint32_t ms);

/* Has the guest connected all its devices? */
bool inplace_xen_connected(struct inplace_xen *x);

#endif
