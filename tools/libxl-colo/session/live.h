/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * live.h - Change how a guest is protected while it is
 *
 * What `xl remus-set` sends: keys of policy_keys[], and "mode". Which of them
 * matter depends on what runs: while the copy does not run beside the guest,
 * only the interval does, and the others are refused rather than forgotten.
 * Pure: no I/O.
 */
#ifndef XLC_LIVE_H
#define XLC_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "policy-set.h"

/* @k can be changed while the copy runs beside the guest (@colo), or not. */
bool live_matters(const struct policy_key *k, bool colo);

/**
 * live_parse() - read what `xl remus-set` sent
 * @set: changed only if all of it makes sense
 * @colo: the copy runs beside the guest
 * @text: "key=value key=value", one or more, one blank between
 * @err: names the key, its value and what it may be
 *
 * Return: 0 or -EINVAL
 */
int live_parse(struct policy_set *set, bool colo, const char *text,
               struct xlc_error *err);

/**
 * live_changes() - what differs, for the log
 * @text: "interval 200 -> 50 milliseconds", or "" if nothing does
 */
void live_changes(char *text, size_t size, const struct policy_set *was,
                  const struct policy_set *is);

#endif
