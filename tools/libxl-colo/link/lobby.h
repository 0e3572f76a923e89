/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lobby.h - Where connections wait until they have shown who they are
 *
 * Everybody can connect to the listener. Whoever has not proved to know the
 * session's key in CONN_ATTACH_MS goes; and when all places are taken the one
 * that has waited longest goes, so that strangers who only sit there can't
 * keep the peer out.
 */
#ifndef XLC_LOBBY_H
#define XLC_LOBBY_H

#include <stdint.h>

#include "conn.h"

#define LOBBY_MAX 16

/**
 * struct lobby - who waits
 * @conn: NULL where a place is free
 * @since_ms: since when it waits
 * @evicted: how many had to go before their time
 */
struct lobby {
    struct conn *conn[LOBBY_MAX];
    uint64_t since_ms[LOBBY_MAX];
    unsigned int evicted;
};

/**
 * lobby_enter() - somebody has connected
 * @fd: accepted; taken over, whatever happens
 *
 * Return: the place, or a negative errno
 */
int lobby_enter(struct lobby *l, int fd, const struct conn_secret *s,
                uint64_t now_ms, struct xlc_error *err);

/**
 * lobby_turn() - go on with one
 * @i: the place; a free one is passed over
 * @revents: what poll() said about conn_fd()
 *
 * Return: true if it has shown who it is and conn_send_attached() is due;
 * false if it waits on, or was shown out, with @err
 */
bool lobby_turn(struct lobby *l, unsigned int i, short revents,
                uint64_t now_ms, struct xlc_error *err);

/* It leaves, and is the caller's. */
struct conn *lobby_take(struct lobby *l, unsigned int i);

/* Show one out. */
void lobby_drop(struct lobby *l, unsigned int i);

/* Show everybody out. */
void lobby_clear(struct lobby *l);

#endif
