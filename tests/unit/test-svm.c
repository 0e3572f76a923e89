/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-svm.c - The copy that stays a domain: epochs in, rollbacks, failovers
 *
 * Over a domain of plain memory. A second image, which gets only what counts,
 * says what the domain has to be.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory-domain.h"
#include "svm.h"
#include "tap.h"

/**
 * struct rig - a copy, its host, and what it has to be
 * @model: what counts
 * @next: the octets of the epoch that is arriving
 * @again: how often a rollback may be tried again; @heal: the fault is gone
 *         then; @asked: how often it was asked
 * @quieted: how often the copy stood still; @quiet_fails: so often that is of
 *           no use; @orderly: its backends were closed then, and no page of
 *           the epoch was written
 * @paused: somebody has paused it while it ran beside
 */
struct rig {
    struct domain dom;
    struct svm *svm;
    struct image *model;
    struct is next;
    bool build_fails, heal;
    unsigned int again, asked, built, quieted, quiet_fails;
    bool orderly, paused;
    uint64_t spare;
};

static int host_build(void *host, const struct inplace_ops **ops_r,
                      void **dom_r, struct xlc_error *err)
{
    struct rig *r = host;

    if (r->build_fails) return xlc_error_set(err, -EIO, "no such bridge");
    domain_restored(&r->dom, r->model);
    r->dom.time = image_tsc(r->model)->nsec / 1000;
    r->built++;
    *ops_r = &fake_ops;
    *dom_r = &r->dom;
    return 0;
}

static bool host_again(void *host, const struct xlc_error *why)
{
    struct rig *r = host;

    r->asked++;
    if (!why->status || r->asked > r->again) return false;
    if (r->heal) r->dom.fail = OPS;
    return true;
}

static uint64_t host_spare(void *host)
{
    return ((struct rig *)host)->spare;
}

static int host_quiet(void *host, struct xlc_error *err)
{
    struct rig *r = host;

    r->quieted++;
    r->orderly = r->dom.n && r->dom.calls[r->dom.n - 1] == CLOSE;
    if (!r->quiet_fails) return 0;
    r->quiet_fails--;
    return xlc_error_set(err, -EBUSY, "packets keep coming");
}

static bool host_paused(void *host)
{
    return ((struct rig *)host)->paused;
}

static const struct svm_ops host_ops = {
    .build = host_build, .again = host_again, .spare = host_spare,
    .quiet = host_quiet, .paused = host_paused,
};

static const struct image_limits limits = {
    .pfns = IS_PFNS, .pages = IS_PFNS, .epoch_pages = 64, .vcpus = 2,
};

static struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct xlc_error e = XLC_ERROR_INIT;

    if (!r) abort();
    r->spare = UINT64_MAX;
    r->dom.fail = OPS;
    if (svm_new(&r->svm, &limits, &host_ops, r, &e) ||
        image_new(&r->model, &limits, &e)) abort();
    return r;
}

static void rig_free(struct rig *r)
{
    svm_free(r->svm);
    image_free(r->model);
    is_free(&r->next);
    free(r);
}

static enum svm_state state_of(struct rig *r)
{
    struct svm_view v;

    svm_view(r->svm, &v);
    return v.state;
}

static unsigned int calls(const struct rig *r, enum op op)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < r->dom.n; i++)
        n += r->dom.calls[i] == op;
    return n;
}

/* The epoch arrives, in pieces, but for its last @but octets. */
static int arrive(struct rig *r, size_t but, struct xlc_error *err)
{
    size_t len = r->next.len - but;
    int rc = 0;

    for (size_t at = 0; at < len && !rc; at += 1000)
        rc = svm_feed(r->svm, r->next.b + at, len - at < 1000 ? len - at :
                      1000, err);
    return rc;
}

/* It counts. */
static void counts(struct rig *r)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (image_feed(r->model, r->next.b, r->next.len, &e) ||
        image_commit(r->model, &e)) {
        printf("# the model: %s\n", e.msg);
        abort();
    }
    is_free(&r->next);
}

