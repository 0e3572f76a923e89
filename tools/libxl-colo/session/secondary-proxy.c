/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secondary-proxy.c - The copy's packets; see secondary-proxy.h */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"
#include "cleanup.h"
#include "conn-stream.h"
#include "log.h"
#include "plane.h"
#include "proxy-secondary.h"
#include "secondary-proxy.h"
#include "secondary.h"

/* A cut is tried so often while frames keep coming, a moment apart. */
#define CUT_TRIES  50u
#define CUT_NAP_NS 1000000
/* After a failover it is looked whether the proxy is still needed. */
#define TURN_MS 200u

/**
 * struct secondary_proxy - see secondary-proxy.h
 * @lock: guards all of it, and that nobody uses a proxy which is ended
 * @conn: came before there was a proxy to give it to
 * @attached: the peer's stream came; @lost: it is gone, but may come again
 * @dead: the proxy has ended by itself
 * @tc, @planes: the vifs' filters and TAPs, @n of them
 * @proxy: NULL before it is started, and once it has ended
 * @wake: see secondary_proxy_wake_fd()
 * @cut: newest epoch of a cut; @cut_out: frames that it had sent by then
 * @open: the failover was; @direct: the vifs' packets pass us by
 * @event: the proxy's eventfd, or -1. This and @open are also read without the
 *         lock: the main loop, which beats, does not wait while planes are made
 * @turn_ms: when secondary_proxy_turn() looks again
 */
struct secondary_proxy {
    pthread_mutex_t lock;
    const char *name;
    struct receive_shared *sh;
    struct conn *conn;
    bool attached, lost, dead;
    struct tc tc;
    bool tc_open;
    struct plane planes[WIRE_VIFS_MAX];
    unsigned int n;
    struct proxy_secondary *proxy;
    int wake;
    uint64_t cut, cut_out;
    _Atomic bool open;
    _Atomic int event;
    bool direct;
    uint64_t turn_ms;
};

int secondary_proxy_new(struct secondary_proxy **p_r, const char *name,
                        struct receive_shared *sh, struct xlc_error *err)
{
    struct secondary_proxy *p = calloc(1, sizeof(*p));

    if (!p) return xlc_error_set(err, -ENOMEM, "no memory");
    p->name = name;
    p->sh = sh;
    p->event = -1;
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake < 0) {
        free(p);
        return xlc_error_set(err, -errno, "eventfd: %s", strerror(errno));
    }
    pthread_mutex_init(&p->lock, NULL);
    *p_r = p;
    return 0;
}

/* ---- The planes ---------------------------------------------------------- */

/* With the lock held, as all below. */
static void remove_planes(struct secondary_proxy *p)
{
    for (unsigned int i = 0; i < p->n; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        if (plane_teardown(&p->planes[i], &e))
            log_error("%s: %s", p->name, e.msg);
    }
    /* Those that were left as they are stay the guard's. */
    if (p->n) p->sh->nvifs = 0;
    p->n = 0;
    if (p->tc_open) tc_close(&p->tc);
    p->tc_open = false;
}

static void stop_proxy(struct secondary_proxy *p)
{
    p->event = -1;
    proxy_secondary_stop(steal_ptr(&p->proxy));
}

static void end_proxy(struct secondary_proxy *p)
{
    stop_proxy(p);
    remove_planes(p);
}

/* The filters stay, and drop all. */
static void leave(struct secondary_proxy *p)
{
    stop_proxy(p);
    for (unsigned int i = 0; i < p->n; i++) {
        tapdev_close(&p->planes[i].in);
        tapdev_close(&p->planes[i].out);
    }
    p->n = 0;
    if (p->tc_open) tc_close(&p->tc);
    p->tc_open = false;
}

/* The guard knows of the vif before its packets go through us. */
static int add_plane(struct secondary_proxy *p, const char *vif,
                     struct xlc_error *err)
{
    int r = plane_setup(&p->planes[p->n], &p->tc, vif, err);

