/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* step-stop.h - Where the functions of a running program are */
#ifndef STEP_STOP_H
#define STEP_STOP_H

#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/**
 * step_symbol() - the address of a function in a running program
 * @pid: the program; what it was started from has its symbols still
 * @name: of the function; static ones count, but a name that two functions
 *        have is refused
 * @at_r: where its first instruction is
 *
 * Return: 0 or a negative errno
 */
int step_symbol(pid_t pid, const char *name, uint64_t *at_r,
                struct xlc_error *err);

#endif
