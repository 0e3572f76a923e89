/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-prim.c - The primary's machine: every event in every state */
#include <config.h>

#include <string.h>

#include "prim.h"
#include "proto.h"
#include "tap.h"

/* What an event must do. @never: the caller can't bring it about there. */
struct want {
    enum prim_state state;
    unsigned int act;
    enum xlc_outcome outcome; /* checked where the state is an end */
    bool set, never;
};

#define W(s, a)    { .state = PRIM_##s, .act = (a), .set = true }
#define END(s, a, o) \
    { .state = PRIM_##s, .act = (a), .outcome = XLC_##o, .set = true }
#define NEVER      { .never = true, .set = true }

#define SOLO_ACTS  (PRIM_DO_STOP | PRIM_DO_OPEN | PRIM_DO_FINISH)
#define ALONE      (SOLO_ACTS | PRIM_DO_SEND_DROP)
#define DROP_ACTS  (PRIM_DO_STOP | PRIM_DO_SEND_DROP)
#define END_ACTS   (PRIM_DO_STOP | PRIM_DO_SEND_END)
#define LAST_LOST  (PRIM_DO_STOP | PRIM_DO_DISCARD | PRIM_DO_SEND_END | \
                    PRIM_DO_FINISH)
#define YIELD_ACTS (PRIM_DO_CUT_NET | PRIM_DO_FREEZE | PRIM_DO_DESTROY | \
                    PRIM_DO_FINISH)
#define STUCK_ACTS (PRIM_DO_FREEZE | PRIM_DO_FINISH)
#define HAND_ACTS  (PRIM_DO_FREEZE | PRIM_DO_OPEN | PRIM_DO_SEND_YOURS)
#define MOVE_ACTS  (PRIM_DO_DESTROY | PRIM_DO_FINISH)

/* PRIM_EV_DROPPED, ENDED and FAILED, which mean the same. */
#define OUT(w) [PRIM_EV_DROPPED] = w, [PRIM_EV_ENDED] = w, \
               [PRIM_EV_FAILED] = w
/* STOP, LINK_ERROR and CAPTURE_ERROR where they mean the same. */
#define TROUBLE(w) [PRIM_EV_STOP] = w, [PRIM_EV_LINK_ERROR] = w, \
                   [PRIM_EV_CAPTURE_ERROR] = w

struct row {
    const char *name;
    struct prim p;
    struct want want[PRIM_NEVENTS];
};

