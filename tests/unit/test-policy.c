/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-policy.c - The mode policy: each of its rules, and random histories
 *
 * test-policy SEED runs the random histories of that seed.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "policy-rig.h"
#include "tap.h"

/* @packets left, held for @held_us together; what they carried is small. */
static void gone(struct policy *p, uint64_t packets, uint64_t held_us,
                 uint64_t now)
{
    struct policy_left l = { packets, held_us, packets * 20, packets * 20 };

    policy_released(p, &l, now);
}

/* The next one, when it is allowed; @cause asked for as soon as can be. */
static void next(struct policy *p, enum policy_cause cause,
                            uint64_t *now)
{
    if (cause) policy_ask(p, cause, *now);
    *now = policy_when(p, *now);
    checkpoint(p, *now);
    *now += 20 * MS;
}

/* Short runs until the mode changes, or @n of them. Return: the time */
static uint64_t quarrel(struct policy *p, uint64_t now, int n)
{
    while (n-- > 0 && p->mode == POLICY_RUNNING)
        next(p, POLICY_MISCOMPARE, &now);
    return now;
}

static void the_table(void)
{
    struct policy_set set, before;
    const char *last = "";
    bool sorted = true, put = true, bounds = true, whole = true;

    policy_set_init(&set);
    ok(!policy_set_check(&set, NULL) && set.wish == POLICY_AUTO,
       "the defaults make sense; the mode is auto");
    for (const struct policy_key *k = policy_keys; k->name; k++) {
        struct xlc_error lo = XLC_ERROR_INIT, hi = XLC_ERROR_INIT;

        sorted &= strcmp(last, k->name) < 0;
        last = k->name;
        whole &= k->unit && *k->unit && k->text && *k->text &&
                 k->def >= k->min && k->def <= k->max &&
                 policy_key_find(k->name) == k;
        put &= !policy_set_put(&set, k, k->def, NULL) &&
               policy_set_get(&set, k) == k->def;
        before = set;
        bounds &= policy_set_put(&set, k, (uint64_t)k->max + 1, &hi) ==
                  -EINVAL && strstr(hi.msg, k->name) &&
                  strstr(hi.msg, k->unit);
        if (k->min)
            bounds &= policy_set_put(&set, k, k->min - 1, &lo) == -EINVAL &&
                      strstr(lo.msg, k->name);
        bounds &= !memcmp(&set, &before, sizeof(set));
    }
    ok(sorted, "keys are sorted");
    ok(whole, "each has a unit, a sentence, and a default in its bounds");
    ok(put, "each can be set and read");
    ok(bounds, "beyond its bounds: a sentence with its name and unit, and "
       "nothing changes");
    ok(!policy_key_find("nonsense"), "no such key");
}

static void key_orders(void)
{
    static const struct {
        const char *key;
        uint32_t value;
        const char *says;
    } bad[] = {
        { "probe-max", 4000, "probe-max 4000: it must be at least probe, "
                             "which is 5000 milliseconds" },
        { "run-limit", 50, "run-limit 50: it must be at least min-run, "
                           "which is 100 milliseconds" },
        { "short-run", 99, "short-run 99: it must be at least min-run, "
                           "which is 100 milliseconds" },
        { "min-run", 401, "short-run 400: it must be at least min-run, "
                          "which is 401 milliseconds" },
        { "paused-limit", 0, "paused-limit 0: it must be 1 to 90 percent" },
    };
    struct policy_set set;

    policy_set_init(&set);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct xlc_error err = XLC_ERROR_INIT;

        policy_set_put(&set, policy_key_find(bad[i].key), bad[i].value, &err);
        ok(!strcmp(err.msg, bad[i].says), "\"%s\"", err.msg);
    }
    for (unsigned int w = 0; w < POLICY_NWISHES; w++)
        ok(policy_wish_find(policy_wish_name(w)) == w, "mode %s",
           policy_wish_name(w));
    ok(policy_wish_find("both") == POLICY_NWISHES, "no mode \"both\"");
    set.wish = POLICY_NWISHES;
    ok(policy_set_check(&set, NULL) == -EINVAL, "nor a fourth one");
}

