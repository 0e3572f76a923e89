/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conn.c - One connection between the two hosts: TLS, attach, frames */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "cleanup.h"
#include "clock.h"
#include "cursor.h"
#include "conn.h"
#include "conn-io.h"

/* Small frames that may wait for a peer that does not read: more than a
 * minute of heartbeats. */
#define TX_MAX (64u << 10)
#define RX_MAX (PROTO_HDR_LEN + PROTO_OPTIONAL_MAX)

enum phase {
    PH_TLS,       /* handshake */
    PH_CHALLENGE, /* client: waits for the nonce */
    PH_ATTACH,    /* server: waits for ATTACH */
    PH_CHECKED,   /* server: ATTACH was right, owner must answer */
    PH_ANSWER,    /* client: waits for ATTACHED */
    PH_READY,
};

/**
 * struct conn - see conn.h
 * @io: the socket and its TLS session
 * @secret: the session's; @server: which end we are
 * @begun: the TLS handshake was begun
 * @attached: client: the listener's answer
 * @nonce: server: what we asked
 * @tx, @rx: frames that wait to be written, octets that wait to be decoded
 */
struct conn {
    struct conn_io io;
    const struct conn_secret *secret;
    enum phase phase;
    bool server, begun;
    uint8_t channel, path;
    uint32_t incarnation;
    struct proto_attached attached;
    uint8_t nonce[PROTO_NONCE_LEN];
    size_t tx_len, rx_len, rx_used;
    uint8_t tx[TX_MAX], rx[RX_MAX];
};

void conn_secret_wipe(struct conn_secret *s)
{
    gnutls_memset(s, 0, sizeof(*s));
}

/* MAC over who attaches to what; see struct proto_attach. */
static int attach_mac(const struct conn *c, uint8_t mac[PROTO_MAC_LEN],
                      const uint8_t *nonce, uint8_t channel, uint8_t path,
                      uint32_t incarnation)
{
    static const char label[] = "xl-colo attach";
    uint8_t msg[sizeof(label) - 1 + PROTO_NONCE_LEN + PROTO_SESSION_LEN + 6];
    struct wcur w = { msg, sizeof(msg), false };

    wcur_bytes(&w, label, sizeof(label) - 1);
    wcur_bytes(&w, nonce, PROTO_NONCE_LEN);
    wcur_bytes(&w, c->secret->session, PROTO_SESSION_LEN);
    wcur_u8(&w, channel);
    wcur_u8(&w, path);
    wcur_u32(&w, incarnation);
    return gnutls_hmac_fast(GNUTLS_MAC_SHA256, c->secret->key,
                            PROTO_KEY_LEN, msg, sizeof(msg), mac) ?
           -EIO : 0;
}

static int conn_new(struct conn **c_r, int fd, const struct conn_secret *s,
                    bool server, struct xlc_error *err)
{
    struct conn *c = calloc(1, sizeof(*c));
    int r;

    if (!c) {
        close(fd);
        return xlc_error_set(err, -ENOMEM, "no memory for a connection");
    }
    c->secret = s;
    c->server = server;
    r = conn_io_init(&c->io, fd, s, server, err);
    if (r) {
        conn_free(c);
        return r;
    }
    c->phase = s->plaintext ? (server ? PH_ATTACH : PH_CHALLENGE) : PH_TLS;
    *c_r = c;
    return 0;
}

int conn_client(struct conn **c_r, int fd, const struct conn_secret *s,
                uint8_t channel, uint8_t path, uint32_t incarnation,
                struct xlc_error *err)
{
    int r = conn_new(c_r, fd, s, false, err);

    if (r) return r;
    (*c_r)->channel = channel;
    (*c_r)->path = path;
    (*c_r)->incarnation = incarnation;
    return 0;
}

/* The listener's first frame. */
static void queue_challenge(struct conn *c)
{
    struct proto_msg m = { .hdr.type = PROTO_CHALLENGE };

    memcpy(m.u.nonce, c->nonce, sizeof(c->nonce));
    conn_send(c, &m);
}

int conn_server(struct conn **c_r, int fd, const struct conn_secret *s,
                struct xlc_error *err)
{
    int r = conn_new(c_r, fd, s, true, err);

    if (r) return r;
    if (gnutls_rnd(GNUTLS_RND_NONCE, (*c_r)->nonce, PROTO_NONCE_LEN)) {
        conn_free(steal_ptr(c_r));
        return xlc_error_set(err, -EIO, "no random numbers from GnuTLS");
    }
    queue_challenge(*c_r);
    return 0;
}

