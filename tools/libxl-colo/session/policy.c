/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy.c - Which mode comes next, and when a checkpoint may be taken */
#include <config.h>

#include <assert.h>
#include <string.h>

#include "policy.h"

/* Sums are halved so often. */
#define HALVE_US 2000000u
/* What a mode was measured to do so long ago says nothing any more. */
#define STALE_US 300000000u

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

/* ----- how long packets are held ----- */

static void meter_clear(struct policy_meter *m, uint64_t now)
{
    m->held_us = m->packets = 0;
    m->halved_us = now;
}

/* What is old counts less; halved often enough, it is nothing. */
static void meter_fade(struct policy_meter *m, uint64_t now)
{
    uint64_t n = since(now, m->halved_us) / HALVE_US;

    m->held_us = n < 64 ? m->held_us >> n : 0;
    m->packets = n < 64 ? m->packets >> n : 0;
    m->halved_us += n * HALVE_US;
}

/* Long enough for some checkpoints: the first packets that leave are the ones
 * that waited least, or most. */
static bool measured(const struct policy *p, uint64_t now)
{
    return since(now, p->back_us) >= us(p->set.settle_ms) +
                                     us(p->set.measure_ms);
}

static uint64_t meter_mean(const struct policy *p, enum policy_mode m,
                           uint64_t now)
{
    struct policy_meter t = p->meter[m];

    if (!measured(p, now)) return 0;
    meter_fade(&t, now);
    if (!t.packets || t.packets < p->set.hold_packets) return 0;
    return later(t.held_us / t.packets, 1);
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

void policy_released(struct policy *p, uint64_t packets, uint64_t held_us,
                     uint64_t now)
{
    struct policy_meter *m = &p->meter[p->mode];

    if (!settled(p, now)) {
        m->halved_us = now;
        return;
    }
    meter_fade(m, now);
    if (__builtin_add_overflow(m->held_us, held_us, &m->held_us) ||
        __builtin_add_overflow(m->packets, packets, &m->packets))
        meter_clear(m, now);
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

/* ----- which mode ----- */

/* COLO runs: does it pay? */
static enum policy_why judge_running(const struct policy *p, uint64_t now)
{
    if (!measured(p, now)) return POLICY_STAY;
    if (p->lags >= p->set.short_runs) return POLICY_LAGGING;
    if (p->short_runs >= p->set.short_runs && !colo_pays(p, now))
        return p->late_runs * 2 > p->short_runs ? POLICY_TOO_LATE :
                                                  POLICY_SHORT_RUNS;
    return colo_costs(p, now) ? POLICY_HOLD_WORSE : POLICY_STAY;
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
    if (mode == POLICY_PASSIVE) plan_probe(p, why, now);
    p->probing = why == POLICY_PROBE;
    p->probes += p->probing;
    p->returned = p->returned && mode == POLICY_PASSIVE;
    p->mode = mode;
    p->begun_us = p->back_us = now;
    /* It is not back yet; policy_lag() will say when it is. */
    if (mode == POLICY_RUNNING) p->back_us += us(p->set.lag_limit_ms);
    p->short_runs = p->late_runs = p->lags = 0;
    p->switches++;
    meter_clear(&p->meter[mode], now);
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
    p->probe_us = now + p->backoff_us;
    meter_clear(&p->meter[p->mode], now);
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
