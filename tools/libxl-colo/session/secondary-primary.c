/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secondary-primary.c - A takeover that can't be made: what of the primary? */
#include <config.h>

#include "clock.h"
#include "secondary.h"

/* A primary that was silent, and whose copy is dead, is waited for: so many
 * times the limit, but not longer than this; a longer limit, as long as that,
 * but not longer than the longest pause after which TCP tries again. A primary
 * that can be heard at all is heard by then: its guest is not called dead. */
#define DEAD_LIMITS 10u
#define DEAD_MS     60000u
#define DEAD_MS_MAX 120000u

static bool heard(const struct secondary *s)
{
    return paths_silence_ms(&s->paths, clock_ms()) < s->hello.limit_ms;
}

bool secondary_primary_waits(const struct secondary *s)
{
    switch (s->peer_beat.state) {
    case PROTO_PRIM_YIELDING:
    case PROTO_PRIM_HANDING:
    case PROTO_PRIM_DROPPING: /* nor is it over without an answer */
    case PROTO_PRIM_ENDING:
        return heard(s);
    default:
        return false;
    }
}

bool secondary_primary_there(const struct secondary *s)
{
    switch (s->peer_beat.state) {
    case PROTO_PRIM_GONE:
    case PROTO_PRIM_YIELDED:
    case PROTO_PRIM_STUCK:
        return false;
    default:
        return heard(s);
    }
}

uint64_t secondary_primary_wait_ms(const struct secondary *s)
{
    uint64_t limit = s->hello.limit_ms, ms = DEAD_LIMITS * limit;

    if (ms > DEAD_MS) ms = DEAD_MS;
    if (ms < limit) ms = limit;
    return ms < DEAD_MS_MAX ? ms : DEAD_MS_MAX;
}
