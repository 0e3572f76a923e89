/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stage.h - A fast local sink for what libxc saves, so that the network is
 * never inside the guest's pause
 *
 * Theory of operation
 * -------------------
 * xc_domain_save() writes into a pipe. A thread of this file reads it:
 *
 *   passing  the octets go on to the sink at once. For the first copy, while
 *            the guest runs: a slow network makes libxc wait, not the guest.
 *   holding  they are kept in memory, while the guest is suspended.
 *            stage_emit() gives them to the sink after it was resumed.
 *
 * Above its limit a holding stage gives the oldest octets to the sink already
 * (the guest waits; counted in @overflows). stage_settle() waits until all
 * that was written into the pipe so far has been read; it is called between
 * two writes of libxc, from the thread that writes.
 *
 * Once the sink has failed everything is read and thrown away, so that libxc
 * is never stuck in a write; stage_failed() tells.
 *
 * Chunks are kept for the next epoch: nothing is allocated in a steady state.
 */
#ifndef XLC_STAGE_H
#define XLC_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct stage;

/* Takes octets on; a negative errno stops everything. */
typedef int stage_sink(void *opaque, const uint8_t *data, size_t len,
                       struct xlc_error *err);

/**
 * stage_new() - a stage that passes
 * @limit: octets that a holding stage keeps
 */
int stage_new(struct stage **s_r, size_t limit, stage_sink *sink,
              void *opaque, struct xlc_error *err);

/* Ends the thread; what is still in the pipe is lost. NULL is allowed. */
void stage_free(struct stage *s);

/* The pipe's end to write to; stays the stage's. */
int stage_fd(const struct stage *s);

/* Wait until everything that was written has been read. */
void stage_settle(struct stage *s);

/* From here on hold, or pass. Only after stage_settle(). */
void stage_hold(struct stage *s, bool hold);

/**
 * stage_emit() - give everything that is held to the sink
 *
 * Only after stage_settle(). Return: 0, or what made the sink fail first
 */
int stage_emit(struct stage *s, struct xlc_error *err);

/* What the sink failed with, or 0. */
int stage_failed(struct stage *s, struct xlc_error *err);

/* Octets read since the start; octets held now; epochs above the limit. */
uint64_t stage_total(const struct stage *s);
size_t stage_held(const struct stage *s);
unsigned int stage_overflows(const struct stage *s);

#endif
