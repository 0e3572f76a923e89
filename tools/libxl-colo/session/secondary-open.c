/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * secondary-open.c - The secondary's work thread: run the copy, or drop it
 *
 * Taking over, in this order: what was accepted is applied to its end; the
 * pipe is closed and libxl makes a paused domain of it; the record is made
 * durable with the next generation; disks and vifs are added; the guest is
 * let go. (A copy that is a domain has most of this behind it; one that runs
 * beside only gets its network.) From the second step on the copy may be the
 * last one, so nothing here destroys it: a step that fails is tried again
 * until it works or the administrator destroys the domain.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#include "announce.h"
#include "cleanup.h"
#include "clock.h"
#include "domclock.h"
#include "log.h"
#include "secondary.h"
#include "xlctx.h"

#define RETRY_S 2
/* RULES B7: told so often, twice as long after each time: for 16 s, in which a
 * guest that was restored has connected its vifs. */
#define ANNOUNCES   7u
#define ANNOUNCE_MS 250u

/* No more data; an epoch that is being applied is applied to its end. */
static void end_data(struct secondary *s)
{
    if (!s->data_running) return;
    conn_shutdown(s->data);
    pthread_join(s->data_thread, NULL);
    s->data_running = false;
}

/* One that can't be destroyed is left to the guard, which tries again. */
static void destroy_copy(struct secondary *s)
{
    struct xlc_error e = XLC_ERROR_INIT;

    s->left = restore_abort(s->restore, &e) != 0;
    if (s->left) log_error("%s: %s", s->rec.name, e.msg);
    else s->sh->building = false;
}

/* RULES A9: what is left of the copy stays cut off. */
static void end_packets(struct secondary *s)
{
    if (!s->proxy) return;
    if (s->left) secondary_proxy_leave(s->proxy);
    else secondary_proxy_end(s->proxy);
}

static void throw_away(struct secondary *s)
{
    /* To destroy a domain takes long, and the primary waits for this. */
    secondary_disks_last(s);
    /* A copy that is a domain: the data thread is working on it. */
    if (s->colo && colo_secondary_finishing(s->colo)) {
        end_data(s);
        colo_secondary_release(s->colo);
    }
    /* The restore first: the data thread may be writing to it. */
    if (s->data_running) conn_shutdown(s->data);
    destroy_copy(s);
    end_data(s);
    end_packets(s);
    secondary_disks_drop(s);
}

static void note(struct secondary *s, const struct xlc_error *e)
{
    LOCK_SCOPE(&s->lock);
    snprintf(s->note, sizeof(s->note), "%.*s", (int)sizeof(s->note) - 1,
             e->msg);
}

/* The primary may turn out to live, and to go on alone, until the guest's
 * first step here. */
static bool still_ours(struct secondary *s)
{
    LOCK_SCOPE(&s->lock);
    /* One that ran and stood aside at once is kept as well. */
    return !sec_out(&s->m);
}

/* RULES C3: one that was restored has the clock of this host and the seconds of
 * its configuration. What it had at the primary may be something else: the
 * hosts' clocks differ, or did at an earlier takeover. One whose clock can't
 * be set is still better than none. */
static void take_clock(struct secondary *s)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int32_t ahead_s;
    bool known;

    pthread_mutex_lock(&s->lock);
    known = wallclock_offset(&s->clock, &ahead_s);
    pthread_mutex_unlock(&s->lock);
    if (known && domclock_set(s->sh->domid, ahead_s, &e))
        log_warn("%s: %s", s->rec.name, e.msg);
}

/* A guest that was not restored says nothing by itself, and none tells again
 * which multicast groups it listens to. */
void secondary_announce_begin(struct secondary *s)
{
    s->announce = ANNOUNCES;
}

/* The guest's first step: under the lock, so that the primary's word comes
 * before it or after it. */
static int first_step(struct secondary *s, struct xlc_error *err)
{
    int r = s->colo ? colo_secondary_ready(s->colo, err) : 0;

    if (r) return r;
    if (!s->colo) take_clock(s);
    LOCK_SCOPE(&s->lock);
    if (s->m.state != SEC_OPENING) return 0; /* insist() looks again */
    s->sh->rec = s->rec;
    r = s->colo ? colo_secondary_go(s->colo, err) :
        restore_unpause(s->restore, err);
    if (r) return r;
    /* In this order, whenever the guard finds us killed. */
    s->sh->open = true;
    s->sh->building = false;
    secondary_announce_begin(s);
    secondary_event_locked(s, SEC_EV_OPENED, 0);
    return 0;
}

static int add_devices(struct secondary *s, struct xlc_error *err)
{
    int r;

    /* A copy that is a domain has its devices. Before its disks are taken over
     * it is at the newest epoch, or runs from there. */
    if (s->colo) {
        r = colo_secondary_ready(s->colo, err);
        if (!r) r = colo_secondary_settle(s->colo, err);
        return r ? r : secondary_disks_take(s, err);
    }
    r = secondary_disks_take(s, err);
    return r ? r : restore_devices(s->restore, err);
}

