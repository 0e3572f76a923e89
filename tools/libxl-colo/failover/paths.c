/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* paths.c - Is the other host there? Silence on every path, and only that */
#include <config.h>

#include "paths.h"

void paths_init(struct paths *p, uint64_t limit_ms, uint64_t now_ms)
{
    *p = (struct paths){ .limit_ms = limit_ms, .tick_ms = now_ms };
    p->heard_ms[0] = now_ms;
    p->used[0] = true;
}

void paths_heard(struct paths *p, unsigned int i, uint64_t now_ms)
{
    if (i >= PATHS_MAX) return;
    p->used[i] = true;
    p->heard_ms[i] = now_ms;
}

uint64_t paths_silence_ms(const struct paths *p, uint64_t now_ms)
{
    uint64_t newest = 0;

    for (unsigned int i = 0; i < PATHS_MAX; i++)
        if (p->used[i] && p->heard_ms[i] > newest) newest = p->heard_ms[i];
    return now_ms > newest ? now_ms - newest : 0;
}

/* Count the silence from @gap ms later, at the latest from @now_ms. */
static void forgive(struct paths *p, uint64_t gap, uint64_t now_ms)
{
    for (unsigned int i = 0; i < PATHS_MAX; i++) {
        if (!p->used[i]) continue;
        p->heard_ms[i] = gap < now_ms - p->heard_ms[i] ?
                         p->heard_ms[i] + gap : now_ms;
    }
}

static bool is_late(const struct paths *p, uint64_t gap)
{
    return gap >= p->limit_ms - p->limit_ms / 2;
}

bool paths_fresh(const struct paths *p, uint64_t now_ms)
{
    return !is_late(p, now_ms - p->tick_ms) &&
           (!p->late || now_ms - p->late_ms >= p->limit_ms);
}

bool paths_tick(struct paths *p, uint64_t now_ms)
{
    uint64_t gap = now_ms - p->tick_ms; /* huge if the clock stepped back */

    p->tick_ms = now_ms;
    if (is_late(p, gap)) {
        p->late = true;
        p->late_ms = now_ms;
    }
    if (gap >= p->limit_ms) {
        /* We were not looking: what we did not hear proves nothing. */
        forgive(p, UINT64_MAX, now_ms);
        return false;
    }
    /* The same, but shorter: a host that stalls for most of the limit has
     * not taken its peer's packets off the wire yet when it goes on. */
    if (is_late(p, gap)) forgive(p, gap, now_ms);
    return paths_silence_ms(p, now_ms) >= p->limit_ms;
}
