/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy-meter.h - What one mode does for the clients, and what they do
 *
 * How long a packet is held says how a mode serves those who ask and wait for
 * the answer. It says nothing of a download: there packets wait in a long row
 * that moves on all the time, and what counts is how fast it moves. So a
 * meter takes both over the same time: the mean hold, and the octets that
 * moved each second. Octets count once: what TCP sends again moves nothing.
 *
 * A kind is what can be told of a load whatever the mode: how many octets come
 * with a packet, each way. When these are others, the load is another one.
 *
 * Pure: no I/O, no allocation, no clock.
 */
#ifndef XLC_POLICY_METER_H
#define XLC_POLICY_METER_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct policy_left - what left, or moved, since the last such report
 * @packets, @held_us: that left, how long they had been held together
 * @out: octets that clients were sent for the first time
 * @in: octets of theirs that were acknowledged for the first time
 */
struct policy_left {
    uint64_t packets, held_us, out, in;
};

/**
 * struct policy_meter - how one mode does
 * @sum: of the reports, halved now and then so that the newer count more;
 *       the octets more rarely
 * @moved, @span_us: packets and time of these octets
 * @halved_us, @leapt_us: when the one and the other was done
 * @told_us: when the last report came
 * @last_us, @last_at_us: the mean hold when the mode last ended, 0 if it never
 *                        said enough; and when that was
 * @rate, @rate_at_us: likewise, octets that moved in a second
 */
struct policy_meter {
    struct policy_left sum;
    uint64_t moved, span_us, halved_us, leapt_us, told_us;
    uint64_t last_us, last_at_us;
    uint64_t rate, rate_at_us;
};

/**
 * struct policy_kind - what sort of load it is
 * @out, @in: octets that come with a packet, bounded; 0: not known yet
 * @sum, @begun_us: what is being looked at, since when
 * @strikes: looks in a row that saw another kind
 */
struct policy_kind {
    uint64_t out, in;
    struct policy_left sum;
    uint64_t begun_us;
    uint32_t strikes;
};

/* Nothing counts but what comes after @now; the last mean and rate stay. */
void policy_meter_clear(struct policy_meter *m, uint64_t now);

void policy_meter_add(struct policy_meter *m, const struct policy_left *l,
                      uint64_t now);

/* Return: the mean hold, at least 1; 0 if fewer than @least packets left */
uint64_t policy_meter_mean(const struct policy_meter *m, uint32_t least,
                           uint64_t now);

/* Return: octets a second, at least 1; 0 if nothing left, or reports speak of
 * less than @least_us */
uint64_t policy_meter_rate(const struct policy_meter *m, uint64_t least_us);

/* Do packets carry what they can? Then it is a stream of much. */
bool policy_meter_bulk(const struct policy_meter *m);

/* May it be becoming another just now? */
bool policy_kind_doubt(const struct policy_kind *k, uint64_t now);

/**
 * policy_kind_add() - a report
 * @least: packets that say something
 *
 * Return: true if the load has become another
 */
bool policy_kind_add(struct policy_kind *k, const struct policy_left *l,
                     uint32_t least, uint64_t now);

#endif
