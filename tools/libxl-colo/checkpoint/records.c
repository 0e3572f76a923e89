/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* records.c - Walk a libxc migration stream without understanding pages */
#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "records.h"

#define IMAGE_ID      0x58454e46u /* "XENF" */
#define IMAGE_VERSION 3u
#define DOMAIN_PV     1u
#define DOMAIN_HVM    2u

static uint32_t le32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static uint32_t be32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return be32toh(v);
}

void records_init(struct records *r)
{
    *r = (struct records){
        .hdr_want = RECORDS_IMAGE_HDR + RECORDS_DOMAIN_HDR,
    };
}

void records_next_epoch(struct records *r)
{
    r->complete = false;
    r->pages = 0;
}

/* Image and domain header, in one piece. */
static int check_headers(const struct records *r, struct xlc_error *err)
{
    const uint8_t *image = r->hdr, *domain = r->hdr + RECORDS_IMAGE_HDR;
    uint16_t options = (uint16_t)(image[16] << 8 | image[17]);
    uint32_t type = le32(domain);

    for (int i = 0; i < 8; i++)
        if (image[i] != 0xff)
            return xlc_error_set(err, -EPROTO,
                                 "the stream has no libxc marker");
    if (be32(image + 8) != IMAGE_ID || be32(image + 12) != IMAGE_VERSION)
        return xlc_error_set(err, -EPROTO, "the stream is of libxc version "
                             "%u, this host reads %u", be32(image + 12),
                             IMAGE_VERSION);
    if (options)
        return xlc_error_set(err, -EPROTO, "the stream has unknown options "
                             "0x%x", options);
    if (type != DOMAIN_PV && type != DOMAIN_HVM)
        return xlc_error_set(err, -EPROTO, "the stream is of domain type %u",
                             type);
    return 0;
}

static int check_record(struct records *r, struct xlc_error *err)
{
    uint32_t type = le32(r->hdr), length = le32(r->hdr + 4);

    if (!(type & RECORD_OPTIONAL) && type > RECORD_MANDATORY_MAX)
        return xlc_error_set(err, -EPROTO, "record of unknown type 0x%x",
                             type);
    if (type == RECORD_END)
        return xlc_error_set(err, -EPROTO, "an END record inside an epoch");
    if (length > RECORDS_LENGTH_MAX)
        return xlc_error_set(err, -EPROTO, "record 0x%x of %u octets", type,
                             length);
    if (type == RECORD_CHECKPOINT && length)
        return xlc_error_set(err, -EPROTO, "CHECKPOINT of %u octets",
                             length);
    if (type == RECORD_PAGE_DATA && length < 16)
        return xlc_error_set(err, -EPROTO, "PAGE_DATA of %u octets", length);
    if (type == RECORD_TSC_INFO && length != RECORDS_TSC_LEN)
        return xlc_error_set(err, -EPROTO, "TSC_INFO of %u octets", length);
    r->type = type;
    r->body_left = ((uint64_t)length + 7) & ~7ull;
    if (type == RECORD_TSC_INFO) r->tsc_have = 0;
    /* The first four octets of PAGE_DATA count its pages. */
    if (type == RECORD_PAGE_DATA) {
        r->hdr_want = 4;
        r->want_count = true;
    }
    r->complete = type == RECORD_CHECKPOINT;
    return 0;
}

/* A header (or a page count) is whole. */
static int on_header(struct records *r, struct xlc_error *err)
{
    int rc;

    r->hdr_have = 0;
    if (!r->started) {
        rc = check_headers(r, err);
        r->started = true;
        r->hdr_want = RECORDS_REC_HDR;
        return rc;
    }
    if (r->want_count) {
        r->want_count = false;
        r->pages += le32(r->hdr);
        r->body_left -= 4;
        r->hdr_want = RECORDS_REC_HDR;
        return 0;
    }
    return check_record(r, err);
}

int records_feed(struct records *r, const uint8_t *data, size_t len,
                 struct xlc_error *err)
{
    while (len) {
        size_t n;

        /* Its first octet already: an epoch that ends inside the header of
         * one more record is not complete. */
        if (r->complete)
            return xlc_error_set(err, -EPROTO,
                                 "an epoch goes on after its CHECKPOINT");
        if (r->body_left && !r->want_count) {
            n = r->body_left < len ? (size_t)r->body_left : len;
            if (r->type == RECORD_TSC_INFO && r->tsc_have < sizeof(r->tsc)) {
                size_t k = sizeof(r->tsc) - r->tsc_have;

                if (k > n) k = n;
                memcpy(r->tsc + r->tsc_have, data, k);
                r->tsc_have += k;
            }
            r->body_left -= n;
        } else {
            n = r->hdr_want - r->hdr_have;
            if (n > len) n = len;
            memcpy(r->hdr + r->hdr_have, data, n);
            r->hdr_have += n;
            if (r->hdr_have == r->hdr_want) {
                int rc = on_header(r, err);

                if (rc) return rc;
            }
        }
        data += n;
        len -= n;
    }
    return 0;
}
