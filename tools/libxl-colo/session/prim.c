/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* prim.c - The primary's side of a protection, as a pure state machine */
#include <config.h>

#include <assert.h>

#include "prim.h"
#include "proto.h"

static const char *const state_names[] = {
    [PRIM_SYNCING] = "syncing",     [PRIM_PROTECTED] = "protected",
    [PRIM_DROPPING] = "dropping",   [PRIM_ENDING] = "ending",
    [PRIM_SWAPPING] = "swapping",   [PRIM_HANDING] = "handing-over",
    [PRIM_YIELDING] = "yielding",   [PRIM_SOLO] = "unprotected",
    [PRIM_GONE] = "guest-ended",    [PRIM_YIELDED] = "moved",
    [PRIM_STUCK] = "stuck",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == PRIM_NSTATES,
              "every state has a name");

/* What is on the wire does not follow the order of the enumeration. */
static const uint8_t wire_states[] = {
    [PRIM_SYNCING] = PROTO_PRIM_SYNCING,
    [PRIM_PROTECTED] = PROTO_PRIM_PROTECTED,
    [PRIM_DROPPING] = PROTO_PRIM_DROPPING,
    [PRIM_ENDING] = PROTO_PRIM_ENDING,
    [PRIM_SWAPPING] = PROTO_PRIM_SWAPPING,
    [PRIM_HANDING] = PROTO_PRIM_HANDING,
    [PRIM_YIELDING] = PROTO_PRIM_YIELDING,
    [PRIM_SOLO] = PROTO_PRIM_SOLO,
    [PRIM_GONE] = PROTO_PRIM_GONE,
    [PRIM_YIELDED] = PROTO_PRIM_YIELDED,
    [PRIM_STUCK] = PROTO_PRIM_STUCK,
};
static_assert(sizeof(wire_states) == PRIM_NSTATES,
              "every state has a number on the wire");

const char *prim_state_name(enum prim_state s)
{
    return (unsigned int)s < PRIM_NSTATES ? state_names[s] : "?";
}

uint8_t prim_state_wire(enum prim_state s)
{
    assert((unsigned int)s < PRIM_NSTATES);
    return wire_states[s];
}

void prim_init(struct prim *p)
{
    *p = (struct prim){ .state = PRIM_SYNCING, .outcome = XLC_ERROR };
}

bool prim_over(const struct prim *p)
{
    return p->state >= PRIM_SOLO;
}

static enum xlc_outcome ended_outcome(uint32_t reason)
{
    switch (reason) {
    case PROTO_WHY_REBOOT:
        return XLC_REBOOT;
    case PROTO_WHY_CRASH:
    case PROTO_WHY_WATCHDOG:
        return XLC_CRASH;
    default:
        return XLC_POWEROFF;
    }
}

/* The guest goes on here, alone; the peer's copy will never run (or is
 * presumed dead). A guest that ended meanwhile has no network to open, but
 * its last output may go. */
static unsigned int go_solo(struct prim *p, enum xlc_outcome outcome)
{
    if (p->ended) {
        p->state = PRIM_GONE;
        p->outcome = ended_outcome(p->ended);
    } else {
        p->state = PRIM_SOLO;
        p->outcome = outcome;
    }
    return PRIM_DO_STOP | PRIM_DO_OPEN | PRIM_DO_FINISH;
}

/* Ask the peer to forget its copy; output stays held until it did. After the
 * final cut the guest stays suspended too: the peer may run it. */
static unsigned int drop(struct prim *p, uint32_t why,
                         enum xlc_outcome outcome)
{
    p->state = PRIM_DROPPING;
    p->why = why;
    p->outcome = outcome;
    return (p->final ? PRIM_DO_FREEZE : PRIM_DO_STOP) | PRIM_DO_SEND_DROP;
}

/* The peer is presumed dead. If only its words don't arrive, ours may: it
 * must hear that we go on alone. */
static unsigned int go_solo_unheard(struct prim *p)
{
    p->why = PROTO_WHY_ERROR;
    return go_solo(p, XLC_PEER_LOST) | PRIM_DO_SEND_DROP;
}