/* A copy that has the first epoch. */
static struct rig *rig_built(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_new();
    int rc;

    is_base(&r->next, 1);
    rc = arrive(r, 0, &e);
    if (!rc) rc = svm_check(r->svm, &e);
    counts(r);
    if (!rc) rc = svm_build(r->svm, &e);
    if (rc) {
        printf("# built: %s\n", e.msg);
        abort();
    }
    return r;
}

static void make_epoch(struct rig *r, uint32_t time)
{
    static const uint64_t pfns[] = { 7, 8, 3 | IS_ABSENT, 41 };

    is_epoch(&r->next, pfns, 4, time);
}

/* A whole epoch, up to the moment when it is acknowledged and counts. */
static int take(struct rig *r, uint32_t time, struct xlc_error *err)
{
    int rc;

    make_epoch(r, time);
    rc = arrive(r, 0, err);
    if (!rc) rc = svm_check(r->svm, err);
    if (rc) return rc;
    counts(r);
    return svm_take(r->svm, err);
}

static bool same(const struct rig *r)
{
    return domain_same(&r->dom, r->model);
}

/* The failover. */
static bool opens(struct rig *r)
{
    struct xlc_error e = XLC_ERROR_INIT;
    unsigned int before = calls(r, GO);
    bool good = !svm_ready(r->svm, &e) && calls(r, GO) == before &&
                !svm_go(r->svm, &e) && calls(r, GO) == before + 1;

    if (!good) printf("# %s\n", e.msg);
    return good && same(r) && state_of(r) == SVM_RUNS;
}

static void test_life(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_built();
    struct svm_view v;

    ok(r->built == 1 && same(r) && state_of(r) == SVM_HELD,
       "the first epoch builds the domain");
    for (uint32_t t = 2; t < 6; t++)
        ok(!take(r, t, &e) && !svm_put(r->svm, &e) && same(r),
           "epoch %u puts it back %s", t, e.msg);
    svm_view(r->svm, &v);
    ok(v.puts == 4 && !v.failures && v.written == 3 &&
       v.image_bytes >= 60 * IS_PAGE, "four times, three pages each");
    {
        static const uint64_t other[] = { 30 };

        is_epoch(&r->next, other, 1, 6);
        if (arrive(r, 0, &e) || svm_check(r->svm, &e)) abort();
        counts(r);
        ok(!svm_take(r->svm, &e) && !svm_put(r->svm, &e) && same(r),
           "an epoch of one page");
        svm_view(r->svm, &v);
        ok(v.written == 1, "writes one page");
    }
    /* A backend, or somebody in domain 0, wrote to it. */
    memset(r->dom.mem[20], 1, IS_PAGE);
    r->dom.granted |= 1ull << 20;
    ok(!take(r, 7, &e) && !svm_put(r->svm, &e) && same(r),
       "what else was written goes back, too");
    ok(!calls(r, GO) && !calls(r, REJOIN) && r->dom.n,
       "A9: nothing has let it go so far");
    r->dom.n = 0;
    ok(opens(r) && calls(r, REJOIN) == 1 && !calls(r, PUT),
       "the failover restores nothing: it begins anew with xenstore, and "
       "goes");
    ok(svm_ready(r->svm, &e) == -EINVAL && strstr(e.msg, "runs"),
       "once it runs nobody puts it back");
    rig_free(r);

    r = rig_built();
    r->dom.n = 0;
    ok(opens(r) && r->dom.n == 1, "right after the first epoch it only has "
       "to be let go");
    rig_free(r);
}

static void test_order(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_new();

    ok(svm_take(r->svm, &e) == -EINVAL && strstr(e.msg, "empty"),
       "an empty copy takes no epoch");
    xlc_error_clear(&e);
    ok(svm_ready(r->svm, &e) == -EINVAL && svm_go(r->svm, &e) == -EINVAL &&
       svm_put(r->svm, &e) == -EINVAL && !r->dom.n,
       "nor can it run or be put back");
    rig_free(r);

    r = rig_built();
    xlc_error_clear(&e);
    ok(svm_build(r->svm, &e) == -EINVAL && svm_put(r->svm, &e) == -EINVAL &&
       strstr(e.msg, "built already"), "it is built once");
    xlc_error_clear(&e);
    ok(!take(r, 2, &e) && svm_take(r->svm, &e) == -EINVAL,
       "B2: the next epoch counts only when this one is in the domain");
    xlc_error_clear(&e);
    ok(svm_go(r->svm, &e) == -EINVAL && strstr(e.msg, "stale"),
       "and meanwhile nothing may run");
    ok(opens(r), "until it was put back: what was acknowledged is what runs");
    rig_free(r);
}

