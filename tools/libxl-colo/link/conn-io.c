/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conn-io.c - Octets over a socket, with TLS 1.3 or without */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"
#include "conn-io.h"

#define PSK_IDENTITY "xl-colo"

/* External PSKs are bound to SHA-256, so AES-256 is never chosen. Without
 * AES in the processor ChaCha20 is the faster of the two that are left. */
#define PRIORITY_BASE \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:-CIPHER-ALL"
#define PRIORITY_AES  PRIORITY_BASE ":+AES-128-GCM:+CHACHA20-POLY1305"
#define PRIORITY_NOAES PRIORITY_BASE ":+CHACHA20-POLY1305:+AES-128-GCM"

static const char *priority(void)
{
    return __builtin_cpu_supports("aes") ? PRIORITY_AES : PRIORITY_NOAES;
}

static int psk_of_session(gnutls_session_t tls, const char *user,
                          gnutls_datum_t *key)
{
    const struct conn_secret *s = gnutls_session_get_ptr(tls);

    if (strcmp(user, PSK_IDENTITY)) return -1;
    key->data = gnutls_malloc(PROTO_KEY_LEN);
    if (!key->data) return -1;
    memcpy(key->data, s->key, PROTO_KEY_LEN);
    key->size = PROTO_KEY_LEN;
    return 0;
}

static int tls_init(struct conn_io *io, const struct conn_secret *s,
                    bool server)
{
    gnutls_datum_t key = { (unsigned char *)s->key, PROTO_KEY_LEN };
    int r;

    r = gnutls_init(&io->tls, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) |
                    GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
    if (r) return r;
    gnutls_session_set_ptr(io->tls, (void *)s);
    r = gnutls_priority_set_direct(io->tls, priority(), NULL);
    if (r) return r;
    if (server) {
        r = gnutls_psk_allocate_server_credentials(&io->psk_server);
        if (r) return r;
        gnutls_psk_set_server_credentials_function(io->psk_server,
                                                   psk_of_session);
        r = gnutls_credentials_set(io->tls, GNUTLS_CRD_PSK, io->psk_server);
    } else {
        r = gnutls_psk_allocate_client_credentials(&io->psk_client);
        if (r) return r;
        r = gnutls_psk_set_client_credentials(io->psk_client, PSK_IDENTITY,
                                              &key, GNUTLS_PSK_KEY_RAW);
        if (r) return r;
        r = gnutls_credentials_set(io->tls, GNUTLS_CRD_PSK, io->psk_client);
    }
    if (r) return r;
    gnutls_transport_set_int(io->tls, io->fd);
    return 0;
}

int conn_io_init(struct conn_io *io, int fd, const struct conn_secret *s,
                 bool server, struct xlc_error *err)
{
    int one = 1, fl, r;

    *io = (struct conn_io){ .fd = fd };
    fl = fcntl(fd, F_GETFL);
    if (fl < 0 || fcntl(fd, F_SETFL, fl | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return xlc_error_set(err, -errno, "fcntl: %s", strerror(errno));
    /* Fails on a socket that is not TCP (unit tests), which is no harm. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (s->plaintext) return 0;
    r = tls_init(io, s, server);
    if (r) return xlc_error_set(err, -EIO, "GnuTLS: %s", gnutls_strerror(r));
    return 0;
}

void conn_io_dispose(struct conn_io *io)
{
    if (io->tls) gnutls_deinit(io->tls);
    if (io->psk_server) gnutls_psk_free_server_credentials(io->psk_server);
    if (io->psk_client) gnutls_psk_free_client_credentials(io->psk_client);
    if (io->fd >= 0) close(io->fd);
    *io = (struct conn_io){ .fd = -1 };
}

short conn_io_wants(const struct conn_io *io)
{
    return gnutls_record_get_direction(io->tls) ? POLLOUT : POLLIN;
}

/* A GnuTLS result as ours. */
static int tls_error(int r, const char *what, struct xlc_error *err)
{
    if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) return -EAGAIN;
    if (r == GNUTLS_E_PREMATURE_TERMINATION || r == GNUTLS_E_PUSH_ERROR ||
        r == GNUTLS_E_PULL_ERROR)
        return xlc_error_set(err, -ECONNRESET,
                             "the other host closed the connection");
    return xlc_error_set(err, -EPROTO, "TLS %s: %s", what,
                         gnutls_strerror(r));
}

int conn_io_handshake(struct conn_io *io, struct xlc_error *err)
{
    int r;

    do {
        r = gnutls_handshake(io->tls);
    } while (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(r));
    return r < 0 ? tls_error(r, "handshake", err) : 0;
}

/* errno of a plain send or receive as ours; a socket that still connects only
 * has to wait. */
static int socket_error(struct xlc_error *err)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN)
        return -EAGAIN;
    return xlc_error_set(err, -ECONNRESET, "connection: %s",
                         strerror(errno));
}

