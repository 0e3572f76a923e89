/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-inplace.c - A domain of plain memory goes back to its checkpoint */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "memory-domain.h"
#include "tap.h"

/**
 * struct rig - a domain, its image, and what puts it back
 */
struct rig {
    struct domain dom;
    struct image *img;
    struct inplace ip;
};

static struct rig *rig_new(void)
{
    static const struct image_limits limits = {
        .pfns = IS_PFNS, .pages = IS_PFNS, .epoch_pages = 64, .vcpus = 2,
    };
    struct rig *r = calloc(1, sizeof(*r));
    struct xlc_error e = XLC_ERROR_INIT;

    if (!r || image_new(&r->img, &limits, &e) ||
        inplace_init(&r->ip, &fake_ops, &r->dom, IS_PFNS, &e)) abort();
    r->dom.fail = OPS;
    return r;
}

static void rig_free(struct rig *r)
{
    image_free(r->img);
    inplace_dispose(&r->ip);
    inplace_dispose(&r->ip); /* allowed */
    free(r);
}

static void feed(struct rig *r, struct is *s)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (image_feed(r->img, s->b, s->len, &e) || image_commit(r->img, &e)) {
        printf("# %s\n", e.msg);
        abort();
    }
    is_free(s);
}

/* A domain that was restored from the base. */
static struct rig *rig_based(void)
{
    struct is s = { .b = NULL };
    struct rig *r = rig_new();

    is_base(&s, 1);
    feed(r, &s);
    image_settle(r->img);
    domain_restored(&r->dom, r->img);
    return r;
}

static void epoch(struct rig *r, const uint64_t *pfns, uint32_t n,
                  uint32_t time)
{
    struct is s = { .b = NULL };

    is_epoch(&s, pfns, n, time);
    feed(r, &s);
}

/* The guest writes; or its backends do, through a grant. */
static void guest_writes(struct rig *r, uint64_t pfn)
{
    memset(r->dom.mem[pfn], 0x5a, IS_PAGE);
    r->dom.log |= 1ull << pfn;
}

static void backend_writes(struct rig *r, uint64_t pfn)
{
    memset(r->dom.mem[pfn], 0xa5, IS_PAGE);
    r->dom.granted |= 1ull << pfn;
}

/* Is the domain what the image is, to the last octet? */
static bool same(const struct rig *r)
{
    return domain_same(&r->dom, r->img);
}

/* What was called, in order, and each at least once but PUT and DROP. */
static bool in_order(const struct domain *d)
{
    enum op next = FITS;

    for (unsigned int i = 0; i < d->n; i++) {
        if (d->calls[i] == next) {
            next++;
            continue;
        }
        while (next < OPS && (next == DROP || next == PUT) &&
               d->calls[i] != next)
            next++;
        if (d->calls[i] != next) return false;
        next++;
    }
    return next == OPS;
}

static void test_back(void)
{
    static const uint64_t some[] = { 7, 8 };
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_based();

    guest_writes(r, 3);
    guest_writes(r, 8);
    ok(!inplace_apply(&r->ip, r->img, &e) && same(r),
       "what the copy wrote goes back %s", e.msg);
    ok(in_order(&r->dom) && r->ip.times.written == 2 &&
       r->ip.times.dirty == 2 && !r->ip.times.dropped,
       "two pages, and everything in its order");
    guest_writes(r, 3);
    epoch(r, some, 2, 2);
    ok(!inplace_apply(&r->ip, r->img, &e) && same(r) &&
       r->ip.times.written == 3, "and what the epoch changed");
    ok(!inplace_apply(&r->ip, r->img, &e) && same(r) &&
       !r->ip.times.written, "once: nothing is left to be written");
    epoch(r, some, 1, 3);
    epoch(r, some + 1, 1, 4);
    ok(!inplace_apply(&r->ip, r->img, &e) && same(r) &&
       r->ip.times.written == 2, "two epochs at once");
    rig_free(r);
}

/* A5: what backends write shows in the log only once they are closed. */
static void test_a5(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_based();

    backend_writes(r, 11);
    guest_writes(r, 12);
    ok(!inplace_apply(&r->ip, r->img, &e) && same(r) &&
       r->ip.times.written == 2,
       "A5: a page that a backend wrote through a grant goes back, too");
    rig_free(r);
}

static void test_balloon(void)
{
    static const uint64_t come[] = { 40 }, gone[] = { 2 | IS_ABSENT };
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_based();

    r->dom.there[5] = false; /* ballooned out: not in any log */
    r->dom.there[41] = true; /* ballooned in */
    ok(!inplace_apply(&r->ip, r->img, &e) && same(r) &&
       r->ip.times.written == 1 && r->ip.times.dropped == 1,
       "pages that the copy ballooned out and in");
    epoch(r, come, 1, 2);
    epoch(r, gone, 1, 3);
    ok(!inplace_apply(&r->ip, r->img, &e) && same(r) &&
       r->dom.there[40] && !r->dom.there[2],
       "pages that the primary ballooned in and out");
    rig_free(r);
}