/* The guest ended and nobody confirmed it. */
static unsigned int end_unheard(struct prim *p)
{
    p->state = PRIM_GONE;
    if (!p->cut) { /* the peer has no whole epoch: it has nothing to run */
        p->outcome = ended_outcome(p->ended);
        return PRIM_DO_STOP | PRIM_DO_OPEN | PRIM_DO_SEND_END |
               PRIM_DO_FINISH;
    }
    /* It may run the guest from an older epoch: the last output must not
     * contradict that, so it is never sent. */
    p->outcome = XLC_UNCONFIRMED;
    return PRIM_DO_STOP | PRIM_DO_DISCARD | PRIM_DO_SEND_END |
           PRIM_DO_FINISH;
}

/* Contact was lost while the guest stands still here and the peer may run
 * it: nobody but the administrator can know (RULES A13). */
static unsigned int get_stuck(struct prim *p)
{
    p->state = PRIM_STUCK;
    p->outcome = XLC_STUCK;
    return PRIM_DO_FREEZE | PRIM_DO_FINISH;
}

/* The peer runs the guest: ours must never be heard again. */
static unsigned int yield(struct prim *p)
{
    p->state = PRIM_YIELDED;
    p->outcome = XLC_MOVED;
    return PRIM_DO_CUT_NET | PRIM_DO_FREEZE | PRIM_DO_DESTROY |
           PRIM_DO_FINISH;
}

static unsigned int on_ack(struct prim *p, uint64_t n)
{
    if (n > p->cut) {
        /* It acknowledges what was never cut: its word is worth nothing. */
        p->violations++;
        if (p->state != PRIM_SYNCING && p->state != PRIM_PROTECTED &&
            p->state != PRIM_SWAPPING)
            return 0;
        return drop(p, PROTO_WHY_ERROR, XLC_ERROR);
    }
    if (n <= p->acked || n < p->cut) return 0; /* repeated */
    p->acked = n;

    switch (p->state) {
    case PRIM_SYNCING:
        p->state = PRIM_PROTECTED;
        return PRIM_DO_RELEASE;
    case PRIM_SWAPPING:
        if (!p->final) return PRIM_DO_RELEASE;
        /* Everything the guest ever said is covered: let it out, then
         * give the guest away. Ours stays suspended (RULES A13). */
        p->state = PRIM_HANDING;
        return PRIM_DO_FREEZE | PRIM_DO_OPEN | PRIM_DO_SEND_YOURS;
    case PRIM_PROTECTED:
    case PRIM_DROPPING:
    case PRIM_ENDING:
    case PRIM_YIELDING: /* it came late, by another path */
        return PRIM_DO_RELEASE;
    default:
        return 0;
    }
}

static unsigned int on_silence(struct prim *p)
{
    switch (p->state) {
    case PRIM_SYNCING:
    case PRIM_PROTECTED:
        return go_solo_unheard(p);
    case PRIM_DROPPING:
    case PRIM_SWAPPING:
        if (p->ended) return end_unheard(p);
        return p->final ? get_stuck(p) : go_solo_unheard(p);
    case PRIM_YIELDING:
        return p->ended ? end_unheard(p) : get_stuck(p);
    case PRIM_ENDING:
        return end_unheard(p);
    case PRIM_HANDING: /* the peer may run it: ours must not */
        if (!p->ended) return get_stuck(p);
        p->state = PRIM_YIELDED;
        p->outcome = XLC_UNCONFIRMED;
        return PRIM_DO_FINISH;
    default:
        return 0;
    }
}

/* DROPPED, ENDED and FAILED mean the same: the peer's copy never runs. */
static unsigned int on_peer_out(struct prim *p, enum prim_ev ev)
{
    switch (p->state) {
    case PRIM_SYNCING:
    case PRIM_PROTECTED:
    case PRIM_SWAPPING:
        return go_solo(p, XLC_PEER_LOST);
    case PRIM_DROPPING:
    case PRIM_ENDING:
    case PRIM_YIELDING:
        return go_solo(p, p->outcome);
    case PRIM_HANDING:
        /* Ours is as good as theirs was, and nobody runs it. */
        p->violations += ev != PRIM_EV_FAILED;
        return go_solo(p, XLC_PEER_LOST);
    default:
        return 0;
    }
}

static unsigned int on_guest_ended(struct prim *p, uint32_t reason)
{
    assert(reason);
    p->ended = reason;
    switch (p->state) {
    case PRIM_SYNCING:
    case PRIM_PROTECTED:
    case PRIM_SWAPPING:
        p->state = PRIM_ENDING;
        p->why = reason;
        return PRIM_DO_STOP | PRIM_DO_SEND_END;
    default: /* The others go on; how they end looks at @ended */
        return 0;
    }
}

