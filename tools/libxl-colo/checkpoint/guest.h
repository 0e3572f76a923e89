/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guest.h - The running domain: look at it, suspend it, resume it, save it
 *
 * Everything of the primary that touches Xen sits behind struct guest_ops;
 * guest_xen_ops (save.c) is the real one. Tests and benchmarks have a second
 * one over plain memory.
 *
 * Suspending is done here and not by libxl_domain_suspend_only(): libxl waits
 * up to two minutes, leaves "suspend" in control/shutdown when it is aborted,
 * and follows a suspend event channel that the guest names (PLATFORM 7.4).
 * For guests without a device model (PV, PVH) libxl does nothing beyond what
 * is done here: control/shutdown, @releaseDomain, xc_domain_resume() and
 * xs_resume_domain().
 *
 * Thread: the operations are called by the checkpoint thread, guest_ended()
 * by the main thread with a handle of its own.
 */
#ifndef XLC_GUEST_H
#define XLC_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <libxl.h>
#include <xenctrl.h>
#include <xenstore.h>

#include "error.h"

struct capture;

/**
 * struct guest_ops - what the checkpoint thread does with a guest
 * @suspend: ask the guest to suspend and wait; 0, -ETIMEDOUT (the request was
 *           taken back), -ESHUTDOWN (it ended by itself), -ECANCELED (@stop),
 *           or another negative errno
 * @resume: let a suspended guest go on, as if its suspend had been cancelled;
 *          a guest that is not suspended is left alone
 * @save: stream checkpoints of the guest into @fd until a callback of @cap
 *        ends it; returns 0 if it was ended on request
 */
struct guest_ops {
    int (*suspend)(void *g, uint32_t timeout_ms, const volatile bool *stop,
                   struct xlc_error *err);
    int (*resume)(void *g, struct xlc_error *err);
    int (*save)(void *g, int fd, struct capture *cap, struct xlc_error *err);
};

extern const struct guest_ops guest_xen_ops;

/**
 * struct guest - a domain and the handles to it
 * @domid, @uuid, @name, @hvm: who it is; @hvm: PVH or HVM (HAP log-dirty)
 */
struct guest {
    uint32_t domid;
    char uuid[37];
    uint8_t uuid_raw[16];
    char *name;
    bool hvm;
    xc_interface *xch;
    struct xs_handle *xsh;
    char path[48]; /* "/local/domain/N" */
};

/**
 * guest_open() - handles to a domain, for one thread
 * @ctx: names it, and is not kept
 * @spec: name, domid or uuid
 */
int guest_open(struct guest *g, libxl_ctx *ctx, const char *spec,
               struct xlc_error *err);

/* The same domain again, with handles of its own (for another thread). */
int guest_clone(struct guest *g, const struct guest *of,
                struct xlc_error *err);

void guest_close(struct guest *g);

/**
 * guest_state() - what the hypervisor says
 *
 * Return: 0 it runs (or is paused or blocked); 1 it is suspended; otherwise
 * a negative number: minus the enum proto_reason for which it ended
 * (-PROTO_WHY_DESTROYED: there is no such domain any more)
 */
int guest_state(struct guest *g);

/* Watch @releaseDomain; guest_watch_fd() is readable when guest_state() may
 * have changed, guest_watch_drain() empties it. */
int guest_watch(struct guest *g, struct xlc_error *err);
int guest_watch_fd(struct guest *g);
void guest_watch_drain(struct guest *g);

/* The first two of guest_ops, for the running domain; @opaque is the struct
 * guest. */
int guest_suspend(void *opaque, uint32_t timeout_ms,
                  const volatile bool *stop, struct xlc_error *err);
int guest_resume(void *opaque, struct xlc_error *err);

/**
 * guest_clean() - after a capture that was cut off (a killed worker)
 * @asked: a suspend may have been under way; then this may take ten seconds
 *
 * Takes a pending suspend request back, resumes the guest if it suspended,
 * and switches log-dirty off. Idempotent (PLATFORM 7.9).
 */
int guest_clean(struct guest *g, bool asked, struct xlc_error *err);

/* Ask the guest to shut down or reboot, as `xl shutdown|reboot` does. */
int guest_ask(struct guest *g, const char *what, struct xlc_error *err);

#endif
