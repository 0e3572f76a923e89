/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-image.c - An image of a stream from a peer that means no good
 *
 * Pages are large, and inputs should be small: the octets 0xee V stand for a
 * page of V, 0xee 0xee for one octet of 0xee.
 *
 * An epoch that turns out whole is committed, and the rest is the next one; one
 * that is refused is aborted, and the image must be what it was. What comes out
 * must not depend on the pieces: one octet, or eight, which no record's end is
 * inside of.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PFNS 64u
#define UNPACKED_MAX (256u << 10)
#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

static const struct image_limits limits = {
    .pfns = PFNS, .pages = 48, .epoch_pages = 8, .vcpus = 2,
};

/* All that can be seen of an image, in one number. */
static uint64_t sum(const struct image *img)
{
    uint64_t h = image_epochs(img), pages = 0, value;
    const uint8_t *ctx;
    size_t len;

    for (uint64_t i = 0; i < PFNS; i++) {
        const uint8_t *p = image_page(img, i);

        pages += p != NULL;
        for (unsigned int k = 0; p && k < IMAGE_PAGE; k += 8) {
            uint64_t v;

            memcpy(&v, p + k, sizeof(v));
            h = (h ^ v) * 0x100000001b3ull;
            h ^= h >> 29;
        }
        h = (h ^ i) * 0x100000001b3ull;
    }
    MUST(pages == image_pages(img) && pages <= limits.pages);
    ctx = image_context(img, &len);
    for (size_t k = 0; k < len; k++)
        h = (h ^ ctx[k]) * 0x100000001b3ull;
    for (unsigned int i = 0; i < IMAGE_PARAMS; i++)
        if (image_param(img, i, &value)) h = (h ^ value) * 0x100000001b3ull;
    return (h ^ image_tsc(img)->nsec) * 0x100000001b3ull;
}

/* Octets up to the end of an epoch. Return: how many; *rc_r as image_feed() */
static size_t feed(struct image *img, const uint8_t *data, size_t size,
                   size_t piece, int *rc_r)
{
    struct xlc_error e = XLC_ERROR_INIT;
    size_t at = 0;

    *rc_r = 0;
    while (at < size && !*rc_r && !image_complete(img)) {
        size_t n = size - at < piece ? size - at : piece;
        /* A block of its own, so that reading beyond the piece is seen. */
        uint8_t *block = malloc(n);

        MUST(block);
        memcpy(block, data + at, n);
        *rc_r = image_feed(img, block, n, &e);
        free(block);
        MUST(*rc_r ? e.msg[0] && *rc_r == e.status : !e.status);
        at += n;
    }
    return at;
}

/* Everything, an octet or more at a time. Return: a number of the outcome */
static uint64_t run(const uint8_t *data, size_t size, size_t piece)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct image *img = NULL;
    uint64_t before, h = 0;

    MUST(!image_new(&img, &limits, &e));
    before = sum(img);
    while (size) {
        int rc;
        size_t n = feed(img, data, size, piece, &rc);

        if (!rc) rc = image_check(img, &e);
        if (!rc) {
            MUST(!image_commit(img, &e));
            before = sum(img);
        } else {
            /* The base is not whole before its commit, and gone after. */
            if (image_whole(img)) MUST(sum(img) == before);
            image_abort(img);
            MUST(sum(img) == before);
            h = h * 31 + (uint64_t)-rc;
            break;
        }
        data += n;
        size -= n;
    }
    h ^= sum(img);
    image_free(img);
    return h;
}

/* Return: the stream that the input stands for; free() it */
static uint8_t *unpack(const uint8_t *data, size_t size, size_t *len_r)
{
    uint8_t *b = malloc(UNPACKED_MAX);
    size_t n = 0;

    MUST(b);
    for (size_t i = 0; i < size && n + IMAGE_PAGE < UNPACKED_MAX; i++) {
        if (data[i] != 0xee) {
            b[n++] = data[i];
        } else if (++i < size) {
            size_t k = data[i] == 0xee ? 1 : IMAGE_PAGE;

            memset(b + n, data[i], k);
            n += k;
        }
    }
    *len_r = n;
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len;
    uint8_t *b = unpack(data, size, &len);

    MUST(run(b, len, 8) == run(b, len, 1));
    free(b);
    return 0;
}