/* Nothing happens to the domain before the epoch is whole, and fits. */
static void test_refused(void)
{
    static const uint64_t some[] = { 7 };
    struct xlc_error e = XLC_ERROR_INIT;
    struct is s = { .b = NULL };
    struct rig *r = rig_new();

    ok(inplace_apply(&r->ip, r->img, &e) == -EINVAL && !r->dom.n &&
       r->ip.state == INPLACE_RUNS && strstr(e.msg, "no whole checkpoint"),
       "no image: %s", e.msg);
    rig_free(r);

    r = rig_based();
    guest_writes(r, 3);
    is_epoch(&s, some, 1, 2);
    ok(!image_feed(r->img, s.b, s.len - 1, &e), "an epoch without its end");
    ok(!inplace_apply(&r->ip, r->img, &e) && same(r) && r->dom.time == 1,
       "goes back to the one before");
    ok(!image_feed(r->img, s.b + s.len - 1, 1, &e) &&
       !image_commit(r->img, &e), "and then it is whole");
    is_free(&s);
    r->dom.n = 0;
    r->dom.fail = FITS;
    xlc_error_clear(&e);
    ok(inplace_apply(&r->ip, r->img, &e) == -EINVAL && r->dom.n == 1 &&
       r->ip.state == INPLACE_RUNS && !r->ip.all,
       "one that does not fit: the domain runs on, untouched");
    r->ip.pfns--;
    xlc_error_clear(&e);
    ok(inplace_apply(&r->ip, r->img, &e) == -EINVAL && r->dom.n == 1 &&
       strstr(e.msg, "the image is for 0x40 page frames"), "%s", e.msg);
    r->ip.pfns++;
    xlc_error_clear(&e);
    ok(inplace_write(&r->ip, r->img, &e) == -EINVAL && r->dom.n == 1,
       "no writing before it is quiet");
    xlc_error_clear(&e);
    ok(inplace_go(&r->ip, r->img, &e) == -EINVAL && r->dom.n == 1,
       "no running before it is written");
    r->dom.fail = OPS;
    xlc_error_clear(&e);
    ok(!inplace_quiet(&r->ip, r->img, &e) &&
       inplace_quiet(&r->ip, r->img, &e) == -EINVAL &&
       strstr(e.msg, "already"), "not quiet twice");
    ok(!inplace_write(&r->ip, r->img, &e) && !inplace_go(&r->ip, r->img, &e) &&
       same(r), "step by step");
    rig_free(r);
}

/* B2: whatever fails in the middle, the image rebuilds the domain. */
static void test_b2(void)
{
    static const uint64_t some[] = { 7, 8, 3 | IS_ABSENT };

    for (enum op op = PAUSE; op < OPS; op++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct rig *r = rig_based();

        guest_writes(r, 20);
        epoch(r, some, 3, 2);
        r->dom.fail = op;
        ok(inplace_apply(&r->ip, r->img, &e) == -EIO &&
           r->ip.state == INPLACE_BROKEN && strstr(e.msg, op_names[op]),
           "B2: %s fails", op_names[op]);
        /* Worse: the log that was read is lost. */
        memset(r->dom.mem[33], 0, IS_PAGE);
        r->dom.fail = OPS;
        r->dom.n = 0;
        xlc_error_clear(&e);
        ok(!inplace_apply(&r->ip, r->img, &e) && same(r) &&
           r->ip.state == INPLACE_RUNS && r->dom.calls[0] == FITS,
           "the next time writes every page %s", e.msg);
        guest_writes(r, 21);
        ok(!inplace_apply(&r->ip, r->img, &e) && same(r) &&
           r->ip.times.written == 1, "and the one after that only what is "
           "needed");
        rig_free(r);
    }
}

/* A long life: whatever happens between two rollbacks. */
static void test_random(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_based();
    uint64_t seed = 42;
    unsigned int wrong = 0;

    for (uint32_t round = 2; round < 2000; round++) {
        for (int i = 0; i < 12; i++) {
            uint64_t pfn;

            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            pfn = seed >> 40 & (IS_PFNS - 1);
            switch (seed >> 60 & 7) {
            case 0: r->dom.there[pfn] = !r->dom.there[pfn]; break;
            case 1:
                pfn |= seed >> 20 & 1 ? IS_ABSENT : 0;
                epoch(r, &pfn, 1, round);
                break;
            case 2: r->dom.fail = (enum op)(seed >> 30 & 15); break;
            case 3:
            case 4: if (r->dom.there[pfn]) backend_writes(r, pfn); break;
            default: if (r->dom.there[pfn]) guest_writes(r, pfn);
            }
        }
        r->dom.n = 0;
        if (inplace_apply(&r->ip, r->img, &e)) {
            xlc_error_clear(&e);
            r->dom.fail = OPS;
            if (inplace_apply(&r->ip, r->img, &e)) wrong++;
        }
        wrong += !same(r);
    }
    ok(!wrong, "2000 rounds of everything: always the checkpoint");
    rig_free(r);
}

int main(void)
{
    test_back();
    test_a5();
    test_balloon();
    test_refused();
    test_b2();
    test_random();
    return done_testing();
}
