/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy-set.c - The thresholds of the mode policy, and a table of them */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "policy-set.h"
#include "xlcolo.h"

#define AT(field) .where = offsetof(struct policy_set, field)
#define MS        .unit = "milliseconds"

const struct policy_key policy_keys[] = {
    { "hold-margin", .unit = "percent", AT(hold_margin_percent),
      .def = 10, .min = 0, .max = 90,
      .text = "A mode must hold packets for this much less to be preferred." },
    { "hold-packets", .unit = "packets", AT(hold_packets),
      .def = 20, .min = 1, .max = 100000,
      .text = "Fewer released packets say nothing about a mode." },
    { "interval", MS, AT(interval_ms),
      .def = XLC_INTERVAL_MS_DEFAULT, .min = 10, .max = 60000,
      .text = "Checkpoint this often while the copy does not run." },
    { "lag-limit", MS, AT(lag_limit_ms),
      .def = 1000, .min = 10, .max = 60000,
      .text = "A copy that takes longer to be back after a checkpoint "
              "lags." },
    { "late-limit", MS, AT(late_limit_ms),
      .def = 200, .min = 1, .max = 60000,
      .text = "A packet waits this long for the copy's, then a checkpoint "
              "is made." },
    { "measure", MS, AT(measure_ms),
      .def = 1500, .min = 1, .max = 60000,
      .text = "A mode that has settled is measured for at least this long." },
    { "min-run", MS, AT(min_run_ms),
      .def = 100, .min = 1, .max = 60000,
      .text = "The guest runs at least this long between two checkpoints of "
              "COLO." },
    { "miscompare-wait", MS, AT(miscompare_wait_ms),
      .def = 5, .min = 0, .max = 1000,
      .text = "A miscompare waits this long for others, then a checkpoint "
              "is made." },
    { "paused-limit", .unit = "percent", AT(paused_limit_percent),
      .def = 30, .min = 1, .max = 90,
      .text = "The most of its time that the guest stands still for "
              "checkpoints." },
    { "probe", MS, AT(probe_ms),
      .def = 5000, .min = 100, .max = 3600000,
      .text = "COLO is tried again after this long." },
    { "probe-max", MS, AT(probe_max_ms),
      .def = 60000, .min = 100, .max = 86400000,
      .text = "Tries that fail double that, up to this." },
    { "probe-reset", MS, AT(probe_reset_ms),
      .def = 30000, .min = 100, .max = 86400000,
      .text = "A try that lasts this long has paid: the next one comes soon "
              "again." },
    { "run-limit", MS, AT(run_limit_ms),
      .def = 20000, .min = 10, .max = 3600000,
      .text = "A COLO run that nothing ends is ended by a checkpoint." },
    { "settle", MS, AT(settle_ms),
      .def = 2000, .min = 0, .max = 60000,
      .text = "What is measured so soon after a switch does not count, and "
              "no other follows." },
    { "short-run", MS, AT(short_run_ms),
      .def = 400, .min = 1, .max = 60000,
      .text = "A COLO run that the comparison ended sooner is short." },
    { "short-runs", .unit = "runs", AT(short_runs),
      .def = 4, .min = 1, .max = 1000,
      .text = "So many short runs in a row speak against COLO." },
    { .name = NULL },
};

static const char *const wishes[POLICY_NWISHES] = {
    [POLICY_AUTO] = "auto",
    [POLICY_COLO] = "colo",
    [POLICY_REMUS] = "remus",
};

const char *policy_wish_name(enum policy_wish w)
{
    return (unsigned int)w < POLICY_NWISHES ? wishes[w] : "?";
}

enum policy_wish policy_wish_find(const char *name)
{
    unsigned int w = 0;

    while (w < POLICY_NWISHES && strcmp(wishes[w], name))
        w++;
    return w;
}

static uint32_t *place(struct policy_set *set, const struct policy_key *key)
{
    return (void *)((char *)set + key->where);
}

void policy_set_init(struct policy_set *set)
{
    memset(set, 0, sizeof(*set));
    set->wish = POLICY_AUTO;
    for (const struct policy_key *k = policy_keys; k->name; k++)
        *place(set, k) = k->def;
}

const struct policy_key *policy_key_find(const char *name)
{
    for (const struct policy_key *k = policy_keys; k->name; k++)
        if (!strcmp(k->name, name)) return k;
    return NULL;
}

uint32_t policy_set_get(const struct policy_set *set,
                        const struct policy_key *key)
{
    return *place((struct policy_set *)set, key);
}

int policy_set_put(struct policy_set *set, const struct policy_key *key,
                   uint64_t value, struct xlc_error *err)
{
    struct policy_set tried = *set;
    int r;

    if (value < key->min || value > key->max)
        return xlc_error_set(err, -EINVAL, "%s %" PRIu64 ": it must be %"
                             PRIu32 " to %" PRIu32 " %s", key->name, value,
                             key->min, key->max, key->unit);
    *place(&tried, key) = (uint32_t)value;
    r = policy_set_check(&tried, err);
    if (!r) *set = tried;
    return r;
}

/* @big may not be below @small. Return: 0 or -EINVAL */
static int ordered(const struct policy_set *set, const char *big,
                   const char *small, struct xlc_error *err)
{
    const struct policy_key *b = policy_key_find(big);
    const struct policy_key *s = policy_key_find(small);

    if (policy_set_get(set, b) >= policy_set_get(set, s)) return 0;
    return xlc_error_set(err, -EINVAL, "%s %" PRIu32 ": it must be at least "
                         "%s, which is %" PRIu32 " %s", big,
                         policy_set_get(set, b), small,
                         policy_set_get(set, s), s->unit);
}

int policy_set_check(const struct policy_set *set, struct xlc_error *err)
{
    int r = 0;

    if ((unsigned int)set->wish >= POLICY_NWISHES)
        return xlc_error_set(err, -EINVAL, "mode %d: there is no such mode",
                             (int)set->wish);
    for (const struct policy_key *k = policy_keys; k->name && !r; k++) {
        uint32_t v = policy_set_get(set, k);

        if (v < k->min || v > k->max)
            r = xlc_error_set(err, -EINVAL, "%s %" PRIu32 ": it must be %"
                              PRIu32 " to %" PRIu32 " %s", k->name, v,
                              k->min, k->max, k->unit);
    }
    if (!r) r = ordered(set, "probe-max", "probe", err);
    if (!r) r = ordered(set, "run-limit", "min-run", err);
    if (!r) r = ordered(set, "short-run", "min-run", err);
    return r;
}