void conn_free(struct conn *c)
{
    if (!c) return;
    conn_io_dispose(&c->io);
    free(c);
}

int conn_fd(const struct conn *c)
{
    return c->io.fd;
}

short conn_events(const struct conn *c)
{
    /* The connecting end speaks first. */
    if (c->phase == PH_TLS && !c->begun)
        return c->server ? POLLIN : POLLOUT;
    if (c->phase == PH_TLS) return conn_io_wants(&c->io);
    return c->tx_len ? POLLIN | POLLOUT : POLLIN;
}

bool conn_ready(const struct conn *c)
{
    return c->phase == PH_READY;
}

uint8_t conn_channel(const struct conn *c)
{
    return c->channel;
}

uint8_t conn_path(const struct conn *c)
{
    return c->path;
}

uint32_t conn_incarnation(const struct conn *c)
{
    return c->incarnation;
}

bool conn_wants_attached(const struct conn *c)
{
    return c->phase == PH_CHECKED;
}

const struct proto_attached *conn_attached(const struct conn *c)
{
    return &c->attached;
}

uint64_t conn_bytes_out(const struct conn *c)
{
    return c->io.bytes_out;
}

uint64_t conn_bytes_in(const struct conn *c)
{
    return c->io.bytes_in;
}

int conn_send(struct conn *c, const struct proto_msg *m)
{
    struct proto_msg out = *m;
    int n;

    out.hdr.incarnation = c->incarnation;
    n = proto_encode(c->tx + c->tx_len, TX_MAX - c->tx_len, &out);
    if (n == -EMSGSIZE) return -EAGAIN;
    if (n < 0) return n;
    c->tx_len += (size_t)n;
    return 0;
}

/* Client: the nonce came, prove who we are. */
static int on_challenge(struct conn *c, const struct proto_msg *m,
                        struct xlc_error *err)
{
    struct proto_msg a = { .hdr.type = PROTO_ATTACH };
    int r;

    if (m->hdr.type != PROTO_CHALLENGE)
        return xlc_error_set(err, -EPROTO,
                             "the peer sent %s where CHALLENGE belongs",
                             proto_type_name(m->hdr.type));
    memcpy(a.u.attach.session, c->secret->session, PROTO_SESSION_LEN);
    a.u.attach.channel = c->channel;
    a.u.attach.path = c->path;
    r = attach_mac(c, a.u.attach.mac, m->u.nonce, c->channel, c->path,
                   c->incarnation);
    if (r) return xlc_error_set(err, r, "GnuTLS computed no HMAC");
    c->phase = PH_ANSWER;
    return conn_send(c, &a);
}

/* Server: is it somebody of this session? */
static int on_attach(struct conn *c, const struct proto_msg *m,
                     struct xlc_error *err)
{
    const struct proto_attach *a = &m->u.attach;
    uint8_t mac[PROTO_MAC_LEN];

    if (m->hdr.type != PROTO_ATTACH || !m->hdr.incarnation)
        return xlc_error_set(err, -EPROTO,
                             "a stranger sent %s where ATTACH belongs",
                             proto_type_name(m->hdr.type));
    if (attach_mac(c, mac, c->nonce, a->channel, a->path,
                   m->hdr.incarnation) ||
        gnutls_memcmp(mac, a->mac, sizeof(mac)) ||
        memcmp(a->session, c->secret->session, PROTO_SESSION_LEN))
        return xlc_error_set(err, -EACCES, "a stranger tried to attach");
    c->channel = a->channel;
    c->path = a->path;
    c->incarnation = m->hdr.incarnation;
    c->phase = PH_CHECKED;
    return 0;
}

int conn_send_attached(struct conn *c, const struct proto_attached *a,
                       struct xlc_error *err)
{
    struct proto_msg m = { .hdr.type = PROTO_ATTACHED };
    int r;

    m.u.attached = *a;
    r = conn_send(c, &m);
    if (r) return xlc_error_set(err, r, "ATTACHED could not be queued");
    c->phase = PH_READY;
    return 0;
}

/* Take one whole frame out of @c->rx. Return: 1, 0 (not yet), -EPROTO */
static int take_frame(struct conn *c, struct proto_msg *m,
                      struct xlc_error *err)
{
    const uint8_t *p = c->rx + c->rx_used;
    size_t have = c->rx_len - c->rx_used;
    int r;

