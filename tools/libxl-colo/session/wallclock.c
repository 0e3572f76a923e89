/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wallclock.c - How far apart are the clocks of two hosts? */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "wallclock.h"

#define SECOND 1000000

bool wallclock_heard(struct wallclock *w, const struct proto_clock *c,
                     uint64_t now_us)
{
    bool far;

    /* Both are below PROTO_CLOCK_MAX: this is not the end of the world. */
    if (now_us > PROTO_CLOCK_MAX) return false;
    w->diff_us[w->at] = (int64_t)c->host_us - (int64_t)now_us;
    w->at = (w->at + 1) % WALLCLOCK_SAMPLES;
    if (w->n < WALLCLOCK_SAMPLES) w->n++;
    w->ahead_s = c->ahead_s;
    if (w->n < WALLCLOCK_SAMPLES) return false; /* one may be late */
    far = !w->told && wallclock_far(w, NULL, 0);
    w->told |= far;
    return far;
}

bool wallclock_diff(const struct wallclock *w, int64_t *diff_us_r)
{
    int64_t most = INT64_MIN;

    for (unsigned int i = 0; i < w->n; i++)
        if (w->diff_us[i] > most) most = w->diff_us[i];
    if (w->n) *diff_us_r = most;
    return w->n;
}

bool wallclock_far(const struct wallclock *w, char *buf, size_t size)
{
    int64_t diff;

    if (!wallclock_diff(w, &diff) || llabs(diff) < WALLCLOCK_FAR_US)
        return false;
    snprintf(buf, size, "the other host's clock is %lld.%lld s %s this one's",
             llabs(diff) / SECOND, llabs(diff) / (SECOND / 10) % 10,
             diff < 0 ? "behind" : "ahead of");
    return true;
}

/* The nearest whole number of seconds. */
static int64_t nearest(int64_t us)
{
    return (us + (us < 0 ? -SECOND / 2 : SECOND / 2)) / SECOND;
}

bool wallclock_offset(struct wallclock *w, int32_t *offset_s_r)
{
    int64_t diff, s;

    if (!wallclock_diff(w, &diff)) return false;
    diff += (int64_t)w->ahead_s * SECOND;
    if (!w->chosen ||
        llabs(diff - (int64_t)w->offset_s * SECOND) > WALLCLOCK_ERROR_US) {
        s = nearest(diff);
        if (s > INT32_MAX) s = INT32_MAX;
        if (s < -INT32_MAX) s = -INT32_MAX;
        w->offset_s = (int32_t)s;
        w->chosen = true;
    }
    *offset_s_r = w->offset_s;
    return true;
}
