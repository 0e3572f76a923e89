/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * paths.h - Is the other host there? Silence on every path, and only that
 *
 * Pure: the caller passes the time. One struct per peer; each connection that
 * carries heartbeats is a path. While any path hears the peer, silence on
 * another decides nothing (RULES A2). A connection that was closed or reset
 * is only a path that falls silent: a killed process is not a failed host.
 *
 * A process that was itself stopped (SIGSTOP, a stalled dom0) must not judge
 * by its own gap (RULES A12): after one of the limit's length the clock starts
 * anew; one of half the limit or more is not counted as silence. The loop must
 * therefore turn at least once per heartbeat, which is at most a third of the
 * limit.
 */
#ifndef XLC_PATHS_H
#define XLC_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#define PATHS_MAX 8

/**
 * struct paths - when the peer was last heard
 * @limit_ms: silence of this length is a failed host
 * @tick_ms: the last time paths_tick() was called
 * @late_ms: when it was called late for the last time, if @late
 * @heard_ms: by path; meaningful where @used
 * @used: the path was attached once
 */
struct paths {
    uint64_t limit_ms;
    uint64_t tick_ms, late_ms;
    bool late;
    uint64_t heard_ms[PATHS_MAX];
    bool used[PATHS_MAX];
};

void paths_init(struct paths *p, uint64_t limit_ms, uint64_t now_ms);

/* Something that only the peer could have said came in on path @i. */
void paths_heard(struct paths *p, unsigned int i, uint64_t now_ms);

/**
 * paths_tick() - to be called once per turn of the loop, after all input
 * that was there has been read
 *
 * Return: true if the peer has been silent on every path for the limit
 */
bool paths_tick(struct paths *p, uint64_t now_ms);

/* Is what comes in now new? Not after a loop that stood still for half the
 * limit or more, until the limit has gone by: it may have waited for us. */
bool paths_fresh(const struct paths *p, uint64_t now_ms);

/* Milliseconds since the peer was last heard on any path. */
uint64_t paths_silence_ms(const struct paths *p, uint64_t now_ms);

#endif