/* B2: nothing that can't be applied is acknowledged. */
static void test_check(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_built();

    make_epoch(r, 2);
    ok(!arrive(r, 1, &e) && svm_check(r->svm, &e) == -EPROTO,
       "B2: an epoch without its last octet: %s", e.msg);
    ok(opens(r), "a failover in the middle of it runs the one before");
    rig_free(r);

    r = rig_built();
    xlc_error_clear(&e);
    make_epoch(r, 2);
    r->dom.n = 0;
    r->dom.fail = FITS;
    ok(!arrive(r, 0, &e) && svm_check(r->svm, &e) == -EINVAL &&
       r->dom.seen == 2 && r->dom.n == 1,
       "B2: the one that arrived is compared with the domain: %s", e.msg);
    r->dom.fail = OPS;
    ok(opens(r), "and if it does not fit the one before runs");
    rig_free(r);

    r = rig_built();
    xlc_error_clear(&e);
    make_epoch(r, 2);
    r->next.b[0] = 0xee;
    ok(arrive(r, 0, &e) == -EPROTO, "an epoch that is none: %s", e.msg);
    ok(opens(r), "the one before runs");
    rig_free(r);

    r = rig_built();
    xlc_error_clear(&e);
    r->spare = SVM_FLOOR;
    make_epoch(r, 2);
    ok(!arrive(r, 0, &e) && svm_check(r->svm, &e) == -ENOMEM &&
       strstr(e.msg, "no memory for the checkpoint: domain 0 needs 4 MiB"),
       "B2: no memory to apply it: %s", e.msg);
    rig_free(r);
}

static void test_memory(void)
{
    static const struct image_limits big = {
        .pfns = 4096, .pages = 4096, .epoch_pages = 4096, .vcpus = 2,
    };
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_new();
    struct svm *svm = NULL;
    int rc = 0;

    r->spare = SVM_FLOOR + 4096 * IS_PAGE - 1;
    ok(svm_new(&svm, &big, &host_ops, r, &e) == -ENOMEM && !svm &&
       strstr(e.msg, "a whole image"), "no room for the image: %s", e.msg);
    r->spare++;
    xlc_error_clear(&e);
    ok(!svm_new(&svm, &big, &host_ops, r, &e), "just enough %s", e.msg);
    r->spare = 0;
    is_start(&r->next);
    for (int i = 0; i < 40 && !rc; i++) { /* 64 pages each: 10 MiB */
        uint64_t pfns[IS_PFNS];

        for (uint64_t p = 0; p < IS_PFNS; p++)
            pfns[p] = p;
        is_pages(&r->next, pfns, IS_PFNS, 1);
        rc = svm_feed(svm, r->next.b, r->next.len, &e);
        is_free(&r->next);
    }
    ok(rc == -ENOMEM, "a host that runs short is seen while octets come: %s",
       e.msg);
    svm_free(svm);
    rig_free(r);
}

/* A fault at every step of a rollback. */
static void test_faults(void)
{
    for (enum op op = PAUSE; op <= MACHINE; op++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct rig *r = rig_built();
        struct svm_view v;

        r->dom.there[50] = false; /* so that DROP and PUT have work */
        r->dom.fail = op;
        ok(!take(r, 2, &e) && svm_put(r->svm, &e) == -EIO &&
           strstr(e.msg, op_names[op]) && state_of(r) == SVM_STALE,
           "B2: %s fails, for good: %s", op_names[op], e.msg);
        xlc_error_clear(&e);
        ok(r->asked == 1 && svm_go(r->svm, &e) == -EINVAL && !calls(r, GO),
           "then nothing runs");
        xlc_error_clear(&e);
        ok(svm_ready(r->svm, &e) == -EIO, "not at a failover either: %s",
           e.msg);
        memset(r->dom.mem[33], 0, IS_PAGE); /* in no log any more */
        r->dom.fail = OPS;
        ok(opens(r), "until a try writes every page");
        rig_free(r);

        r = rig_built();
        xlc_error_clear(&e);
        r->dom.fail = op;
        r->again = 3;
        r->heal = true;
        ok(!take(r, 2, &e) && !svm_put(r->svm, &e) && same(r) &&
           r->asked == 1, "%s fails once: the next try does it",
           op_names[op]);
        svm_view(r->svm, &v);
        ok(v.failures == 1 && v.puts == 1 && !take(r, 3, &e) &&
           !svm_put(r->svm, &e) && same(r) && opens(r),
           "and it is told, and goes on");
        rig_free(r);
    }
}

