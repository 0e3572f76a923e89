/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * redial.h - A connection that broke is made again
 *
 * Theory of operation
 * -------------------
 * For a connection whose loss is no failed host, while others say that both
 * hosts are well. Owned by one thread and driven by its poll loop: nothing
 * here blocks, and the address is a number. An attempt that fails, or does
 * not attach in time, is followed by another after a pause that doubles up to
 * a bound; the pause is short again once a connection has lasted. Each one
 * has a higher incarnation than all before it: the listener lets it take the
 * place of the older, of which it reads nothing any more (RULES A3).
 */
#ifndef XLC_REDIAL_H
#define XLC_REDIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "error.h"

/* The first pause, the longest, and how long a connection must last for the
 * next pause to be the first again. */
#define REDIAL_MIN_MS  200u
#define REDIAL_MAX_MS  30000u
#define REDIAL_GOOD_MS 60000u

#define REDIAL_ADDR_MAX 64 /* a number, perhaps with a %zone */

/**
 * struct redial - one channel's connection
 * @secret: the session's; must stay valid
 * @addr, @port: whom to reach; no address: nothing is tried
 * @channel: enum proto_channel; its path is 0
 * @incarnation: of the newest attempt
 * @conn: is being made; NULL between two attempts
 * @lost: it broke, and there is no other yet
 * @backoff_ms: the next pause; @retry_ms: when the next attempt is due
 * @deadline_ms: until when @conn must be attached
 * @up_ms: since when there was one
 * @losses: how often it broke; @tries: attempts since the last time
 * @why: what the last of them failed with, or why it broke
 */
struct redial {
    const struct conn_secret *secret;
    char addr[REDIAL_ADDR_MAX];
    uint16_t port;
    uint8_t channel;
    uint32_t incarnation;
    struct conn *conn;
    bool lost;
    uint32_t backoff_ms;
    uint64_t retry_ms, deadline_ms, up_ms;
    uint64_t losses;
    unsigned int tries;
    struct xlc_error why;
};

/**
 * redial_init() - there is a connection now: @first, of incarnation 1
 *
 * Its address is that at the other end of @first.
 */
void redial_init(struct redial *r, const struct conn *first,
                 const struct conn_secret *secret, uint16_t port,
                 uint8_t channel, uint64_t now_ms);

/* It broke. */
void redial_lost(struct redial *r, const char *why, uint64_t now_ms);

/* Give up, until redial_lost(). May be repeated. */
void redial_close(struct redial *r);

/* For poll(): -1 and 0 while there is nothing to wait for, also of one that
 * can be taken: the owner's loop turns now and then anyway. */
int redial_fd(const struct redial *r);
short redial_events(const struct redial *r);

/**
 * redial_turn() - go on: connect, attach
 *
 * Return: true if there is an attached connection for redial_take()
 */
bool redial_turn(struct redial *r, uint64_t now_ms);

/* It is the caller's: from here on it is not lost. */
struct conn *redial_take(struct redial *r, uint64_t now_ms);

/* Milliseconds until the next attempt; 0: one is under way, or none is
 * needed. */
static inline uint64_t redial_wait_ms(const struct redial *r, uint64_t now_ms)
{
    return r->lost && !r->conn && now_ms < r->retry_ms ?
           r->retry_ms - now_ms : 0;
}

#endif
