/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* epoch.c - Cuts, commits and the clock */
#include <config.h>

#include <errno.h>

#include "engine.h"

#define SWEEP_NS UINT64_C(1000000000)

static uint64_t later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void drop_held_secondary(struct compare *c)
{
    while (!ring_empty(&c->s_held))
        drop_secondary(c, ring_entry(c->s_held.next, struct slot, in_all));
}

/* What every flow sees as a cut (flow_sync()). */
static void new_cut(struct compare *c)
{
    drop_held_secondary(c);
    ring_move(&c->waited, &c->wait);
    c->pos = c->arrival++;
    c->cut++;
    c->connected = false;
    /* Connections from before the cut have the same numbers (RULES B4). */
    c->isn_n = 0;
    c->want = (struct compare_want){ .reason = COMPARE_OK };
}

int compare_cut(struct compare *c, uint64_t epoch, uint64_t now)
{
    if (epoch <= c->epoch) return -EINVAL;
    if (c->ncuts == COMPARE_CUTS) return -EBUSY;
    new_cut(c);
    c->cuts[c->ncuts++] = (struct cut){ epoch, c->pos };
    c->epoch = epoch;
    c->mode = c->next_mode;
    c->open = false;
    c->cut_at = now;
    c->st.cuts++;
    return 0;
}

static struct cut *find_cut(struct compare *c, uint64_t epoch)
{
    for (uint32_t i = 0; i < c->ncuts; i++)
        if (c->cuts[i].epoch == epoch) return &c->cuts[i];
    return NULL;
}

/* Forget @n cuts from @from on. */
static void remove_cuts(struct compare *c, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i + n < c->ncuts; i++)
        c->cuts[i] = c->cuts[i + n];
    c->ncuts -= n;
}

/* The next held frame after @s that is not of flow @f. */
static struct ring *next_other(struct compare *c, struct ring *at,
                               const struct flow *f)
{
    do {
        at = at->next;
    } while (at != &c->held &&
             ring_entry(at, struct slot, in_all)->flow == f);
    return at;
}

/* All was compared against a state that the peer holds now: let it go. */
static void pump_all(struct compare *c, uint64_t now)
{
    struct ring *at = c->held.next, *next;

    for (; at != &c->held; at = next) {
        struct slot *s = ring_entry(at, struct slot, in_all);
        struct flow *f = s->flow;

        next = next_other(c, at, f);
        if (f == &c->over || f->pq.next != &s->in_flow) continue;
        flow_sync(c, f);
        flow_pump(c, f, now);
    }
}

/* Acknowledgements that were owed before @pos are no longer: say them. */
static void settle_owed(struct compare *c, uint64_t pos)
{
    struct ring *at, *next;

    for (at = c->owed.next; at != &c->owed; at = next) {
        struct flow *f = ring_entry(at, struct flow, in_owed);

        next = at->next;
        flow_sync(c, f);
        if (f->owed && f->owed->arrival < pos) ack_settle(c, f);
    }
}

int compare_commit(struct compare *c, uint64_t epoch, uint64_t now)
{
    struct cut *cut = find_cut(c, epoch);

    if (!cut) return -ENOENT;
    c->now = now;
    c->committed = cut->pos;
    remove_cuts(c, 0, (uint32_t)(cut - c->cuts) + 1);
    while (!ring_empty(&c->held)) {
        struct slot *s = ring_entry(c->held.next, struct slot, in_all);

        if (s->arrival >= c->committed) break;
        if (s->flow->key.kind == PACKET_TCP) {
            flow_sync(c, s->flow);
            ack_committed(c, s->flow, s);
        }
        c->st.committed++;
        release(c, s);
    }
    settle_owed(c, c->committed);
    c->st.commits++;
    if (!covered(c)) return 0;
    c->covered_at = now;
    pump_all(c, now);
    return 0;
}

int compare_abort(struct compare *c, uint64_t epoch, uint64_t now)
{
    struct cut *cut = find_cut(c, epoch);

    if (!cut) return -ENOENT;
    remove_cuts(c, (uint32_t)(cut - c->cuts), 1);
    c->st.aborts++;
    want(c, COMPARE_ABORTED, NULL, now);
    return 0;
}

