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
 *      did, or that it runs the guest already, or is silent for the limit,
 *   3. takes a pending suspend back, resumes the guest, switches log-dirty
 *      off, opens and removes the buffer; or, if the other host runs the
 *      guest, cuts its network and destroys it.
 *
 * While the guard's connection lives the other host hears it and does not
 * take over by itself. At the end the guard acts on a guest that ended, and
 * leaves a monitor behind for one that goes on.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "conn.h"
#include "guest.h"
#include "log.h"
#include "monitor.h"
#include "netbuf.h"
#include "paths.h"
#include "prim.h"
#include "primary.h"
#include "proto.h"
#include "sec.h"
#include "shared.h"
#include "xlctx.h"

/* A worker whose main loop has not turned for this long is stuck. */
#define STUCK_MS 10000

/**
 * struct guard - the guard's own state
 * @dropping: DROP is said until it is answered; @handing: YOURS is
 * @answer: what the peer said to our DROP: a PROTO_ type, or 0
 */
struct guard {
    const struct xlc_options *o;
    struct shared *sh;
    pid_t worker;
    int sigfd, pidfd;
    struct conn *conn;
    bool tried;
    uint32_t incarnation;
    struct paths paths;
    uint64_t next_beat_ms, seq;
    bool dropping, handing;
    uint16_t answer;
};

/* ----- the guard's connection ----- */

static void drop_conn(struct guard *g, const char *why)
{
    if (why) log_warn("the guard's connection: %s", why);
    conn_free(steal_ptr(&g->conn));
}

static void connect_guard(struct guard *g)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int fd;

    g->tried = true;
    fd = conn_dial(g->sh->addr, g->sh->port, &e);
    if (fd < 0 || conn_client(&g->conn, fd, &g->sh->secret, PROTO_CH_GUARD,
                              g->sh->path, ++g->incarnation, &e) ||
        conn_wait_ready(g->conn, clock_ms() + CONN_ATTACH_MS, &e))
        drop_conn(g, e.msg);
    else if (conn_attached(g->conn)->state == SEC_OPEN)
        g->answer = PROTO_PROMOTED; /* it runs the guest already */
    paths_init(&g->paths, g->sh->limit_ms, clock_ms());
}

static void guard_send(struct guard *g, uint64_t now)
{
    struct proto_msg m = { .hdr.type = PROTO_HEARTBEAT };
    struct xlc_error e = XLC_ERROR_INIT;

    if (!g->conn || now < g->next_beat_ms) return;
    g->next_beat_ms = now + g->sh->heartbeat_ms;
    m.u.heartbeat.seq = ++g->seq;
    m.u.heartbeat.accepted = m.u.heartbeat.applied = g->sh->acked;
    m.u.heartbeat.state = (uint8_t)g->sh->state;
    conn_send(g->conn, &m);
    if (g->dropping || g->handing) {
        m = (struct proto_msg){ .hdr.type = g->handing ? PROTO_YOURS :
                                PROTO_DROP };
        m.hdr.epoch = g->sh->acked;
        m.u.verdict.reason = PROTO_WHY_WORKER_DIED;
        conn_send(g->conn, &m);
    }
    if (conn_io(g->conn, &e) && e.status != -ECONNRESET)
        drop_conn(g, e.msg);
}

static void guard_recv(struct guard *g)
{
    struct xlc_error e = XLC_ERROR_INIT, e2 = XLC_ERROR_INIT;
    struct proto_msg m;
    int io, r;

    if (!g->conn) return;
    io = conn_io(g->conn, &e);
    while ((r = conn_recv(g->conn, &m, &e2)) > 0) {
        paths_heard(&g->paths, 0, clock_ms());
        if (m.hdr.type == PROTO_DROPPED || m.hdr.type == PROTO_ENDED ||
            m.hdr.type == PROTO_FAILED || m.hdr.type == PROTO_PROMOTED)
            g->answer = m.hdr.type;
    }
    if (r < 0) drop_conn(g, e2.msg);
    else if (io) drop_conn(g, g->dropping ? e.msg : NULL);
}

