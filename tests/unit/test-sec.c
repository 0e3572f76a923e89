/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-sec.c - The secondary's machine: every event in every state */
#include <config.h>

#include <string.h>

#include "sec.h"
#include "tap.h"

/**
 * struct want - what an event must do
 * @state, @act: the next state and the actions
 * @accepted: what would run afterwards, if it changed; else 0
 * @bad: it is counted as a violation
 * @set: the table has an entry
 */
struct want {
    enum sec_state state;
    unsigned int act;
    uint64_t accepted;
    bool bad, set;
};

#define W(s, a)     { .state = SEC_##s, .act = (a), .set = true }
#define TOOK(s, a, n) \
    { .state = SEC_##s, .act = (a), .accepted = (n), .set = true }
#define BAD(s, a)   { .state = SEC_##s, .act = (a), .bad = true, .set = true }

#define FAIL_ACTS  (SEC_DO_ABORT | SEC_DO_SEND_FAILED | SEC_DO_FINISH)
#define GONE(what) (SEC_DO_ABORT | SEC_DO_FINISH | SEC_DO_SEND_##what)

/* Events of a state that a heading covers. */
#define NO_VERDICT(s) [SEC_EV_VERDICT_RUN] = BAD(s, 0), \
                      [SEC_EV_VERDICT_DROP] = BAD(s, 0)
#define NOT_OPENING(s) [SEC_EV_OPENED] = W(s, 0), \
                       [SEC_EV_OPEN_FAILED] = W(s, 0)
#define NOT_OPEN(s) [SEC_EV_LET_GO] = W(s, 0), \
                    [SEC_EV_GUEST_GONE] = W(s, 0)
#define LATE(s) [SEC_EV_WHOLE] = W(s, 0), [SEC_EV_WHOLE_FINAL] = W(s, 0)

struct row {
    const char *name;
    struct sec s;
    struct want want[SEC_NEVENTS];
};

/* WHOLE events are given @accepted + 1, APPLIED @applied + 1, YOURS
 * @accepted. */
static const struct row rows[] = {
    { "syncing",
      { .state = SEC_SYNCING },
      { [SEC_EV_WHOLE] = W(SYNCING, SEC_DO_FEED),
        [SEC_EV_WHOLE_FINAL] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_APPLIED] = W(SYNCING, 0),
        [SEC_EV_SILENCE] = W(DROPPED, GONE(DROPPED)),
        NO_VERDICT(SYNCING),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = BAD(SYNCING, 0),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(SYNCING, 0),
        [SEC_EV_STOP] = W(FAILED, FAIL_ACTS),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(FAILED, FAIL_ACTS),
        NOT_OPENING(SYNCING), NOT_OPEN(SYNCING) } },
    { "syncing, epoch 1 is whole",
      { .state = SEC_SYNCING, .waiting = 1 },
      { [SEC_EV_WHOLE] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_WHOLE_FINAL] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_APPLIED] = TOOK(PAIRED, SEC_DO_ACK, 1),
        [SEC_EV_SILENCE] = W(DROPPED, GONE(DROPPED)),
        NO_VERDICT(SYNCING),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = BAD(SYNCING, 0),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(SYNCING, 0),
        [SEC_EV_STOP] = W(FAILED, FAIL_ACTS),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(FAILED, FAIL_ACTS),
        NOT_OPENING(SYNCING), NOT_OPEN(SYNCING) } },
    { "syncing, epoch 1 was applied before it was known to be whole",
      { .state = SEC_SYNCING, .applied = 1 },
      { [SEC_EV_WHOLE] = TOOK(PAIRED, SEC_DO_FEED | SEC_DO_ACK, 1),
        [SEC_EV_WHOLE_FINAL] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_APPLIED] = BAD(SYNCING, 0),
        [SEC_EV_SILENCE] = W(DROPPED, GONE(DROPPED)),
        NO_VERDICT(SYNCING),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = BAD(SYNCING, 0),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(SYNCING, 0),
        [SEC_EV_STOP] = W(FAILED, FAIL_ACTS),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(FAILED, FAIL_ACTS),
        NOT_OPENING(SYNCING), NOT_OPEN(SYNCING) } },
    { "paired, all applied",
      { .state = SEC_PAIRED, .accepted = 5, .acked = 5, .applied = 5 },
      { [SEC_EV_WHOLE] = TOOK(PAIRED, SEC_DO_FEED | SEC_DO_ACK, 6),
        [SEC_EV_WHOLE_FINAL] = TOOK(PAIRED, SEC_DO_FEED, 6),
        [SEC_EV_APPLIED] = BAD(PAIRED, 0),
        [SEC_EV_SILENCE] = W(DECIDING, SEC_DO_DECIDE),
        NO_VERDICT(PAIRED),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = W(OPENING, SEC_DO_OPEN),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(PAIRED, SEC_DO_SEND_SWAP),
        [SEC_EV_STOP] = W(FAILED, FAIL_ACTS),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(FAILED, FAIL_ACTS),
        NOT_OPENING(PAIRED), NOT_OPEN(PAIRED) } },
    { "paired, the accepted epoch is being applied",
      { .state = SEC_PAIRED, .accepted = 5, .acked = 5, .applied = 4 },
      { [SEC_EV_WHOLE] = W(PAIRED, 0),
        [SEC_EV_WHOLE_FINAL] = W(PAIRED, 0),
        [SEC_EV_APPLIED] = W(PAIRED, 0),
        [SEC_EV_SILENCE] = W(DECIDING, SEC_DO_DECIDE),
        NO_VERDICT(PAIRED),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = W(OPENING, SEC_DO_OPEN),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(PAIRED, SEC_DO_SEND_SWAP),
        [SEC_EV_STOP] = W(FAILED, FAIL_ACTS),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(FAILED, FAIL_ACTS),
        NOT_OPENING(PAIRED), NOT_OPEN(PAIRED) } },
    { "paired, the next epoch waits",
      { .state = SEC_PAIRED, .accepted = 5, .acked = 5, .applied = 4,
        .waiting = 6 },
      { [SEC_EV_WHOLE] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_WHOLE_FINAL] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_APPLIED] = TOOK(PAIRED, SEC_DO_FEED | SEC_DO_ACK, 6),
        [SEC_EV_SILENCE] = W(DECIDING, SEC_DO_DECIDE),
        NO_VERDICT(PAIRED),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = W(OPENING, SEC_DO_OPEN),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(PAIRED, SEC_DO_SEND_SWAP),
        [SEC_EV_STOP] = W(FAILED, FAIL_ACTS),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(FAILED, FAIL_ACTS),
        NOT_OPENING(PAIRED), NOT_OPEN(PAIRED) } },
    { "paired, the final epoch waits",
      { .state = SEC_PAIRED, .accepted = 5, .acked = 5, .applied = 4,
        .waiting = 6, .waiting_final = true },
      { [SEC_EV_WHOLE] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_WHOLE_FINAL] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_APPLIED] = TOOK(PAIRED, SEC_DO_FEED, 6),
        [SEC_EV_SILENCE] = W(DECIDING, SEC_DO_DECIDE),
        NO_VERDICT(PAIRED),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = W(OPENING, SEC_DO_OPEN),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(PAIRED, SEC_DO_SEND_SWAP),
        [SEC_EV_STOP] = W(FAILED, FAIL_ACTS),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(FAILED, FAIL_ACTS),
        NOT_OPENING(PAIRED), NOT_OPEN(PAIRED) } },
    { "paired, the final epoch is being applied",
      { .state = SEC_PAIRED, .accepted = 6, .acked = 5, .applied = 5,
        .final = true },
      { [SEC_EV_WHOLE] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_WHOLE_FINAL] = BAD(FAILED, FAIL_ACTS),
        [SEC_EV_APPLIED] = W(PAIRED, SEC_DO_ACK),
        [SEC_EV_SILENCE] = W(DECIDING, SEC_DO_DECIDE),
        NO_VERDICT(PAIRED),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = W(OPENING, SEC_DO_OPEN),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(PAIRED, SEC_DO_SEND_SWAP),
        [SEC_EV_STOP] = W(FAILED, FAIL_ACTS),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(FAILED, FAIL_ACTS),
        NOT_OPENING(PAIRED), NOT_OPEN(PAIRED) } },
    { "paired, the final epoch is promised",
      { .state = SEC_PAIRED, .accepted = 6, .acked = 6, .applied = 6,
        .final = true },
      { [SEC_EV_WHOLE] = BAD(PAIRED, 0),
        [SEC_EV_WHOLE_FINAL] = BAD(PAIRED, 0),
        [SEC_EV_APPLIED] = BAD(PAIRED, 0),
        [SEC_EV_SILENCE] = W(DECIDING, SEC_DO_DECIDE),
        NO_VERDICT(PAIRED),
        [SEC_EV_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_END] = W(DROPPED, GONE(ENDED)),
        [SEC_EV_YOURS] = W(OPENING, SEC_DO_OPEN),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(PAIRED, SEC_DO_SEND_SWAP),
        [SEC_EV_STOP] = W(PAIRED, 0), /* it may be the only copy left */
        [SEC_EV_RESTORE_ENDED] = W(FAILED, FAIL_ACTS),
        [SEC_EV_VIOLATION] = BAD(PAIRED, 0),
        NOT_OPENING(PAIRED), NOT_OPEN(PAIRED) } },
    { "deciding",
      { .state = SEC_DECIDING, .accepted = 5, .acked = 5, .applied = 4 },
      { LATE(DECIDING),
        [SEC_EV_APPLIED] = W(DECIDING, 0),
        [SEC_EV_SILENCE] = W(DECIDING, 0),
        [SEC_EV_VERDICT_RUN] = W(OPENING, SEC_DO_OPEN),
        [SEC_EV_VERDICT_DROP] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_DROP] = W(DECIDING, 0),
        [SEC_EV_END] = W(DECIDING, 0),
        [SEC_EV_YOURS] = W(OPENING, SEC_DO_OPEN),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(DECIDING, 0),
        [SEC_EV_STOP] = W(DECIDING, 0),
        [SEC_EV_RESTORE_ENDED] = W(DECIDING, 0),
        [SEC_EV_VIOLATION] = BAD(DECIDING, 0),
        NOT_OPENING(DECIDING), NOT_OPEN(DECIDING) } },
    { "opening",
      { .state = SEC_OPENING, .accepted = 5, .acked = 5, .applied = 4 },
      { LATE(OPENING),
        [SEC_EV_APPLIED] = W(OPENING, 0),
        [SEC_EV_SILENCE] = W(OPENING, 0),
        NO_VERDICT(OPENING),
        [SEC_EV_DROP] = W(OPENING, 0),
        [SEC_EV_END] = W(OPENING, 0),
        [SEC_EV_YOURS] = W(OPENING, 0),
        [SEC_EV_SOLO] = W(DROPPED, GONE(DROPPED)),
        [SEC_EV_FAILOVER] = W(OPENING, 0),
        [SEC_EV_STOP] = W(OPENING, 0),
        [SEC_EV_RESTORE_ENDED] = W(OPENING, 0),
        [SEC_EV_VIOLATION] = BAD(OPENING, 0),
        [SEC_EV_OPENED] = W(OPEN, SEC_DO_SEND_PROMOTED | SEC_DO_FINISH),
        [SEC_EV_OPEN_FAILED] = W(FAILED, SEC_DO_SEND_FAILED |
                                         SEC_DO_FINISH),
        NOT_OPEN(OPENING) } },
    { "open",
      { .state = SEC_OPEN, .accepted = 5, .acked = 5, .applied = 5 },
      { LATE(OPEN),
        [SEC_EV_APPLIED] = BAD(OPEN, 0),
        [SEC_EV_SILENCE] = W(OPEN, 0),
        NO_VERDICT(OPEN),
        [SEC_EV_DROP] = W(OPEN, SEC_DO_SEND_PROMOTED),
        [SEC_EV_END] = W(OPEN, SEC_DO_SEND_PROMOTED),
        [SEC_EV_YOURS] = W(OPEN, SEC_DO_SEND_PROMOTED),
        [SEC_EV_SOLO] = W(ASIDE, SEC_DO_ASIDE),
        [SEC_EV_FAILOVER] = W(OPEN, 0),
        [SEC_EV_STOP] = W(OPEN, 0),
        [SEC_EV_RESTORE_ENDED] = W(OPEN, 0),
        [SEC_EV_VIOLATION] = BAD(OPEN, 0),
        NOT_OPENING(OPEN),
        [SEC_EV_LET_GO] = W(OPEN, 0),
        [SEC_EV_GUEST_GONE] = W(OVER, SEC_DO_FINISH) } },
    { "stood aside",
      { .state = SEC_ASIDE, .accepted = 5, .acked = 5, .applied = 5 },
      { LATE(ASIDE),
        [SEC_EV_APPLIED] = BAD(ASIDE, 0),
        [SEC_EV_SILENCE] = W(ASIDE, 0),
        NO_VERDICT(ASIDE),
        [SEC_EV_DROP] = W(ASIDE, SEC_DO_SEND_PROMOTED),
        [SEC_EV_END] = W(ASIDE, SEC_DO_SEND_PROMOTED),
        [SEC_EV_YOURS] = W(ASIDE, SEC_DO_SEND_PROMOTED),
        [SEC_EV_SOLO] = W(ASIDE, 0),
        [SEC_EV_FAILOVER] = W(ASIDE, 0),
        [SEC_EV_STOP] = W(ASIDE, 0),
        [SEC_EV_RESTORE_ENDED] = W(ASIDE, 0),
        [SEC_EV_VIOLATION] = BAD(ASIDE, 0),
        NOT_OPENING(ASIDE),
        [SEC_EV_LET_GO] = W(OPEN, SEC_DO_REJOIN),
        [SEC_EV_GUEST_GONE] = W(OVER, SEC_DO_FINISH) } },
    { "over",
      { .state = SEC_OVER, .accepted = 5, .acked = 5, .applied = 5 },
      { LATE(OVER),
        [SEC_EV_APPLIED] = BAD(OVER, 0),
        [SEC_EV_SILENCE] = W(OVER, 0),
        NO_VERDICT(OVER),
        [SEC_EV_DROP] = W(OVER, SEC_DO_SEND_PROMOTED),
        [SEC_EV_END] = W(OVER, SEC_DO_SEND_PROMOTED),
        [SEC_EV_YOURS] = W(OVER, SEC_DO_SEND_PROMOTED),
        [SEC_EV_SOLO] = W(OVER, 0),
        [SEC_EV_FAILOVER] = W(OVER, 0),
        [SEC_EV_STOP] = W(OVER, 0),
        [SEC_EV_RESTORE_ENDED] = W(OVER, 0),
        [SEC_EV_VIOLATION] = BAD(OVER, 0),
        NOT_OPENING(OVER), NOT_OPEN(OVER) } },
    { "dropped",
      { .state = SEC_DROPPED, .accepted = 5, .acked = 5, .applied = 4 },
      { LATE(DROPPED),
        [SEC_EV_APPLIED] = W(DROPPED, 0),
        [SEC_EV_SILENCE] = W(DROPPED, 0),
        NO_VERDICT(DROPPED),
        [SEC_EV_DROP] = W(DROPPED, SEC_DO_SEND_DROPPED),
        [SEC_EV_END] = W(DROPPED, SEC_DO_SEND_ENDED),
        [SEC_EV_YOURS] = BAD(DROPPED, 0),
        [SEC_EV_SOLO] = W(DROPPED, SEC_DO_SEND_DROPPED),
        [SEC_EV_FAILOVER] = W(DROPPED, 0),
        [SEC_EV_STOP] = W(DROPPED, 0),
        [SEC_EV_RESTORE_ENDED] = W(DROPPED, 0),
        [SEC_EV_VIOLATION] = BAD(DROPPED, 0),
        NOT_OPENING(DROPPED), NOT_OPEN(DROPPED) } },
    { "failed",
      { .state = SEC_FAILED, .accepted = 5, .acked = 5, .applied = 4 },
      { LATE(FAILED),
        [SEC_EV_APPLIED] = W(FAILED, 0),
        [SEC_EV_SILENCE] = W(FAILED, 0),
        NO_VERDICT(FAILED),
        [SEC_EV_DROP] = W(FAILED, SEC_DO_SEND_FAILED),
        [SEC_EV_END] = W(FAILED, SEC_DO_SEND_FAILED),
        [SEC_EV_YOURS] = W(FAILED, SEC_DO_SEND_FAILED),
        [SEC_EV_SOLO] = W(FAILED, SEC_DO_SEND_FAILED),
        [SEC_EV_FAILOVER] = W(FAILED, 0),
        [SEC_EV_STOP] = W(FAILED, 0),
        [SEC_EV_RESTORE_ENDED] = W(FAILED, 0),
        [SEC_EV_VIOLATION] = BAD(FAILED, 0),
        NOT_OPENING(FAILED), NOT_OPEN(FAILED) } },
};

