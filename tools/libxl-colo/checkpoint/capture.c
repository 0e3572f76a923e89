/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* capture.c - Epoch after epoch out of a running guest */
#include <config.h>

#include <errno.h>

#include "capture.h"
#include "clock.h"
#include "log.h"

/* A guest that misses one suspend request may be busy shutting down, or just
 * busy; one that misses this many is given up on. */
#define SUSPEND_TRIES 6

/* The first copy ends when few pages are left, or after some passes. */
#define PRECOPY_DIRTY_MAX 256
#define PRECOPY_PASSES    5

int capture_precopy(struct capture *c, unsigned int iteration,
                    uint64_t written, int64_t dirty)
{
    if (*c->stop) {
        xlc_error_set(&c->err, -ECANCELED, "stopped");
        return -1;
    }
    if (stage_failed(c->stage, &c->err)) return -1;
    c->hooks->progress(c->opaque, iteration, written, dirty);
    return (dirty >= 0 && dirty < PRECOPY_DIRTY_MAX) ||
           iteration >= PRECOPY_PASSES;
}

int capture_suspend(struct capture *c)
{
    int r = -ETIMEDOUT;

    stage_settle(c->stage);
    c->epoch++; /* the sink reads it, and is idle now */
    if (stage_failed(c->stage, &c->err)) return 0;
    stage_hold(c->stage, true);
    c->total_before = stage_total(c->stage);
    c->t_asked = clock_us();
    c->hooks->asked(c->opaque, true);
    for (int i = 0; i < SUSPEND_TRIES && r == -ETIMEDOUT; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        r = c->ops->suspend(c->guest, c->suspend_ms, c->stop, &e);
        if (r == -ETIMEDOUT && i + 1 < SUSPEND_TRIES)
            log_warn("%s; trying again", e.msg);
        else if (r)
            xlc_error_set(&c->err, r, "%s", e.msg[0] ? e.msg : "stopped");
    }
    c->t_suspended = clock_us();
    c->suspended = !r;
    return r ? 0 : 1;
}

int capture_postcopy(struct capture *c)
{
    enum capture_after after = CAPTURE_RESUME;
    uint64_t now;
    int r;

    c->t_captured = clock_us();
    c->suspended = false;
    r = c->hooks->cut(c->opaque, c->epoch, &after, &c->err);
    if (after == CAPTURE_RESUME) {
        struct xlc_error e = XLC_ERROR_INIT;
        int s = c->ops->resume(c->guest, &e);

        if (s) r = xlc_error_set(&c->err, s, "%s", e.msg);
        c->hooks->asked(c->opaque, false);
    }
    now = clock_us();
    c->times.suspend = c->t_suspended - c->t_asked;
    c->times.capture = c->t_captured - c->t_suspended;
    c->times.resume = now - c->t_captured;
    c->times.pause = now - c->t_asked;
    if (r) xlc_error_set(&c->err, r, "stopped");
    return r ? 0 : 1;
}

int capture_checkpoint(struct capture *c)
{
    uint64_t begun, sent;
    int r;

    stage_settle(c->stage);
    begun = clock_us();
    c->bytes = stage_total(c->stage) - c->total_before;
    r = stage_emit(c->stage, &c->err);
    if (r) return 0;
    sent = clock_us();
    c->times.transfer = sent - begun;
    r = c->hooks->whole(c->opaque, c->epoch, &c->err);
    c->times.ack = clock_us() - sent;
    if (!r) r = c->hooks->next(c->opaque, &c->err);
    if (r) xlc_error_set(&c->err, r, "stopped");
    return r ? 0 : 1;
}

int capture_run(struct capture *c)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int r;

    r = c->ops->save(c->guest, stage_fd(c->stage), c, &e);
    if (c->suspended) { /* libxc failed between suspend and postcopy */
        struct xlc_error e2 = XLC_ERROR_INIT;

        if (c->ops->resume(c->guest, &e2)) log_error("%s", e2.msg);
        c->hooks->asked(c->opaque, false);
        c->suspended = false;
    }
    /* A call-back's reason is the better one. */
    if (r && !c->err.status) xlc_error_set(&c->err, r, "%s", e.msg);
    return c->err.status == -ECANCELED ? 0 : c->err.status;
}
