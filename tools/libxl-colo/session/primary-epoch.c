/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-epoch.c - The primary's checkpoint thread: cut, send, wait, next
 *
 * See capture.h for the order of the calls. The functions here run on the
 * checkpoint thread, send_piece() during the first copy on the stage's.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "primary.h"
#include "primary-disks.h"
#include "primary-proxy.h"
#include "xlctx.h"

/* At a cut nothing may move in the buffer for so long; and how long that may
 * take to come true on a busy host. */
#define QUIET_US  200
#define SETTLE_US 2000000

/* The stage's sink: octets of the current epoch, in order. */
static int send_piece(void *opaque, const uint8_t *data, size_t len,
                      struct xlc_error *err)
{
    struct primary *p = opaque;
    struct proto_msg m = { .hdr.epoch = p->cap.epoch ? p->cap.epoch : 1 };
    int r;

    if (!p->begun) {
        m.hdr.type = PROTO_EPOCH_BEGIN;
        m.u.epoch_flags = (m.hdr.epoch == 1 ? PROTO_EPOCH_STREAM : 0) |
                          (p->final_now ? PROTO_EPOCH_FINAL : 0);
        r = conn_write(p->data, &m, err);
        if (r) return r;
        XXH3_64bits_reset(p->hash);
        p->sent = 0;
        p->begun = true;
    }
    m.hdr.type = PROTO_DATA;
    while (len) {
        size_t n = len < PROTO_DATA_MAX ? len : PROTO_DATA_MAX;

        XXH3_64bits_update(p->hash, data, n);
        m.hdr.length = (uint32_t)n;
        m.u.data = data;
        r = conn_write(p->data, &m, err);
        if (r) return r;
        p->sent += n;
        data += n;
        len -= n;
    }
    return 0;
}

static void hook_progress(void *opaque, unsigned int iteration,
                          uint64_t written, int64_t dirty)
{
    struct primary *p = opaque;

    log_debug("%s: first copy: pass %u, %llu pages written, %lld dirty",
              p->rec.name, iteration, (unsigned long long)written,
              (long long)dirty);
    if (dirty < 0) return; /* between two passes */
    LOCK_SCOPE(&p->lock);
    p->copy.pass = iteration + 1;
    p->copy.pages = (uint64_t)dirty;
    p->copy.from = stage_total(p->stage);
}

static void hook_asked(void *opaque, bool asked)
{
    struct primary *p = opaque;

    p->sh->asked = asked;
    primary_proxy_asked(p, asked);
    LOCK_SCOPE(&p->lock);
    p->suspended_since_ms = asked ? clock_ms() : 0;
    if (!asked) return;
    p->asked_epoch = p->m.cut + 1;
    p->next_due_us = clock_us() + (uint64_t)p->live.interval_ms * 1000;
}

/* The guest is suspended and captured: close its output, then it may go on
 * (RULES A4: in this order, and acknowledged by the kernel). */
static int hook_cut(void *opaque, uint64_t n, enum capture_after *after_r,
                    struct xlc_error *err)
{
    struct primary *p = opaque;
    struct xlc_error e = XLC_ERROR_INIT;
    int r = 0;

    /* The last release must be over before the next BUFFER: sch_plug counts
     * without a lock. The guest is suspended, so nothing new comes. Without
     * @lock: heartbeats go on meanwhile. */
    pthread_mutex_lock(&p->nb_lock);
    if (p->nb) r = netbuf_settle(p->nb, QUIET_US, SETTLE_US, &e);
    pthread_mutex_unlock(&p->nb_lock);
    if (!r) r = primary_proxy_settle(p, &e);
    LOCK_SCOPE(&p->lock);
    if (p->stop) {
        if (p->freeze) *after_r = CAPTURE_LEAVE;
        return -ECANCELED;
    }
    if (r) return xlc_error_set(err, r, "%s", e.msg);
    r = primary_disks_mark(p, n, err);
    if (r) return r;
    pthread_mutex_lock(&p->nb_lock);
    if (p->nb) r = netbuf_buffer(p->nb, err);
    pthread_mutex_unlock(&p->nb_lock);
    if (!r) r = primary_proxy_cut(p, n, err);
    if (r) return r;
    if (p->final_now) {
        *after_r = CAPTURE_LEAVE;
        primary_event_locked(p, PRIM_EV_FINAL_CUT, n);
    } else {
        primary_event_locked(p, PRIM_EV_CUT, n);
    }
    return 0;
}

/* Everything is sent but the END: say it and wait for the ACK. */
static int hook_whole(void *opaque, uint64_t n, struct xlc_error *err)
{
    struct primary *p = opaque;
    struct proto_msg m = { .hdr = { .type = PROTO_EPOCH_END, .epoch = n } };
    int r;

    m.u.epoch_end.bytes = p->sent;
    m.u.epoch_end.hash = XXH3_64bits_digest(p->hash);
    r = conn_write(p->data, &m, err);
    if (r) return r;
    LOCK_SCOPE(&p->lock);
    p->begun = false;
    while (p->m.acked < n && !p->stop)
        pthread_cond_wait(&p->cond, &p->lock);
    return p->stop ? -ECANCELED : 0;
}

