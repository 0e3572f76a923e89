/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-records.c - A migration stream from a peer that means no good
 *
 * The first octet is the size of pieces, the second tells after how many
 * pieces the next epoch starts, if the first is complete. What comes out must
 * not depend on the pieces.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

static const uint8_t checkpoint[RECORDS_REC_HDR] = { 0x0e };

/* Up to @size octets, @piece at a time. Return: as records_feed() */
static int feed(struct records *r, const uint8_t *data, size_t size,
                size_t piece, struct xlc_error *err)
{
    while (size) {
        size_t n = size < piece ? size : piece;
        /* A block of its own, so that reading beyond the piece is seen. */
        CLEANUP_FREE uint8_t *block = malloc(n);
        int rc;

        MUST(block);
        memcpy(block, data, n);
        rc = records_feed(r, block, n, err);
        MUST(rc ? rc == -EPROTO && err->msg[0] : !err->status);
        if (rc) return rc;
        MUST(r->tsc_have <= RECORDS_TSC_LEN);
        data += n;
        size -= n;
    }
    return 0;
}

/* Both epochs. Return: as records_feed() */
static int feed_two(struct records *r, const uint8_t *data, size_t size,
                    size_t cut, size_t piece, struct xlc_error *err)
{
    int rc;

    records_init(r);
    rc = feed(r, data, cut, piece, err);
    if (rc) return rc;
    if (r->complete) {
        MUST(!memcmp(data + cut - 8, checkpoint, sizeof(checkpoint)));
        records_next_epoch(r);
        MUST(!r->complete && !r->pages);
    }
    rc = feed(r, data + cut, size - cut, piece, err);
    if (!rc && r->complete)
        MUST(!memcmp(data + size - 8, checkpoint, sizeof(checkpoint)));
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xlc_error e1 = XLC_ERROR_INIT, e2 = XLC_ERROR_INIT;
    struct records r1, r2;
    size_t piece, cut;
    int rc1, rc2;

    if (size < 2) return 0;
    piece = data[0] ? data[0] : 1;
    cut = data[1] * piece;
    data += 2;
    size -= 2;
    if (cut > size) cut = size;
    rc1 = feed_two(&r1, data, size, cut, size ? size : 1, &e1);
    rc2 = feed_two(&r2, data, size, cut, piece, &e2);
    MUST(rc1 == rc2 && !strcmp(e1.msg, e2.msg));
    if (rc1) return 0;
    MUST(r1.started == r2.started && r1.complete == r2.complete);
    MUST(r1.pages == r2.pages && r1.body_left == r2.body_left);
    MUST(r1.tsc_have == r2.tsc_have);
    MUST(!memcmp(r1.tsc, r2.tsc, sizeof(r1.tsc)));
    return 0;
}
