/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* primary.c - The primary's worker: set up, loop, finish; see primary.h */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "cleanup.h"
#include "colo-primary.h"
#include "host.h"
#include "log.h"
#include "primary.h"
#include "primary-disks.h"
#include "primary-proxy.h"
#include "proto.h"
#include "vifname.h"
#include "xlctx.h"

/* An epoch of which nothing moves for this long (or five times the limit) does
 * not get through. */
#define STALL_MS 10000
/* How often a vif's interface is looked for that is about to come. */
#define DEVICES_MS 20

static void wake(struct primary *p)
{
    uint64_t one = 1;

    if (write(p->wake, &one, sizeof(one)) < 0) {
        /* The counter is full: the loop is awake. */
    }
}

/* Do @what with the buffer; a failure ends protection, since output that is
 * not held as it must be is a promise broken. */
static void with_netbuf(struct primary *p, const char *what,
                        int (*f)(struct netbuf *, struct xlc_error *))
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!p->nb) return;
    LOCK_SCOPE(&p->nb_lock);
    if (p->nb && f(p->nb, &e)) {
        log_error("%s: %s", what, e.msg);
        xlc_error_set(&p->why, e.status, "%s", e.msg);
        p->trouble = true;
    }
}

/* The guest must not run, or may run again. After the final cut it is
 * suspended and needs no pause. */
static void stand_still(struct primary *p, bool still)
{
    p->freeze = still;
    if (still == p->paused || p->m.final || !p->look.xch) return;
    if (still) xc_domain_pause(p->look.xch, p->look.domid);
    else xc_domain_unpause(p->look.xch, p->look.domid);
    p->paused = still;
    p->sh->paused = still;
}

/* What the machine said, in the order of its bits. */
static void carry_out(struct primary *p, unsigned int act)
{
    if (act & PRIM_DO_CUT_NET) {
        primary_proxy_silence(p);
        with_netbuf(p, "cutting the guest's network", netbuf_cut);
    }
    if (act & PRIM_DO_RELEASE) {
        primary_proxy_committed(p);
        with_netbuf(p, "releasing output", netbuf_release);
    }
    if (act & (PRIM_DO_STOP | PRIM_DO_FREEZE)) {
        p->stop = true;
        stand_still(p, act & PRIM_DO_FREEZE);
        /* Nobody waits for the network any more. While the final epoch is
         * handed over the connection ends by itself. */
        if (p->data && p->m.state != PRIM_HANDING) conn_shutdown(p->data);
    }
    if (act & PRIM_DO_OPEN) {
        primary_proxy_open(p);
        with_netbuf(p, "opening the buffer", netbuf_open);
    }
    if (act & PRIM_DO_DISCARD) {
        primary_proxy_silence(p);
        with_netbuf(p, "discarding output", netbuf_cut);
    }
    if (act & PRIM_DO_FINAL) p->final_next = true;
    if (act & PRIM_DO_DESTROY) {
        p->destroy = true;
        p->discard = act & PRIM_DO_CUT_NET;
        /* It must not go on while its end is being prepared. */
        if (p->look.xch) xc_domain_pause(p->look.xch, p->look.domid);
    }
    p->say |= act & (PRIM_DO_SEND_DROP | PRIM_DO_SEND_END |
                     PRIM_DO_SEND_YOURS | PRIM_DO_SEND_NOSWAP);
    /* The guest that was given away came back. */
    if (p->m.state == PRIM_SOLO || p->m.state == PRIM_GONE)
        p->say &= ~(unsigned int)PRIM_DO_SEND_YOURS;
    if (act & PRIM_DO_FINISH) p->finished = true;
}

void primary_event_locked(struct primary *p, enum prim_ev ev, uint64_t n)
{
    enum prim_state was = p->m.state;
    unsigned int act = prim_event(&p->m, ev, n);

    carry_out(p, act);
    if (p->m.state != was) {
        log_info("%s: %s -> %s", p->rec.name, prim_state_name(was),
                 prim_state_name(p->m.state));
        primary_events_state(p, was);
        p->moved_ms = clock_ms();
    }
    p->sh->state = p->m.state;
    p->sh->final = p->m.final;
    p->sh->acked = p->m.acked;
    p->sh->cut = p->m.cut;
    p->sh->ended = p->m.ended;
    pthread_cond_broadcast(&p->cond);
    wake(p);
}

void primary_event(struct primary *p, enum prim_ev ev, uint64_t n)
{
    LOCK_SCOPE(&p->lock);
    primary_event_locked(p, ev, n);
}

