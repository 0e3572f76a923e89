/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * capture.h - Epoch after epoch out of a running guest
 *
 * Theory of operation
 * -------------------
 * One thread, the checkpoint thread, sits inside guest_ops.save (for Xen:
 * xc_domain_save() of a Remus stream) for the whole protection. Its call-backs
 * come here, in this order:
 *
 *   capture_precopy()     during the first copy: shall it go on?
 *   capture_suspend()     the stage is told to hold; the guest suspends
 *   ...                   libxc writes the dirty pages and the machine state
 *   capture_postcopy()    hooks->cut(): output is closed; the guest resumes
 *   capture_checkpoint()  the staged epoch is sent, hooks->whole() waits for
 *                         the acknowledgement, hooks->next() for the trigger
 *
 * The time between capture_suspend() and the end of capture_postcopy() is
 * the guest's pause. Nothing in it waits for the network, unless the stage
 * overflows its limit.
 */
#ifndef XLC_CAPTURE_H
#define XLC_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "guest.h"
#include "stage.h"

/* What a cut says about the guest. */
enum capture_after {
    CAPTURE_RESUME,
    CAPTURE_LEAVE, /* it stays suspended */
};

/**
 * struct capture_hooks - what the session does at the steps of an epoch
 * @progress: first copy: pass @iteration, @written pages so far, @dirty pages
 *            still to send (-1 unknown)
 * @asked: from now on the guest may be suspended, or not any more
 * @cut: epoch @n is captured; close its output; says what becomes of the
 *       guest; a negative errno ends the capture, and the guest is resumed
 * @whole: epoch @n has been given to the sink: finish sending it and wait
 *         until it is acknowledged; negative ends the capture
 * @next: wait for the next checkpoint's turn; negative ends the capture
 */
struct capture_hooks {
    void (*progress)(void *opaque, unsigned int iteration, uint64_t written,
                     int64_t dirty);
    void (*asked)(void *opaque, bool asked);
    int (*cut)(void *opaque, uint64_t n, enum capture_after *after_r,
               struct xlc_error *err);
    int (*whole)(void *opaque, uint64_t n, struct xlc_error *err);
    int (*next)(void *opaque, struct xlc_error *err);
};

/**
 * struct capture_times - of one epoch, microseconds
 * @suspend: from the request until the guest was suspended
 * @capture: from there until libxc had written everything
 * @resume: from there until the guest ran again
 * @pause: all three: how long the guest did not run, as seen from dom0
 * @transfer: sending what was staged
 * @ack: from there until it was acknowledged
 */
struct capture_times {
    uint64_t suspend, capture, resume, pause, transfer, ack;
};

/**
 * struct capture - filled in by the caller up to @opaque
 * @ops, @guest: the guest
 * @stage: where libxc writes
 * @suspend_ms: how long a suspend may take
 * @stop: set by anyone: end as soon as possible
 * @epoch: number of the epoch that is being made, from 1
 * @suspended: the guest is suspended and nobody has decided on it yet
 * @times, @bytes: of the newest whole epoch
 * @err: what ended it
 */
struct capture {
    const struct guest_ops *ops;
    void *guest;
    struct stage *stage;
    uint32_t suspend_ms;
    volatile bool *stop;
    const struct capture_hooks *hooks;
    void *opaque;

    uint64_t epoch;
    bool suspended;
    uint64_t t_asked, t_suspended, t_captured;
    uint64_t total_before;
    struct capture_times times;
    uint64_t bytes;
    struct xlc_error err;
};

/**
 * capture_run() - protect until something ends it
 *
 * Return: 0 if it was ended on request (a hook said -ECANCELED, or @stop);
 * otherwise what went wrong, also in @c->err. The guest is resumed, unless
 * @hooks->cut said CAPTURE_LEAVE.
 */
int capture_run(struct capture *c);

/* For guest_ops.save: 1 go on, 0 end. */
int capture_precopy(struct capture *c, unsigned int iteration,
                    uint64_t written, int64_t dirty);
int capture_suspend(struct capture *c);
int capture_postcopy(struct capture *c);
int capture_checkpoint(struct capture *c);

#endif