/* The peer took over without being asked to: freeze, and wait for what comes
 * of it. */
static unsigned int on_taking(struct prim *p)
{
    if (!p->cut) { /* it can't hold a whole epoch: a lie or a bug */
        p->violations++;
        return 0;
    }
    switch (p->state) {
    case PRIM_SYNCING:
    case PRIM_PROTECTED:
    case PRIM_SWAPPING:
        p->outcome = XLC_PEER_LOST;
        p->state = PRIM_YIELDING;
        return PRIM_DO_FREEZE;
    case PRIM_DROPPING: /* keeps its outcome */
        p->state = PRIM_YIELDING;
        return PRIM_DO_FREEZE;
    default:
        return 0;
    }
}

static unsigned int on_promoted(struct prim *p)
{
    if (!p->cut) {
        p->violations++;
        return 0;
    }
    switch (p->state) {
    case PRIM_SYNCING:
    case PRIM_PROTECTED:
    case PRIM_DROPPING:
    case PRIM_ENDING:
    case PRIM_SWAPPING:
    case PRIM_YIELDING:
        return yield(p);
    case PRIM_HANDING:
        p->state = PRIM_YIELDED;
        p->outcome = XLC_MOVED;
        return PRIM_DO_DESTROY | PRIM_DO_FINISH;
    default:
        return 0;
    }
}

/* A capture's end. Return: what becomes of the guest, where that is not what
 * the event itself says. */
static unsigned int on_cut(struct prim *p, uint64_t n, bool final)
{
    switch (p->state) {
    case PRIM_SOLO: /* its BUFFER closed what was opened for good */
        return PRIM_DO_STOP | PRIM_DO_OPEN;
    case PRIM_GONE:
        return p->outcome == XLC_UNCONFIRMED ? PRIM_DO_DISCARD :
               PRIM_DO_OPEN;
    case PRIM_HANDING:
    case PRIM_YIELDED:
    case PRIM_STUCK:
        return PRIM_DO_FREEZE;
    default:
        break;
    }

    assert(n == p->cut + 1);
    assert(p->acked == p->cut);
    p->cut = n;
    if (p->state == PRIM_YIELDING) return PRIM_DO_FREEZE;
    if (final && p->state != PRIM_SWAPPING) return PRIM_DO_STOP;
    p->final = final;
    return 0;
}

static unsigned int on_trouble(struct prim *p, uint32_t why,
                               enum xlc_outcome outcome)
{
    switch (p->state) {
    case PRIM_SYNCING:
    case PRIM_PROTECTED:
    case PRIM_SWAPPING:
        return drop(p, why, outcome);
    default:
        return 0;
    }
}

unsigned int prim_event(struct prim *p, enum prim_ev ev, uint64_t n)
{
    if (prim_over(p) && ev != PRIM_EV_CUT && ev != PRIM_EV_FINAL_CUT)
        return 0;

    switch (ev) {
    case PRIM_EV_CUT:
        return on_cut(p, n, false);
    case PRIM_EV_FINAL_CUT:
        return on_cut(p, n, true);
    case PRIM_EV_ACK:
        return on_ack(p, n);
    case PRIM_EV_DROPPED:
    case PRIM_EV_ENDED:
    case PRIM_EV_FAILED:
        return on_peer_out(p, ev);
    case PRIM_EV_SWAP:
        if (p->state == PRIM_PROTECTED) {
            p->state = PRIM_SWAPPING;
            return PRIM_DO_FINAL;
        }
        return p->state == PRIM_SWAPPING || p->state == PRIM_HANDING ||
               p->state == PRIM_YIELDING ? 0 : PRIM_DO_SEND_NOSWAP;
    case PRIM_EV_TAKING:
        return on_taking(p);
    case PRIM_EV_PROMOTED:
        return on_promoted(p);
    case PRIM_EV_SILENCE:
        return on_silence(p);
    case PRIM_EV_LINK_ERROR:
        return on_trouble(p, PROTO_WHY_ERROR, XLC_PEER_LOST);
    case PRIM_EV_CAPTURE_ERROR:
        return on_trouble(p, PROTO_WHY_ERROR, XLC_ERROR);
    case PRIM_EV_GUEST_ENDED:
        return on_guest_ended(p, (uint32_t)n);
    case PRIM_EV_STOP:
        return on_trouble(p, PROTO_WHY_STOP, XLC_STOPPED);
    case PRIM_NEVENTS:
        break;
    }
    return 0;
}