/* ----- set-up, in chronological order ----- */

/* Whoever protects the guest already suspends it at each checkpoint: that is
 * asked first, or the guest would be called dead. */
static int find_guest(struct primary *p, struct xlc_error *err)
{
    int rc = guest_open(&p->guest, p->ctx, p->o->domain, err);

    return rc ? rc : primary_find_room(p, err);
}

static int look_at_guest(struct primary *p, struct xlc_error *err)
{
    xc_domaininfo_t info;
    int rc;

    rc = guest_clone(&p->look, &p->guest, err);
    if (!rc) rc = guest_watch(&p->look, err);
    if (!rc) rc = primary_devices_begin(p, err);
    if (rc) return rc;
    if (guest_state(&p->look))
        return xlc_error_set(err, -ESHUTDOWN, "%s does not run",
                             p->guest.name);
    if (xc_domain_getinfolist(p->look.xch, p->look.domid, 1, &info) == 1)
        p->tot_pages = info.tot_pages;
    libxl_domain_config_init(&p->cfg);
    p->cfg_inited = true;
    if (libxl_retrieve_domain_configuration(p->ctx, p->guest.domid, &p->cfg,
                                            NULL))
        return xlc_error_set(err, -EIO, "libxl has no configuration of %s",
                             p->guest.name);
    p->json = libxl_domain_config_to_json(p->ctx, &p->cfg);
    if (!p->json) return xlc_error_set(err, -ENOMEM, "no memory");
    rc = p->o->colo ? colo_primary_check(&p->cfg, p->o->no_disk, err) : 0;
    if (!rc) rc = host_check_guest(p->ctx, &p->cfg, p->o->no_disk, err);
    if (!rc) rc = primary_disks_find(p, err);
    if (rc) return rc;
    rc = record_load(&p->rec, p->guest.uuid, err);
    if (rc) return rc;
    snprintf(p->rec.name, sizeof(p->rec.name), "%s", p->guest.name);
    snprintf(p->rec.peer, sizeof(p->rec.peer), "%s", p->o->host);
    snprintf(p->rec.state, sizeof(p->rec.state), "syncing");
    p->rec.role = PROTO_ROLE_PRIMARY;
    if (!p->rec.generation) p->rec.generation = 1;
    return 0;
}

static void introduce(struct primary *p)
{
    struct shared *sh = p->sh;

    sh->domid = p->guest.domid;
    memcpy(sh->uuid_raw, p->guest.uuid_raw, sizeof(sh->uuid_raw));
    memcpy(sh->uuid, p->guest.uuid, sizeof(sh->uuid));
    snprintf(sh->name, sizeof(sh->name), "%s", p->guest.name);
    sh->known = true;
}

static int hold_output(struct primary *p, struct xlc_error *err)
{
    struct netbuf_vif vifs[NETBUF_VIF_MAX] = { 0 };
    libxl_device_nic *nics;
    int n = 0, rc = 0;
    unsigned int nv = 0;

    if (p->o->no_net) return 0;
    if (primary_proxy_wanted(p)) {
        /* The buffer is there for vifs that come later. */
        rc = netbuf_setup(&p->nb, p->guest.domid, vifs, 0,
                          p->o->netbuf_bytes, err);
        if (rc) return rc;
        p->sh->netbuf = true;
        return primary_proxy_begin(p, err);
    }
    nics = libxl_device_nic_list(p->ctx, p->guest.domid, &n);
    if (n > NETBUF_VIF_MAX)
        rc = xlc_error_set(err, -E2BIG, "the guest has %d vifs, at most %d "
                           "can be protected", n, NETBUF_VIF_MAX);
    for (int i = 0; i < n && !rc; i++) {
        vifs[nv].devid = (uint32_t)nics[i].devid;
        vif_name(vifs[nv].ifname, p->guest.domid, &nics[i]);
        nv++;
    }
    libxl_device_nic_list_free(nics, n);
    if (!rc)
        rc = netbuf_setup(&p->nb, p->guest.domid, vifs, nv,
                          p->o->netbuf_bytes, err);
    if (!rc) p->sh->netbuf = true;
    return rc;
}