static const struct row before_end[] = {
    { "syncing, nothing cut",
      { .state = PRIM_SYNCING, .outcome = XLC_ERROR },
      { [PRIM_EV_CUT] = W(SYNCING, 0),
        [PRIM_EV_FINAL_CUT] = W(SYNCING, PRIM_DO_STOP),
        [PRIM_EV_ACK] = W(SYNCING, 0),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(SYNCING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(SYNCING, 0),
        [PRIM_EV_PROMOTED] = W(SYNCING, 0),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, DROP_ACTS)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, END_ACTS) } },
    { "syncing, first epoch on its way",
      { .state = PRIM_SYNCING, .cut = 1, .outcome = XLC_ERROR },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(PROTECTED, PRIM_DO_RELEASE),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(SYNCING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, DROP_ACTS)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, END_ACTS) } },
    { "protected, nothing on its way",
      { .state = PRIM_PROTECTED, .cut = 5, .acked = 5 },
      { [PRIM_EV_CUT] = W(PROTECTED, 0),
        [PRIM_EV_FINAL_CUT] = W(PROTECTED, PRIM_DO_STOP),
        [PRIM_EV_ACK] = W(PROTECTED, 0),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(SWAPPING, PRIM_DO_FINAL),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, DROP_ACTS)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, END_ACTS) } },
    { "protected, an epoch on its way",
      { .state = PRIM_PROTECTED, .cut = 5, .acked = 4 },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(PROTECTED, PRIM_DO_RELEASE),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(SWAPPING, PRIM_DO_FINAL),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, DROP_ACTS)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, END_ACTS) } },
    { "dropping",
      { .state = PRIM_DROPPING, .cut = 5, .acked = 5,
        .outcome = XLC_STOPPED },
      { [PRIM_EV_CUT] = W(DROPPING, 0),
        [PRIM_EV_FINAL_CUT] = W(DROPPING, PRIM_DO_STOP),
        [PRIM_EV_ACK] = W(DROPPING, 0),
        OUT(END(SOLO, SOLO_ACTS, STOPPED)),
        [PRIM_EV_SWAP] = W(DROPPING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(DROPPING, 0) } },
    { "dropping, nothing cut",
      { .state = PRIM_DROPPING, .outcome = XLC_STOPPED },
      { [PRIM_EV_CUT] = W(DROPPING, 0),
        [PRIM_EV_FINAL_CUT] = W(DROPPING, PRIM_DO_STOP),
        [PRIM_EV_ACK] = W(DROPPING, 0),
        OUT(END(SOLO, SOLO_ACTS, STOPPED)),
        [PRIM_EV_SWAP] = W(DROPPING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(DROPPING, 0),
        [PRIM_EV_PROMOTED] = W(DROPPING, 0),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(DROPPING, 0) } },
    { "dropping, an epoch on its way",
      { .state = PRIM_DROPPING, .cut = 5, .acked = 4,
        .outcome = XLC_ERROR },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(DROPPING, PRIM_DO_RELEASE),
        OUT(END(SOLO, SOLO_ACTS, ERROR)),
        [PRIM_EV_SWAP] = W(DROPPING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(DROPPING, 0) } },
    { "dropping, guest ended meanwhile",
      { .state = PRIM_DROPPING, .cut = 5, .acked = 4,
        .ended = PROTO_WHY_REBOOT, .outcome = XLC_STOPPED },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(DROPPING, PRIM_DO_RELEASE),
        OUT(END(GONE, SOLO_ACTS, REBOOT)),
        [PRIM_EV_SWAP] = W(DROPPING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(GONE, LAST_LOST, UNCONFIRMED),
        TROUBLE(W(DROPPING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(DROPPING, 0) } },
    { "dropping after the final cut",
      { .state = PRIM_DROPPING, .cut = 5, .acked = 4, .final = true,
        .outcome = XLC_STOPPED },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(DROPPING, PRIM_DO_RELEASE),
        OUT(END(SOLO, SOLO_ACTS, STOPPED)),
        [PRIM_EV_SWAP] = W(DROPPING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(STUCK, STUCK_ACTS, STUCK),
        TROUBLE(W(DROPPING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(DROPPING, 0) } },
    { "ending",
      { .state = PRIM_ENDING, .cut = 5, .acked = 4,
        .ended = PROTO_WHY_CRASH },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(ENDING, PRIM_DO_RELEASE),
        OUT(END(GONE, SOLO_ACTS, CRASH)),
        [PRIM_EV_SWAP] = W(ENDING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(ENDING, 0),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(GONE, LAST_LOST, UNCONFIRMED),
        TROUBLE(W(ENDING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, 0) } },
    { "ending, nothing cut",
      { .state = PRIM_ENDING, .ended = PROTO_WHY_POWEROFF },
      { [PRIM_EV_CUT] = W(ENDING, 0),
        [PRIM_EV_FINAL_CUT] = W(ENDING, PRIM_DO_STOP),
        [PRIM_EV_ACK] = W(ENDING, 0),
        OUT(END(GONE, SOLO_ACTS, POWEROFF)),
        [PRIM_EV_SWAP] = W(ENDING, PRIM_DO_SEND_NOSWAP),
        [PRIM_EV_TAKING] = W(ENDING, 0),
        [PRIM_EV_PROMOTED] = W(ENDING, 0),
        [PRIM_EV_SILENCE] = END(GONE, SOLO_ACTS | PRIM_DO_SEND_END,
                                POWEROFF),
        TROUBLE(W(ENDING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, 0) } },
    { "swapping, the final cut is to come",
      { .state = PRIM_SWAPPING, .cut = 5, .acked = 5 },
      { [PRIM_EV_CUT] = W(SWAPPING, 0),
        [PRIM_EV_FINAL_CUT] = W(SWAPPING, 0),
        [PRIM_EV_ACK] = W(SWAPPING, 0),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(SWAPPING, 0),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, DROP_ACTS)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, END_ACTS) } },
    { "swapping, an ordinary epoch on its way",
      { .state = PRIM_SWAPPING, .cut = 5, .acked = 4 },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(SWAPPING, PRIM_DO_RELEASE),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(SWAPPING, 0),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(SOLO, ALONE, PEER_LOST),
        TROUBLE(W(DROPPING, DROP_ACTS)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, END_ACTS) } },
    { "swapping, the final epoch on its way",
      { .state = PRIM_SWAPPING, .cut = 5, .acked = 4, .final = true },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(HANDING, HAND_ACTS),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(SWAPPING, 0),
        [PRIM_EV_TAKING] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(STUCK, STUCK_ACTS, STUCK),
        TROUBLE(W(DROPPING, PRIM_DO_FREEZE | PRIM_DO_SEND_DROP)),
        [PRIM_EV_GUEST_ENDED] = W(ENDING, END_ACTS) } },
    { "handing over",
      { .state = PRIM_HANDING, .cut = 5, .acked = 5, .final = true },
      { [PRIM_EV_CUT] = W(HANDING, PRIM_DO_FREEZE),
        [PRIM_EV_FINAL_CUT] = W(HANDING, PRIM_DO_FREEZE),
        [PRIM_EV_ACK] = W(HANDING, 0),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(HANDING, 0),
        [PRIM_EV_TAKING] = W(HANDING, 0),
        [PRIM_EV_PROMOTED] = END(YIELDED, MOVE_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(STUCK, STUCK_ACTS, STUCK),
        TROUBLE(W(HANDING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(HANDING, 0) } },
    { "handing over, somebody destroyed our copy",
      { .state = PRIM_HANDING, .cut = 5, .acked = 5, .final = true,
        .ended = PROTO_WHY_DESTROYED },
      { [PRIM_EV_CUT] = W(HANDING, PRIM_DO_FREEZE),
        [PRIM_EV_FINAL_CUT] = W(HANDING, PRIM_DO_FREEZE),
        [PRIM_EV_ACK] = W(HANDING, 0),
        OUT(END(GONE, SOLO_ACTS, POWEROFF)),
        [PRIM_EV_SWAP] = W(HANDING, 0),
        [PRIM_EV_TAKING] = W(HANDING, 0),
        [PRIM_EV_PROMOTED] = END(YIELDED, MOVE_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(YIELDED, PRIM_DO_FINISH, UNCONFIRMED),
        TROUBLE(W(HANDING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(HANDING, 0) } },
    { "yielding",
      { .state = PRIM_YIELDING, .cut = 5, .acked = 5,
        .outcome = XLC_PEER_LOST },
      { [PRIM_EV_CUT] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_FINAL_CUT] = W(YIELDING, PRIM_DO_FREEZE),
        [PRIM_EV_ACK] = W(YIELDING, 0),
        OUT(END(SOLO, SOLO_ACTS, PEER_LOST)),
        [PRIM_EV_SWAP] = W(YIELDING, 0),
        [PRIM_EV_TAKING] = W(YIELDING, 0),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(STUCK, STUCK_ACTS, STUCK),
        TROUBLE(W(YIELDING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(YIELDING, 0) } },
    { "yielding, guest ended, an acknowledgement is late",
      { .state = PRIM_YIELDING, .cut = 5, .acked = 4,
        .ended = PROTO_WHY_WATCHDOG, .outcome = XLC_STOPPED },
      { [PRIM_EV_CUT] = NEVER,
        [PRIM_EV_FINAL_CUT] = NEVER,
        [PRIM_EV_ACK] = W(YIELDING, PRIM_DO_RELEASE),
        OUT(END(GONE, SOLO_ACTS, CRASH)),
        [PRIM_EV_SWAP] = W(YIELDING, 0),
        [PRIM_EV_TAKING] = W(YIELDING, 0),
        [PRIM_EV_PROMOTED] = END(YIELDED, YIELD_ACTS, MOVED),
        [PRIM_EV_SILENCE] = END(GONE, LAST_LOST, UNCONFIRMED),
        TROUBLE(W(YIELDING, 0)),
        [PRIM_EV_GUEST_ENDED] = W(YIELDING, 0) } },
};

static uint64_t number_of(enum prim_ev ev, const struct prim *p)
{
    switch (ev) {
    case PRIM_EV_CUT:
    case PRIM_EV_FINAL_CUT:
        return p->cut + 1;
    case PRIM_EV_ACK:
        return p->cut;
    case PRIM_EV_GUEST_ENDED:
        return PROTO_WHY_POWEROFF;
    default:
        return 0;
    }
}

static void test_rows(void)
{
    bool seen[PRIM_NSTATES] = { false };

    for (size_t i = 0; i < sizeof(before_end) / sizeof(before_end[0]); i++) {
        const struct row *r = &before_end[i];
        bool pass = true;

        seen[r->p.state] = true;
        for (unsigned int e = 0; e < PRIM_NEVENTS; e++) {
            const struct want *w = &r->want[e];
            struct prim p = r->p;
            unsigned int act;
            bool good = w->set;

            if (good && !w->never) {
                act = prim_event(&p, e, number_of(e, &r->p));
                good = act == w->act && p.state == w->state &&
                       (!prim_over(&p) || p.outcome == w->outcome) &&
                       prim_over(&p) == !!(act & PRIM_DO_FINISH);
                if (!good)
                    printf("# event %u: %s, actions %#x, outcome %d\n", e,
                           prim_state_name(p.state), act, p.outcome);
            }
            pass &= good;
        }
        ok(pass, "%s: every event", r->name);
    }
    for (unsigned int s = 0; s < PRIM_SOLO; s++)
        ok(seen[s], "%s was tried", prim_state_name(s));
}

/* An end is an end: only a capture that was still under way is told what
 * becomes of its guest and of the output that its BUFFER closed again. */
static void test_over(void)
{
    static const struct {
        enum prim_state state;
        enum xlc_outcome outcome;
        unsigned int cut;
    } ends[] = {
        { PRIM_SOLO, XLC_STOPPED, PRIM_DO_STOP | PRIM_DO_OPEN },
        { PRIM_GONE, XLC_POWEROFF, PRIM_DO_OPEN },
        { PRIM_GONE, XLC_UNCONFIRMED, PRIM_DO_DISCARD },
        { PRIM_YIELDED, XLC_MOVED, PRIM_DO_FREEZE },
        { PRIM_STUCK, XLC_STUCK, PRIM_DO_FREEZE },
    };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        const struct prim old = { .state = ends[i].state, .cut = 5,
                                  .acked = 4, .outcome = ends[i].outcome };
        bool pass = true;

        for (unsigned int e = 0; e < PRIM_NEVENTS; e++) {
            struct prim p = old;
            unsigned int act = prim_event(&p, e, number_of(e, &old));
            bool cut = e == PRIM_EV_CUT || e == PRIM_EV_FINAL_CUT;

            pass &= act == (cut ? ends[i].cut : 0);
            pass &= p.state == old.state && p.outcome == old.outcome &&
                    p.cut == old.cut && p.acked == old.acked;
        }
        ok(pass && prim_over(&old), "%s (%s) is an end",
           prim_state_name(old.state), xlc_outcome_name(old.outcome));
    }
}

static void test_acks(void)
{
    bool pass = true, lies = true;

    for (size_t i = 0; i < sizeof(before_end) / sizeof(before_end[0]); i++) {
        const struct row *r = &before_end[i];

        for (uint64_t n = 0; n <= r->p.acked; n++) {
            struct prim p = r->p;

            pass &= !prim_event(&p, PRIM_EV_ACK, n) && !p.violations &&
                    p.state == r->p.state && p.acked == r->p.acked;
        }
        for (uint64_t n = r->p.cut + 1; n < r->p.cut + 3; n++) {
            struct prim p = r->p;
            unsigned int act = prim_event(&p, PRIM_EV_ACK, n);

            lies &= p.violations == 1 && p.acked == r->p.acked &&
                    !(act & (PRIM_DO_RELEASE | PRIM_DO_OPEN));
            if (r->p.state == PRIM_SYNCING ||
                r->p.state == PRIM_PROTECTED || r->p.state == PRIM_SWAPPING)
                lies &= p.state == PRIM_DROPPING &&
                        (act & PRIM_DO_SEND_DROP);
            else
                lies &= p.state == r->p.state && !act;
        }
    }
    ok(pass, "an acknowledgement that was heard before releases nothing");
    ok(lies, "nor does one of an epoch that was never cut; that ends it");
}

static void test_reasons(void)
{
    static const struct {
        uint32_t why;
        enum xlc_outcome outcome;
    } t[] = {
        { PROTO_WHY_POWEROFF, XLC_POWEROFF },
        { PROTO_WHY_REBOOT, XLC_REBOOT },
        { PROTO_WHY_CRASH, XLC_CRASH },
        { PROTO_WHY_WATCHDOG, XLC_CRASH },
        { PROTO_WHY_DESTROYED, XLC_POWEROFF },
    };
    static const struct {
        enum prim_ev ev;
        uint32_t why;
        enum xlc_outcome outcome;
    } drops[] = {
        { PRIM_EV_STOP, PROTO_WHY_STOP, XLC_STOPPED },
        { PRIM_EV_LINK_ERROR, PROTO_WHY_ERROR, XLC_PEER_LOST },
        { PRIM_EV_CAPTURE_ERROR, PROTO_WHY_ERROR, XLC_ERROR },
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct prim p;

        prim_init(&p);
        prim_event(&p, PRIM_EV_GUEST_ENDED, t[i].why);
        ok(p.why == t[i].why &&
           prim_event(&p, PRIM_EV_ENDED, 0) & PRIM_DO_OPEN &&
           p.outcome == t[i].outcome, "%s ends as %s",
           proto_reason_text(t[i].why), xlc_outcome_name(t[i].outcome));
    }
    for (size_t i = 0; i < sizeof(drops) / sizeof(drops[0]); i++) {
        struct prim p;

        prim_init(&p);
        prim_event(&p, drops[i].ev, 0);
        ok(p.why == drops[i].why &&
           prim_event(&p, PRIM_EV_DROPPED, 0) & PRIM_DO_OPEN &&
           p.outcome == drops[i].outcome, "the peer hears why: %s",
           proto_reason_text(drops[i].why));
    }
}

/* A planned failover from its start to its end. */
static void test_swap(void)
{
    struct prim p;

    prim_init(&p);
    ok(!prim_over(&p) && p.state == PRIM_SYNCING, "starts in syncing");
    prim_event(&p, PRIM_EV_CUT, 1);
    prim_event(&p, PRIM_EV_ACK, 1);
    ok(prim_event(&p, PRIM_EV_CUT, 2) == 0 &&
       prim_event(&p, PRIM_EV_SWAP, 0) == PRIM_DO_FINAL,
       "a swap is asked for while an epoch is on its way");
    ok(prim_event(&p, PRIM_EV_ACK, 2) == PRIM_DO_RELEASE && !p.final,
       "which is released as ever");
    ok(prim_event(&p, PRIM_EV_FINAL_CUT, 3) == 0 && p.final,
       "then the final cut");
    ok(prim_event(&p, PRIM_EV_ACK, 3) == HAND_ACTS,
       "final ack: YOURS is said at once; our copy stays, suspended");
    ok(prim_event(&p, PRIM_EV_PROMOTED, 0) == MOVE_ACTS &&
       p.outcome == XLC_MOVED && !p.violations,
       "PROMOTED: only now it is destroyed");
}

/* RULES A13: contact lost in the middle of a planned failover. */
static void test_rule_a13(void)
{
    const struct prim handing = { .state = PRIM_HANDING, .cut = 5,
                                  .acked = 5, .final = true };
    struct prim p = handing;
    unsigned int act = prim_event(&p, PRIM_EV_SILENCE, 0);

    ok(p.outcome == XLC_STUCK && act & PRIM_DO_FREEZE &&
       !(act & (PRIM_DO_DESTROY | PRIM_DO_STOP)),
       "RULES A13: contact lost in mid-swap leaves it suspended, loudly");
    p = handing;
    act = prim_event(&p, PRIM_EV_FAILED, 0);
    ok(p.state == PRIM_SOLO && act & PRIM_DO_STOP && !p.violations,
       "RULES A13: if the peer can't open it, ours goes on");
}

/* The specification's numbers, once more. */
static void test_wire(void)
{
    static const uint8_t numbers[] = {
        [PRIM_SYNCING] = 0, [PRIM_PROTECTED] = 1, [PRIM_DROPPING] = 2,
        [PRIM_ENDING] = 3, [PRIM_SWAPPING] = 4, [PRIM_HANDING] = 5,
        [PRIM_YIELDING] = 6, [PRIM_SOLO] = 7, [PRIM_GONE] = 8,
        [PRIM_YIELDED] = 9, [PRIM_STUCK] = 10,
    };

    for (unsigned int s = 0; s < PRIM_NSTATES; s++)
        ok(prim_state_wire(s) == numbers[s], "%s is %u on the wire",
           prim_state_name(s), numbers[s]);
}

static void test_names(void)
{
    bool pass = true;

    for (unsigned int i = 0; i < PRIM_NSTATES; i++)
        for (unsigned int j = 0; j <= i; j++)
            pass &= !strcmp(prim_state_name(i), prim_state_name(j)) ==
                    (i == j);
    ok(pass && !strcmp(prim_state_name(PRIM_NSTATES), "?"),
       "every state has a name of its own");
    pass = true;
    for (unsigned int i = 0; i <= XLC_WORKER_DIED; i++) {
        pass &= strlen(xlc_outcome_text(i)) > 5;
        for (unsigned int j = 0; j <= i; j++)
            pass &= !strcmp(xlc_outcome_name(i), xlc_outcome_name(j)) ==
                    (i == j);
    }
    ok(pass && !strcmp(xlc_outcome_name(XLC_WORKER_DIED + 1), "?"),
       "and every outcome");
}

int main(void)
{
    test_rows();
    test_over();
    test_acks();
    test_reasons();
    test_swap();
    test_rule_a13();
    test_wire();
    test_names();
    return done_testing();
}
