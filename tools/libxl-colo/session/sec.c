/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sec.c - The secondary's side of a protection, as a pure state machine */
#include <config.h>

#include <assert.h>

#include "proto.h"
#include "sec.h"

static const char *const state_names[] = {
    [SEC_SYNCING] = "syncing", [SEC_PAIRED] = "protecting",
    [SEC_DECIDING] = "deciding", [SEC_OPENING] = "taking-over",
    [SEC_OPEN] = "running", [SEC_DROPPED] = "dropped",
    [SEC_FAILED] = "failed",   [SEC_ASIDE] = "stood-aside",
    [SEC_OVER] = "over",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == SEC_NSTATES,
              "every state has a name");

/* What is on the wire does not follow the order of the enumeration. */
static const uint8_t wire_states[] = {
    [SEC_SYNCING] = PROTO_SEC_SYNCING, [SEC_PAIRED] = PROTO_SEC_PAIRED,
    [SEC_DECIDING] = PROTO_SEC_DECIDING, [SEC_OPENING] = PROTO_SEC_OPENING,
    [SEC_OPEN] = PROTO_SEC_OPEN, [SEC_DROPPED] = PROTO_SEC_DROPPED,
    [SEC_FAILED] = PROTO_SEC_FAILED, [SEC_ASIDE] = PROTO_SEC_ASIDE,
    [SEC_OVER] = PROTO_SEC_OVER,
};
static_assert(sizeof(wire_states) == SEC_NSTATES,
              "every state has a number on the wire");

const char *sec_state_name(enum sec_state s)
{
    return (unsigned int)s < SEC_NSTATES ? state_names[s] : "?";
}

uint8_t sec_state_wire(enum sec_state s)
{
    assert((unsigned int)s < SEC_NSTATES);
    return wire_states[s];
}

void sec_init(struct sec *s)
{
    *s = (struct sec){ .state = SEC_SYNCING };
}

bool sec_out(const struct sec *s)
{
    return s->state == SEC_DROPPED || s->state == SEC_FAILED;
}

static unsigned int fail(struct sec *s)
{
    s->state = SEC_FAILED;
    return SEC_DO_ABORT | SEC_DO_SEND_FAILED | SEC_DO_FINISH;
}

/* The primary was told that we hold the last epoch of a planned failover: its
 * copy may stand still for ever, so ours is not given up lightly. */
static bool promised(const struct sec *s)
{
    return s->final && s->acked == s->accepted;
}

static unsigned int violation(struct sec *s)
{
    s->violations++;
    switch (s->state) {
    case SEC_SYNCING:
    case SEC_PAIRED:
        return promised(s) ? 0 : fail(s);
    default:
        return 0;
    }
}

/* Epoch 1 was passed on as it came. It counts once it is known to be whole
 * and applied; which of the two is known first is a matter of threads. */
static unsigned int accept_first(struct sec *s)
{
    if (!s->waiting || !s->applied) return 0;
    s->waiting = 0;
    s->accepted = s->acked = 1;
    s->state = SEC_PAIRED;
    return SEC_DO_ACK;
}

/* Take @s->waiting in, if its turn has come. */
static unsigned int accept_waiting(struct sec *s)
{
    if (!s->waiting || s->applied < s->accepted) return 0;
    s->accepted = s->waiting;
    s->final = s->waiting_final;
    s->waiting = 0;
    if (s->final) return SEC_DO_FEED; /* acknowledged once it is applied */
    s->acked = s->accepted;
    return SEC_DO_FEED | SEC_DO_ACK;
}

static unsigned int on_whole(struct sec *s, uint64_t n, bool final)
{
    switch (s->state) {
    case SEC_SYNCING:
        if (n != 1 || s->waiting || final) return violation(s);
        s->waiting = 1;
        return SEC_DO_FEED | accept_first(s);
    case SEC_PAIRED:
        if (n != s->accepted + 1 || s->waiting || s->final)
            return violation(s);
        s->waiting = n;
        s->waiting_final = final;
        return accept_waiting(s);
    default:
        return 0; /* too late (RULES A3) */
    }
}

static unsigned int on_applied(struct sec *s, uint64_t n)
{
    uint64_t fed = s->state == SEC_SYNCING ? 1 : s->accepted;
    unsigned int act = 0;

    if (n != s->applied + 1 || n > fed) {
        s->violations++;
        return 0;
    }
    s->applied = n;
    switch (s->state) {
    case SEC_SYNCING:
        return accept_first(s);
    case SEC_PAIRED:
        if (s->final && n == s->accepted) {
            s->acked = n;
            act = SEC_DO_ACK;
        }
        return act | accept_waiting(s);
    default:
        return 0;
    }
}

