/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shared.h - What a worker leaves for its guard to find
 *
 * An anonymous shared mapping made before the fork. The worker writes, the
 * guard reads; each field is a word of its own, and the guard acts on it only
 * once the worker is dead (or, for @beat_ms, to see that it is stuck).
 */
#ifndef XLC_SHARED_H
#define XLC_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "xlcolo.h"

#define SHARED_ADDR_MAX 256

/**
 * struct shared - from the primary's worker to its guard
 * @known: @domid, @uuid, @name and @uuid_raw are set
 * @linked: @secret, @addr, @port, @path, @heartbeat_ms, @limit_ms are set:
 *          the guard makes its own connection
 * @netbuf: buffers are in place on the guest's vifs
 * @asked: the guest may be suspended or may suspend
 * @state: enum prim_state
 * @final: the final epoch of a planned failover was cut
 * @acked: newest acknowledged epoch
 * @beat_ms: when the worker's main loop turned last
 * @paused: the worker paused the guest
 * @closing: the worker is cleaning up; its loop does not turn any more
 * @finished: the worker has cleaned up and @outcome holds
 * @ended: the guest ended by itself: enum proto_reason
 */
struct shared {
    _Atomic bool known, linked, netbuf, asked, final, finished;
    _Atomic bool paused, closing;
    _Atomic uint32_t domid, state, outcome, ended;
    _Atomic uint64_t beat_ms, acked;
    uint8_t uuid_raw[16];
    char uuid[37];
    char name[256];
    struct conn_secret secret;
    char addr[SHARED_ADDR_MAX];
    uint16_t port;
    uint8_t path;
    uint32_t heartbeat_ms, limit_ms;
};

#endif