/* One wait of the guard: signals, the worker's end, the peer. */
static void guard_turn(struct guard *g, bool *worker_over)
{
    struct pollfd pfd[3] = {
        { .fd = g->sigfd, .events = POLLIN },
        { .fd = *worker_over ? -1 : g->pidfd, .events = POLLIN },
        { .fd = g->conn ? conn_fd(g->conn) : -1,
          .events = g->conn ? conn_events(g->conn) : 0 },
    };
    struct signalfd_siginfo si;

    if (poll(pfd, 3, g->sh->linked ? (int)g->sh->heartbeat_ms : 50) < 0 &&
        errno != EINTR)
        log_error("poll: %s", strerror(errno));
    while (read(g->sigfd, &si, sizeof(si)) == sizeof(si))
        if (!*worker_over) kill(g->worker, SIGTERM);
    if (pfd[1].revents) *worker_over = true;
    guard_recv(g);
    guard_send(g, clock_ms());
}

/* ----- after a killed worker ----- */

/* Until there is an answer, or silence: for the limit on a connection that
 * stands, or twice that long without any connection. A connection that broke
 * is made again. */
static void ask_to_drop(struct guard *g)
{
    uint64_t alone_since = clock_ms();
    bool over = true;

    if (!g->sh->linked) return;
    g->dropping = !g->handing;
    g->next_beat_ms = 0;
    while (!g->answer) {
        if (!g->conn) {
            if (clock_ms() >= alone_since + 2 * (uint64_t)g->sh->limit_ms)
                return;
            connect_guard(g);
        }
        guard_turn(g, &over);
        if (!g->conn) continue;
        alone_since = clock_ms();
        if (paths_tick(&g->paths, clock_ms())) return;
    }
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

/* The peer runs the guest: ours goes. */
static enum xlc_outcome yield(struct guard *g, struct guest *guest,
                              libxl_ctx *ctx)
{
    cut_netbuf(g);
    xc_domain_pause(guest->xch, guest->domid);
    clean_netbuf(g, true);
    if (libxl_domain_destroy(ctx, guest->domid, NULL))
        log_error("%s: `xl destroy %u`", g->sh->name, guest->domid);
    return XLC_MOVED;
}

static enum xlc_outcome recover_with(struct guard *g, struct guest *guest,
                                     libxl_ctx *ctx)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int s;

    if (g->answer == PROTO_PROMOTED || g->sh->state == PRIM_YIELDED)
        return yield(g, guest, ctx);
    if (!g->answer && (g->sh->state == PRIM_YIELDING || g->sh->final ||
                       g->sh->state == PRIM_STUCK)) {
        /* The other host was taking over, and is silent now. */
        log_error("%s", xlc_outcome_text(XLC_STUCK));
        return XLC_STUCK;
    }
    s = guest_state(guest);
    if (s < 0 || g->sh->ended) {
        /* It ended by itself. Without the peer's word its last output is
         * not sent (RULES A13). */
        bool sure = g->answer != 0;

        clean_netbuf(g, !sure);
        g->sh->ended = s < 0 ? (uint32_t)-s : (uint32_t)g->sh->ended;
        return sure ? XLC_POWEROFF : XLC_UNCONFIRMED;
    }
    if (g->sh->paused) xc_domain_unpause(guest->xch, guest->domid);
    if (guest_clean(guest, g->sh->asked, &e))
        log_error("%s: %s", g->sh->name, e.msg);
    clean_netbuf(g, false);
    return XLC_WORKER_DIED;
}

static void sweep_xenstore(struct guest *guest)
{
    char path[64];

    snprintf(path, sizeof(path), "/libxl/%u/xl-colo", guest->domid);
    xs_rm(guest->xsh, XBT_NULL, path);
}

static void sweep_socket(struct guard *g)
{
    char path[128];

    snprintf(path, sizeof(path), XLC_RUNDIR "/%s.sock", g->sh->uuid);
    unlink(path);
}

/* The worker was killed in the middle of a planned failover: the peer holds
 * the last epoch, and our copy may be half destroyed. It goes, and then the
 * peer is told (RULES A13); DROP would cost the last copy. */
