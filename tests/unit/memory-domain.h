/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory-domain.h - inplace_ops over a domain of plain memory
 *
 * Each operation can be told to fail.
 */
#ifndef XLC_TESTS_MEMORY_DOMAIN_H
#define XLC_TESTS_MEMORY_DOMAIN_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "image-stream.h"
#include "inplace.h"

/* The operations, by the order in which they are wanted. */
enum op {
    FITS, PAUSE, CLOSE, DIRTY, MOVED, RESET, DROP, PUT, MACHINE, REJOIN, GO,
    OPS,
};

static const char *const op_names[OPS] = {
    "fits", "pause", "close", "dirty", "moved", "reset", "drop", "put",
    "machine", "rejoin", "go",
};

/**
 * struct domain - of plain memory
 * @mem, @there: its pages
 * @log: page frames in its log of writes; @granted: written to by its
 *       backends, which is logged when they are closed (RULES A5)
 * @seen: the time of the image that @fits was last asked about
 * @calls: what was called, in order, @n of it
 * @fail: this operation fails; @broken: it has, after the domain was touched
 */
struct domain {
    uint8_t mem[IS_PFNS][IS_PAGE];
    bool there[IS_PFNS];
    uint64_t log, granted;
    uint64_t time, seen;
    enum op calls[64];
    unsigned int n;
    enum op fail;
    bool broken;
};

static int call(void *dom, enum op op, struct xlc_error *err)
{
    struct domain *d = dom;

    if (d->n < 64) d->calls[d->n++] = op;
    if (op == MACHINE && d->fail != op) d->broken = false;
    if (d->fail != op) return 0;
    if (op != FITS) d->broken = true;
    return xlc_error_set(err, op == FITS ? -EINVAL : -EIO, "%s failed",
                         op_names[op]);
}

static int fake_fits(void *dom, const struct image *img,
                     struct xlc_error *err)
{
    struct domain *d = dom;

    d->seen = image_tsc(img)->nsec / 1000;
    return call(dom, FITS, err);
}

static int fake_pause(void *dom, struct xlc_error *err)
{
    return call(dom, PAUSE, err);
}

static int fake_close(void *dom, struct xlc_error *err)
{
    struct domain *d = dom;

    d->log |= d->granted;
    d->granted = 0;
    return call(dom, CLOSE, err);
}

static int fake_dirty(void *dom, uint64_t *bits, uint64_t pfns,
                      struct xlc_error *err)
{
    struct domain *d = dom;

    if (pfns < IS_PFNS) return xlc_error_set(err, -EINVAL, "pfns");
    bits[0] |= d->log;
    d->log = 0;
    return call(dom, DIRTY, err);
}

static int fake_moved(void *dom, const struct image *img, bool all,
                      uint64_t *bits, struct xlc_error *err)
{
    struct domain *d = dom;

    if (all != d->broken)
        return xlc_error_set(err, -EINVAL, "what is known: %d", all);
    for (uint64_t i = 0; i < IS_PFNS; i++)
        if (d->there[i] != !!image_page(img, i)) bits[0] |= 1ull << i;
    return call(dom, MOVED, err);
}

static int fake_reset(void *dom, struct xlc_error *err)
{
    return call(dom, RESET, err);
}

static int fake_put(void *dom, const uint64_t *pfns,
                    const uint8_t *const *pages, unsigned int n,
                    struct xlc_error *err)
{
    struct domain *d = dom;
    int rc = call(dom, PUT, err);

    for (unsigned int i = 0; !rc && i < n; i++) {
        d->there[pfns[i]] = true;
        memcpy(d->mem[pfns[i]], pages[i], IS_PAGE);
    }
    return rc;
}

static int fake_drop(void *dom, const uint64_t *pfns, unsigned int n,
                     struct xlc_error *err)
{
    struct domain *d = dom;
    int rc = call(dom, DROP, err);

    for (unsigned int i = 0; !rc && i < n; i++)
        d->there[pfns[i]] = false;
    return rc;
}

static int fake_machine(void *dom, const struct image *img,
                        struct xlc_error *err)
{
    struct domain *d = dom;

    d->time = image_tsc(img)->nsec / 1000;
    return call(dom, MACHINE, err);
}

static int fake_rejoin(void *dom, struct xlc_error *err)
{
    return call(dom, REJOIN, err);
}

static int fake_go(void *dom, struct xlc_error *err)
{
    return call(dom, GO, err);
}

static const struct inplace_ops fake_ops = {
    .fits = fake_fits, .pause = fake_pause, .close = fake_close,
    .dirty = fake_dirty, .moved = fake_moved, .reset = fake_reset,
    .put = fake_put, .drop = fake_drop, .machine = fake_machine,
    .rejoin = fake_rejoin, .go = fake_go,
};

/* The domain has what the image has, as after a restore. */
static inline void domain_restored(struct domain *d, const struct image *img)
{
    for (uint64_t i = 0; i < IS_PFNS; i++) {
        const uint8_t *page = image_page(img, i);

        d->there[i] = page;
        if (page) memcpy(d->mem[i], page, IS_PAGE);
    }
}

/* Is the domain what the image is, to the last octet? */
static inline bool domain_same(const struct domain *d, const struct image *img)
{
    for (uint64_t i = 0; i < IS_PFNS; i++) {
        const uint8_t *page = image_page(img, i);

        if (d->there[i] != !!page ||
            (page && memcmp(d->mem[i], page, IS_PAGE))) {
            printf("# page frame %llu differs\n", (unsigned long long)i);
            return false;
        }
    }
    return d->time == image_tsc(img)->nsec / 1000;
}

#endif
