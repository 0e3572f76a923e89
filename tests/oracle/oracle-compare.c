/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * oracle-compare.c - Our compare engine and QEMU's, fed with the same
 *
 * usage: oracle-compare [--seed N] [--steps N] [--case N] [--kind NAME]
 *
 * A case is one to three conversations, interleaved at random; after each
 * frame both engines are looked at. Ours has to do what the conversation's
 * maker knows to be right. QEMU has to agree wherever it is right; where it
 * is not, the conversation's kind names the rule of ours that decides, and
 * it is counted how often it had to.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conv.h"
#include "qemu.h"
#include "rig.h"
#include "rng.h"
#include "tap.h"

#define KINDS_MAX    64u
#define CASES        400u /* until both are started anew */
#define NEVER_MS     3600000u
#define COMPLAINTS   8u

/**
 * struct tally - one kind's results
 * @kind: which
 * @cases: conversations of it
 * @agreed: QEMU did as we did throughout
 * @decided: it did not, and the rule decided
 * @failed: ours was wrong, or QEMU differed where it is right
 */
struct tally {
    const struct conv_kind *kind;
    unsigned int cases, agreed, decided, failed;
};

/**
 * struct run - everything
 * @seed: printed
 * @only: the only kind, or NULL
 * @qemu: the peer
 * @rig: ours
 * @tally: results, @kinds of them
 * @kinds: how many
 * @conv: the case's conversations
 * @convs: how many
 * @at: next step of each
 * @ours: frames that ours has released, of each
 * @next: the first frame that ours has not released, of each
 * @theirs: frames that QEMU has released, of each
 * @differed: QEMU did not do the same, of each
 * @made: acks of our engine's own in this step
 * @acked: the last ack that came out in this step
 * @promised: QEMU let out what promised more, in this step
 * @step: the step that is looked at
 * @wrong: what is wrong, or NULL
 * @number: the case's number
 * @steps: steps so far
 * @complaints: lines printed
 */
struct run {
    uint64_t seed;
    const char *only;
    struct qemu qemu;
    struct rig rig;
    struct tally tally[KINDS_MAX];
    unsigned int kinds;
    struct conv conv[CONV_SLOTS];
    unsigned int convs;
    unsigned int at[CONV_SLOTS];
    unsigned int ours[CONV_SLOTS], next[CONV_SLOTS], theirs[CONV_SLOTS];
    bool differed[CONV_SLOTS];
    unsigned int made;
    uint32_t acked;
    bool promised;
    const struct conv_step *step;
    const char *wrong;
    unsigned int number, steps, complaints;
};

static struct tally *tally_of(struct run *r, const struct conv_kind *kind)
{
    for (unsigned int i = 0; i < r->kinds; i++)
        if (r->tally[i].kind == kind) return &r->tally[i];
    abort();
}

static void complain(struct run *r, unsigned int slot, const char *what)
{
    const struct conv *c = &r->conv[slot];

    tally_of(r, c->kind)->failed++;
    if (r->complaints++ >= COMPLAINTS) return;
    printf("# %s: step %u of %u: %s\n", c->kind->name, r->at[slot], c->steps,
           what);
    printf("#   of %u frames the truth has %u out, ours %u, QEMU %u; wanted: "
           "truth %d, ours %d, QEMU %u\n",
           c->primaries, c->step[r->at[slot] - 1].out, r->ours[slot],
           r->theirs[slot], c->step[r->at[slot] - 1].wanted,
           rig_wanted(&r->rig), r->qemu.notified);
    printf("#   again: oracle-compare --seed %llu --case %u%s%s\n",
           (unsigned long long)r->seed, r->number, r->only ? " --kind " : "",
           r->only ? r->only : "");
}

/* ---- What comes out ------------------------------------------------------*/

static const struct conv_step *primary_step(const struct conv *c,
                                            unsigned int n)
{
    for (unsigned int i = 0; i < c->steps; i++)
        if (c->step[i].side == CONV_P && !n--) return &c->step[i];
    return NULL;
}

