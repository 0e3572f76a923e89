/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image-rec.h - Cut a libxc stream of a PVH or HVM guest into whole records
 *
 * records.h walks the same stream without looking inside; here bodies are
 * wanted, each in one piece. A body that arrives in one piece is not copied.
 * Lengths are bounded by type before anything is allocated. Pure.
 */
#ifndef XLC_IMAGE_REC_H
#define XLC_IMAGE_REC_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"
#include "error.h"

#define IMAGE_REC_PAGE_DATA   0x01u
#define IMAGE_REC_TSC_INFO    0x08u
#define IMAGE_REC_HVM_CONTEXT 0x09u
#define IMAGE_REC_HVM_PARAMS  0x0au
#define IMAGE_REC_CHECKPOINT  0x0eu

/* libxc puts no more into one record. */
#define IMAGE_REC_BATCH 1024u

/**
 * struct image_rec - where in the stream we are
 * @hdr: what is there of a header, @hdr_have octets
 * @started: the stream's own headers were seen
 * @complete: the last octet ended a CHECKPOINT record
 * @in_body: a record is arriving: @type, @length octets without padding,
 *           @left with it
 * @wanted: its body is handed over; collected in @buf, @have octets
 */
struct image_rec {
    uint8_t hdr[40];
    size_t hdr_have;
    bool started, complete, in_body, wanted;
    uint32_t type, length;
    uint64_t left;
    uint8_t *buf;
    size_t have, room;
};

/**
 * struct image_pages - a checked PAGE_DATA record, read page by page
 * @pfn: what is left of the page frame numbers; @page: of the pages
 */
struct image_pages {
    struct rcur pfn, page;
};

static inline uint32_t image_le32(struct rcur *c)
{
    uint32_t v;

    rcur_bytes(c, &v, sizeof(v));
    return le32toh(v);
}

static inline uint64_t image_le64(struct rcur *c)
{
    uint64_t v;

    rcur_bytes(c, &v, sizeof(v));
    return le64toh(v);
}

/* A whole record that matters to an image; a negative errno ends it all. */
typedef int image_rec_sink(void *opaque, uint32_t type, const uint8_t *body,
                           size_t len, struct xlc_error *err);

void image_rec_init(struct image_rec *r);
void image_rec_dispose(struct image_rec *r);

/* The next octet is the first of an epoch; of a stream unless @started. */
void image_rec_restart(struct image_rec *r, bool started);

/* Return: 0; -EPROTO; -ENOMEM; what @sink returned */
int image_rec_feed(struct image_rec *r, const uint8_t *data, size_t len,
                   image_rec_sink *sink, void *opaque, struct xlc_error *err);

/**
 * image_rec_pages() - check a PAGE_DATA record whole
 * @pfns: page frame numbers are below this
 */
int image_rec_pages(struct image_pages *p, const uint8_t *body, size_t len,
                    uint64_t pfns, struct xlc_error *err);

/* The next page frame of a checked record, *@page_r NULL if it has no page.
 * Return: false after the last */
bool image_rec_page(struct image_pages *p, uint64_t *pfn_r,
                    const uint8_t **page_r);

#endif
