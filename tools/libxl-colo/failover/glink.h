/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * glink.h - A guard's own connection to the other host, made again and again
 *
 * Theory of operation
 * -------------------
 * Owned by one thread and driven by its poll loop; nothing here blocks, and
 * addresses are numbers, so that nothing is looked up either. A connection
 * that can't be made, does not attach in time, or breaks is made anew: at the
 * next address, after a pause that doubles up to a bound. Each one has a
 * higher incarnation than all before it, so the other side fences the older.
 *
 * What is said about this side's state is the caller's, with each heartbeat.
 */
#ifndef XLC_GLINK_H
#define XLC_GLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "xlcolo.h"

#define GLINK_ADDRS    (XLC_PEER_MAX + 1)
#define GLINK_ADDR_MAX 64 /* a number, perhaps with a %zone */

/* The pause before the second attempt. */
#define GLINK_BACKOFF_MS 50u

/**
 * struct glink_peer - whom to reach
 * @secret: the session's
 * @addr: its addresses as numbers; @naddr of them
 */
struct glink_peer {
    struct conn_secret secret;
    char addr[GLINK_ADDRS][GLINK_ADDR_MAX];
    unsigned int naddr;
    uint16_t port;
};

/**
 * struct glink - the connection
 * @peer: must stay valid
 * @conn: being made, or ready; NULL while it waits for the next attempt
 * @incarnation: of the newest one
 * @next: index of the address that is tried next
 * @backoff_ms: the next pause; at most @backoff_max_ms
 * @retry_ms: when the next attempt is due
 * @deadline_ms: until when @conn must be attached
 * @ready: @conn is attached
 * @next_beat_ms, @seq: of our heartbeats
 */
struct glink {
    const struct glink_peer *peer;
    struct conn *conn;
    uint32_t incarnation;
    unsigned int next;
    uint32_t backoff_ms, backoff_max_ms;
    uint64_t retry_ms, deadline_ms;
    bool ready;
    uint64_t next_beat_ms, seq;
};

/**
 * glink_init() - nothing is connected yet; the first turn begins
 * @incarnation: of the last connection that anybody made as the guard
 * @backoff_max_ms: the longest pause between two attempts
 */
void glink_init(struct glink *l, const struct glink_peer *peer,
                uint32_t incarnation, uint32_t backoff_max_ms);

/* Close it for good. */
void glink_close(struct glink *l);

/* For poll(): -1 and 0 while there is nothing to wait for. */
int glink_fd(const struct glink *l);
short glink_events(const struct glink *l);

/**
 * glink_turn() - go on: connect, attach, read, write
 *
 * Return: true if the connection has become ready just now; then
 * conn_attached(l->conn) is news
 */
bool glink_turn(struct glink *l, uint64_t now_ms);

/* The next frame. Return: true if there was one */
bool glink_recv(struct glink *l, struct proto_msg *m, uint64_t now_ms);

/* Queue a frame and write what the socket takes; lost if not @ready. */
void glink_send(struct glink *l, const struct proto_msg *m);

/**
 * glink_beat() - a heartbeat, if one is due
 * @every_ms: their interval
 * @state: enum proto_prim_state: what is true now
 * @acked: newest acknowledged epoch
 *
 * Return: true if one was due, whether or not anybody can hear it
 */
bool glink_beat(struct glink *l, uint64_t now_ms, uint32_t every_ms,
                uint8_t state, uint64_t acked);

#endif
