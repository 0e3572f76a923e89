/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy.c - Which mode comes next, and when a checkpoint may be taken */
#include <config.h>

#include <assert.h>
#include <string.h>

#include "policy.h"

/* What a mode was measured to do so long ago says nothing any more. */
#define STALE_US 300000000u
/* What a connection that nobody tuned has under way: checkpoints alone move
 * about that for each time that they hold it. */
#define WINDOW 65536u
/* So many changes of the load may each bring a probe forward at once. */
#define EARLY_PROBES 4u
/* So many times as long as a mode is measured, it may be left again because
 * the other moved more. */
#define TRIAL 2u

static const char *const mode_names[] = {
    [POLICY_PASSIVE] = "passive",
    [POLICY_RUNNING] = "colo",
};
static_assert(sizeof(mode_names) / sizeof(mode_names[0]) == POLICY_NMODES,
              "every mode has a name");

static const char *const cause_names[] = {
    [POLICY_NOTHING] = "nothing",       [POLICY_INTERVAL] = "interval",
    [POLICY_SWITCH] = "switch",         [POLICY_MISCOMPARE] = "miscompare",
    [POLICY_LATE] = "late",             [POLICY_EXTRA] = "extra",
    [POLICY_FULL] = "full",             [POLICY_OUTPUT] = "output",
    [POLICY_DEMAND] = "demand",         [POLICY_FINAL] = "final",
};
static_assert(sizeof(cause_names) / sizeof(cause_names[0]) == POLICY_NCAUSES,
              "every cause has a name");

static const struct {
    const char *name;
    const char *text;
} whys[] = {
    [POLICY_STAY] = { "stay", "the mode stays" },
    [POLICY_PINNED] = { "pinned", "this mode was asked for" },
    [POLICY_SHORT_RUNS] = { "short-runs",
        "the two copies soon said different things, again and again" },
    [POLICY_TOO_LATE] = { "too-late",
        "the copy's packets came too late, again and again" },
    [POLICY_HOLD_WORSE] = { "hold-worse",
        "packets were held longer than checkpoints alone hold them" },
    [POLICY_SLOWER] = { "slower",
        "less got through than with checkpoints alone" },
    [POLICY_FASTER] = { "faster",
        "more got through while both ran, though packets were held longer" },
    [POLICY_LAGGING] = { "lagging",
        "the copy took too long to be back after checkpoints" },
    [POLICY_LOST] = { "lost", "the copy can't run now" },
    [POLICY_BACK] = { "back", "the copy can run again" },
    [POLICY_PROBE] = { "probe", "to see whether comparing pays" },
};
static_assert(sizeof(whys) / sizeof(whys[0]) == POLICY_NWHYS,
              "every reason has a name");

const char *policy_mode_name(enum policy_mode m)
{
    return (unsigned int)m < POLICY_NMODES ? mode_names[m] : "?";
}

const char *policy_cause_name(enum policy_cause c)
{
    return (unsigned int)c < POLICY_NCAUSES ? cause_names[c] : "?";
}

const char *policy_why_name(enum policy_why w)
{
    return (unsigned int)w < POLICY_NWHYS ? whys[w].name : "?";
}

const char *policy_why_text(enum policy_why w)
{
    return (unsigned int)w < POLICY_NWHYS ? whys[w].text : "?";
}