    if (r) return r;
    snprintf(p->sh->vif[p->n], sizeof(p->sh->vif[p->n]), "%s", vif);
    p->sh->nvifs = ++p->n;
    r = plane_inline(&p->planes[p->n - 1], err);
    /* Up, still on no bridge: only our TAPs hear it. */
    return r ? r : bridge_join(vif, NULL, err);
}

/* It is on its bridge; the guard knows of it since it was made. */
static int adopt_plane(struct secondary_proxy *p, const char *vif,
                       struct xlc_error *err)
{
    int r = plane_adopt(&p->planes[p->n], &p->tc, vif, err);

    if (!r) p->n++;
    return r;
}

static int give_conn(struct secondary_proxy *p, struct conn *c,
                     struct xlc_error *err)
{
    return proxy_secondary_peer(p->proxy, conn_fd(c), &conn_stream_ops, c,
                                err);
}

static int start(struct secondary_proxy *p, const char (*vifs)[IFNAMSIZ],
                 unsigned int n, bool resume, struct xlc_error *err)
{
    struct proxy_port ports[WIRE_VIFS_MAX];
    struct proxy_secondary_cfg cfg = {
        .ports = ports,
        .nports = n,
        .rewrite = REWRITE_OPTS_INIT,
        .keep = p->sh->keep.fd ? &p->sh->keep : NULL,
        .resume = resume,
    };
    int r = tc_open(&p->tc, err);

    if (r) return r;
    p->tc_open = true;
    for (unsigned int i = 0; i < n; i++) {
        r = resume ? adopt_plane(p, vifs[i], err) :
            add_plane(p, vifs[i], err);
        if (r) return r;
        ports[i] = proxy_port_of(&p->planes[i]);
    }
    r = proxy_secondary_start(&p->proxy, &cfg, err);
    if (!r && p->conn) {
        r = give_conn(p, p->conn, err);
        if (!r) p->conn = NULL;
    }
    return r;
}

int secondary_proxy_start(struct secondary_proxy *p,
                          const char (*vifs)[IFNAMSIZ], unsigned int n,
                          struct xlc_error *err)
{
    int r;

    LOCK_SCOPE(&p->lock);
    if (!n || n > WIRE_VIFS_MAX)
        return xlc_error_set(err, -EINVAL, "packets of %u vifs can't be "
                             "compared; 1 to %u can", n, WIRE_VIFS_MAX);
    r = start(p, vifs, n, false, err);
    if (r) end_proxy(p);
    else p->event = proxy_secondary_event_fd(p->proxy);
    return r;
}

int secondary_proxy_resume(struct secondary_proxy *p, struct xlc_error *err)
{
    unsigned int n = p->sh->nvifs;
    int r;

    LOCK_SCOPE(&p->lock);
    if (!n || n > WIRE_VIFS_MAX || p->proxy)
        return xlc_error_set(err, -EINVAL, "there are no vifs to take over");
    r = start(p, (const char (*)[IFNAMSIZ])p->sh->vif, n, true, err);
    if (r) {
        leave(p);
        return r;
    }
    p->open = true;
    p->event = proxy_secondary_event_fd(p->proxy);
    return 0;
}

void secondary_proxy_end(struct secondary_proxy *p)
{
    LOCK_SCOPE(&p->lock);
    end_proxy(p);
}

void secondary_proxy_leave(struct secondary_proxy *p)
{
    LOCK_SCOPE(&p->lock);
    leave(p);
}

