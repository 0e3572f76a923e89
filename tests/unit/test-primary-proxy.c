/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-primary-proxy.c - The primary's calls of its proxy, and their order
 *
 * The planes and the proxy are the test's: each call leaves a word.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "plane-name.h"
#include "plane.h"
#include "policy.h"
#include "primary-proxy-internal.h"
#include "proxy-primary.h"
#include "tap.h"

static char said[512];
static struct proxy_primary_status now;
static unsigned int busy; /* proxy_primary_idle() says so this often */
static int fails, evfd = -1;
static int fake;

/* ---- What is not here --------------------------------------------------- */

static int word(const char *w)
{
    size_t n = strlen(said);

    snprintf(said + n, sizeof(said) - n, "%s%s", n ? " " : "", w);
    return 0;
}

static int word_n(const char *w, uint64_t n)
{
    char buf[48];

    snprintf(buf, sizeof(buf), "%s%llu", w, (unsigned long long)n);
    return word(buf);
}

static bool did(const char *all)
{
    bool same = !strcmp(said, all);

    if (!same) printf("# said: %s\n", said);
    said[0] = 0;
    return same;
}

int tc_open(struct tc *tc, struct xlc_error *err)
{
    (void)tc, (void)err;
    return 0;
}

void tc_close(struct tc *tc)
{
    (void)tc;
}

void tapdev_close(struct tapdev *t)
{
    (void)t;
    word("tap-closed");
}

int plane_name(char name[IFNAMSIZ], const char *vif, bool inbound)
{
    (void)name, (void)inbound;
    return strncmp(vif, "vif7.", 5) ? -EINVAL : 0;
}

static bool left;

int plane_left(struct tc *tc, const char *vif)
{
    (void)tc, (void)vif;
    return left;
}

int plane_setup(struct plane *p, struct tc *tc, const char *vif,
                struct xlc_error *err)
{
    *p = (struct plane)PLANE_INIT;
    p->tc = tc;
    if (fails) return xlc_error_set(err, fails, "no plane");
    return word(vif);
}

int plane_inline(struct plane *p, struct xlc_error *err)
{
    (void)p, (void)err;
    return word("inline");
}

int plane_direct(struct plane *p, struct xlc_error *err)
{
    (void)p, (void)err;
    return word("direct");
}

int plane_settle(struct plane *p, uint32_t quiet_us, uint32_t limit_us,
                 struct xlc_error *err)
{
    (void)p, (void)quiet_us, (void)limit_us, (void)err;
    return word("settle");
}

int plane_teardown(struct plane *p, struct xlc_error *err)
{
    (void)p, (void)err;
    return word("teardown");
}

int proxy_primary_start(struct proxy_primary **p_r,
                        const struct proxy_primary_cfg *cfg,
                        struct xlc_error *err)
{
    (void)err;
    *p_r = (struct proxy_primary *)&fake;
    evfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    now = (struct proxy_primary_status){ .peer = false };
    return word_n("start", cfg->compare.late_ns / 1000000u);
}

void proxy_primary_stop(struct proxy_primary *p)
{
    if (!p) return;
    word("stop");
    close(evfd);
}

int proxy_primary_event_fd(const struct proxy_primary *p)
{
    (void)p;
    return evfd;
}

int proxy_primary_peer(struct proxy_primary *p, int fd,
                       const struct wirestream_ops *ops, void *ctx,
                       struct xlc_error *err)
{
    (void)p, (void)fd, (void)ops, (void)ctx;
    if (fails) return xlc_error_set(err, fails, "no peer");
    now.peer = now.greeted = true;
    return word("peer");
}

int proxy_primary_hold(struct proxy_primary *p, bool hold,
                       struct xlc_error *err)
{
    (void)p, (void)err;
    return word(hold ? "hold" : "unhold");
}

