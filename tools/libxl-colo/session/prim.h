/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * prim.h - The primary's side of a protection, as a pure state machine
 *
 * Theory of operation
 * -------------------
 * prim_event() is told what happened and returns what must be done, as a set
 * of PRIM_DO_* bits. It does no I/O and knows no clock: silence is an event
 * that failover/paths.c decides. The caller serialises all events with one
 * lock and carries the actions out in the order of their bits.
 *
 * The buffer: closed at each cut (PRIM_EV_CUT is told after the plug's BUFFER
 * and before the guest resumes), let go at the acknowledgement of that very
 * epoch. It is opened for good only when the peer said that its copy will
 * never run (DROPPED, ENDED, FAILED), or when the peer is silent on every
 * path and no arbiter is there (RULES A1, A2).
 *
 *                    cut, ack                    STOP, errors
 *  SYNCING ----------------------> PROTECTED ----------------> DROPPING
 *     |  \________________________/   |   |  \                    | DROPPED
 *     |        guest ended         SWAP   | silence               v
 *     v                               |   `--------------------> SOLO
 *   ENDING --ENDED--> GONE            v
 *                                 SWAPPING --final ack--> HANDING
 *                                     | silence             | PROMOTED
 *                                     v                     v
 *                                   STUCK                YIELDED
 *                                     ^ silence             ^ PROMOTED
 *                                     `----- YIELDING ------'
 *                  (any of the upper row, DROPPING) --TAKING--> YIELDING
 *
 * FAILED leads from HANDING and YIELDING to SOLO, silence to STUCK.
 *
 * HANDING: the peer holds everything and was told to run it. Ours stays
 * suspended until the peer says that it does (RULES A13): until then it may be
 * the last copy, so it is neither let go nor destroyed.
 *
 * YIELDING: the peer took the guest over while we live, and its copy may
 * still fail to start. Ours waits, frozen and unheard, so that the guest is
 * not lost on both hosts.
 *
 * Lingering: what is sent together with PRIM_DO_FINISH is said on every path
 * for as long as the process stays, at least the limit's length, or until it
 * is answered. A peer that we can't hear may hear us: then it must learn that
 * we go on alone, or it would start its copy once we are quiet.
 *
 * A capture that was under way when the state changed may still tell its CUT,
 * after FINISH too: what comes back says whether the guest may resume.
 */
#ifndef XLC_PRIM_H
#define XLC_PRIM_H

#include <stdbool.h>
#include <stdint.h>

#include "xlcolo.h"

/**
 * enum prim_state - see the picture above
 * @PRIM_SYNCING: the first copy is on its way; not protected yet
 * @PRIM_PROTECTED: the peer holds a whole epoch
 * @PRIM_DROPPING: we want to go on alone and wait for the peer's DROPPED;
 *                 output is held
 * @PRIM_ENDING: the guest ended; we wait for the peer's ENDED; output held
 * @PRIM_SWAPPING: planned failover; the next epoch is the last, the guest
 *                 is not resumed after it
 * @PRIM_HANDING: the peer holds the last epoch, our copy is suspended and
 *                all it said is out; YOURS is said until it is answered
 * @PRIM_YIELDING: the peer is about to run its copy; ours is frozen until it
 *                 does, or can't; output is held
 * @PRIM_SOLO: over; the guest runs here alone
 * @PRIM_GONE: over; the guest ended by itself
 * @PRIM_YIELDED: over; the peer runs the guest, our copy is gone
 * @PRIM_STUCK: over; the guest is suspended here and stays so
 */
enum prim_state {
    PRIM_SYNCING,
    PRIM_PROTECTED,
    PRIM_DROPPING,
    PRIM_ENDING,
    PRIM_SWAPPING,
    PRIM_HANDING,
    PRIM_YIELDING,
    PRIM_SOLO,
    PRIM_GONE,
    PRIM_YIELDED,
    PRIM_STUCK,
    PRIM_NSTATES,
};

