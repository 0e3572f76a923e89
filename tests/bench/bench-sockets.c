/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-sockets.c - The engine behind sockets, beside QEMU
 *
 * Both get the same octets in the same writes through the same kind of
 * sockets. One thread writes, one reads; at most a window of pairs is on its
 * way. The runs of the two alternate, so that both see the same machine.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "qemu.h"

#define RUNS      3u
#define LATENCIES 20000u
#define READ_SIZE (1u << 20)

/* A DO_CHECKPOINT as it is on the wire. */
#define NOTIFY_SIZE 17u

/**
 * struct result - one run
 * @rate: pairs a second
 * @us: CPU microseconds of the peer's a pair
 * @requests: checkpoints that it asked for
 */
struct result {
    double rate, us, requests;
};

/**
 * struct flow - what the two threads share
 * @q: the peer
 * @load: what is sent
 * @p: the primary's frames
 * @s: the secondary's
 * @pairs: how many in all
 * @room: batches that may be sent
 * @failed: -errno, or 0
 * @notified: octets of notifications
 */
struct flow {
    struct qemu *q;
    const struct bench_load *load;
    struct bench_frames p, s;
    unsigned int pairs;
    sem_t room;
    int failed;
    size_t notified;
};

static double cpu_of(const struct qemu *q)
{
    clockid_t clock;

    return clock_getcpuclockid(q->pid, &clock) ? 0 : bench_seconds(clock);
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n <= 0) return n ? -errno : -EPIPE;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Write one batch: all of the primary's, then all of the secondary's. */
static int write_batch(struct flow *f, uint64_t pair)
{
    int rc;

    bench_frames_number(&f->p, pair);
    bench_frames_number(&f->s, pair);
    rc = write_all(f->q->fd[QEMU_PRI], f->p.buf, f->p.n * f->p.stride);
    return rc ? rc : write_all(f->q->fd[QEMU_SEC], f->s.buf,
                               f->s.n * f->s.stride);
}

static void *writer(void *arg)
{
    struct flow *f = arg;

    for (unsigned int n = 0; n < f->pairs && !f->failed; n += BENCH_BATCH) {
        sem_wait(&f->room);
        f->failed = write_batch(f, n);
    }
    return NULL;
}

/* QEMU waits for whoever does not read its notifications. */
static void *listener(void *arg)
{
    struct flow *f = arg;
    char buf[4096];
    ssize_t n;

    while ((n = recv(f->q->fd[QEMU_NTF], buf, sizeof(buf), 0)) > 0)
        f->notified += (size_t)n;
    return NULL;
}

/* Read until @pairs frames have come; each batch of them is room for one. */
static int reader(struct flow *f)
{
    size_t want = f->p.stride * BENCH_BATCH, have = 0;
    unsigned int left = f->pairs / BENCH_BATCH;
    uint8_t *buf = malloc(READ_SIZE);
    int rc = buf ? 0 : -ENOMEM;

    while (!rc && left) {
        ssize_t n = recv(f->q->fd[QEMU_OUT], buf, READ_SIZE, 0);

        if (n <= 0) {
            rc = n ? -errno : -EPIPE;
            break;
        }
        /* All frames are of one size: octets are enough to count them. */
        for (have += (size_t)n; have >= want && left; have -= want, left--)
            sem_post(&f->room);
    }
    free(buf);
    return rc;
}

static int run_pairs(struct qemu *q, const struct bench_load *load,
                     struct result *r)
{
    struct flow f = { .q = q, .load = load };
    double began = bench_seconds(CLOCK_MONOTONIC), cpu = cpu_of(q);
    /* A stuck peer must not keep us here. */
    const struct timeval limit = { .tv_sec = 20 };
    pthread_t thread, ear;
    int rc;

    setsockopt(q->fd[QEMU_OUT], SOL_SOCKET, SO_RCVTIMEO, &limit,
               sizeof(limit));
    setsockopt(q->fd[QEMU_PRI], SOL_SOCKET, SO_SNDTIMEO, &limit,
               sizeof(limit));
    setsockopt(q->fd[QEMU_SEC], SOL_SOCKET, SO_SNDTIMEO, &limit,
               sizeof(limit));
    bench_frames_init(&f.p, load, false, q->vnet);
    bench_frames_init(&f.s, load, true, q->vnet);
    f.pairs = load->pairs / BENCH_BATCH * BENCH_BATCH;
    sem_init(&f.room, 0, load->window / BENCH_BATCH);
    if (pthread_create(&ear, NULL, listener, &f)) abort();
    rc = -pthread_create(&thread, NULL, writer, &f);
    if (!rc) {
        rc = reader(&f);
        /* Wake it up, so that it sees that there is no point. */
        if (rc) f.failed = rc;
        sem_post(&f.room);
        pthread_join(thread, NULL);
        if (!rc) rc = f.failed;
    }
    r->rate = f.pairs / (bench_seconds(CLOCK_MONOTONIC) - began);
    r->us = (cpu_of(q) - cpu) * 1e6 / f.pairs;
    shutdown(q->fd[QEMU_NTF], SHUT_RD);
    pthread_join(ear, NULL);
    r->requests = (double)(f.notified / NOTIFY_SIZE);
    sem_destroy(&f.room);
    bench_frames_free(&f.p);
    bench_frames_free(&f.s);
    return rc;
}