void secondary_proxy_free(struct secondary_proxy *p)
{
    if (!p) return;
    end_proxy(p);
    conn_free(p->conn);
    close(p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- The peer's proxy ---------------------------------------------------- */

static bool lives(const struct secondary_proxy *p)
{
    return !p->dead && !p->open;
}

bool secondary_proxy_lives(struct secondary_proxy *p)
{
    LOCK_SCOPE(&p->lock);
    return lives(p);
}

int secondary_proxy_attach(struct secondary_proxy *p, struct conn *c,
                           struct xlc_error *err)
{
    int r = 0;

    LOCK_SCOPE(&p->lock);
    if (!lives(p))
        return xlc_error_set(err, -ESHUTDOWN, "packets of the copy are not "
                             "compared any more");
    if (p->proxy) {
        if (p->attached) r = proxy_secondary_no_peer(p->proxy, err);
        if (!r) r = give_conn(p, c, err);
    } else {
        conn_free(p->conn);
        p->conn = c;
    }
    if (r) return r;
    if (p->attached)
        log_info("%s: the primary's proxy has made a new stream", p->name);
    p->attached = true;
    p->lost = false;
    return 0;
}

int secondary_proxy_fd(const struct secondary_proxy *p)
{
    return p->event;
}

int secondary_proxy_wake_fd(const struct secondary_proxy *p)
{
    return p->wake;
}

/* It can't go on by itself. The copy stays what it is; nothing of it may be
 * on the network before a failover, and from then on its way is the direct
 * one. */
static void proxy_died(struct secondary_proxy *p, const struct xlc_error *why)
{
    log_error("%s: the copy's packets can't be compared any more: %s",
              p->name, why->msg);
    p->lost = p->dead = true;
    if (p->open) {
        end_proxy(p);
        log_error("%s: connections from before the takeover may break",
                  p->name);
    } else {
        stop_proxy(p);
    }
}

void secondary_proxy_event(struct secondary_proxy *p)
{
    struct proxy_secondary_status st;
    struct xlc_error e = XLC_ERROR_INIT;
    uint64_t n, one = 1;
    int r;

    LOCK_SCOPE(&p->lock);
    if (!p->proxy) return;
    r = read(proxy_secondary_event_fd(p->proxy), &n, sizeof(n)) < 0 &&
        errno != EAGAIN;
    if (r) log_error("%s: eventfd: %s", p->name, strerror(errno));
    if (proxy_secondary_status(p->proxy, &st, &e)) {
        proxy_died(p, &e);
    } else if (p->attached && !p->open && !st.peer && !p->lost) {
        p->lost = true;
        log_warn("%s: the primary's proxy is not heard any more (%s): the "
                 "copy takes checkpoints only", p->name,
                 st.err.status ? st.err.msg : "it closed its stream");
    }
    if (write(p->wake, &one, sizeof(one)) < 0) {
        /* The counter is full: it is readable. */
    }
}

unsigned int secondary_proxy_mode(struct secondary_proxy *p, uint64_t epoch)
{
    struct proxy_secondary_status st;

    LOCK_SCOPE(&p->lock);
    if (!p->proxy || p->lost || p->open ||
        proxy_secondary_status(p->proxy, &st, NULL))
        return WIRE_MODE_PASSIVE;
    if (p->attached && !st.peer) return WIRE_MODE_PASSIVE;
    /* Or it is past it, and the next checkpoint is on its way. */
    return st.told == epoch ? st.mode : 0;
}

/* ---- Epochs -------------------------------------------------------------- */

/* The copy stands still. What can't be told counts as said, and so does what
 * was said before it was put back to the same epoch once more. */
static void note_cut(struct secondary_proxy *p, uint64_t epoch)
{
    struct proxy_secondary_status st;

    if (epoch == p->cut) return;
    p->cut = epoch;
    p->cut_out = proxy_secondary_status(p->proxy, &st, NULL) ? UINT64_MAX :
                 st.out_frames;
}

int secondary_proxy_cut(struct secondary_proxy *p, uint64_t epoch,
                        struct xlc_error *err)
{
    const struct timespec nap = { 0, CUT_NAP_NS };
    int r = 0;

    LOCK_SCOPE(&p->lock);
    if (!p->proxy || p->open || epoch < p->cut) return 0;
    for (unsigned int i = 0; i < CUT_TRIES; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        r = proxy_secondary_cut(p->proxy, epoch, &e);
        if (!r) note_cut(p, epoch);
        /* It has ended: then nobody hears the copy, whatever its epoch. */
        if (!r || r == -ESHUTDOWN) return 0;
        if (r != -EBUSY || i == CUT_TRIES - 1)
            return xlc_error_set(err, r, "%s", e.msg);
        nanosleep(&nap, NULL);
    }
    return r;
}

bool secondary_proxy_said(struct secondary_proxy *p)
{
    struct proxy_secondary_status st;

    LOCK_SCOPE(&p->lock);
    if (!p->proxy || proxy_secondary_status(p->proxy, &st, NULL)) return true;
    /* Without a peer its frames wait, uncounted, for the network. */
    return !st.peer || st.out_frames != p->cut_out;
}

void secondary_proxy_connected(struct secondary_proxy *p)
{
    struct xlc_error e = XLC_ERROR_INIT;

    LOCK_SCOPE(&p->lock);
    if (p->proxy && proxy_secondary_connected(p->proxy, &e))
        log_warn("%s: %s", p->name, e.msg);
}

/* ---- Failover ------------------------------------------------------------ */

int secondary_proxy_open(struct secondary_proxy *p, struct xlc_error *err)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int r;

    LOCK_SCOPE(&p->lock);
    if (p->open) return 0;
    r = p->proxy ? proxy_secondary_open(p->proxy, &e) : -ESHUTDOWN;
    if (r && r != -ESHUTDOWN) return xlc_error_set(err, r, "%s", e.msg);
    p->open = true;
    if (r && p->n) {
        log_error("%s: without its proxy, connections from before the "
                  "takeover may break", p->name);
        end_proxy(p);
    }
    return 0;
}

/* How many of the vifs are still there? */
static unsigned int vifs_there(const struct secondary_proxy *p)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < p->n; i++)
        n += (int)if_nametoindex(p->planes[i].vif) == p->planes[i].ifindex;
    return n;
}

