/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * oracle-rewrite.c - Our rewriter and QEMU's, fed with the same
 *
 * usage: oracle-rewrite [--seed N] [--steps N] [--case N]
 *
 * A case is one TCP connection of the secondary's, whose initial sequence
 * number differs from the primary's. For each frame its maker also makes the
 * frame that has to come out, from scratch. Ours has to let out just that,
 * octet for octet; QEMU too, but where a rule of ours names what it gets
 * wrong: there it is counted how often the rule had to decide.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frame.h"
#include "qemu.h"
#include "rewrite.h"
#include "rng.h"
#include "tap.h"

#define STEPS      64u
#define CASES      1500u /* until both are started anew */
#define FRAME_ROOM 2048u
#define SECOND     UINT64_C(1000000000)
#define WAIT_MS    10000

/** enum step_kind - what a step is */
enum step_kind { STEP_IN, STEP_OUT, STEP_TOLD };

/**
 * struct step - one event
 * @kind: a frame to or from the guest, or the primary's ISN becomes known
 * @given: the frame
 * @given_len: its length
 * @want: what has to come out
 * @want_len: its length
 * @held: it has to wait in ours, and comes out with the next step
 * @rule: NULL if QEMU is right, otherwise our rule
 */
struct step {
    enum step_kind kind;
    uint8_t given[FRAME_ROOM], want[FRAME_ROOM];
    size_t given_len, want_len;
    bool held;
    const char *rule;
};

/**
 * struct talk - a connection
 * @rng: random numbers
 * @base: addresses; the guest is the source
 * @isn_p: the primary's ISN
 * @isn_s: the secondary's
 * @isn_c: the remote end's
 * @guest: octets that the guest has sent
 * @client: octets that the remote end has sent
 * @step: the events
 * @steps: how many
 */
struct talk {
    uint64_t rng;
    struct frame_spec base;
    uint32_t isn_p, isn_s, isn_c;
    uint32_t guest, client;
    struct step step[STEPS];
    unsigned int steps;
};

/**
 * struct kind - a sort of connection
 * @name: short
 * @make: fills in the steps
 */
struct kind {
    const char *name;
    void (*make)(struct talk *t);
};

static uint8_t noise[4096];

/* ---- Making --------------------------------------------------------------*/

static struct step *add_step(struct talk *t, enum step_kind kind,
                             const char *rule)
{
    struct step *s = &t->step[t->steps++];

    if (t->steps > STEPS) abort();
    s->kind = kind;
    s->rule = rule;
    s->held = false;
    return s;
}

static struct frame_spec from_guest(const struct talk *t, uint8_t flags,
                                    size_t len)
{
    struct frame_spec s = t->base;

    s.flags = flags;
    s.len = len;
    s.data = noise + t->guest % 1000;
    s.ack = flags & TH_ACK ? t->isn_c + 1 + t->client : 0;
    return s;
}

/* A frame of the guest's, with its own numbers and with the primary's. */
static struct step *say_out(struct talk *t, uint8_t flags, size_t len,
                            const char *rule)
{
    struct step *s = add_step(t, STEP_OUT, rule);
    struct frame_spec f = from_guest(t, flags, len);
    uint32_t at = flags & TH_SYN ? 0 : 1 + t->guest;

    f.seq = t->isn_s + at;
    s->given_len = frame_build(&f, s->given);
    f.seq = t->isn_p + at;
    s->want_len = frame_build(&f, s->want);
    if (!(flags & TH_SYN)) t->guest += (uint32_t)len + !!(flags & TH_FIN);
    return s;
}

static struct frame_spec to_guest(const struct talk *t, uint8_t flags,
                                  size_t len)
{
    struct frame_spec s = t->base;

    s.src = t->base.dst;
    s.dst = t->base.src;
    s.sport = t->base.dport;
    s.dport = t->base.sport;
    s.flags = flags;
    s.len = len;
    s.data = noise + t->client % 1000;
    s.seq = t->isn_c + (flags & TH_SYN ? 0 : 1 + t->client);
    return s;
}

/* A frame of the remote end's, which acks the guest's octets up to @acked. */
static struct step *say_in(struct talk *t, uint8_t flags, size_t len,
                           uint32_t acked, const char *rule)
{
    struct step *s = add_step(t, STEP_IN, rule);
    struct frame_spec f = to_guest(t, flags, len);

    f.ack = flags & TH_ACK ? t->isn_p + 1 + acked : 0;
    s->given_len = frame_build(&f, s->given);
    f.ack = flags & TH_ACK ? t->isn_s + 1 + acked : 0;
    s->want_len = frame_build(&f, s->want);
    if (!(flags & TH_SYN)) t->client += (uint32_t)len + !!(flags & TH_FIN);
    return s;
}

