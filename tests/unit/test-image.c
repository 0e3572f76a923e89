/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-image.c - A checkpoint in memory is whole, or it is the one before */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "image-stream.h"
#include "image.h"
#include "tap.h"

static const struct image_limits limits = {
    .pfns = IS_PFNS, .pages = IS_PFNS, .epoch_pages = 16, .vcpus = 2,
};

static struct image *new_image(const struct image_limits *l)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct image *img = NULL;

    if (image_new(&img, l, &e)) abort();
    return img;
}

static int feed(struct image *img, const struct is *s, size_t piece,
                struct xlc_error *err)
{
    int rc = 0;

    for (size_t at = 0; !rc && at < s->len;) {
        size_t n = s->len - at < piece ? s->len - at : piece;
        uint8_t *block = malloc(n); /* so that ASan sees a read beyond */

        if (!block) abort();
        memcpy(block, s->b + at, n);
        rc = image_feed(img, block, n, err);
        free(block);
        at += n;
    }
    return rc;
}

/* An image of the first epoch, of time 1. */
static struct image *based(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct image *img = new_image(&limits);
    struct is s = { .b = NULL };

    is_base(&s, 1);
    if (feed(img, &s, s.len, &e) || image_commit(img, &e)) {
        printf("# %s\n", e.msg);
        abort();
    }
    is_free(&s);
    return img;
}

/* Does the page frame hold what it did at @time? 0: absent */
static bool holds(const struct image *img, uint64_t pfn, uint32_t time)
{
    const uint8_t *page = image_page(img, pfn);
    uint8_t want[IS_PAGE];

    if (!time) return !page;
    is_fill(want, pfn, time);
    return page && !memcmp(page, want, IS_PAGE);
}

/* All of the base, at time 1. */
static bool is_the_base(const struct image *img)
{
    for (uint64_t i = 0; i < IS_PFNS; i++)
        if (!holds(img, i, i >= 40 && i < 48 ? 0 : 1)) return false;
    return image_pages(img) == IS_PFNS - 8 && image_epochs(img) == 1 &&
           image_tsc(img)->nsec == 1000;
}

static unsigned int changed(const struct image *img)
{
    return (unsigned int)__builtin_popcountll(image_changed(img)[0]);
}

static void test_epochs(void)
{
    static const uint64_t some[] = { 3, 9, 41, 5 | IS_ABSENT };
    struct xlc_error e = XLC_ERROR_INIT;

    for (size_t piece = 1; piece < 40000; piece = piece * 3 + 2) {
        struct image *img = new_image(&limits);
        struct is s = { .b = NULL };
        uint64_t v = 0;
        size_t len;

        is_base(&s, 1);
        ok(!image_whole(img) && !feed(img, &s, piece, &e) &&
           image_complete(img) && !image_commit(img, &e) &&
           is_the_base(img), "the base, %zu octets at a time %s", piece,
           e.msg);
        ok(changed(img) == IS_PFNS - 8 && (image_settle(img), !changed(img)),
           "page frames that never had a page have not changed");
        is_free(&s);
        is_epoch(&s, some, 4, 2);
        ok(!feed(img, &s, piece, &e) && is_the_base(img),
           "an epoch that was not committed changes nothing");
        ok(!image_commit(img, &e) && holds(img, 3, 2) && holds(img, 9, 2) &&
           holds(img, 41, 2) && holds(img, 5, 0) && holds(img, 4, 1),
           "committed, it does");
        ok(changed(img) == 4 && image_changed(img)[0] ==
           (1ull << 3 | 1ull << 9 | 1ull << 41 | 1ull << 5),
           "and says where");
        ok(image_tsc(img)->nsec == 2000 && image_context(img, &len)[32] == 2
           && len == 128 && image_param(img, 1, &v) && v == IS_STORE &&
           !image_param(img, 2, &v) && !image_param(img, 1000, &v),
           "with its machine state");
        is_free(&s);
        image_free(img);
    }
}