static void go_direct(struct secondary_proxy *p)
{
    for (unsigned int i = 0; i < p->n && !p->direct; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        if (plane_direct(&p->planes[i], &e))
            log_error("%s: %s", p->name, e.msg);
    }
    p->direct = true;
}

void secondary_proxy_turn(struct secondary_proxy *p, uint64_t now_ms)
{
    struct proxy_secondary_status st;
    struct xlc_error e = XLC_ERROR_INIT;

    if (!p->open) return;
    LOCK_SCOPE(&p->lock);
    if (!p->proxy || now_ms < p->turn_ms) return;
    p->turn_ms = now_ms + TURN_MS;
    if (proxy_secondary_status(p->proxy, &st, &e)) {
        proxy_died(p, &e);
        return;
    }
    /* Nobody reads that vif's packets. */
    if (st.ports_lost && vifs_there(p) == p->n) {
        proxy_died(p, &st.err);
        return;
    }
    if (st.live && vifs_there(p)) return;
    go_direct(p);
    if (proxy_secondary_idle(p->proxy, &e) && vifs_there(p)) return;
    end_proxy(p);
    log_info("%s: its packets go their direct way", p->name);
}

uint32_t secondary_proxy_live(struct secondary_proxy *p)
{
    struct proxy_secondary_status st;

    LOCK_SCOPE(&p->lock);
    if (!p->proxy || proxy_secondary_status(p->proxy, &st, NULL)) return 0;
    return st.live;
}

void secondary_proxy_status(struct secondary_proxy *p, struct json *j)
{
    struct proxy_secondary_status st = { .epoch = 0 };

    LOCK_SCOPE(&p->lock);
    if (p->proxy && proxy_secondary_status(p->proxy, &st, NULL)) st.told = 0;
    json_str(j, "mode", st.mode == WIRE_MODE_COLO ? "colo" : "passive");
    json_bool(j, "peer", st.peer && st.greeted);
    json_bool(j, "open", p->open);
    json_uint(j, "epoch_told", st.told);
    json_uint(j, "waiting_packets", st.waiting);
    json_uint(j, "waiting_bytes", st.waiting_bytes);
    json_uint(j, "live_flows", st.live);
    json_uint(j, "in_packets_total", st.in_frames);
    json_uint(j, "in_again_total", st.in_again);
    json_uint(j, "in_lost_total", st.in_lost);
    json_uint(j, "out_packets_total", st.out_frames);
    json_uint(j, "out_lost_total", st.out_lost);
    json_uint(j, "out_stale_total", st.out_stale);
    json_uint(j, "dropped_total", st.dropped);
    json_uint(j, "answered_total", st.answered);
}