ssize_t conn_io_send(struct conn_io *io, const void *buf, size_t len,
                     struct xlc_error *err)
{
    ssize_t n;

    if (io->tls) {
        n = gnutls_record_send(io->tls, buf, len);
        if (n < 0) return tls_error((int)n, "send", err);
    } else {
        do {
            n = send(io->fd, buf, len, MSG_NOSIGNAL);
        } while (n < 0 && errno == EINTR);
        if (n < 0) return socket_error(err);
    }
    io->bytes_out += (uint64_t)n;
    return n;
}

ssize_t conn_io_recv(struct conn_io *io, void *buf, size_t len,
                     struct xlc_error *err)
{
    ssize_t n;

    if (io->tls) {
        n = gnutls_record_recv(io->tls, buf, len);
        if (n < 0) return tls_error((int)n, "receive", err);
    } else {
        do {
            n = recv(io->fd, buf, len, 0);
        } while (n < 0 && errno == EINTR);
        if (n < 0) return socket_error(err);
    }
    if (!n)
        return xlc_error_set(err, -ECONNRESET,
                             "the other host closed the connection");
    io->bytes_in += (uint64_t)n;
    return n;
}

bool conn_io_pending(const struct conn_io *io)
{
    return io->tls && gnutls_record_check_pending(io->tls) > 0;
}

int conn_io_blocking(struct conn_io *io, struct xlc_error *err)
{
    int fl = fcntl(io->fd, F_GETFL);

    if (fl < 0 || fcntl(io->fd, F_SETFL, fl & ~O_NONBLOCK) < 0)
        return xlc_error_set(err, -errno, "fcntl: %s", strerror(errno));
    return 0;
}

/* Plaintext: header and body in one call, so that no half-filled segment
 * leaves between them. */
static int send_both(struct conn_io *io, const void *head, size_t head_len,
                     const void *body, size_t body_len,
                     struct xlc_error *err)
{
    struct iovec iov[2] = {
        { (void *)head, head_len },
        { (void *)body, body_len },
    };
    struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

    while (iov[0].iov_len + iov[1].iov_len) {
        ssize_t n = sendmsg(io->fd, &mh, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return xlc_error_set(err, -ECONNRESET, "connection: %s",
                                 strerror(errno));
        io->bytes_out += (uint64_t)n;
        for (int i = 0; i < 2 && n; i++) {
            size_t k = (size_t)n < iov[i].iov_len ? (size_t)n :
                       iov[i].iov_len;

            iov[i].iov_base = (char *)iov[i].iov_base + k;
            iov[i].iov_len -= k;
            n -= (ssize_t)k;
        }
    }
    return 0;
}

int conn_io_send_all(struct conn_io *io, const void *head, size_t head_len,
                     const void *body, size_t body_len,
                     struct xlc_error *err)
{
    const struct iovec iov[2] = {
        { (void *)head, head_len },
        { (void *)body, body_len },
    };

    if (!io->tls)
        return send_both(io, head, head_len, body, body_len, err);
    for (int i = 0; i < 2; i++) {
        const char *p = iov[i].iov_base;
        size_t left = iov[i].iov_len;

        while (left) {
            ssize_t n = conn_io_send(io, p, left, err);

            if (n == -EAGAIN) continue;
            if (n < 0) return (int)n;
            p += n;
            left -= (size_t)n;
        }
    }
    return 0;
}

int conn_io_recv_all(struct conn_io *io, void *buf, size_t len,
                     struct xlc_error *err)
{
    char *p = buf;

    while (len) {
        ssize_t n = conn_io_recv(io, p, len, err);

        if (n == -EAGAIN) continue;
        if (n < 0) return (int)n;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}
