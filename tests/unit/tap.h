/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tap.h - A test that prints TAP, in one header
 *
 * ok(a == b, "what this shows %d", n);
 * skip("why not here");
 * return done_testing();
 */
#ifndef XLC_TESTS_TAP_H
#define XLC_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned int tap_count, tap_failures;

/* One line of TAP. Return: @pass, so that a test can stop early. */
static inline bool __attribute__((format(printf, 2, 3)))
ok(bool pass, const char *fmt, ...)
{
    va_list ap;

    tap_failures += !pass;
    printf("%sok %u - ", pass ? "" : "not ", ++tap_count);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
    return pass;
}

static inline void skip(const char *why)
{
    printf("ok %u # SKIP %s\n", ++tap_count, why);
    fflush(stdout);
}

/* The plan. Return: the test's exit status. */
static inline int done_testing(void)
{
    printf("1..%u\n", tap_count);
    return tap_failures != 0;
}

#endif