/* The primary goes on alone, or its guest ended. */
static unsigned int on_primary_out(struct sec *s, bool end)
{
    switch (s->state) {
    case SEC_SYNCING:
    case SEC_PAIRED:
        s->state = SEC_DROPPED;
        s->ended = end;
        return SEC_DO_ABORT | SEC_DO_FINISH |
               (end ? SEC_DO_SEND_ENDED : SEC_DO_SEND_DROPPED);
    case SEC_DECIDING: /* the verdict, or */
    case SEC_OPENING:  /* how the opening went, will be the answer */
        return 0;
    case SEC_OPEN:
    case SEC_ASIDE:
    case SEC_OVER: /* it did run here */
        return SEC_DO_SEND_PROMOTED;
    case SEC_DROPPED:
        return end ? SEC_DO_SEND_ENDED : SEC_DO_SEND_DROPPED;
    case SEC_FAILED:
        return SEC_DO_SEND_FAILED;
    default:
        return 0;
    }
}

/* Between the decision and the guest's first step it is not too late to let
 * the primary have it. */
static unsigned int on_solo(struct sec *s)
{
    switch (s->state) {
    case SEC_DECIDING:
    case SEC_OPENING:
        s->state = SEC_DROPPED;
        return SEC_DO_ABORT | SEC_DO_SEND_DROPPED | SEC_DO_FINISH;
    case SEC_OPEN:
        s->state = SEC_ASIDE;
        return SEC_DO_ASIDE;
    case SEC_ASIDE:
    case SEC_OVER:
        return 0;
    default:
        return on_primary_out(s, false);
    }
}

static unsigned int on_silence(struct sec *s)
{
    switch (s->state) {
    case SEC_SYNCING:
        s->state = SEC_DROPPED;
        return SEC_DO_ABORT | SEC_DO_SEND_DROPPED | SEC_DO_FINISH;
    case SEC_PAIRED:
        s->state = SEC_DECIDING;
        return SEC_DO_DECIDE;
    default:
        return 0;
    }
}

static unsigned int on_verdict(struct sec *s, bool run)
{
    if (s->state != SEC_DECIDING) {
        s->violations++;
        return 0;
    }
    if (run) {
        s->state = SEC_OPENING;
        return SEC_DO_OPEN;
    }
    s->state = SEC_DROPPED;
    return SEC_DO_ABORT | SEC_DO_SEND_DROPPED | SEC_DO_FINISH;
}

static unsigned int on_yours(struct sec *s, uint64_t n)
{
    switch (s->state) {
    case SEC_PAIRED:
    case SEC_DECIDING:
        /* The primary's copy stands still: whatever else it says, ours is
         * the one that may run. */
        if (n != s->accepted) s->violations++;
        s->state = SEC_OPENING;
        return SEC_DO_OPEN;
    case SEC_OPENING: /* answered by how it goes */
        return 0;
    case SEC_OPEN:
    case SEC_ASIDE:
    case SEC_OVER:
        return SEC_DO_SEND_PROMOTED;
    case SEC_FAILED:
        return SEC_DO_SEND_FAILED;
    default:
        s->violations++;
        return 0;
    }
}

/* Our copy is of no use any more, or not wanted. */
static unsigned int on_lost(struct sec *s)
{
    switch (s->state) {
    case SEC_SYNCING:
    case SEC_PAIRED:
        return fail(s);
    default:
        return 0;
    }
}

unsigned int sec_event(struct sec *s, enum sec_ev ev, uint64_t n)
{
    switch (ev) {
    case SEC_EV_WHOLE:
        return on_whole(s, n, false);
    case SEC_EV_WHOLE_FINAL:
        return on_whole(s, n, true);
    case SEC_EV_APPLIED:
        return on_applied(s, n);
    case SEC_EV_SILENCE:
        return on_silence(s);
    case SEC_EV_VERDICT_RUN:
        return on_verdict(s, true);
    case SEC_EV_VERDICT_DROP:
        return on_verdict(s, false);
    case SEC_EV_DROP:
        return on_primary_out(s, false);
    case SEC_EV_END:
        return on_primary_out(s, true);
    case SEC_EV_YOURS:
        return on_yours(s, n);
    case SEC_EV_SOLO:
        return on_solo(s);
    case SEC_EV_FAILOVER:
        return s->state == SEC_PAIRED ? SEC_DO_SEND_SWAP : 0;
    case SEC_EV_STOP:
        return promised(s) ? 0 : on_lost(s);
    case SEC_EV_RESTORE_ENDED:
        return on_lost(s);
    case SEC_EV_VIOLATION:
        return violation(s);
    case SEC_EV_OPENED:
        if (s->state != SEC_OPENING) return 0;
        s->state = SEC_OPEN;
        s->opened++;
        return SEC_DO_SEND_PROMOTED | SEC_DO_FINISH;
    case SEC_EV_OPEN_FAILED:
        if (s->state != SEC_OPENING) return 0;
        s->state = SEC_FAILED;
        return SEC_DO_SEND_FAILED | SEC_DO_FINISH;
    case SEC_EV_LET_GO:
        if (s->state != SEC_ASIDE) return 0;
        s->state = SEC_OPEN;
        s->opened++;
        return SEC_DO_REJOIN;
    case SEC_EV_GUEST_GONE:
        if (s->state != SEC_OPEN && s->state != SEC_ASIDE) return 0;
        s->state = SEC_OVER;
        return SEC_DO_FINISH;
    case SEC_NEVENTS:
        break;
    }
    return 0;
}
