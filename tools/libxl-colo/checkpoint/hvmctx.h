/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hvmctx.h - Is an HVM context one that Xen can load into this domain?
 *
 * Xen loads a context record by record, and stops in the middle at one that
 * it does not like. Everything that can be seen from outside is looked at
 * before. Pure.
 */
#ifndef XLC_HVMCTX_H
#define XLC_HVMCTX_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* More than any domain has. */
#define HVMCTX_MAX (16u << 20)

/**
 * hvmctx_check() - well-formed, and for no more than @vcpus virtual CPUs
 *
 * A header first, the end last, no record twice, a state of a virtual CPU
 * among them.
 *
 * Return: 0; -EPROTO with a sentence
 */
int hvmctx_check(const uint8_t *ctx, size_t len, unsigned int vcpus,
                 struct xlc_error *err);

/**
 * hvmctx_fits() - can a checked context be loaded where @own was saved?
 * @own: a context that the hypervisor has just written
 *
 * A record of a type that @own does not have, or of another length, would
 * not load (but the lengths of the extended state and of the MSRs depend on
 * what the guest does).
 *
 * Return: 0; -EPROTO with a sentence
 */
int hvmctx_fits(const uint8_t *ctx, size_t len, const uint8_t *own,
                size_t own_len, struct xlc_error *err);

#endif
