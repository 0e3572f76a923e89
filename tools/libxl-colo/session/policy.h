/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy.h - Which mode comes next, and when a checkpoint may be taken
 *
 * Theory of operation
 * -------------------
 * While the copy runs (COLO), a packet leaves as soon as both have said it;
 * what differs costs a checkpoint. While it does not (passive), every packet
 * waits for the next checkpoint. Which is better depends on what the guest
 * serves, so it is measured: how long the packets were held in each mode
 * (RULES C3). A mode that was never tried is judged by what a checkpoint
 * takes: half an interval, the pause and the way to the peer. Where COLO holds
 * longer, the octets that move each second have the last word: a stream of
 * much may wait in a long row, and be the faster for it.
 *
 *       SHORT_RUNS, TOO_LATE, HOLD_WORSE, SLOWER, LAGGING, LOST, PINNED
 *     COLO ------------------------------------------------------> PASSIVE
 *          <------------------------------------------------------
 *                      PROBE, FASTER, BACK, PINNED
 *
 * A switch is decided before the suspend, stands from then on, and takes
 * effect at the cut (RULES B6). For settle_ms after it, and after the copy is
 * back (RULES C1), nothing is measured and no other follows, except that a
 * copy that is gone can't run and a mode that the administrator pins is pinned.
 * A probe that fails doubles the time to the next.
 *
 * Pure: no I/O, no allocation, no clock. Times are microseconds of one clock
 * that never steps back. The caller serialises the calls.
 *
 * The caller, for each checkpoint: waits until policy_when(); suspends the
 * guest: policy_suspend(); at the cut: policy_cut() (if there is none, the
 * protection ends); when the peer has it: policy_committed(); when the copy
 * runs again: policy_lag(). In between, what the comparison and the network
 * say: policy_ask(), policy_released().
 */
#ifndef XLC_POLICY_H
#define XLC_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "policy-meter.h"
#include "policy-set.h"

enum policy_mode {
    POLICY_PASSIVE, /* the copy only takes checkpoints */
    POLICY_RUNNING, /* the copy runs, its packets are compared */
    POLICY_NMODES,
};

/**
 * enum policy_cause - why a checkpoint is made
 * @POLICY_NOTHING: none is asked for
 * @POLICY_INTERVAL: it was time, or the run limit ended a COLO run
 * @POLICY_SWITCH: to change the mode
 * @POLICY_MISCOMPARE: the two said different things
 * @POLICY_LATE: the copy did not say it in time
 * @POLICY_EXTRA: only the copy said it
 * @POLICY_FULL: the comparison's memory is at its bound
 * @POLICY_OUTPUT: output waits, and is not to wait for the interval
 * @POLICY_DEMAND: the administrator wants it
 * @POLICY_FINAL: the last one: a planned failover, or the guest ends
 */
enum policy_cause {
    POLICY_NOTHING,
    POLICY_INTERVAL,
    POLICY_SWITCH,
    POLICY_MISCOMPARE,
    POLICY_LATE,
    POLICY_EXTRA,
    POLICY_FULL,
    POLICY_OUTPUT,
    POLICY_DEMAND,
    POLICY_FINAL,
    POLICY_NCAUSES,
};

/**
 * enum policy_why - why the mode changes
 * @POLICY_STAY: it does not
 * @POLICY_PINNED: the administrator wants this mode
 * @POLICY_SHORT_RUNS: one COLO run after the other was short
 * @POLICY_TOO_LATE: the same, because the copy's packets came late
 * @POLICY_HOLD_WORSE: packets were held longer than checkpoints hold them
 * @POLICY_SLOWER: less moved than while only checkpoints were taken
 * @POLICY_FASTER: more had moved while the copy ran, whatever the hold
 * @POLICY_LAGGING: the copy took too long to be back after checkpoints
 * @POLICY_LOST: the copy can't run now
 * @POLICY_BACK: it can run again
 * @POLICY_PROBE: it is time to try whether COLO pays
 */
enum policy_why {
    POLICY_STAY,
    POLICY_PINNED,
    POLICY_SHORT_RUNS,
    POLICY_TOO_LATE,
    POLICY_HOLD_WORSE,
    POLICY_SLOWER,
    POLICY_FASTER,
    POLICY_LAGGING,
    POLICY_LOST,
    POLICY_BACK,
    POLICY_PROBE,
    POLICY_NWHYS,
};

