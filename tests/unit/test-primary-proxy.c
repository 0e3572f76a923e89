/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-primary-proxy.c - The primary's calls of its proxy, and their order
 *
 * The planes and the proxy are the test's: each call leaves a word. What
 * becomes of a connection that breaks is in test-primary-redial.c.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "policy.h"
#include "primary-rig.h"
#include "tap.h"

static void test_begin(void)
{
    struct primary *p = rig_primary(XLC_MODE_AUTO);
    struct xlc_error err = XLC_ERROR_INIT;

    ok(primary_proxy_wanted(p), "auto wants a proxy");
    p->cfg.num_nics = 0;
    ok(!primary_proxy_wanted(p), "not without a network");
    p->cfg.num_nics = 2;
    rig.options.no_net = true;
    ok(!primary_proxy_wanted(p), "nor where output is not held");
    rig.options.no_net = false;
    rig.options.mode = XLC_MODE_REMUS;
    ok(!primary_proxy_wanted(p), "RULES B6: nor in mode remus");
    p->live.late_limit_ms = 321;
    ok(!primary_proxy_begin(p, NULL) && rig.sh.plane &&
       rig_did("vif7.0 vif7.1 start321 open inline inline"),
       "it passes everything before anything goes through it");
    primary_proxy_end(p, true);
    ok(rig_did("stop teardown teardown") && !rig.sh.plane, "and goes");
    rig_gone(p);

    p = rig_primary(XLC_MODE_COLO);
    rig.fails = -EBUSY;
    ok(primary_proxy_begin(p, &err) == -EBUSY && !strcmp(err.msg, "no plane"),
       "a vif that can't be taken is told");
    rig.fails = 0;
    primary_proxy_end(p, true);
    ok(rig_did("") && !rig.sh.plane, "and nothing is left");
    rig_gone(p);

    p = rig_primary(XLC_MODE_COLO);
    p->guest.domid = 8;
    xlc_error_clear(&err);
    ok(primary_proxy_begin(p, &err) == -EPERM &&
       strstr(err.msg, "vif8.0") && strstr(err.msg, "--mode=remus"),
       "a vif of another name is refused, with the way out");
    p->guest.domid = 7;
    xlc_error_clear(&err);
    rig.left = true;
    primary_proxy_end(p, true);
    primary_proxy_free(p);
    ok(primary_proxy_begin(p, &err) == -EEXIST &&
       strstr(err.msg, "remus-netbuf clear 7"),
       "so is one that a killed protection left closed");
    rig.left = false;
    primary_proxy_end(p, true);
    rig_gone(p);
}

static void test_epochs(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);

    rig_epoch(p, 1);
    ok(rig_did("hold passive settle settle cut1 unhold commit1"),
       "RULES A4: hold, settle, cut, go on; the first one is passive");
    ok(primary_proxy_mode(p) == POLICY_PASSIVE, "as its line will say");
    rig_epoch(p, 2);
    ok(rig_did("hold colo settle settle cut2 unhold commit2"),
       "RULES B6: the mode is said before the cut from which it holds");
    ok(primary_proxy_mode(p) == POLICY_PASSIVE && p->cause &&
       !strcmp(p->cause, "interval"), "and which ended the other");
    rig.fails = -EIO;
    ok(primary_proxy_cut(p, 3, NULL) == -EIO, "a cut that fails is told");
    rig.fails = 0;
    primary_proxy_end(p, true);
    rig_gone(p);

    p = rig_begun(XLC_MODE_COLO);
    primary_proxy_open(p);
    rig_epoch(p, 1);
    rig.said[0] = 0;
    rig_epoch(p, 2);
    ok(rig_did("hold passive settle settle cut2 unhold commit2"),
       "without the other proxy it stays passive");
    primary_proxy_end(p, true);
    rig_gone(p);
}

static void test_wants(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);
    uint64_t far;

    rig_epoch(p, 1);
    rig_epoch(p, 2);
    rig.said[0] = 0;
    far = primary_proxy_due_us(p);
    rig.now.want.reason = COMPARE_PAYLOAD;
    rig.now.want.key.family = 4;
    rig.now.want.key.kind = PACKET_TCP;
    rig.now.epoch = 1;
    rig_turn(p);
    ok(primary_proxy_due_us(p) == far, "what an old epoch wanted is ignored");
    rig.now.epoch = 2;
    rig_turn(p);
    ok(primary_proxy_due_us(p) + 10000000 < far, "a miscompare is due soon");
    rig_epoch(p, 3);
    ok(!strcmp(p->cause, "miscompare") && primary_proxy_flow(p) &&
       strstr(primary_proxy_flow(p), "tcp 0.0.0.0:0"),
       "with the connection that asked for it");
    rig.now.want.reason = COMPARE_OK;
    rig_epoch(p, 4);
    ok(!strcmp(p->cause, "interval") && !primary_proxy_flow(p),
       "and the next one is another");
    p->demand = true;
    rig_epoch(p, 5);
    p->final_next = true;
    ok(primary_proxy_due_us(p) <= far, "the last one waits for nothing");
    primary_proxy_end(p, true);
    rig_gone(p);
}

