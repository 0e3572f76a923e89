/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-colo-secondary.c - The copy as a domain: built, put back, taken over
 *
 * RULES A9: what runs, and what is on a bridge, when.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "colo-host.h"
#include "tap.h"

static void test_life(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin(&e);

    ok(c && !colo_secondary_finishing(c) && !colo_secondary_domid(c),
       "a copy that is none yet");
    ok(!epoch(c, 1, &e) && now.orderly && now.order == OPEN &&
       now.held == 1 && colo_secondary_domid(c) == 7,
       "the first epoch makes a domain of it, everything in its order");
    ok(colo_secondary_finishing(c), "its restore's end is not its own");
    ok(!now.bridged && !called(GO) && !called(REJOIN) && !now.renamed,
       "A9: on no bridge, paused, under the copy's name");
    ok(!epoch(c, 2, &e) && !epoch(c, 3, &e) && wrote(7, 3) && wrote(8, 3) &&
       !called(GO) && !now.bridged, "A9: so it is after every epoch %s",
       e.msg);
    ok(!colo_secondary_ready(c, &e) && now.bridged && called(REJOIN) &&
       !called(GO) && !now.renamed, "failover: network first");
    ok(!colo_secondary_ready(c, &e) && !colo_secondary_go(c, &e) &&
       called(GO) && now.renamed && wrote(7, 3), "then it goes");
    colo_secondary_release(c);
    colo_secondary_release(c);
    ok(now.closed == 1, "its writes are not logged any more");
    colo_secondary_free(c);
}

static void test_build_faults(void)
{
    for (enum step f = FINISH; f < STEPS; f++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct colo_secondary *c = begin(&e);

        s.proxy = (struct secondary_proxy *)&now;
        now.fail = f;
        ok(epoch(c, 1, &e) == -EIO && strstr(e.msg, step_names[f]) &&
           now.order == (int)f && !called(GO), "the host fails: %s", e.msg);
        xlc_error_clear(&e);
        ok(colo_secondary_ready(c, &e) == -EINVAL && !called(GO),
           "then there is nothing to run");
        colo_secondary_free(c);
    }
}

static void test_thrown_away(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin(&e);

    s.m.state = SEC_DROPPED;
    ok(epoch(c, 1, &e) == -ECANCELED && !now.did[FINISH] &&
       !colo_secondary_finishing(c),
       "a copy that is being thrown away is not finished");
    colo_secondary_free(c);
}

static void test_faults(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin(&e);

    if (epoch(c, 1, &e)) abort();
    now.dom.fail = PUT;
    now.heal = 2;
    ok(!epoch(c, 2, &e) && now.looks == 2 && wrote(7, 2),
       "B2: a rollback that fails is tried again");
    now.dom.fail = MACHINE;
    now.looks = 0;
    now.heal = 0;
    now.leave_at = 2;
    ok(epoch(c, 3, &e) == -ECANCELED && now.looks == 2 && !called(GO),
       "but not by the data thread once the primary is silent");
    now.dom.fail = OPS;
    ok(!colo_secondary_ready(c, &e) && !colo_secondary_go(c, &e) &&
       wrote(7, 3), "B2: the epoch that was acknowledged is what runs %s",
       e.msg);
    colo_secondary_free(c);

    c = begin(&e);
    if (epoch(c, 1, &e)) abort();
    now.dom.fail = CLOSE;
    now.gone = true;
    ok(epoch(c, 2, &e) == -EIO && now.looks == 1,
       "a copy that somebody destroyed is not tried again: %s", e.msg);
    colo_secondary_free(c);

    c = begin(&e);
    if (epoch(c, 1, &e) || epoch(c, 2, &e)) abort();
    memset(now.dom.mem[7], 0x66, IS_PAGE);
    now.dom.broken = now.runs = true;
    ok(!colo_secondary_ready(c, &e) && wrote(7, 2), "rule_A1: a copy that "
       "somebody let run is put back before it gets its network %s", e.msg);
    now.runs = false;
    colo_secondary_free(c);

    c = begin(&e);
    if (epoch(c, 1, &e)) abort();
    now.fail = LEAVE;
    ok(colo_secondary_ready(c, &e) == -ENODEV && !called(GO),
       "no bridge, no step: %s", e.msg);
    now.fail = STEPS;
    xlc_error_clear(&e);
    ok(!colo_secondary_ready(c, &e) && now.bridged, "the next try has one");
    now.dom.fail = GO;
    ok(colo_secondary_go(c, &e) == -EIO && !now.renamed,
       "what does not go keeps the copy's name: %s", e.msg);
    colo_secondary_free(c);
}

static void test_refused(void)
{
    static const libxl_domain_type types[] = {
        LIBXL_DOMAIN_TYPE_PV, LIBXL_DOMAIN_TYPE_HVM,
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct colo_secondary *c = begin(&e);

        colo_secondary_free(c);
        now.cfg.c_info.type = types[i];
        c = NULL;
        ok(colo_secondary_new(&c, &s, &e) == -EPERM && !c,
           "another kind of guest: %s", e.msg);
    }
}

int main(void)
{
    pthread_mutex_init(&s.lock, NULL);
    snprintf(s.rec.name, sizeof(s.rec.name), "g1");
    s.paths.limit_ms = 60000;
    test_life();
    test_build_faults();
    test_thrown_away();
    test_faults();
    test_refused();
    return done_testing();
}
