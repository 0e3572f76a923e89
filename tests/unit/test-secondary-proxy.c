/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-secondary-proxy.c - The copy's packets: when they go which way
 *
 * The real secondary-proxy.c over planes, bridges and a proxy that are in the
 * test.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bridge.h"
#include "conn-stream.h"
#include "plane.h"
#include "proxy-secondary.h"
#include "secondary-proxy.h"
#include "secondary.h"
#include "tap.h"

enum step { TC, SETUP, INLINE, UP, START, ADOPT, STEPS };

static const char *const step_names[STEPS] = {
    "tc", "setup", "inline", "up", "start", "adopt",
};

/**
 * now - the host
 * @fail: this step fails
 * @tcs, @planes, @inlined, @proxies: how many there are now; @guarded: the
 *        guard knew of each plane when it went inline
 * @r: what the proxy answers to everything; @st: how it is
 * @cut_r: what it answers to the first @cut_n cuts; @cuts: it had
 * @conn, @conns: the stream that it was given, and how many; @hung_up: and
 *                how often it was to close it
 * @closed: TAPs that were closed without their plane
 * @opened, @busy: it was; it still has packets; @resumed: as it should be
 */
static struct {
    enum step fail;
    int tcs, planes, inlined, proxies;
    bool guarded, opened, busy, resumed;
    int r, cut_r, closed, hung_up;
    unsigned int cut_n, cuts, conns, connected;
    uint64_t cut;
    struct proxy_secondary_status st;
    const void *conn;
    int event;
} now;

static struct receive_shared shared;
static struct secondary_proxy *current;

static int step(enum step what, struct xlc_error *err)
{
    return now.fail == what ? xlc_error_set(err, -EIO, "%s failed",
                                            step_names[what]) : 0;
}

/* ---- What is not here: the kernel, the proxy, the link ------------------ */

const struct wirestream_ops conn_stream_ops;

int tc_open(struct tc *tc, struct xlc_error *err)
{
    (void)tc;
    if (step(TC, err)) return -EIO;
    now.tcs++;
    return 0;
}

void tc_close(struct tc *tc)
{
    (void)tc;
    now.tcs--;
}

int plane_setup(struct plane *p, struct tc *tc, const char *vif,
                struct xlc_error *err)
{
    *p = (struct plane)PLANE_INIT;
    if (step(SETUP, err)) return -EIO;
    p->tc = tc;
    snprintf(p->vif, sizeof(p->vif), "%s", vif);
    p->ifindex = (int)if_nametoindex(vif);
    now.planes++;
    return 0;
}

int plane_inline(struct plane *p, struct xlc_error *err)
{
    now.guarded = now.guarded && shared.nvifs == (unsigned int)now.planes &&
                  !strcmp(shared.vif[shared.nvifs - 1], p->vif);
    /* The main loop goes on meanwhile: this would wait for the lock. */
    if (secondary_proxy_fd(current) >= 0) abort();
    secondary_proxy_turn(current, 1);
    if (step(INLINE, err)) return -EIO;
    now.inlined++;
    return 0;
}

int plane_adopt(struct plane *p, struct tc *tc, const char *vif,
                struct xlc_error *err)
{
    if (now.planes == 1 && step(ADOPT, err)) return -EIO;
    *p = (struct plane)PLANE_INIT;
    p->tc = tc;
    snprintf(p->vif, sizeof(p->vif), "%s", vif);
    p->ifindex = (int)if_nametoindex(vif);
    now.planes++;
    now.inlined++;
    return 0;
}

int plane_direct(struct plane *p, struct xlc_error *err)
{
    (void)p, (void)err;
    now.inlined--;
    return 0;
}

int plane_teardown(struct plane *p, struct xlc_error *err)
{
    (void)err;
    if (p->tc) now.planes--;
    p->tc = NULL;
    return 0;
}