static uint64_t number_of(enum sec_ev ev, const struct sec *s)
{
    switch (ev) {
    case SEC_EV_WHOLE:
    case SEC_EV_WHOLE_FINAL:
        return s->accepted + 1;
    case SEC_EV_APPLIED:
        return s->applied + 1;
    case SEC_EV_YOURS:
        return s->accepted;
    default:
        return 0;
    }
}

static bool try(const struct row *r, enum sec_ev e)
{
    const struct want *w = &r->want[e];
    uint64_t accepted = w->accepted ? w->accepted : r->s.accepted;
    struct sec s = r->s;
    unsigned int act = sec_event(&s, e, number_of(e, &r->s));
    bool good = w->set && act == w->act && s.state == w->state &&
                s.accepted == accepted && s.violations == w->bad;

    /* Whatever the table says: */
    good &= s.acked <= s.accepted && s.applied <= s.accepted + 1;
    good &= !(act & SEC_DO_ACK) || s.state == SEC_PAIRED;
    good &= !sec_out(&r->s) || sec_out(&s);
    if (!good)
        printf("# event %d: %s, actions %#x, violations %u\n", (int)e,
               sec_state_name(s.state), act, s.violations);
    return good;
}

static void test_rows(void)
{
    bool seen[SEC_NSTATES] = { false };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool pass = true;

        seen[rows[i].s.state] = true;
        for (unsigned int e = 0; e < SEC_NEVENTS; e++)
            pass &= try(&rows[i], e);
        ok(pass, "%s: every event", rows[i].name);
    }
    for (unsigned int s = 0; s < SEC_NSTATES; s++)
        ok(seen[s], "%s was tried", sec_state_name(s));
}

