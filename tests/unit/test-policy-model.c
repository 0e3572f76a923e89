/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-policy-model.c - The mode policy drives a model of a protected guest
 *
 * Clients ask, each again when it was answered; the guest answers after its
 * service time. An answer leaves when the copy said the same, or when a
 * checkpoint that covers it is on the other host. Others download or upload
 * all that a window lets them, and a copy that is slow falls behind by that.
 * Every load runs three times, with both modes pinned and with "auto", which
 * must find the better one, stay there, and cost little on the way.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "policy.h"
#include "tap.h"

#define CLIENTS_MAX 32
#define TICK_US     1000u
#define DOWNS       3 /* downloads at most; and one upload */
#define STREAMS_MAX (DOWNS + 1)
#define CHUNKS      32768u /* ticks: no stream is behind by more */
#define PHASES_MAX  6
/* What the guest alone does to a stream, octets in a tick; and of a segment. */
#define DOWN_TICK 15000u
#define UP_TICK   2000u
#define SEGMENT   1448u
#define PAGE      2000u /* octets of an answer, if the load does not say */
/* "auto" has so long to find the mode of the next load of a sequence. */
#define FIND_US 5000000u

/**
 * struct phase - what the clients and the guest do for a while
 * @ms: for how long; the last one stays
 * @clients: that ask; @think_ms: between an answer and the next question
 * @service_ms: what the guest needs for an answer
 * @differ_ppm: answers that differ between the two
 * @compare_ms: the copy's answer comes so much later
 * @pause_us: of a checkpoint, at least; @dirty_us: more for each second run
 * @answer: octets of one
 * @down, @up: so many streams each way, of the latter at most one
 * @window: what one has under way at most, KiB, in each mode
 * @copy_kib_s: what the copy can do of each, per second; 0: as much as the
 *              guest
 */
struct phase {
    uint32_t ms, clients, think_ms, service_ms, differ_ppm, compare_ms;
    uint32_t pause_us, dirty_us;
    uint32_t answer, down, up, window[POLICY_NMODES], copy_kib_s;
};

/**
 * struct load - phases, over and over
 * @better: what "auto" must end in; POLICY_NMODES if either will do
 * @switches: "auto" makes at most so many
 * @patient: late-limit and lag-limit as for the hosts of the lab
 */
struct load {
    const char *name;
    struct phase phase[PHASES_MAX];
    unsigned int nphases;
    uint32_t run_s;
    enum policy_mode better;
    uint32_t switches;
    bool patient;
};

#define WEB    8, 0, 2
#define CHEAP  .pause_us = 3000, .dirty_us = 4000
#define COSTLY .pause_us = 12000, .dirty_us = 20000
#define SLOW   .pause_us = 100000

static const struct load loads[] = {
    { "static web pages: answers never differ",
      { { 0, WEB, 0, 1, CHEAP } }, 1, 300, POLICY_RUNNING, .switches = 2 },
    { "one client, static pages",
      { { 0, 1, 5, 2, 0, 1, CHEAP } }, 1, 300, POLICY_RUNNING, .switches = 2 },
    { "answers that rarely differ",
      { { 0, WEB, 30, 1, CHEAP } }, 1, 300, POLICY_RUNNING, .switches = 2 },
    { "a random token in each answer",
      { { 0, WEB, 1000000, 1, CHEAP } }, 1, 600, POLICY_PASSIVE,
      .switches = 40 },
    { "the same, with much dirty memory",
      { { 0, WEB, 1000000, 1, COSTLY } }, 1, 600, POLICY_PASSIVE,
      .switches = 40 },
    { "a timing-dependent database: one answer in ten differs",
      { { 0, 32, 0, 4, 100000, 2, COSTLY } }, 1, 600, POLICY_RUNNING,
      .switches = 40 },
    { "the same with many writers: two in three differ",
      { { 0, 32, 0, 4, 667000, 2, COSTLY } }, 1, 600, POLICY_PASSIVE,
      .switches = 40 },
    { "a copy that answers late",
      { { 0, WEB, 0, 260, CHEAP } }, 1, 600, POLICY_PASSIVE, .switches = 40 },
    { "bursts: 2 s of differing answers in each 40 s",
      { { 38000, WEB, 0, 1, CHEAP }, { 2000, WEB, 1000000, 1, CHEAP } },
      2, 600, POLICY_NMODES, .switches = 40 },
    { "bursts: 10 s of them in each 40 s",
      { { 30000, WEB, 0, 1, CHEAP }, { 10000, WEB, 1000000, 1, CHEAP } },
      2, 600, POLICY_NMODES, .switches = 90 },
    { "a load that changes its kind every 15 minutes",
      { { 900000, WEB, 0, 1, CHEAP }, { 900000, WEB, 1000000, 1, CHEAP } },
      2, 3600, POLICY_NMODES, .switches = 120 },
    { "nobody asks anything",
      { { 0, 0, 0, 1, 0, 1, CHEAP } }, 1, 300, POLICY_RUNNING, .switches = 2 },
};

