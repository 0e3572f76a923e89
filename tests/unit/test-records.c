/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-records.c - The walker over libxc's stream, in pieces of any size */
#include <config.h>

#include <errno.h>

#include "cleanup.h"
#include "records.h"
#include "stream.h"
#include "tap.h"

/* From a block of exactly its size, so that reading beyond it is seen. */
static int feed(struct records *r, const uint8_t *data, size_t len,
                struct xlc_error *err)
{
    CLEANUP_FREE uint8_t *block = malloc(len ? len : 1);

    if (!block) abort();
    if (len) memcpy(block, data, len);
    return records_feed(r, block, len, err);
}

/* The whole stream, @piece octets at a time. */
static int feed_by(struct records *r, const struct stream *s, size_t piece,
                   struct xlc_error *err)
{
    records_init(r);
    for (size_t at = 0; at < s->len; at += piece) {
        size_t n = s->len - at < piece ? s->len - at : piece;
        int rc = feed(r, s->b + at, n, err);

        if (rc) return rc;
    }
    return 0;
}

/* What an owner of @r sees is the same. */
static bool same(const struct records *a, const struct records *b)
{
    return a->started == b->started && a->complete == b->complete &&
           a->pages == b->pages && a->body_left == b->body_left &&
           a->tsc_have == b->tsc_have &&
           !memcmp(a->tsc, b->tsc, sizeof(a->tsc));
}

static void test_good(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct records whole, r;
    struct stream s;
    bool good = true;

    stream_start(&s);
    stream_epoch(&s);
    ok(!feed_by(&whole, &s, s.len, &err) && !err.status && whole.complete,
       "a whole epoch of %zu octets is complete", s.len);
    ok(whole.pages == 3, "three pages were counted");
    for (unsigned int i = 0; i < RECORDS_TSC_LEN; i++)
        good = good && whole.tsc[i] == 0x40 + i;
    ok(good && whole.tsc_have == RECORDS_TSC_LEN, "TSC_INFO was kept");

    good = true;
    for (size_t piece = 1; piece < s.len; piece++)
        good = good && !feed_by(&r, &s, piece, &err) && same(&r, &whole);
    ok(good, "the same in pieces of every size");

    good = true;
    for (size_t cut = 0; cut <= s.len; cut++) {
        records_init(&r);
        good = good && !feed(&r, s.b, cut, &err) &&
               r.complete == (cut == s.len) &&
               !feed(&r, s.b + cut, s.len - cut, &err) && same(&r, &whole);
    }
    ok(good, "the same cut in two anywhere, and complete only at the end");
}

static void test_epochs(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct records r;
    struct stream s;
    size_t first;

    stream_start(&s);
    stream_epoch(&s);
    first = s.len;
    stream_pages(&s, 4, 0);
    stream_rec(&s, RECORD_TSC_INFO, 24, 0x90);
    stream_checkpoint(&s);

    records_init(&r);
    ok(!feed(&r, s.b, first, &err) && r.complete, "a first epoch");
    records_next_epoch(&r);
    ok(!r.complete && !r.pages && r.tsc_have == RECORDS_TSC_LEN &&
       r.tsc[0] == 0x40, "counts anew, and knows the old TSC");
    ok(!feed(&r, s.b + first, s.len - first, &err) && r.complete &&
       r.pages == 4 && r.tsc[0] == 0x90 && r.tsc[23] == 0x90 + 23,
       "a second one, without the stream's headers");

    records_next_epoch(&r);
    s.len = 0;
    stream_checkpoint(&s);
    ok(!feed(&r, s.b, s.len, &err) && r.complete && !r.pages,
       "an empty epoch");

    records_next_epoch(&r);
    s.len = 0;
    stream_start(&s);
    ok(feed(&r, s.b, s.len, &err) == -EPROTO,
       "the stream's headers don't come twice");
}

/* Refused with -EPROTO and @text, in one piece and octet by octet. */
static void refused(const struct stream *s, const char *text,
                    const char *what)
{
    struct xlc_error err = XLC_ERROR_INIT, bytes = XLC_ERROR_INIT;
    struct records r;
    bool good = feed_by(&r, s, s->len, &err) == -EPROTO &&
                err.status == -EPROTO && strstr(err.msg, text) &&
                feed_by(&r, s, 1, &bytes) == -EPROTO &&
                !strcmp(err.msg, bytes.msg);

    if (!ok(good, "%s: refused", what))
        printf("# %s / %s\n", err.msg, bytes.msg);
}