/* When the next checkpoint is due. Called with the lock held. */
static uint64_t due_us(struct primary *p)
{
    if (p->px) return primary_proxy_due_us(p);
    return p->demand || p->final_next ? 0 : p->next_due_us;
}

static void wait_until_due(struct primary *p)
{
    uint64_t at;

    while (!p->stop && (at = due_us(p)) > clock_us()) {
        struct timespec t = { (time_t)(at / 1000000),
                              (long)(at % 1000000) * 1000 };

        pthread_cond_timedwait(&p->cond, &p->lock, &t);
    }
}

static int hook_next(void *opaque, struct xlc_error *err)
{
    struct primary *p = opaque;

    (void)err;
    LOCK_SCOPE(&p->lock);
    p->times = p->cap.times;
    p->epoch_bytes = p->cap.bytes;
    p->bytes_total += p->cap.bytes;
    p->checkpoints++;
    log_debug("%s: epoch %llu: pause %llu us (suspend %llu, capture %llu, "
              "resume %llu), %llu octets, transfer %llu us, ack %llu us",
              p->rec.name, (unsigned long long)p->cap.epoch,
              (unsigned long long)p->times.pause,
              (unsigned long long)p->times.suspend,
              (unsigned long long)p->times.capture,
              (unsigned long long)p->times.resume,
              (unsigned long long)p->epoch_bytes,
              (unsigned long long)p->times.transfer,
              (unsigned long long)p->times.ack);
    primary_events_checkpoint(p);
    wait_until_due(p);
    p->cause = p->final_next ? "final" : p->demand ? "demand" : "interval";
    p->demand = false;
    p->final_now = p->final_next;
    return p->stop ? -ECANCELED : 0;
}

static const struct capture_hooks hooks = {
    .progress = hook_progress,
    .asked = hook_asked,
    .cut = hook_cut,
    .whole = hook_whole,
    .next = hook_next,
};

/* The peer runs the guest: nothing of ours may stay. The buffer goes first, it
 * must be empty before the vif is taken away (RULES A11). */
static void destroy_guest(struct primary *p)
{
    struct xlc_error e = XLC_ERROR_INIT;

    pthread_mutex_lock(&p->nb_lock);
    if (p->nb && netbuf_teardown(p->nb, p->discard, &e))
        log_error("%s: %s", p->rec.name, e.msg);
    netbuf_free(p->nb);
    p->nb = NULL;
    pthread_mutex_unlock(&p->nb_lock);
    p->sh->netbuf = false;
    /* A plane holds copies, and stays closed until the vif is gone. */
    primary_proxy_silence(p);
    if (libxl_domain_destroy(p->ctx, p->guest.domid, NULL) &&
        guest_state(&p->guest) != -PROTO_WHY_DESTROYED) {
        primary_proxy_leave(p);
        log_error("%s: domain %u could not be destroyed: `xl destroy %u`",
                  p->rec.name, p->guest.domid, p->guest.domid);
    }
    primary_proxy_end(p, true);
    p->sh->asked = false;
}

static void *checkpoint_thread(void *opaque)
{
    struct primary *p = opaque;
    bool destroy;
    int r = primary_disks_sync(p, &p->cap.err);

    if (!r) r = capture_run(&p->cap);
    pthread_mutex_lock(&p->lock);
    /* Also after a suspend that failed or was stopped. */
    if (!p->freeze && !p->final_now) primary_proxy_runs(p);
    if (r && !p->stop) {
        xlc_error_set(&p->why, r, "%s", p->cap.err.msg);
        log_error("%s: %s", p->rec.name, p->cap.err.msg);
        /* A guest that ended by itself is the main thread's to find. */
        if (r != -ESHUTDOWN)
            primary_event_locked(p, r == -ECONNRESET ? PRIM_EV_LINK_ERROR :
                                 PRIM_EV_CAPTURE_ERROR, 0);
    }
    while (!p->finished && !p->destroy)
        pthread_cond_wait(&p->cond, &p->lock);
    destroy = p->destroy;
    pthread_mutex_unlock(&p->lock);
    if (destroy) destroy_guest(p);
    return NULL;
}

int primary_start_capture(struct primary *p, struct xlc_error *err)
{
    int r = stage_new(&p->stage, p->o->staging_bytes, send_piece, p, err);

    if (r) return r;
    p->cap = (struct capture){
        .ops = &guest_xen_ops,
        .guest = &p->guest,
        .stage = p->stage,
        .suspend_ms = p->o->suspend_ms,
        .stop = &p->stop,
        .hooks = &hooks,
        .opaque = p,
    };
    r = pthread_create(&p->thread, NULL, checkpoint_thread, p);
    if (r)
        return xlc_error_set(err, -r, "pthread_create: %s", strerror(r));
    p->thread_running = true;
    return 0;
}

void primary_end_capture(struct primary *p)
{
    if (p->thread_running) {
        pthread_mutex_lock(&p->lock);
        p->stop = p->finished = true;
        pthread_cond_broadcast(&p->cond);
        pthread_mutex_unlock(&p->lock);
        if (p->data) conn_shutdown(p->data);
        primary_disks_hurry(p);
        pthread_join(p->thread, NULL);
        p->thread_running = false;
    }
    stage_free(steal_ptr(&p->stage));
}
