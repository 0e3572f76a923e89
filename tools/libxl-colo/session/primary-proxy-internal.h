/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* primary-proxy-internal.h - Between primary-proxy.c and primary-compare.c */
#ifndef XLC_PRIMARY_PROXY_INTERNAL_H
#define XLC_PRIMARY_PROXY_INTERNAL_H

#include "plane.h"
#include "policy.h"
#include "primary-proxy.h"
#include "proxy-primary.h"
#include "redial.h"
#include "wants.h"

/**
 * struct primary_proxy - see primary-proxy.h
 * @tc: for the planes; @planes: @n of them, each for a vif
 * @proxy: NULL once nothing may leave any more, or all is over
 * @event_fd: the proxy's, a descriptor of our own that outlives it; the main
 *            thread's
 * @left: the planes stay in the kernel, closed; with nb_lock held
 * @moved: it was readable, and what it says was not asked for yet; likewise
 *
 * The following with the lock held:
 * @pol: the policy
 * @epoch: of the last cut; @cut_us: when it was
 * @mode_was: before the last cut
 * @cause: of the checkpoint that is made, or was made last
 * @want, @want_vif: what the comparison wants in @epoch
 * @flow: the connection that asked for the last checkpoint, or ""
 * @peer: there is a connection to the other proxy; @lost: there was one, which
 *        broke because of @lost_why; @since: the epoch in which it was made
 *        again, 0 if never
 * @lagged: the epoch of which the policy knows how late the copy was
 * @lag_us: of the newest of those that was back; @wider: epochs since then in
 *          which it never was, see plug_ns()
 * @why: the mode has changed at the last cut, and nobody was told yet
 * @limits: those of the comparison have changed, and it does not know yet
 * @hold_ms: when the next line about held packets is due
 * @st: what the proxy said last
 *
 * @redial: makes the connection again; the main thread's
 */
struct primary_proxy {
    struct tc tc;
    struct plane planes[WIRE_VIFS_MAX];
    unsigned int n;
    struct proxy_primary *proxy;
    int event_fd;
    bool left;
    bool moved;

    struct policy pol;
    uint64_t epoch, cut_us;
    enum policy_mode mode_was;
    enum policy_cause cause;
    struct compare_want want;
    unsigned int want_vif;
    char flow[WANTS_FLOW_MAX];
    bool peer, lost;
    uint64_t since;
    char lost_why[XLC_ERROR_MAX];
    uint64_t lagged, lag_us;
    unsigned int wider;
    enum policy_why why;
    bool limits;
    uint64_t hold_ms;
    struct proxy_primary_status st;

    struct redial redial;
};

/* A failed call of the proxy ends protection: what the guest sends is not
 * held as it must be. With nb_lock held. */
void primary_proxy_trouble(struct primary *p, const char *what,
                           const struct xlc_error *e);

/* primary-compare.c: the policy at the steps of a checkpoint; with the lock
 * held. */
void primary_compare_begin(struct primary *p);
enum policy_mode primary_compare_suspend(struct primary *p);
void primary_compare_cut(struct primary *p, uint64_t n);
/* The guest runs again: what the cut changed is told. */
void primary_compare_resumed(struct primary *p);
void primary_compare_committed(struct primary *p);
/* The comparison is no more: checkpoints only. */
void primary_compare_lost(struct primary *p, const char *why);

#endif