static uint64_t us(uint32_t ms)
{
    return (uint64_t)ms * 1000u;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A caller's clock that stepped back is its error, not ours to crash on. */
static uint64_t since(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

static bool settled(const struct policy *p, uint64_t now)
{
    return now >= p->back_us &&
           since(now, p->back_us) >= us(p->set.settle_ms);
}

/* ----- what each mode does ----- */

/* Long enough for some checkpoints: the first packets that leave are the ones
 * that waited least, or most. Likewise after the load became another one. */
static bool measured(const struct policy *p, uint64_t now)
{
    return since(now, p->back_us) >= us(p->set.settle_ms) +
                                     us(p->set.measure_ms) &&
           since(now, p->kind_us) >= us(p->set.measure_ms) &&
           !policy_kind_doubt(&p->kind, now);
}

static uint64_t meter_mean(const struct policy *p, enum policy_mode m,
                           uint64_t now)
{
    if (!measured(p, now)) return 0;
    return policy_meter_mean(&p->meter[m], p->set.hold_packets, now);
}

/* Half an interval, and what a checkpoint took. */
static uint64_t expected_us(const struct policy *p)
{
    if (!p->commit_us) return 0;
    return us(p->set.interval_ms) / 2 + p->pause_us + p->commit_us;
}

uint64_t policy_held_us(const struct policy *p, enum policy_mode m,
                        uint64_t now)
{
    uint64_t mean = m == p->mode ? meter_mean(p, m, now) : 0;
    const struct policy_meter *t = &p->meter[m];

    if (mean) return mean;
    if (t->last_us && since(now, t->last_at_us) < STALE_US)
        return t->last_us;
    return m == POLICY_PASSIVE ? expected_us(p) : 0;
}

/* What moved each second in a mode, of this load and lately; 0 if that is not
 * known. */
static uint64_t rate(const struct policy *p, enum policy_mode m, uint64_t now)
{
    const struct policy_meter *t = &p->meter[m];

    if (m != p->mode)
        return since(now, t->rate_at_us) < us(p->set.probe_max_ms) ? t->rate :
                                                                     0;
    /* A part of it, because what is old was halved. */
    return measured(p, now) ?
           policy_meter_rate(t, us(p->set.measure_ms) / 3) : 0;
}

/* Is @a more than @b by the margin @times? */
static bool more(const struct policy *p, uint64_t a, uint64_t b,
                 uint64_t times)
{
    return a > b && a - b > b / 100 * p->set.hold_margin_percent * times;
}

/* True if COLO holds packets for clearly less than checkpoints do. */
static bool colo_pays(const struct policy *p, uint64_t now)
{
    uint64_t colo = meter_mean(p, POLICY_RUNNING, now);
    uint64_t passive = policy_held_us(p, POLICY_PASSIVE, now);

    return colo && passive &&
           colo < passive - passive * p->set.hold_margin_percent / 100;
}

static bool colo_costs(const struct policy *p, uint64_t now)
{
    uint64_t colo = meter_mean(p, POLICY_RUNNING, now);
    uint64_t passive = policy_held_us(p, POLICY_PASSIVE, now);

    return colo && passive &&
           colo > passive + passive * p->set.hold_margin_percent / 100;
}

/* The clients do something else now: what was measured is not about that. A
 * mode that COLO was left for may be the wrong one. */
static void other_kind(struct policy *p, uint64_t now)
{
    uint64_t most = us(p->set.probe_max_ms), soon;

    p->kind_us = now;
    p->worse_us = 0;
    for (unsigned int m = 0; m < POLICY_NMODES; m++)
        p->meter[m].rate = 0;
    policy_meter_clear(&p->meter[p->mode], now);
    soon = later(now, p->begun_us + us(p->set.probe_ms));
    if (p->mode != POLICY_PASSIVE || soon >= p->probe_us ||
        p->early_us > now + (EARLY_PROBES - 1) * most) return;
    p->early_us = later(p->early_us, now) + most;
    p->probe_us = soon;
}

void policy_released(struct policy *p, const struct policy_left *l,
                     uint64_t now)
{
    struct policy_meter *m = &p->meter[p->mode];

    if (policy_kind_add(&p->kind, l, p->set.hold_packets, now))
        other_kind(p, now);
    if (!settled(p, now)) {
        policy_meter_clear(m, now);
        return;
    }
    policy_meter_add(m, l, now);
    if (p->mode != POLICY_RUNNING) return;
    if (!colo_costs(p, now)) p->worse_us = 0;
    else if (!p->worse_us) p->worse_us = now;
}

/* ----- which mode ----- */

/*
 * COLO holds packets longer. Of a stream of much that says nothing: if what
 * checkpoints alone move is known, that decides. If not, that has to be tried:
 * at once, unless more moves than they may be expected to; then only when it
 * has moved so for long, as the trial itself costs some seconds.
 */
static enum policy_why judge_worse(const struct policy *p, uint64_t now)
{
    uint64_t colo = rate(p, POLICY_RUNNING, now);
    uint64_t passive = rate(p, POLICY_PASSIVE, now);
    uint64_t held = policy_held_us(p, POLICY_PASSIVE, now);

    if (!policy_meter_bulk(&p->meter[POLICY_RUNNING]))
        return POLICY_HOLD_WORSE;
    if (!colo) return POLICY_STAY;
    if (passive)
        return more(p, colo, passive, 1) ? POLICY_STAY : POLICY_HOLD_WORSE;
    if (held &&
        more(p, colo, WINDOW * UINT64_C(1000000) / held, 1) &&
        (!p->worse_us ||
         since(now, p->worse_us) < us(p->set.probe_reset_ms)))
        return POLICY_STAY;
    return POLICY_HOLD_WORSE;
}

/* COLO does not hold a stream of much for longer, but does it move? An
 * acknowledgement that waits for the copy is not held, and yet it does. */
static bool colo_slower(const struct policy *p, uint64_t now)
{
    uint64_t colo = rate(p, POLICY_RUNNING, now);

    return colo && policy_meter_bulk(&p->meter[POLICY_RUNNING]) &&
           more(p, rate(p, POLICY_PASSIVE, now), colo, 2);
}

/* COLO was left to see what checkpoints alone move: is that less? Asked for a
 * while only: later it is the clients who want less. */
static bool colo_faster(const struct policy *p, uint64_t now)
{
    uint64_t passive = rate(p, POLICY_PASSIVE, now);

    return p->trial && passive &&
           since(now, p->begun_us) < us(p->set.settle_ms) +
                                     TRIAL * us(p->set.measure_ms) &&
           more(p, rate(p, POLICY_RUNNING, now), passive, 1);
}

/* COLO runs: does it pay? */
static enum policy_why judge_running(const struct policy *p, uint64_t now)
{
    if (!measured(p, now)) return POLICY_STAY;
    if (p->lags >= p->set.short_runs) return POLICY_LAGGING;
    if (p->short_runs >= p->set.short_runs && !colo_pays(p, now))
        return p->late_runs * 2 > p->short_runs ? POLICY_TOO_LATE :
                                                  POLICY_SHORT_RUNS;
    if (colo_costs(p, now)) return judge_worse(p, now);
    return colo_slower(p, now) ? POLICY_SLOWER : POLICY_STAY;
}

/* Why the mode should change now, if it should. */
static enum policy_why judge(const struct policy *p, uint64_t now)
{
    if (p->mode == POLICY_RUNNING) {
        if (!p->alive) return POLICY_LOST;
        if (p->set.wish == POLICY_REMUS) return POLICY_PINNED;
        if (p->set.wish == POLICY_COLO || !settled(p, now))
            return POLICY_STAY;
        return judge_running(p, now);
    }
    if (!p->alive || p->set.wish == POLICY_REMUS) return POLICY_STAY;
    if (p->set.wish == POLICY_COLO) return POLICY_PINNED;
    if (!settled(p, now)) return POLICY_STAY;
    if (p->returned) return POLICY_BACK;
    if (colo_faster(p, now)) return POLICY_FASTER;
    return now >= p->probe_us ? POLICY_PROBE : POLICY_STAY;
}

/* COLO ends: when will it be tried again? */
static void plan_probe(struct policy *p, enum policy_why why, uint64_t now)
{
    uint64_t first = us(p->set.probe_ms), most = us(p->set.probe_max_ms);
    bool paid = since(now, p->begun_us) >= us(p->set.probe_reset_ms);

    if (p->probing && paid) p->paid++;
    if (paid) p->backoff_us = first;
    else if (p->probing) p->backoff_us *= 2;
    /* What kept the copy from running says nothing about the load. */
    if (why == POLICY_LOST || why == POLICY_PINNED) p->backoff_us = first;
    if (p->backoff_us > most) p->backoff_us = most;
    p->probe_us = now + p->backoff_us;
    p->probing = false;
}

static void enter(struct policy *p, enum policy_mode mode,
                  enum policy_why why, uint64_t now)
{
    struct policy_meter *m = &p->meter[p->mode];
    uint64_t mean = meter_mean(p, p->mode, now);

    if (mean) {
        m->last_us = mean;
        m->last_at_us = now;
    }
    if (measured(p, now)) {
        m->rate = rate(p, p->mode, now);
        m->rate_at_us = now;
    }
    if (mode == POLICY_PASSIVE) {
        plan_probe(p, why, now);
        p->trial = why == POLICY_HOLD_WORSE && p->meter[POLICY_RUNNING].rate &&
                   policy_meter_bulk(m) && !rate(p, POLICY_PASSIVE, now);
    }
    p->worse_us = 0;
    p->probing = why == POLICY_PROBE;
    p->probes += p->probing;
    p->returned = p->returned && mode == POLICY_PASSIVE;
    p->mode = mode;
    p->begun_us = p->back_us = now;
    /* It is not back yet; policy_lag() will say when it is. */
    if (mode == POLICY_RUNNING) p->back_us += us(p->set.lag_limit_ms);
    p->short_runs = p->late_runs = p->lags = 0;
    p->switches++;
    policy_meter_clear(&p->meter[mode], now);
}

void policy_init(struct policy *p, const struct policy_set *set, bool alive,
                 uint64_t now)
{
    memset(p, 0, sizeof(*p));
    p->set = *set;
    p->alive = alive;
    p->mode = alive && set->wish != POLICY_REMUS ? POLICY_RUNNING :
                                                   POLICY_PASSIVE;
    p->next = p->mode;
    p->begun_us = p->back_us = p->resumed_us = p->suspended_us = now;
    p->backoff_us = us(set->probe_ms);
    p->kind.begun_us = now;
    p->probe_us = now + p->backoff_us;
    policy_meter_clear(&p->meter[p->mode], now);
}

void policy_pin(struct policy *p, enum policy_wish wish)
{
    p->set.wish = wish;
}

void policy_alive(struct policy *p, bool alive)
{
    p->returned = alive && (p->returned || !p->alive);
    p->alive = alive;
}

/* ----- when ----- */

void policy_ask(struct policy *p, enum policy_cause cause, uint64_t now)
{
    if (cause <= POLICY_SWITCH || cause >= POLICY_NCAUSES) return;
    if (cause <= POLICY_EXTRA && p->mode != POLICY_RUNNING) return;
    if (!p->asked || now < p->asked_us) p->asked_us = now;
    if (cause > p->asked) p->asked = cause;
}

/* The earliest that the bounds allow. */
static uint64_t floor_us(const struct policy *p)
{
    uint64_t percent = p->set.paused_limit_percent;
    /* Rounded up: the share is a bound. */
    uint64_t rest = (p->pause_us * (100 - percent) + percent - 1) / percent;
    uint64_t run = p->mode == POLICY_RUNNING ? us(p->set.min_run_ms) : 0;

    return p->resumed_us + later(rest, run);
}

uint64_t policy_when(const struct policy *p, uint64_t now)
{
    uint64_t when;

    if (p->asked == POLICY_FINAL) return p->asked_us;
    if (p->mode == POLICY_RUNNING)
        when = p->resumed_us + us(p->set.run_limit_ms);
    else
        when = p->suspended_us + us(p->set.interval_ms);
    if (p->asked) {
        uint64_t at = p->asked_us;

        if (p->asked <= POLICY_EXTRA) at += us(p->set.miscompare_wait_ms);
        if (at < when) when = at;
    }
    if (now < when && p->mode == POLICY_RUNNING && judge(p, now))
        when = now;
    return later(when, floor_us(p));
}

/* A run of the copy has ended: was it a short one? */
static void judge_run(struct policy *p, enum policy_cause cause, uint64_t now)
{
    bool compared = cause >= POLICY_MISCOMPARE && cause <= POLICY_FULL;
    uint64_t run = p->run_us;

    if (p->mode != POLICY_RUNNING || !settled(p, now)) return;
    /* No run can be shorter than the copy takes to be back. */
    if (p->lag_us >= us(p->set.short_run_ms)) run = since(run, p->lag_us);
    if (run >= us(p->set.short_run_ms)) {
        p->short_runs = p->late_runs = 0;
    } else if (compared && p->short_runs < UINT32_MAX) {
        p->short_runs++;
        p->late_runs += cause == POLICY_LATE;
    }
}

enum policy_cause policy_suspend(struct policy *p, uint64_t now)
{
    p->run_us = since(now, p->resumed_us);
    judge_run(p, p->asked, now);
    p->suspended_us = now;
    p->why = judge(p, now);
    p->next = p->mode;
    if (p->why)
        p->next = p->mode == POLICY_RUNNING ? POLICY_PASSIVE :
                                              POLICY_RUNNING;
    p->taken = p->asked;
    if (!p->taken)
        p->taken = p->why && p->mode == POLICY_RUNNING ? POLICY_SWITCH :
                                                         POLICY_INTERVAL;
    p->asked = POLICY_NOTHING;
    p->deciding = true;
    return p->taken;
}

/* The guest goes on. */
static void go_on(struct policy *p, uint64_t now)
{
    p->deciding = false;
    p->pause_us = since(now, p->suspended_us);
    p->paused_us += p->pause_us;
    p->ran_us += p->run_us;
    p->resumed_us = now;
    p->lag_us = 0;
}

enum policy_why policy_cut(struct policy *p, uint64_t now)
{
    enum policy_why why = p->why;

    if (!p->deciding) return POLICY_STAY;
    go_on(p, now);
    if (p->asked < POLICY_DEMAND) p->asked = POLICY_NOTHING;
    p->causes[p->taken]++;
    p->taken = POLICY_NOTHING;
    p->why = POLICY_STAY;
    if (why) enter(p, p->next, why, now);
    return why;
}

void policy_committed(struct policy *p, uint64_t now)
{
    p->commit_us = later(since(now, p->resumed_us), 1);
}

void policy_lag(struct policy *p, uint64_t lag_us)
{
    if (p->mode != POLICY_RUNNING) return;
    p->lag_us = lag_us;
    if (since(p->back_us, p->resumed_us) > lag_us)
        p->back_us = p->resumed_us + lag_us;
    if (lag_us <= us(p->set.lag_limit_ms)) p->lags = 0;
    else if (p->lags < UINT32_MAX) p->lags++;
}
