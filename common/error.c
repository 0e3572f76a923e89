/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.c - Errors as values: a status and one sentence */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

int xlc_error_set(struct xlc_error *err, int status, const char *fmt, ...)
{
    va_list ap;

    if (!err) return status;
    if (err->status) return err->status;
    err->status = status;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    return status;
}

int xlc_error_wrap(struct xlc_error *err, const char *fmt, ...)
{
    char old[XLC_ERROR_MAX];
    size_t at;
    va_list ap;
    int n;

    if (!err) return -1;
    memcpy(old, err->msg, sizeof(old));
    va_start(ap, fmt);
    n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    at = n < 0 ? 0 : (size_t)n;
    if (at + 2 < sizeof(err->msg)) { /* what does not fit is cut off */
        size_t room = sizeof(err->msg) - at - 3, len = strlen(old);

        if (len > room) len = room;
        memcpy(err->msg + at, ": ", 2);
        memcpy(err->msg + at + 2, old, len);
        err->msg[at + 2 + len] = 0;
    }
    return err->status;
}

void xlc_error_clear(struct xlc_error *err)
{
    err->status = 0;
    err->msg[0] = 0;
}

void xlc_sanitise(char *dst, unsigned int size, const void *src,
                  unsigned int len)
{
    const unsigned char *s = src;
    unsigned int i, n;

    if (!size) return;
    n = len < size - 1 ? len : size - 1;
    for (i = 0; i < n; i++)
        dst[i] = s[i] >= 0x20 && s[i] < 0x7f ? (char)s[i] : '?';
    dst[n] = 0;
}
