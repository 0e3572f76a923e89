/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guard.c - xlc_protect(): a worker does the work, its guard outlives it
 *
 * Theory of operation
 * -------------------
 * The process that `xl remus` started is the guard. It forks the worker
 * before any thread or libxl context exists, and then does little: it passes
 * a wish to stop on, keeps a connection of its own to the other host, and
 * waits. A worker that ends in order has cleaned up. One that was killed, or
 * whose main loop stands still, has not (PLATFORM 7.9), and the guard
 *
 *   1. leaves the guest's output held (the plug stays closed by itself),
 *   2. tells the other host to drop its copy, and waits until it says that it
 *      did, or that it runs the guest already, or is silent for the limit
 *      (in the middle of a planned failover: tells it to run the guest),
 *   3. takes a pending suspend back, resumes the guest, switches log-dirty
 *      off, opens and removes the buffer; or, if the other host runs the
 *      guest, cuts its network and destroys it.
 *
 * While the guard's connection lives the other host hears it and does not
 * take over by itself; when it breaks it is made again. At the end the guard
 * acts on a guest that ended, and leaves a monitor behind for one that goes
 * on; if the other host's copy may run as well, one that looks for it
 * (reunion.h).
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"
#include "clock.h"
#include "conn.h"
#include "diskserve.h"
#include "glink.h"
#include "guest.h"
#include "log.h"
#include "monitor.h"
#include "netbuf.h"
#include "paths.h"
#include "plane.h"
#include "prim.h"
#include "primary.h"
#include "proto.h"
#include "reunion.h"
#include "shared.h"
#include "xlctx.h"

/* A worker whose main loop has not turned for this long is stuck. */
#define STUCK_MS 10000
/* The longest pause between two attempts to reach the other host. */
#define BACKOFF_MAX_MS 2000u

/**
 * struct guard - the guard's own state
 * @child: the worker
 * @begun: @link was set up; it is made again for as long as we are there
 * @dropping: DROP is said until it is answered; @handing: YOURS is
 * @answer: what the peer said about its copy: a PROTO_ type, or 0
 * @alone: nobody answered, and the guest goes on here
 */
struct guard {
    const struct xlc_options *o;
    struct shared *sh;
    struct child child;
    int sigfd;
    struct glink link;
    bool begun;
    struct paths paths;
    bool dropping, handing, alone;
    uint16_t answer;
};

/* ----- the guard's connection ----- */

/* What the peer hears of us must be true, whoever is left to say it. */
static uint8_t true_state(const struct guard *g)
{
    enum prim_state s = g->sh->state;

    if (g->alone) s = PRIM_SOLO;
    else if (g->handing) s = PRIM_HANDING;
    else if (g->dropping && s <= PRIM_SWAPPING)
        s = g->sh->ended ? PRIM_ENDING : PRIM_DROPPING;
    return prim_state_wire(s);
}

/* The state of the peer's copy answers as a message would. */
static void on_peer_state(struct guard *g, uint8_t state)
{
    switch (state) {
    case PROTO_SEC_OPEN:
    case PROTO_SEC_ASIDE:
    case PROTO_SEC_OVER:
        g->answer = PROTO_PROMOTED;
        break;
    case PROTO_SEC_DROPPED:
        g->answer = PROTO_DROPPED;
        break;
    case PROTO_SEC_FAILED:
        g->answer = PROTO_FAILED;
        break;
    default:
        break;
    }
}

static void guard_hear(struct guard *g, uint64_t now)
{
    struct proto_msg m;

    while (glink_recv(&g->link, &m, now)) {
        paths_heard(&g->paths, 0, now);
        switch (m.hdr.type) {
        case PROTO_HEARTBEAT:
            on_peer_state(g, m.u.heartbeat.state);
            break;
        case PROTO_DROPPED:
        case PROTO_ENDED:
        case PROTO_FAILED:
        case PROTO_PROMOTED:
            g->answer = m.hdr.type;
            break;
        default: /* is for the worker */
            break;
        }
    }
}