static bool promises_more(const struct conv_step *s, const struct frame_tcp *t)
{
    uint32_t edge = t->ack + ((uint32_t)t->window << s->scale);

    return s->right && (int32_t)(edge - s->right) > 0;
}

static void check_promise(struct run *r, const struct frame_tcp *t)
{
    const struct conv_step *s = r->step;

    r->acked = t->ack;
    if (s && s->ack && t->ack != s->ack) r->wrong = "released a wrong ack";
    if (s && promises_more(s, t))
        r->wrong = "promised too large a window";
}

/* Is frame @which of the primary's the next, but for those that overtake? */
static bool in_order(struct run *r, unsigned int slot, unsigned int which)
{
    const struct conv *c = &r->conv[slot];

    while (r->next[slot] < which && primary_step(c, r->next[slot])->overtakes)
        r->next[slot]++;
    return r->next[slot]++ == which;
}

static void from_ours(void *ctx, const struct compare_packet *p)
{
    struct run *r = ctx;
    bool partial = p->vnet.flags & PACKET_VNET_NEEDS_CSUM;
    const struct conv_step *said;
    struct frame_tcp t, old;
    unsigned int slot;
    int which;

    if (frame_read_tcp(p->frame, p->len, &t)) check_promise(r, &t);
    if (p->made) {
        r->made++;
        if (!frame_sums_right(p->frame, p->len, partial))
            r->wrong = "made an ack with a wrong checksum";
        return;
    }
    which = conv_which(frame_mark(p->frame), &slot);
    if (which < 0 || slot >= r->convs ||
        !(said = primary_step(&r->conv[slot], (unsigned int)which))) {
        r->wrong = "released a frame that nobody sent";
        return;
    }
    r->ours[slot]++;
    if (!said->overtakes && !in_order(r, slot, (unsigned int)which))
        r->wrong = "not in order";
    if (p->len != said->len) {
        r->wrong = "released with another length";
        return;
    }
    if (frame_read_tcp(said->frame, said->len, &old)) {
        if (t.len != old.len || t.seq != old.seq || t.flags != old.flags ||
            memcmp(t.data, old.data, t.len))
            r->wrong = "released another payload";
        if (r->conv[slot].kind->agree != CONV_OUR_RULE &&
            (t.ack != old.ack || t.window != old.window))
            r->wrong = "lowered what need not be lowered";
        if (!frame_sums_right(p->frame, p->len, partial))
            r->wrong = "released with a wrong checksum";
    } else if (memcmp(p->frame, said->frame, p->len)) {
        r->wrong = "changed what is not TCP";
    }
}

static void from_qemu(void *ctx, const uint8_t *frame, size_t len)
{
    struct run *r = ctx;
    unsigned int slot;
    struct frame_tcp t;

    if (r->step && frame_read_tcp(frame, len, &t)) {
        const struct conv_step *s = r->step;

        r->promised |= (s->ack && t.ack != s->ack) || promises_more(s, &t);
    }
    if (conv_which(frame_mark(frame), &slot) >= 0 && slot < r->convs)
        r->theirs[slot]++;
}

/* ---- A case --------------------------------------------------------------*/

static bool any_wanted(const struct run *r)
{
    for (unsigned int i = 0; i < r->convs; i++)
        if (r->at[i] && r->conv[i].step[r->at[i] - 1].wanted) return true;
    return false;
}

static bool any_rule(const struct run *r)
{
    for (unsigned int i = 0; i < r->convs; i++)
        if (r->conv[i].kind->agree == CONV_OUR_RULE) return true;
    return false;
}

static int feed_both(struct run *r, const struct conv_step *s)
{
    bool mine = s->side == CONV_P;
    int rc;

    if (s->side == CONV_TIME) {
        rig_wait(&r->rig, (unsigned int)s->len);
        return 0;
    }
    rc = mine ? rig_primary(&r->rig, s->frame, s->len, s->partial) :
                rig_secondary(&r->rig, s->frame, s->len, s->partial);
    if (rc) r->wrong = "the engine refused it";
    rc = qemu_put(&r->qemu, mine ? QEMU_PRI : QEMU_SEC, s->frame, s->len);
    return rc ? rc : qemu_barrier(&r->qemu, from_qemu, r);
}