void tapdev_close(struct tapdev *t)
{
    (void)t;
    if (now.proxies) abort(); /* it has them */
    now.closed++;
}

int bridge_join(const char *ifname, const char *bridge,
                struct xlc_error *err)
{
    if (bridge) abort();
    if (!now.inlined) abort(); /* A9: not before its packets are ours */
    (void)ifname;
    return step(UP, err);
}

int conn_fd(const struct conn *c)
{
    (void)c;
    return 99;
}

void conn_free(struct conn *c)
{
    if (c) now.conn = NULL;
}

static struct proxy_secondary *const a_proxy = (void *)&now;

int proxy_secondary_start(struct proxy_secondary **s_r,
                          const struct proxy_secondary_cfg *cfg,
                          struct xlc_error *err)
{
    if (cfg->nports != (unsigned int)now.planes || !cfg->rewrite.flows)
        abort();
    now.resumed = cfg->resume;
    if (cfg->keep != (shared.keep.fd ? &shared.keep : NULL)) abort();
    if (step(START, err)) return -EIO;
    now.proxies++;
    *s_r = a_proxy;
    return 0;
}

void proxy_secondary_stop(struct proxy_secondary *s)
{
    if (s) now.proxies--;
}

int proxy_secondary_event_fd(const struct proxy_secondary *s)
{
    (void)s;
    return now.event;
}

int proxy_secondary_peer(struct proxy_secondary *s, int fd,
                         const struct wirestream_ops *ops, void *ctx,
                         struct xlc_error *err)
{
    (void)s, (void)err;
    if (fd != 99 || ops != &conn_stream_ops) abort();
    now.conn = ctx;
    now.conns++;
    now.st.peer = true;
    return now.r;
}

int proxy_secondary_no_peer(struct proxy_secondary *s,
                            struct xlc_error *err)
{
    (void)s, (void)err;
    now.conn = NULL;
    now.hung_up++;
    now.st.peer = false;
    return now.r;
}

int proxy_secondary_cut(struct proxy_secondary *s, uint64_t epoch,
                        struct xlc_error *err)
{
    (void)s;
    now.cuts++;
    if (now.cut_n) {
        now.cut_n--;
        return xlc_error_set(err, now.cut_r, "not now");
    }
    now.cut = epoch;
    return now.r;
}

int proxy_secondary_connected(struct proxy_secondary *s,
                              struct xlc_error *err)
{
    (void)s, (void)err;
    now.connected++;
    return now.r;
}

int proxy_secondary_open(struct proxy_secondary *s, struct xlc_error *err)
{
    (void)s, (void)err;
    now.opened = !now.r;
    return now.r;
}

int proxy_secondary_idle(struct proxy_secondary *s, struct xlc_error *err)
{
    (void)s, (void)err;
    return now.busy ? -EAGAIN : 0;
}

int proxy_secondary_status(struct proxy_secondary *s,
                           struct proxy_secondary_status *st,
                           struct xlc_error *err)
{
    (void)s, (void)err;
    *st = now.st;
    return now.r ? xlc_error_set(err, now.r, "it has ended") : 0;
}

/* ---- Tests -------------------------------------------------------------- */

/* The loopback interface stands for a vif: it is there. */
static const char vifs[][IFNAMSIZ] = { "lo", "lo" };

static struct secondary_proxy *begin(void)
{
    struct secondary_proxy *p = NULL;

    if (now.event > 0) close(now.event);
    memset(&now, 0, sizeof(now));
    memset(&shared, 0, sizeof(shared));
    now.fail = STEPS;
    now.guarded = true;
    now.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (secondary_proxy_new(&p, "g1", &shared, NULL)) abort();
    current = p;
    return p;
}

static struct secondary_proxy *begin_started(void)
{
    struct secondary_proxy *p = begin();

    if (secondary_proxy_attach(p, (struct conn *)&now, NULL) ||
        secondary_proxy_start(p, vifs, 2, NULL)) abort();
    return p;
}