/* A stream, nothing else; what is in flight in passive mode and in COLO. */
#define STREAM(d, u, passive, colo, kib_s) \
    { 0, 0, 0, 0, 0, 1, SLOW, .down = (d), .up = (u), \
      .window = { (passive), (colo) }, .copy_kib_s = (kib_s) }

static const struct load streams[] = {
    { "a download, the copy as fast as the guest",
      { STREAM(1, 0, 64, 64, 0) }, 1, 600, POLICY_RUNNING, .switches = 2 },
    { "a download, 64 KiB, the copy is 0.2 s behind",
      { STREAM(1, 0, 64, 64, 300) }, 1, 600, POLICY_RUNNING, .switches = 30,
      .patient = true },
    { "a download, 64 KiB, the copy is 0.6 s behind",
      { STREAM(1, 0, 64, 64, 100) }, 1, 600, POLICY_PASSIVE, .switches = 40,
      .patient = true },
    { "a download, 256 KiB, the copy is 0.4 s behind",
      { STREAM(1, 0, 256, 256, 600) }, 1, 600, POLICY_NMODES, .switches = 40,
      .patient = true },
    { "a download, 2 MiB, the copy is 1 s behind",
      { STREAM(1, 0, 2048, 2048, 2000) }, 1, 600, POLICY_PASSIVE,
      .switches = 40,
      .patient = true },
    { "a download, 2 MiB, the copy is 2.5 s behind",
      { STREAM(1, 0, 2048, 2048, 800) }, 1, 1200, POLICY_PASSIVE,
      .switches = 60,
      .patient = true },
    { "a download as in the lab: 80 KiB a checkpoint, 1.8 MiB in COLO",
      { STREAM(1, 0, 80, 1843, 630) }, 1, 600, POLICY_RUNNING, .switches = 40,
      .patient = true },
    { "three downloads, 80 KiB a checkpoint, 1 MiB in COLO",
      { STREAM(3, 0, 80, 1024, 1200) }, 1, 600, POLICY_RUNNING, .switches = 40,
      .patient = true },
    { "a download, 40 KiB a checkpoint, 300 KiB in COLO, 3 s behind",
      { STREAM(1, 0, 40, 300, 100) }, 1, 600, POLICY_NMODES, .switches = 40,
      .patient = true },
    { "an upload, the copy as fast as the guest",
      { STREAM(0, 1, 64, 64, 0) }, 1, 600, POLICY_RUNNING, .switches = 2 },
    { "an upload as in the lab: 30 KiB a checkpoint",
      { STREAM(0, 1, 30, 512, 900) }, 1, 600, POLICY_RUNNING, .switches = 2,
      .patient = true },
    { "pages and a download",
      { { 0, WEB, 0, 1, SLOW, .down = 1, .window = { 80, 1843 },
          .copy_kib_s = 630 } }, 1, 600, POLICY_RUNNING, .switches = 40,
      .patient = true },
    { "a load that becomes another every 4 s, and always differs",
      { { 4000, 8, 0, 2, 1000000, 1, CHEAP },
        { 4000, 8, 0, 2, 1000000, 1, CHEAP, .answer = 6 } },
      2, 600, POLICY_PASSIVE, .switches = 50 },
    { "many pages and a download that is slow in COLO",
      { { 0, WEB, 0, 1, SLOW, .down = 1, .window = { 512, 512 },
          .copy_kib_s = 200 } }, 1, 600, POLICY_RUNNING, .switches = 40,
      .patient = true },
};

