/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-policy-model.c - The mode policy drives a model of a protected guest
 *
 * Clients ask, each again when it was answered; the guest answers after its
 * service time. An answer leaves when the copy said the same, or when a
 * checkpoint that covers it is on the other host. Every load runs three
 * times, with both modes pinned and with "auto", which must find the better
 * one, stay there, and cost little on the way.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "policy.h"
#include "tap.h"

#define CLIENTS_MAX 32
#define TICK_US     1000u

/**
 * struct phase - what the clients and the guest do for a while
 * @ms: for how long; the last one stays
 * @clients: that ask; @think_ms: between an answer and the next question
 * @service_ms: what the guest needs for an answer
 * @differ_ppm: answers that differ between the two
 * @compare_ms: the copy's answer comes so much later
 * @pause_us: of a checkpoint, at least; @dirty_us: more for each second run
 */
struct phase {
    uint32_t ms, clients, think_ms, service_ms, differ_ppm, compare_ms;
    uint32_t pause_us, dirty_us;
};

/**
 * struct load - phases, over and over
 * @better: what "auto" must end in; POLICY_NMODES if either will do
 * @switches: "auto" makes at most so many
 */
struct load {
    const char *name;
    struct phase phase[2];
    unsigned int nphases;
    uint32_t run_s;
    enum policy_mode better;
    uint32_t switches;
};

#define WEB    8, 0, 2
#define CHEAP  3000, 4000
#define COSTLY 12000, 20000

static const struct load loads[] = {
    { "static web pages: answers never differ",
      { { 0, WEB, 0, 1, CHEAP } }, 1, 300, POLICY_RUNNING, 2 },
    { "one client, static pages",
      { { 0, 1, 5, 2, 0, 1, CHEAP } }, 1, 300, POLICY_RUNNING, 2 },
    { "answers that rarely differ",
      { { 0, WEB, 30, 1, CHEAP } }, 1, 300, POLICY_RUNNING, 2 },
    { "a random token in each answer",
      { { 0, WEB, 1000000, 1, CHEAP } }, 1, 600, POLICY_PASSIVE, 40 },
    { "the same, with much dirty memory",
      { { 0, WEB, 1000000, 1, COSTLY } }, 1, 600, POLICY_PASSIVE, 40 },
    { "a timing-dependent database: one answer in ten differs",
      { { 0, 32, 0, 4, 100000, 2, COSTLY } }, 1, 600, POLICY_RUNNING, 40 },
    { "the same with many writers: two in three differ",
      { { 0, 32, 0, 4, 667000, 2, COSTLY } }, 1, 600, POLICY_PASSIVE, 40 },
    { "a copy that answers late",
      { { 0, WEB, 0, 260, CHEAP } }, 1, 600, POLICY_PASSIVE, 40 },
    { "bursts: 2 s of differing answers in each 40 s",
      { { 38000, WEB, 0, 1, CHEAP }, { 2000, WEB, 1000000, 1, CHEAP } },
      2, 600, POLICY_NMODES, 40 },
    { "bursts: 10 s of them in each 40 s",
      { { 30000, WEB, 0, 1, CHEAP }, { 10000, WEB, 1000000, 1, CHEAP } },
      2, 600, POLICY_NMODES, 90 },
    { "a load that changes its kind every 15 minutes",
      { { 900000, WEB, 0, 1, CHEAP }, { 900000, WEB, 1000000, 1, CHEAP } },
      2, 3600, POLICY_NMODES, 120 },
    { "nobody asks anything",
      { { 0, 0, 0, 1, 0, 1, CHEAP } }, 1, 300, POLICY_RUNNING, 2 },
};

enum step {
    STEP_THINK,
    STEP_SERVE,
    STEP_HELD,
};

/**
 * struct client - one that asks
 * @step: what it waits for; @left: ticks of it
 * @said: when the answer was ready; @leaves: when the copy has said it too
 * @differs: it never will; @covered: the epoch that covers it, 0 for none
 */
