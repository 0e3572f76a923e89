/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image-rec.c - Cut a libxc stream of a guest into whole records */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hvmctx.h"
#include "image-rec.h"
#include "image.h"

#define IMAGE_HDR  24u
#define STREAM_HDR 40u /* with the domain header */
#define REC_HDR    8u
#define IMAGE_ID   0x58454e46u /* "XENF" */
#define STREAM_VERSION 3u
#define DOMAIN_HVM 2u
#define PAGE_SHIFT 12u

#define OPTIONAL   0x80000000u
#define SKIP_MAX   (128u << 20)
#define SMALL_MAX  (64u << 10)
#define PAGES_MAX  (8u + IMAGE_REC_BATCH * (8u + IMAGE_PAGE))

/* Page types: the upper four bits of a page frame number. */
#define TYPE_SHIFT  60
#define PFN_MASK    (((uint64_t)1 << 52) - 1)
#define TYPE_NORMAL 0x0u
#define TYPE_BROKEN 0xdu
#define TYPE_NONE   0xfu

void image_rec_init(struct image_rec *r)
{
    *r = (struct image_rec){ .started = false };
}

void image_rec_dispose(struct image_rec *r)
{
    free(r->buf);
    r->buf = NULL;
    r->room = 0;
}

void image_rec_restart(struct image_rec *r, bool started)
{
    uint8_t *buf = r->buf;
    size_t room = r->room;

    *r = (struct image_rec){ .started = started, .buf = buf, .room = room };
}

static int check_stream(const struct image_rec *r, struct xlc_error *err)
{
    struct rcur c = { .p = r->hdr, .left = STREAM_HDR };
    uint64_t marker = rcur_be(&c, 8);
    uint32_t id = rcur_u32(&c), version = rcur_u32(&c);
    uint16_t options = rcur_u16(&c);
    uint32_t type;
    uint16_t shift;

    rcur_take(&c, 6);
    type = image_le32(&c);
    rcur_bytes(&c, &shift, sizeof(shift));
    shift = le16toh(shift);
    if (marker != UINT64_MAX || id != IMAGE_ID || version != STREAM_VERSION ||
        options)
        return xlc_error_set(err, -EPROTO, "the stream is not libxc's, "
                             "version %u, little-endian", STREAM_VERSION);
    if (type != DOMAIN_HVM || shift != PAGE_SHIFT)
        return xlc_error_set(err, -EPROTO, "the stream is of domain type %u: "
                             "only a PVH guest's can be kept as an image",
                             type);
    return 0;
}

/* The most octets that a record of the type may have here; 0: no such record
 * belongs in a checkpoint of a PVH guest. */
static uint32_t length_max(uint32_t type, bool *wanted_r)
{
    *wanted_r = true;
    if (type & OPTIONAL) {
        *wanted_r = false;
        return SKIP_MAX;
    }
    switch (type) {
    case IMAGE_REC_PAGE_DATA: return PAGES_MAX;
    case IMAGE_REC_TSC_INFO: return SMALL_MAX;
    case IMAGE_REC_HVM_CONTEXT: return HVMCTX_MAX;
    case IMAGE_REC_HVM_PARAMS: return SMALL_MAX;
    case IMAGE_REC_CHECKPOINT: return SMALL_MAX;
    case 0x10: /* STATIC_DATA_END: libxl has read these three */
    case 0x11: /* X86_CPUID_POLICY */
    case 0x12: /* X86_MSR_POLICY */
        *wanted_r = false;
        return SMALL_MAX * 4;
    default: return 0;
    }
}

static int on_header(struct image_rec *r, struct xlc_error *err)
{
    struct rcur c = { .p = r->hdr, .left = REC_HDR };
    uint32_t max;

    r->hdr_have = 0;
    if (!r->started) {
        r->started = true;
        return check_stream(r, err);
    }
    r->type = image_le32(&c);
    r->length = image_le32(&c);
    max = length_max(r->type, &r->wanted);
    if (!max)
        return xlc_error_set(err, -EPROTO, "record 0x%x, which is none of a "
                             "PVH guest's checkpoint", r->type);
    if (r->length > max ||
        (r->type == IMAGE_REC_CHECKPOINT && r->length))
        return xlc_error_set(err, -EPROTO, "record 0x%x of %u octets",
                             r->type, r->length);
    r->in_body = true;
    r->left = ((uint64_t)r->length + 7) & ~7ull;
    r->have = 0;
    return 0;
}

/* More of a record that has to be collected. */
static int collect(struct image_rec *r, const uint8_t *data, size_t n,
                   struct xlc_error *err)
{
    size_t k = r->length - r->have;

