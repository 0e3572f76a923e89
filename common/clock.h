/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock.h - The clocks, in the units this project uses */
#ifndef XLC_CLOCK_H
#define XLC_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Microseconds of CLOCK_MONOTONIC. Pure code never calls this: it is given
 * the time as a parameter. */
static inline uint64_t clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static inline uint64_t clock_ms(void)
{
    return clock_us() / 1000u;
}

/* A time of clock_us(), or so many microseconds, as the C library has it. */
static inline struct timespec clock_timespec(uint64_t us)
{
    return (struct timespec){ .tv_sec = (time_t)(us / 1000000u),
                              .tv_nsec = (long)(us % 1000000u) * 1000 };
}

/* What the host's clock shows: microseconds since 1970, UTC. */
static inline uint64_t clock_wall_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

#endif
