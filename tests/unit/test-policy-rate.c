/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-policy-rate.c - The mode policy: streams of much, and other loads
 *
 * Of a download the hold says nothing: what moves decides. When the load
 * becomes another one, COLO is tried soon.
 */
#include <config.h>

#include "policy-rig.h"
#include "tap.h"

/* For @ms: each 100 ms @kib KiB left downwards, held for @held_ms. Passive
 * checkpoints go on meanwhile. Return: why the mode changed, if it did */
static enum policy_why bulk(struct policy *p, uint64_t *now, unsigned int ms,
                            unsigned int kib, unsigned int held_ms)
{
    enum policy_why why = POLICY_STAY;

    for (uint64_t end = *now + ms * MS; *now < end && !why; *now += 100 * MS) {
        struct policy_left l = { kib, kib * held_ms * MS, kib * 1400, 0 };

        policy_released(p, &l, *now);
        if (policy_when(p, *now) <= *now) why = checkpoint(p, *now);
        if (why && p->mode == POLICY_RUNNING) policy_lag(p, 100 * MS);
    }
    return why;
}

/* COLO, from the start, and what a checkpoint takes: 120 ms. */
static struct policy streaming(uint64_t *now)
{
    struct policy p = fresh(POLICY_AUTO);

    checkpoint(&p, 100 * MS);
    policy_lag(&p, 100 * MS);
    *now = 200 * MS;
    return p;
}

/* A stream that moves more than passive mode should is not tried at once. */
static void c3_rate(void)
{
    uint64_t now, begun;
    struct policy p = streaming(&now);
    enum policy_why why;

    ok(!bulk(&p, &now, 30000, 200, 2000), "C3: a download that is held for "
       "2 s, but moves 2.7 MiB/s, stays in COLO");
    ok(bulk(&p, &now, 10000, 200, 2000) == POLICY_HOLD_WORSE,
       "until it is time to see what checkpoints alone move");
    begun = now;
    why = bulk(&p, &now, 10000, 40, 120);
    ok(why == POLICY_FASTER && now - begun > 3400 * MS &&
       now - begun < 4 * S, "they move a fifth: COLO again, after %llu ms",
       (unsigned long long)((now - begun) / MS));
    ok(!bulk(&p, &now, 50000, 200, 2000), "and it stays");
    ok(bulk(&p, &now, 20000, 200, 2000) == POLICY_HOLD_WORSE,
       "what was measured a minute ago is measured again");
    ok(bulk(&p, &now, 60000, 400, 120) == POLICY_PROBE,
       "now they move more: no hurry");
    ok(bulk(&p, &now, 10000, 200, 2000) == POLICY_HOLD_WORSE && !p.trial,
       "what the probe moves is less");
    p = streaming(&now);
    ok(bulk(&p, &now, 5000, 20, 2000) == POLICY_HOLD_WORSE && p.trial &&
       now < 5 * S, "C3: one that moves 0.27 MiB/s is tried at once");
    bulk(&p, &now, 4900, 40, 120);
    ok(p.mode == POLICY_PASSIVE, "and left alone, as it moves more there");
}

/* For @ms: small answers, held for @held_ms. */
static enum policy_why small(struct policy *p, uint64_t *now, unsigned int ms,
                             unsigned int held_ms)
{
    enum policy_why why = POLICY_STAY;

    for (uint64_t end = *now + ms * MS; *now < end && !why; *now += 100 * MS) {
        struct policy_left l = { 10, 10 * held_ms * MS, 200, 200 };

        policy_released(p, &l, *now);
        if (policy_when(p, *now) <= *now) why = checkpoint(p, *now);
        if (why && p->mode == POLICY_RUNNING) policy_lag(p, 100 * MS);
    }
    return why;
}

/* What was measured of one load is not about the next. */
static void trials(void)
{
    uint64_t now;
    struct policy p = streaming(&now);

    bulk(&p, &now, 5000, 20, 2000);
    ok(bulk(&p, &now, 5000, 10, 120) == POLICY_FASTER &&
       !bulk(&p, &now, 5000, 20, 2000), "C3: what moves more is known");
    small(&p, &now, 8000, 1);
    ok(bulk(&p, &now, 8000, 20, 2000) == POLICY_HOLD_WORSE && p.trial,
       "but of another download later it is not");
    p = streaming(&now);
    p.set.probe_ms = 30000;
    p.backoff_us = 30 * S;
    bulk(&p, &now, 5000, 20, 2000);
    ok(p.trial && !bulk(&p, &now, 6000, 40, 120) &&
       !bulk(&p, &now, 10000, 1, 120) && p.mode == POLICY_PASSIVE,
       "a client that wants less after a while brings nothing back");
}

/* Uploads: what COLO acknowledges is not held. */
static void c3_slower(void)
{
    uint64_t now;
    struct policy p = streaming(&now);

    bulk(&p, &now, 5000, 20, 2000);
    bulk(&p, &now, 10000, 200, 120);
    ok(p.mode == POLICY_RUNNING && p.probing, "a probe");
    ok(bulk(&p, &now, 10000, 20, 1) == POLICY_SLOWER,
       "C3: packets are not held, but a tenth of them moves");
    p = streaming(&now);
    bulk(&p, &now, 5000, 20, 2000);
    bulk(&p, &now, 10000, 200, 120);
    ok(!bulk(&p, &now, 10000, 170, 1), "a little less is a client's mood");
}

/* Another load: the next probe comes soon, but not each time. */
static void other_loads(void)
{
    uint64_t now, begun, rounds = 0, early = 0;
    struct policy p = streaming(&now);
    enum policy_why why;

    while (p.backoff_us < 60 * S || p.mode == POLICY_RUNNING)
        small(&p, &now, 1000, p.mode == POLICY_RUNNING ? 500 : 120);
    small(&p, &now, 20000, 120);
    bulk(&p, &now, 300, 200, 120);
    ok(!small(&p, &now, 7000, 120), "C3: one large answer is no other load");
    begun = now;
    why = bulk(&p, &now, 20000, 200, 120);
    ok(why == POLICY_PROBE && now - begun < 3 * S,
       "C3: a load that becomes a download is tried after %llu ms",
       (unsigned long long)((now - begun) / MS));
    for (uint64_t end = now + 600 * S; now < end; rounds++) {
        bool much = rounds & 1;

        for (uint64_t turn = now + 10 * S; now < turn;) {
            why = much ?
                bulk(&p, &now, 100, p.mode ? 10 : 200, p.mode ? 500 : 120) :
                small(&p, &now, 100, p.mode ? 500 : 120);
            early += why == POLICY_PROBE;
        }
    }
    ok(early > 10 && early <= 10 + 4 + 10, "C3: one that never stays the same "
       "for 10 minutes is tried %llu times", (unsigned long long)early);
}

int main(void)
{
    c3_rate();
    trials();
    c3_slower();
    other_loads();
    return done_testing();
}
