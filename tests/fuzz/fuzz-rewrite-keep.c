/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-rewrite-keep.c - A table that another process kept, whatever is in it
 *
 * As it is, and with all checksums made right. What is refused leaves the
 * rewriter empty and the memory as it was; what is taken can be taken again by
 * the next process, with the same flows.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "cleanup.h"
#include "rewrite-keep.h"

#define FLOWS 64u
#define HDR 64u
#define HDR_SUMMED 16u
#define HALF 120u
#define HALF_SUMMED 112u
#define ROOM 8192u
#define NOW UINT64_C(5000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

static struct rewrite *new_one(void)
{
    struct rewrite_opts opts = REWRITE_OPTS_INIT;
    struct rewrite *r = NULL;

    opts.flows = FLOWS;
    opts.held = PACKET_MAX;
    MUST(!rewrite_new(&r, &opts, NULL));
    return r;
}

static size_t look(struct rewrite *r, uint8_t *buf)
{
    size_t len;

    MUST(!rewrite_export(r, buf, ROOM, &len, NOW, NULL));
    return len;
}

/* The process that took it over dies, too. */
static void once_more(struct rewrite *r, uint8_t *mem, size_t size)
{
    static uint8_t had[ROOM], got[ROOM];
    size_t nhad, ngot;
    struct rewrite *next = new_one();

    nhad = look(r, had);
    MUST(!rewrite_keep_recover(next, mem, size, NOW, NULL));
    ngot = look(next, got);
    MUST(nhad == ngot && !memcmp(had, got, ngot));
    rewrite_tick(next, NOW + UINT64_C(1000000000000000));
    rewrite_cut(next, NOW);
    MUST(rewrite_live(next) <= FLOWS);
    rewrite_free(next);
}

static void try(uint8_t *mem, size_t size)
{
    CLEANUP_FREE uint8_t *before = malloc(size + 1);
    struct xlc_error err = XLC_ERROR_INIT;
    struct rewrite *r = new_one();
    int rc;

    MUST(before);
    memcpy(before, mem, size);
    rc = rewrite_keep_recover(r, mem, size, NOW, &err);
    if (rc) {
        MUST((rc == -EPROTO || rc == -ENOSPC) && err.status == rc &&
             err.msg[0]);
        MUST(!rewrite_live(r) && !memcmp(before, mem, size));
    } else {
        once_more(r, mem, size);
    }
    rewrite_free(r);
}

static void seal(uint8_t *at, size_t summed, uint64_t seed)
{
    uint64_t h = XXH64(at, summed, seed);

    for (unsigned int i = 8; i-- > 0; h >>= 8)
        at[summed + i] = (uint8_t)h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE uint8_t *mem = malloc(size + 1);

    MUST(mem);
    memcpy(mem, data, size);
    try(mem, size);
    memcpy(mem, data, size);
    if (size >= HDR) seal(mem, HDR_SUMMED, 0);
    for (size_t i = 0; HDR + (i + 1) * HALF <= size; i++)
        seal(mem + HDR + i * HALF, HALF_SUMMED, i / 2);
    try(mem, size);
    return 0;
}
