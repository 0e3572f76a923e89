/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xl-ask.h - A question to a running protection, and what came of it */
#ifndef XL_ASK_H
#define XL_ASK_H

#include "control.h"
#include "status.h"

/**
 * xl_ask() - ask, and wait for the answer
 * @s: whom
 * @args: what CONTROL_SET carries, NULL with every other
 * @timeout_ms: negative for ever
 * @err: its sentence, if it says no
 *
 * Return: 0; -EIO if it says no; -ECONNREFUSED or -ENOENT if it is gone;
 * another negative errno
 */
int xl_ask(const struct status *s, enum control_op op, const char *args,
           int timeout_ms, struct xlc_error *err);

#endif
