/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-proxy.h - The primary's packets through the proxy, and the policy
 *
 * Theory of operation
 * -------------------
 * With --colo, unless --mode=remus, the guest's vifs are taken through a
 * plane (plane.h), and what it sends waits in the proxy instead of in the
 * network buffer (RULES B6), of which only the ownership is left, and what
 * holds a vif that comes later.
 *
 * The proxy's handle is guarded by nb_lock as the buffer is, the policy by
 * lock. The proxy tells by a descriptor that it wants a checkpoint: the main
 * loop hands that to the policy, and the checkpoint thread, which waits for
 * the time that the policy says, wakes. Epoch 1 is passive. From its
 * acknowledgement on the copy can run, and runs after the first epoch whose
 * cut says so.
 *
 * Every call does nothing for a guest that has no proxy.
 */
#ifndef XLC_PRIMARY_PROXY_H
#define XLC_PRIMARY_PROXY_H

#include "json.h"
#include "policy.h"
#include "primary.h"

/* Does this guest get a proxy? To be asked once its configuration is known. */
bool primary_proxy_wanted(const struct primary *p);

/* Take all vifs through it. Until the first cut everything passes. */
int primary_proxy_begin(struct primary *p, struct xlc_error *err);

/* The connection to the other proxy, which is taken over in any case. */
int primary_proxy_peer(struct primary *p, struct conn *c,
                       struct xlc_error *err);

/* ----- the checkpoint thread ----- */

/* The guest may be suspended from now on, or runs again. */
void primary_proxy_asked(struct primary *p, bool asked);

/* It was asked to suspend, and runs on: so does its input. With the lock
 * held. */
void primary_proxy_runs(struct primary *p);

/* It is suspended: wait until what it sent is in the proxy (RULES A4). */
int primary_proxy_settle(struct primary *p, struct xlc_error *err);

/* The cut. Called with the lock held. */
int primary_proxy_cut(struct primary *p, uint64_t n, struct xlc_error *err);

/* When the next checkpoint begins, microseconds; with the lock held. */
uint64_t primary_proxy_due_us(struct primary *p);

/* ----- what the machine says; with the lock held ----- */

void primary_proxy_committed(struct primary *p);

/* Everything leaves, now and from now on. */
void primary_proxy_open(struct primary *p);

/* Nothing may leave any more, ever. */
void primary_proxy_silence(struct primary *p);

/* ----- the main thread ----- */

int primary_proxy_fd(const struct primary *p);

/* @moved: the descriptor is readable. */
void primary_proxy_turn(struct primary *p, bool moved, uint64_t now_ms);

/* The settings have changed; with the lock held. */
void primary_proxy_set(struct primary *p);

/* Is @ifname taken through the proxy? With nb_lock held. */
bool primary_proxy_holds(const struct primary *p, const char *ifname);

/* Give the vifs back, if they are still there. Without @discard what is held
 * leaves first. */
void primary_proxy_end(struct primary *p, bool discard);

/* The guest stays suspended and its vifs closed: forget the rest. */
void primary_proxy_leave(struct primary *p);

void primary_proxy_free(struct primary *p);

/* With the lock held, for the line of a checkpoint in the event log: the mode
 * before its cut, and the connection that asked for it, NULL if none did. */
enum policy_mode primary_proxy_mode(const struct primary *p);
const char *primary_proxy_flow(const struct primary *p);

/* Part of the status. With the lock held. */
void primary_proxy_json(struct primary *p, struct json *j);

/* What is held: the sums for the status. Return: true if there is a proxy */
bool primary_proxy_held(struct primary *p, uint64_t *packets,
                        uint64_t *bytes);

/* A sentence for the status, or NULL. */
bool primary_proxy_warning(const struct primary *p, char *text, size_t size);

/* primary-redial.c, of the main thread: the connection of the two proxies is
 * made again. @first: the one that is there now, before the proxy has it. */
void primary_redial_begin(struct primary *p, const struct conn *first);
/* For poll(): -1 and 0 while there is nothing to wait for. */
int primary_redial_fd(const struct primary *p);
short primary_redial_events(const struct primary *p);
void primary_redial_turn(struct primary *p, uint64_t now_ms);
void primary_redial_end(struct primary *p);

#endif
