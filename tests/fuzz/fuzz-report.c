/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-report.c - An event log of anybody's
 *
 * It is refused with a sentence, or drawn: then the picture holds no markup
 * but its own. Lenient reading refuses nothing that has an event in it.
 */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

static void draw(const struct report *r)
{
    static const char *const ours[] = {
        "<svg ", "</svg>", "<style>", "</style>", "<title>", "</title>",
        "<rect ", "</rect>", "<text ", "</text>", "<path ", "</path>",
    };
    CLEANUP_FREE char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    MUST(out && !report_svg(out, r));
    fclose(out);
    MUST(strlen(text) == len);
    for (const char *s = text; (s = strchr(s, '<')); s++) {
        size_t i = 0;

        while (i < sizeof(ours) / sizeof(ours[0]) &&
               strncmp(s, ours[i], strlen(ours[i])))
            i++;
        MUST(i < sizeof(ours) / sizeof(ours[0]));
    }
}

static void try(const uint8_t *data, size_t size, bool lenient)
{
    CLEANUP_FREE struct report *r = calloc(1, sizeof(*r));
    struct xlc_error err = XLC_ERROR_INIT;
    const char *name = "log";
    FILE *f = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    int rc;

    MUST(r);
    if (!f) return;
    r->lenient = lenient;
    rc = report_read(r, &f, &name, 1, &err);
    fclose(f);
    MUST(!rc == !err.status && !rc == !err.msg[0]);
    if (lenient) MUST(!rc || rc == -ENODATA);
    if (!rc) draw(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try(data, size, false);
    try(data, size, true);
    return 0;
}