/* Epochs in the wrong order, twice, or from the future. */
static void test_order(void)
{
    static const uint64_t wrong[] = { 0, 1, 4, 5, 7, 1000, UINT64_MAX };
    const struct sec paired = { .state = SEC_PAIRED, .accepted = 5,
                                .acked = 5, .applied = 5 };
    bool pass = true;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct sec s = paired;

        pass &= sec_event(&s, SEC_EV_WHOLE, wrong[i]) == FAIL_ACTS &&
                s.violations == 1 && s.accepted == 5;
        s = paired;
        pass &= sec_event(&s, SEC_EV_APPLIED, wrong[i]) == 0 &&
                s.violations == 1 && s.applied == 5;
        s = (struct sec){ .state = SEC_SYNCING };
        if (wrong[i] == 1) continue;
        pass &= sec_event(&s, SEC_EV_WHOLE, wrong[i]) == FAIL_ACTS;
    }
    ok(pass, "only the next epoch may come");
}

static void test_yours(void)
{
    struct sec s = { .state = SEC_PAIRED, .accepted = 6, .acked = 6,
                     .applied = 6, .final = true };

    ok(sec_event(&s, SEC_EV_YOURS, 5) == SEC_DO_OPEN && s.violations == 1,
       "the only copy left runs, whatever number YOURS has");
    ok(sec_event(&s, SEC_EV_YOURS, 6) == 0,
       "asked again, it is silent until it knows");
    sec_event(&s, SEC_EV_OPENED, 0);
    ok(sec_event(&s, SEC_EV_YOURS, 6) == SEC_DO_SEND_PROMOTED,
       "and says PROMOTED again and again then");
}

