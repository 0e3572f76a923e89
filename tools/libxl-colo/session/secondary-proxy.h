/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * secondary-proxy.h - The copy's packets: its vifs' planes and their proxy
 *
 * Theory of operation
 * -------------------
 * For a protection whose packets are compared (PROTO_CAP_PROXY). The copy's
 * vifs are on no bridge, and all that it sends and is sent goes through TAPs
 * (plane.h) that the proxy reads and writes: before a failover for the peer's
 * proxy alone, afterwards for the bridge, as long as there are connections
 * whose numbers differ from those that the clients know. When the last one is
 * closed the vifs get their direct way, and the proxy ends.
 *
 * The TAPs are this process's. Should it die, the filters on the vifs stay and
 * drop everything (RULES A9). From a failover on the rewriters' tables are in
 * memory that the guard holds as well (RULES B4): it starts another process,
 * which takes vifs and tables over; if that can't be, it removes the filters.
 *
 * Threads: any; one lock. Only secondary_proxy_free() is for when the others
 * have ended.
 */
#ifndef XLC_SECONDARY_PROXY_H
#define XLC_SECONDARY_PROXY_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "error.h"
#include "json.h"
#include "wire.h"

struct receive_shared;
struct secondary_proxy;

/**
 * secondary_proxy_new() - nothing runs yet
 * @name: the guest's, for the log; it must stay
 * @sh: the guard is told there what it has to remove; it must stay
 */
int secondary_proxy_new(struct secondary_proxy **p_r, const char *name,
                        struct receive_shared *sh, struct xlc_error *err);

/* NULL is allowed. */
void secondary_proxy_free(struct secondary_proxy *p);

/**
 * secondary_proxy_attach() - the stream of the peer's proxy has come
 * @c: taken over if 0 is returned
 *
 * Perhaps before secondary_proxy_start(). One that comes later takes the
 * place of the one before, of which nothing is read any more (RULES A3).
 * Return: 0, and @c is taken over; a negative errno
 */
int secondary_proxy_attach(struct secondary_proxy *p, struct conn *c,
                           struct xlc_error *err);

/* Would it take another stream? Not once it has ended, or is @open. */
bool secondary_proxy_lives(struct secondary_proxy *p);

/**
 * secondary_proxy_start() - from here on the vifs' packets are ours
 * @vifs: names of interfaces on no bridge, @n of them; they are brought up
 */
int secondary_proxy_start(struct secondary_proxy *p,
                          const char (*vifs)[IFNAMSIZ], unsigned int n,
                          struct xlc_error *err);

/**
 * secondary_proxy_resume() - after a failover, in place of a process that died
 *
 * Instead of secondary_proxy_start(): the vifs are those that it left in
 * struct receive_shared. On failure they stay closed.
 */
int secondary_proxy_resume(struct secondary_proxy *p, struct xlc_error *err);

/* Readable when secondary_proxy_event() has something to look at; -1: there is
 * nothing yet, or any more. */
int secondary_proxy_fd(const struct secondary_proxy *p);
void secondary_proxy_event(struct secondary_proxy *p);

/* An eventfd that becomes readable when secondary_proxy_mode() may say
 * something new. */
int secondary_proxy_wake_fd(const struct secondary_proxy *p);

/**
 * secondary_proxy_mode() - may the copy run from @epoch?
 *
 * Return: WIRE_MODE_COLO: yes; WIRE_MODE_PASSIVE: no (also because the proxies
 * don't reach each other); 0: not known yet, or the primary is past that epoch
 */
unsigned int secondary_proxy_mode(struct secondary_proxy *p, uint64_t epoch);

/* The copy stands still, its vifs are disconnected: it is about to become what
 * it was at @epoch. A second time changes nothing. */
int secondary_proxy_cut(struct secondary_proxy *p, uint64_t epoch,
                        struct xlc_error *err);

/* May anybody have heard what the copy has sent since the last cut? */
bool secondary_proxy_said(struct secondary_proxy *p);

/* All its vifs are connected. */
void secondary_proxy_connected(struct secondary_proxy *p);

/* The failover: its packets are the guest's. Before this nothing of it has
 * left this host. */
int secondary_proxy_open(struct secondary_proxy *p, struct xlc_error *err);

/* After the failover, now and then: end what is not needed any more. */
void secondary_proxy_turn(struct secondary_proxy *p, uint64_t now_ms);

/* Connections that break when this process ends. */
uint32_t secondary_proxy_live(struct secondary_proxy *p);

/* The copy is gone, or its vifs shall go their direct way. */
void secondary_proxy_end(struct secondary_proxy *p);

/* The copy could not be destroyed: the filters stay, and drop all. */
void secondary_proxy_leave(struct secondary_proxy *p);

/* Keys of the status, inside "svm". */
void secondary_proxy_status(struct secondary_proxy *p, struct json *j);

#endif