int proxy_primary_cut(struct proxy_primary *p, uint64_t n,
                      struct xlc_error *err)
{
    (void)p;
    if (fails) return xlc_error_set(err, fails, "no cut");
    now.epoch = n;
    now.connected = false;
    return word_n("cut", n);
}

int proxy_primary_commit(struct proxy_primary *p, uint64_t n,
                         struct xlc_error *err)
{
    (void)p, (void)err;
    return word_n("commit", n);
}

int proxy_primary_mode(struct proxy_primary *p, enum compare_mode mode,
                       struct xlc_error *err)
{
    (void)p, (void)err;
    return word(mode == COMPARE_COLO ? "colo" : "passive");
}

int proxy_primary_open(struct proxy_primary *p, struct xlc_error *err)
{
    (void)p;
    if (fails) return xlc_error_set(err, fails, "the proxy has ended");
    return word("open");
}

int proxy_primary_idle(struct proxy_primary *p, struct xlc_error *err)
{
    (void)p, (void)err;
    if (!busy) return word("idle");
    busy--;
    return -EAGAIN;
}

int proxy_primary_status(struct proxy_primary *p,
                         struct proxy_primary_status *s,
                         struct xlc_error *err)
{
    (void)p, (void)err;
    *s = now;
    return 0;
}

int proxy_primary_held(struct proxy_primary *p, struct proxy_primary_held *h,
                       struct xlc_error *err)
{
    (void)p, (void)err;
    *h = (struct proxy_primary_held){ .packets = 0 };
    return 0;
}

int proxy_primary_limits(struct proxy_primary *p, uint64_t late_ns,
                         uint64_t plug_ns, struct xlc_error *err)
{
    (void)p, (void)err;
    word_n("late", late_ns / 1000000u);
    return word_n("plug", plug_ns / 1000000u);
}

libxl_device_nic *libxl_device_nic_list(libxl_ctx *ctx, uint32_t domid,
                                        int *n)
{
    libxl_device_nic *nics = calloc(2, sizeof(*nics));

    (void)ctx, (void)domid;
    if (!nics) abort();
    nics[1].devid = 1;
    *n = 2;
    return nics;
}

void libxl_device_nic_list_free(libxl_device_nic *list, int n)
{
    (void)n;
    free(list);
}

void conn_free(struct conn *c)
{
    (void)c;
    word("conn-freed");
}

int conn_fd(const struct conn *c)
{
    (void)c;
    return -1;
}

const struct wirestream_ops conn_stream_ops;

static bool through; /* the next attempt is */

void redial_init(struct redial *r, const struct conn *first,
                 const struct conn_secret *secret, uint16_t port,
                 uint8_t channel, uint64_t now_ms)
{
    (void)r, (void)first, (void)secret, (void)port, (void)channel;
    (void)now_ms;
}

void redial_lost(struct redial *r, const char *why, uint64_t now_ms)
{
    (void)why, (void)now_ms;
    r->lost = true;
}

void redial_close(struct redial *r)
{
    r->lost = false;
}

int redial_fd(const struct redial *r)
{
    (void)r;
    return -1;
}

short redial_events(const struct redial *r)
{
    (void)r;
    return 0;
}

bool redial_turn(struct redial *r, uint64_t now_ms)
{
    (void)now_ms;
    return r->lost && through;
}

struct conn *redial_take(struct redial *r, uint64_t now_ms)
{
    (void)now_ms;
    r->lost = through = false;
    return (struct conn *)&fake;
}

/* ---- A primary ---------------------------------------------------------- */

static struct shared sh;
static struct xlc_options options;

static struct primary *primary(enum xlc_mode mode)
{
    struct primary *p = calloc(1, sizeof(*p));

    if (!p) abort();
    options = (struct xlc_options){ .colo = true, .mode = mode };
    sh.plane = false;
    p->o = &options;
    p->sh = &sh;
    p->cfg.num_nics = 2;
    p->guest.domid = 7;
    policy_set_init(&p->live);
    p->live.wish = (enum policy_wish)mode;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->nb_lock, NULL);
    pthread_cond_init(&p->cond, NULL);
    said[0] = 0;
    return p;
}

