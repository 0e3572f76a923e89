/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-snapshot.c - An image of a paused domain, made of its own memory */
#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "inplace-snapshot.h"
/* The next needs xenctrl.h. */
#include <xen/hvm/params.h>

#include "cleanup.h"
#include "image-rec.h"

#define BATCH IMAGE_REC_BATCH
/* Rings and other special pages are between these page frames. */
#define SPECIAL_FROM 0xfe000u
#define SPECIAL_END  0x100000u

static int feed_le(struct image *img, uint64_t value, unsigned int octets,
                   struct xlc_error *err)
{
    value = htole64(value);
    return image_feed(img, (const uint8_t *)&value, octets, err);
}

static int feed_rec(struct image *img, uint32_t type, size_t len,
                    struct xlc_error *err)
{
    return feed_le(img, type | (uint64_t)len << 32, 8, err);
}

/* Of a stream of libxc's, version 3, of an HVM domain. */
static int feed_start(struct image *img, struct xlc_error *err)
{
    static const uint8_t head[40] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        'X', 'E', 'N', 'F', 0, 0, 0, 3,
        [24] = 2, [28] = 12,
    };

    return image_feed(img, head, sizeof(head), err);
}

/* Up to BATCH page frames from @from; those without a page are left out. */
static int feed_pages(xenforeignmemory_handle *fmem, uint32_t domid,
                      struct image *img, uint64_t from, struct xlc_error *err)
{
    xen_pfn_t pfns[BATCH];
    int errs[BATCH], rc = 0;
    unsigned int n = 0, have = 0;
    uint8_t *p;

    while (n < BATCH && from + n < image_limit(img)) {
        pfns[n] = from + n;
        n++;
    }
    p = xenforeignmemory_map(fmem, domid, PROT_READ, n, pfns, errs);
    if (!p) return 0; /* none of them */
    for (unsigned int i = 0; i < n; i++)
        have += !errs[i];
    if (have)
        rc = feed_rec(img, IMAGE_REC_PAGE_DATA,
                      8 + have * (8 + (size_t)IMAGE_PAGE), err);
    if (have && !rc) rc = feed_le(img, have, 8, err);
    for (unsigned int i = 0; !rc && i < n; i++)
        if (!errs[i]) rc = feed_le(img, pfns[i], 8, err);
    for (unsigned int i = 0; !rc && i < n; i++)
        if (!errs[i])
            rc = image_feed(img, p + (size_t)i * IMAGE_PAGE, IMAGE_PAGE, err);
    xenforeignmemory_unmap(fmem, p, n);
    return rc;
}

static int feed_context(xc_interface *xch, uint32_t domid, struct image *img,
                        struct xlc_error *err)
{
    static const uint8_t zero[8];
    int n = xc_domain_hvm_getcontext(xch, domid, NULL, 0), rc;
    CLEANUP_FREE uint8_t *ctx = n > 0 ? malloc((size_t)n) : NULL;

    if (ctx) n = xc_domain_hvm_getcontext(xch, domid, ctx, (uint32_t)n);
    if (!ctx || n <= 0)
        return xlc_error_set(err, -EIO, "there is no context");
    rc = feed_rec(img, IMAGE_REC_HVM_CONTEXT, (size_t)n, err);
    if (!rc) rc = image_feed(img, ctx, (size_t)n, err);
    return rc ? rc : image_feed(img, zero, -(size_t)n % 8, err);
}

static int feed_params(xc_interface *xch, uint32_t domid, struct image *img,
                       struct xlc_error *err)
{
    static const uint32_t index[2] = { HVM_PARAM_STORE_PFN,
                                       HVM_PARAM_CONSOLE_PFN };
    int rc = feed_rec(img, IMAGE_REC_HVM_PARAMS, 8 + 2 * 16, err);

    if (!rc) rc = feed_le(img, 2, 8, err);
    for (unsigned int i = 0; !rc && i < 2; i++) {
        uint64_t value;

        if (xc_hvm_param_get(xch, domid, index[i], &value))
            return xlc_error_set(err, -EIO, "there is no parameter");
        rc = feed_le(img, index[i], 8, err);
        if (!rc) rc = feed_le(img, value, 8, err);
    }
    return rc;
}

static int feed_tsc(xc_interface *xch, uint32_t domid, struct image *img,
                    struct xlc_error *err)
{
    uint32_t mode, khz, incarnation;
    uint64_t nsec;
    int rc;

    if (xc_domain_get_tsc_info(xch, domid, &mode, &nsec, &khz, &incarnation))
        return xlc_error_set(err, -EIO, "there is no TSC");
    rc = feed_rec(img, IMAGE_REC_TSC_INFO, 24, err);
    if (!rc) rc = feed_le(img, mode | (uint64_t)khz << 32, 8, err);
    if (!rc) rc = feed_le(img, nsec, 8, err);
    return rc ? rc : feed_le(img, incarnation, 8, err);
}

int snapshot_take(xc_interface *xch, xenforeignmemory_handle *fmem,
                  uint32_t domid, uint64_t pages, struct image *img,
                  struct xlc_error *err)
{
    int rc = feed_start(img, err);

    for (uint64_t from = 0; !rc && from < SPECIAL_END; from += BATCH)
        if (from < pages || from >= SPECIAL_FROM)
            rc = feed_pages(fmem, domid, img, from, err);
    if (!rc) rc = feed_tsc(xch, domid, img, err);
    if (!rc) rc = feed_context(xch, domid, img, err);
    if (!rc) rc = feed_params(xch, domid, img, err);
    if (!rc) rc = feed_rec(img, IMAGE_REC_CHECKPOINT, 0, err);
    if (!rc) rc = image_commit(img, err);
    if (!rc) image_settle(img);
    return rc;
}
