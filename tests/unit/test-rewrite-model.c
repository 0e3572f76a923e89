/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-rewrite-model.c - Whole connections across cuts, a failover, and the
 *                        deaths of the survivor's rewriter
 *
 * Three small TCP endpoints: a client, the primary guest and the secondary
 * guest, which has other initial sequence numbers and another clock, and hears
 * and speaks through the rewriter. Segments of random size are lost at random;
 * the primary's leave only when the secondary has sent the same (what the
 * compare engine sees to). Each endpoint checks what reaches it as a strict
 * stack would: checksums from scratch, every octet, acknowledgements and SACK
 * blocks of what it sent and nothing else, echoes of its own timestamps (in the
 * handshake exactly, later no newer ones), and no timestamp that is older than
 * one before.
 *
 * test-rewrite-model [SEED [RUNS]] repeats a failure.
 */
#include <config.h>

#include <inttypes.h>

#include "../oracle/rng.h"
#include "clock.h"
#include "rewrite-rig.h"
#include "tap.h"

#define ACK TH_ACK
#define SYNACK (TH_SYN | TH_ACK)
#define TOTAL 12000u
#define MS UINT64_C(1000000)
#define WINDOW 20000u
#define LAG 300u  /* ms that the secondary may resume later */
#define SKEW 300u /* ms between the two guests' answers to a SYN */

/**
 * struct end - an endpoint; positions count its stream's octets, FIN included
 * @name: for complaints
 * @iss, @irs: initial sequence numbers
 * @total: octets it has to send
 * @una, @nxt: acknowledged; sent
 * @rcv: received in order
 * @got: what was received
 * @clock: its timestamps are this plus the time in ms
 * @first, @newest: timestamps it sent
 * @recent: the newest it received
 * @sent_ts, @has_recent, @est: what is valid yet
 * @quiet: has sent nothing since the cut: an echo may still be the primary's,
 *   which it takes for no measurement
 */
struct end {
    const char *name;
    uint32_t iss, irs, total, una, nxt, rcv;
    uint32_t clock, first, newest, recent;
    bool sent_ts, has_recent, est, quiet;
    uint8_t got[TOTAL + 2];
};

/**
 * struct world - one run
 * @g: the rewriter
 * @c, @p, @s: client, primary, secondary
 * @resume: until then the secondary is restored from the primary's state
 * @active: the guest opens the connection
 * @gso: partial checksums and large segments
 * @over: the primary is gone
 * @tells: it told each of its timestamps, so that the secondary may take over
 *   at once; without that the time to notice covers what it did not tell
 * @wrong, @whose: the first complaint
 */
struct world {
    struct rig g;
    uint64_t resume;
    struct end c, p, s;
    uint64_t rng;
    bool active, gso, over, tells;
    const char *wrong;
    const char *whose;
};

static uint32_t below(struct world *w, uint32_t n)
{
    return rng_below(&w->rng, n);
}

static void wrong(struct world *w, const struct end *e, const char *what)
{
    if (w->wrong) return;
    w->wrong = what;
    w->whose = e->name;
}

static uint8_t octet(const struct end *from, uint32_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 17 + from->total);
}

static void end_init(struct world *w, struct end *e, const char *name,
                     uint32_t total)
{
    memset(e, 0, sizeof(*e));
    e->name = name;
    e->iss = (uint32_t)rng_next(&w->rng);
    if (below(w, 2)) e->iss = 0u - below(w, TOTAL);
    e->clock = (uint32_t)rng_next(&w->rng);
    e->total = total;
}

static uint32_t clock_of(const struct world *w, const struct end *e)
{
    return e->clock + (uint32_t)(w->g.now / MS);
}

/* The SACK blocks that @e would send. */
static void sacks(const struct end *e, struct seg *s)
{
    uint32_t at = e->rcv;

    while (at < TOTAL + 1 && s->nsack < 3) {
        uint32_t from;

        while (at < TOTAL + 1 && !e->got[at]) at++;
        from = at;
        while (at < TOTAL + 1 && e->got[at]) at++;
        if (from == at) break;
        s->sack[s->nsack][0] = e->irs + 1 + from;
        s->sack[s->nsack++][1] = e->irs + 1 + at;
    }
}