static void gone(struct primary *p)
{
    primary_proxy_free(p);
    free(p);
}

static struct primary *begun(enum xlc_mode mode)
{
    struct primary *p = primary(mode);

    if (primary_proxy_begin(p, NULL) ||
        primary_proxy_peer(p, (struct conn *)&fake, NULL)) abort();
    said[0] = 0;
    return p;
}

/* An epoch, but for the other host's answer. */
static void cut(struct primary *p, uint64_t n)
{
    primary_proxy_asked(p, true);
    if (primary_proxy_settle(p, NULL) || primary_proxy_cut(p, n, NULL))
        abort();
    primary_proxy_asked(p, false);
    p->m.cut = n;
}

static void acked(struct primary *p, uint64_t n)
{
    p->m.acked = n;
    primary_proxy_committed(p);
}

static void epoch(struct primary *p, uint64_t n)
{
    cut(p, n);
    acked(p, n);
}

/* The proxy has something to say. */
static void turn(struct primary *p)
{
    primary_proxy_turn(p, !eventfd_write(evfd, 1), 0);
}

/* ---- The tests ---------------------------------------------------------- */

static void test_begin(void)
{
    struct primary *p = primary(XLC_MODE_AUTO);
    struct xlc_error err = XLC_ERROR_INIT;

    ok(primary_proxy_wanted(p), "auto wants a proxy");
    p->cfg.num_nics = 0;
    ok(!primary_proxy_wanted(p), "not without a network");
    p->cfg.num_nics = 2;
    options.no_net = true;
    ok(!primary_proxy_wanted(p), "nor where output is not held");
    options.no_net = false;
    options.mode = XLC_MODE_REMUS;
    ok(!primary_proxy_wanted(p), "RULES B6: nor in mode remus");
    p->live.late_limit_ms = 321;
    ok(!primary_proxy_begin(p, NULL) && sh.plane &&
       did("vif7.0 vif7.1 start321 open inline inline"),
       "it passes everything before anything goes through it");
    primary_proxy_end(p, true);
    ok(did("stop teardown teardown") && !sh.plane, "and goes");
    gone(p);

    p = primary(XLC_MODE_COLO);
    fails = -EBUSY;
    ok(primary_proxy_begin(p, &err) == -EBUSY && !strcmp(err.msg, "no plane"),
       "a vif that can't be taken is told");
    fails = 0;
    primary_proxy_end(p, true);
    ok(did("") && !sh.plane, "and nothing is left");
    gone(p);

    p = primary(XLC_MODE_COLO);
    p->guest.domid = 8;
    xlc_error_clear(&err);
    ok(primary_proxy_begin(p, &err) == -EPERM &&
       strstr(err.msg, "vif8.0") && strstr(err.msg, "--mode=remus"),
       "a vif of another name is refused, with the way out");
    p->guest.domid = 7;
    xlc_error_clear(&err);
    left = true;
    primary_proxy_end(p, true);
    primary_proxy_free(p);
    ok(primary_proxy_begin(p, &err) == -EEXIST &&
       strstr(err.msg, "remus-netbuf clear 7"),
       "so is one that a killed protection left closed");
    left = false;
    primary_proxy_end(p, true);
    gone(p);
}