/* tests/lab/bench: 15 s of each. */
static const struct load bench = {
    "the loads of the bench, one after the other",
    { { 15000, 1, 0, 20, 0, 10, SLOW, .answer = 4300 },
      { 15000, 10, 0, 100, 0, 10, SLOW, .answer = 4300 },
      { 15000, 10, 0, 20, 1000000, 10, SLOW, .answer = 4300 },
      { 15000, 10, 0, 50, 0, 10, SLOW, .answer = 6 },
      { 15000, 0, 0, 0, 0, 1, SLOW, .down = 1, .window = { 80, 1843 },
        .copy_kib_s = 630 },
      { 15000, 0, 0, 0, 0, 1, SLOW, .up = 1, .window = { 30, 512 },
        .copy_kib_s = 900 } }, 6, 360, POLICY_NMODES,
      .switches = 60, .patient = true,
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
 * struct chunk - what the guest said in one tick of a stream, or acknowledged
 * @said: when; @end: position behind it; @covered: the epoch that covers it
 */
struct chunk {
    uint64_t said, end, covered;
};

/**
 * struct stream - a download, or an upload
 * @chunk: those from @head up to @tail have not left
 * @said, @left: positions that the guest and the client have reached
 * @copy: and the copy
 */
struct stream {
    struct chunk chunk[CHUNKS];
    uint32_t head, tail;
    uint64_t said, left, copy;
};

/**
 * struct world - the model
 * @until: paused until then; @commit: the epoch in flight is there by then
 * @back: when the copy runs again
 * @good: ticks of the last third, in each mode
 * @moved: octets that clients got or gave
 * @found: of them, those of each phase without the first %FIND_US of it
 */
struct world {
    const struct load *load;
    struct policy policy;
    struct client client[CLIENTS_MAX];
    struct stream stream[STREAMS_MAX];
    uint64_t now, until, commit, back, epoch, done, moved, seed;
    bool paused, flying, lagging;
    uint64_t good[POLICY_NMODES], found[PHASES_MAX];
};

/* xorshift64*: the same on every machine. */
static uint32_t rnd(struct world *w, uint32_t n)
{
    w->seed ^= w->seed >> 12;
    w->seed ^= w->seed << 25;
    w->seed ^= w->seed >> 27;
    return (uint32_t)((w->seed * 0x2545f4914f6cdd1du >> 33) % n);
}

/* Which one is on; @into_us: for so long. */
static unsigned int phase_at(const struct world *w, uint64_t *into_us)
{
    const struct load *l = w->load;
    uint64_t round = 0, at;
    unsigned int i = 0;

    *into_us = w->now;
    if (l->nphases == 1) return 0;
    for (unsigned int k = 0; k < l->nphases; k++)
        round += l->phase[k].ms * 1000ull;
    for (at = w->now % round; at >= l->phase[i].ms * 1000ull; i++)
        at -= l->phase[i].ms * 1000ull;
    *into_us = at;
    return i;
}

static const struct phase *phase_of(const struct world *w)
{
    return &w->load->phase[phase_at(w, &(uint64_t){ 0 })];
}

/* @octets reached a client, or came from one. */
static void moved(struct world *w, uint64_t octets)
{
    uint64_t into;
    unsigned int i = phase_at(w, &into);

    w->moved += octets;
    if (into >= FIND_US) w->found[i] += octets;
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
        uint32_t size = ph->answer ? ph->answer : PAGE;
        uint64_t packets = 1 + size / SEGMENT;

        policy_released(p, &(struct policy_left){
                            packets, packets * (w->now - c->said), size,
                            size < 100 ? 30 : 100 }, w->now);
        w->done++;
        moved(w, size);
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

    for (unsigned int i = 0; i < CLIENTS_MAX; i++) {
        struct client *c = &w->client[i];

        /* Those of another phase get the answer that they wait for. */
        if (i >= ph->clients && c->step != STEP_HELD) continue;
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

/* What of @t may leave now, does. */
static void stream_leave(struct world *w, struct stream *t, bool up)
{
    struct policy *p = &w->policy;
    struct policy_left l = { 0 };
    uint64_t was = t->left;

    while (t->head != t->tail) {
        struct chunk *c = &t->chunk[t->head % CHUNKS];
        bool whole = c->covered && !w->flying && c->covered <= w->epoch;
        uint64_t n = (c->end - t->left + SEGMENT - 1) / SEGMENT;

        if (!whole && (c->covered || p->mode != POLICY_RUNNING ||
                       t->copy < c->end)) break;
        t->left = c->end;
        t->head++;
        /* The engine makes the acknowledgements that the copy allows. */
        if (up && !whole) continue;
        l.packets += n;
        l.held_us += n * (w->now - c->said);
    }
    if (t->left == was) return;
    *(up ? &l.in : &l.out) = t->left - was;
    moved(w, t->left - was);
    policy_released(p, &l, w->now);
}

/* @on: in this phase there is such a stream; else its last octets leave. */
static void stream(struct world *w, struct stream *t, const struct phase *ph,
                   bool up, bool on)
{
    struct policy *p = &w->policy;
    uint64_t window = ph->window[p->mode] * 1024ull, n = 0, from;
    uint64_t speed = ph->copy_kib_s ? ph->copy_kib_s * 1024ull / 1000 :
                                      DOWN_TICK;
    struct chunk *c = &t->chunk[t->tail % CHUNKS];

    if (on && !w->paused && t->said - t->left < window)
        n = window - (t->said - t->left);
    if (n > (up ? UP_TICK : DOWN_TICK)) n = up ? UP_TICK : DOWN_TICK;
    if (n && t->tail - t->head < CHUNKS) {
        t->said += n;
        *c = (struct chunk){ w->now, t->said, 0 };
        t->tail++;
    }
    if (p->mode == POLICY_RUNNING && !w->paused && w->now >= w->back)
        t->copy = t->copy + speed < t->said ? t->copy + speed : t->said;
    stream_leave(w, t, up);
    c = &t->chunk[t->head % CHUNKS];
    if (t->head == t->tail || c->covered || p->mode != POLICY_RUNNING ||
        w->flying) return;
    from = c->said > w->back ? c->said : w->back;
    if (w->now >= from + p->set.late_limit_ms * 1000ull)
        policy_ask(p, POLICY_LATE, w->now);
}

static void streams_run(struct world *w)
{
    const struct phase *ph = phase_of(w);

    for (unsigned int i = 0; i < DOWNS; i++)
        stream(w, &w->stream[i], ph, false, i < ph->down);
    stream(w, &w->stream[DOWNS], ph, true, ph->up);
}

/* The copy is where the guest is. */
static void streams_cut(struct world *w)
{
    for (unsigned int i = 0; i < STREAMS_MAX; i++) {
        struct stream *t = &w->stream[i];

        t->copy = t->said;
        for (uint32_t k = t->tail; k != t->head; k--) {
            struct chunk *c = &t->chunk[(k - 1) % CHUNKS];

            if (c->covered) break;
            c->covered = w->epoch;
        }
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
    streams_cut(w);
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
    streams_run(w);
    /* One epoch is in flight, no more. */
    if (!w->paused && !w->flying &&
        w->now >= policy_when(&w->policy, w->now))
        suspend(w);
}

/* Return: octets that the clients got or gave */
static uint64_t run(struct world *w, const struct load *l,
                    enum policy_wish wish, uint32_t interval_ms)
{
    uint64_t end = l->run_s * 1000000ull;
    struct policy_set set;

    policy_set_init(&set);
    set.wish = wish;
    set.interval_ms = interval_ms;
    if (l->patient) {
        set.late_limit_ms = 3000;
        set.lag_limit_ms = 20000;
    }
    memset(w, 0, sizeof(*w));
    w->load = l;
    w->seed = 0x9e3779b97f4a7c15u;
    policy_init(&w->policy, &set, true, 0);
    while (w->now < end) {
        tick(w);
        if (w->now > end / 3 * 2) w->good[w->policy.mode]++;
    }
    return w->moved;
}

/**
 * struct result - of a load
 * @colo, @remus, @self: octets
 * @mostly: percent of the last third that "auto" was in COLO
 * @switches: that it made
 */
struct result {
    uint64_t colo, remus, self, mostly, switches;
};

static void tell(const struct load *l, uint32_t interval_ms,
                 const struct result *r)
{
    bool kib = l->phase[0].down + l->phase[0].up || l->nphases > 2;
    uint64_t unit = l->run_s * (kib ? 1024ull : PAGE);

    printf("# %u ms, %s: %s/s colo %llu, remus %llu, auto %llu; %llu "
           "switches, %llu %% in COLO at the end\n", interval_ms, l->name,
           kib ? "KiB" : "answers", (unsigned long long)(r->colo / unit),
           (unsigned long long)(r->remus / unit),
           (unsigned long long)(r->self / unit),
           (unsigned long long)r->switches, (unsigned long long)r->mostly);
}

static struct result try_load(const struct load *l, uint32_t interval_ms)
{
    static struct world w;
    struct result r;

    r.colo = run(&w, l, POLICY_COLO, interval_ms);
    r.remus = run(&w, l, POLICY_REMUS, interval_ms);
    r.self = run(&w, l, POLICY_AUTO, interval_ms);
    r.mostly = w.good[POLICY_RUNNING] * 100 / (w.good[0] + w.good[1]);
    r.switches = w.policy.switches;
    tell(l, interval_ms, &r);
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

/* Each load of a sequence counts alone, but for the first seconds of it. */
static void sequence(const struct load *l)
{
    static struct world w;
    uint64_t best[PHASES_MAX] = { 0 };
    const enum policy_wish pinned[] = { POLICY_COLO, POLICY_REMUS };
    bool colo[PHASES_MAX] = { false };

    for (unsigned int k = 0; k < 2; k++) {
        run(&w, l, pinned[k], 200);
        for (unsigned int i = 0; i < l->nphases; i++)
            if (w.found[i] > best[i]) {
                best[i] = w.found[i];
                colo[i] = pinned[k] == POLICY_COLO;
            }
    }
    run(&w, l, POLICY_AUTO, 200);
    ok(w.policy.switches <= l->switches, "%s: %llu switches, at most %u",
       l->name, (unsigned long long)w.policy.switches, l->switches);
    /* Where checkpoints alone are better, a probe of 4 s is among 10 s. */
    for (unsigned int i = 0; i < l->nphases; i++)
        ok(w.found[i] * 100 >= best[i] * (colo[i] ? 90 : 85),
           "load %u: auto moves %llu %% of what %s does", i + 1,
           (unsigned long long)(w.found[i] * 100 / best[i]),
           colo[i] ? "colo" : "remus");
}

int main(void)
{
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        known(&loads[i]);
        other(&loads[i], 40);
        other(&loads[i], 1000);
    }
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
        known(&streams[i]);
    sequence(&bench);
    return done_testing();
}