/* A fault at the guest's first step. */
static void test_first_step(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_built();

    r->dom.fail = REJOIN;
    ok(!take(r, 2, &e) && !svm_put(r->svm, &e) &&
       svm_ready(r->svm, &e) == -EIO && !calls(r, GO),
       "xenstore does not take it: %s", e.msg);
    r->dom.fail = OPS;
    ok(opens(r), "the next try does");
    rig_free(r);

    r = rig_built();
    xlc_error_clear(&e);
    r->dom.fail = GO;
    ok(!take(r, 2, &e) && !svm_put(r->svm, &e) && !svm_ready(r->svm, &e) &&
       svm_go(r->svm, &e) == -EIO && state_of(r) == SVM_STALE,
       "it can't be let go: %s", e.msg);
    r->dom.fail = OPS;
    r->dom.n = 0;
    ok(opens(r) && calls(r, REJOIN) == 1, "the next try begins from the "
       "checkpoint");
    rig_free(r);

    r = rig_built();
    r->dom.fail = GO;
    xlc_error_clear(&e);
    ok(!svm_ready(r->svm, &e) && svm_go(r->svm, &e) == -EIO,
       "nor right after the first epoch");
    r->dom.fail = OPS;
    ok(opens(r), "the next try writes it from the image");
    rig_free(r);
}

static void test_build(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_new();

    r->build_fails = true;
    is_base(&r->next, 1);
    ok(!arrive(r, 0, &e) && !svm_check(r->svm, &e) &&
       svm_build(r->svm, &e) == -EIO && state_of(r) == SVM_EMPTY,
       "a domain that can't be built: %s", e.msg);
    xlc_error_clear(&e);
    ok(svm_ready(r->svm, &e) == -EINVAL, "is no copy");
    rig_free(r);

    r = rig_new();
    r->dom.fail = FITS;
    is_base(&r->next, 1);
    xlc_error_clear(&e);
    if (arrive(r, 0, &e) || svm_check(r->svm, &e)) abort();
    counts(r);
    ok(svm_build(r->svm, &e) == -EINVAL && state_of(r) == SVM_EMPTY,
       "nor is one that the first epoch does not fit: %s", e.msg);
    rig_free(r);
}

/* It runs, and does what it likes to its memory. */
static bool runs_beside(struct rig *r, struct xlc_error *err)
{
    unsigned int before = calls(r, GO);

    if (svm_beside(r->svm, err) || calls(r, GO) != before + 1 ||
        state_of(r) != SVM_BESIDE)
        return false;
    memset(r->dom.mem[23], 0x23, IS_PAGE);
    r->dom.log |= 1ull << 23;
    memset(r->dom.mem[24], 0x24, IS_PAGE);
    r->dom.granted |= 1ull << 24;
    return true;
}