    if (have < PROTO_HDR_LEN) return 0;
    r = proto_decode_hdr(&m->hdr, p, err);
    if (r) return r;
    if (m->hdr.length > RX_MAX - PROTO_HDR_LEN)
        return xlc_error_set(err, -EPROTO, "%s of %u octets on a control "
                             "connection", proto_type_name(m->hdr.type),
                             m->hdr.length);
    if (have < PROTO_HDR_LEN + m->hdr.length) return 0;
    r = proto_decode(m, p + PROTO_HDR_LEN, err);
    if (r) return r;
    c->rx_used += PROTO_HDR_LEN + m->hdr.length;
    return 1;
}

static int fill_rx(struct conn *c, bool pending, struct xlc_error *err);

int conn_recv(struct conn *c, struct proto_msg *m, struct xlc_error *err)
{
    int r;

    if (c->phase != PH_READY) return 0;
    do {
        r = take_frame(c, m, err);
        /* What TLS has read and decrypted already wakes no poll(). */
        if (!r && conn_io_pending(&c->io) && !fill_rx(c, true, NULL))
            r = take_frame(c, m, err);
        if (r <= 0) return r;
        if (m->hdr.incarnation != c->incarnation)
            return xlc_error_set(err, -EPROTO, "%s of connection %u on "
                                 "connection %u",
                                 proto_type_name(m->hdr.type),
                                 m->hdr.incarnation, c->incarnation);
    } while (proto_unknown(m->hdr.type));
    return 1;
}

/* Frames of the attach exchange. */
static int attach_step(struct conn *c, struct xlc_error *err)
{
    struct proto_msg m;
    int r;

    while (c->phase == PH_CHALLENGE || c->phase == PH_ATTACH ||
           c->phase == PH_ANSWER) {
        r = take_frame(c, &m, err);
        if (r <= 0) return r;
        if (c->phase == PH_CHALLENGE) {
            r = on_challenge(c, &m, err);
        } else if (c->phase == PH_ATTACH) {
            r = on_attach(c, &m, err);
        } else {
            if (m.hdr.incarnation != c->incarnation)
                return xlc_error_set(err, -EPROTO,
                                     "%s of connection %u on connection %u",
                                     proto_type_name(m.hdr.type),
                                     m.hdr.incarnation, c->incarnation);
            if (m.hdr.type != PROTO_ATTACHED)
                return xlc_error_set(err, -EPROTO, "the peer sent %s where "
                                     "ATTACHED belongs",
                                     proto_type_name(m.hdr.type));
            c->attached = m.u.attached;
            c->phase = PH_READY;
            r = 0;
        }
        if (r) return r;
    }
    return 0;
}

/* Write what the socket takes. */
static int flush_tx(struct conn *c, struct xlc_error *err)
{
    while (c->tx_len) {
        ssize_t n = conn_io_send(&c->io, c->tx, c->tx_len, err);

        if (n == -EAGAIN) return 0;
        if (n < 0) return (int)n;
        c->tx_len -= (size_t)n;
        memmove(c->tx, c->tx + n, c->tx_len);
    }
    return 0;
}

/* Read what the socket has, or only what is @pending inside TLS: then the
 * connection's end stays for conn_io() to find. A connection that ends may
 * still have left frames: they are handed out first. */
static int fill_rx(struct conn *c, bool pending, struct xlc_error *err)
{
    if (c->rx_used) {
        c->rx_len -= c->rx_used;
        memmove(c->rx, c->rx + c->rx_used, c->rx_len);
        c->rx_used = 0;
    }
    while (c->rx_len < RX_MAX && (!pending || conn_io_pending(&c->io))) {
        ssize_t n = conn_io_recv(&c->io, c->rx + c->rx_len,
                                 RX_MAX - c->rx_len, err);

        if (n == -EAGAIN) return 0;
        if (n < 0) return (int)n;
        c->rx_len += (size_t)n;
    }
    return 0;
}

int conn_io(struct conn *c, struct xlc_error *err)
{
    struct xlc_error end = XLC_ERROR_INIT;
    int r;

    if (c->phase == PH_TLS) {
        c->begun = true;
        r = conn_io_handshake(&c->io, err);
        if (r == -EAGAIN) return 0;
        if (r) return r;
        c->phase = c->server ? PH_ATTACH : PH_CHALLENGE;
    }
    r = flush_tx(c, err);
    if (r) return r;
    r = fill_rx(c, false, &end);
    if (r && c->rx_len == c->rx_used)
        return xlc_error_set(err, r, "%s", end.msg);
    if (c->phase != PH_READY) {
        int s = attach_step(c, err);

        if (!s && !r) s = flush_tx(c, err);
        if (s) return s;
    }
    return r ? xlc_error_set(err, r, "%s", end.msg) : 0;
}

