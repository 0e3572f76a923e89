/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rng.h - Random numbers that a printed seed brings back */
#ifndef XLC_TESTS_RNG_H
#define XLC_TESTS_RNG_H

#include <stdbool.h>
#include <stdint.h>

/* The next number of the sequence at @state (splitmix64). */
static inline uint64_t rng_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Return: a number from 0 to @n - 1. */
static inline uint32_t rng_below(uint64_t *state, uint32_t n)
{
    return (uint32_t)((rng_next(state) >> 32) * n >> 32);
}

/* Return: true once in @n times. */
static inline bool rng_once_in(uint64_t *state, uint32_t n)
{
    return rng_below(state, n) == 0;
}

#endif