/* docs/policy.md has each threshold with its unit, default and bounds. */
static void documented(void)
{
    const char *src = getenv("abs_top_srcdir");
    CLEANUP_FREE char *page = calloc(1, 65536);
    char path[4096], row[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/docs/policy.md", src ? src : ".");
    f = fopen(path, "re");
    if (!page || !f || !fread(page, 1, 65535, f)) {
        ok(false, "%s can't be read", path);
        return;
    }
    fclose(f);
    for (const struct policy_key *k = policy_keys; k->name; k++) {
        snprintf(row, sizeof(row), "\n| `%s` | %s | %u | %u | %u |\n",
                 k->name, k->unit, k->def, k->min, k->max);
        ok(strstr(page, row), "documented: %s", k->name);
    }
}

static void the_times(void)
{
    struct policy p = fresh(POLICY_COLO);

    ok(policy_when(&p, 0) == 20 * S, "COLO: the run limit ends a run");
    policy_ask(&p, POLICY_MISCOMPARE, 50 * MS);
    policy_ask(&p, POLICY_MISCOMPARE, 54 * MS);
    ok(policy_when(&p, 54 * MS) == 100 * MS,
       "a miscompare waits for the minimum run");
    p = fresh(POLICY_COLO);
    policy_ask(&p, POLICY_MISCOMPARE, 500 * MS);
    policy_ask(&p, POLICY_LATE, 503 * MS);
    ok(policy_when(&p, 503 * MS) == 505 * MS,
       "and for others, from the first one on");
    ok(policy_suspend(&p, 505 * MS) == POLICY_LATE,
       "the graver cause is the cause");
    policy_ask(&p, POLICY_EXTRA, 506 * MS);
    policy_cut(&p, 605 * MS);
    ok(!p.asked && p.causes[POLICY_LATE] == 1,
       "the cut covers what was asked for before it");
    /* 100 ms paused, 30 % at most: 233.4 ms must follow. */
    policy_ask(&p, POLICY_DEMAND, 606 * MS);
    ok(policy_when(&p, 606 * MS) == 605 * MS + 233334,
       "a long pause asks for a long run");
    policy_ask(&p, POLICY_FINAL, 607 * MS);
    ok(policy_when(&p, 607 * MS) <= 607 * MS, "the last one never waits");
    p = fresh(POLICY_REMUS);
    ok(p.mode == POLICY_PASSIVE && policy_when(&p, 0) == 200 * MS,
       "passive: the interval");
    checkpoint(&p, 200 * MS);
    ok(policy_when(&p, 220 * MS) == 400 * MS, "from suspend to suspend");
    policy_ask(&p, POLICY_MISCOMPARE, 230 * MS);
    ok(policy_when(&p, 230 * MS) == 400 * MS,
       "what a comparison that is over says is ignored");
    policy_ask(&p, POLICY_DEMAND, 240 * MS);
    ok(policy_when(&p, 240 * MS) == 240 * MS, "a demand is met at once");
}

static void demands(void)
{
    struct policy p = fresh(POLICY_COLO);

    policy_ask(&p, POLICY_MISCOMPARE, S);
    policy_suspend(&p, 2 * S);
    policy_ask(&p, POLICY_DEMAND, 2 * S + MS);
    policy_cut(&p, 2 * S + 5 * MS);
    ok(p.asked == POLICY_DEMAND, "a demand after the suspend wants another");
    p = fresh(POLICY_COLO);
    ok(policy_cut(&p, S) == POLICY_STAY && !p.resumed_us,
       "a cut without a suspend changes nothing");
    policy_suspend(&p, S);
    policy_ask(&p, POLICY_FINAL, S + MS);
    policy_cut(&p, S + 2 * MS);
    ok(policy_when(&p, S + 3 * MS) == S + MS, "nor is the last one lost");
}

/* RULES B6: decided before the suspend, in force from the cut on. */
static void b6(void)
{
    struct policy p = fresh(POLICY_AUTO);

    policy_alive(&p, false);
    ok(policy_when(&p, S) == S, "B6: a copy that is lost asks for a cut");
    policy_suspend(&p, S);
    ok(p.next == POLICY_PASSIVE && p.mode == POLICY_RUNNING,
       "B6: decided before the suspend, not in force yet");
    policy_alive(&p, true);
    ok(policy_cut(&p, S + 10 * MS) == POLICY_LOST &&
       p.mode == POLICY_PASSIVE, "B6: nothing changes what was decided");
    policy_suspend(&p, 4 * S);
    ok(policy_cut(&p, 4 * S + 10 * MS) == POLICY_BACK &&
       p.mode == POLICY_RUNNING, "it is back: COLO again, settled");
    policy_suspend(&p, 9 * S);
    policy_pin(&p, POLICY_REMUS);
    ok(!policy_cut(&p, 9 * S + 10 * MS) && p.mode == POLICY_RUNNING,
       "B6: a wish between suspend and cut waits for the next");
    ok(checkpoint(&p, 10 * S) == POLICY_PINNED && p.mode == POLICY_PASSIVE,
       "and comes then");
    policy_pin(&p, POLICY_COLO);
    ok(checkpoint(&p, 10 * S + 200 * MS) == POLICY_PINNED &&
       p.mode == POLICY_RUNNING, "a wish does not wait for things to settle");
}

/* RULES C3: the measured hold decides, the first 2 s do not count. */
static void c3_hold(void)
{
    struct policy p = fresh(POLICY_AUTO);
    uint64_t now;

    checkpoint(&p, 100 * MS); /* passive would hold for 100 + 10 + 10 ms */
    ok(policy_held_us(&p, POLICY_PASSIVE, S) == 120 * MS,
       "a mode that never ran is judged by what a checkpoint takes");
    gone(&p, 1000, 1000 * S, 1900 * MS);
    ok(policy_when(&p, 3600 * MS) > 3600 * MS,
       "C3: what is held in the first 2 s does not count");
    for (now = 2100 * MS; now < 3700 * MS; now += 100 * MS)
        gone(&p, 10, 10 * 125 * MS, now);
    ok(policy_when(&p, now) > now, "nor 5 %% more than the other mode");
    for (; now < 12 * S; now += 100 * MS)
        gone(&p, 10, 10 * 140 * MS, now);
    ok(policy_when(&p, now) == now && policy_suspend(&p, now) ==
       POLICY_SWITCH, "C3: 15 %% more asks for a checkpoint");
    ok(policy_cut(&p, now + 10 * MS) == POLICY_HOLD_WORSE,
       "C3: and for the other mode");
    p = fresh(POLICY_AUTO);
    checkpoint(&p, 100 * MS);
    for (now = 2100 * MS; now < 4 * S; now += 100 * MS)
        gone(&p, 1, 500 * MS, now);
    ok(policy_when(&p, now) > now, "a few packets say nothing");
}

/* RULES C1: what waits until the copy's vif is back says nothing of a mode.
 * Return: whether COLO stays, and only what came later counted */
static bool stays_after_lag(bool back)
{
    struct policy p = fresh(POLICY_AUTO);
    uint64_t begun, now;

    policy_alive(&p, false);
    checkpoint(&p, S);
    policy_alive(&p, true);
    checkpoint(&p, 4 * S);
    begun = p.begun_us;
    if (back) policy_lag(&p, 900 * MS);
    gone(&p, 1000, 1000 * S, begun + 2850 * MS);
    for (now = begun + 3050 * MS; now < begun + 5 * S; now += 100 * MS)
        gone(&p, 10, 10 * MS, now);
    return p.mode == POLICY_RUNNING && policy_when(&p, now) > now &&
           p.meter[POLICY_RUNNING].sum.packets &&
           p.meter[POLICY_RUNNING].sum.packets < 1000;
}

static void c1_lag(void)
{
    ok(stays_after_lag(true),
       "C1: packets that waited for the copy to be back do not count");
    ok(stays_after_lag(false), "nor while nobody has said that it is");
}

/* Runs of @ms of a copy that takes 900 ms to be back. Return: the mode */
static enum policy_mode runs_with_lag(unsigned int ms)
{
    struct policy p = fresh(POLICY_AUTO);

    for (uint64_t now = 0; now < 60 * S && p.mode == POLICY_RUNNING;) {
        policy_lag(&p, 900 * MS);
        now = p.resumed_us + ms * MS;
        next(&p, POLICY_MISCOMPARE, &now);
    }
    return p.mode;
}

static void short_runs(void)
{
    struct policy p = fresh(POLICY_AUTO);
    uint64_t now = quarrel(&p, 0, 1000);

    ok(p.mode == POLICY_PASSIVE && now > 3500 * MS && now < 5 * S,
       "short runs, one after the other: passive after %llu ms",
       (unsigned long long)(now / MS));
    p = fresh(POLICY_AUTO);
    for (now = 0; now < 60 * S && p.mode == POLICY_RUNNING;) {
        now = quarrel(&p, now, 3);
        now += S;
        next(&p, POLICY_MISCOMPARE, &now);
    }
    ok(p.mode == POLICY_RUNNING, "a long run between them: COLO stays");
    p = fresh(POLICY_AUTO);
    for (now = 0; now < 60 * S && p.mode == POLICY_RUNNING;)
        next(&p, POLICY_DEMAND, &now);
    ok(p.mode == POLICY_RUNNING, "demands make no short runs");
    p = fresh(POLICY_COLO);
    quarrel(&p, 0, 1000);
    ok(p.mode == POLICY_RUNNING, "colo that is pinned stays");
    p = fresh(POLICY_AUTO);
    for (now = 0; now < 60 * S && p.mode == POLICY_RUNNING;) {
        gone(&p, 100, 100 * MS, now);
        next(&p, POLICY_MISCOMPARE, &now);
    }
    ok(p.mode == POLICY_RUNNING,
       "C3: short runs whose packets hardly wait are good runs");
    ok(runs_with_lag(950) == POLICY_PASSIVE,
       "a run is short although the copy took its time to be back");
    ok(runs_with_lag(1400) == POLICY_RUNNING, "but not if it ran on then");
    p = fresh(POLICY_AUTO);
    for (now = 0; now < 60 * S && p.mode == POLICY_RUNNING;) {
        policy_ask(&p, POLICY_LATE, now);
        now = policy_when(&p, now);
        policy_suspend(&p, now);
        if (p.why) ok(p.why == POLICY_TOO_LATE, "late runs say so");
        policy_cut(&p, now += 10 * MS);
    }
    p = fresh(POLICY_AUTO);
    for (now = 0; now < 60 * S && p.mode == POLICY_RUNNING;) {
        policy_suspend(&p, now += S);
        if (p.why) ok(p.why == POLICY_LAGGING, "so does a copy that lags");
        policy_cut(&p, now += 10 * MS);
        policy_lag(&p, 1500 * MS);
    }
    ok(p.mode == POLICY_PASSIVE, "and it is left alone");
}

/* RULES C3: probes that fail come ever more rarely. */
static void probes(void)
{
    static const unsigned int want_s[] = { 5, 10, 20, 40, 60, 60, 60 };
    struct policy p = fresh(POLICY_AUTO);
    uint64_t now = quarrel(&p, 0, 1000), left, begun;

    for (size_t i = 0; i < sizeof(want_s) / sizeof(want_s[0]); i++) {
        for (left = p.begun_us; p.mode == POLICY_PASSIVE;)
            next(&p, POLICY_NOTHING, &now);
        begun = p.begun_us - left;
        ok(begun >= want_s[i] * S && begun < want_s[i] * S + 500 * MS &&
           p.probing, "C3: probe %zu after %u s", i + 1, want_s[i]);
        now = quarrel(&p, now, 1000);
    }
    while (p.mode == POLICY_PASSIVE)
        next(&p, POLICY_NOTHING, &now);
    for (left = now; now < left + 31 * S;) { /* this one pays, for a while */
        gone(&p, 1000, 1000 * MS, now);
        next(&p, POLICY_MISCOMPARE, &now);
    }
    now = quarrel(&p, now, 1000);
    ok(p.mode == POLICY_PASSIVE && p.backoff_us == 5 * S && p.paid == 1,
       "C3: one that paid is repeated soon");
}

/* ----- random histories ----- */

static uint64_t rng;
static uint32_t load; /* small, a download, an upload */

static uint32_t rnd(uint32_t n)
{
    rng ^= rng >> 12;
    rng ^= rng << 25;
    rng ^= rng >> 27;
    return (uint32_t)((rng * 0x2545f4914f6cdd1du >> 33) % n);
}

static void random_set(struct policy_set *set)
{
    policy_set_init(set);
    for (int i = 0; i < 12; i++) {
        const struct policy_key *k = policy_keys;

        for (uint32_t n = rnd(16); n-- && k[1].name;)
            k++;
        /* Small numbers mostly: they make things happen. */
        policy_set_put(set, k, k->min + rnd(rnd(2) ? 200 : 10000), NULL);
    }
    set->wish = rnd(4) ? POLICY_AUTO : rnd(POLICY_NWISHES);
}

static void noise(struct policy *p, uint64_t now)
{
    switch (rnd(8)) {
    case 0:
        if (!rnd(20)) load = rnd(3);
        policy_released(p, &(struct policy_left){
                            rnd(100), rnd(20000000),
                            load == 1 ? rnd(4000000) : rnd(1000),
                            load == 2 ? rnd(4000000) : rnd(1000) }, now);
        break;
    case 1:
        policy_lag(p, rnd(3000) * MS);
        break;
    case 2:
        if (!rnd(20)) policy_alive(p, rnd(4));
        break;
    case 3:
        if (!rnd(50)) policy_pin(p, rnd(4) ? POLICY_AUTO :
                                             rnd(POLICY_NWISHES));
        break;
    case 4:
        policy_ask(p, 1 + rnd(POLICY_NCAUSES - 2), now);
        break;
    default:
        break;
    }
}

/**
 * struct judge - what must hold, seen from outside
 * @pause: of the last checkpoint; @resumed: when it ended
 * @switched: the last switch; @probe: the last probe failed with this backoff
 */
struct judge {
    uint64_t pause, resumed, switched, backoff;
    bool probed;
};

/* Return: what is wrong, or NULL */
static const char *at_suspend(const struct policy *p, const struct judge *j,
                              uint64_t now, enum policy_cause cause)
{
    uint64_t run = now - j->resumed;

    if (cause == POLICY_FINAL) return NULL;
    if (p->mode == POLICY_RUNNING && run < p->set.min_run_ms * MS)
        return "a run shorter than the minimum";
    if (j->pause * 100 > (j->pause + run) * p->set.paused_limit_percent)
        return "paused for more than the limit";
    return NULL;
}

static const char *at_cut(const struct policy *p, struct judge *j,
                          enum policy_mode was, enum policy_mode decided,
                          enum policy_why why, uint64_t now)
{
    bool forced = why == POLICY_LOST || why == POLICY_PINNED;
    const char *bad = NULL;

    if (p->mode != decided) return "the cut brought what was not decided";
    if (!why != (was == p->mode)) return "a switch without a reason";
    if (!why) return NULL;
    if (!forced && now - j->switched < p->set.settle_ms * MS)
        bad = "a switch that did not wait";
    if (p->mode == POLICY_PASSIVE) {
        uint64_t most = p->set.probe_max_ms * MS;
        uint64_t twice = j->backoff * 2 > most ? most : j->backoff * 2;
        uint64_t first = p->set.probe_ms * MS;

        if (p->backoff_us > most || p->backoff_us < first)
            bad = "a backoff out of bounds";
        if (j->probed && !forced && p->backoff_us != twice &&
            now - j->switched < p->set.probe_reset_ms * MS)
            bad = "a failed probe whose backoff did not double";
        j->backoff = p->backoff_us;
    }
    j->probed = why == POLICY_PROBE;
    /* Another load brings it forward, not beyond the first distance. */
    if (j->probed && now - j->switched < (p->early_us ? p->set.probe_ms * MS :
                                                        j->backoff))
        bad = "a probe that came too soon";
    j->switched = now;
    return bad;
}

static const char *history(void)
{
    struct policy_set set;
    struct judge j = { 0 };
    struct policy p;
    uint64_t now = 0;
    const char *bad = NULL;

    load = 0;
    random_set(&set);
    policy_init(&p, &set, rnd(4), now);
    j.backoff = p.set.probe_ms * MS;
    for (int i = 0; i < 3000 && !bad; i++) {
        enum policy_mode was = p.mode, decided;
        enum policy_cause cause;
        uint64_t when;

        noise(&p, now);
        when = policy_when(&p, now);
        if (when > now && rnd(3)) {
            uint64_t step = 1 + rnd(500000);

            now = when - now < step ? when : now + step;
            continue;
        }
        now = when > now ? when : now;
        cause = policy_suspend(&p, now);
        bad = at_suspend(&p, &j, now, cause);
        decided = p.next;
        j.pause = rnd(rnd(10) ? 20000 : 400000);
        now += j.pause;
        noise(&p, now);
        j.resumed = now;
        if (!bad)
            bad = at_cut(&p, &j, was, decided, policy_cut(&p, now), now);
        if (rnd(10)) policy_committed(&p, now + rnd(100000));
    }
    return bad;
}

static void histories(const char *arg)
{
    uint64_t seed = arg ? strtoull(arg, NULL, 10) : (uint64_t)time(NULL);
    const char *bad = NULL;
    int i;

    for (i = 0; i < 400 && !bad; i++) {
        rng = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15u | 1;
        bad = history();
    }
    ok(!bad, "400 random histories of seed %llu%s%s",
       (unsigned long long)(bad ? seed + (uint64_t)i - 1 : seed),
       bad ? ": " : "", bad ? bad : "");
}

int main(int argc, char **argv)
{
    the_table();
    key_orders();
    documented();
    the_times();
    demands();
    b6();
    c3_hold();
    c1_lag();
    short_runs();
    probes();
    histories(argc > 1 ? argv[1] : NULL);
    return done_testing();
}
