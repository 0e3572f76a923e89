/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wirestream.h - Messages of the proxies in and out of a stream of octets
 *
 * One buffer each way, taken when the stream is made. What is put is written
 * when wirestream_flush() is called, many messages at once; what was read is
 * taken apart by wirestream_next() without another copy.
 */
#ifndef XLC_WIRESTREAM_H
#define XLC_WIRESTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "wire.h"

/* Octets of a buffer: what waits for the peer, and what was read. */
#define WIRESTREAM_OUT (1u << 20)
#define WIRESTREAM_IN  (1u << 19)

/**
 * struct wirestream_ops - how octets move; never blocks
 * @read: Return: octets; 0: the end; -EAGAIN; another negative errno
 * @write: Return: octets, more than 0; -EAGAIN; another negative errno
 * @ahead: true if the layer has read ahead: @read has octets of which the
 *         descriptor says nothing. NULL: it never does
 * @close: releases @ctx and the descriptor
 *
 * With -EAGAIN the descriptor becomes readable, or writable, when it is worth
 * trying again. It is readable as long as there is anything that was not read
 * from it.
 */
struct wirestream_ops {
    ssize_t (*read)(void *ctx, void *buf, size_t len);
    ssize_t (*write)(void *ctx, const void *buf, size_t len);
    bool (*ahead)(void *ctx);
    void (*close)(void *ctx);
};

/**
 * struct wirestream - one end
 * @ops, @ctx: how octets move
 * @fd: to poll; -1: there is no stream
 * @primary: this end is the primary's
 * @vifs: of the guest
 * @greeted: the other end's HELLO was read
 * @more: there may be something to read of which @fd says nothing: at first,
 *        and when wirestream_fill() ended for lack of room
 * @out, @out_at, @out_end: octets not written yet are from @out_at to
 *                          @out_end
 * @in, @in_at, @in_end: the same, not taken yet
 * @sent, @received: octets, for the status
 */
struct wirestream {
    const struct wirestream_ops *ops;
    void *ctx;
    int fd;
    bool primary;
    uint16_t vifs;
    bool greeted;
    bool more;
    uint8_t *out, *in;
    size_t out_at, out_end, in_at, in_end;
    uint64_t sent, received;
};

#define WIRESTREAM_INIT { .fd = -1 }

/* A socket as it is, for wirestream_open(). */
extern const struct wirestream_ops wirestream_plain;

/**
 * wirestream_open() - make a stream, and say HELLO
 * @fd: non-blocking; taken over (with @ctx) when 0 is returned
 * @ops: wirestream_plain ignores @ctx
 * @vifs: how many the guest has
 */
int wirestream_open(struct wirestream *s, int fd,
                    const struct wirestream_ops *ops, void *ctx,
                    bool primary, uint16_t vifs, struct xlc_error *err);

/* May be repeated; what waits is lost. The counters stay. */
void wirestream_close(struct wirestream *s);

/* True if the longest message can be put. */
bool wirestream_room(const struct wirestream *s);

/* True if wirestream_flush() has something to do. */
bool wirestream_waits(const struct wirestream *s);

/**
 * wirestream_put() - queue a message
 *
 * Return: 0; -ENOSPC: flush first; -EINVAL: the other end would refuse it;
 * -ENOTCONN: there is no stream
 */
int wirestream_put(struct wirestream *s, const struct wire_msg *m);

/* Write what it takes. Return: 0, or a negative errno: it is broken. */
int wirestream_flush(struct wirestream *s, struct xlc_error *err);

/* Read what there is and has room; of what comes a moment later the descriptor
 * tells. Return: 0, or a negative errno: it is broken, or at its end
 * (-ECONNRESET). */
int wirestream_fill(struct wirestream *s, struct xlc_error *err);

/**
 * wirestream_next() - the next message that was read
 * @m: valid until the next wirestream_fill()
 *
 * HELLO is checked here and not handed out; optional messages are skipped.
 *
 * Return: 1; 0: there is none; -EPROTO
 */
int wirestream_next(struct wirestream *s, struct wire_msg *m,
                    struct xlc_error *err);

#endif