/* Judge ours after a step of @slot. */
static void judge_ours(struct run *r, unsigned int slot)
{
    const struct conv_step *s = r->step;
    bool wanted = rig_wanted(&r->rig);

    if (!r->wrong && !s->wanted && r->ours[slot] < s->out)
        r->wrong = "ours holds what may be out";
    if (!r->wrong && r->ours[slot] > s->out)
        r->wrong = "ours released what must be held";
    if (!r->wrong && wanted != any_wanted(r) && !(wanted && s->perhaps))
        r->wrong = wanted ? "ours wants a checkpoint for nothing" :
                            "ours does not see that they differ";
    if (!r->wrong && s->made && r->acked != s->ack)
        r->wrong = "ours owes an ack";
    if (r->wrong) complain(r, slot, r->wrong);
    r->wrong = NULL;
}

/* Judge QEMU, and with it ours, after a step of @slot. */
static void judge_qemu(struct run *r, unsigned int slot)
{
    const struct conv *c = &r->conv[slot];
    bool end = r->at[slot] == c->steps;
    bool differs = r->theirs[slot] != r->step->out || r->promised;

    /* It has one request for all conversations. */
    if (c->kind->agree == CONV_OUR_RULE || !any_rule(r))
        differs |= (!!r->qemu.notified != any_wanted(r) &&
                    !(r->qemu.notified && r->step->perhaps)) ||
                   (c->kind->agree == CONV_OUR_RULE && r->qemu.notified > 1);
    if (differs && c->kind->agree == CONV_OUR_RULE) r->differed[slot] = true;
    if (differs && (c->kind->agree == CONV_EACH_STEP ||
                    (c->kind->agree == CONV_AT_END && end)))
        complain(r, slot, "QEMU differs, and no rule of ours decides");
}

/* A checkpoint on both; everything that was held has to come out. */
static int checkpoint_both(struct run *r)
{
    int rc;

    r->step = NULL;
    rig_checkpoint(&r->rig);
    rig_take(&r->rig, from_ours, r);
    rc = qemu_checkpoint(&r->qemu, from_qemu, r);
    r->qemu.notified = 0;
    for (unsigned int i = 0; !rc && i < r->convs; i++) {
        const struct conv *c = &r->conv[i];

        if (!r->wrong && r->ours[i] + c->absorbed != c->primaries)
            r->wrong = "a frame was lost at the checkpoint";
        if (!r->wrong && r->theirs[i] != c->primaries &&
            c->kind->agree != CONV_OUR_RULE)
            r->wrong = "QEMU lost a frame at the checkpoint";
        if (r->wrong) complain(r, i, r->wrong);
        r->wrong = NULL;
    }
    return rc;
}

/* What was going on when QEMU no longer answered. */
static void tell_last(const struct run *r)
{
    printf("# case %u:", r->number - 1);
    for (unsigned int i = 0; i < r->convs; i++)
        printf(" %s (step %u of %u, of %u frames QEMU has let out %u)",
               r->conv[i].kind->name, r->at[i], r->conv[i].steps,
               r->conv[i].primaries, r->theirs[i]);
    printf("\n");
}

static const struct conv_kind *pick_kind(struct run *r, uint64_t *rng,
                                         bool rule)
{
    const struct conv_kind *k;

    do k = r->tally[rng_below(rng, r->kinds)].kind;
    while ((k->agree == CONV_OUR_RULE) != rule);
    return k;
}

static const struct conv_kind *named(struct run *r, const char *name)
{
    for (unsigned int i = 0; i < r->kinds; i++)
        if (!strcmp(r->tally[i].kind->name, name)) return r->tally[i].kind;
    return NULL;
}