static void test_bad_headers(void)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *text;
    } bad[] = {
        { 0, 0xfe, "marker" }, { 7, 0, "marker" },
        { 8, 'x', "libxc version" }, { 11, 0, "libxc version" },
        { 15, 2, "of libxc version 2, this host reads 3" },
        { 15, 4, "libxc version" },
        { 12, 1, "libxc version" }, { 16, 1, "options" },
        { 17, 1, "options" }, { 24, 0, "domain type 0" },
        { 24, 3, "domain type 3" }, { 25, 1, "domain type" },
        { 27, 0x80, "domain type" },
    };
    struct stream s;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char what[64];

        stream_start(&s);
        stream_epoch(&s);
        s.b[bad[i].at] = bad[i].value;
        snprintf(what, sizeof(what), "header octet %zu is 0x%x", bad[i].at,
                 bad[i].value);
        refused(&s, bad[i].text, what);
    }
    stream_start(&s);
    s.b[24] = 1;
    stream_epoch(&s);
    ok(!feed_by(&(struct records){ 0 }, &s, s.len, NULL),
       "a PV guest is good");
}

static void test_bad_records(void)
{
    static const struct {
        uint32_t type, length;
        const char *text, *what;
    } bad[] = {
        { 0x13, 0, "unknown type 0x13", "the first unknown type" },
        { 0x7fffffff, 0, "unknown type", "the last unknown type" },
        { RECORD_END, 0, "END", "END" },
        { RECORD_END, 8, "END", "END with a body" },
        { 0x02, RECORDS_LENGTH_MAX + 1, "of 134217729 octets",
          "a record one octet too long" },
        { 0x02, UINT32_MAX, "octets", "a record of four GiB" },
        { 0x80000001u, UINT32_MAX, "octets", "an optional record of four GiB" },
        { RECORD_CHECKPOINT, 1, "CHECKPOINT of 1", "CHECKPOINT, one octet" },
        { RECORD_CHECKPOINT, 8, "CHECKPOINT of 8", "CHECKPOINT, eight" },
        { RECORD_PAGE_DATA, 0, "PAGE_DATA", "PAGE_DATA, empty" },
        { RECORD_PAGE_DATA, 15, "PAGE_DATA", "PAGE_DATA, 15 octets" },
        { RECORD_TSC_INFO, 0, "TSC_INFO", "TSC_INFO, empty" },
        { RECORD_TSC_INFO, 23, "TSC_INFO", "TSC_INFO, 23 octets" },
        { RECORD_TSC_INFO, 25, "TSC_INFO", "TSC_INFO, 25 octets" },
    };
    struct stream s;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        stream_start(&s);
        stream_pages(&s, 1, 0);
        stream_hdr(&s, bad[i].type, bad[i].length);
        refused(&s, bad[i].text, bad[i].what);
    }

    stream_start(&s);
    stream_epoch(&s);
    stream_checkpoint(&s);
    refused(&s, "after its CHECKPOINT", "a second CHECKPOINT");
    s.len -= 8;
    stream_pages(&s, 1, 0);
    refused(&s, "after its CHECKPOINT", "a record after CHECKPOINT");
}

/* An epoch can't end within the header of one more record. */
static void test_after_checkpoint(void)
{
    struct records r;
    struct stream s;
    bool good = true;

    stream_start(&s);
    stream_epoch(&s);
    for (size_t extra = 1; extra < RECORDS_REC_HDR; extra++) {
        stream_bytes(&s, "\1", 1);
        good = good && feed_by(&r, &s, s.len, NULL) == -EPROTO &&
               feed_by(&r, &s, 1, NULL) == -EPROTO;
    }
    ok(good, "one to seven octets after CHECKPOINT: refused");
}

/* The edges of what is allowed, and padding that is never looked at. */
static void test_edges(void)
{
    static const uint32_t types[] = { 0x02, 0x12, 0x80000000u, 0xffffffffu };
    struct xlc_error err = XLC_ERROR_INIT;
    struct records r;
    struct stream s;
    bool good = true;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        for (uint32_t len = 0; len <= 17; len++) {
            stream_start(&s);
            stream_rec(&s, types[i], len, 0x0e);
            stream_checkpoint(&s);
            good = good && !feed_by(&r, &s, s.len, &err) && r.complete &&
                   !feed_by(&r, &s, 1, &err) && r.complete;
        }
    ok(good, "bodies of 0 to 17 octets are padded to eight");

    stream_start(&s);
    stream_hdr(&s, 0x02, RECORDS_LENGTH_MAX);
    ok(!feed_by(&r, &s, s.len, &err) &&
       r.body_left == RECORDS_LENGTH_MAX && !r.complete,
       "the longest record");

    /* A body that looks like the end of an epoch is none. */
    stream_start(&s);
    stream_hdr(&s, 0x02, 8);
    stream_le32(&s, RECORD_CHECKPOINT);
    stream_le32(&s, 0);
    ok(!feed_by(&r, &s, s.len, &err) && !r.complete && !r.body_left,
       "a CHECKPOINT inside a record is none");

    stream_start(&s);
    stream_hdr(&s, RECORD_PAGE_DATA, 16);
    stream_le32(&s, UINT32_MAX);
    ok(!feed_by(&r, &s, s.len, &err) && r.pages == UINT32_MAX &&
       r.body_left == 12, "as many pages as fit a count");
}

int main(void)
{
    test_good();
    test_epochs();
    test_bad_headers();
    test_bad_records();
    test_after_checkpoint();
    test_edges();
    return done_testing();
}
