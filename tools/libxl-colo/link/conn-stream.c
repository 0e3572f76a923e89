/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conn-stream.c - A PROTO_CH_PROXY connection as the stream of a proxy */
#include <config.h>

#include "conn-stream.h"

/* The other end's orderly close is this end's, too. */
static ssize_t stream_read(void *ctx, void *buf, size_t len)
{
    return conn_raw_recv(ctx, buf, len, NULL);
}

static ssize_t stream_write(void *ctx, const void *buf, size_t len)
{
    return conn_raw_send(ctx, buf, len, NULL);
}

static bool stream_ahead(void *ctx)
{
    return conn_raw_pending(ctx);
}

static void stream_close(void *ctx)
{
    conn_free(ctx);
}

const struct wirestream_ops conn_stream_ops = {
    .read = stream_read,
    .write = stream_write,
    .ahead = stream_ahead,
    .close = stream_close,
};