static void test_beside(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_built();
    struct svm_view v;

    ok(runs_beside(r, &e) && !r->quieted, "it runs from the first epoch %s",
       e.msg);
    for (uint32_t t = 2; t < 5; t++) {
        r->dom.n = 0;
        r->orderly = false;
        ok(!take(r, t, &e) && state_of(r) == SVM_STALE &&
           !svm_put(r->svm, &e) && same(r) && r->orderly &&
           state_of(r) == SVM_HELD && runs_beside(r, &e) && !same(r),
           "epoch %u: what it did is gone, and it runs again %s", t, e.msg);
    }
    svm_view(r->svm, &v);
    ok(v.runs == 4 && v.puts == 3 && r->quieted == 3,
       "rule_A10: its epoch changes each time while it stands still");
    r->dom.n = 0;
    ok(!svm_ready(r->svm, &e) && !svm_go(r->svm, &e) && !r->dom.n &&
       state_of(r) == SVM_RUNS && r->dom.mem[23][0] == 0x23,
       "a failover leaves it as it runs: nothing is put back, or paused");
    svm_release(r->svm);
    svm_view(r->svm, &v);
    ok(v.state == SVM_RUNS && !v.image_bytes, "the image goes then");
    rig_free(r);

    r = rig_built();
    ok(runs_beside(r, &e) && svm_beside(r->svm, &e) == -EINVAL &&
       svm_put(r->svm, NULL) == -EINVAL, "it is let go once: %s", e.msg);
    xlc_error_clear(&e);
    svm_release(r->svm);
    ok(!take(r, 2, &e) && svm_beside(r->svm, NULL) == -EINVAL &&
       state_of(r) == SVM_STALE, "never while it is stale %s", e.msg);
    ok(opens(r), "B2: a failover with an epoch that counts puts it back");
    rig_free(r);
}

/* It runs beside, and something happened to it. */
static void test_beside_still(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig *r = rig_built();

    r->paused = true;
    if (!runs_beside(r, &e)) abort();
    r->dom.n = 0;
    r->dom.fail = GO;
    ok(!svm_ready(r->svm, &e) && !r->dom.n && svm_go(r->svm, &e) == -EIO &&
       state_of(r) == SVM_BESIDE, "one that somebody paused and that can't be "
       "let go does not run: %s", e.msg);
    r->dom.fail = OPS;
    r->dom.n = 0;
    ok(!svm_ready(r->svm, &e) && !svm_go(r->svm, &e) && r->dom.n == 1 &&
       calls(r, GO) == 1 && state_of(r) == SVM_RUNS &&
       r->dom.mem[23][0] == 0x23, "it is let go where it stands");
    rig_free(r);

    r = rig_built();
    if (!runs_beside(r, &e)) abort();
    svm_disturbed(r->svm);
    r->dom.broken = true; /* every page is looked at */
    memset(r->dom.mem[33], 0, IS_PAGE);
    xlc_error_clear(&e);
    ok(state_of(r) == SVM_STALE && svm_go(r->svm, &e) == -EINVAL && opens(r),
       "one that is of no use is put back whole, and goes from there %s",
       e.msg);
    rig_free(r);
}

static void test_beside_faults(void)
{
    for (enum op op = REJOIN; op <= GO; op++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct rig *r = rig_built();

        if (take(r, 2, &e) || svm_put(r->svm, &e)) abort();
        r->dom.fail = op;
        ok(svm_beside(r->svm, &e) == -EIO && state_of(r) == SVM_STALE,
           "it can't run beside: %s", e.msg);
        memset(r->dom.mem[33], 0, IS_PAGE);
        r->dom.fail = OPS;
        xlc_error_clear(&e);
        ok(!svm_put(r->svm, &e) && same(r) && !take(r, 3, &e) &&
           !svm_put(r->svm, &e) && runs_beside(r, &e),
           "it is put back whole, and the next epoch counts %s", e.msg);
        rig_free(r);
    }
    {
        struct xlc_error e = XLC_ERROR_INIT;
        struct rig *r = rig_built();

        r->quiet_fails = 2;
        r->again = 5;
        ok(runs_beside(r, &e) && !take(r, 2, &e) && !svm_put(r->svm, &e) &&
           same(r) && r->quieted == 3 && r->asked == 2,
           "rule_A10: nothing is written before its packets are gone %s",
           e.msg);
        r->quiet_fails = 9;
        r->again = r->asked = 0;
        ok(!take(r, 3, &e) && svm_put(r->svm, &e) == -EBUSY &&
           state_of(r) == SVM_STALE, "for ever: %s", e.msg);
        rig_free(r);
    }
}

int main(void)
{
    test_life();
    test_order();
    test_check();
    test_memory();
    test_faults();
    test_first_step();
    test_build();
    test_beside();
    test_beside_still();
    test_beside_faults();
    return done_testing();
}