void compare_open(struct compare *c, uint64_t now)
{
    c->now = now;
    while (!ring_empty(&c->held)) {
        struct slot *s = ring_entry(c->held.next, struct slot, in_all);

        if (s->flow->key.kind == PACKET_TCP) {
            flow_sync(c, s->flow);
            ack_committed(c, s->flow, s);
        }
        release(c, s);
    }
    new_cut(c);
    settle_owed(c, c->pos);
    c->committed = c->pos;
    c->covered_at = c->cut_at = now;
    c->ncuts = 0;
    c->open = true;
}

void compare_set_mode(struct compare *c, enum compare_mode mode)
{
    c->next_mode = mode;
}

enum compare_mode compare_get_mode(const struct compare *c)
{
    return c->mode;
}

void compare_svm_connected(struct compare *c, uint64_t now)
{
    if (c->connected) return;
    c->connected = true;
    c->connected_at = now;
}

uint64_t compare_longest_ns(struct compare *c)
{
    uint64_t ns = c->longest_ns;

    c->longest_ns = 0;
    return ns;
}

void compare_set_limits(struct compare *c, uint64_t late_ns,
                        uint64_t plug_ns)
{
    c->o.late_ns = late_ns;
    c->o.plug_ns = plug_ns;
}

void compare_get_stats(const struct compare *c, struct compare_stats *s)
{
    *s = c->st;
    s->flows = c->nflows;
}

/* ---- The clock ---------------------------------------------------------- */

/* When something that waits since @since is late. */
static uint64_t late_at(const struct compare *c, uint64_t since)
{
    /* Until the peer holds the epoch it is not the secondary that lags. */
    if (!covered(c)) return COMPARE_NEVER;
    if (c->connected)
        return later_of(since, later_of(c->connected_at, c->covered_at)) +
               c->o.late_ns;
    return later_of(since, later_of(c->cut_at, c->covered_at)) + c->o.plug_ns;
}

/* When the oldest frame of the primary is late. */
static uint64_t primary_late_at(const struct compare *c)
{
    if (ring_empty(&c->wait)) return COMPARE_NEVER;
    return late_at(c, ring_entry(c->wait.next, struct slot, in_wait)->time);
}

static uint64_t secondary_late_at(const struct compare *c)
{
    if (ring_empty(&c->s_held) || !c->connected) return COMPARE_NEVER;
    return late_at(c, ring_entry(c->s_held.next, struct slot, in_all)->time);
}

static uint64_t owed_late_at(const struct compare *c)
{
    if (ring_empty(&c->owed)) return COMPARE_NEVER;
    return late_at(c, ring_entry(c->owed.next, struct flow,
                                 in_owed)->owed_since);
}

static bool clock_runs(const struct compare *c)
{
    return c->want.reason == COMPARE_OK && c->mode == COMPARE_COLO &&
           !c->open;
}

void epoch_late(struct compare *c, uint64_t now)
{
    if (primary_late_at(c) <= now) {
        const struct slot *s = ring_entry(c->wait.next, struct slot, in_wait);

        want(c, c->connected ? COMPARE_LATE : COMPARE_UNPLUGGED, s->flow,
             now);
    }
    while (secondary_late_at(c) <= now) {
        struct slot *s = ring_entry(c->s_held.next, struct slot, in_all);

        if (!fifo_ignorable(s->flow, &s->seg)) {
            want(c, COMPARE_EXTRA, s->flow, now);
            break;
        }
        c->st.ignored++;
        drop_secondary(c, s);
    }
    while (clock_runs(c) && owed_late_at(c) <= now)
        ack_late(c, ring_entry(c->owed.next, struct flow, in_owed), now);
}

uint64_t compare_deadline(const struct compare *c)
{
    uint64_t at = COMPARE_NEVER, t;

    if (c->nflows) at = c->swept_at + SWEEP_NS;
    if (!clock_runs(c)) return at;
    t = primary_late_at(c);
    if (t < at) at = t;
    t = secondary_late_at(c);
    if (t < at) at = t;
    t = owed_late_at(c);
    return t < at ? t : at;
}

void compare_tick(struct compare *c, uint64_t now)
{
    c->now = now;
    if (clock_runs(c)) epoch_late(c, now);
    if (now - c->swept_at < SWEEP_NS) return;
    c->swept_at = now;
    flow_age(c, now);
}