/* A segment of @e; @flags may have SYN, then it has no payload. */
static struct seg say(struct world *w, struct end *e, uint8_t flags,
                      uint32_t from, uint32_t len)
{
    static uint8_t data[TOTAL];
    struct seg s = { .flags = flags, .ts = true, .tsecr = e->recent };

    s.seq = flags & TH_SYN ? e->iss : e->iss + 1 + from;
    if (flags & ACK) s.ack = e->irs + 1 + e->rcv;
    s.tsval = clock_of(w, e);
    if (!e->sent_ts) e->first = s.tsval;
    e->newest = s.tsval;
    e->sent_ts = true;
    e->quiet = false;
    if (flags & TH_SYN) {
        s.wscale = 1;
        return s;
    }
    for (uint32_t i = 0; i < len; i++)
        data[i] = octet(e, from + i);
    s.data = data;
    s.len = len;
    if (from + len == e->total && below(w, 2)) s.flags |= TH_FIN;
    sacks(e, &s);
    s.odd = s.nsack < 3 && below(w, 2);
    if (from + len + !!(s.flags & TH_FIN) > e->nxt)
        e->nxt = from + len + !!(s.flags & TH_FIN);
    return s;
}

static bool between(uint32_t v, uint32_t from, uint32_t to)
{
    return v - from <= to - from;
}

static void hears_data(struct world *w, struct end *e, const struct end *from,
                       const struct frame_tcp *t)
{
    uint32_t at = t->seq - e->irs - 1;

    if (at > from->total + 1 || t->len > from->total - at) {
        if (t->len || at > from->total + 1) wrong(w, e, "a seq not sent");
        return;
    }
    for (uint32_t i = 0; i < t->len; i++) {
        if (t->data[i] != octet(from, at + i)) wrong(w, e, "another octet");
        e->got[at + i] = 1;
    }
    if (t->flags & TH_FIN) {
        if (at + t->len != from->total) wrong(w, e, "a FIN elsewhere");
        e->got[from->total] = 1;
    }
    while (e->rcv < from->total + 1 && e->got[e->rcv])
        e->rcv++;
}

/* @e receives the frame in g->frame; checks it as a strict stack would. */
static void hears(struct world *w, struct end *e, const struct end *from)
{
    struct rig *g = &w->g;
    const struct seg *s = &g->out;
    struct frame_tcp t;
    uint32_t ack, slack;

    rig_read(g, g->frame, g->len);
    if (!g->sums) wrong(w, e, "a checksum");
    if (!frame_read_tcp(g->frame, g->len, &t)) abort();
    if (t.flags & TH_SYN) {
        if (e->est && e->irs != t.seq) wrong(w, e, "another ISN");
        e->irs = t.seq;
    }
    if (e->has_recent && (int32_t)(s->tsval - e->recent) < 0)
        wrong(w, e, "a timestamp older than one before (PAWS)");
    e->recent = s->tsval;
    e->has_recent = true;
    if (!(t.flags & ACK)) return;
    ack = t.ack - e->iss - 1;
    if (ack > e->nxt) wrong(w, e, "an ack of what it did not send");
    else if (ack > e->una) e->una = ack;
    slack = e->est ? LAG + SKEW : 0;
    if (!e->quiet && !between(s->tsecr, e->first - slack, e->newest))
        wrong(w, e, "an echo of what it did not send");
    for (unsigned int i = 0; i < s->nsack; i++)
        if (s->sack[i][0] - e->iss - 1 > e->nxt ||
            s->sack[i][1] - e->iss - 1 > e->nxt ||
            s->sack[i][1] - s->sack[i][0] > e->nxt)
            wrong(w, e, "a SACK block of what it did not send");
    e->est = true;
    if (!(t.flags & TH_SYN)) hears_data(w, e, from, &t);
}

/* What @e may send next: @from and @len, not beyond @limit. */
static bool choose(struct world *w, const struct end *e, uint32_t limit,
                   uint32_t *from, uint32_t *len)
{
    uint32_t most = w->gso ? 9000 : 1400, left;

    if (limit > e->total) limit = e->total;
    if (limit > e->una + WINDOW) limit = e->una + WINDOW;
    *from = below(w, 3) ? e->nxt : e->una;
    if (*from > limit) *from = e->una < limit ? e->una : limit;
    left = limit - *from;
    *len = left ? 1 + below(w, left < most ? left : most) : 0;
    return true;
}