static int set_up(struct primary *p, struct xlc_error *err)
{
    pthread_condattr_t ca;
    sigset_t sigs;
    int rc = 0;

    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->nb_lock, NULL);
    pthread_condattr_init(&ca);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    pthread_cond_init(&p->cond, &ca);
    pthread_condattr_destroy(&ca);
    prim_init(&p->m);
    p->started_ms = p->moved_ms = clock_ms();
    p->progress_last = -1;
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->hash = XXH3_createState();
    sigemptyset(&sigs);
    sigaddset(&sigs, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &sigs, NULL);
    p->sigfd = signalfd(-1, &sigs, SFD_CLOEXEC | SFD_NONBLOCK);
    if (p->wake < 0 || p->sigfd < 0 || !p->hash)
        return xlc_error_set(err, -ENOMEM, "no memory");
    for (unsigned int i = 0; i < p->o->nsettings && !rc; i++)
        rc = live_parse(&p->live, p->o->mode != XLC_MODE_REMUS,
                        p->o->settings[i], err);
    if (!rc) rc = xlctx_new(&p->ctx, err);
    if (!rc) rc = find_guest(p, err);
    if (!rc) rc = look_at_guest(p, err);
    if (rc) return rc;
    introduce(p);
    rc = primary_events_begin(p, err);
    if (rc) return rc;
    rc = primary_boot(p, err);
    if (!rc) p->booted = true;
    if (!rc) rc = primary_make_room(p, err);
    if (!rc) rc = hold_output(p, err);
    if (!rc) rc = record_save(&p->rec, err);
    if (rc) return rc;
    p->recorded = true;
    primary_publish(p);
    rc = primary_dial(p, err);
    return rc ? rc : primary_start_capture(p, err);
}

/* ----- loop ----- */

struct turn {
    struct pollfd pfd[PRIMARY_PATHS + 8 + CONTROL_FDS];
    unsigned int n, wake, sig, watch, data, ctrl[PRIMARY_PATHS], control;
    unsigned int devices, proxy;
};

static unsigned int add(struct turn *t, int fd, short events)
{
    t->pfd[t->n] = (struct pollfd){ .fd = fd, .events = events };
    return t->n++;
}

static void prepare(struct primary *p, struct turn *t)
{
    t->n = 0;
    t->wake = add(t, p->wake, POLLIN);
    t->sig = add(t, p->sigfd, POLLIN);
    t->watch = add(t, guest_watch_fd(&p->look), POLLIN);
    t->devices = add(t, primary_devices_fd(p), POLLIN);
    t->proxy = add(t, primary_proxy_fd(p), POLLIN);
    add(t, primary_redial_fd(p), primary_redial_events(p));
    t->data = add(t, p->data && !p->data_broken ? conn_fd(p->data) : -1,
                  POLLRDHUP);
    for (unsigned int i = 0; i < p->naddr; i++)
        t->ctrl[i] = add(t, p->ctrl[i] ? conn_fd(p->ctrl[i]) : -1,
                         p->ctrl[i] ? conn_events(p->ctrl[i]) : 0);
    t->control = t->n;
    t->n += control_pollfds(p->control, t->pfd + t->n);
}

static void drain_fd(int fd)
{
    char buf[512];

    while (read(fd, buf, sizeof(buf)) > 0)
        ;
}

static void check_guest(struct primary *p)
{
    int s = guest_state(&p->look);

    if (s >= 0) return;
    LOCK_SCOPE(&p->lock);
    if (p->destroy || p->m.ended) return; /* our own doing, or known */
    log_info("%s: the guest ended: %s", p->rec.name,
             proto_reason_text((unsigned int)-s));
    primary_disks_last(p);
    primary_event_locked(p, PRIM_EV_GUEST_ENDED, (uint64_t)-s);
}

/* Silence of every path is a failed host. Silence of the one that carries
 * the data, while the host is heard on another, is a broken link: both agree
 * over the other path that protection ends (RULES A2). */
static void judge_silence(struct primary *p, uint64_t now)
{
    bool silent = paths_tick(&p->paths, now);
    uint64_t heard = p->paths.heard_ms[0];
    uint64_t data = now > heard ? now - heard : 0;

    if (silent) {
        p->unheard = true;
        primary_event(p, PRIM_EV_SILENCE, 0);
    } else if (data >= p->o->limit_ms && !p->data_broken) {
        log_warn("%s: %s has been silent for %llu ms, but the other host is "
                 "heard", p->rec.name, p->addr[0],
                 (unsigned long long)data);
        p->data_broken = true;
        conn_shutdown(p->data);
        primary_event(p, PRIM_EV_LINK_ERROR, 0);
    }
}

/* The other host is heard, but an epoch does not get through: output is held,
 * perhaps the guest stands still. Octets that move are progress. */
