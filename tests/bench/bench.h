/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench.h - What the benchmarks share: loads, clocks, the printed tables
 */
#ifndef XLC_TESTS_BENCH_H
#define XLC_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "packet.h"

/* Pairs that are made, and written, at a time. */
#define BENCH_BATCH 16u

/**
 * struct bench_load - equal output of two guests
 * @name: what the table calls it
 * @proto: PROTO_TCP or PROTO_UDP
 * @len: octets of payload a pair
 * @split: the secondary sends each pair's payload in so many segments
 * @flows: the pairs go round so many flows
 * @window: through sockets: pairs on their way at most
 * @pairs: through sockets: pairs a run; 0: only in process
 * @alone: pairs in process
 */
struct bench_load {
    const char *name;
    uint8_t proto;
    uint32_t len;
    unsigned int split, flows, window, pairs, alone;
};

extern const struct bench_load bench_loads[];

/**
 * struct bench_frames - a batch of one side's frames, each after its prefix
 * @buf: BENCH_BATCH * @split frames of @stride octets
 * @head: octets of prefix before each frame
 * @len: octets of a frame
 * @stride: octets from one prefix to the next
 * @n: frames
 * @load: what it is
 * @split: frames a pair
 * @vnet: the vnet header of each
 */
struct bench_frames {
    uint8_t *buf;
    size_t head, len, stride;
    unsigned int n, split;
    const struct bench_load *load;
    struct packet_vnet vnet;
};

/* Make a batch of @load for one side; with @vnet its prefix has room for a
 * vnet header. Aborts without memory. */
void bench_frames_init(struct bench_frames *f, const struct bench_load *load,
                       bool secondary, bool vnet);

void bench_frames_free(struct bench_frames *f);

/* Number the frames as those of the pairs from @pair on, in their flows. */
void bench_frames_number(struct bench_frames *f, uint64_t pair);

/* Return: seconds of @clock. */
double bench_seconds(clockid_t clock);

/* Return: the middle of @n numbers, which are sorted. */
double bench_median(double *v, size_t n);

/* The engine in this process. Return: 0 or -errno. */
int bench_engine(void);

/* CPU microseconds a pair of the engine in this process, by load; 0 before
 * bench_engine(). */
extern double bench_engine_us[];

/**
 * bench_sockets() - the engine behind sockets, and QEMU
 * @stand_in: the program with our engine
 * @qemu: whether QEMU is there
 *
 * Return: 0 or -errno.
 */
int bench_sockets(const char *stand_in, bool qemu);

#endif
