/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-record.c - The file of a guest, after whatever happened to the disk
 *
 * What is believed is whole and within its bounds; what is refused comes with
 * a sentence and leaves the record as it was.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "proto.h"
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

/* Terminated within @size octets. */
static bool ends(const char *s, size_t size)
{
    return memchr(s, 0, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = malloc(size + 1);
    struct xlc_error err = XLC_ERROR_INIT;
    struct record r, before;
    int rc;

    MUST(text);
    if (size) memcpy(text, data, size);
    text[size] = 0;
    memset(&r, 0x5a, sizeof(r));
    before = r;
    rc = record_parse(&r, text, &err);
    if (rc) {
        MUST(rc == -EINVAL && err.status == rc && err.msg[0]);
        MUST(!memcmp(&r, &before, sizeof(r)));
        return 0;
    }
    MUST(!err.status);
    MUST(ends(r.uuid, sizeof(r.uuid)) && strlen(r.uuid) == 36);
    MUST(ends(r.name, sizeof(r.name)) && ends(r.state, sizeof(r.state)));
    MUST(ends(r.peer, sizeof(r.peer)));
    MUST(r.generation <= INT64_MAX && r.epoch <= INT64_MAX);
    MUST(r.role == PROTO_ROLE_PRIMARY || r.role == PROTO_ROLE_SECONDARY);
    return 0;
}
