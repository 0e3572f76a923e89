/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * records.h - Walk a libxc migration stream without understanding pages
 *
 * The receiver checks every epoch before it acknowledges it: headers at the
 * start of the first one, then well-formed records (known mandatory type or
 * optional, a length within libxc's bound), and a CHECKPOINT record as its
 * very last. Octets come in pieces of any size. Pure: no I/O, no allocation.
 *
 * Source: Xen's docs/specs/libxc-migration-stream (version 3, x86).
 */
#ifndef XLC_RECORDS_H
#define XLC_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define RECORDS_IMAGE_HDR  24u /* octets of image header */
#define RECORDS_DOMAIN_HDR 16u
#define RECORDS_REC_HDR    8u
#define RECORDS_LENGTH_MAX (128u << 20) /* libxc's own bound */

/* Record types that matter here. */
#define RECORD_END          0x00000000u
#define RECORD_PAGE_DATA    0x00000001u
#define RECORD_TSC_INFO     0x00000008u
#define RECORD_CHECKPOINT   0x0000000eu
#define RECORD_MANDATORY_MAX 0x00000012u
#define RECORD_OPTIONAL     0x80000000u

#define RECORDS_TSC_LEN 24u

/**
 * struct records - where in the stream we are
 * @hdr: a header that is still arriving, @hdr_have octets of it
 * @hdr_want: octets of the header that comes next
 * @body_left: octets of the current record (with padding) to come
 * @type: of the current record
 * @started: the stream's two headers were seen
 * @complete: the last octet ended a CHECKPOINT record
 * @pages: page frame numbers announced in this epoch
 * @tsc: the newest TSC_INFO body, @tsc_have octets of it
 */
struct records {
    uint8_t hdr[RECORDS_IMAGE_HDR + RECORDS_DOMAIN_HDR];
    size_t hdr_have, hdr_want;
    uint64_t body_left;
    uint32_t type;
    bool started, complete, want_count;
    uint64_t pages;
    uint8_t tsc[RECORDS_TSC_LEN];
    size_t tsc_have;
};

void records_init(struct records *r);

/**
 * records_feed() - look at the next octets
 *
 * Return: 0, or -EPROTO with a sentence; then the stream is of no use
 */
int records_feed(struct records *r, const uint8_t *data, size_t len,
                 struct xlc_error *err);

/* After a complete epoch: count anew. */
void records_next_epoch(struct records *r);

#endif
