/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sec.h - The secondary's side of a protection, as a pure state machine
 *
 * Theory of operation
 * -------------------
 * Like prim.h: sec_event() is told what happened and returns SEC_DO_* bits.
 * One lock serialises all events, and this is what RULES A3 asks for: an
 * epoch is accepted, or the machine leaves PAIRED, never both at once. From
 * DECIDING on no epoch is accepted and none is acknowledged; the newest
 * accepted one is the state that runs.
 *
 *             epoch 1 applied             silence
 *   SYNCING ------------------> PAIRED -----------------> DECIDING
 *      |                         |  |  YOURS                 | verdict: run
 *      | DROP, END, silence      |  `------------------.     v
 *      v                         v DROP, END            `> OPENING --> OPEN
 *   DROPPED <----------------- DROPPED                       |
 *      (any failure before OPEN: FAILED) <-------------------'
 *
 *   OPEN --SOLO--> ASIDE --let go again--> OPEN      both: guest gone --> OVER
 *
 * An epoch is acknowledged when it is whole, was checked, and the one before
 * it is applied: at most two epochs are ever in memory, and the restore
 * never lags by more than one (PLATFORM trap 5). The first, and the last one
 * of a planned failover, are acknowledged only when they are applied. Once the
 * last one is, the primary's copy stands still and may stay so for ever: from
 * then on only the primary's DROP or END, or a restore that really ended, can
 * take ours away.
 *
 * PROMOTED is said when the guest was let go here, not before: opening may
 * fail, and the primary, if it lives, is then told FAILED and goes on. In
 * OPENING the heartbeat's state tells it to hold still; DROP, END and YOURS
 * are answered when it is known how the opening went.
 *
 * A primary that has gone on alone is the one that runs (RULES A2): heard of in
 * time, SOLO takes an opening back. The caller therefore asks sec_out() under
 * its lock just before it lets the guest go. Heard too late, after a cut of
 * all paths has healed, two copies run: ours, which took over, stands ASIDE.
 * (What waited in a connection while the paths were cut may be long past, and
 * the primary's copy gone: the caller takes the word of a newer one alone.)
 * It is kept, paused and on no bridge, until the administrator lets it go or
 * destroys it; nothing of either copy is overwritten.
 *
 * FINISH means that nothing more is wanted from this session; the machine
 * still answers. The caller stays for at least the limit's length and answers
 * what is asked again, because an answer may have been lost with its path.
 */
#ifndef XLC_SEC_H
#define XLC_SEC_H

#include <stdbool.h>
#include <stdint.h>

/**
 * enum sec_state - see the picture above
 * @SEC_SYNCING: the first copy arrives; nothing could run
 * @SEC_PAIRED: a whole epoch is here and applied
 * @SEC_DECIDING: one way: no epoch is accepted any more; waits for the
 *                verdict (an arbiter's; without one it comes at once)
 * @SEC_OPENING: our copy is the one that runs; being made ready
 * @SEC_OPEN: the guest runs here
 * @SEC_DROPPED: our copy will never run
 * @SEC_FAILED: our copy is of no use; will never run
 * @SEC_ASIDE: the guest ran here, and the primary turned out to run it too:
 *             ours is paused and on no bridge
 * @SEC_OVER: the guest ran here and is gone
 */
enum sec_state {
    SEC_SYNCING,
    SEC_PAIRED,
    SEC_DECIDING,
    SEC_OPENING,
    SEC_OPEN,
    SEC_DROPPED,
    SEC_FAILED,
    SEC_ASIDE,
    SEC_OVER,
    SEC_NSTATES,
};

/**
 * enum sec_ev - what can happen
 * @SEC_EV_WHOLE: epoch @n arrived whole and its hash is right
 * @SEC_EV_WHOLE_FINAL: the same, and it is the last of a planned failover
 * @SEC_EV_APPLIED: the restore has taken epoch @n in
 * @SEC_EV_SILENCE: nothing was heard on any path for the limit
 * @SEC_EV_VERDICT_RUN: the arbiter (or its absence) says: run
 * @SEC_EV_VERDICT_DROP: the arbiter says: do not run
 * @SEC_EV_DROP: the primary goes on alone
 * @SEC_EV_END: the guest ended on the primary
 * @SEC_EV_YOURS: the primary's copy stands still and leaves the guest to us
 * @SEC_EV_SOLO: the primary runs the guest alone, its output is open (its
 *               heartbeat says PRIM_SOLO)
 * @SEC_EV_FAILOVER: somebody here wants a planned failover
 * @SEC_EV_STOP: somebody here wants the copy gone
 * @SEC_EV_RESTORE_ENDED: the restore ended although nobody asked it to
 * @SEC_EV_VIOLATION: a frame from the primary made no sense
 * @SEC_EV_OPENED: the guest was let go here
 * @SEC_EV_OPEN_FAILED: it could not be
 * @SEC_EV_LET_GO: the administrator lets the guest, which stood aside, go on
 * @SEC_EV_GUEST_GONE: the guest that ran here is gone
 */
enum sec_ev {
    SEC_EV_WHOLE,
    SEC_EV_WHOLE_FINAL,
    SEC_EV_APPLIED,
    SEC_EV_SILENCE,
    SEC_EV_VERDICT_RUN,
    SEC_EV_VERDICT_DROP,
    SEC_EV_DROP,
    SEC_EV_END,
    SEC_EV_YOURS,
    SEC_EV_SOLO,
    SEC_EV_FAILOVER,
    SEC_EV_STOP,
    SEC_EV_RESTORE_ENDED,
    SEC_EV_VIOLATION,
    SEC_EV_OPENED,
    SEC_EV_OPEN_FAILED,
    SEC_EV_LET_GO,
    SEC_EV_GUEST_GONE,
    SEC_NEVENTS,
};

/* What to do, in this order. */
#define SEC_DO_FEED          0x001u /* give the newest whole epoch to the
                                     * restore (of epoch 1: what is left) */
#define SEC_DO_ACK           0x002u /* acknowledge @accepted */
#define SEC_DO_DECIDE        0x004u /* get a verdict */
#define SEC_DO_ABORT         0x008u /* the copy goes; domain destroyed */
#define SEC_DO_OPEN          0x010u /* finish the restore and run it */
#define SEC_DO_SEND_DROPPED  0x020u
#define SEC_DO_SEND_ENDED    0x040u
#define SEC_DO_SEND_SWAP     0x080u
#define SEC_DO_SEND_PROMOTED 0x100u
#define SEC_DO_SEND_FAILED   0x200u
#define SEC_DO_FINISH        0x400u /* over, but for what is asked again */
#define SEC_DO_ASIDE         0x800u /* off the bridge, then pause; keep it */
#define SEC_DO_REJOIN        0x1000u /* back to the bridge */

/**
 * struct sec - the machine
 * @state: now
 * @accepted: newest epoch that counts; what would run
 * @acked: newest epoch acknowledged to the primary
 * @applied: newest epoch the restore has taken in
 * @waiting: epoch that is whole but waits for @accepted to be applied (epoch
 *           1: to be applied itself), or 0
 * @waiting_final, @final: it is the last one of a planned failover
 * @ended: END was heard (then DROPPED answers ENDED)
 * @opened: how often the guest was let go here: what was said before it was
 *          is no news about whoever else may run it now
 * @violations: events that made no sense in the state they met
 */
struct sec {
    enum sec_state state;
    uint64_t accepted, acked, applied, waiting;
    bool waiting_final, final, ended;
    unsigned int opened, violations;
};

void sec_init(struct sec *s);

/**
 * sec_event() - something happened
 * @ev: what
 * @n: its epoch, where the event has one
 *
 * Return: SEC_DO_* bits
 */
unsigned int sec_event(struct sec *s, enum sec_ev ev, uint64_t n);

/* True if the copy will never run. */
bool sec_out(const struct sec *s);

/* "paired", …: for status, events and logs. */
const char *sec_state_name(enum sec_state s);

/* Its number on the wire: enum proto_sec_state. */
uint8_t sec_state_wire(enum sec_state s);

#endif