static void judge_progress(struct primary *p, uint64_t now)
{
    uint64_t moved = p->data ? conn_bytes_out(p->data) : 0;
    uint64_t limit = 5 * (uint64_t)p->o->limit_ms;
    bool waiting;

    pthread_mutex_lock(&p->lock);
    waiting = p->m.cut > p->m.acked && p->m.state == PRIM_PROTECTED;
    pthread_mutex_unlock(&p->lock);
    if (limit < STALL_MS) limit = STALL_MS;
    moved += primary_disks_moved(p);
    if (!waiting || moved != p->stall_bytes) {
        p->stall_bytes = moved;
        p->stall_ms = now;
    } else if (now - p->stall_ms >= limit && !p->data_broken) {
        log_warn("%s: epoch %llu has not got through for %llu ms",
                 p->rec.name, (unsigned long long)p->m.cut,
                 (unsigned long long)(now - p->stall_ms));
        p->data_broken = true;
        conn_shutdown(p->data);
        primary_event(p, PRIM_EV_LINK_ERROR, 0);
    }
}

static void one_turn(struct primary *p, const struct turn *t)
{
    uint64_t now = clock_ms();
    struct control_req req;

    if (t->pfd[t->wake].revents) drain_fd(p->wake);
    if (t->pfd[t->sig].revents) {
        drain_fd(p->sigfd);
        primary_event(p, PRIM_EV_STOP, 0);
    }
    if (t->pfd[t->watch].revents) {
        guest_watch_drain(&p->look);
        check_guest(p);
    }
    primary_devices(p, t->pfd[t->devices].revents, now);
    primary_proxy_turn(p, t->pfd[t->proxy].revents, now);
    primary_redial_turn(p, now);
    for (unsigned int i = 0; i < p->naddr; i++)
        if (p->ctrl[i] && t->pfd[t->ctrl[i]].revents)
            primary_read(p, i, now);
    if (t->pfd[t->data].revents) primary_data_ended(p);
    while (control_next(p->control, t->pfd + t->control, &req))
        primary_control(p, &req);
    primary_disks_check(p);
    judge_silence(p, now);
    judge_progress(p, now);
    if (p->trouble) primary_event(p, PRIM_EV_CAPTURE_ERROR, 0);
    p->trouble = false;
    primary_heartbeat(p, now);
    primary_say(p);
    primary_answer_waiters(p, false);
    primary_progress(p, now);
    p->sh->beat_ms = now;
}

static bool finished(struct primary *p)
{
    LOCK_SCOPE(&p->lock);
    return p->finished;
}

static void loop(struct primary *p)
{
    struct turn t;

    while (!finished(p)) {
        uint64_t now = clock_ms();
        int timeout = p->next_beat_ms > now ? (int)(p->next_beat_ms - now) :
                      0;

        /* An interface comes without a word that could be waited for. */
        if (primary_devices_wait(p) && timeout > DEVICES_MS)
            timeout = DEVICES_MS;
        prepare(p, &t);
        if (poll(t.pfd, t.n, timeout) < 0) {
            if (errno != EINTR) log_error("poll: %s", strerror(errno));
            continue;
        }
        one_turn(p, &t);
    }
}

/* ----- finish ----- */

/* Let the answers to control clients out; they are local and few. */
static void last_answers(struct primary *p)
{
    uint64_t deadline = clock_ms() + 500;

    primary_answer_waiters(p, true);
    while (control_busy(p->control) && clock_ms() < deadline) {
        struct pollfd pfd[CONTROL_FDS];
        unsigned int n = control_pollfds(p->control, pfd);
        struct control_req req;

        if (poll(pfd, n, 50) < 0) break;
        while (control_next(p->control, pfd, &req))
            primary_control(p, &req);
    }
}

/* The guest goes on here: undo whatever a capture left behind. */
static void settle_guest(struct primary *p)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (p->freeze || p->destroy || p->m.ended) return;
    if (p->sh->asked && guest_clean(&p->look, true, &e))
        log_error("%s: %s", p->rec.name, e.msg);
    p->sh->asked = false;
}

