/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-rewrite-state.c - The rewriter's saved state, from wherever it comes
 *
 * As it is, and with its checksum made right. What is refused leaves the table
 * as it was; what is accepted is written down again octet for octet.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "cleanup.h"
#include "rewrite.h"

#define FLOWS 64u
#define SUM 8u
#define ROOM 8192u
#define NOW UINT64_C(5000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

static void try(struct rewrite *r, const uint8_t *data, size_t size)
{
    struct xlc_error err = XLC_ERROR_INIT;
    static uint8_t before[ROOM], after[ROOM];
    size_t nbefore, nafter;
    int rc;

    MUST(!rewrite_export(r, before, ROOM, &nbefore, NOW, NULL));
    rc = rewrite_import(r, data, size, NOW, &err);
    MUST(!rewrite_export(r, after, ROOM, &nafter, NOW, NULL));
    if (rc) {
        MUST((rc == -EPROTO || rc == -ENOSPC) && err.status == rc &&
             err.msg[0]);
        MUST(nbefore == nafter && !memcmp(before, after, nafter));
        return;
    }
    MUST(nafter == size && !memcmp(after, data, size));
    rewrite_tick(r, NOW + UINT64_C(1000000000000000));
    rewrite_cut(r, NOW);
    rewrite_failover(r, NOW);
    MUST(rewrite_live(r) <= FLOWS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rewrite_opts opts = REWRITE_OPTS_INIT;
    CLEANUP_FREE uint8_t *sealed = malloc(size + 1);
    struct rewrite *r = NULL;
    uint64_t h;

    opts.flows = FLOWS;
    opts.held = PACKET_MAX;
    MUST(sealed && !rewrite_new(&r, &opts, NULL));
    try(r, data, size);
    if (size >= SUM) {
        memcpy(sealed, data, size - SUM);
        h = XXH64(sealed, size - SUM, 0);
        for (unsigned int i = 1; i <= SUM; i++, h >>= 8)
            sealed[size - i] = (uint8_t)h;
        try(r, sealed, size);
    }
    rewrite_free(r);
    return 0;
}
