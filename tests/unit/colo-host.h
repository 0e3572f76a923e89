/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * colo-host.h - The host of a copy that is a domain, for tests
 *
 * The real colo-secondary.c and svm.c over a restore, bridges and a domain
 * that are in colo-host.c.
 */
#ifndef XLC_TESTS_COLO_HOST_H
#define XLC_TESTS_COLO_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "colo-secondary.h"
#include "inplace-xen.h"
#include "memory-domain.h"
#include "secondary.h"
#include "svmdisks.h"

/* What is done with the host, by the order in which it is wanted. */
enum step { FINISH, KEEP, DISKS, DEVICES, LEAVE, PLANE, OPEN, STEPS };

extern struct secondary s;

/**
 * now - the host
 * @dom: the copy; @gone: somebody has destroyed it
 * @did: how often each step was done; @order: the newest; @fail: this one
 *       fails
 * @bridged: the vif is on its bridge; @closed: the log of writes is off
 * @renamed: it has its own name
 * @heal: after so many looks whether it exists, the fault is gone
 * @leave_at: after so many, the machine leaves PAIRED
 * @mode: what secondary_proxy_mode() says of epoch @told; of others it knows
 *        nothing; @cuts: of epochs, the newest is @cut; @up: the copy's vifs
 *        are connected, and @told_up: so the proxy was told; @netted: the
 *        proxy was opened
 * @dropped: overlays of the disks, the newest for epoch @drop; so many more
 *           fail (@undropped); @settled: 1 or 2 if the copy runs on; @taken:
 *           they were taken over
 * @seen: what the copy is when it is looked at; @said: it was heard since the
 *        cut
 * @clock: how far its clock shall be ahead of this host's; @went: and was
 *         when it was let go
 */
extern struct host {
    struct domain dom;
    bool gone, bridged, renamed, orderly, runs;
    unsigned int did[STEPS], opened, closed, held, looks, heal, leave_at;
    int order;
    enum step fail;
    unsigned int mode, cuts, told_up;
    uint64_t told, cut;
    bool up, netted, final, said;
    int32_t clock, went;
    unsigned int dropped, undropped, settled, writable;
    uint64_t drop;
    bool taken;
    int seen;
    libxl_domain_config cfg;
} now;

extern const char *const step_names[STEPS];

/* Everything is well. */
struct colo_secondary *begin(struct xlc_error *err);

/* An epoch arrives and counts. */
int epoch(struct colo_secondary *c, uint64_t n, struct xlc_error *err);

/* Is the page what it was at @time? */
bool wrote(uint64_t pfn, uint32_t time);

/* Was the operation called? */
bool called(enum op op);

/* The copy is looked after until there is nothing to wait for. */
int turn(struct colo_secondary *c, struct xlc_error *err);

/* How often was it let go? */
unsigned int gone(void);

/* Packets are compared, and epoch 1 was applied. */
struct colo_secondary *begin_compared(struct xlc_error *err);

#endif