static void client_frame(struct world *w, const struct seg *s)
{
    w->g.partial = w->gso;
    rig_build(&w->g, s, true);
}

/* A frame for the secondary, in g->frame, through the rewriter. */
static void to_secondary(struct world *w)
{
    struct rewrite_held h;

    rig_run(&w->g, true);
    if (w->g.verdict == REWRITE_DROP) wrong(w, &w->s, "a dropped segment");
    if (w->g.verdict == REWRITE_PASS || w->g.verdict == REWRITE_DONE)
        hears(w, &w->s, &w->c);
    while (rewrite_take(w->g.r, &h, w->g.now)) {
        memcpy(w->g.frame, h.frame, h.len);
        w->g.len = h.len;
        hears(w, &w->s, &w->c);
    }
}

/* Frames that waited, after the secondary spoke. */
static void drain(struct world *w)
{
    struct rewrite_held h;

    while (rewrite_take(w->g.r, &h, w->g.now)) {
        memcpy(w->g.frame, h.frame, h.len);
        w->g.len = h.len;
        hears(w, &w->s, &w->c);
    }
}

static void client_says(struct world *w, const struct seg *s)
{
    if (!below(w, 8)) return; /* lost on the way */
    if (!w->over && below(w, 10)) {
        client_frame(w, s);
        hears(w, &w->p, &w->c);
    }
    if (!below(w, 10) || w->g.now < w->resume) return;
    client_frame(w, s);
    to_secondary(w);
}

/* The secondary's segment, translated; after the failover the client's. */
static void secondary_says(struct world *w, const struct seg *s)
{
    w->g.partial = w->gso;
    rig_build(&w->g, s, false);
    rig_run(&w->g, false);
    rig_read(&w->g, w->g.frame, w->g.len);
    if (w->g.out.seq != s->seq + w->g.seq_off) wrong(w, &w->s, "seq_off");
    if (w->over && below(w, 8)) hears(w, &w->c, &w->s);
    drain(w);
}

static void primary_says(struct world *w, const struct seg *s)
{
    if (w->tells || below(w, 2)) rig_told_ts(&w->g, s->tsval);
    if (!below(w, 8)) return;
    w->g.partial = w->gso;
    rig_build(&w->g, s, false);
    hears(w, &w->c, &w->p);
}

static void primary_step(struct world *w)
{
    uint32_t rcv = w->p.rcv, from, len;
    struct seg s;

    /* Only what the secondary has sent, and received. */
    choose(w, &w->p, w->s.nxt, &from, &len);
    if (w->p.rcv > w->s.rcv) w->p.rcv = w->s.rcv;
    s = say(w, &w->p, ACK, from, len);
    if (w->s.nxt <= w->p.total) s.flags &= (uint8_t)~TH_FIN;
    s.nsack = 0;
    w->p.rcv = rcv;
    primary_says(w, &s);
}

static void secondary_step(struct world *w)
{
    uint32_t from, len, was;
    struct seg s;

    if (w->g.now < w->resume) return;
    choose(w, &w->s, w->s.total, &from, &len);
    s = say(w, &w->s, ACK, from, len);
    was = s.seq - w->s.iss;
    secondary_says(w, &s);
    if (w->g.out.seq - w->p.iss != was)
        wrong(w, &w->s, "its octet has not the primary's place");
}

static void client_step(struct world *w)
{
    uint32_t from, len;
    struct seg s;

    choose(w, &w->c, w->c.total, &from, &len);
    s = say(w, &w->c, ACK, from, len);
    client_says(w, &s);
}

static void cut(struct world *w)
{
    const char *name = w->s.name;
    uint32_t lag = below(w, LAG);

    /* The secondary goes on where the primary was, but later. */
    w->s = w->p;
    w->s.name = name;
    w->s.quiet = true;
    w->s.clock -= lag;
    w->resume = w->g.now + lag * MS;
    rewrite_cut(w->g.r, w->g.now);
}

static void failover(struct world *w)
{
    if (!w->tells) w->g.now += 1000 * MS;
    if (w->g.now < w->resume) w->g.now = w->resume;
    rig_failover(&w->g);
    w->over = true;
}

