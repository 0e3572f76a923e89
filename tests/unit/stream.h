/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stream.h - Write a libxc migration stream, octet by octet
 *
 * The test's own idea of the format (Xen's docs/specs/libxc-migration-stream,
 * version 3): nothing here comes from records.c.
 */
#ifndef XLC_TESTS_STREAM_H
#define XLC_TESTS_STREAM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_MAX 4096u

/**
 * struct stream - what was written so far
 * @last: where the newest record starts
 */
struct stream {
    uint8_t b[STREAM_MAX];
    size_t len, last;
};

static inline void stream_bytes(struct stream *s, const void *p, size_t n)
{
    if (n > STREAM_MAX - s->len) abort();
    if (n) memcpy(s->b + s->len, p, n);
    s->len += n;
}

static inline void stream_le32(struct stream *s, uint32_t v)
{
    const uint8_t p[4] = { (uint8_t)v, (uint8_t)(v >> 8),
                           (uint8_t)(v >> 16), (uint8_t)(v >> 24) };

    stream_bytes(s, p, sizeof(p));
}

/* Image header and domain header of a PVH guest. */
static inline void stream_start(struct stream *s)
{
    static const uint8_t image[24] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        'X', 'E', 'N', 'F', 0, 0, 0, 3, /* id, version */
    };
    static const uint8_t domain[16] = {
        2, 0, 0, 0,  12, 0, 0, 0, /* HVM, page shift */
        4, 0, 0, 0,  17, 0, 0, 0, /* of Xen 4.17 */
    };

    s->len = s->last = 0;
    stream_bytes(s, image, sizeof(image));
    stream_bytes(s, domain, sizeof(domain));
}

static inline void stream_hdr(struct stream *s, uint32_t type, uint32_t len)
{
    s->last = s->len;
    stream_le32(s, type);
    stream_le32(s, len);
}

/* A record of @len octets that count from @first, padded to eight. */
static inline void stream_rec(struct stream *s, uint32_t type, uint32_t len,
                              uint8_t first)
{
    static const uint8_t zero[8];

    stream_hdr(s, type, len);
    for (uint32_t i = 0; i < len; i++) {
        uint8_t v = (uint8_t)(first + i);

        stream_bytes(s, &v, 1);
    }
    stream_bytes(s, zero, (8 - len % 8) % 8);
}

/* PAGE_DATA of @count page frame numbers, and @extra octets of pages. */
static inline void stream_pages(struct stream *s, uint32_t count,
                                uint32_t extra)
{
    static const uint8_t zero[8];

    stream_hdr(s, 1, 8 + 8 * count + extra);
    stream_le32(s, count);
    stream_le32(s, 0);
    for (uint32_t i = 0; i < count; i++) {
        stream_le32(s, i);
        stream_le32(s, 0);
    }
    for (uint32_t i = 0; i < extra; i++)
        stream_bytes(s, "\xaa", 1);
    stream_bytes(s, zero, (8 - extra % 8) % 8);
}

static inline void stream_checkpoint(struct stream *s)
{
    stream_rec(s, 0x0e, 0, 0);
}

/* One of each kind that Xen sends, and an optional one. */
static inline void stream_epoch(struct stream *s)
{
    stream_rec(s, 0x0d, 3, 1);           /* VERIFY, to be padded by five */
    stream_pages(s, 2, 5);
    stream_rec(s, 0x08, 24, 0x40);       /* TSC_INFO */
    stream_rec(s, 0x80000007u, 9, 0x70); /* optional */
    stream_pages(s, 1, 0);
    stream_rec(s, 0x09, 0, 0);           /* HVM_CONTEXT, empty */
    stream_checkpoint(s);
}

#endif