    if (r->length > r->room) {
        uint8_t *p = realloc(r->buf, r->length);

        if (!p) return xlc_error_set(err, -ENOMEM, "no memory");
        r->buf = p;
        r->room = r->length;
    }
    if (k > n) k = n;
    if (k) memcpy(r->buf + r->have, data, k);
    r->have += k;
    return 0;
}

/* Octets of a body. Return: how many were used, or a negative errno */
static ssize_t on_body(struct image_rec *r, const uint8_t *data, size_t len,
                       image_rec_sink *sink, void *opaque,
                       struct xlc_error *err)
{
    size_t n = r->left < len ? (size_t)r->left : len;
    const uint8_t *body = data;
    bool here = !r->have && n == r->left; /* all of it in one piece */
    int rc = 0;

    if (r->wanted && !here) {
        rc = collect(r, data, n, err);
        body = r->buf;
    }
    r->left -= n;
    if (rc || r->left) return rc ? rc : (ssize_t)n;
    r->in_body = false;
    if (r->type == IMAGE_REC_CHECKPOINT) r->complete = true;
    else if (r->wanted) rc = sink(opaque, r->type, body, r->length, err);
    return rc ? rc : (ssize_t)n;
}

int image_rec_feed(struct image_rec *r, const uint8_t *data, size_t len,
                   image_rec_sink *sink, void *opaque, struct xlc_error *err)
{
    while (len || (r->in_body && !r->left)) {
        ssize_t n;

        if (r->complete)
            return xlc_error_set(err, -EPROTO,
                                 "an epoch goes on after its CHECKPOINT");
        if (r->in_body) {
            n = on_body(r, data, len, sink, opaque, err);
        } else {
            size_t want = (r->started ? REC_HDR : STREAM_HDR) - r->hdr_have;

            n = (ssize_t)(want < len ? want : len);
            memcpy(r->hdr + r->hdr_have, data, (size_t)n);
            r->hdr_have += (size_t)n;
            if ((size_t)n == want) {
                int rc = on_header(r, err);

                if (rc) n = rc;
            }
        }
        if (n < 0) return (int)n;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Has a page frame of the type a page? A negative errno: unknown type. */
static int has_page(unsigned int type)
{
    switch (type) {
    case TYPE_NORMAL: return 1;
    case TYPE_BROKEN:
    case TYPE_NONE: return 0;
    default: return -EPROTO;
    }
}

int image_rec_pages(struct image_pages *p, const uint8_t *body, size_t len,
                    uint64_t pfns, struct xlc_error *err)
{
    struct rcur c = { .p = body, .left = len };
    uint32_t count = image_le32(&c);
    size_t pages = 0;
    struct rcur check;

    rcur_zero(&c, 4);
    if (c.bad || !count || count > IMAGE_REC_BATCH ||
        c.left < (size_t)count * 8)
        return xlc_error_set(err, -EPROTO, "PAGE_DATA of %u page frames in "
                             "%zu octets", count, len);
    p->pfn = (struct rcur){ .p = c.p, .left = (size_t)count * 8 };
    p->page = (struct rcur){ .p = c.p + (size_t)count * 8,
                             .left = c.left - (size_t)count * 8 };
    check = p->pfn;
    while (check.left) {
        uint64_t v = image_le64(&check);
        int has = has_page((unsigned int)(v >> TYPE_SHIFT));

        if (has < 0 || v & ~PFN_MASK & ~((uint64_t)0xf << TYPE_SHIFT))
            return xlc_error_set(err, -EPROTO, "page frame 0x%llx of unknown "
                                 "type", (unsigned long long)v);
        if ((v & PFN_MASK) >= pfns)
            return xlc_error_set(err, -EPROTO, "page frame 0x%llx of 0x%llx",
                                 (unsigned long long)(v & PFN_MASK),
                                 (unsigned long long)pfns);
        pages += (size_t)has;
    }
    if (pages * IMAGE_PAGE != p->page.left)
        return xlc_error_set(err, -EPROTO, "PAGE_DATA of %zu pages in %zu "
                             "octets", pages, p->page.left);
    return 0;
}

bool image_rec_page(struct image_pages *p, uint64_t *pfn_r,
                    const uint8_t **page_r)
{
    uint64_t v;

    if (!p->pfn.left) return false;
    v = image_le64(&p->pfn);
    *pfn_r = v & PFN_MASK;
    *page_r = has_page((unsigned int)(v >> TYPE_SHIFT)) ?
              rcur_take(&p->page, IMAGE_PAGE) : NULL;
    return true;
}
