/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rig.h - Our compare engine, ready to be fed with frames of tests
 *
 * Time is a number that the test sets, so nothing has to be waited for.
 */
#ifndef XLC_TESTS_RIG_H
#define XLC_TESTS_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compare.h"

/* The late limit that the rig gives to the engine. */
#define RIG_LATE_MS 200u

/**
 * struct rig - an engine and its clock
 * @engine: the engine
 * @now: nanoseconds
 * @epoch: the epoch that runs
 */
struct rig {
    struct compare *engine;
    uint64_t now;
    uint64_t epoch;
};

/**
 * rig_fn() - called for each released frame
 * @ctx: the caller's
 * @p: the frame; the engine's again after the call
 */
typedef void rig_fn(void *ctx, const struct compare_packet *p);

/* What the rig starts an engine with. */
struct compare_opts rig_opts(void);

/* Start an engine in COLO mode with a connected secondary; NULL: rig_opts().
 * Aborts on failure. */
void rig_open(struct rig *r, const struct compare_opts *opts);

void rig_close(struct rig *r);

/* A frame of the primary's, its checksum perhaps @partial. Return: as
 * compare_primary(). */
int rig_primary(struct rig *r, const uint8_t *frame, size_t len, bool partial);

/* A frame of the secondary's, of the epoch that runs. */
int rig_secondary(struct rig *r, const uint8_t *frame, size_t len,
                  bool partial);

/* Time passes; ticks when the engine asked for it. */
void rig_wait(struct rig *r, unsigned int ms);

/* Take what was released. Return: how many frames. */
unsigned int rig_take(struct rig *r, rig_fn *fn, void *ctx);

/* A checkpoint from cut to commit; the secondary connects at once. */
void rig_checkpoint(struct rig *r);

/* Return: whether a checkpoint is wanted. */
bool rig_wanted(const struct rig *r);

/* The vnet header that a TAP gives for such a frame. */
struct packet_vnet rig_vnet(const uint8_t *frame, size_t len, bool partial);

#endif
