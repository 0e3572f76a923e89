/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * epochmem.h - The secondary's memory for an epoch: bounded and reserved
 *
 * Theory of operation
 * -------------------
 * An epoch is kept whole until it is acknowledged, and an acknowledgement
 * promises that it can be applied (RULES B2). So its memory is real before
 * that: address space up to the limit is set aside once, and pages are made
 * present, a step at a time, before octets go there, and only while the host
 * has memory to spare. What does not fit is an error before anything was
 * promised.
 *
 * The restore makes a copy of its own of all that it is given before it looks
 * at it. Therefore epochmem_give() returns each step to the host as soon as
 * the restore has it: the reservation moves over. Up to EPOCHMEM_KEEP stays
 * for the next epoch (less if the last ones were smaller), so that a steady
 * state allocates nothing; epochmem_reserve() looks whether the host has as
 * much for the restore.
 *
 * In all, an epoch of N octets costs N + EPOCHMEM_KEEP + EPOCHMEM_SLACK at
 * most, and N is at most the limit.
 */
#ifndef XLC_EPOCHMEM_H
#define XLC_EPOCHMEM_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define EPOCHMEM_STEP  ((uint64_t)4 << 20)
#define EPOCHMEM_KEEP  ((uint64_t)64 << 20)
/* What the restore needs to work on an epoch, besides the epoch. */
#define EPOCHMEM_SLACK ((uint64_t)8 << 20)
/* Left to the host's other programs, always. */
#define EPOCHMEM_FLOOR ((uint64_t)32 << 20)

struct epochmem;

/* Octets that the host has to spare; @opaque is of epochmem_new(). */
typedef uint64_t epochmem_spare(void *opaque);

/* Takes octets on; a negative errno stops. */
typedef int epochmem_sink(void *opaque, const uint8_t *data, size_t len,
                          struct xlc_error *err);

/* Octets that this host has to spare, as /proc/meminfo says; a host that does
 * not tell is trusted. */
uint64_t epochmem_spare_now(void);

/* The most octets that an epoch of a guest with @memory octets can have: each
 * page once, headers and machine state. */
uint64_t epochmem_bound(uint64_t memory);

/**
 * epochmem_new() - room for one epoch
 * @limit: octets; what is above is refused
 * @spare: NULL: as /proc/meminfo says
 *
 * Return: 0; -ENOMEM
 */
int epochmem_new(struct epochmem **m_r, uint64_t limit,
                 epochmem_spare *spare, void *opaque, struct xlc_error *err);

/* NULL is allowed. */
void epochmem_free(struct epochmem *m);

/**
 * epochmem_add() - keep @len more octets
 *
 * Return: 0; -EFBIG above the limit; -ENOMEM if this host has no room
 */
int epochmem_add(struct epochmem *m, const uint8_t *data, size_t len,
                 struct xlc_error *err);

/**
 * epochmem_reserve() - before the acknowledgement: can it be applied?
 *
 * Return: 0; -ENOMEM
 */
int epochmem_reserve(struct epochmem *m, struct xlc_error *err);

/**
 * epochmem_give() - give everything to @sink, in order, and be empty
 *
 * Return: 0, or what @sink failed with
 */
int epochmem_give(struct epochmem *m, epochmem_sink *sink, void *opaque,
                  struct xlc_error *err);

/* Octets of memory in use now; the limit. */
uint64_t epochmem_used(const struct epochmem *m);
uint64_t epochmem_limit(const struct epochmem *m);

#endif