static void guard_say(struct guard *g, uint64_t now)
{
    struct proto_msg m = { .hdr.type = g->handing ? PROTO_YOURS :
                           PROTO_DROP };

    if (!glink_beat(&g->link, now, g->sh->heartbeat_ms, true_state(g),
                    g->sh->acked) || (!g->dropping && !g->handing))
        return;
    m.hdr.epoch = g->sh->acked;
    m.u.verdict.generation = g->sh->generation;
    m.u.verdict.reason = PROTO_WHY_WORKER_DIED;
    glink_send(&g->link, &m);
}

static void guard_link(struct guard *g, uint64_t now)
{
    if (!g->sh->linked) return;
    if (!g->begun) {
        uint32_t most = g->sh->limit_ms / 2;

        glink_init(&g->link, &g->sh->peer, 0,
                   most < BACKOFF_MAX_MS ? most : BACKOFF_MAX_MS);
        g->begun = true;
    }
    if (glink_turn(&g->link, now)) {
        on_peer_state(g, conn_attached(g->link.conn)->state);
        paths_init(&g->paths, g->sh->limit_ms, now);
    }
    guard_hear(g, now);
    guard_say(g, now);
}

/* One wait of the guard: signals, the worker's end, the peer. */
static void guard_turn(struct guard *g, bool *worker_over)
{
    struct pollfd pfd[3] = {
        { .fd = g->sigfd, .events = POLLIN },
        { .fd = *worker_over ? -1 : g->child.fd, .events = POLLIN },
        { .fd = glink_fd(&g->link), .events = glink_events(&g->link) },
    };
    struct signalfd_siginfo si;

    if (poll(pfd, 3, g->sh->linked ? (int)g->sh->heartbeat_ms : 50) < 0 &&
        errno != EINTR)
        log_error("poll: %s", strerror(errno));
    while (read(g->sigfd, &si, sizeof(si)) == sizeof(si))
        child_kill(&g->child, SIGTERM);
    if (child_ended(&g->child)) *worker_over = true;
    guard_link(g, clock_ms());
}

/* Did the peer say that its copy will not? That is for ever. */
static bool never_runs(const struct guard *g)
{
    return g->answer == PROTO_DROPPED || g->answer == PROTO_ENDED ||
           g->answer == PROTO_FAILED;
}

/* ----- after a killed worker ----- */

/* Until there is an answer, or silence: for the limit on a connection that
 * stands, or twice that long without any connection. */
static void ask_peer(struct guard *g)
{
    uint64_t alone_since = clock_ms(), before = alone_since;
    bool over = true;

    if (!g->sh->linked) return;
    g->handing = g->sh->state == PRIM_HANDING;
    g->dropping = !g->handing;
    g->link.next_beat_ms = 0;
    paths_init(&g->paths, g->sh->limit_ms, alone_since);
    while (!g->answer) {
        uint64_t now;

        guard_turn(g, &over);
        now = clock_ms();
        /* What we could not see while we were stopped proves nothing. */
        if (now - before >= g->sh->limit_ms) alone_since = now;
        before = now;
        if (!g->link.ready) {
            paths_init(&g->paths, g->sh->limit_ms, now);
            if (now >= alone_since + 2 * (uint64_t)g->sh->limit_ms) return;
            continue;
        }
        alone_since = now;
        if (paths_tick(&g->paths, now)) return;
    }
}

/* The worker's TAPs went with it: since then the filters of its planes let
 * nothing through, and what was held is lost. */
static void clean_planes(struct guard *g)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!g->sh->plane) return;
    if (plane_clear_domain(g->sh->domid, &e) < 0)
        log_error("%s: %s (`remus-netbuf clear %u` tries again)",
                  g->sh->name, e.msg, g->sh->domid);
    else
        g->sh->plane = false;
}

