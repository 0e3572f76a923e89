/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * receive-shared.h - What a receiver leaves for its guard, and its successor
 *
 * An anonymous shared mapping made before the forks. The worker writes; the
 * guard reads, and a worker that takes the place of one that was killed. What
 * the monitor and the guard write is said.
 */
#ifndef XLC_RECEIVE_SHARED_H
#define XLC_RECEIVE_SHARED_H

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "disklist.h"
#include "keepfile.h"
#include "proto.h"
#include "record.h"
#include "wire.h"

/**
 * struct receive_shared - from the secondary's worker to its guard
 * @known: @uuid_raw and @name are set
 * @building: there may be a half-built copy
 * @opening: our copy was chosen to run; @open: it runs as @domid, or, started
 *           again by its monitor, did; @watched_out: the monitor is done
 * @settled: all that a takeover does after the guest was let go is done
 * @disk: images that are served for the copy, @ndisks of them
 * @vif: interfaces whose packets the worker takes, @nvifs of them
 * @finished: the worker ended in order; if not, while the guest runs here,
 *            another one takes its place, for which is the rest:
 * @hello, @secret: of the primary, without its key; @port: that it may come to
 * @rec: this host's record of the guest, since @open
 * @state: enum sec_state; @opened: how often the guest was let go
 * @keep: the rewriters' tables
 */
struct receive_shared {
    _Atomic bool known, building, opening, open, finished, watched_out;
    _Atomic bool settled;
    _Atomic uint32_t domid, ndisks, nvifs;
    uint8_t uuid_raw[16];
    char uuid[37];
    char name[256];
    char disk[DISKLIST_MAX][DISKLIST_PATH_MAX + 1];
    char vif[WIRE_VIFS_MAX][IFNAMSIZ];
    struct proto_hello hello;
    struct conn_secret secret;
    uint16_t port;
    struct record rec;
    _Atomic uint32_t state, opened;
    struct keepfile keep;
};

#endif
