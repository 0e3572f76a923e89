/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guard.h - Stock commands that a protected domain must be asked about first
 *
 * A table of the commands that change a domain or its devices. On a domain
 * that is not protected they cost one look into a directory. On a protected
 * one they are refused with a sentence that says how to end protection; only
 * shutdown and reboot end it themselves, and then go on.
 */
#ifndef XL_GUARD_H
#define XL_GUARD_H

#include <stdbool.h>

#include "control.h"

/**
 * struct guarded - a stock command
 * @name: it
 * @letters: its options as stock gives them to getopt_long()
 * @longs: its long options, without argument, or NULL
 * @why: why it is refused on a protected domain; NULL: it ends protection
 *       and is then run
 * @op: for that
 */
struct guarded {
    const char *name;
    const char *letters;
    const char *const *longs;
    const char *why;
    enum control_op op;
};

/**
 * guarded_find() - is this a command of the table?
 * @name: as typed; stock takes abbreviations
 * @exact_r: it was written out
 *
 * Return: NULL if not; of an abbreviation that could mean several, one
 */
const struct guarded *guarded_find(const char *name, bool *exact_r);

/**
 * guarded_operand() - which domain is it about?
 * @argc, @argv: from the command on; not changed
 * @domain_r: as typed; NULL for all of them (-a)
 *
 * Pure, and as stock does it: options and operands in any order.
 *
 * Return: false if stock would only print help or complain
 */
bool guarded_operand(const struct guarded *g, int argc, char *const *argv,
                     const char **domain_r);

/**
 * guard() - what has to be done before the distribution's xl is run
 * @argc, @argv: from the command on
 *
 * Return: -1 if it may be run; an exit status if not
 */
int guard(int argc, char **argv);

#endif
