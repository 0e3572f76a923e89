/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reunion.h - Look for the copy that may run on the other host
 *
 * Theory of operation
 * -------------------
 * Where there is no arbiter and all paths were cut, the guest goes on here
 * unprotected, and its copy was perhaps started on the other host. While that
 * is so, this side keeps trying to reach the receiver there, which stays for
 * as long as the guest lives that it started, and tells it the truth: SOLO
 * while the guest runs here. On that word the copy that took over leaves its
 * bridge and pauses (RULES A2); nothing is destroyed or overwritten. Both
 * sides then say which one goes on and how the administrator decides. A guest
 * that was left suspended in the middle of a failover is told of as well, and
 * what the other side made of it is said here.
 *
 * This side listens on nothing but its local control socket. It ends with
 * the guest, with `xl remus-stop`, when the guest is protected anew, or when
 * the other side says that its copy is gone or never ran.
 */
#ifndef XLC_REUNION_H
#define XLC_REUNION_H

#include <stdbool.h>
#include <stdint.h>

#include "diskserve.h"
#include "glink.h"

/* What may be said of the guest here. */
enum reunion_here {
    REUNION_RUNS,  /* it runs, with its network */
    REUNION_STILL, /* it is paused or suspended */
    REUNION_GONE,  /* there is no such domain */
};

/**
 * struct reunion - whom to look for
 * @peer: the other host; the owner wipes its secret
 * @incarnation: of the last connection that a guard made
 * @limit_ms: of the protection that ended
 * @generation, @acked: of it
 * @uuid, @uuid_raw, @name: the guest; @host: the other host, as it was named
 * @disks: its images here: that it ran on from them holds until the other copy
 *         is known to run
 * @look: what runs here; @domid_r: as which domain. Called about once a
 *        second
 * @announce: the other copy left the network: the ways lead to @domid here
 * @opaque: for both
 */
struct reunion {
    struct glink_peer peer;
    uint32_t incarnation, limit_ms;
    uint64_t generation, acked;
    char uuid[37];
    uint8_t uuid_raw[16];
    char name[256], host[256];
    struct diskserve_paths disks;
    enum reunion_here (*look)(void *opaque, uint32_t *domid_r);
    void (*announce)(void *opaque, uint32_t domid);
    void *opaque;
};

/**
 * reunion_run() - look, until one of the ends above
 * @stop: a file descriptor; it ends when that becomes readable
 *
 * Blocks; for a process or a thread of its own.
 *
 * Return: the other copy ran, too, and stands aside for this one: who destroys
 * this one decides for that (RULES A7)
 */
bool reunion_run(const struct reunion *r, int stop);

#endif