static void test_a3(void)
{
    struct sec s;

    sec_init(&s);
    sec_event(&s, SEC_EV_WHOLE, 1);
    sec_event(&s, SEC_EV_APPLIED, 1);
    sec_event(&s, SEC_EV_WHOLE, 2);
    ok(sec_event(&s, SEC_EV_WHOLE, 3) == 0 && s.accepted == 2 &&
       s.waiting == 3, "RULES A3: epoch 3 is whole but not acknowledged");
    sec_event(&s, SEC_EV_SILENCE, 0);
    ok(sec_event(&s, SEC_EV_APPLIED, 2) == 0 && s.accepted == 2,
       "RULES A3: after DECIDING it never counts");
    ok(sec_event(&s, SEC_EV_VERDICT_RUN, 0) == SEC_DO_OPEN &&
       s.accepted == 2, "RULES A3: epoch 2 is what runs");
}

/* RULES A2: two running copies meet. Ours, which took over, stands aside and
 * is kept; nothing but the administrator lets it go on. */
static void test_rule_a2(void)
{
    struct sec s = { .state = SEC_OPEN, .accepted = 5, .acked = 5,
                     .applied = 5 };
    unsigned int act = sec_event(&s, SEC_EV_SOLO, 0);

    ok(s.state == SEC_ASIDE && act == SEC_DO_ASIDE,
       "RULES A2: the one that took over leaves the bridge and pauses");
    ok(!sec_out(&s) && !(act & SEC_DO_ABORT),
       "RULES A2: and is not thrown away");
    for (unsigned int e = 0; e < SEC_NEVENTS; e++) {
        struct sec t = s;

        act = sec_event(&t, e, number_of(e, &s));
        if (act & (SEC_DO_REJOIN | SEC_DO_OPEN | SEC_DO_ABORT) ||
            t.state == SEC_OPEN)
            ok(e == SEC_EV_LET_GO, "RULES A2: event %u brings it back", e);
    }
}

/* The specification's numbers, once more. */
static void test_wire(void)
{
    static const uint8_t numbers[] = {
        [SEC_SYNCING] = 0, [SEC_PAIRED] = 1, [SEC_DECIDING] = 2,
        [SEC_OPENING] = 3, [SEC_OPEN] = 4, [SEC_DROPPED] = 5,
        [SEC_FAILED] = 6, [SEC_ASIDE] = 7, [SEC_OVER] = 8,
    };

    for (unsigned int s = 0; s < SEC_NSTATES; s++)
        ok(sec_state_wire(s) == numbers[s], "%s is %u on the wire",
           sec_state_name(s), numbers[s]);
}

static void test_names(void)
{
    bool pass = true;

    for (unsigned int i = 0; i < SEC_NSTATES; i++)
        for (unsigned int j = 0; j <= i; j++)
            pass &= !strcmp(sec_state_name(i), sec_state_name(j)) ==
                    (i == j);
    ok(pass && !strcmp(sec_state_name(SEC_NSTATES), "?"),
       "every state has a name of its own");
}

int main(void)
{
    test_rows();
    test_order();
    test_yours();
    test_a3();
    test_rule_a2();
    test_wire();
    test_names();
    return done_testing();
}