/* One pair at a time. */
static int run_latency(struct qemu *q, const struct bench_load *load,
                       double *us)
{
    struct bench_frames p, s;
    const uint8_t *frame;
    int rc = 0;

    bench_frames_init(&p, load, false, false);
    bench_frames_init(&s, load, true, false);
    for (unsigned int i = 0; !rc && i < LATENCIES; i++) {
        double began;

        bench_frames_number(&p, i);
        bench_frames_number(&s, i);
        began = bench_seconds(CLOCK_MONOTONIC);
        rc = write_all(q->fd[QEMU_PRI], p.buf, p.stride);
        if (!rc) rc = write_all(q->fd[QEMU_SEC], s.buf, s.stride * s.split);
        if (!rc && qemu_get(q, QEMU_OUT, &frame, 10000) < 0) rc = -EIO;
        us[i] = (bench_seconds(CLOCK_MONOTONIC) - began) * 1e6;
    }
    bench_frames_free(&p);
    bench_frames_free(&s);
    return rc;
}

static int start(struct qemu *q, const char *program, bool vnet)
{
    struct qemu_opts o = {
        .program = program, .timeout_ms = 3600000, .scan_ms = 3600000,
        .vnet = vnet,
    };
    int rc = qemu_start_compare(q, &o);

    if (rc) fprintf(stderr, "bench: can't start %s: %s\n",
                    program ? program : "QEMU", strerror(-rc));
    return rc;
}

/* The middle of each number of @runs. */
static struct result middle(const struct result *runs)
{
    double rate[RUNS], us[RUNS], requests[RUNS];

    for (unsigned int i = 0; i < RUNS; i++) {
        rate[i] = runs[i].rate;
        us[i] = runs[i].us;
        requests[i] = runs[i].requests;
    }
    return (struct result){
        bench_median(rate, RUNS), bench_median(us, RUNS),
        bench_median(requests, RUNS),
    };
}

static int one_load(const char *stand_in, bool qemu, unsigned int which)
{
    const struct bench_load *load = &bench_loads[which];
    struct result r[2][RUNS] = { 0 }, m[2];

    for (unsigned int i = 0; i < RUNS * 2; i++) {
        struct qemu q;
        int rc;

        if (!(i & 1) && !qemu) continue;
        rc = start(&q, i & 1 ? stand_in : NULL, load->len > 1460);
        if (rc) return rc;
        rc = run_pairs(&q, load, &r[i & 1][i / 2]);
        qemu_stop(&q);
        if (rc || ((i & 1) && r[1][i / 2].requests > 0)) {
            fprintf(stderr, "bench: %s, %s: %s\n", load->name,
                    i & 1 ? "ours" : "QEMU",
                    rc ? strerror(-rc) : "a checkpoint for nothing");
            return rc ? rc : -EPROTO;
        }
    }
    m[0] = middle(r[0]);
    m[1] = middle(r[1]);
    printf("| %s | %.0fk | %.0fk | %.1f | %.2f | %.2f | %.1f | %.0f "
           "| %.0f : %.0f |\n", load->name, m[0].rate / 1e3, m[1].rate / 1e3,
           qemu ? m[1].rate / m[0].rate : 0, m[0].us, m[1].us,
           qemu ? m[0].us / m[1].us : 0,
           bench_engine_us[which] > 0 ? m[0].us / bench_engine_us[which] : 0,
           m[0].requests, m[1].requests);
    fflush(stdout);
    return 0;
}

static int latency(const char *stand_in, bool qemu)
{
    static double us[LATENCIES];
    double p50[2][RUNS] = { 0 }, p99[2][RUNS] = { 0 }, a[2], b[2];

    for (unsigned int i = 0; i < RUNS * 2; i++) {
        struct qemu q;
        int rc;

        if (!(i & 1) && !qemu) continue;
        rc = start(&q, i & 1 ? stand_in : NULL, false);
        if (rc) return rc;
        rc = run_latency(&q, &bench_loads[0], us);
        qemu_stop(&q);
        if (rc) return rc;
        p50[i & 1][i / 2] = bench_median(us, LATENCIES);
        p99[i & 1][i / 2] = us[LATENCIES / 100 * 99];
    }
    for (unsigned int i = 0; i < 2; i++) {
        a[i] = bench_median(p50[i], RUNS);
        b[i] = bench_median(p99[i], RUNS);
    }
    printf("\nFrom the primary's write to what comes out, TCP 1460, one pair "
           "at a time.\n\n"
           "| | QEMU (µs) | ours (µs) | QEMU : ours |\n"
           "| --- | ---: | ---: | ---: |\n"
           "| p50 | %.1f | %.1f | %.2f |\n| p99 | %.1f | %.1f | %.2f |\n",
           a[0], a[1], a[0] / a[1], b[0], b[1], b[0] / b[1]);
    return 0;
}

int bench_sockets(const char *stand_in, bool qemu)
{
    int rc = 0;

    printf("\nThrough sockets, both fed with the same; median of %u runs that "
           "alternate.%s\n\n"
           "| load | QEMU pairs/s | ours | ours : QEMU | QEMU CPU a pair (µs) "
           "| ours | QEMU : ours | QEMU : engine alone "
           "| false requests, QEMU : ours |\n"
           "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
           RUNS, qemu ? "" : " QEMU is not installed: its columns are 0.");
    for (unsigned int i = 0; !rc && bench_loads[i].name; i++)
        if (bench_loads[i].pairs) rc = one_load(stand_in, qemu, i);
    return rc ? rc : latency(stand_in, qemu);
}