/* "passive", "colo" */
const char *policy_mode_name(enum policy_mode m);
/* "miscompare", …: the "cause" of a checkpoint's event line. */
const char *policy_cause_name(enum policy_cause c);
/* "short-runs", …: the "why" of a mode's event line; and as a sentence. */
const char *policy_why_name(enum policy_why w);
const char *policy_why_text(enum policy_why w);

/**
 * struct policy - the state; all of it may be read, for the status
 * @set: the thresholds; may be changed at any time
 * @mode: what holds now; @next, @why: what the next cut brings
 * @deciding: between policy_suspend() and the cut
 * @alive: the copy can run; @returned: it came back and was not used yet
 * @probing: this COLO time is a probe
 * @begun_us: when the mode began; @resumed_us: when the guest last did
 * @back_us: since when the mode counts: when the copy that began to run could
 *           say something (policy_lag()), at most lag_limit_ms after the switch
 * @suspended_us, @pause_us, @commit_us: of the last checkpoint
 * @asked, @asked_us: a checkpoint is wanted, for this cause, since then
 * @taken: the cause of the checkpoint that is being made
 * @meter: for each mode
 * @kind: of the load; @kind_us: since when
 * @trial: COLO was left to see what checkpoints alone move
 * @worse_us: since when COLO holds longer, 0 if it does not
 * @early_us: until then the time of probes that came early is paid for
 * @short_runs, @late_runs: in a row; how many of them were late
 * @lag_us: of this run it was not back for so long
 * @lags: checkpoints in a row after which the copy lagged
 * @backoff_us, @probe_us: time between probes; when the next is due
 * @run_us: length of the last run; @paused_us, @ran_us: sums since the start
 * @switches, @probes, @paid: since the start; @causes: checkpoints by cause
 */
struct policy {
    struct policy_set set;
    enum policy_mode mode, next;
    enum policy_why why;
    bool deciding, alive, returned, probing, trial;
    uint64_t begun_us, back_us, resumed_us, suspended_us;
    uint64_t pause_us, commit_us;
    enum policy_cause asked, taken;
    uint64_t asked_us;
    struct policy_meter meter[POLICY_NMODES];
    struct policy_kind kind;
    uint64_t kind_us, worse_us, early_us;
    uint64_t lag_us;
    uint32_t short_runs, late_runs, lags;
    uint64_t backoff_us, probe_us;
    uint64_t run_us, paused_us, ran_us;
    uint64_t switches, probes, paid;
    uint64_t causes[POLICY_NCAUSES];
};

/**
 * policy_init() - begin
 * @set: checked, see policy_set_check()
 * @alive: the copy runs at this moment; passive if not, or if it is pinned
 */
void policy_init(struct policy *p, const struct policy_set *set, bool alive,
                 uint64_t now);

/* The administrator wants another mode; it comes with the next checkpoint. */
void policy_pin(struct policy *p, enum policy_wish wish);

/* The copy can run, or can no longer (RULES B2: it is being rebuilt). */
void policy_alive(struct policy *p, bool alive);

/* A checkpoint is wanted. A cause that counts for more replaces another; none
 * makes it come later. What the comparison says of a mode that has ended is
 * ignored. A cut covers what was asked for before it, but a demand only if it
 * came before the suspend. */
void policy_ask(struct policy *p, enum policy_cause cause, uint64_t now);

/**
 * policy_when() - when the next checkpoint is to begin
 *
 * A cause, or the interval, bounded below by the minimum run and the share
 * of its time that the guest may stand still; POLICY_FINAL is not.
 *
 * Return: a time; it is due if that is not after @now
 */
uint64_t policy_when(const struct policy *p, uint64_t now);

/**
 * policy_suspend() - a checkpoint begins: decide
 *
 * Return: its cause; @p->next and @p->why say which mode its cut brings
 */
enum policy_cause policy_suspend(struct policy *p, uint64_t now);

/* The cut: the guest is about to go on. Return: why the mode changed */
enum policy_why policy_cut(struct policy *p, uint64_t now);

/* The peer has the whole of the last checkpoint. */
void policy_committed(struct policy *p, uint64_t now);

/* @us after the cut the copy could say and hear something again. */
void policy_lag(struct policy *p, uint64_t us);

/* This left, or moved, since the last call. */
void policy_released(struct policy *p, const struct policy_left *l,
                     uint64_t now);

/* What a packet is held in a mode, as measured lately or, for the passive
 * one, as expected. Return: 0 if nothing is known. */
uint64_t policy_held_us(const struct policy *p, enum policy_mode m,
                        uint64_t now);

#endif