/* The handshake, up to where all three are established. */
static void shake(struct world *w)
{
    struct seg p, s, syn;
    bool early = !w->active && !below(w, 4);
    bool lost = !w->active && !early && !w->tells && !below(w, 6);

    if (!w->active) {
        syn = say(w, &w->c, TH_SYN, 0, 0);
        client_frame(w, &syn);
        hears(w, &w->p, &w->c);
        client_frame(w, &syn);
        to_secondary(w);
    }
    p = say(w, &w->p, w->active ? TH_SYN : SYNACK, 0, 0);
    if (below(w, 2) && !lost) {
        rig_told(&w->g, p.seq);
        rig_told_ts(&w->g, p.tsval);
        w->g.now += below(w, SKEW / 2) * MS;
    } else {
        early = false;
    }
    if (!early) {
        s = say(w, &w->s, w->active ? TH_SYN : SYNACK, 0, 0);
        secondary_says(w, &s);
        w->g.now += below(w, SKEW / 2) * MS;
        if (!lost) rig_told(&w->g, p.seq);
        if (below(w, 2)) {
            s = say(w, &w->s, w->active ? TH_SYN : SYNACK, 0, 0);
            secondary_says(w, &s);
        }
    }
    w->g.partial = false;
    rig_build(&w->g, &p, false);
    hears(w, &w->c, &w->p);
    w->c.est = true;
    if (lost) failover(w);
    do {
        syn = say(w, &w->c, w->active ? SYNACK : ACK, 0, 0);
        client_says(w, &syn);
        if (early) {
            s = say(w, &w->s, SYNACK, 0, 0);
            secondary_says(w, &s);
            early = false;
        }
        w->g.now += 20 * MS;
    } while (!w->s.est || (!w->over && !w->p.est));
}

static bool done(const struct world *w)
{
    return w->c.rcv == w->s.total + 1 && w->s.rcv == w->c.total + 1 &&
           w->c.una == w->c.total + 1 && w->s.una == w->s.total + 1;
}

static bool run(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    uint32_t total, fail_at, live;
    bool good;

    if (!w) abort();
    rig_open(&w->g);
    w->rng = seed;
    w->g.v6 = below(w, 2);
    w->g.ext = below(w, 3);
    w->g.vlan = below(w, 3) ? 0 : 5;
    w->gso = below(w, 2);
    w->active = below(w, 2);
    w->tells = below(w, 2);
    total = 1 + below(w, TOTAL);
    end_init(w, &w->c, "client", 1 + below(w, TOTAL));
    end_init(w, &w->p, "primary", total);
    end_init(w, &w->s, "secondary", total);
    shake(w);
    fail_at = below(w, 60);
    for (unsigned int n = 0; n < 4000 && !w->wrong && !done(w); n++) {
        w->g.now += below(w, 20) * MS;
        if (w->over && !below(w, 5) && rig_die(&w->g, NULL))
            wrong(w, &w->s, "its table was lost");
        if (!w->over && n >= fail_at) failover(w);
        else if (!w->over && !below(w, 25)) cut(w);
        else if (below(w, 3) == 0) client_step(w);
        else if (!w->over && below(w, 2)) primary_step(w);
        else secondary_step(w);
    }
    if (!done(w)) wrong(w, &w->c, "it did not end");
    /* A FIN is acknowledged by both guests. */
    w->g.now += SEC;
    secondary_step(w);
    w->g.now += 601 * SEC;
    rewrite_tick(w->g.r, w->g.now);
    live = rewrite_live(w->g.r);
    if (live) wrong(w, &w->s, "it is closed, but lives on");
    good = !w->wrong;
    if (!good)
        printf("# seed %" PRIu64 ": %s: %s\n", seed, w->whose, w->wrong);
    rig_close(&w->g);
    free(w);
    return good;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : clock_us();
    unsigned int runs = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0)
                                 : argc > 1 ? 1 : 300;
    unsigned int good = 0;

    printf("# first seed %" PRIu64 "\n", seed);
    for (unsigned int i = 0; i < runs && good == i; i++)
        good += run(seed + i);
    ok(good == runs, "rule_B4: the client sees one stream across cuts, a "
       "failover and dying rewriters, %u connections", runs);
    return done_testing();
}
