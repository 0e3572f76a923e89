/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-primary-redial.c - The primary's connection of the proxies breaks, and
 *                         is made again
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "policy.h"
#include "primary-rig.h"
#include "tap.h"

static void lose(struct primary *p)
{
    rig.now.peer = false;
    rig_turn(p);
    primary_redial_turn(p, 0);
    rig.said[0] = 0;
}

static bool comes_back(struct primary *p)
{
    rig.through = true;
    primary_redial_turn(p, 0);
    rig_turn(p);
    return rig_did("peer") && p->px->peer && !p->px->lost;
}

static void test_back(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);
    char text[1024];

    p->caps = PROTO_CAP_PROXY_AGAIN;
    p->m.state = PRIM_PROTECTED;
    rig_epoch(p, 1);
    rig_epoch(p, 2);
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
    rig_epoch(p, 3);
    ok(rig_did("hold passive settle settle cut3 unhold commit3"), "passive");
    ok(comes_back(p) && !primary_proxy_warning(p, text, sizeof(text)),
       "it is there again");
    rig_epoch(p, 4);
    ok(rig_did("hold passive settle settle cut4 unhold commit4"),
       "rule_B6: a checkpoint that began without it stays passive");
    rig_epoch(p, 5);
    ok(rig_did("hold colo settle settle cut5 unhold commit5") &&
       p->px->pol.mode == POLICY_RUNNING, "rule_B6: the next cut compares");
    rig.now.peer = false;
    rig_turn(p);
    rig.said[0] = 0;
    rig_epoch(p, 6);
    ok(rig_did("hold passive settle settle cut6 unhold commit6") &&
       primary_proxy_warning(p, text, sizeof(text)), "and may break again");
    primary_proxy_end(p, true);
    rig_gone(p);
}

/* It is there again before the answer to an epoch that was cut while the copy
 * ran, and after which it stands still. */
static void test_back_soon(void)
{
    struct primary *p = rig_begun(XLC_MODE_COLO);

    p->caps = PROTO_CAP_PROXY_AGAIN;
    p->m.state = PRIM_PROTECTED;
    rig_epoch(p, 1);
    rig_epoch(p, 2);
    rig_cut(p, 3);
    lose(p);
    ok(comes_back(p), "it breaks after a cut, and is there again");
    rig_acked(p, 3);
    ok(primary_proxy_due_us(p) < clock_us() + 1000000,
       "rule_B6: that cut's answer does not make it forgotten: a checkpoint "
       "is due soon");
    rig.said[0] = 0;
    rig_epoch(p, 4);
    ok(rig_did("hold passive settle settle cut4 unhold commit4") &&
       p->px->pol.mode == POLICY_PASSIVE, "rule_B6: which is passive");
    rig_epoch(p, 5);
    ok(rig_did("hold colo settle settle cut5 unhold commit5") &&
       p->px->pol.mode == POLICY_RUNNING, "rule_B6: and the next compares");
    primary_proxy_end(p, true);
    rig_gone(p);
}

int main(void)
{
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    test_back();
    test_back_soon();
    return done_testing();
}