/* Make a paused domain of the copy, if it is none yet. */
static int finish_restore(struct secondary *s, uint32_t *domid_r,
                          struct xlc_error *err)
{
    if (!s->colo) return restore_finish(s->restore, domid_r, err);
    *domid_r = colo_secondary_domid(s->colo);
    return *domid_r ? 0 : xlc_error_set(err, -ENOENT, "there is no copy");
}

/* Try @step until it works. Return: false if the guest is not ours any more */
static bool insist(struct secondary *s,
                   int (*step)(struct secondary *, struct xlc_error *))
{
    const struct timespec nap = { RETRY_S, 0 };

    for (;;) {
        struct xlc_error e = XLC_ERROR_INIT;
        int r;

        if (!still_ours(s)) return false;
        r = step(s, &e);
        if (!r) return still_ours(s);
        note(s, &e);
        if (r == -EINTR && s->dismissed && s->dead_wait) {
            log_error("%s: %s", s->rec.name, e.msg);
            secondary_event(s, SEC_EV_OPEN_FAILED, 0);
            return false;
        }
        if (!restore_exists(s->restore)) {
            log_error("%s: somebody destroyed the copy", s->rec.name);
            secondary_event(s, SEC_EV_OPEN_FAILED, 0);
            return false;
        }
        /* Better there than nowhere. */
        if (secondary_primary_waits(s)) {
            log_error("%s: %s; the primary goes on", s->rec.name, e.msg);
            secondary_event(s, SEC_EV_OPEN_FAILED, 0);
            return false;
        }
        log_error("%s: %s; trying again in %d s", s->rec.name, e.msg,
                  RETRY_S);
        nanosleep(&nap, NULL);
    }
}

static void run_it(struct secondary *s)
{
    struct xlc_error e = XLC_ERROR_INIT;
    uint64_t begun = clock_ms();
    uint32_t domid;

    end_data(s);
    if (finish_restore(s, &domid, &e)) {
        note(s, &e);
        log_error("%s: THE GUEST COULD NOT BE TAKEN OVER: %s", s->rec.name,
                  e.msg);
        secondary_event(s, SEC_EV_OPEN_FAILED, 0);
        secondary_disks_drop(s);
        return;
    }
    s->sh->domid = domid;
    s->rec.generation++;
    s->rec.role = PROTO_ROLE_PRIMARY;
    s->rec.epoch = s->m.accepted;
    snprintf(s->rec.state, sizeof(s->rec.state), "open");
    /* A record that can't be written is no reason to leave clients alone. */
    if (record_save(&s->rec, &e)) log_error("%s: %s", s->rec.name, e.msg);
    if (!insist(s, add_devices) || !insist(s, first_step)) {
        log_warn("%s: %sremoving the copy", s->rec.name, s->dismissed ? "" :
                 "the primary lives after all; ");
        if (s->colo) colo_secondary_release(s->colo);
        destroy_copy(s);
        end_packets(s);
        secondary_disks_drop(s);
        /* Nothing ran here: the next protection must not be refused for a
         * takeover that never was. */
        s->rec.generation--;
        s->rec.role = PROTO_ROLE_SECONDARY;
        return;
    }
    secondary_disks_taken(s);
    if (s->colo) colo_secondary_release(s->colo);
    s->sh->settled = true;
    log_info("%s: runs here as domain %u, from epoch %llu, %llu ms after the "
             "decision", s->rec.name, domid,
             (unsigned long long)s->rec.epoch,
             (unsigned long long)(clock_ms() - begun));
    secondary_events_failover(s, clock_ms() - begun);
}

/* On the main thread, whose libxl context it uses. */
void secondary_announce(struct secondary *s, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;
    unsigned int left;
    int r = 0;

    pthread_mutex_lock(&s->lock);
    left = s->m.state == SEC_OPEN ? s->announce : 0;
    if (left && now_ms >= s->announce_ms) s->announce--;
    pthread_mutex_unlock(&s->lock);
    if (!left || now_ms < s->announce_ms) return;
    s->announce_ms = now_ms + (ANNOUNCE_MS << (ANNOUNCES - left));
    if (!s->ctx) r = xlctx_new(&s->ctx, &e);
    if (!r) r = announce_domain(s->ctx, s->sh->domid, &e);
    if (r < 0)
        log_warn("%s: %s; until it sends something, others may not reach it",
                 s->rec.name, e.msg);
}

static void *work_thread(void *opaque)
{
    struct secondary *s = opaque;
    unsigned int work;

    pthread_mutex_lock(&s->lock);
    work = s->work;
    pthread_mutex_unlock(&s->lock);
    if (work & SEC_DO_ABORT) throw_away(s);
    else run_it(s);
    pthread_mutex_lock(&s->lock);
    s->worked = true;
    pthread_mutex_unlock(&s->lock);
    secondary_wake(s);
    return NULL;
}

void secondary_start_work(struct secondary *s)
{
    bool start;
    int r;

    pthread_mutex_lock(&s->lock);
    start = s->work && !s->work_running;
    pthread_mutex_unlock(&s->lock);
    if (!start) return;
    r = pthread_create(&s->work_thread, NULL, work_thread, s);
    if (r) log_error("%s: pthread_create: %s", s->rec.name, strerror(r));
    else s->work_running = true;
}