static bool nothing_left(void)
{
    return !now.tcs && !now.planes && !now.proxies && !shared.nvifs;
}

static void happens(struct secondary_proxy *p)
{
    uint64_t one = 1;

    if (write(now.event, &one, sizeof(one)) < 0) abort();
    secondary_proxy_event(p);
}

static bool woken(struct secondary_proxy *p)
{
    uint64_t n;

    return read(secondary_proxy_wake_fd(p), &n, sizeof(n)) > 0;
}

static void test_start(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct secondary_proxy *p = begin();

    ok(secondary_proxy_fd(p) < 0 && !secondary_proxy_live(p) &&
       secondary_proxy_mode(p, 1) == WIRE_MODE_PASSIVE,
       "before its vifs are there nothing is");
    ok(secondary_proxy_start(p, vifs, 0, &e) == -EINVAL,
       "a guest without vifs: %s", e.msg);
    ok(!secondary_proxy_attach(p, (struct conn *)&now, NULL) && !now.conns,
       "the peer's stream waits");
    xlc_error_clear(&e);
    ok(!secondary_proxy_start(p, vifs, 2, &e) && now.planes == 2 &&
       now.inlined == 2 && now.guarded && now.conns == 1 &&
       now.conn == &now && secondary_proxy_fd(p) == now.event,
       "until the proxy is there; the guard knows what to remove %s", e.msg);
    ok(secondary_proxy_lives(p) && !now.hung_up &&
       !secondary_proxy_attach(p, (struct conn *)&shared, &e) &&
       now.conns == 2 && now.hung_up == 1 && now.conn == &shared,
       "rule_A3: a newer stream takes the place of the older %s", e.msg);
    secondary_proxy_end(p);
    ok(nothing_left() && secondary_proxy_fd(p) < 0, "the end leaves nothing");
    secondary_proxy_free(p);

    p = begin();
    if (secondary_proxy_start(p, vifs, 1, NULL)) abort();
    ok(!secondary_proxy_attach(p, (struct conn *)&now, NULL) &&
       now.conns == 1, "or it comes later");
    secondary_proxy_free(p);

    for (enum step f = TC; f <= START; f++) {
        p = begin();
        xlc_error_clear(&e);
        now.fail = f;
        ok(secondary_proxy_start(p, vifs, 2, &e) == -EIO && nothing_left() &&
           strstr(e.msg, step_names[f]), "what fails leaves nothing: %s",
           e.msg);
        secondary_proxy_free(p);
    }
    secondary_proxy_free(NULL);
}

static void test_mode(void)
{
    struct secondary_proxy *p = begin_started();

    now.st.mode = WIRE_MODE_COLO;
    now.st.told = 4;
    ok(!woken(p), "nothing was told");
    happens(p);
    ok(woken(p) && secondary_proxy_mode(p, 5) == 0, "an epoch that was not "
       "told of");
    ok(secondary_proxy_mode(p, 4) == WIRE_MODE_COLO, "one that was");
    ok(secondary_proxy_mode(p, 3) == 0,
       "one that the primary is past: nobody compares with it");
    now.st.mode = WIRE_MODE_PASSIVE;
    ok(secondary_proxy_mode(p, 4) == WIRE_MODE_PASSIVE, "a passive one");
    now.st.mode = WIRE_MODE_COLO;
    now.st.peer = false;
    ok(secondary_proxy_mode(p, 4) == WIRE_MODE_PASSIVE &&
       secondary_proxy_mode(p, 5) == WIRE_MODE_PASSIVE,
       "without the peer's proxy there is nothing to run for");
    happens(p);
    now.st.peer = true;
    ok(secondary_proxy_mode(p, 4) == WIRE_MODE_PASSIVE, "nor afterwards");
    if (secondary_proxy_attach(p, (struct conn *)&now, NULL)) abort();
    now.st.mode = 0;
    ok(secondary_proxy_mode(p, 4) == 0, "a new stream: it is waited for what "
       "that tells");
    now.st.mode = WIRE_MODE_COLO;
    ok(secondary_proxy_mode(p, 4) == WIRE_MODE_COLO, "which counts");
    secondary_proxy_free(p);
}