static enum xlc_outcome hand_over(struct guard *g)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct guest guest = { 0 };
    libxl_ctx *ctx = NULL;

    if (!xlctx_new(&ctx, &e) && !guest_open(&guest, ctx, g->sh->uuid, &e)) {
        yield(g, &guest, ctx);
        sweep_xenstore(&guest);
    } else {
        clean_netbuf(g, true);
    }
    guest_close(&guest);
    if (ctx) libxl_ctx_free(ctx);
    sweep_socket(g);
    g->handing = true;
    ask_to_drop(g); /* says YOURS */
    return g->answer == PROTO_PROMOTED ? XLC_MOVED : XLC_UNCONFIRMED;
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
    if (g->sh->state == PRIM_HANDING) return hand_over(g);
    ask_to_drop(g);
    if (xlctx_new(&ctx, &e) || guest_open(&guest, ctx, g->sh->uuid, &e)) {
        /* No such domain any more: nothing is left to resume. */
        log_warn("%s: %s", g->sh->name, e.msg);
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

/* ----- the whole ----- */

static void watch_worker(struct guard *g)
{
    bool over = false;

    while (!over) {
        uint64_t now = clock_ms(), beat = g->sh->beat_ms;

        if (g->sh->linked && !g->tried) connect_guard(g);
        guard_turn(g, &over);
        if (beat && now > beat + STUCK_MS && !over && !g->sh->closing) {
            log_error("%s: the worker has been stuck for %llu ms; killing "
                      "it", g->sh->name, (unsigned long long)(now - beat));
            kill(g->worker, SIGKILL);
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

/* A guest that ended is treated as its configuration says; one that goes on
 * gets somebody who will. */
static void leave(struct guard *g, enum xlc_outcome outcome)
{
    struct xlc_error e = XLC_ERROR_INIT;
    uint32_t domid = g->sh->domid;

    if (!g->sh->known || outcome == XLC_REFUSED || outcome == XLC_MOVED ||
        outcome == XLC_STUCK)
        return;
    if (outcome == XLC_UNCONFIRMED) {
        /* The other host may run it: nothing is started here. */
        log_warn("%s: what is left of it here stays as it is: look at the "
                 "other host, then `xl destroy` or `xl create` it",
                 g->sh->name);
        return;
    }
    if (g->sh->ended && monitor_act(&domid, &e)) log_error("%s", e.msg);
    if (domid && !g->o->no_monitor &&
        monitor_daemon(domid, g->sh->name, &e))
        log_error("%s", e.msg);
}

enum xlc_outcome xlc_protect(const struct xlc_options *o)
{
    struct guard g = { .o = o, .sigfd = -1, .pidfd = -1 };
    enum xlc_outcome outcome = XLC_ERROR;
    sigset_t sigs, old;

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
    g.worker = start_worker(&g);
    if (g.worker > 0) {
        g.pidfd = (int)syscall(SYS_pidfd_open, g.worker, 0);
        watch_worker(&g);
        waitpid(g.worker, NULL, 0);
        /* What leave() starts must not inherit the mask. */
        sigprocmask(SIG_SETMASK, &old, NULL);
        outcome = g.sh->finished ? (enum xlc_outcome)g.sh->outcome :
                  recover(&g);
        drop_conn(&g, NULL);
        leave(&g, outcome);
    } else {
        log_error("fork: %s", strerror(errno));
    }
    conn_secret_wipe(&g.sh->secret);
    munmap(g.sh, sizeof(*g.sh));
    if (g.sigfd >= 0) close(g.sigfd);
    if (g.pidfd >= 0) close(g.pidfd);
    sigprocmask(SIG_SETMASK, &old, NULL);
    return outcome;
}

void xlc_options_init(struct xlc_options *o)
{
    *o = (struct xlc_options){
        .ssh = "ssh",
        .interval_ms = XLC_INTERVAL_MS_DEFAULT,
        .heartbeat_ms = XLC_HEARTBEAT_MS_DEFAULT,
        .limit_ms = XLC_LIMIT_MS_DEFAULT,
        .suspend_ms = XLC_SUSPEND_MS_DEFAULT,
        .staging_bytes = XLC_STAGING_BYTES_DEFAULT,
        .netbuf_bytes = XLC_NETBUF_BYTES_DEFAULT,
    };
}
