/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy-set.h - The thresholds of the mode policy, and a table of them
 *
 * One table names each threshold, its unit, its bounds and its default: the
 * command line, xl.cfg's colo="...", `xl remus-set`, the status and the
 * manual page all speak of the same names.
 */
#ifndef XLC_POLICY_SET_H
#define XLC_POLICY_SET_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/**
 * enum policy_wish - which mode the administrator wants
 * @POLICY_AUTO: whatever serves the clients better, as measured
 * @POLICY_COLO: the copy runs, whatever it costs
 * @POLICY_REMUS: the copy only takes checkpoints
 */
enum policy_wish {
    POLICY_AUTO,
    POLICY_COLO,
    POLICY_REMUS,
    POLICY_NWISHES,
};

/**
 * struct policy_set - what can be set, in the units of policy_keys[]
 * @wish: the mode
 * @interval_ms: passive: between the starts of two checkpoints
 * @run_limit_ms: a COLO run that nothing ends is ended after this
 * @min_run_ms: the guest runs at least this long between two checkpoints
 * @miscompare_wait_ms: a miscompare waits this long for others
 * @late_limit_ms: a packet that the other copy has not sent by then is late
 * @short_run_ms: a COLO run that the comparison ended sooner is short; counted
 *                from when the copy was back if that took longer
 * @short_runs: this many in a row speak against COLO
 * @settle_ms: what is measured so soon after a switch does not count
 * @hold_packets: fewer released packets say nothing about a mode
 * @hold_margin_percent: a mode must be better by this to be preferred
 * @paused_limit_percent: the most that the guest stands still for checkpoints
 * @lag_limit_ms: a copy that takes longer to be back after a checkpoint lags
 * @measure_ms: a mode is judged by no less than this
 * @probe_ms: passive for this long before COLO is tried (again)
 * @probe_max_ms: tries that fail double that, up to this
 * @probe_reset_ms: a COLO time of this length has paid: back to @probe_ms
 */
struct policy_set {
    enum policy_wish wish;
    uint32_t interval_ms;
    uint32_t run_limit_ms;
    uint32_t min_run_ms;
    uint32_t miscompare_wait_ms;
    uint32_t late_limit_ms;
    uint32_t short_run_ms;
    uint32_t short_runs;
    uint32_t settle_ms;
    uint32_t hold_packets;
    uint32_t hold_margin_percent;
    uint32_t paused_limit_percent;
    uint32_t lag_limit_ms;
    uint32_t measure_ms;
    uint32_t probe_ms;
    uint32_t probe_max_ms;
    uint32_t probe_reset_ms;
};

/**
 * struct policy_key - a threshold as people see it
 * @name: of the option and of the key, e.g. "min-run"
 * @unit: "milliseconds", "percent" or what is counted
 * @text: what it does, one sentence
 * @where: offset of its uint32_t in struct policy_set
 * @def, @min, @max: its default and its bounds
 */
struct policy_key {
    const char *name;
    const char *unit;
    const char *text;
    size_t where;
    uint32_t def, min, max;
};

/* Sorted by name; ends with a NULL name. @wish is none of them. */
extern const struct policy_key policy_keys[];

/* "auto", "colo", "remus" */
const char *policy_wish_name(enum policy_wish w);

/* Return: the wish of that name, or POLICY_NWISHES */
enum policy_wish policy_wish_find(const char *name);

/* Every default in place, and the wish "auto". */
void policy_set_init(struct policy_set *set);

/* Return: the key of that name, or NULL */
const struct policy_key *policy_key_find(const char *name);

/* What @set has for @key. */
uint32_t policy_set_get(const struct policy_set *set,
                        const struct policy_key *key);

/**
 * policy_set_put() - change one threshold
 * @set: untouched unless the whole of it still makes sense afterwards
 * @key: one of policy_keys[]
 * @value: in the key's unit
 * @err: names the key, the value and what it may be
 *
 * Return: 0 or -EINVAL
 */
int policy_set_put(struct policy_set *set, const struct policy_key *key,
                   uint64_t value, struct xlc_error *err);

/**
 * policy_set_check() - does the whole of it make sense?
 *
 * For thresholds that came in any order and are judged at the end.
 *
 * Return: 0 or -EINVAL with the sentence
 */
int policy_set_check(const struct policy_set *set, struct xlc_error *err);

#endif