/* What is not to be changed. */
static void as_it_is(struct step *s)
{
    memcpy(s->want, s->given, s->given_len);
    s->want_len = s->given_len;
}

#define SYNACK "a SYN/ACK carries the primary's number too"

/* The remote end opens. QEMU leaves the SYN/ACK as it is. */
static void opened(struct talk *t, const char *rule)
{
    bool late = rng_once_in(&t->rng, 2);

    say_in(t, TH_SYN, 0, 0, rule);
    if (rng_once_in(&t->rng, 4)) say_in(t, TH_SYN, 0, 0, rule);
    if (!late) add_step(t, STEP_TOLD, NULL);
    if (late) as_it_is(say_out(t, TH_SYN | TH_ACK, 0, rule));
    else say_out(t, TH_SYN | TH_ACK, 0, rule ? rule : SYNACK);
    if (late) add_step(t, STEP_TOLD, NULL);
    say_in(t, TH_ACK, 0, 0, rule);
}

static void converse(struct talk *t, unsigned int n, const char *rule)
{
    while (n--) {
        size_t len = rng_below(&t->rng, 3) ? rng_below(&t->rng, 1400) : 0;
        uint32_t guest = t->guest, client = t->client;
        /* What was lost is said again, in other pieces. */
        bool again = rng_once_in(&t->rng, 4);
        bool out = rng_once_in(&t->rng, 2);

        if (again && out) t->guest = rng_below(&t->rng, guest + 1);
        if (again && !out) t->client = rng_below(&t->rng, client + 1);
        if (out) say_out(t, TH_ACK | (len ? TH_PSH : 0), len, rule);
        else say_in(t, TH_ACK, len, rng_below(&t->rng, guest + 1), rule);
        if (t->guest < guest) t->guest = guest;
        if (t->client < client) t->client = client;
    }
}

static unsigned int some_steps(struct talk *t)
{
    return 1 + rng_below(&t->rng, 40);
}

static void make_client_opens(struct talk *t)
{
    opened(t, NULL);
    converse(t, some_steps(t), NULL);
}

static void make_equal_isn(struct talk *t)
{
    t->isn_s = t->isn_p;
    opened(t, NULL);
    converse(t, some_steps(t), NULL);
}

static void make_old_connection(struct talk *t)
{
    t->isn_s = t->isn_p;
    converse(t, some_steps(t), NULL);
}

/* Either end closes first. */
static void make_closes(struct talk *t)
{
    bool guest = rng_once_in(&t->rng, 2);

    opened(t, NULL);
    converse(t, some_steps(t), NULL);
    if (guest) say_out(t, TH_FIN | TH_ACK, 0, NULL);
    say_in(t, TH_FIN | TH_ACK, 0, t->guest, NULL);
    if (!guest) say_out(t, TH_FIN | TH_ACK, 0, NULL);
    else say_out(t, TH_ACK, 0, NULL);
    if (!guest) say_in(t, TH_ACK, 0, t->guest, NULL);
}

static void make_guest_opens(struct talk *t)
{
    static const char rule[] = "connections that the guest opens too";
    bool late = rng_once_in(&t->rng, 2);

    if (!late) add_step(t, STEP_TOLD, NULL);
    if (late) as_it_is(say_out(t, TH_SYN, 0, NULL));
    else say_out(t, TH_SYN, 0, rule);
    if (late) add_step(t, STEP_TOLD, NULL);
    say_in(t, TH_SYN | TH_ACK, 0, 0, rule);
    say_out(t, TH_ACK, 0, rule);
    converse(t, some_steps(t), rule);
}

static void make_early_ack(struct talk *t)
{
    static const char rule[] =
        "an ack before the secondary's SYN/ACK waits for it";

    say_in(t, TH_SYN, 0, 0, NULL);
    add_step(t, STEP_TOLD, NULL);
    say_in(t, TH_ACK, 0, 0, rule)->held = true;
    say_out(t, TH_SYN | TH_ACK, 0, rule);
    converse(t, some_steps(t), rule);
}

static void make_reset(struct talk *t)
{
    opened(t, NULL);
    converse(t, some_steps(t), NULL);
    say_out(t, TH_RST, 0, "RST without an ack too");
}

static void make_sack(struct talk *t)
{
    uint8_t opts[12] = { 1, 1, 5, 10 };
    struct frame_spec f;
    struct step *s;

    opened(t, NULL);
    converse(t, some_steps(t), NULL);
    s = add_step(t, STEP_IN, "SACK blocks too");
    f = to_guest(t, TH_ACK, 0);
    f.opts = opts;
    f.opts_len = sizeof(opts);
    for (unsigned int i = 0; i < 2; i++) {
        uint32_t isn = i ? t->isn_s : t->isn_p;

        for (unsigned int k = 0; k < 8; k++)
            opts[4 + k] = (uint8_t)((isn + 1000 * (1 + k / 4)) >>
                                    (24 - k % 4 * 8));
        f.ack = isn + 1;
        if (i) s->want_len = frame_build(&f, s->want);
        else s->given_len = frame_build(&f, s->given);
    }
}