static void test_epochs(void)
{
    struct primary *p = begun(XLC_MODE_COLO);

    epoch(p, 1);
    ok(did("hold passive settle settle cut1 unhold commit1"),
       "RULES A4: hold, settle, cut, go on; the first one is passive");
    ok(primary_proxy_mode(p) == POLICY_PASSIVE, "as its line will say");
    epoch(p, 2);
    ok(did("hold colo settle settle cut2 unhold commit2"),
       "RULES B6: the mode is said before the cut from which it holds");
    ok(primary_proxy_mode(p) == POLICY_PASSIVE && p->cause &&
       !strcmp(p->cause, "interval"), "and which ended the other");
    fails = -EIO;
    ok(primary_proxy_cut(p, 3, NULL) == -EIO, "a cut that fails is told");
    fails = 0;
    primary_proxy_end(p, true);
    gone(p);

    p = begun(XLC_MODE_COLO);
    primary_proxy_open(p);
    epoch(p, 1);
    said[0] = 0;
    epoch(p, 2);
    ok(did("hold passive settle settle cut2 unhold commit2"),
       "without the other proxy it stays passive");
    primary_proxy_end(p, true);
    gone(p);
}

static void test_wants(void)
{
    struct primary *p = begun(XLC_MODE_COLO);
    uint64_t far;

    epoch(p, 1);
    epoch(p, 2);
    said[0] = 0;
    far = primary_proxy_due_us(p);
    now.want.reason = COMPARE_PAYLOAD;
    now.want.key.family = 4;
    now.want.key.kind = PACKET_TCP;
    now.epoch = 1;
    turn(p);
    ok(primary_proxy_due_us(p) == far, "what an old epoch wanted is ignored");
    now.epoch = 2;
    turn(p);
    ok(primary_proxy_due_us(p) + 10000000 < far, "a miscompare is due soon");
    epoch(p, 3);
    ok(!strcmp(p->cause, "miscompare") && primary_proxy_flow(p) &&
       strstr(primary_proxy_flow(p), "tcp 0.0.0.0:0"),
       "with the connection that asked for it");
    now.want.reason = COMPARE_OK;
    epoch(p, 4);
    ok(!strcmp(p->cause, "interval") && !primary_proxy_flow(p),
       "and the next one is another");
    p->demand = true;
    epoch(p, 5);
    p->final_next = true;
    ok(primary_proxy_due_us(p) <= far, "the last one waits for nothing");
    primary_proxy_end(p, true);
    gone(p);
}

static void test_lag(void)
{
    struct primary *p = begun(XLC_MODE_COLO);

    epoch(p, 1);
    epoch(p, 2);
    said[0] = 0;
    now.connected = true;
    now.lag_us = 300000;
    turn(p);
    ok(did(""), "a copy that is back soon changes nothing");
    epoch(p, 3);
    said[0] = 0;
    now.connected = true;
    now.lag_us = 3000000;
    turn(p);
    ok(did("late200 plug6000"), "RULES C1: one that is not is waited for");
    p->live.late_limit_ms = 50;
    primary_proxy_set(p);
    primary_proxy_turn(p, false, 0);
    ok(did("late50 plug6000"), "a late limit is set while it runs");
    pthread_mutex_lock(&p->nb_lock);
    p->live.late_limit_ms = 60;
    primary_proxy_set(p);
    primary_proxy_turn(p, false, 0);
    ok(did(""), "the main thread does not wait for a cut");
    pthread_mutex_unlock(&p->nb_lock);
    primary_proxy_turn(p, false, 0);
    ok(did("late60 plug6000"), "but does it with its next turn");
    primary_proxy_end(p, true);
    gone(p);
}

/* The wait for a copy that is never back does not grow without end. */
static void test_never_back(void)
{
    static const struct {
        unsigned int s;
        const char *did, *what;
    } t[] = {
        { 1, "", "an epoch that ended early says nothing" },
        { 3, "late200 plug4000", "a copy that was not back gets more time" },
        { 5, "late200 plug8000", "twice" },
        { 9, "", "and not for ever" },
    };
    struct primary *p = begun(XLC_MODE_COLO);
    uint64_t n = 2;

    epoch(p, 1);
    epoch(p, n);
    now.connected = false;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        p->px->cut_us -= t[i].s * 1000000u;
        epoch(p, ++n);
        said[0] = 0;
        turn(p);
        ok(did(t[i].did), "%s", t[i].what);
    }
    now.connected = true;
    now.lag_us = 300000;
    turn(p);
    ok(did("late200 plug2000"), "one that is back begins anew");
    primary_proxy_end(p, true);
    gone(p);
}

