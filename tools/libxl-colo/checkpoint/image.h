/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image.h - A guest's whole last checkpoint, kept in memory
 *
 * Theory of operation
 * -------------------
 * The secondary of a running copy needs every page of the last checkpoint,
 * not only those that the primary sends: what the copy itself has touched goes
 * back, too (RULES A5). The image is made of the same libxc stream that the
 * restore reads:
 *
 *   image_feed()    octets of one epoch, in pieces of any size. Each record is
 *                   checked before anything of it is kept: page frame numbers
 *                   in range, page types known, lengths exact.
 *   image_commit()  the epoch is whole (its last octet ended a CHECKPOINT) and
 *                   has a machine state that fits; only now it replaces the
 *                   one before.
 *   image_abort()   it will never be whole; it is as if it had never come.
 *
 * The first epoch (the base) is written where it stays. Pages of a later one
 * are kept aside until the commit: so the image is always that of one whole
 * checkpoint. All of an acknowledged epoch is in memory that was written to
 * already, so committing it allocates nothing and can't fail for want of
 * memory (RULES B2).
 *
 * Pages have a place of their own each, by page frame number, in address
 * space that costs memory only where pages are. A page frame without a page
 * is "absent": the guest has ballooned it out, or it is a hole.
 *
 * Only streams of PVH and HVM guests (libxc calls both HVM); whether a guest
 * can be put back in place is decided in inplace.h. Pure: no I/O.
 */
#ifndef XLC_IMAGE_H
#define XLC_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define IMAGE_PAGE 4096u
/* Parameters that a stream may carry; Xen has fewer. */
#define IMAGE_PARAMS 64u

/**
 * struct image_limits - what a guest may have at most
 * @pfns: page frame numbers are below this
 * @pages: pages of the guest
 * @epoch_pages: pages that an epoch after the first may announce
 * @vcpus: virtual CPUs
 */
struct image_limits {
    uint64_t pfns, pages, epoch_pages;
    unsigned int vcpus;
};

/* TSC_INFO, as libxc sends it. */
struct image_tsc {
    uint32_t mode, khz, incarnation;
    uint64_t nsec;
};

struct image;

/* Page frame numbers for a guest with so much memory (octets): all of it and
 * the hole below 4 GiB. */
uint64_t image_pfns(uint64_t memory);

/**
 * image_new() - an image of nothing yet
 *
 * Return: 0; -ENOMEM
 */
int image_new(struct image **img_r, const struct image_limits *limits,
              struct xlc_error *err);

/* NULL is allowed. */
void image_free(struct image *img);

/**
 * image_feed() - the next octets of the epoch that is arriving
 *
 * Return: 0; -EPROTO (what came is no such stream, with a sentence), -ENOMEM
 * (more than the limits allow, or no memory): then only image_abort() helps
 */
int image_feed(struct image *img, const uint8_t *data, size_t len,
               struct xlc_error *err);

/* The last octet ended the epoch's CHECKPOINT record. */
bool image_complete(const struct image *img);

/**
 * image_check() - is what arrived a whole epoch with a machine state?
 *
 * Return: 0, and then image_commit() will not fail; -EPROTO
 */
int image_check(const struct image *img, struct xlc_error *err);

/**
 * image_preview() - show the machine state of the epoch that has arrived
 * @on: image_context(), image_tsc() and image_param() speak of it until it is
 *      committed or aborted, or this is called with false
 *
 * Only for an epoch that image_check() has found right: so that it can be
 * compared with the domain before it is acknowledged.
 */
void image_preview(struct image *img, bool on);

/**
 * image_commit() - make the epoch that arrived the image
 *
 * Return: as image_check(); after a failure the image is what it was
 */
int image_commit(struct image *img, struct xlc_error *err);

/**
 * image_abort() - the epoch that was arriving will never be whole
 *
 * The next octets are the first of an epoch again. If there is no whole epoch
 * yet, they are those of a new stream.
 */
void image_abort(struct image *img);

/* True once an epoch was committed. */
bool image_whole(const struct image *img);

/* How many epochs were committed. */
uint64_t image_epochs(const struct image *img);

/* A page of the checkpoint; NULL: absent. Valid until the next feed. */
const uint8_t *image_page(const struct image *img, uint64_t pfn);

uint64_t image_limit(const struct image *img); /* pfns are below it */
uint64_t image_pages(const struct image *img); /* present */

/**
 * image_changed() - page frames that epochs have changed since image_settle()
 *
 * Return: a bit each, lowest first, for image_limit() page frames
 */
const uint64_t *image_changed(const struct image *img);

/* The domain is what the image is: forget what was changed. */
void image_settle(struct image *img);

/* The machine state of the checkpoint. */
const uint8_t *image_context(const struct image *img, size_t *len_r);
const struct image_tsc *image_tsc(const struct image *img);

/* A parameter. Return: false if the stream had none of that index */
bool image_param(const struct image *img, unsigned int index,
                 uint64_t *value_r);

/* Octets of memory that the image takes now (for the status). */
uint64_t image_memory(const struct image *img);

#endif