static void make_v6(struct talk *t)
{
    static const char rule[] = "IPv6 too";

    t->base.v6 = true;
    t->base.ext = rng_below(&t->rng, 3);
    opened(t, rule);
    converse(t, some_steps(t), rule);
}

static void make_vlan(struct talk *t)
{
    static const char rule[] = "frames with a VLAN tag too";

    t->base.vlan = 12;
    opened(t, rule);
    converse(t, some_steps(t), rule);
}

/* The first fragment has the header, and the checksum of all of them. */
static void make_fragment(struct talk *t)
{
    struct step *s;

    opened(t, NULL);
    converse(t, some_steps(t), NULL);
    s = say_out(t, TH_ACK, 1000, "a first fragment's checksum stays right");
    for (unsigned int i = 0; i < 2; i++) {
        uint8_t whole[FRAME_ROOM], *to = i ? s->want : s->given;
        struct frame_spec f = t->base;

        memcpy(whole, to, FRAME_ROOM);
        f.raw = true;
        f.frag = 0x2000;
        f.data = whole + ETH_LEN + 20;
        f.len = 800;
        s->given_len = s->want_len = frame_build(&f, to);
    }
}

static const struct kind kinds[] = {
    { "client opens", make_client_opens },
    { "equal ISNs", make_equal_isn },
    { "older than the checkpoint", make_old_connection },
    { "either end closes", make_closes },
    { "guest opens", make_guest_opens },
    { "early ack", make_early_ack },
    { "reset", make_reset },
    { "SACK", make_sack },
    { "IPv6", make_v6 },
    { "VLAN", make_vlan },
    { "fragment", make_fragment },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* ---- Running -------------------------------------------------------------*/

/**
 * struct run - everything
 * @seed: printed
 * @qemu: the peer
 * @ours: our rewriter
 * @now: its clock
 * @talk: the case's connection
 * @kind: its kind
 * @at: the step
 * @number: the case
 * @steps: steps so far
 * @complaints: lines printed
 * @frames: frames of each kind
 * @agreed: QEMU let out the same
 * @decided: it did not, and a rule decided
 * @failed: ours was wrong, or QEMU where it should be right
 * @rule: rules that decided
 * @times: how often each did
 */
struct run {
    uint64_t seed;
    struct qemu qemu;
    struct rewrite *ours;
    uint64_t now;
    struct talk talk;
    unsigned int kind, at, number, steps, complaints;
    unsigned int frames[KINDS], agreed[KINDS], decided[KINDS], failed[KINDS];
    const char *rule[KINDS * 2];
    unsigned int times[KINDS * 2];
};

static void complain(struct run *r, const char *what)
{
    r->failed[r->kind]++;
    if (r->complaints++ >= 8) return;
    printf("# %s: step %u of %u: %s\n#   again: oracle-rewrite --seed %llu "
           "--case %u\n", kinds[r->kind].name, r->at + 1, r->talk.steps, what,
           (unsigned long long)r->seed, r->number);
}

static void tell(struct run *r)
{
    uint8_t frame[FRAME_ROOM];
    struct frame_spec f = from_guest(&r->talk, TH_SYN | TH_ACK, 0);
    size_t len = frame_build(&f, frame);
    struct packet_key key;
    struct packet p;

    packet_parse(&p, frame, len, NULL);
    packet_key(&key, &p, frame);
    rewrite_isn(r->ours, &key, r->talk.isn_p, r->now);
}

static bool same(const struct step *s, const uint8_t *frame, size_t len)
{
    return len == s->want_len && !memcmp(frame, s->want, len);
}

/* Ours, of which the last step may have held a frame. */
static void feed_ours(struct run *r, const struct step *s, bool was_held)
{
    uint8_t frame[FRAME_ROOM];
    enum rewrite_verdict v;
    struct rewrite_held h;
    uint32_t off = 0;
    bool took;

    memcpy(frame, s->given, s->given_len);
    v = s->kind == STEP_IN ?
        rewrite_in(r->ours, frame, s->given_len, NULL, r->now) :
        rewrite_out(r->ours, frame, s->given_len, NULL, r->now, &off);
    if (s->held != (v == REWRITE_HELD)) complain(r, "ours holds, or does not");
    if (v == REWRITE_DROP) complain(r, "ours drops it");
    if (!s->held && !same(s, frame, s->given_len))
        complain(r, "ours lets out another frame");
    took = rewrite_take(r->ours, &h, r->now);
    if (took != was_held || (took && !same(s - 1, h.frame, h.len)))
        complain(r, "what ours held comes out wrong");
    if (s->kind == STEP_OUT && off != r->talk.isn_p - r->talk.isn_s &&
        memcmp(s->given, s->want, s->given_len))
        complain(r, "ours reports another offset");
}

static void count_rule(struct run *r, const char *rule)
{
    unsigned int i;

    for (i = 0; r->rule[i] && strcmp(r->rule[i], rule); i++) ;
    r->rule[i] = rule;
    r->times[i]++;
}

static int feed_qemu(struct run *r, const struct step *s)
{
    const uint8_t *frame;
    bool in = s->kind == STEP_IN;
    ssize_t len;
    int rc = qemu_put(&r->qemu, in ? QEMU_NET : QEMU_GUEST, s->given,
                      s->given_len);

    if (rc) return rc;
    len = qemu_get(&r->qemu, in ? QEMU_GUEST : QEMU_NET, &frame, WAIT_MS);
    if (len < 0) return (int)len;
    if (same(s, frame, (size_t)len)) {
        r->agreed[r->kind]++;
    } else {
        r->decided[r->kind]++;
        if (s->rule) count_rule(r, s->rule);
        else complain(r, "QEMU differs, and no rule of ours decides");
    }
    return 0;
}

static int run_case(struct run *r)
{
    struct talk *t = &r->talk;
    bool was_held = false;
    int rc = 0;

    t->rng = r->seed ^ (r->number * UINT64_C(0x2545f4914f6cdd1d));
    t->steps = 0;
    t->guest = t->client = 0;
    t->base = (struct frame_spec){
        .proto = PROTO_TCP, .src = 0x0a000001, .dst = 0x0a800000 + r->number,
        .sport = 80, .dport = 4000, .window = 60000, .id = 7,
    };
    t->isn_p = (uint32_t)rng_next(&t->rng);
    t->isn_s = (uint32_t)rng_next(&t->rng);
    t->isn_c = (uint32_t)rng_next(&t->rng);
    r->kind = rng_below(&t->rng, KINDS);
    kinds[r->kind].make(t);
    for (r->at = 0; !rc && r->at < t->steps; r->at++) {
        const struct step *s = &t->step[r->at];

        r->now += SECOND / 1000;
        if (s->kind == STEP_TOLD) {
            tell(r);
            continue;
        }
        r->frames[r->kind]++;
        feed_ours(r, s, was_held);
        was_held = s->held;
        rc = feed_qemu(r, s);
    }
    r->steps += t->steps;
    return rc;
}

static int run_all(struct run *r, unsigned int steps, long only_case)
{
    struct rewrite_opts o = REWRITE_OPTS_INIT;
    int rc = 0;

    if (only_case >= 0) r->number = (unsigned int)only_case;
    do {
        rc = rewrite_new(&r->ours, &o, NULL);
        if (!rc) rc = qemu_start_rewriter(&r->qemu, NULL);
        do {
            if (rc) break;
            rc = run_case(r);
            r->number++;
        } while (only_case < 0 && r->number % CASES && r->steps < steps);
        qemu_stop(&r->qemu);
        rewrite_free(r->ours);
        r->ours = NULL;
    } while (!rc && only_case < 0 && r->steps < steps);
    return rc;
}

static void report(struct run *r)
{
    for (unsigned int i = 0; i < KINDS; i++) {
        if (!r->frames[i]) continue;
        ok(!r->failed[i], "%s: QEMU agrees on %u of %u frames, on %u our rule "
           "decides", kinds[i].name, r->agreed[i], r->frames[i],
           r->decided[i]);
    }
    for (unsigned int i = 0; r->rule[i]; i++)
        printf("# decided %u times: %s\n", r->times[i], r->rule[i]);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' },
        { "steps", required_argument, NULL, 'n' },
        { "case", required_argument, NULL, 'c' },
        { NULL, 0, NULL, 0 },
    };
    static struct run r;
    unsigned int steps = 12000;
    long only_case = -1;
    int opt, rc;

    r.seed = (uint64_t)time(NULL);
    r.now = 1000 * SECOND;
    for (size_t i = 0; i < sizeof(noise); i++) noise[i] = (uint8_t)(i * 11);
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 's': r.seed = strtoull(optarg, NULL, 0); break;
        case 'n': steps = (unsigned int)strtoul(optarg, NULL, 0); break;
        case 'c': only_case = strtol(optarg, NULL, 0); break;
        default: return 2;
        }
    }
    if (!qemu_present()) {
        printf("1..0 # SKIP qemu-system-x86_64 is not installed\n");
        return 77;
    }
    printf("# seed %llu\n", (unsigned long long)r.seed);
    rc = run_all(&r, steps, only_case);
    report(&r);
    ok(!rc, "%u steps in %u cases, QEMU answered all along (%s)", r.steps,
       r.number, rc ? strerror(-rc) : "no error");
    return done_testing();
}