static void test_lag(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);

    rig_epoch(p, 1);
    rig_epoch(p, 2);
    rig.said[0] = 0;
    rig.now.connected = true;
    rig.now.lag_us = 300000;
    rig_turn(p);
    ok(rig_did(""), "a copy that is back soon changes nothing");
    rig_epoch(p, 3);
    rig.said[0] = 0;
    rig.now.connected = true;
    rig.now.lag_us = 3000000;
    rig_turn(p);
    ok(rig_did("late200 plug6000"), "RULES C1: one that is not is waited for");
    p->live.late_limit_ms = 50;
    primary_proxy_set(p);
    primary_proxy_turn(p, false, 0);
    ok(rig_did("late50 plug6000"), "a late limit is set while it runs");
    pthread_mutex_lock(&p->nb_lock);
    p->live.late_limit_ms = 60;
    primary_proxy_set(p);
    primary_proxy_turn(p, false, 0);
    ok(rig_did(""), "the main thread does not wait for a cut");
    pthread_mutex_unlock(&p->nb_lock);
    primary_proxy_turn(p, false, 0);
    ok(rig_did("late60 plug6000"), "but does it with its next turn");
    primary_proxy_end(p, true);
    rig_gone(p);
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
    struct primary *p = rig_begun(XLC_MODE_COLO);
    uint64_t n = 2;

    rig_epoch(p, 1);
    rig_epoch(p, n);
    rig.now.connected = false;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        p->px->cut_us -= t[i].s * 1000000u;
        rig_epoch(p, ++n);
        rig.said[0] = 0;
        rig_turn(p);
        ok(rig_did(t[i].did), "%s", t[i].what);
    }
    rig.now.connected = true;
    rig.now.lag_us = 300000;
    rig_turn(p);
    ok(rig_did("late200 plug2000"), "one that is back begins anew");
    primary_proxy_end(p, true);
    rig_gone(p);
}

static void test_lost(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);
    char text[1024];

    rig_epoch(p, 1);
    rig_epoch(p, 2);
    ok(!primary_proxy_warning(p, text, sizeof(text)),
       "there is nothing to warn of");
    rig.now.peer = false;
    rig_turn(p);
    rig.said[0] = 0;
    rig_epoch(p, 3);
    ok(rig_did("hold passive settle settle cut3 unhold commit3") &&
       !p->trouble && primary_proxy_warning(p, text, sizeof(text)) &&
       strstr(text, "protect anew"),
       "the other proxy is gone: checkpoints only, and it is said");
    rig_epoch(p, 4);
    ok(primary_proxy_mode(p) == POLICY_PASSIVE, "and so it stays");
    rig.now.ports_lost = 1;
    rig.now.err = (struct xlc_error){ -EIO, "a vif is gone" };
    rig_turn(p);
    ok(p->trouble, "a vif that can't be read ends protection");
    primary_proxy_end(p, true);
    rig_gone(p);
}

/* A guest that is not suspended after all gets its input. */
static void test_runs_on(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);

    rig_epoch(p, 1);
    primary_proxy_asked(p, true);
    rig.said[0] = 0;
    primary_proxy_runs(p);
    ok(rig_did("unhold"), "after a suspend that failed input goes on");
    primary_proxy_asked(p, true);
    rig.said[0] = 0;
    primary_proxy_open(p);
    ok(rig_did("unhold open"), "also when the other host is gone meanwhile");
    primary_proxy_end(p, true);
    rig.said[0] = 0;
    primary_proxy_runs(p);
    ok(rig_did(""), "but not once the proxy is gone");
    rig_gone(p);
}

static void test_end(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);

    rig.busy = 3;
    primary_proxy_end(p, false);
    ok(rig_did("unhold open direct direct idle stop teardown teardown") &&
       !rig.busy && !rig.sh.plane, "RULES A11: what is held leaves, then "
       "the vifs are given back");
    rig_gone(p);

    p = rig_begun(XLC_MODE_COLO);
    primary_proxy_silence(p);
    ok(rig_did("stop") && rig.sh.plane,
       "RULES A12: silence leaves the vifs closed");
    primary_proxy_open(p);
    primary_proxy_runs(p);
    primary_proxy_committed(p);
    primary_proxy_asked(p, true);
    primary_proxy_asked(p, false);
    ok(rig_did(""), "and nothing opens them");
    primary_proxy_end(p, true);
    ok(rig_did("teardown teardown") && !rig.sh.plane,
       "until the domain is gone");
    rig_gone(p);

    p = rig_begun(XLC_MODE_COLO);
    primary_proxy_leave(p);
    ok(rig_did("stop tap-closed tap-closed tap-closed tap-closed") &&
           rig.sh.plane,
       "RULES A13: a stuck guest's vifs stay closed for good");
    primary_proxy_end(p, false);
    ok(rig_did("") && rig.sh.plane, "also when all is over, and that is known");
    rig_gone(p);
}

static void test_trouble(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);

    rig.fails = -ESHUTDOWN;
    primary_proxy_open(p);
    rig.fails = 0;
    ok(p->trouble && p->why.status == -ESHUTDOWN &&
       strstr(p->why.msg, "the proxy has ended"),
       "a proxy that has ended ends protection, with its reason");
    primary_proxy_end(p, true);
    rig_gone(p);

    p = rig_primary(XLC_MODE_COLO);
    if (primary_proxy_begin(p, NULL)) abort();
    rig.said[0] = 0;
    rig.fails = -EPROTO;
    ok(primary_proxy_peer(p, (struct conn *)&rig, NULL) == -EPROTO &&
       rig_did("conn-freed"), "a connection that it does not take is closed");
    rig.fails = 0;
    primary_proxy_end(p, true);
    rig_gone(p);

    p = rig_primary(XLC_MODE_REMUS);
    rig_epoch(p, 1);
    primary_proxy_turn(p, true, 0);
    primary_proxy_open(p);
    primary_proxy_silence(p);
    primary_proxy_end(p, false);
    ok(rig_did("") && primary_proxy_fd(p) == -1 &&
       primary_proxy_mode(p) == POLICY_PASSIVE, "without a proxy: nothing");
    rig_gone(p);
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
    test_runs_on();
    test_end();
    test_trouble();
    return done_testing();
}
