/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* number.c - Numbers that people and other programs write */
#include <config.h>

#include "number.h"

bool number_parse(const char *s, uint64_t *v_r)
{
    uint64_t v = 0;

    if (!*s) return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9') return false;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
            return false;
    }
    *v_r = v;
    return true;
}