static void clean_netbuf(struct guard *g, bool discard)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct netbuf *nb = NULL;

    if (!g->sh->netbuf) return;
    if (netbuf_attach(&nb, g->sh->domid, &e) ||
        netbuf_teardown(nb, discard, &e))
        log_error("%s: %s (`remus-netbuf clear %u` tries again)",
                  g->sh->name, e.msg, g->sh->domid);
    netbuf_free(nb);
    g->sh->netbuf = false;
}

static void cut_netbuf(struct guard *g)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct netbuf *nb = NULL;

    if (!g->sh->netbuf) return;
    if (netbuf_attach(&nb, g->sh->domid, &e) || netbuf_cut(nb, &e))
        log_error("%s: %s", g->sh->name, e.msg);
    netbuf_free(nb);
}

/* RULES A7: what its images say of the peer from here on. Unasked for, they
 * say that it may have taken over. */
static void claim(const struct guard *g, const char *word)
{
    diskserve_claim(&g->sh->disks, word, g->sh->name);
}

/* The peer runs the guest: ours goes. */
static enum xlc_outcome yield(struct guard *g, struct guest *guest,
                              libxl_ctx *ctx)
{
    cut_netbuf(g);
    xc_domain_pause(guest->xch, guest->domid);
    clean_netbuf(g, true);
    /* A plane stays closed until the vif is gone. */
    if (libxl_domain_destroy(ctx, guest->domid, NULL))
        log_error("%s: `xl destroy %u`", g->sh->name, guest->domid);
    if (g->answer == PROTO_PROMOTED) claim(g, "handed");
    return XLC_MOVED;
}

/* If only its words don't arrive, ours may: it must hear that we go on before
 * the guest does. */
static void say_alone(struct guard *g)
{
    g->alone = true;
    if (!g->begun) return;
    g->link.next_beat_ms = 0;
    guard_say(g, clock_ms());
}

static enum xlc_outcome recover_with(struct guard *g, struct guest *guest,
                                     libxl_ctx *ctx)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int s;

    if (g->answer == PROTO_PROMOTED || g->sh->state == PRIM_YIELDED)
        return yield(g, guest, ctx);
    if (!g->answer && !g->alone &&
        (g->sh->state == PRIM_YIELDING || g->sh->final ||
         g->sh->state == PRIM_STUCK)) {
        /* The other host was taking over, and is silent now (RULES A13). */
        log_error("%s", xlc_outcome_text(XLC_STUCK));
        return XLC_STUCK;
    }
    s = guest_state(guest);
    if (s < 0 || g->sh->ended) {
        /* It ended by itself. Without the peer's word its last output is
         * not sent (RULES A13). */
        bool sure = g->answer != 0;

        clean_planes(g);
        clean_netbuf(g, !sure);
        if (sure) claim(g, "alone");
        g->sh->ended = s < 0 ? (uint32_t)-s : (uint32_t)g->sh->ended;
        return sure ? XLC_POWEROFF : XLC_UNCONFIRMED;
    }
    if (!g->answer) say_alone(g);
    if (g->sh->paused) xc_domain_unpause(guest->xch, guest->domid);
    if (guest_clean(guest, g->sh->asked, &e))
        log_error("%s: %s", g->sh->name, e.msg);
    clean_planes(g);
    clean_netbuf(g, false);
    /* Not before the guest goes on: this waits for who works on the image,
     * up to 30 s for each. A peer without a whole epoch has nothing to take
     * over with. */
    claim(g, never_runs(g) || !g->sh->cut ? "alone" : "solo");
    return XLC_WORKER_DIED;
}

static void sweep_xenstore(struct guest *guest)
{
    char path[64];

    snprintf(path, sizeof(path), "/libxl/%u/xl-colo", guest->domid);
    xs_rm(guest->xsh, XBT_NULL, path);
}

/* Whoever killed the worker left its socket. If somebody listens at it, the
 * worker never had it (see primary-room.c). */