static void remove_netbuf(struct primary *p)
{
    struct xlc_error e = XLC_ERROR_INIT;
    bool discard = p->m.state == PRIM_YIELDED || p->m.state == PRIM_STUCK ||
                   p->m.outcome == XLC_UNCONFIRMED;

    if (p->m.state == PRIM_STUCK) primary_proxy_leave(p);
    else primary_proxy_end(p, discard);
    LOCK_SCOPE(&p->nb_lock);
    if (!p->nb) return;
    if (p->m.state == PRIM_STUCK) {
        /* It stays closed: whoever resumes the guest removes it. */
        log_warn("%s: its network stays held", p->rec.name);
    } else if (netbuf_teardown(p->nb, discard, &e)) {
        log_error("%s: %s (`remus-netbuf clear %u` tries again)",
                  p->rec.name, e.msg, p->guest.domid);
    } else {
        p->sh->netbuf = false;
    }
    netbuf_free(p->nb);
    p->nb = NULL;
}

/* We did not hear the other host, but it may hear us: say for a while that
 * we go on alone (its machine takes an opening back on that word). */
static void say_farewell(struct primary *p)
{
    uint64_t until = clock_ms() + p->o->limit_ms;

    if (!p->unheard) return;
    while (clock_ms() < until) {
        struct pollfd pfd = { .fd = p->wake, .events = POLLIN };

        primary_heartbeat(p, clock_ms());
        primary_say(p);
        p->sh->beat_ms = clock_ms();
        poll(&pfd, 1, (int)p->o->heartbeat_ms);
        drain_fd(p->wake);
    }
}

static void finish(struct primary *p)
{
    struct xlc_error e = XLC_ERROR_INIT;

    p->sh->closing = true;
    primary_end_capture(p);
    primary_disks_end(p);
    if (p->look.xch) {
        settle_guest(p);
        remove_netbuf(p);
        say_farewell(p);
        primary_unpublish(p);
        primary_disks_claim(p);
    }
    if (p->rec.role && p->rec.state[0]) {
        snprintf(p->rec.state, sizeof(p->rec.state), "%s",
                 xlc_outcome_name(p->m.outcome));
        p->rec.epoch = p->m.acked;
        if (p->recorded && record_save(&p->rec, &e)) log_error("%s", e.msg);
    }
    primary_unlink(p);
    primary_events_end(p);
    if (p->control) last_answers(p);
    control_free(p->control);
    primary_devices_end(p);
    primary_redial_end(p);
    primary_proxy_free(p);
    guest_close(&p->guest);
    guest_close(&p->look);
    if (p->cfg_inited) libxl_domain_config_dispose(&p->cfg);
    free(p->json);
    if (p->ctx) libxl_ctx_free(p->ctx);
    XXH3_freeState(p->hash);
    conn_secret_wipe(&p->secret);
}

/* The public names of the modes are those of the policy. */
static enum policy_wish wish_of(enum xlc_mode mode)
{
    static_assert((int)XLC_MODE_AUTO == (int)POLICY_AUTO &&
                  (int)XLC_MODE_COLO == (int)POLICY_COLO &&
                  (int)XLC_MODE_REMUS == (int)POLICY_REMUS, "in order");
    return (enum policy_wish)mode;
}

enum xlc_outcome primary_run(const struct xlc_options *o, struct shared *sh)
{
    struct primary *p = calloc(1, sizeof(*p));
    struct xlc_error err = XLC_ERROR_INIT;
    enum xlc_outcome outcome;
    int rc;

    if (!p) return XLC_ERROR;
    log_no_wait();
    p->o = o;
    policy_set_init(&p->live);
    p->live.wish = wish_of(o->mode);
    p->live.interval_ms = o->interval_ms;
    p->sh = sh;
    p->wake = p->sigfd = -1;
    p->boot = (struct boot){ -1, -1, -1 };
    rc = set_up(p, &err);
    if (rc) {
        log_error("%s", err.msg);
        /* Before the first epoch nothing is held and nobody is protected:
         * this is a refusal, the guest never noticed. */
        p->stop = true;
        p->m.outcome = XLC_REFUSED;
        primary_goodbye(p);
    } else {
        loop(p);
        if (p->why.status) log_error("%s: %s", p->rec.name, p->why.msg);
        /* A disk of the other host was not to be overwritten: nothing was. */
        if (p->disks_refused && p->m.state == PRIM_SOLO)
            p->m.outcome = XLC_REFUSED;
    }
    finish(p);
    outcome = p->m.outcome;
    /* The peer may have taken over, unheard (RULES A2). */
    sh->alone = p->unheard && p->m.state == PRIM_SOLO && p->m.cut;
    sh->outcome = outcome;
    sh->finished = true;
    if (p->wake >= 0) close(p->wake);
    if (p->sigfd >= 0) close(p->sigfd);
    free(p);
    return outcome;
}
