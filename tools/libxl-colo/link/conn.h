/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conn.h - One connection between the two hosts: TLS, attach, frames
 *
 * Theory of operation
 * -------------------
 * A connection lives in three phases, all driven by conn_io() on a
 * non-blocking socket: the TLS 1.3 handshake with the session's key as PSK
 * (left out for --plaintext), the attach exchange (the listener sends a
 * nonce, the connecting end answers with a MAC under the same key, so that a
 * stranger can't join even without TLS), and frames both ways.
 *
 * ctrl and guard connections stay non-blocking: conn_send() queues, conn_io()
 * writes what the socket takes, conn_recv() hands out whole frames that were
 * decoded and checked. A data connection is switched by conn_blocking() and
 * then belongs to one thread: conn_write() and conn_read() block until done;
 * conn_shutdown() from another thread makes them return.
 *
 * A frame whose incarnation is not the connection's own is an error.
 */
#ifndef XLC_CONN_H
#define XLC_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "proto.h"

/* How long a new connection may take until it is attached. */
#define CONN_ATTACH_MS 5000u

struct conn;

/**
 * struct conn_secret - what both ends of a session know
 * @session: names it
 * @key: its secret; wiped by conn_secret_wipe()
 * @plaintext: no TLS
 */
struct conn_secret {
    uint8_t session[PROTO_SESSION_LEN];
    uint8_t key[PROTO_KEY_LEN];
    bool plaintext;
};

void conn_secret_wipe(struct conn_secret *s);

/**
 * conn_client() - wrap a connected or connecting socket; we are the primary
 * @fd: taken over, whatever happens; made non-blocking
 * @channel: enum proto_channel
 * @path: number of the peer's address
 * @incarnation: counts the connections of this channel and path, from 1
 */
int conn_client(struct conn **c_r, int fd, const struct conn_secret *s,
                uint8_t channel, uint8_t path, uint32_t incarnation,
                struct xlc_error *err);

/* Wrap an accepted socket; we are the secondary. @fd is taken over. */
int conn_server(struct conn **c_r, int fd, const struct conn_secret *s,
                struct xlc_error *err);

void conn_free(struct conn *c);

int conn_fd(const struct conn *c);

/* What to poll for. */
short conn_events(const struct conn *c);

/**
 * conn_io() - go on: handshake, attach, write, read
 *
 * Return: 0; a negative errno once the connection is of no more use
 * (-ECONNRESET for an orderly end too)
 */
int conn_io(struct conn *c, struct xlc_error *err);

/* True once frames can be sent and received. */
bool conn_ready(const struct conn *c);

/* What the other end said in ATTACH (listener) or we said (connecting). */
uint8_t conn_channel(const struct conn *c);
uint8_t conn_path(const struct conn *c);
uint32_t conn_incarnation(const struct conn *c);

/* Listener: ATTACH was checked; answer it, after which frames may flow. */
bool conn_wants_attached(const struct conn *c);
int conn_send_attached(struct conn *c, const struct proto_attached *a,
                       struct xlc_error *err);

/* Connecting end: what the listener answered. */
const struct proto_attached *conn_attached(const struct conn *c);

/**
 * conn_send() - queue a small frame (not PROTO_DATA)
 *
 * Return: 0; -EAGAIN if the queue is full (the peer does not read), and
 * nothing was queued
 */
int conn_send(struct conn *c, const struct proto_msg *m);

/**
 * conn_recv() - the next whole frame that conn_io() has read
 * @m: valid until the next call on @c
 *
 * Return: 1 a frame; 0 none yet; -EPROTO the peer broke the protocol
 */
int conn_recv(struct conn *c, struct proto_msg *m, struct xlc_error *err);

/**
 * conn_wait_ready() - block until the connection is ready
 * @deadline_ms: on CLOCK_MONOTONIC
 */
int conn_wait_ready(struct conn *c, uint64_t deadline_ms,
                    struct xlc_error *err);

/* From here on one thread uses conn_write() or conn_read(). */
int conn_blocking(struct conn *c, struct xlc_error *err);

/* Send a frame and wait until the kernel took it: @m, or for PROTO_DATA
 * @m->u.data with @m->hdr.length. */
int conn_write(struct conn *c, const struct proto_msg *m,
               struct xlc_error *err);

/**
 * conn_read() - wait for a frame
 * @buf: room for its body, PROTO_DATA_MAX octets
 *
 * Return: 0; -ECONNRESET at the end; -EPROTO; another negative errno
 */
int conn_read(struct conn *c, struct proto_msg *m, uint8_t *buf,
              struct xlc_error *err);

/**
 * conn_raw_send() - octets without frames, on a PROTO_CH_DISK or
 * PROTO_CH_PROXY connection
 *
 * From here on one thread uses these three, on the non-blocking socket. After
 * -EAGAIN the same octets come first in the next call.
 *
 * Return: how many were taken; -EAGAIN; -ECONNRESET; another negative errno
 */
ssize_t conn_raw_send(struct conn *c, const void *buf, size_t len,
                      struct xlc_error *err);
ssize_t conn_raw_recv(struct conn *c, void *buf, size_t len,
                      struct xlc_error *err);

/* True if conn_raw_recv() has octets of which poll() knows nothing. */
bool conn_raw_pending(const struct conn *c);

/* Make blocked calls in another thread return; thread-safe. */
void conn_shutdown(struct conn *c);

/* Octets handed to and taken from the socket's layer above TLS. */
uint64_t conn_bytes_out(const struct conn *c);
uint64_t conn_bytes_in(const struct conn *c);

/**
 * conn_dial() - make a TCP connection; blocks
 * @addr: a name or number; of a name with several addresses (IPv4, IPv6) the
 *        first that answers counts
 * @deadline_ms: on CLOCK_MONOTONIC; looking up a name has its own limits
 *
 * Return: a non-blocking socket that is connected; -ETIMEDOUT; another
 * negative errno: what the last address failed with
 */
int conn_dial(const char *addr, uint16_t port, uint64_t deadline_ms,
              struct xlc_error *err);

/* The same for addresses that are known; without a sentence. */
struct addrinfo;
int conn_dial_list(const struct addrinfo *ai, uint64_t deadline_ms);

/* A socket that is on its way to a numeric address; never blocks. Return: it,
 * non-blocking, or a negative errno */
int conn_dial_start(const char *addr, uint16_t port);

/**
 * conn_listen() - a listening socket on every address of this host
 * @port: wanted port, 0 for any; @port_r: the one it got
 */
int conn_listen(uint16_t port, uint16_t *port_r, struct xlc_error *err);

#endif