static void sweep_socket(struct guard *g)
{
    struct control *c = NULL;

    if (!control_listen(&c, g->sh->uuid, NULL)) control_free(c);
}

static enum xlc_outcome recover(struct guard *g)
{
    struct xlc_error e = XLC_ERROR_INIT;
    enum xlc_outcome outcome = XLC_WORKER_DIED;
    struct guest guest = { 0 };
    libxl_ctx *ctx = NULL;

    if (!g->sh->known) return XLC_ERROR;
    log_error("%s: the worker was killed; cleaning up after it",
              g->sh->name);
    if (g->sh->state == PRIM_SOLO) {
        /* It has gone on already: nothing is to be asked any more. */
        if (!never_runs(g)) g->answer = 0;
        g->alone = true;
    } else {
        ask_peer(g);
    }
    if (xlctx_new(&ctx, &e) || guest_open(&guest, ctx, g->sh->uuid, &e)) {
        /* No such domain any more: nothing is left to resume. */
        log_warn("%s: %s", g->sh->name, e.msg);
        clean_planes(g);
        clean_netbuf(g, true);
        outcome = g->answer == PROTO_PROMOTED ? XLC_MOVED : XLC_UNCONFIRMED;
    } else {
        outcome = recover_with(g, &guest, ctx);
        sweep_xenstore(&guest);
    }
    sweep_socket(g);
    guest_close(&guest);
    if (ctx) libxl_ctx_free(ctx);
    return outcome;
}

/* What a worker that ended in order could not give back. A guest that stands
 * still, or that the other host may run, stays closed. */
static void clean_rest(struct guard *g, enum xlc_outcome outcome)
{
    if (outcome != XLC_STUCK && outcome != XLC_MOVED &&
        outcome != XLC_UNCONFIRMED)
        clean_planes(g);
}

/* ----- the whole ----- */

static void watch_worker(struct guard *g)
{
    bool over = false;

    while (!over) {
        uint64_t now = clock_ms(), beat = g->sh->beat_ms;

        guard_turn(g, &over);
        if (beat && now > beat + STUCK_MS && !over && !g->sh->closing) {
            log_error("%s: the worker has been stuck for %llu ms; killing "
                      "it", g->sh->name, (unsigned long long)(now - beat));
            child_kill(&g->child, SIGKILL);
        }
    }
}

