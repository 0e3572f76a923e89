/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clocknote.c - How far a domain's clock is ahead of its host's */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clocknote.h"
#include "number.h"

static void name(char path[48], uint32_t domid)
{
    snprintf(path, 48, "/libxl/%u/xl-colo-clock", domid);
}

bool clocknote_write(struct xs_handle *xsh, uint32_t domid, int32_t ahead_s)
{
    char path[48], text[16];

    name(path, domid);
    snprintf(text, sizeof(text), "%d", ahead_s);
    return xs_write(xsh, XBT_NULL, path, text, (unsigned int)strlen(text));
}

bool clocknote_read(struct xs_handle *xsh, uint32_t domid,
                    int32_t *ahead_s_r)
{
    CLEANUP_FREE char *text = NULL;
    bool negative;
    char path[48];
    uint64_t v;

    name(path, domid);
    text = xs_read(xsh, XBT_NULL, path, NULL);
    if (!text) return false;
    negative = *text == '-';
    if (!number_parse(text + negative, &v) || v > INT32_MAX) return false;
    *ahead_s_r = negative ? -(int32_t)v : (int32_t)v;
    return true;
}