static void test_lost(void)
{
    struct primary *p = begun(XLC_MODE_COLO);
    char text[1024];

    epoch(p, 1);
    epoch(p, 2);
    ok(!primary_proxy_warning(p, text, sizeof(text)),
       "there is nothing to warn of");
    now.peer = false;
    turn(p);
    said[0] = 0;
    epoch(p, 3);
    ok(did("hold passive settle settle cut3 unhold commit3") && !p->trouble &&
       primary_proxy_warning(p, text, sizeof(text)) &&
       strstr(text, "protect anew"),
       "the other proxy is gone: checkpoints only, and it is said");
    epoch(p, 4);
    ok(primary_proxy_mode(p) == POLICY_PASSIVE, "and so it stays");
    now.ports_lost = 1;
    now.err = (struct xlc_error){ -EIO, "a vif is gone" };
    turn(p);
    ok(p->trouble, "a vif that can't be read ends protection");
    primary_proxy_end(p, true);
    gone(p);
}

/* The connection breaks, and is made again. */
static void lose(struct primary *p)
{
    now.peer = false;
    turn(p);
    primary_redial_turn(p, 0);
    said[0] = 0;
}

static bool comes_back(struct primary *p)
{
    through = true;
    primary_redial_turn(p, 0);
    turn(p);
    return did("peer") && p->px->peer && !p->px->lost;
}

static void test_back(void)
{
    struct primary *p = begun(XLC_MODE_COLO);
    char text[1024];

    p->caps = PROTO_CAP_PROXY_AGAIN;
    p->m.state = PRIM_PROTECTED;
    epoch(p, 1);
    epoch(p, 2);
    lose(p);
    p->px->redial.tries = 2;
    xlc_error_set(&p->px->redial.why, -ECONNREFUSED, "nobody is there");
    ok(primary_proxy_warning(p, text, sizeof(text)) &&
       strstr(text, "2 times so far: nobody is there") &&
       !strstr(text, "protect anew"), "it is tried again");
    p->px->redial.tries = 8;
    ok(primary_proxy_warning(p, text, sizeof(text)) &&
       strstr(text, "8 times so far: nobody is there") &&
       strstr(text, "protect anew"), "and again; the way out is told");
    epoch(p, 3);
    ok(did("hold passive settle settle cut3 unhold commit3"), "passive");
    ok(comes_back(p) && !primary_proxy_warning(p, text, sizeof(text)),
       "it is there again");
    epoch(p, 4);
    ok(did("hold passive settle settle cut4 unhold commit4"),
       "rule_B6: a checkpoint that began without it stays passive");
    epoch(p, 5);
    ok(did("hold colo settle settle cut5 unhold commit5") &&
       p->px->pol.mode == POLICY_RUNNING, "rule_B6: the next cut compares");
    now.peer = false;
    turn(p);
    said[0] = 0;
    epoch(p, 6);
    ok(did("hold passive settle settle cut6 unhold commit6") &&
       primary_proxy_warning(p, text, sizeof(text)), "and may break again");
    primary_proxy_end(p, true);
    gone(p);
}

/* It is there again before the answer to an epoch that was cut while the copy
 * ran, and after which it stands still. */
static void test_back_soon(void)
{
    struct primary *p = begun(XLC_MODE_COLO);

    p->caps = PROTO_CAP_PROXY_AGAIN;
    p->m.state = PRIM_PROTECTED;
    epoch(p, 1);
    epoch(p, 2);
    cut(p, 3);
    lose(p);
    ok(comes_back(p), "it breaks after a cut, and is there again");
    acked(p, 3);
    ok(primary_proxy_due_us(p) < clock_us() + 1000000,
       "rule_B6: that cut's answer does not make it forgotten: a checkpoint "
       "is due soon");
    said[0] = 0;
    epoch(p, 4);
    ok(did("hold passive settle settle cut4 unhold commit4") &&
       p->px->pol.mode == POLICY_PASSIVE, "rule_B6: which is passive");
    epoch(p, 5);
    ok(did("hold colo settle settle cut5 unhold commit5") &&
       p->px->pol.mode == POLICY_RUNNING, "rule_B6: and the next compares");
    primary_proxy_end(p, true);
    gone(p);
}

