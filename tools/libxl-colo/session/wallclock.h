/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wallclock.h - How far apart are the clocks of two hosts? (RULES C3)
 *
 * Theory of operation
 * -------------------
 * The peer says what time its clock shows (PROTO_CLOCK) with each heartbeat.
 * What it said is older than its arrival by the time on the way, so each word
 * is too low, never too high: the highest of the newest ones is the best. When
 * the peer's clock is set back, the old ones are soon forgotten.
 *
 * A hypervisor adds whole seconds to its own clock for a guest. They are those
 * that leave the smallest error, and change only when that error would become
 * larger than WALLCLOCK_ERROR_US: a difference of half a second would else go
 * one way at one checkpoint and the other way at the next.
 *
 * Pure: no clock of its own, no lock.
 */
#ifndef XLC_WALLCLOCK_H
#define XLC_WALLCLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

#define WALLCLOCK_SAMPLES  64u
#define WALLCLOCK_ERROR_US 600000
/* Clocks that differ by so much are worth a word. */
#define WALLCLOCK_FAR_US   1000000

/**
 * struct wallclock - what is known of the peer's clock; all zero at first
 * @diff_us: the newest differences, peer's clock minus ours; @n of them count,
 *           the next one goes to @at
 * @ahead_s: how far the guest's clock is ahead of the peer host's
 * @chosen: @offset_s was handed out
 * @told: that they are far apart
 */
struct wallclock {
    int64_t diff_us[WALLCLOCK_SAMPLES];
    unsigned int n, at;
    int32_t ahead_s, offset_s;
    bool chosen, told;
};

/**
 * wallclock_heard() - the peer's word
 * @now_us: this host's clock, microseconds since 1970
 *
 * Return: true if the two are far apart and that was not said before
 */
bool wallclock_heard(struct wallclock *w, const struct proto_clock *c,
                     uint64_t now_us);

/* The peer's clock minus ours. Return: false if nothing is known */
bool wallclock_diff(const struct wallclock *w, int64_t *diff_us_r);

/* Are the two far apart? A sentence about it, which is cut if it is too long
 * for @buf. */
bool wallclock_far(const struct wallclock *w, char *buf, size_t size);

/**
 * wallclock_offset() - what makes a guest's clock here the one that it has at
 * the peer
 * @offset_s_r: seconds to add to this host's clock
 *
 * Return: false if nothing is known
 */
bool wallclock_offset(struct wallclock *w, int32_t *offset_s_r);

#endif