/* B1: an epoch that was cut off anywhere is as if it had never come. */
static void test_cut(void)
{
    static const uint64_t some[] = { 3, 41, 5 | IS_ABSENT };
    struct xlc_error e = XLC_ERROR_INIT;
    struct image *img = based();
    struct is s = { .b = NULL };
    size_t wrong = 0;

    is_epoch(&s, some, 3, 2);
    for (size_t cut = 0; cut < s.len; cut++) {
        struct is part = { .b = s.b, .len = cut };
        struct xlc_error e2 = XLC_ERROR_INIT;

        if (feed(img, &part, cut + 1, &e) || image_complete(img) ||
            image_commit(img, &e2) != -EPROTO || !is_the_base(img)) wrong++;
        image_abort(img);
    }
    ok(!wrong, "an epoch that is cut at any of %zu octets changes nothing",
       s.len);
    ok(is_the_base(img) && !feed(img, &s, s.len, &e) &&
       !image_commit(img, &e) && holds(img, 3, 2) && image_pages(img) ==
       IS_PFNS - 8, "the same epoch, whole, after all that");
    is_free(&s);
    image_free(img);

    /* Without a base there is no image to go back to. */
    img = new_image(&limits);
    is_base(&s, 1);
    s.len -= 1;
    ok(!feed(img, &s, 1000, &e) && !image_whole(img),
       "a base without its last octet");
    image_abort(img);
    ok(!image_pages(img) && !changed(img) && !image_page(img, 0),
       "aborted, it leaves nothing");
    s.len += 1;
    ok(!feed(img, &s, 1000, &e) && !image_commit(img, &e) &&
       is_the_base(img), "the next stream is read from its start");
    is_free(&s);
    image_free(img);
}

/* Feed an epoch that must be refused. */
static void refused(struct is *s, int status, const char *text)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct image *img = based();
    int rc = feed(img, s, s->len, &e);

    if (!rc) rc = image_check(img, &e);
    ok(rc == status && strstr(e.msg, text), "refused: %s%s%s", text,
       rc == status ? "" : " but: ", rc == status ? "" : e.msg);
    ok(is_the_base(img), "the image is the one before");
    image_abort(img);
    is_free(s);
    image_free(img);
}

static void test_bad_pages(void)
{
    uint64_t pfn = IS_PFNS, many[17];
    struct is s = { .b = NULL };

    is_pages(&s, &pfn, 1, 2);
    refused(&s, -EPROTO, "page frame 0x40 of 0x40");
    pfn = IS_PFNS | IS_ABSENT;
    is_pages(&s, &pfn, 1, 2);
    refused(&s, -EPROTO, "page frame 0x40 of 0x40");
    for (uint64_t type = 1; type < 15; type++) {
        if (type == 13) continue; /* broken: has no page */
        pfn = type << 60 | 2;
        is_pages(&s, &pfn, 1, 2);
        refused(&s, -EPROTO, "of unknown type");
    }
    pfn = 1ull << 52 | 2;
    is_pages(&s, &pfn, 1, 2);
    refused(&s, -EPROTO, "of unknown type");
    is_rec(&s, 1, 8);
    is_le(&s, 0, 8);
    refused(&s, -EPROTO, "PAGE_DATA of 0 page frames");
    is_rec(&s, 1, 16);
    is_le(&s, 2, 8);
    is_le(&s, 0, 8);
    refused(&s, -EPROTO, "PAGE_DATA of 2 page frames in 16 octets");
    is_rec(&s, 1, 8 + 1025 * 8);
    is_le(&s, 1025, 8);
    for (uint64_t i = 0; i < 1025; i++)
        is_le(&s, IS_ABSENT, 8);
    refused(&s, -EPROTO, "PAGE_DATA of 1025 page frames");
    pfn = 2;
    is_pages(&s, &pfn, 1, 2);
    s.b[4] += 8;
    is_le(&s, 0, 8);
    refused(&s, -EPROTO, "PAGE_DATA of 1 pages in 4104 octets");
    is_pages(&s, &pfn, 1, 2);
    s.b[12] = 1; /* reserved */
    refused(&s, -EPROTO, "PAGE_DATA of");
    for (uint64_t i = 0; i < 17; i++)
        many[i] = i;
    is_pages(&s, many, 17, 2);
    refused(&s, -ENOMEM, "an epoch of more than 16 pages");
}

static void test_bad_records(void)
{
    static const uint32_t foreign[] = {
        0, 2, 3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xf, 0x13, 0x7fffffff,
    };
    uint64_t one = 1;
    struct is s = { .b = NULL };

    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        is_rec(&s, foreign[i], 0);
        refused(&s, -EPROTO, "which is none of a PVH guest's checkpoint");
    }
    is_rec(&s, 1, 128u << 20);
    refused(&s, -EPROTO, "record 0x1 of 134217728 octets");
    is_rec(&s, 9, (16u << 20) + 1);
    refused(&s, -EPROTO, "record 0x9 of");
    is_rec(&s, 0x80000000u, (128u << 20) + 1);
    refused(&s, -EPROTO, "record 0x80000000 of");
    is_rec(&s, 0xe, 8);
    is_le(&s, 0, 8);
    refused(&s, -EPROTO, "record 0xe of 8 octets");
    is_epoch(&s, &one, 1, 2);
    is_le(&s, 0, 1);
    refused(&s, -EPROTO, "goes on after its CHECKPOINT");
    is_rec(&s, 8, 16);
    is_le(&s, 0, 8);
    is_le(&s, 0, 8);
    refused(&s, -EPROTO, "TSC_INFO of 16 octets");
    is_rec(&s, 0xa, 8);
    is_le(&s, 1, 8);
    refused(&s, -EPROTO, "HVM_PARAMS of 8 octets");
    is_params(&s);
    s.b[16] = 64;
    refused(&s, -EPROTO, "HVM parameter 64");
    is_params(&s);
    s.b[24] = IS_PFNS;
    refused(&s, -EPROTO, "HVM parameter 1 names page frame 0x40 of 0x40");
    is_context(&s, 2);
    is_params(&s);
    is_checkpoint(&s);
    refused(&s, -EPROTO, "an epoch without TSC_INFO");
    is_tsc(&s, 2);
    is_params(&s);
    is_checkpoint(&s);
    refused(&s, -EPROTO, "an epoch without HVM_CONTEXT");
    is_tsc(&s, 2);
    is_context(&s, 2);
    is_checkpoint(&s);
    refused(&s, -EPROTO, "an epoch without HVM_PARAMS");
    is_machine(&s, 2);
    s.b[s.len - 16] = 18; /* not CONSOLE_PFN */
    is_checkpoint(&s);
    refused(&s, -EPROTO, "does not name the pages of xenstore and");
}

