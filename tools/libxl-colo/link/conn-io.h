/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conn-io.h - Octets over a socket, with TLS 1.3 or without
 *
 * What conn.c needs of GnuTLS. All functions return 0 or a count, -EAGAIN if
 * a non-blocking socket has to wait, -ECONNRESET at the end of the stream,
 * or another negative errno with a sentence.
 */
#ifndef XLC_CONN_IO_H
#define XLC_CONN_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <gnutls/gnutls.h>

#include "conn.h"

/**
 * struct conn_io - a socket and perhaps a TLS session on it
 * @fd: the socket, owned
 * @tls: NULL for plaintext
 * @psk_server, @psk_client: the credentials that @tls refers to
 */
struct conn_io {
    int fd;
    gnutls_session_t tls;
    gnutls_psk_server_credentials_t psk_server;
    gnutls_psk_client_credentials_t psk_client;
    uint64_t bytes_out, bytes_in;
};

/* Takes @fd over, also on failure. */
int conn_io_init(struct conn_io *io, int fd, const struct conn_secret *s,
                 bool server, struct xlc_error *err);
void conn_io_dispose(struct conn_io *io);

short conn_io_wants(const struct conn_io *io);
int conn_io_handshake(struct conn_io *io, struct xlc_error *err);
ssize_t conn_io_send(struct conn_io *io, const void *buf, size_t len,
                     struct xlc_error *err);
ssize_t conn_io_recv(struct conn_io *io, void *buf, size_t len,
                     struct xlc_error *err);

/* True if TLS holds octets that conn_io_recv() would return at once. */
bool conn_io_pending(const struct conn_io *io);

int conn_io_blocking(struct conn_io *io, struct xlc_error *err);
int conn_io_send_all(struct conn_io *io, const void *head, size_t head_len,
                     const void *body, size_t body_len,
                     struct xlc_error *err);
int conn_io_recv_all(struct conn_io *io, void *buf, size_t len,
                     struct xlc_error *err);

#endif
