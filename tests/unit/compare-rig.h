/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * compare-rig.h - An engine with a clock, and a list of all it released
 */
#ifndef XLC_TESTS_COMPARE_RIG_H
#define XLC_TESTS_COMPARE_RIG_H

#include "compare.h"
#include "frames.h"

#define MS UINT64_C(1000000)

/**
 * struct got - one released frame
 * @b: @len octets
 * @pk: parsed
 * @made: an acknowledgement that the engine made
 */
struct got {
    uint8_t *b;
    size_t len;
    struct packet_vnet vnet;
    struct packet pk;
    bool made;
};

/**
 * struct rig - an engine under test
 * @now: the time that all calls are given
 * @epoch: goes with the secondary's frames
 * @seq_off, @answered: likewise
 * @got: @n released frames, with room for @room
 */
struct rig {
    struct compare *c;
    uint64_t now, epoch;
    uint32_t seq_off;
    bool answered;
    struct got *got;
    size_t n, room;
};

/* COLO mode, the secondary's vif connected, epoch 0; @o may be NULL. */
void rig_start(struct rig *r, const struct compare_opts *o);
void rig_stop(struct rig *r);

/* Forget what was released so far. */
void rig_clear(struct rig *r);

/* A frame of the primary, the secondary. Return: released since the last
 * rig_clear() */
size_t rig_p(struct rig *r, const struct frame *f);
size_t rig_s(struct rig *r, const struct frame *f);

/* Cut to the next epoch; commit it and connect the secondary. */
void rig_cut(struct rig *r);
size_t rig_commit(struct rig *r);

/* Time passes; the clock's duties are done. Return: as rig_p() */
size_t rig_wait(struct rig *r, uint64_t ns);

/* Take what is ready. Return: as rig_p() */
size_t rig_drain(struct rig *r);

/* The reason why a checkpoint is wanted. */
enum compare_reason rig_wants(const struct rig *r);

struct compare_stats rig_stats(const struct rig *r);

/* Is released frame @i octet for octet @f? */
bool rig_is(const struct rig *r, size_t i, const struct frame *f);

#endif
