/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conn-stream.h - A PROTO_CH_PROXY connection as the stream of a proxy
 *
 * struct conn *c; ready, and nothing was sent on it but the attach exchange:
 *
 *   r = proxy_primary_peer(p, conn_fd(c), &conn_stream_ops, c, err);
 *
 * On success the connection is the proxy's, which frees it; on failure it is
 * still the caller's. What came right behind the attach exchange is not lost.
 * From then on only conn_shutdown() may be called by others, and only while
 * it is certain that the proxy has not closed the stream.
 */
#ifndef XLC_CONN_STREAM_H
#define XLC_CONN_STREAM_H

#include "conn.h"
#include "wirestream.h"

/* The context is the struct conn. */
extern const struct wirestream_ops conn_stream_ops;

#endif