/* Octets of the context, where @at counts from its first. */
static void bad_context(size_t at, uint8_t value, const char *text)
{
    struct is s = { .b = NULL };

    is_context(&s, 2);
    s.b[8 + at] = value;
    refused(&s, -EPROTO, text);
}

static void test_bad_context(void)
{
    struct is s = { .b = NULL };

    bad_context(0, 2, "without its header");
    bad_context(8, 0, "with magic");
    bad_context(24, 77, "of unknown type 77");
    bad_context(26, 2, "record 2 of virtual CPU 2 of 2");
    bad_context(26, 1, "record 2 of virtual CPU 1 twice");
    bad_context(28, 41, "that");
    bad_context(31, 0x80, "that is cut off");
    bad_context(122, 1, "goes on after its end");
    bad_context(124, 1, "that is cut off");
    is_rec(&s, 9, 32);
    is_entry(&s, 1, 0, 16, 0);
    is_entry(&s, 0, 0, 0, 0);
    refused(&s, -EPROTO, "without a virtual CPU");
    is_rec(&s, 9, 0);
    refused(&s, -EPROTO, "that is cut off");
}

static void bad_start(size_t at, uint8_t value, const char *text)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct image *img = new_image(&limits);
    struct is s = { .b = NULL };

    is_base(&s, 1);
    s.b[at] = value;
    ok(feed(img, &s, s.len, &e) == -EPROTO && strstr(e.msg, text),
       "octet %zu of a stream: %s", at, e.msg);
    ok(image_feed(img, s.b, 1, NULL) == -EPROTO, "and no octet after that");
    is_free(&s);
    image_free(img);
}

static void test_limits(void)
{
    struct image_limits l = limits;
    struct xlc_error e = XLC_ERROR_INIT;
    struct is s = { .b = NULL };
    struct image *img;
    uint64_t gone = 3 | IS_ABSENT, come = 41;

    bad_start(3, 0, "not libxc's");
    bad_start(8, 0, "not libxc's");
    bad_start(15, 2, "not libxc's");
    bad_start(17, 1, "not libxc's");
    bad_start(24, 1, "of domain type 1: only a PVH guest's");
    bad_start(28, 13, "of domain type 2");

    l.pages = IS_PFNS - 9;
    img = new_image(&l);
    is_base(&s, 1);
    ok(feed(img, &s, s.len, &e) == -ENOMEM &&
       strstr(e.msg, "the guest has more than 55 pages"), "%s", e.msg);
    image_free(img);
    l.pages = IS_PFNS - 8;
    img = new_image(&l);
    xlc_error_clear(&e);
    ok(!feed(img, &s, s.len, &e) && !image_commit(img, &e),
       "as many as it may have");
    is_free(&s);
    /* Memory is what an acknowledgement promises: no page frame beyond. */
    is_epoch(&s, &gone, 1, 2);
    ok(!feed(img, &s, s.len, &e) && !image_commit(img, &e) &&
       image_pages(img) == IS_PFNS - 9, "one is ballooned out");
    is_free(&s);
    is_epoch(&s, &come, 1, 3);
    ok(feed(img, &s, s.len, &e) == -ENOMEM, "%s", e.msg);
    is_free(&s);
    image_free(img);
    image_free(NULL);
    ok(image_pfns(0) == 1 << 20 && image_pfns(4097) == (1 << 20) + 2,
       "page frames of a guest: its memory, and 4 GiB");
}

int main(void)
{
    test_epochs();
    test_cut();
    test_bad_pages();
    test_bad_records();
    test_bad_context();
    test_limits();
    return done_testing();
}
