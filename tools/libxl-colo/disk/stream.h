/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stream.h - Messages of diskproto.h over a connected stream socket
 *
 * Blocking. One thread reads; sending is for one thread at a time. Whoever
 * wants to end either calls shutdown() on the descriptor.
 */
#ifndef XLC_STREAM_H
#define XLC_STREAM_H

#include <sys/uio.h>

#include "diskproto.h"

/**
 * struct stream - the reading end
 * @fd: the socket; the caller's
 * @from_primary: who speaks
 * @buf: what came; @room octets
 * @from: @to: what of it was not handed out yet
 */
struct stream {
    int fd;
    bool from_primary;
    uint8_t *buf;
    size_t room;
    size_t from;
    size_t to;
};

int stream_open(struct stream *s, int fd, bool from_primary,
                struct xlc_error *err);
void stream_close(struct stream *s);

/**
 * stream_next() - wait for the next message
 * @m: its @data is good until the next call
 *
 * Return: 0; -ENOTCONN: the peer closed; -ETIMEDOUT if the socket has a
 * timeout; -EPROTO
 */
int stream_next(struct stream *s, struct diskproto_msg *m,
                struct xlc_error *err);

/* Send all of it. Return: 0 or a negative errno. Changes @iov. */
int stream_send(int fd, struct iovec *iov, unsigned int n);

/* Send one message. */
int stream_say(int fd, const struct diskproto_msg *m);

/* A socket waits no longer than this, for either; 0: for ever. */
int stream_timeout(int fd, uint32_t ms);

#endif
