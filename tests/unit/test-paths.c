/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-paths.c - Silence on every path for the limit, and nothing else */
#include <config.h>

#include "paths.h"
#include "tap.h"

#define LIMIT 1000u

/* Turn the loop every @step ms from @from up to and with @to.
 * Return: the first time that the peer was called silent, or 0 */
static uint64_t turn(struct paths *p, uint64_t from, uint64_t to,
                     uint64_t step)
{
    for (uint64_t t = from; t <= to; t += step)
        if (paths_tick(p, t)) return t;
    return 0;
}

static void test_limit(void)
{
    struct paths p;

    paths_init(&p, LIMIT, 5000);
    ok(paths_silence_ms(&p, 5000) == 0, "the clock starts at the start");
    ok(turn(&p, 5000, 5999, 1) == 0, "999 ms without a word are nothing");
    ok(turn(&p, 6000, 6000, 1) == 6000, "1000 ms are the limit");
    ok(paths_tick(&p, 6001), "it stays silent while nothing comes");
    paths_heard(&p, 0, 6002);
    ok(!paths_tick(&p, 6002), "until it is heard");
    ok(turn(&p, 6010, 9000, 10) == 7010, "then the limit counts anew");
    ok(paths_silence_ms(&p, 7010) == 1008, "silence is told in ms");

    paths_init(&p, LIMIT, 0);
    ok(turn(&p, 0, 5000, 300) == 1200, "a clock that starts at 0");
}

/* RULES A2: while any path hears the peer, silence on another decides
 * nothing. */
static void test_many(void)
{
    struct paths p;
    uint64_t t;
    bool quiet = true;

    for (unsigned int alone = 0; alone < PATHS_MAX; alone++) {
        paths_init(&p, LIMIT, 0);
        for (unsigned int i = 0; i < PATHS_MAX; i++)
            paths_heard(&p, i, 10);
        for (t = 100; t < 10000; t += 100) {
            if (t % 900 == 0) paths_heard(&p, alone, t);
            quiet &= !paths_tick(&p, t);
        }
    }
    ok(quiet, "RULES A2: one path that hears the peer is enough");
    ok(turn(&p, t, t + 5000, 100) == 9900 + LIMIT,
       "when that falls silent too, the limit counts from its last word");

    paths_init(&p, LIMIT, 0);
    paths_heard(&p, PATHS_MAX, 900);
    paths_heard(&p, ~0u, 900);
    ok(turn(&p, 0, 2000, 100) == 1000, "a path that does not exist is none");

    paths_init(&p, LIMIT, 0);
    turn(&p, 0, 900, 100);
    paths_heard(&p, 5, 950);
    ok(turn(&p, 1000, 1900, 100) == 0, "a path attached late counts at once");
}

/* RULES A12: a process that was stopped does not judge by its own gap. */
static void test_gap(void)
{
    struct paths p;

    paths_init(&p, LIMIT, 0);
    turn(&p, 0, 500, 100);
    ok(!paths_tick(&p, 500 + LIMIT),
       "RULES A12: a gap of the limit's length proves nothing");
    ok(turn(&p, 1600, 2400, 100) == 0 && paths_tick(&p, 2500),
       "RULES A12: a whole limit is waited for after it");

    paths_init(&p, LIMIT, 0);
    turn(&p, 0, 500, 100);
    ok(!paths_tick(&p, 1000000) && !paths_tick(&p, 1001000) &&
       turn(&p, 1001100, 1001900, 100) == 0 && paths_tick(&p, 1002000),
       "after a long gap too, and after the next");

    paths_init(&p, LIMIT, 0);
    paths_heard(&p, 3, 100);
    turn(&p, 100, 200, 100);
    ok(!paths_tick(&p, 1150) && paths_silence_ms(&p, 1150) == 100,
       "a gap of most of the limit is not counted as silence");
    ok(turn(&p, 1250, 4000, 100) == 2050, "what was silence before it is");

    paths_init(&p, LIMIT, 0);
    paths_heard(&p, 3, 100);
    turn(&p, 100, 600, 100);
    ok(!paths_tick(&p, 1099) && paths_tick(&p, 1100),
       "a gap of less than half the limit counts");

    paths_init(&p, LIMIT, 0);
    turn(&p, 0, 300, 100);
    paths_heard(&p, 0, 1200);
    ok(!paths_tick(&p, 1200) && paths_silence_ms(&p, 1200) == 0,
       "nobody is heard in the future");

    paths_init(&p, LIMIT, 5000);
    ok(!paths_tick(&p, 4000) && !paths_tick(&p, 4500),
       "a clock that steps back is a gap");
}

/* What is read right after the loop stood still may be old. */
static void test_fresh(void)
{
    struct paths p;

    paths_init(&p, LIMIT, 0);
    turn(&p, 0, 900, 100);
    ok(paths_fresh(&p, 900) && paths_fresh(&p, 1399), "a loop that turns");
    ok(!paths_fresh(&p, 1400) && !paths_fresh(&p, 90000),
       "rule_C3: one that did not: what it reads first is old");
    paths_heard(&p, 3, 90000);
    paths_tick(&p, 90000);
    ok(!paths_fresh(&p, 90001), "so is what is read in the next turn");
    for (uint64_t now = 90100; now < 91000; now += 100) {
        paths_heard(&p, 3, now);
        paths_tick(&p, now);
    }
    ok(!paths_fresh(&p, 90999) && paths_fresh(&p, 91000),
       "for the limit: it may still be on its way");
}

int main(void)
{
    test_limit();
    test_many();
    test_gap();
    test_fresh();
    return done_testing();
}