/* At most one of a case's conversations is one that QEMU can't judge. */
static void make_case(struct run *r, uint64_t *rng)
{
    bool rule = rng_once_in(rng, 2), alone = false;

    r->convs = 1 + rng_below(rng, CONV_SLOTS);
    for (unsigned int i = 0; i < r->convs; i++) {
        struct conv *c = &r->conv[i];

        c->slot = i;
        c->vnet = r->qemu.vnet;
        c->flow = r->number * CONV_SLOTS + i;
        c->rng = rng_next(rng);
        conv_make(c, r->only && !i ? named(r, r->only) :
                  pick_kind(r, rng, rule && !i && !r->only));
        for (unsigned int k = 0; k < c->steps; k++)
            alone |= c->step[k].side == CONV_TIME;
        if (alone) r->convs = 1;
    }
    memset(r->at, 0, sizeof(r->at));
    memset(r->ours, 0, sizeof(r->ours));
    memset(r->next, 0, sizeof(r->next));
    memset(r->theirs, 0, sizeof(r->theirs));
    memset(r->differed, 0, sizeof(r->differed));
}

static int run_case(struct run *r)
{
    uint64_t rng = r->seed ^ (r->number * UINT64_C(0x2545f4914f6cdd1d));
    unsigned int left = 0;
    int rc = 0;

    make_case(r, &rng);
    for (unsigned int i = 0; i < r->convs; i++) left += r->conv[i].steps;
    r->steps += left;
    for (; !rc && left; left--) {
        unsigned int slot;

        do slot = rng_below(&rng, r->convs);
        while (r->at[slot] == r->conv[slot].steps);
        r->step = &r->conv[slot].step[r->at[slot]++];
        r->made = 0;
        r->acked = 0;
        r->promised = false;
        rc = feed_both(r, r->step);
        rig_take(&r->rig, from_ours, r);
        judge_ours(r, slot);
        if (!rc) judge_qemu(r, slot);
    }
    for (unsigned int i = 0; i < r->convs; i++) {
        struct tally *t = tally_of(r, r->conv[i].kind);

        t->cases++;
        if (r->differed[i]) t->decided++; else t->agreed++;
    }
    return rc ? rc : checkpoint_both(r);
}

static void stop_both(struct run *r)
{
    qemu_stop(&r->qemu);
    rig_close(&r->rig);
}

/* ---- Time ----------------------------------------------------------------*/

static void count_frame(void *ctx, const uint8_t *frame, size_t len)
{
    (void)frame;
    (void)len;
    ++*(unsigned int *)ctx;
}

static void count_packet(void *ctx, const struct compare_packet *p)
{
    (void)p;
    ++*(unsigned int *)ctx;
}

/* A frame that only the primary sends is late, by each one's own clock; one
 * that both have sent never is. Return: 0 or -errno of QEMU's. */
static int run_late(struct run *r)
{
    struct qemu_opts o = { .timeout_ms = 100, .scan_ms = 10 };
    struct frame_spec s = {
        .proto = PROTO_UDP, .src = 1, .dst = 2, .data = r->conv[0].data,
        .len = 100,
    };
    unsigned int ours = 0, theirs = 0, held[2];
    uint8_t frame[256];
    size_t len = frame_build(&s, frame);
    int rc = qemu_start_compare(&r->qemu, &o);

    rig_open(&r->rig, NULL);
    for (unsigned int i = 0; !rc && i < 2; i++) {
        rig_primary(&r->rig, frame, len, false);
        rc = qemu_put(&r->qemu, QEMU_PRI, frame, len);
        if (rc || i) break;
        rig_secondary(&r->rig, frame, len, false);
        rc = qemu_put(&r->qemu, QEMU_SEC, frame, len);
        if (!rc) rc = qemu_barrier(&r->qemu, count_frame, &theirs);
    }
    rig_wait(&r->rig, RIG_LATE_MS + 1);
    rig_take(&r->rig, count_packet, &ours);
    if (!rc) rc = qemu_wait_notify(&r->qemu);
    held[0] = ours;
    held[1] = theirs;
    ok(ours == 1 && rig_wanted(&r->rig), "late: ours asks");
    ok(!rc && theirs == 1, "late: QEMU asks too");
    rig_checkpoint(&r->rig);
    rig_take(&r->rig, count_packet, &ours);
    if (!rc) rc = qemu_checkpoint(&r->qemu, count_frame, &theirs);
    ok(ours == held[0] + 1, "late: a checkpoint lets it out of ours");
    ok(!rc && theirs == held[1] + 1, "late: and out of QEMU");
    stop_both(r);
    return rc;
}