static void test_cut(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct secondary_proxy *p = begin_started();

    ok(!secondary_proxy_cut(p, 2, &e) && now.cut == 2 && now.cuts == 1,
       "a cut");
    ok(!secondary_proxy_cut(p, 2, &e) && now.cuts == 2,
       "rule_A10: a second rollback to the same epoch needs one, too");
    ok(!secondary_proxy_cut(p, 1, &e) && now.cuts == 2, "there is no way back");
    now.cut_r = -EBUSY;
    now.cut_n = 3;
    ok(!secondary_proxy_cut(p, 3, &e) && now.cut == 3 && now.cuts == 6,
       "rule_A10: while packets come it is tried again");
    now.cut_n = 1000;
    ok(secondary_proxy_cut(p, 4, &e) == -EBUSY && now.cut == 3,
       "but not for ever: %s", e.msg);
    now.cut_n = 0;
    xlc_error_clear(&e);
    ok(!secondary_proxy_cut(p, 4, &e) && now.cut == 4, "and once more");
    now.cut_r = -ESHUTDOWN;
    now.cut_n = 1;
    ok(!secondary_proxy_cut(p, 5, &e),
       "a proxy that has ended keeps no rollback from being done");
    secondary_proxy_connected(p);
    ok(now.connected == 1, "it is told that the vifs are connected");
    secondary_proxy_free(p);
}

static void test_said(void)
{
    struct secondary_proxy *p = begin();

    ok(secondary_proxy_said(p), "no proxy: anything may have been heard");
    secondary_proxy_free(p);
    p = begin_started();
    now.st.out_frames = 7;
    if (secondary_proxy_cut(p, 2, NULL)) abort();
    ok(!secondary_proxy_said(p), "what it said before the cut counts no more");
    now.st.peer = false;
    ok(secondary_proxy_said(p), "without a peer nobody knows");
    now.st.peer = true;
    now.st.out_frames = 8;
    ok(secondary_proxy_said(p), "a frame since the cut does");
    if (secondary_proxy_cut(p, 2, NULL)) abort();
    ok(secondary_proxy_said(p), "also of a copy that was put back there again");
    if (secondary_proxy_cut(p, 3, NULL)) abort();
    ok(!secondary_proxy_said(p), "until the next");
    now.r = -ESHUTDOWN;
    ok(secondary_proxy_said(p), "nor of a proxy that has ended");
    now.r = 0;
    secondary_proxy_free(p);
}

static void test_leave(void)
{
    struct secondary_proxy *p = begin_started();

    secondary_proxy_leave(p);
    secondary_proxy_free(p);
    ok(now.planes == 2 && now.inlined == 2 && now.closed == 4 &&
       !now.proxies && !now.tcs, "rule_A9: a copy that can't be destroyed "
       "stays cut off, also after the end");
}

static void test_failover(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct secondary_proxy *p = begin_started();

    now.st.live = 2;
    secondary_proxy_turn(p, 1000);
    ok(now.inlined == 2 && !now.opened, "nothing of it before the failover");
    ok(!secondary_proxy_open(p, &e) && now.opened &&
       !secondary_proxy_open(p, &e), "the failover");
    secondary_proxy_turn(p, 2000);
    ok(now.inlined == 2 && now.proxies == 1 && secondary_proxy_live(p) == 2,
       "rule_B4: as long as connections need it, all goes through it");
    now.st.live = 0;
    now.busy = true;
    secondary_proxy_turn(p, 3000);
    ok(!now.inlined && now.proxies == 1 && now.planes == 2,
       "then the direct way; what is in it still comes out");
    secondary_proxy_turn(p, 4000);
    ok(!now.inlined && now.proxies == 1, "and takes its time");
    now.busy = false;
    secondary_proxy_turn(p, 4100);
    ok(now.proxies == 1, "which is not looked at all the time");
    secondary_proxy_turn(p, 5000);
    ok(nothing_left(), "until it is over");
    secondary_proxy_turn(p, 6000);
    ok(secondary_proxy_mode(p, 9) == WIRE_MODE_PASSIVE &&
       !secondary_proxy_cut(p, 9, &e) && !secondary_proxy_open(p, &e),
       "for good");
    secondary_proxy_free(p);
}

