/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wirestream.c - Messages of the proxies in and out of a stream of octets */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wirestream.h"

_Static_assert(WIRESTREAM_IN >= 2 * WIRE_MSG_MAX &&
               WIRESTREAM_OUT >= 2 * WIRE_MSG_MAX,
               "a buffer holds any message, and more");

/* A read that brings as much, a whole record of TLS, probably left more. */
#define FILL_MORE 16384

static int plain_fd(void *ctx)
{
    return ((const struct wirestream *)ctx)->fd;
}

static ssize_t plain_read(void *ctx, void *buf, size_t len)
{
    ssize_t n;

    do {
        n = read(plain_fd(ctx), buf, len);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t plain_write(void *ctx, const void *buf, size_t len)
{
    ssize_t n;

    do {
        n = send(plain_fd(ctx), buf, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void plain_close(void *ctx)
{
    close(plain_fd(ctx));
}

const struct wirestream_ops wirestream_plain = {
    .read = plain_read,
    .write = plain_write,
    .close = plain_close,
};

int wirestream_open(struct wirestream *s, int fd,
                    const struct wirestream_ops *ops, void *ctx,
                    bool primary, uint16_t vifs, struct xlc_error *err)
{
    struct wire_msg hello = {
        .type = WIRE_HELLO,
        .u.hello = {
            .version = WIRE_VERSION,
            .version_min = WIRE_VERSION_MIN,
            .vifs = vifs,
        },
    };
    int r;

    *s = (struct wirestream)WIRESTREAM_INIT;
    s->ops = ops;
    s->ctx = ops == &wirestream_plain ? s : ctx;
    s->primary = primary;
    s->vifs = vifs;
    s->out = malloc(WIRESTREAM_OUT);
    s->in = malloc(WIRESTREAM_IN);
    s->fd = fd;
    s->more = true; /* @ops may hold what came before */
    r = s->out && s->in ? wirestream_put(s, &hello) : -ENOMEM;
    if (r) {
        s->fd = -1; /* stays the caller's */
        wirestream_close(s);
        return xlc_error_set(err, r, "can't make a stream for %u vifs: %s",
                             vifs, strerror(-r));
    }
    return 0;
}

void wirestream_close(struct wirestream *s)
{
    if (s->fd >= 0) s->ops->close(s->ctx);
    s->fd = -1;
    free(s->out);
    free(s->in);
    s->out = s->in = NULL;
    s->out_at = s->out_end = s->in_at = s->in_end = 0;
}

bool wirestream_room(const struct wirestream *s)
{
    return s->fd >= 0 &&
           WIRESTREAM_OUT - (s->out_end - s->out_at) >= WIRE_MSG_MAX;
}

bool wirestream_waits(const struct wirestream *s)
{
    return s->out_end > s->out_at;
}

/* Move what is left to the beginning once the end is near. */
static void compact(uint8_t *buf, size_t *at, size_t *end, size_t size)
{
    if (*at == *end) {
        *at = *end = 0;
    } else if (size - *end < WIRE_MSG_MAX && *at) {
        memmove(buf, buf + *at, *end - *at);
        *end -= *at;
        *at = 0;
    }
}

int wirestream_put(struct wirestream *s, const struct wire_msg *m)
{
    int n;

    if (s->fd < 0) return -ENOTCONN;
    compact(s->out, &s->out_at, &s->out_end, WIRESTREAM_OUT);
    n = wire_encode(m, s->primary, s->out + s->out_end,
                    WIRESTREAM_OUT - s->out_end);
    if (n < 0) return n;
    s->out_end += (size_t)n;
    return 0;
}

int wirestream_flush(struct wirestream *s, struct xlc_error *err)
{
    while (s->fd >= 0 && wirestream_waits(s)) {
        ssize_t n = s->ops->write(s->ctx, s->out + s->out_at,
                                  s->out_end - s->out_at);

        if (n == -EAGAIN) return 0;
        if (n <= 0)
            return xlc_error_set(err, n ? (int)n : -EIO, "can't write to the "
                                 "peer's proxy: %s",
                                 strerror(n ? -(int)n : EIO));
        s->out_at += (size_t)n;
        s->sent += (uint64_t)n;
    }
    return 0;
}

int wirestream_fill(struct wirestream *s, struct xlc_error *err)
{
    if (s->fd < 0) return 0;
    compact(s->in, &s->in_at, &s->in_end, WIRESTREAM_IN);
    s->more = false;
    while (s->in_end < WIRESTREAM_IN) {
        ssize_t n = s->ops->read(s->ctx, s->in + s->in_end,
                                 WIRESTREAM_IN - s->in_end);

        if (n == -EAGAIN) return 0;
        if (n == 0)
            return xlc_error_set(err, -ECONNRESET, "the peer's proxy has "
                                 "closed its stream");
        if (n < 0)
            return xlc_error_set(err, (int)n, "can't read from the peer's "
                                 "proxy: %s", strerror(-(int)n));
        s->in_end += (size_t)n;
        s->received += (uint64_t)n;
        /* Most often there is no more, and asking costs as much as reading. */
        if (n < FILL_MORE && s->in_end < WIRESTREAM_IN &&
            !(s->ops->ahead && s->ops->ahead(s->ctx))) return 0;
    }
    s->more = true;
    return 0;
}

static int greet(struct wirestream *s, const struct wire_hello *h,
                 struct xlc_error *err)
{
    if (s->greeted)
        return xlc_error_set(err, -EPROTO, "a second HELLO of the peer's "
                             "proxy");
    if (h->version < WIRE_VERSION_MIN || h->version_min > WIRE_VERSION)
        return xlc_error_set(err, -EPROTO, "the peer's proxy speaks versions "
                             "%u to %u, this one %u to %u", h->version_min,
                             h->version, WIRE_VERSION_MIN, WIRE_VERSION);
    if (h->vifs != s->vifs)
        return xlc_error_set(err, -EPROTO, "the guest has %u vifs here, and "
                             "%u for the peer's proxy", s->vifs, h->vifs);
    s->greeted = true;
    return 0;
}

int wirestream_next(struct wirestream *s, struct wire_msg *m,
                    struct xlc_error *err)
{
    for (;;) {
        size_t used;
        int r;

        if (s->fd < 0) return 0;
        r = wire_decode(m, s->in + s->in_at, s->in_end - s->in_at,
                        !s->primary, &used, err);
        if (r <= 0) return r;
        s->in_at += used;
        if (m->type == WIRE_HELLO) {
            r = greet(s, &m->u.hello, err);
            if (r) return r;
        } else if (!s->greeted) {
            return xlc_error_set(err, -EPROTO, "the peer's proxy began with "
                                 "%s", wire_type_name(m->type));
        } else if (!(m->type & WIRE_OPTIONAL)) {
            return 1;
        }
    }
}