/* ---- The run -------------------------------------------------------------*/

static int start_both(struct run *r)
{
    struct qemu_opts o = {
        .timeout_ms = NEVER_MS, .scan_ms = NEVER_MS,
        .vnet = r->number / CASES % 2,
    };
    struct compare_opts mine = rig_opts();

    mine.flows = 8192;
    rig_open(&r->rig, &mine);
    return qemu_start_compare(&r->qemu, &o);
}

static int run_all(struct run *r, unsigned int steps, long only_case)
{
    int rc = 0;

    if (only_case >= 0) r->number = (unsigned int)only_case;
    do {
        rc = start_both(r);
        do {
            if (rc) break;
            rc = run_case(r);
            r->number++;
        } while (only_case < 0 && r->number % CASES && r->steps < steps);
        stop_both(r);
    } while (!rc && only_case < 0 && r->steps < steps);
    return rc;
}

static void add_kinds(struct run *r, const struct conv_kind *k)
{
    for (; k->name; k++) r->tally[r->kinds++].kind = k;
}

static void report(const struct run *r)
{
    for (unsigned int i = 0; i < r->kinds; i++) {
        const struct tally *t = &r->tally[i];

        if (!t->cases) continue;
        if (t->kind->agree != CONV_OUR_RULE)
            ok(!t->failed, "%s: QEMU agrees in %u of %u", t->kind->name,
               t->agreed - (t->failed < t->agreed ? t->failed : t->agreed),
               t->cases);
        else
            ok(!t->failed, "%s: QEMU agrees in %u of %u, in %u our rule "
               "decides: %s", t->kind->name, t->agreed, t->cases, t->decided,
               t->kind->rule);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' },
        { "steps", required_argument, NULL, 'n' },
        { "case", required_argument, NULL, 'c' },
        { "kind", required_argument, NULL, 'k' },
        { NULL, 0, NULL, 0 },
    };
    static struct run r;
    unsigned int steps = 12000;
    long only_case = -1;
    int opt, rc;

    r.seed = (uint64_t)time(NULL);
    add_kinds(&r, conv_plain);
    add_kinds(&r, conv_tcp_rules);
    add_kinds(&r, conv_other_rules);
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 's': r.seed = strtoull(optarg, NULL, 0); break;
        case 'n': steps = (unsigned int)strtoul(optarg, NULL, 0); break;
        case 'c': only_case = strtol(optarg, NULL, 0); break;
        case 'k': r.only = optarg; break;
        default: return 2;
        }
    }
    if (r.only && !named(&r, r.only)) {
        fprintf(stderr, "oracle-compare: no kind %s\n", r.only);
        return 2;
    }
    if (!qemu_present()) {
        printf("1..0 # SKIP qemu-system-x86_64 is not installed\n");
        return 77;
    }
    printf("# seed %llu\n", (unsigned long long)r.seed);
    for (unsigned int i = 0; i < CONV_SLOTS; i++) {
        r.conv[i].data = malloc(CONV_DATA);
        r.conv[i].room = malloc(CONV_ROOM);
        if (!r.conv[i].data || !r.conv[i].room) abort();
    }
    rc = run_all(&r, steps, only_case);
    report(&r);
    if (!rc && only_case < 0) rc = run_late(&r);
    if (rc) tell_last(&r);
    ok(!rc, "%u steps in %u cases, QEMU answered all along (%s)", r.steps,
       r.number, rc ? strerror(-rc) : "no error");
    for (unsigned int i = 0; i < CONV_SLOTS; i++) {
        free(r.conv[i].data);
        free(r.conv[i].room);
    }
    return done_testing();
}
