/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wants.h - What the comparison wants, in the policy's words
 *
 * Pure: no I/O.
 */
#ifndef XLC_WANTS_H
#define XLC_WANTS_H

#include <stddef.h>

#include "compare.h"
#include "policy.h"

/* Room for wants_flow(), with the vif in front. */
#define WANTS_FLOW_MAX 160

/* Return: POLICY_NOTHING for COMPARE_OK */
enum policy_cause wants_cause(enum compare_reason reason);

/**
 * wants_flow() - the connection that a checkpoint is wanted for, for people
 * @text: "vif 0: tcp 10.0.0.1:80 > 10.0.0.2:4711", or "" if there is none
 */
void wants_flow(char text[WANTS_FLOW_MAX], unsigned int vif,
                const struct compare_want *want);

#endif