struct client {
    enum step step;
    uint32_t left;
    uint64_t said, leaves, covered;
    bool differs;
};

/**
 * struct world - the model
 * @until: paused until then; @commit: the epoch in flight is there by then
 * @back: when the copy runs again
 * @good: ticks of the last third, in each mode
 */
struct world {
    const struct load *load;
    struct policy policy;
    struct client client[CLIENTS_MAX];
    uint64_t now, until, commit, back, epoch, done, seed;
    bool paused, flying, lagging;
    uint64_t good[POLICY_NMODES];
};

/* xorshift64*: the same on every machine. */
static uint32_t rnd(struct world *w, uint32_t n)
{
    w->seed ^= w->seed >> 12;
    w->seed ^= w->seed << 25;
    w->seed ^= w->seed >> 27;
    return (uint32_t)((w->seed * 0x2545f4914f6cdd1du >> 33) % n);
}

static const struct phase *phase_of(const struct world *w)
{
    const struct load *l = w->load;
    uint64_t ms = w->now / 1000, round;

    if (l->nphases == 1) return &l->phase[0];
    round = (uint64_t)l->phase[0].ms + l->phase[1].ms;
    return &l->phase[ms % round >= l->phase[0].ms];
}

static void answer(struct world *w, struct client *c, const struct phase *ph)
{
    uint64_t from = w->now > w->back ? w->now : w->back;

    c->step = STEP_HELD;
    c->said = w->now;
    c->covered = 0;
    c->differs = rnd(w, 1000000) < ph->differ_ppm;
    c->leaves = from + ph->compare_ms * 1000u;
}

/* What a held answer waits for may have come, or may never come. */
static void judge(struct world *w, struct client *c, const struct phase *ph)
{
    struct policy *p = &w->policy;
    bool running = p->mode == POLICY_RUNNING && !c->covered;
    bool equal = running && !c->differs && w->now >= c->leaves;
    bool whole = c->covered && !w->flying && c->covered <= w->epoch;
    uint64_t limit = (uint64_t)p->set.late_limit_ms * 1000, from;

    if (equal || whole) {
        policy_released(p, 1, w->now - c->said, w->now);
        w->done++;
        c->step = STEP_THINK;
        c->left = ph->think_ms;
        return;
    }
    if (!running) return;
    from = c->said > w->back ? c->said : w->back; /* RULES C1 */
    if (c->differs && w->now >= c->leaves)
        policy_ask(p, POLICY_MISCOMPARE, w->now);
    else if (w->now >= from + limit)
        policy_ask(p, POLICY_LATE, w->now);
}

static void clients(struct world *w)
{
    const struct phase *ph = phase_of(w);

    for (unsigned int i = 0; i < ph->clients; i++) {
        struct client *c = &w->client[i];

        if (c->step == STEP_THINK) {
            if (c->left) {
                c->left--;
                continue;
            }
            c->step = STEP_SERVE;
            c->left = ph->service_ms;
        }
        if (c->step == STEP_SERVE && !w->paused) {
            if (c->left) c->left--;
            else answer(w, c, ph);
        }
        if (c->step == STEP_HELD) judge(w, c, ph);
    }
}

static void suspend(struct world *w)
{
    const struct phase *ph = phase_of(w);

    policy_suspend(&w->policy, w->now);
    w->paused = true;
    w->until = w->now + ph->pause_us +
               ph->dirty_us * (w->policy.run_us < 2000000 ?
                               w->policy.run_us : 2000000) / 1000000;
}

static void cut(struct world *w)
{
    uint64_t pause = w->now - w->policy.suspended_us;

    policy_cut(&w->policy, w->now);
    w->paused = false;
    w->epoch++;
    w->flying = true;
    w->commit = w->now + 6000 + pause;
    for (unsigned int i = 0; i < CLIENTS_MAX; i++)
        if (w->client[i].step == STEP_HELD && !w->client[i].covered)
            w->client[i].covered = w->epoch;
    /* Rolled back and reconnected: PLATFORM says a quarter of a second. */
    w->back = w->commit + 250000;
    w->lagging = w->policy.mode == POLICY_RUNNING;
}

