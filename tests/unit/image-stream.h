/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image-stream.h - Write the stream of a whole PVH guest, with real pages
 *
 * The test's own idea of the format (Xen's docs/specs/libxc-migration-stream,
 * version 3): nothing here comes from image.c.
 */
#ifndef XLC_TESTS_IMAGE_STREAM_H
#define XLC_TESTS_IMAGE_STREAM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define IS_PAGE    4096u
#define IS_PFNS    64u  /* of the test's guest */
#define IS_STORE   60u
#define IS_CONSOLE 61u
#define IS_ABSENT  (0xfull << 60)
#define IS_FLAT    1000u /* pages of this time and later hold one value */

/**
 * struct is - what was written so far
 * @last: where the newest record starts
 */
struct is {
    uint8_t *b;
    size_t len, room, last;
};

static inline void is_bytes(struct is *s, const void *p, size_t n)
{
    if (s->len + n > s->room) {
        s->room = (s->len + n) * 2;
        s->b = realloc(s->b, s->room);
        if (!s->b) abort();
    }
    if (n) memcpy(s->b + s->len, p, n);
    s->len += n;
}

static inline void is_le(struct is *s, uint64_t v, size_t n)
{
    for (; n; n--, v >>= 8) {
        uint8_t o = (uint8_t)v;

        is_bytes(s, &o, 1);
    }
}

static inline void is_start(struct is *s)
{
    static const uint8_t head[40] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        'X', 'E', 'N', 'F', 0, 0, 0, 3, /* id, version */
        0, 0, 0, 0, 0, 0, 0, 0,
        2, 0, 0, 0,  12, 0, 0, 0, /* HVM, page shift */
        4, 0, 0, 0,  17, 0, 0, 0, /* of Xen 4.17 */
    };

    is_bytes(s, head, sizeof(head));
}

static inline void is_rec(struct is *s, uint32_t type, uint32_t len)
{
    s->last = s->len;
    is_le(s, type, 4);
    is_le(s, len, 4);
}

static inline void is_pad(struct is *s)
{
    while ((s->len - s->last) % 8)
        is_le(s, 0, 1);
}

/* What the page of a page frame holds at some time. */
static inline void is_fill(uint8_t *page, uint64_t pfn, uint32_t time)
{
    for (unsigned int i = 0; i < IS_PAGE; i++)
        page[i] = (uint8_t)(pfn * 7 + time * 31 + (time < IS_FLAT ? i : 0));
}

/* PAGE_DATA of page frames (IS_ABSENT: without a page) as of @time. */
static inline void is_pages(struct is *s, const uint64_t *pfns, uint32_t n,
                            uint32_t time)
{
    uint8_t page[IS_PAGE];
    uint32_t pages = 0;

    for (uint32_t i = 0; i < n; i++)
        pages += !(pfns[i] >> 60);
    is_rec(s, 1, 8 + 8 * n + IS_PAGE * pages);
    is_le(s, n, 4);
    is_le(s, 0, 4);
    for (uint32_t i = 0; i < n; i++)
        is_le(s, pfns[i], 8);
    for (uint32_t i = 0; i < n; i++) {
        if (pfns[i] >> 60) continue;
        is_fill(page, pfns[i], time);
        is_bytes(s, page, IS_PAGE);
    }
}

static inline void is_tsc(struct is *s, uint32_t time)
{
    is_rec(s, 8, 24);
    is_le(s, 0, 4);             /* mode */
    is_le(s, 2000000, 4);       /* kHz */
    is_le(s, 1000ull * time, 8); /* ns */
    is_le(s, 1, 4);             /* incarnation */
    is_le(s, 0, 4);
}

static inline void is_entry(struct is *s, uint16_t type, uint16_t instance,
                            uint32_t len, uint8_t fill)
{
    is_le(s, type, 2);
    is_le(s, instance, 2);
    is_le(s, len, 4);
    for (uint32_t i = 0; i < len; i++)
        is_le(s, type == 1 && i < 4 ? 0x54381286u >> 8 * i & 0xff : fill, 1);
}

/* HVM_CONTEXT of two virtual CPUs. */
static inline void is_context(struct is *s, uint32_t time)
{
    is_rec(s, 9, 4 * 8 + 16 + 2 * 40);
    is_entry(s, 1, 0, 16, 0);
    is_entry(s, 2, 0, 40, (uint8_t)time);
    is_entry(s, 2, 1, 40, (uint8_t)time);
    is_entry(s, 0, 0, 0, 0);
}

static inline void is_params(struct is *s)
{
    is_rec(s, 0xa, 8 + 2 * 16);
    is_le(s, 2, 4);
    is_le(s, 0, 4);
    is_le(s, 1, 8); /* STORE_PFN */
    is_le(s, IS_STORE, 8);
    is_le(s, 17, 8); /* CONSOLE_PFN */
    is_le(s, IS_CONSOLE, 8);
}

static inline void is_machine(struct is *s, uint32_t time)
{
    is_tsc(s, time);
    is_context(s, time);
    is_params(s);
}

static inline void is_checkpoint(struct is *s)
{
    is_rec(s, 0xe, 0);
}

/* A whole later epoch. */
static inline void is_epoch(struct is *s, const uint64_t *pfns, uint32_t n,
                            uint32_t time)
{
    if (n) is_pages(s, pfns, n, time);
    is_machine(s, time);
    is_checkpoint(s);
}

/* The first epoch: all page frames but 40 to 47. */
static inline void is_base(struct is *s, uint32_t time)
{
    uint64_t pfns[IS_PFNS];

    for (uint64_t i = 0; i < IS_PFNS; i++)
        pfns[i] = i >= 40 && i < 48 ? i | IS_ABSENT : i;
    is_start(s);
    is_rec(s, 0x11, 5); /* X86_CPUID_POLICY, which is not looked at */
    is_le(s, 0x0102030405, 5);
    is_pad(s);
    is_rec(s, 0x10, 0); /* STATIC_DATA_END */
    is_epoch(s, pfns, IS_PFNS, time);
}

static inline void is_free(struct is *s)
{
    free(s->b);
    *s = (struct is){ .b = NULL };
}

#endif
