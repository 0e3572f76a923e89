/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pair.h - Two proxies between three network namespaces
 *
 * A client, and the same "guest" twice (one MAC, one address), each with a
 * TCP of its own:
 *
 *   client  ---  relay  ---  primary's proxy  ---  guest
 *                                    |
 *                              secondary's proxy  ---  guest
 *
 * The TAP of a namespace is its network card; this process has the other end.
 */
#ifndef XLC_TESTS_PAIR_H
#define XLC_TESTS_PAIR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "keepfile.h"
#include "proxy-primary.h"
#include "proxy-secondary.h"

#define PAIR_GUEST  "10.9.0.1"
#define PAIR_CLIENT "10.9.0.2"

/* The namespaces. */
enum pair_ns { PAIR_LAN, PAIR_P, PAIR_S, PAIR_NS };

/**
 * struct pair - all of it
 * @tap, @ns: of each namespace
 * @home: this process's own
 * @relay_fd: the proxies' end of the relay; -1: none
 * @relay_peer, @relay_thread, @relay_quit: the relay
 * @loss: of 10000 frames that many are lost in it, each way; may be changed
 * @primary, @secondary: the proxies; NULL: ended
 * @keep: for the secondary's rewriter; @successor: process that has taken its
 *        place, or 0
 * @epoch: of the last cut
 * @server: processes in the guests' namespaces; 0: none
 */
struct pair {
    struct tapdev tap[PAIR_NS];
    int ns[PAIR_NS];
    int home;
    int relay_fd, relay_peer;
    pthread_t relay_thread;
    atomic_bool relay_quit;
    atomic_uint loss;
    struct proxy_primary *primary;
    struct proxy_secondary *secondary;
    struct keepfile keep;
    pid_t successor;
    uint64_t epoch;
    pid_t server[PAIR_NS];
};

/* A server, in a process and a namespace of its own; never returns. */
typedef void pair_server(enum pair_ns which, void *arg);

/**
 * pair_open() - make everything, passive, in epoch 0
 * @loss: see struct pair
 * @compare: limits of the engine
 */
int pair_open(struct pair *p, unsigned int loss,
              const struct compare_opts *compare, struct xlc_error *err);

/* End it all. */
void pair_close(struct pair *p);

/* Start @server in both guests, ready to accept when this returns. */
int pair_serve(struct pair *p, pair_server *server, void *arg,
               struct xlc_error *err);

/* Begin to compare: both guests are taken as the same from here on. */
int pair_colo(struct pair *p, struct xlc_error *err);

/* A checkpoint for the primary's output alone; the guests stay as they are. */
int pair_commit(struct pair *p, struct xlc_error *err);

/* The primary's host dies, its guest with it; the other takes over. */
int pair_failover(struct pair *p, struct xlc_error *err);

/* After that: the secondary's proxy dies, by SIGKILL if it is another process
 * already, and another process takes its place. */
int pair_succeed(struct pair *p, struct xlc_error *err);

/* A socket of the client. Return: it, connected to @port; or a negative
 * errno. */
int pair_connect(struct pair *p, uint16_t port);

/* This thread goes into a namespace; PAIR_NS: back home. */
int pair_enter(struct pair *p, enum pair_ns which);

#endif
