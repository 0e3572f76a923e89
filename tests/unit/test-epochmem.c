/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-epochmem.c - Memory for an epoch: bounded, reserved, given back */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "epochmem.h"
#include "tap.h"

#define MIB ((uint64_t)1 << 20)

static uint64_t spare;
static struct xlc_error err;
static uint8_t piece[1 << 20];
static uint64_t taken, wrong, fail_at, resident_min;

static uint64_t fake_spare(void *opaque)
{
    (void)opaque;
    return spare;
}

/* Octets of this process that are really in memory. */
static uint64_t resident(void)
{
    unsigned long long all = 0, now = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    char text[128] = "", *end;

    if (f && fgets(text, sizeof(text), f)) {
        all = strtoull(text, &end, 10);
        now = strtoull(end, NULL, 10);
    }
    if (f) fclose(f);
    return all ? now * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void fill(uint64_t n)
{
    for (size_t i = 0; i < sizeof(piece); i += 8)
        memcpy(piece + i, &n, sizeof(n));
}

/* The octets come back in order. */
static int sink(void *opaque, const uint8_t *data, size_t len,
                struct xlc_error *e)
{
    (void)opaque;
    if (fail_at && taken >= fail_at)
        return xlc_error_set(e, -EPIPE, "no more");
    for (size_t i = 0; i < len; i += MIB) {
        uint64_t n;

        memcpy(&n, data + i, sizeof(n));
        wrong += n != (taken + i) / MIB;
    }
    taken += len;
    if (resident() < resident_min) resident_min = resident();
    return 0;
}

static struct epochmem *make(uint64_t limit)
{
    struct epochmem *m = NULL;

    spare = 4096 * MIB;
    xlc_error_clear(&err);
    ok(!epochmem_new(&m, limit, fake_spare, NULL, &err), "room %s", err.msg);
    if (!m) exit(done_testing());
    return m;
}

/* An epoch of @mib MiB arrives. */
static int arrive(struct epochmem *m, uint64_t mib)
{
    int r = 0;

    for (uint64_t i = 0; i < mib && !r; i++) {
        fill(i);
        r = epochmem_add(m, piece, sizeof(piece), &err);
    }
    return r;
}

static int give(struct epochmem *m)
{
    taken = wrong = 0;
    return epochmem_give(m, sink, NULL, &err);
}

static void test_in_and_out(void)
{
    struct epochmem *m = make(256 * MIB);

    ok(epochmem_used(m) == 0 && epochmem_limit(m) == 256 * MIB,
       "nothing is used yet");
    ok(!arrive(m, 10) && !epochmem_reserve(m, &err) && !give(m) &&
       taken == 10 * MIB && !wrong, "10 MiB in, the same out");
    ok(!epochmem_add(m, piece, 100, &err) && !epochmem_add(m, piece, 0, &err)
       && !give(m) && taken == 100, "and a few octets");
    ok(!give(m) && taken == 0, "and nothing");
    fail_at = 4 * MIB;
    ok(!arrive(m, 9) && give(m) == -EPIPE && taken == 4 * MIB,
       "a sink that fails is told of");
    fail_at = 0;
    ok(!arrive(m, 2) && !give(m) && taken == 2 * MIB && !wrong,
       "what it did not take is gone");
    epochmem_free(m);
    epochmem_free(NULL);
}

static void test_bound(void)
{
    struct epochmem *m = make(20 * MIB);

    ok(!arrive(m, 20), "exactly the limit");
    ok(epochmem_add(m, piece, 1, &err) == -EFBIG &&
       strstr(err.msg, "more than 20 MiB"), "no octet more: %s", err.msg);
    xlc_error_clear(&err);
    ok(!give(m) && taken == 20 * MIB && !wrong, "and it comes out");
    epochmem_free(m);
    ok(epochmem_bound(1024 * MIB) == (1024 + 16 + 16) * MIB,
       "the bound of a guest of 1 GiB");
}

/* RULES B2: an acknowledgement means that memory was reserved. */
static void test_reserve(void)
{
    struct epochmem *m = make(256 * MIB);

    spare = EPOCHMEM_STEP + EPOCHMEM_FLOOR - 1;
    ok(arrive(m, 1) == -ENOMEM && epochmem_used(m) == 0 &&
       strstr(err.msg, "no memory"), "rule_B2: none to spare: %s", err.msg);
    xlc_error_clear(&err);
    spare++;
    ok(!arrive(m, 4) && epochmem_used(m) == EPOCHMEM_STEP,
       "just enough for a step");
    spare = 4 * MIB + EPOCHMEM_SLACK + EPOCHMEM_FLOOR - 1;
    ok(epochmem_reserve(m, &err) == -ENOMEM,
       "rule_B2: it is here, but can't be applied: %s", err.msg);
    xlc_error_clear(&err);
    spare++;
    ok(!epochmem_reserve(m, &err), "now it can");
    spare = 4096 * MIB;
    ok(!arrive(m, 100), "a large one");
    spare = EPOCHMEM_KEEP + EPOCHMEM_SLACK + EPOCHMEM_FLOOR;
    ok(!epochmem_reserve(m, &err),
       "needs no more than what is not handed over");
    spare--;
    ok(epochmem_reserve(m, &err) == -ENOMEM, "but that");
    xlc_error_clear(&err);
    epochmem_free(m);
}

static void test_given_back(void)
{
    struct epochmem *m = make(512 * MIB);
    uint64_t before = resident(), full, after;
    unsigned int i;

    ok(!arrive(m, 300), "300 MiB");
    full = resident();
    ok(full - before >= 300 * MIB && epochmem_used(m) == 300 * MIB,
       "are really there, and counted");
    resident_min = full;
    ok(!give(m) && !wrong && taken == 300 * MIB, "given");
    after = resident();
    ok(resident_min + 200 * MIB < full,
       "each part went back before the next one was taken");
    ok(epochmem_used(m) == EPOCHMEM_KEEP &&
       after < before + EPOCHMEM_KEEP + 8 * MIB, "what is kept is bounded");
    for (i = 0; i < 100 && !arrive(m, 1) && !give(m); i++)
        ;
    ok(i == 100 && epochmem_used(m) == EPOCHMEM_STEP &&
       resident() < before + EPOCHMEM_STEP + 8 * MIB,
       "small ones let go of it");
    spare = 0;
    for (i = 0; i < 20 && !arrive(m, 3) && !give(m) && !wrong; i++)
        ;
    ok(i == 20, "and need nothing new");
    epochmem_free(m);
}

static void test_host(void)
{
    struct epochmem *m = NULL;

    ok(!epochmem_new(&m, 64 * MIB, NULL, NULL, &err) && !arrive(m, 5) &&
       !epochmem_reserve(m, &err) && !give(m) && taken == 5 * MIB,
       "with what this host says %s", err.msg);
    epochmem_free(m);
    m = NULL;
    ok(epochmem_new(&m, (uint64_t)1 << 60, NULL, NULL, &err) == -ENOMEM && !m,
       "a limit that is no memory: %s", err.msg);
}

int main(void)
{
    test_in_and_out();
    test_bound();
    test_reserve();
    test_given_back();
    test_host();
    return done_testing();
}
