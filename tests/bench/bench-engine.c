/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-engine.c - The compare engine alone, in this process */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "rig.h"

#define RUNS 3u

double bench_engine_us[16];

static void give(struct rig *r, const struct bench_frames *f, bool primary)
{
    struct compare_meta meta = { .epoch = r->epoch };

    for (unsigned int i = 0; i < f->n; i++) {
        const uint8_t *frame = f->buf + i * f->stride + f->head;

        if (primary)
            compare_primary(r->engine, frame, f->len, &f->vnet, r->now);
        else
            compare_secondary(r->engine, &meta, frame, f->len, &f->vnet,
                              r->now);
    }
}

/* @pairs pairs from @from on. Return: how many came out. */
static unsigned int run(struct rig *r, struct bench_frames *p,
                        struct bench_frames *s, uint64_t from,
                        unsigned int pairs)
{
    unsigned int out = 0;

    for (unsigned int n = 0; n < pairs; n += BENCH_BATCH) {
        struct compare_packet *pkt;

        bench_frames_number(p, from + n);
        bench_frames_number(s, from + n);
        r->now += 10000;
        give(r, p, true);
        give(r, s, false);
        for (; (pkt = compare_next(r->engine)); out++)
            compare_put(r->engine, pkt);
    }
    return out;
}

/* The cost of making the frames, to be taken off. */
static double making(struct bench_frames *p, struct bench_frames *s,
                     unsigned int pairs)
{
    double began = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);

    for (unsigned int n = 0; n < pairs; n += BENCH_BATCH) {
        bench_frames_number(p, n);
        bench_frames_number(s, n);
        __asm__ volatile("" : : : "memory");
    }
    return bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - began;
}

/* One load. Return: CPU microseconds a pair, or a negative number if it was
 * not all released. */
static double one(const struct bench_load *load)
{
    struct bench_frames p, s;
    unsigned int pairs = load->alone / BENCH_BATCH * BENCH_BATCH;
    /* Every flow is known before the clock starts. */
    unsigned int warm = (load->flows + BENCH_BATCH) / BENCH_BATCH * BENCH_BATCH;
    double us[RUNS];
    bool all = true;

    bench_frames_init(&p, load, false, false);
    bench_frames_init(&s, load, true, false);
    for (unsigned int i = 0; i < RUNS; i++) {
        double began, cost = making(&p, &s, pairs);
        struct rig r;

        rig_open(&r, NULL);
        all &= run(&r, &p, &s, 0, warm) == warm;
        began = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
        all &= run(&r, &p, &s, warm, pairs) == pairs && !rig_wanted(&r);
        cost = bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - began - cost;
        us[i] = cost * 1e6 / pairs;
        rig_close(&r);
    }
    bench_frames_free(&p);
    bench_frames_free(&s);
    return all ? bench_median(us, RUNS) : -1;
}

/* Return: octets of this process in memory. */
static double resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    char line[128] = "", *at = line;

    if (f && !fgets(line, sizeof(line), f)) line[0] = 0;
    if (f) fclose(f);
    strtoul(at, &at, 10);
    return (double)strtoul(at, NULL, 10) * 4096;
}

static double memory_per_flow(void)
{
    const struct bench_load load = {
        "", 6, 64, 1, 100000, 0, 0, 0,
    };
    struct bench_frames p, s;
    double before;
    struct rig r;

    bench_frames_init(&p, &load, false, false);
    bench_frames_init(&s, &load, true, false);
    rig_open(&r, NULL);
    run(&r, &p, &s, 0, BENCH_BATCH);
    before = resident();
    run(&r, &p, &s, BENCH_BATCH, load.flows);
    before = resident() - before;
    rig_close(&r);
    bench_frames_free(&p);
    bench_frames_free(&s);
    return before / load.flows;
}

int bench_engine(void)
{
    printf("\nThe engine alone, in one process; median of %u runs.\n\n"
           "| load | CPU a pair (µs) | pairs a CPU second |\n"
           "| --- | ---: | ---: |\n", RUNS);
    for (unsigned int i = 0; bench_loads[i].name; i++) {
        double us = one(&bench_loads[i]);

        if (us < 0) {
            fprintf(stderr, "bench: %s: not every pair was released\n",
                    bench_loads[i].name);
            return -EPROTO;
        }
        bench_engine_us[i] = us;
        printf("| %s | %.3f | %.0fk |\n", bench_loads[i].name, us, 1e3 / us);
        fflush(stdout);
    }
    printf("\nAn idle flow takes %zu octets by its type, %.0f by what the "
           "process grew for 100k of them.\n",
           compare_flow_size(), memory_per_flow());
    return 0;
}
