/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* progress.c - How far the first copy of the memory is, in words */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include "progress.h"

#define PAGE 4096u

int progress_percent(const struct progress *p)
{
    if (!p->all) return 0;
    return p->sent >= p->all ? 99 :
           (int)((double)p->sent * 100 / (double)p->all);
}

/* Octets of this pass. */
static uint64_t left(const struct progress *p)
{
    uint64_t all = p->pass > 1 ? p->pages * PAGE : p->all;
    uint64_t sent = p->pass > 1 ? p->sent - p->from : p->sent;

    return all > sent ? all - sent : 0;
}

void progress_text(char *buf, size_t size, const struct progress *p)
{
    uint64_t rate = p->ms ? p->sent / p->ms : 0; /* kB/s */
    uint64_t rest = left(p), kb = rest / 1000 + !!(rest % 1000);
    int n = snprintf(buf, size, "%3d %%  %" PRIu64 ".%" PRIu64 " MB/s",
                     progress_percent(p), rate / 1000, rate % 1000 / 100);

    if (n < 0 || (size_t)n >= size) return;
    buf += n;
    size -= (size_t)n;
    if (p->cut)
        snprintf(buf, size, "  waiting for the other host");
    else if (!rest)
        snprintf(buf, size, "  the last pages");
    else if (p->pass > 1)
        snprintf(buf, size, "  written meanwhile: %" PRIu64 ".%" PRIu64
                 " MB left", rest / 1000000, rest % 1000000 / 100000);
    else if (rate)
        snprintf(buf, size, "  ETA %" PRIu64 " s", (kb + rate - 1) / rate);
}
