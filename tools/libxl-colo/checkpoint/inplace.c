/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace.c - Put a running domain back to a checkpoint; see inplace.h */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "inplace.h"
#include "log.h"

static const char *const state_names[] = {
    [INPLACE_RUNS] = "runs",
    [INPLACE_QUIET] = "quiet",
    [INPLACE_WRITTEN] = "written",
    [INPLACE_BROKEN] = "broken",
};
_Static_assert(sizeof(state_names) / sizeof(state_names[0]) ==
               INPLACE_BROKEN + 1, "a name for each state");

/**
 * struct batch - page frames that are handed to the domain together
 * @n: of them
 */
struct batch {
    uint64_t pfns[INPLACE_BATCH];
    const uint8_t *pages[INPLACE_BATCH];
    unsigned int n;
};

int inplace_init(struct inplace *ip, const struct inplace_ops *ops, void *dom,
                 uint64_t pfns, struct xlc_error *err)
{
    *ip = (struct inplace){ .ops = ops, .dom = dom, .pfns = pfns };
    ip->bits = calloc((size_t)(pfns + 63) / 64, 8);
    return ip->bits ? 0 : xlc_error_set(err, -ENOMEM, "no memory");
}

void inplace_dispose(struct inplace *ip)
{
    free(ip->bits);
    ip->bits = NULL;
}

static void enter(struct inplace *ip, enum inplace_state state)
{
    log_debug("in place: %s -> %s", state_names[ip->state],
              state_names[state]);
    ip->state = state;
}

/* After a failure in the middle: what the domain has is not known any more. */
static int broken(struct inplace *ip, int rc)
{
    ip->all = true;
    enter(ip, INPLACE_BROKEN);
    return rc;
}

void inplace_held(struct inplace *ip)
{
    enter(ip, INPLACE_WRITTEN);
    ip->joined = true;
}

int inplace_fits(const struct inplace *ip, const struct image *img,
                 struct xlc_error *err)
{
    if (image_limit(img) != ip->pfns)
        return xlc_error_set(err, -EINVAL, "the image is for 0x%llx page "
                             "frames, the domain for 0x%llx",
                             (unsigned long long)image_limit(img),
                             (unsigned long long)ip->pfns);
    return ip->ops->fits(ip->dom, img, err);
}

static int check_image(const struct inplace *ip, const struct image *img,
                       struct xlc_error *err)
{
    if (!image_whole(img))
        return xlc_error_set(err, -EINVAL, "there is no whole checkpoint to "
                             "put the domain back to");
    return inplace_fits(ip, img, err);
}

int inplace_quiet(struct inplace *ip, const struct image *img,
                  struct xlc_error *err)
{
    uint64_t begun = clock_us();
    int rc;

    if (ip->state == INPLACE_QUIET)
        return xlc_error_set(err, -EINVAL, "the domain is being put back "
                             "already");
    rc = check_image(ip, img, err);
    if (rc) return rc;
    ip->joined = false;
    rc = ip->ops->pause(ip->dom, err);
    if (!rc) rc = ip->ops->close(ip->dom, err);
    if (rc) return broken(ip, rc);
    ip->times = (struct inplace_times){ .quiet_us = clock_us() - begun };
    enter(ip, INPLACE_QUIET);
    return 0;
}

static uint64_t count_bits(const struct inplace *ip)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < (ip->pfns + 63) / 64; i++)
        n += (uint64_t)__builtin_popcountll(ip->bits[i]);
    return n;
}

/* Which page frames have to be written? */
static int choose(struct inplace *ip, const struct image *img,
                  struct xlc_error *err)
{
    const uint64_t *changed = image_changed(img);
    uint64_t words = (ip->pfns + 63) / 64;
    int rc;

