/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-rig.h - A primary whose planes, proxy and connection are a test's
 *
 * Each call of them leaves a word, so that their order can be checked.
 */
#ifndef XLC_TESTS_PRIMARY_RIG_H
#define XLC_TESTS_PRIMARY_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "primary-proxy-internal.h"
#include "proxy-primary.h"

/**
 * struct rig - what the fakes say and were told
 * @said: the words since rig_did()
 * @now: the proxy's status
 * @busy: proxy_primary_idle() says so this often
 * @fails: what is asked of a plane or the proxy ends like this, if not 0
 * @left: a killed protection left a plane
 * @through: the next attempt to connect is
 * @evfd: of the proxy
 * @sh, @options: of the primary
 */
extern struct rig {
    char said[512];
    struct proxy_primary_status now;
    unsigned int busy;
    int fails;
    bool left, through;
    int evfd;
    struct shared sh;
    struct xlc_options options;
} rig;

/* Are these all words? They are forgotten. */
bool rig_did(const char *all);

/* A primary without a proxy, with one and its peer, and its end. */
struct primary *rig_primary(enum xlc_mode mode);
struct primary *rig_begun(enum xlc_mode mode);
void rig_gone(struct primary *p);

/* An epoch; but for the other host's answer; that. */
void rig_epoch(struct primary *p, uint64_t n);
void rig_cut(struct primary *p, uint64_t n);
void rig_acked(struct primary *p, uint64_t n);

/* The proxy has something to say. */
void rig_turn(struct primary *p);

#endif