/* A guest that is not suspended after all gets its input. */
static void test_runs_on(void)
{
    struct primary *p = begun(XLC_MODE_COLO);

    epoch(p, 1);
    primary_proxy_asked(p, true);
    said[0] = 0;
    primary_proxy_runs(p);
    ok(did("unhold"), "after a suspend that failed input goes on");
    primary_proxy_asked(p, true);
    said[0] = 0;
    primary_proxy_open(p);
    ok(did("unhold open"), "also when the other host is gone meanwhile");
    primary_proxy_end(p, true);
    said[0] = 0;
    primary_proxy_runs(p);
    ok(did(""), "but not once the proxy is gone");
    gone(p);
}

static void test_end(void)
{
    struct primary *p = begun(XLC_MODE_COLO);

    busy = 3;
    primary_proxy_end(p, false);
    ok(did("unhold open direct direct idle stop teardown teardown") &&
       !busy && !sh.plane, "RULES A11: what is held leaves, then the vifs "
       "are given back");
    gone(p);

    p = begun(XLC_MODE_COLO);
    primary_proxy_silence(p);
    ok(did("stop") && sh.plane, "RULES A12: silence leaves the vifs closed");
    primary_proxy_open(p);
    primary_proxy_runs(p);
    primary_proxy_committed(p);
    primary_proxy_asked(p, true);
    primary_proxy_asked(p, false);
    ok(did(""), "and nothing opens them");
    primary_proxy_end(p, true);
    ok(did("teardown teardown") && !sh.plane, "until the domain is gone");
    gone(p);

    p = begun(XLC_MODE_COLO);
    primary_proxy_leave(p);
    ok(did("stop tap-closed tap-closed tap-closed tap-closed") && sh.plane,
       "RULES A13: a stuck guest's vifs stay closed for good");
    primary_proxy_end(p, false);
    ok(did("") && sh.plane, "also when all is over, and that is known");
    gone(p);
}

static void test_trouble(void)
{
    struct primary *p = begun(XLC_MODE_COLO);

    fails = -ESHUTDOWN;
    primary_proxy_open(p);
    fails = 0;
    ok(p->trouble && p->why.status == -ESHUTDOWN &&
       strstr(p->why.msg, "the proxy has ended"),
       "a proxy that has ended ends protection, with its reason");
    primary_proxy_end(p, true);
    gone(p);

    p = primary(XLC_MODE_COLO);
    if (primary_proxy_begin(p, NULL)) abort();
    said[0] = 0;
    fails = -EPROTO;
    ok(primary_proxy_peer(p, (struct conn *)&fake, NULL) == -EPROTO &&
       did("conn-freed"), "a connection that it does not take is closed");
    fails = 0;
    primary_proxy_end(p, true);
    gone(p);

    p = primary(XLC_MODE_REMUS);
    epoch(p, 1);
    primary_proxy_turn(p, true, 0);
    primary_proxy_open(p);
    primary_proxy_silence(p);
    primary_proxy_end(p, false);
    ok(did("") && primary_proxy_fd(p) == -1 &&
       primary_proxy_mode(p) == POLICY_PASSIVE, "without a proxy: nothing");
    gone(p);
}

int main(void)
{
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    test_begin();
    test_epochs();
    test_wants();
    test_lag();
    test_never_back();
    test_lost();
    test_back();
    test_back_soon();
    test_runs_on();
    test_end();
    test_trouble();
    return done_testing();
}