/**
 * enum prim_ev - what can happen
 * @PRIM_EV_CUT: epoch @n was captured and its output closed; guest resumes
 * @PRIM_EV_FINAL_CUT: the same, and the guest stays suspended
 * @PRIM_EV_ACK: the peer holds epoch @n
 * @PRIM_EV_DROPPED: the peer's copy will never run
 * @PRIM_EV_ENDED: the same, in answer to END
 * @PRIM_EV_FAILED: the same, by the peer's own failure
 * @PRIM_EV_SWAP: the peer asks for a planned failover
 * @PRIM_EV_TAKING: the peer is about to run its copy (its heartbeat says
 *                  SEC_OPENING); from here on it acknowledges nothing
 * @PRIM_EV_PROMOTED: the peer's copy runs
 * @PRIM_EV_SILENCE: nothing was heard on any path for the limit
 * @PRIM_EV_LINK_ERROR: the data connection broke, or a peer's frame was wrong
 * @PRIM_EV_CAPTURE_ERROR: the guest can't be captured any more
 * @PRIM_EV_GUEST_ENDED: the guest shut down, rebooted or crashed; @n is a
 *                       enum proto_reason, never 0
 * @PRIM_EV_STOP: somebody wants protection to end
 */
enum prim_ev {
    PRIM_EV_CUT,
    PRIM_EV_FINAL_CUT,
    PRIM_EV_ACK,
    PRIM_EV_DROPPED,
    PRIM_EV_ENDED,
    PRIM_EV_FAILED,
    PRIM_EV_SWAP,
    PRIM_EV_TAKING,
    PRIM_EV_PROMOTED,
    PRIM_EV_SILENCE,
    PRIM_EV_LINK_ERROR,
    PRIM_EV_CAPTURE_ERROR,
    PRIM_EV_GUEST_ENDED,
    PRIM_EV_STOP,
    PRIM_NEVENTS,
};

/* What to do, in this order. */
#define PRIM_DO_CUT_NET     0x001u /* nothing of our copy may leave any more */
#define PRIM_DO_RELEASE     0x002u /* let the closed epoch's output go */
#define PRIM_DO_STOP        0x004u /* no more captures; the guest runs */
#define PRIM_DO_FREEZE      0x008u /* no more captures; it must not run */
#define PRIM_DO_OPEN        0x010u /* let all output go, for good */
#define PRIM_DO_DISCARD     0x020u /* throw held output away */
#define PRIM_DO_FINAL       0x040u /* the next capture is the last (swap) */
#define PRIM_DO_DESTROY     0x080u /* destroy our copy */
#define PRIM_DO_SEND_DROP   0x100u /* say DROP until it is answered */
#define PRIM_DO_SEND_END    0x200u /* say END until it is answered */
#define PRIM_DO_SEND_YOURS  0x400u /* say YOURS until it is answered */
#define PRIM_DO_SEND_NOSWAP 0x800u /* say SWAP_REFUSED once */
#define PRIM_DO_FINISH      0x1000u /* over; @outcome is final */

/**
 * struct prim - the machine
 * @state: now
 * @cut: newest epoch whose output was closed, 0 before the first
 * @acked: newest epoch the peer holds
 * @final: newest cut was the final one; the guest stays suspended
 * @why: enum proto_reason for DROP and END
 * @ended: enum proto_reason if the guest ended, else 0
 * @outcome: what it will be, or is
 * @violations: frames that made no sense in the state they met
 */
struct prim {
    enum prim_state state;
    uint64_t cut, acked;
    bool final;
    uint32_t why, ended;
    enum xlc_outcome outcome;
    unsigned int violations;
};

void prim_init(struct prim *p);

/**
 * prim_event() - something happened
 * @ev: what
 * @n: its number, where the event has one
 *
 * Return: PRIM_DO_* bits
 */
unsigned int prim_event(struct prim *p, enum prim_ev ev, uint64_t n);

/* True once the machine has said PRIM_DO_FINISH. */
bool prim_over(const struct prim *p);

/* "protected", …: for status, events and logs. */
const char *prim_state_name(enum prim_state s);

/* Its number on the wire: enum proto_prim_state. */
uint8_t prim_state_wire(enum prim_state s);

#endif