static void tick(struct world *w)
{
    w->now += TICK_US;
    if (w->flying && w->now >= w->commit) {
        w->flying = false;
        policy_committed(&w->policy, w->now);
    }
    if (w->lagging && w->now >= w->back) {
        w->lagging = false;
        policy_lag(&w->policy, w->back - w->policy.resumed_us);
    }
    if (w->paused && w->now >= w->until) cut(w);
    clients(w);
    /* One epoch is in flight, no more. */
    if (!w->paused && !w->flying &&
        w->now >= policy_when(&w->policy, w->now))
        suspend(w);
}

/* Return: answers that the clients got */
static uint64_t run(struct world *w, const struct load *l,
                    enum policy_wish wish, uint32_t interval_ms)
{
    uint64_t end = l->run_s * 1000000ull;
    struct policy_set set;

    policy_set_init(&set);
    set.wish = wish;
    set.interval_ms = interval_ms;
    *w = (struct world){ .load = l, .seed = 0x9e3779b97f4a7c15u };
    policy_init(&w->policy, &set, true, 0);
    while (w->now < end) {
        tick(w);
        if (w->now > end / 3 * 2) w->good[w->policy.mode]++;
    }
    return w->done;
}

/**
 * struct result - of a load
 * @colo, @remus, @self: answers
 * @mostly: percent of the last third that "auto" was in COLO
 * @switches: that it made
 */
struct result {
    uint64_t colo, remus, self, mostly, switches;
};

static struct result try_load(const struct load *l, uint32_t interval_ms)
{
    static struct world w;
    struct result r;

    r.colo = run(&w, l, POLICY_COLO, interval_ms);
    r.remus = run(&w, l, POLICY_REMUS, interval_ms);
    r.self = run(&w, l, POLICY_AUTO, interval_ms);
    r.mostly = w.good[POLICY_RUNNING] * 100 / (w.good[0] + w.good[1]);
    r.switches = w.policy.switches;
    printf("# %u ms, %s: answers/s colo %llu, remus %llu, auto %llu; %llu "
           "switches, %llu %% in COLO at the end\n", interval_ms, l->name,
           (unsigned long long)(r.colo / l->run_s),
           (unsigned long long)(r.remus / l->run_s),
           (unsigned long long)(r.self / l->run_s),
           (unsigned long long)r.switches, (unsigned long long)r.mostly);
    ok(r.self * 10 >= (r.colo > r.remus ? r.colo : r.remus) * 9,
       "%u ms, %s: auto is within 10 %% of the better mode", interval_ms,
       l->name);
    ok(r.switches <= l->switches, "at most %u switches", l->switches);
    return r;
}

/* The loads as they are meant to be: which mode is the better one is known. */
static void known(const struct load *l)
{
    struct result r = try_load(l, 200);

    if (l->better == POLICY_RUNNING)
        ok(r.colo >= r.remus && r.mostly >= 90, "it ends in COLO");
    if (l->better == POLICY_PASSIVE)
        ok(r.remus >= r.colo && r.mostly <= 10, "it ends in passive mode");
}

/* Another interval may make the other mode the better one. */
static void other(const struct load *l, uint32_t interval_ms)
{
    struct result r = try_load(l, interval_ms);

    if (l->better == POLICY_NMODES) return;
    if (r.colo * 100 > r.remus * 120)
        ok(r.mostly >= 90, "it ends in COLO");
    if (r.remus * 100 > r.colo * 120)
        ok(r.mostly <= 10, "it ends in passive mode");
}

int main(void)
{
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        known(&loads[i]);
        other(&loads[i], 40);
        other(&loads[i], 1000);
    }
    return done_testing();
}