int conn_wait_ready(struct conn *c, uint64_t deadline_ms,
                    struct xlc_error *err)
{
    while (!conn_ready(c)) {
        struct pollfd pfd = { .fd = conn_fd(c), .events = conn_events(c) };
        uint64_t now = clock_ms();
        int r;

        if (now >= deadline_ms)
            return xlc_error_set(err, -ETIMEDOUT,
                                 "the connection was not accepted in time");
        r = poll(&pfd, 1, (int)(deadline_ms - now));
        if (r < 0 && errno != EINTR)
            return xlc_error_set(err, -errno, "poll: %s", strerror(errno));
        if (r <= 0) continue;
        r = conn_io(c, err);
        if (r) return r;
    }
    return 0;
}

int conn_blocking(struct conn *c, struct xlc_error *err)
{
    return conn_io_blocking(&c->io, err);
}

int conn_write(struct conn *c, const struct proto_msg *m,
               struct xlc_error *err)
{
    uint8_t small[PROTO_SMALL_MAX];
    struct proto_msg out = *m;
    int n;

    if (m->hdr.type == PROTO_DATA) {
        proto_encode_hdr(small, PROTO_DATA, m->hdr.length, c->incarnation,
                         m->hdr.epoch);
        n = conn_io_send_all(&c->io, small, PROTO_HDR_LEN,
                             m->u.data, m->hdr.length, err);
        return n;
    }
    out.hdr.incarnation = c->incarnation;
    n = proto_encode(small, sizeof(small), &out);
    if (n < 0)
        return xlc_error_set(err, n, "%s can't be encoded",
                             proto_type_name(m->hdr.type));
    return conn_io_send_all(&c->io, small, (size_t)n, NULL, 0, err);
}

/* What was read ahead while the connection was non-blocking comes first. */
static int read_exact(struct conn *c, uint8_t *buf, size_t len,
                      struct xlc_error *err)
{
    size_t ahead = c->rx_len - c->rx_used;

    if (ahead) {
        if (ahead > len) ahead = len;
        memcpy(buf, c->rx + c->rx_used, ahead);
        c->rx_used += ahead;
        buf += ahead;
        len -= ahead;
    }
    return len ? conn_io_recv_all(&c->io, buf, len, err) : 0;
}

int conn_read(struct conn *c, struct proto_msg *m, uint8_t *buf,
              struct xlc_error *err)
{
    uint8_t hdr[PROTO_HDR_LEN];
    int r;

    do {
        r = read_exact(c, hdr, sizeof(hdr), err);
        if (r) return r;
        r = proto_decode_hdr(&m->hdr, hdr, err);
        if (r) return r;
        if (m->hdr.length > PROTO_DATA_MAX)
            return xlc_error_set(err, -EPROTO, "frame of %u octets",
                                 m->hdr.length);
        if (m->hdr.incarnation != c->incarnation)
            return xlc_error_set(err, -EPROTO,
                                 "a frame of another connection");
        r = read_exact(c, buf, m->hdr.length, err);
        if (r) return r;
        r = proto_decode(m, buf, err);
        if (r) return r;
    } while (m->hdr.type & PROTO_OPTIONAL);
    return 0;
}

ssize_t conn_raw_send(struct conn *c, const void *buf, size_t len,
                      struct xlc_error *err)
{
    return conn_io_send(&c->io, buf, len, err);
}

ssize_t conn_raw_recv(struct conn *c, void *buf, size_t len,
                      struct xlc_error *err)
{
    size_t ahead = c->rx_len - c->rx_used;

    /* What came right behind the attach exchange. */
    if (!ahead) return conn_io_recv(&c->io, buf, len, err);
    if (ahead > len) ahead = len;
    memcpy(buf, c->rx + c->rx_used, ahead);
    c->rx_used += ahead;
    return (ssize_t)ahead;
}

bool conn_raw_pending(const struct conn *c)
{
    return c->rx_len > c->rx_used || conn_io_pending(&c->io);
}

void conn_shutdown(struct conn *c)
{
    shutdown(c->io.fd, SHUT_RDWR);
}
