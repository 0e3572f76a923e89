/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * domclock.h - Set the wall clock of a domain that stands still
 *
 * A guest reads it when it comes out of its suspend. Xen adds whole seconds to
 * its own clock for it, and tells nobody: a note says so to whoever protects
 * the guest later (clocknote.h).
 */
#ifndef XLC_DOMCLOCK_H
#define XLC_DOMCLOCK_H

#include <stdint.h>

#include "error.h"

/**
 * domclock_set() - @domid's clock is @ahead_s seconds ahead of this host's
 *
 * Return: 0; a negative errno with a sentence: the clock is set, or not, but
 * nobody will know
 */
int domclock_set(uint32_t domid, int32_t ahead_s, struct xlc_error *err);

#endif