static pid_t start_worker(struct guard *g)
{
    pid_t parent = getpid(), pid = fork();

    if (pid) return pid;
    log_role("remus");
    /* Ctrl-C reaches the whole group; the guard passes it on, once. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    /* A guard that is killed takes its worker along: it is the guard that
     * keeps the promise of a clean end. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(XLC_ERROR);
    close(g->sigfd);
    exit((int)primary_run(g->o, g->sh));
}

/* For whoever looks for the other copy from here on. */
static void introduce(const struct guard *g, bool stuck, struct reunion *r)
{
    r->peer = g->sh->peer;
    r->incarnation = g->link.incarnation;
    r->limit_ms = g->sh->limit_ms;
    r->generation = g->sh->generation;
    r->acked = g->sh->acked;
    memcpy(r->uuid_raw, g->sh->uuid_raw, sizeof(r->uuid_raw));
    memcpy(r->uuid, g->sh->uuid, sizeof(r->uuid));
    memcpy(r->name, g->sh->name, sizeof(r->name));
    memcpy(r->disks.at, g->sh->disks.at, sizeof(r->disks.at));
    r->disks.n = g->sh->disks.n;
    snprintf(r->host, sizeof(r->host), "%s", g->o->host);
    if (stuck) return; /* its own sentence has said it all */
    log_warn("%s: the other host never said that its copy will not run: if "
             "%s is heard again, and runs it too, its copy pauses; "
             "`xl remus-status` shows it, `xl remus-stop %s` stops looking",
             r->name, r->host, r->name);
}

/* A guest that ended is treated as its configuration says; one that goes on
 * gets somebody who will. Where the other host may run it as well, or may come
 * to (an administrator resumes one that is stuck), it is looked for. */
static void leave(struct guard *g, enum xlc_outcome outcome)
{
    struct xlc_error e = XLC_ERROR_INIT;
    uint32_t domid = g->sh->domid;
    bool stuck = outcome == XLC_STUCK, act = !g->o->no_monitor, meet;
    struct reunion r = { .uuid = "" };

    if (!g->sh->known || outcome == XLC_REFUSED || outcome == XLC_MOVED)
        return;
    if (outcome == XLC_UNCONFIRMED) {
        /* The other host may run it: nothing is started here. */
        log_warn("%s: what is left of it here stays as it is: look at the "
                 "other host, then `xl destroy` or `xl create` it",
                 g->sh->name);
        return;
    }
    if (g->sh->ended && monitor_act(&domid, &e)) log_error("%s", e.msg);
    if (!domid) return;
    /* The worker may have been too late to hear what the guard heard. */
    meet = (stuck || ((g->sh->alone || g->alone) && !never_runs(g))) &&
           g->sh->cut;
    if (stuck) act = false; /* it stands still: nothing to act on */
    if (meet) introduce(g, stuck, &r);
    if ((meet || act) &&
        monitor_daemon(domid, g->sh->name, act, meet ? &r : NULL, &e))
        log_error("%s", e.msg);
    conn_secret_wipe(&r.peer.secret);
}

enum xlc_outcome xlc_protect(const struct xlc_options *o)
{
    struct guard g = { .o = o, .sigfd = -1, .child = { 0, -1 } };
    enum xlc_outcome outcome = XLC_ERROR;
    sigset_t sigs, old;
    pid_t pid;

    log_init("guard", NULL, o->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    g.sh = mmap(NULL, sizeof(*g.sh), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (g.sh == MAP_FAILED) return XLC_ERROR;
    sigemptyset(&sigs);
    sigaddset(&sigs, SIGINT);
    sigaddset(&sigs, SIGTERM);
    sigaddset(&sigs, SIGHUP);
    sigprocmask(SIG_BLOCK, &sigs, &old);
    signal(SIGPIPE, SIG_IGN);
    g.sigfd = signalfd(-1, &sigs, SFD_CLOEXEC | SFD_NONBLOCK);
    pid = start_worker(&g);
    if (pid > 0) {
        /* It beats when the worker does not. */
        log_no_wait();
        child_watch(&g.child, pid);
        watch_worker(&g);
        child_wait(&g.child);
        /* What leave() starts must not inherit the mask. */
        sigprocmask(SIG_SETMASK, &old, NULL);
        outcome = g.sh->finished ? (enum xlc_outcome)g.sh->outcome :
                  recover(&g);
        clean_rest(&g, outcome);
        glink_close(&g.link);
        leave(&g, outcome);
    } else {
        log_error("fork: %s", strerror(errno));
    }
    conn_secret_wipe(&g.sh->peer.secret);
    munmap(g.sh, sizeof(*g.sh));
    if (g.sigfd >= 0) close(g.sigfd);
    sigprocmask(SIG_SETMASK, &old, NULL);
    return outcome;
}

void xlc_options_init(struct xlc_options *o)
{
    *o = (struct xlc_options){
        .ssh = "ssh",
        .mode = XLC_MODE_REMUS,
        .interval_ms = XLC_INTERVAL_MS_DEFAULT,
        .heartbeat_ms = XLC_HEARTBEAT_MS_DEFAULT,
        .limit_ms = XLC_LIMIT_MS_DEFAULT,
        .suspend_ms = XLC_SUSPEND_MS_DEFAULT,
        .staging_bytes = XLC_STAGING_BYTES_DEFAULT,
        .netbuf_bytes = XLC_NETBUF_BYTES_DEFAULT,
    };
}