static void test_death(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct secondary_proxy *p = begin_started();

    now.r = -ESHUTDOWN;
    happens(p);
    ok(!now.proxies && now.inlined == 2 && shared.nvifs == 2,
       "rule_A9: a proxy that dies opens no way to the network");
    ok(!secondary_proxy_lives(p) &&
       secondary_proxy_attach(p, (struct conn *)&now, &e) == -ESHUTDOWN,
       "nor does it take another stream: %s", e.msg);
    xlc_error_clear(&e);
    ok(!secondary_proxy_open(p, &e) && nothing_left(),
       "the failover does, without it %s", e.msg);
    secondary_proxy_free(p);

    p = begin_started();
    if (secondary_proxy_open(p, &e)) abort();
    now.st.live = 1;
    now.r = -ESHUTDOWN;
    happens(p);
    ok(nothing_left(), "later, packets get their direct way at once");
    secondary_proxy_free(p);

    p = begin_started();
    now.r = -EIO;
    ok(secondary_proxy_open(p, &e) == -EIO && now.proxies == 1,
       "what may be tried again is");
    secondary_proxy_free(p);
}

static void test_resume(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct secondary_proxy *p = begin();

    ok(secondary_proxy_resume(p, &e) == -EINVAL, "nothing was left: %s",
       e.msg);
    secondary_proxy_free(p);
    for (unsigned int f = 0; f < 3; f++) {
        static const enum step fails[] = { TC, ADOPT, START };
        static const int closed[] = { 0, 2, 4 };

        p = begin();
        now.fail = fails[f];
        shared.keep.fd = 77;
        memcpy(shared.vif[0], "lo", 3);
        memcpy(shared.vif[1], "lo", 3);
        shared.nvifs = 2;
        xlc_error_clear(&e);
        ok(secondary_proxy_resume(p, &e) == -EIO && !now.proxies && !now.tcs &&
           now.closed == closed[f] && secondary_proxy_fd(p) < 0,
           "what fails leaves the vifs closed: %s", e.msg);
        secondary_proxy_free(p);
        ok(shared.nvifs == 2, "and to the guard");
    }
}

/* In place of one that died. */
static void test_successor(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct secondary_proxy *p = begin();

    shared.keep.fd = 77;
    memcpy(shared.vif[0], "lo", 3);
    memcpy(shared.vif[1], "lo", 3);
    shared.nvifs = 2;
    now.st.live = 2;
    ok(!secondary_proxy_resume(p, &e) && now.planes == 2 && now.resumed &&
       now.proxies == 1 && shared.nvifs == 2 &&
       secondary_proxy_fd(p) == now.event, "rule_B4: it takes all over %s",
       e.msg);
    ok(!secondary_proxy_open(p, &e) && !now.opened &&
       secondary_proxy_live(p) == 2, "the failover is over");
    secondary_proxy_turn(p, 1000);
    ok(now.inlined == 2, "as long as connections need it");
    now.st.live = 0;
    secondary_proxy_turn(p, 2000);
    ok(nothing_left(), "then the vifs go their direct way");
    secondary_proxy_free(p);
}

int main(void)
{
    test_start();
    test_mode();
    test_cut();
    test_said();
    test_leave();
    test_failover();
    test_death();
    test_resume();
    test_successor();
    return done_testing();
}
