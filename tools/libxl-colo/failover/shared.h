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

#include "diskserve.h"
#include "glink.h"
#include "xlcolo.h"

/**
 * struct shared - from the primary's worker to its guard
 * @known: @domid, @uuid, @name and @uuid_raw are set
 * @linked: @peer, @heartbeat_ms, @limit_ms, @generation are set: the guard
 *          makes its own connection
 * @netbuf: buffers are in place on the guest's vifs
 * @plane: packet planes are on the guest's vifs (plane.h)
 * @asked: the guest may be suspended or may suspend
 * @state: enum prim_state
 * @final: the final epoch of a planned failover was cut
 * @acked: newest acknowledged epoch; @cut: newest one that was made
 * @beat_ms: when the worker's main loop turned last
 * @paused: the worker paused the guest
 * @closing: the worker is cleaning up; its loop does not turn any more
 * @finished: the worker has cleaned up and @outcome holds
 * @ended: the guest ended by itself: enum proto_reason
 * @alone: the guest goes on here, and the peer never said that its copy won't
 * @disks: images here that say that the peer may take over
 */
struct shared {
    _Atomic bool known, linked, netbuf, plane, asked, final, finished;
    _Atomic bool paused, closing, alone;
    _Atomic uint32_t domid, state, outcome, ended;
    _Atomic uint64_t beat_ms, acked, cut;
    uint8_t uuid_raw[16];
    char uuid[37];
    char name[256];
    struct glink_peer peer;
    struct diskserve_paths disks;
    uint64_t generation;
    uint32_t heartbeat_ms, limit_ms;
};

#endif