    memset(ip->bits, 0, (size_t)words * 8);
    rc = ip->ops->dirty(ip->dom, ip->bits, ip->pfns, err);
    if (rc) return rc;
    ip->times.dirty = count_bits(ip);
    for (uint64_t i = 0; i < words; i++)
        ip->bits[i] |= changed[i];
    for (uint64_t pfn = 0; ip->all && pfn < ip->pfns; pfn++)
        if (image_page(img, pfn))
            ip->bits[pfn / 64] |= (uint64_t)1 << pfn % 64;
    return ip->ops->moved(ip->dom, img, ip->all, ip->bits, err);
}

static int put(struct inplace *ip, struct batch *b, struct xlc_error *err)
{
    int rc = b->n ? ip->ops->put(ip->dom, b->pfns, b->pages, b->n, err) : 0;

    ip->times.written += b->n;
    b->n = 0;
    return rc;
}

static int drop(struct inplace *ip, struct batch *b, struct xlc_error *err)
{
    int rc = b->n ? ip->ops->drop(ip->dom, b->pfns, b->n, err) : 0;

    ip->times.dropped += b->n;
    b->n = 0;
    return rc;
}

/* First what goes, then what comes: the domain may have no page to spare. */
static int write_pages(struct inplace *ip, const struct image *img,
                       bool present, struct xlc_error *err)
{
    struct batch b = { .n = 0 };
    int rc = 0;

    for (uint64_t w = 0; !rc && w < (ip->pfns + 63) / 64; w++) {
        uint64_t left = ip->bits[w];

        for (; !rc && left; left &= left - 1) {
            uint64_t pfn = w * 64 + (uint64_t)__builtin_ctzll(left);
            const uint8_t *page;

            if (pfn >= ip->pfns) break;
            page = image_page(img, pfn);
            if (present != !!page) continue;
            b.pfns[b.n] = pfn;
            b.pages[b.n++] = page;
            if (b.n == INPLACE_BATCH)
                rc = present ? put(ip, &b, err) : drop(ip, &b, err);
        }
    }
    if (rc) return rc;
    return present ? put(ip, &b, err) : drop(ip, &b, err);
}

int inplace_write(struct inplace *ip, const struct image *img,
                  struct xlc_error *err)
{
    uint64_t begun = clock_us();
    int rc;

    if (ip->state != INPLACE_QUIET)
        return xlc_error_set(err, -EINVAL, "the domain is not quiet");
    rc = choose(ip, img, err);
    if (!rc) rc = ip->ops->reset(ip->dom, err);
    if (!rc) rc = write_pages(ip, img, false, err);
    if (!rc) rc = write_pages(ip, img, true, err);
    if (!rc) rc = ip->ops->machine(ip->dom, img, err);
    if (rc) return broken(ip, rc);
    ip->all = false;
    ip->times.write_us = clock_us() - begun;
    enter(ip, INPLACE_WRITTEN);
    return 0;
}

int inplace_join(struct inplace *ip, struct xlc_error *err)
{
    int rc;

    if (ip->state != INPLACE_WRITTEN)
        return xlc_error_set(err, -EINVAL, "the domain is not written");
    rc = ip->joined ? 0 : ip->ops->rejoin(ip->dom, err);
    if (rc) return broken(ip, rc);
    ip->joined = true;
    return 0;
}

int inplace_go(struct inplace *ip, struct image *img, struct xlc_error *err)
{
    uint64_t begun = clock_us();
    int rc = inplace_join(ip, err);

    if (rc) return rc;
    rc = ip->ops->go(ip->dom, err);
    if (rc) return broken(ip, rc);
    image_settle(img);
    ip->times.go_us = clock_us() - begun;
    enter(ip, INPLACE_RUNS);
    return 0;
}

int inplace_apply(struct inplace *ip, struct image *img,
                  struct xlc_error *err)
{
    int rc = inplace_quiet(ip, img, err);

    if (!rc) rc = inplace_write(ip, img, err);
    if (!rc) rc = inplace_go(ip, img, err);
    return rc;
}
