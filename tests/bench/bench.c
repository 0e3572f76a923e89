/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench.c - What the benchmarks share: loads, clocks, the printed tables */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "frame.h"
#include "rig.h"

const struct bench_load bench_loads[] = {
    { "TCP 1460", PROTO_TCP, 1460, 1, 1, 512, 200000, 2000000 },
    { "TCP 64", PROTO_TCP, 64, 1, 1, 512, 200000, 2000000 },
    { "TCP 64 KiB GSO", PROTO_TCP, 65400, 1, 1, 16, 20000, 100000 },
    { "TCP 1460 : 2 x 730", PROTO_TCP, 1460, 2, 1, 256, 200000, 1000000 },
    { "UDP 1460, bursts of 16", PROTO_UDP, 1460, 1, 1, 16, 100000, 2000000 },
    { "TCP 1460, 10k flows", PROTO_TCP, 1460, 1, 10000, 512, 200000, 2000000 },
    { "TCP 1460, 100k flows", PROTO_TCP, 1460, 1, 100000, 0, 0, 2000000 },
    { NULL, 0, 0, 0, 0, 0, 0, 0 },
};

static struct frame_spec spec(const struct bench_load *load)
{
    static const uint8_t data[FRAME_MAX];

    return (struct frame_spec){
        .proto = load->proto, .src = 0x0a000001, .dst = 0x0a800000,
        .sport = 80, .dport = 4000, .seq = 1000, .ack = 1000,
        .flags = TH_ACK, .window = 60000, .data = data,
        .len = load->len / (load->split ? load->split : 1),
        .partial = load->len > 1460,
    };
}

void bench_frames_init(struct bench_frames *f, const struct bench_load *load,
                       bool secondary, bool vnet)
{
    static uint8_t frame[FRAME_MAX];
    struct frame_spec s = spec(load);

    *f = (struct bench_frames){
        .load = load, .head = vnet ? 8 + 12 : 4,
        .split = secondary ? load->split : 1,
    };
    s.len = load->len / f->split;
    f->n = BENCH_BATCH * f->split;
    f->len = frame_build(&s, frame);
    f->stride = f->head + f->len;
    f->vnet = rig_vnet(frame, f->len, s.partial);
    f->buf = calloc(f->n, f->stride);
    if (!f->buf) abort();
    for (unsigned int i = 0; i < f->n; i++) {
        uint8_t *p = f->buf + i * f->stride;
        size_t extra = vnet ? 12 : 0;

        packet_put32(p, (uint32_t)(f->len + extra));
        if (vnet) {
            packet_put32(p + 4, 12);
            memcpy(p + 8, &f->vnet, sizeof(f->vnet));
        }
        memcpy(p + f->head, frame, f->len);
        /* What differs between the guests: the IP header's id. */
        p[f->head + 18] = secondary;
    }
}

void bench_frames_free(struct bench_frames *f)
{
    free(f->buf);
    f->buf = NULL;
}

void bench_frames_number(struct bench_frames *f, uint64_t pair)
{
    const struct bench_load *load = f->load;
    uint32_t part = load->len / f->split;

    for (unsigned int i = 0; i < f->n; i++) {
        uint8_t *p = f->buf + i * f->stride + f->head;
        uint64_t n = pair + i / f->split, turn = n / load->flows;
        uint32_t at = (uint32_t)turn * load->len + i % f->split * part;

        /* Neighbours in time are no neighbours in the table. */
        packet_put32(p + 30, 0x0a800000 +
                     (uint32_t)(n % load->flows * 7919 % load->flows));
        if (load->proto == PROTO_TCP) packet_put32(p + 38, 1000 + at);
        else packet_put32(p + 42, (uint32_t)n);
    }
}

double bench_seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_size);
    return v[n / 2];
}
