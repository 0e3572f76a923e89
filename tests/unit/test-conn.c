/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-conn.c - Two ends of a connection, or one end and a stranger
 *
 * Both ends live in this process, over a socket pair or TCP to this host.
 * Everything is tried in plaintext and over TLS. A stranger that speaks by
 * itself (the fake ends) does so in plaintext, with its own HMAC.
 *
 * Longer than the house allows: all of it shares the pair of ends.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/crypto.h>

#include "cleanup.h"
#include "clock.h"
#include "conn.h"
#include "tap.h"

#define TURNS   20000 /* far more than any exchange takes */
#define RX_MAX  (PROTO_HDR_LEN + PROTO_OPTIONAL_MAX)
#define NFRAMES 1500  /* heartbeats that are more than one queue holds */
#define PIECES  24u   /* of PROTO_DATA_MAX octets */

static struct conn_secret secret[2]; /* [true] is plaintext */

/**
 * struct pair - the two ends
 * @c: the primary's; @s: the secondary's
 * @cr, @sr: what conn_io() of either returned last
 */
struct pair {
    struct conn *c, *s;
    int cr, sr;
    struct xlc_error ce, se;
};

static const char *how(bool plain)
{
    return plain ? "plaintext" : "TLS";
}

static void sockets(int fd[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd)) abort();
}

static void pair_open(struct pair *p, const struct conn_secret *cs,
                      const struct conn_secret *ss, uint32_t incarnation)
{
    int fd[2];

    *p = (struct pair){ .cr = 0 };
    sockets(fd);
    if (conn_client(&p->c, fd[0], cs, PROTO_CH_CTRL, 3, incarnation, NULL) ||
        conn_server(&p->s, fd[1], ss, NULL)) abort();
}

static void pair_close(struct pair *p)
{
    conn_free(p->c);
    conn_free(p->s);
    *p = (struct pair){ .cr = 0 };
}

static const struct proto_attached answer = {
    .generation = 5, .accepted = 17, .state = 2,
};

/* Both ends go on until they are ready or one failed. Return: both ready */
static bool pair_attach(struct pair *p)
{
    for (int i = 0; i < TURNS && !p->cr && !p->sr; i++) {
        p->cr = conn_io(p->c, &p->ce);
        p->sr = conn_io(p->s, &p->se);
        if (conn_wants_attached(p->s) && !p->sr)
            conn_send_attached(p->s, &answer, NULL);
        if (conn_ready(p->c) && conn_ready(p->s)) return true;
    }
    return false;
}

static struct pair attached(bool plain)
{
    struct pair p;

    pair_open(&p, &secret[plain], &secret[plain], 1);
    if (!pair_attach(&p)) {
        ok(false, "attach: %s %s", p.ce.msg, p.se.msg);
        exit(1);
    }
    return p;
}

/* One end alone, until it fails. Return: its error */
static int until_failed(struct conn *c, struct xlc_error *err)
{
    int r = 0;

    for (int i = 0; i < TURNS && !r; i++)
        r = conn_io(c, err);
    return r;
}

static struct proto_msg heartbeat(uint64_t seq)
{
    struct proto_msg m = { .hdr.type = PROTO_HEARTBEAT };

    m.u.heartbeat.seq = seq;
    return m;
}

static void write_raw(int fd, const void *buf, size_t len)
{
    if (len && send(fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len) abort();
}

static void read_raw(int fd, void *buf, size_t len)
{
    if (recv(fd, buf, len, MSG_WAITALL) != (ssize_t)len) abort();
}

/* ---- Attaching ----------------------------------------------------------- */

static void test_attach(bool plain)
{
    struct pair p;

    pair_open(&p, &secret[plain], &secret[plain], 9);
    ok(!conn_ready(p.c) && !conn_ready(p.s) && !conn_wants_attached(p.s),
       "%s: nobody is ready at first", how(plain));
    ok(pair_attach(&p), "%s: attaches", how(plain));
    ok(conn_channel(p.s) == PROTO_CH_CTRL && conn_path(p.s) == 3 &&
       conn_incarnation(p.s) == 9, "%s: the listener knows who it is",
       how(plain));
    ok(conn_attached(p.c)->generation == 5 &&
       conn_attached(p.c)->accepted == 17 && conn_attached(p.c)->state == 2,
       "%s: the connecting end knows what is held", how(plain));
    ok(conn_bytes_out(p.c) == conn_bytes_in(p.s) &&
       conn_bytes_in(p.c) == conn_bytes_out(p.s) && conn_bytes_in(p.c),
       "%s: octets are counted", how(plain));
    pair_close(&p);
}

static void test_strangers(bool plain)
{
    struct conn_secret other = secret[plain];
    struct pair p;

    other.key[31] ^= 1;
    pair_open(&p, &other, &secret[plain], 1);
    ok(!pair_attach(&p) && p.sr == (plain ? -EACCES : -EPROTO) &&
       p.se.msg[0] && !conn_wants_attached(p.s) && !conn_ready(p.c),
       "%s: a wrong key is refused: %s", how(plain), p.se.msg);
    conn_free(steal_ptr(&p.s));
    p.cr = p.cr ? p.cr : until_failed(p.c, &p.ce);
    ok(p.cr < 0 && p.ce.msg[0], "%s: and its owner hears of it: %s",
       how(plain), p.ce.msg);
    pair_close(&p);

    other = secret[plain];
    other.session[0] ^= 1;
    pair_open(&p, &other, &secret[plain], 1);
    ok(!pair_attach(&p) && p.sr == -EACCES,
       "%s: a wrong session is refused: %s", how(plain), p.se.msg);
    pair_close(&p);

    /* One speaks TLS, the other does not; a client in plaintext and a
     * listener with TLS wait for each other until the deadline. */
    pair_open(&p, &secret[plain], &secret[!plain], 1);
    ok(!pair_attach(&p) && (plain || p.sr == -EPROTO) &&
       !conn_ready(p.c) && !conn_ready(p.s),
       "%s to a listener of the other kind: %s", how(plain), p.se.msg);
    pair_close(&p);
}

static void test_garbage(bool plain)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: hostb\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        "\x16\x03\x01", /* too little to judge */
    };
    char zeroes[300] = { 0 };

    for (int server = 0; server < 2; server++)
        for (size_t i = 0; i < 4; i++) {
            const char *text = i < 3 ? texts[i] : zeroes;
            struct xlc_error err = XLC_ERROR_INIT;
            struct conn *c;
            int fd[2], r;

            sockets(fd);
            r = server ? conn_server(&c, fd[0], &secret[plain], NULL) :
                conn_client(&c, fd[0], &secret[plain], PROTO_CH_DATA, 0, 1,
                            NULL);
            if (r) abort();
            write_raw(fd[1], text, i < 3 ? strlen(text) : sizeof(zeroes));
            shutdown(fd[1], SHUT_WR);
            r = until_failed(c, &err);
            ok(r == (i == 2 ? -ECONNRESET : -EPROTO) &&
               err.status == r && err.msg[0] && !conn_ready(c) &&
               !conn_wants_attached(c),
               "%s %s: garbage %zu: %s", how(plain),
               server ? "listener" : "client", i, err.msg);
            conn_free(c);
            close(fd[1]);
        }
}

/* The other end goes away at each turn of the exchange. */
static void test_eof(bool plain)
{
    unsigned int turns = 0;
    bool good = true, over = false;

    for (int server = 0; server < 2; server++)
        for (turns = 0, over = false; turns < 100 && !over; turns++) {
            struct pair p;
            struct conn *left;
            struct xlc_error err = XLC_ERROR_INIT;
            int r;

            pair_open(&p, &secret[plain], &secret[plain], 1);
            for (unsigned int i = 0; i < turns; i++) {
                if (i & 1) conn_io(p.s, NULL);
                else conn_io(p.c, NULL);
                if (conn_wants_attached(p.s))
                    conn_send_attached(p.s, &answer, NULL);
            }
            over = conn_ready(p.c) && conn_ready(p.s);
            conn_free(server ? steal_ptr(&p.c) : steal_ptr(&p.s));
            left = server ? p.s : p.c;
            r = until_failed(left, &err);
            good = good && r == -ECONNRESET && err.msg[0];
            if (r != -ECONNRESET)
                printf("# %s, turn %u: %d %s\n", server ? "server" : "client",
                       turns, r, err.msg);
            pair_close(&p);
        }
    ok(good && over, "%s: the other end closes at any turn, up to %u",
       how(plain), turns);
}

/* ---- A stranger that speaks plaintext ------------------------------------ */

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

/* An ATTACH frame, computed here and not by conn.c. Return: its length */
static size_t make_attach(uint8_t *frame, size_t size, const uint8_t *nonce,
                          uint8_t channel, uint8_t path,
                          uint32_t incarnation)
{
    static const char label[] = "xl-colo attach";
    struct proto_msg m = { .hdr = { .type = PROTO_ATTACH,
                                    .incarnation = incarnation } };
    uint8_t text[68];
    int n;

    memcpy(text, label, 14);
    memcpy(text + 14, nonce, 32);
    memcpy(text + 46, secret[true].session, 16);
    text[62] = channel;
    text[63] = path;
    put32(text + 64, incarnation);
    memcpy(m.u.attach.session, secret[true].session, 16);
    m.u.attach.channel = channel;
    m.u.attach.path = path;
    gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret[true].key, PROTO_KEY_LEN,
                     text, sizeof(text), m.u.attach.mac);
    n = proto_encode(frame, size, &m);
    if (n < 0) abort();
    return (size_t)n;
}

/* A listener, and the nonce it sent to us. */
static struct conn *listener(int *fd_r, uint8_t nonce[PROTO_NONCE_LEN])
{
    uint8_t frame[PROTO_HDR_LEN + PROTO_NONCE_LEN];
    struct conn *s;
    int fd[2];

    sockets(fd);
    if (conn_server(&s, fd[0], &secret[true], NULL) || conn_io(s, NULL))
        abort();
    read_raw(fd[1], frame, sizeof(frame));
    memcpy(nonce, frame + PROTO_HDR_LEN, PROTO_NONCE_LEN);
    *fd_r = fd[1];
    return s;
}

static void test_mac(void)
{
    uint8_t nonce[PROTO_NONCE_LEN], again[PROTO_NONCE_LEN], frame[256];
    struct conn *s;
    size_t len;
    bool good = true;
    int fd;

    s = listener(&fd, nonce);
    len = make_attach(frame, sizeof(frame), nonce, PROTO_CH_GUARD, 2, 4);
    write_raw(fd, frame, len);
    ok(!conn_io(s, NULL) && conn_wants_attached(s) &&
       conn_channel(s) == PROTO_CH_GUARD && conn_path(s) == 2 &&
       conn_incarnation(s) == 4, "the MAC is what proto.h says");
    conn_free(s);
    close(fd);

    s = listener(&fd, again);
    write_raw(fd, frame, len);
    ok(memcmp(nonce, again, sizeof(nonce)) && conn_io(s, NULL) == -EACCES,
       "a replayed ATTACH is refused: each nonce is new");
    conn_free(s);
    close(fd);

    /* Any bit of it: the incarnation, the body. */
    for (size_t bit = 12 * 8; bit < len * 8; bit++) {
        if (bit >= 16 * 8 && bit < 24 * 8) continue; /* epoch: not this MAC */
        s = listener(&fd, nonce);
        make_attach(frame, sizeof(frame), nonce, PROTO_CH_CTRL, 0, 1);
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        write_raw(fd, frame, len);
        if (!conn_io(s, NULL) || conn_wants_attached(s)) good = false;
        conn_free(s);
        close(fd);
    }
    ok(good, "an ATTACH with any bit flipped is refused");

    /* It arrives octet by octet. */
    s = listener(&fd, nonce);
    make_attach(frame, sizeof(frame), nonce, PROTO_CH_CTRL, 0, 1);
    good = true;
    for (size_t i = 0; i < len; i++) {
        write_raw(fd, frame + i, 1);
        good = good && !conn_io(s, NULL) &&
               conn_wants_attached(s) == (i + 1 == len);
    }
    ok(good, "an ATTACH octet by octet");
    conn_free(s);
    close(fd);
}

/* A frame that does not belong where it comes. */
static void test_order(void)
{
    uint8_t nonce[PROTO_NONCE_LEN] = { 1 }, frame[PROTO_SMALL_MAX];
    struct xlc_error err = XLC_ERROR_INIT;
    struct proto_msg m = heartbeat(1), c = { .hdr.type = PROTO_CHALLENGE };
    struct conn *s;
    int fd[2], n;

    m.hdr.incarnation = 1;
    n = proto_encode(frame, sizeof(frame), &m);
    s = listener(&fd[1], nonce);
    write_raw(fd[1], frame, (size_t)n);
    ok(conn_io(s, &err) == -EPROTO && strstr(err.msg, "ATTACH belongs"),
       "HEARTBEAT instead of ATTACH: %s", err.msg);
    conn_free(s);
    close(fd[1]);

    for (int answered = 0; answered < 2; answered++) {
        xlc_error_clear(&err);
        sockets(fd);
        if (conn_client(&s, fd[0], &secret[true], PROTO_CH_CTRL, 0, 1, NULL))
            abort();
        if (answered) {
            n = proto_encode(frame, sizeof(frame), &c);
            write_raw(fd[1], frame, (size_t)n);
            if (conn_io(s, NULL)) abort();
        }
        n = proto_encode(frame, sizeof(frame), &m);
        write_raw(fd[1], frame, (size_t)n);
        ok(conn_io(s, &err) == -EPROTO &&
           strstr(err.msg, answered ? "ATTACHED belongs" :
                  "CHALLENGE belongs"),
           "HEARTBEAT instead of an answer: %s", err.msg);
        conn_free(s);
        close(fd[1]);
    }
}

/* ATTACHED is a frame of this connection too. */
static void test_attached_incarnation(void)
{
    struct proto_msg c = { .hdr.type = PROTO_CHALLENGE }, a = {
        .hdr = { .type = PROTO_ATTACHED, .incarnation = 2 },
        .u.attached = answer,
    };
    uint8_t frame[PROTO_SMALL_MAX];
    struct conn *s;
    int fd[2], n;

    sockets(fd);
    if (conn_client(&s, fd[0], &secret[true], PROTO_CH_CTRL, 0, 1, NULL))
        abort();
    n = proto_encode(frame, sizeof(frame), &c);
    write_raw(fd[1], frame, (size_t)n);
    n = proto_encode(frame, sizeof(frame), &a);
    write_raw(fd[1], frame, (size_t)n);
    ok(conn_io(s, NULL) == -EPROTO && !conn_ready(s),
       "ATTACHED of another incarnation is refused");
    conn_free(s);
    close(fd[1]);
}

/* ---- Frames -------------------------------------------------------------- */

static void test_frames(bool plain)
{
    struct pair p = attached(plain);
    struct proto_msg m = heartbeat(0), v = { .hdr.type = PROTO_FAILED }, got;
    bool good = true;

    snprintf(v.u.verdict.text, sizeof(v.u.verdict.text), "why");
    for (uint64_t i = 1; i <= 50; i++) {
        m = heartbeat(i);
        good = good && !conn_send(p.c, &m) && !conn_send(p.s, &v) &&
               !conn_io(p.c, NULL) && !conn_io(p.s, NULL) &&
               !conn_io(p.c, NULL) &&
               conn_recv(p.s, &got, NULL) == 1 &&
               got.hdr.type == PROTO_HEARTBEAT &&
               got.u.heartbeat.seq == i && got.hdr.incarnation == 1 &&
               !conn_recv(p.s, &got, NULL) &&
               conn_recv(p.c, &got, NULL) == 1 &&
               got.hdr.type == PROTO_FAILED &&
               !strcmp(got.u.verdict.text, "why") &&
               !conn_recv(p.c, &got, NULL);
    }
    ok(good, "%s: frames both ways", how(plain));
    pair_close(&p);
}

/* A peer that does not read, and then does. */
static void test_full(bool plain)
{
    struct pair p = attached(plain);
    struct xlc_error err = XLC_ERROR_INIT;
    struct proto_msg m, got;
    uint64_t sent = 0, seen = 0;
    int small = 4096, r = 0;
    bool good = true;

    setsockopt(conn_fd(p.c), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    while (!r && sent < 100000) {
        m = heartbeat(sent + 1);
        r = conn_send(p.c, &m);
        if (!r) sent++;
        good = good && !conn_io(p.c, &err);
    }
    ok(r == -EAGAIN && good && sent > 1000,
       "%s: the queue is full after %llu frames", how(plain),
       (unsigned long long)sent);
    ok(conn_events(p.c) & POLLOUT, "%s: and waits for the socket",
       how(plain));
    for (int i = 0; i < TURNS && seen < sent && good; i++) {
        good = !conn_io(p.c, &err) && !conn_io(p.s, &err);
        while (good && (r = conn_recv(p.s, &got, &err)) > 0)
            good = got.u.heartbeat.seq == ++seen;
        good = good && !r;
    }
    ok(good && seen == sent, "%s: all of them arrive, in order", how(plain));
    m = heartbeat(1);
    ok(!conn_send(p.c, &m) && !conn_io(p.c, NULL) &&
       !(conn_events(p.c) & POLLOUT), "%s: and the queue is open again",
       how(plain));
    pair_close(&p);
}

/* More than the receive buffer holds, and then the end: nothing is lost. */
static void test_last_words(bool plain)
{
    struct pair p = attached(plain);
    struct xlc_error err = XLC_ERROR_INIT;
    struct proto_msg m, got;
    int big = 1 << 20, r = 0;
    uint64_t seen = 0;
    bool good = true;

    setsockopt(conn_fd(p.c), SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
    for (uint64_t i = 1; i <= NFRAMES; i++) {
        m = heartbeat(i);
        good = good && !conn_send(p.c, &m) && !conn_io(p.c, NULL);
    }
    good = good && !(conn_events(p.c) & POLLOUT);
    conn_free(steal_ptr(&p.c));
    for (int i = 0; i < TURNS && !r; i++) {
        r = conn_io(p.s, &err);
        while (conn_recv(p.s, &got, NULL) > 0)
            good = good && got.u.heartbeat.seq == ++seen;
    }
    ok(good && seen == NFRAMES, "%s: %llu of %u frames in front of the end",
       how(plain), (unsigned long long)seen, NFRAMES);
    ok(r == -ECONNRESET && err.status == r, "%s: then the end: %s", how(plain),
       err.msg);
    pair_close(&p);
}

static void test_wrong_frames(void)
{
    static const struct {
        uint16_t type;
        uint32_t length, incarnation;
        const char *text;
    } bad[] = {
        { PROTO_HEARTBEAT, 40, 2, "of connection 2 on connection 1" },
        { 0x8001, 4, 2, "of connection 2 on connection 1" },
        { PROTO_DATA, 1u << 20, 1, "on a control connection" },
        { PROTO_HEARTBEAT, 39, 1, "" },
        { 40, 0, 1, "" },
    };
    uint8_t frame[64];
    struct xlc_error err;
    struct proto_msg got;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pair p = attached(true);
        int r;

        memset(frame, 0, sizeof(frame));
        proto_encode_hdr(frame, bad[i].type, bad[i].length,
                         bad[i].incarnation, bad[i].type == PROTO_DATA);
        write_raw(conn_fd(p.c), frame, bad[i].length < 40 ?
                  24 + bad[i].length : sizeof(frame));
        err = (struct xlc_error)XLC_ERROR_INIT;
        r = conn_io(p.s, &err);
        ok(!r && conn_recv(p.s, &got, &err) == -EPROTO && err.msg[0] &&
           strstr(err.msg, bad[i].text), "a bad frame: %s", err.msg);
        pair_close(&p);
    }
}

/* A frame nobody knows is skipped, alone and with others behind it. */
static void test_optional(bool plain)
{
    static uint8_t body[PROTO_OPTIONAL_MAX];
    struct pair p = attached(plain);
    struct proto_msg m = { .hdr = { .type = 0x8123, .length = 60000 } }, got;
    struct proto_msg h = heartbeat(1);
    uint64_t seen = 0;
    bool good;

    m.u.data = body;
    good = !conn_send(p.c, &h) && !conn_send(p.c, &m);
    for (int i = 0; i < 1000 && seen < 3 && good; i++) {
        good = !conn_io(p.c, NULL) && !conn_io(p.s, NULL);
        if (i == 100) {
            h = heartbeat(2);
            good = good && !conn_send(p.c, &m) && !conn_send(p.c, &h);
        }
        if (i == 200) {
            h = heartbeat(3);
            good = good && !conn_send(p.c, &h);
        }
        while (good && conn_recv(p.s, &got, NULL) > 0)
            good = got.u.heartbeat.seq == ++seen;
    }
    ok(good && seen == 3, "%s: frames nobody knows are skipped", how(plain));
    pair_close(&p);
}

/* ---- Blocking ------------------------------------------------------------ */

/* What the sending thread of a data connection does. */
struct sender {
    struct conn *c;
    int r;
    unsigned int frames;
    struct xlc_error err;
};

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 11));
}

static void *send_epoch(void *opaque)
{
    struct sender *s = opaque;
    CLEANUP_FREE uint8_t *buf = malloc(PROTO_DATA_MAX);
    struct proto_msg m = { .hdr = { .type = PROTO_DATA, .epoch = 1 } };
    uint64_t at = 0;

    if (!buf) abort();
    for (unsigned int i = 0; i < PIECES && !s->r; i++) {
        /* Of many sizes, the largest among them. */
        m.hdr.length = i ? PROTO_DATA_MAX - i * 40009 : PROTO_DATA_MAX;
        for (uint32_t k = 0; k < m.hdr.length; k++)
            buf[k] = pattern(at++);
        m.u.data = buf;
        s->r = conn_write(s->c, &m, &s->err);
        s->frames += !s->r;
    }
    m = (struct proto_msg){ .hdr = { .type = PROTO_EPOCH_END, .epoch = 1 } };
    m.u.epoch_end.bytes = at;
    if (!s->r) s->r = conn_write(s->c, &m, &s->err);
    return NULL;
}

static void test_blocking(bool plain)
{
    struct pair p = attached(plain);
    struct sender s = { .c = p.c };
    CLEANUP_FREE uint8_t *buf = malloc(PROTO_DATA_MAX);
    struct proto_msg m = heartbeat(1), got;
    uint64_t at = 0, wrong = 0;
    pthread_t thread;
    int r;

    if (!buf) abort();
    /* A frame that was sent and read ahead before the switch. */
    if (conn_send(p.c, &m) || conn_io(p.c, NULL) || conn_io(p.s, NULL) ||
        conn_blocking(p.c, NULL) || conn_blocking(p.s, NULL)) abort();
    ok(!conn_read(p.s, &got, buf, NULL) && got.hdr.type == PROTO_HEARTBEAT,
       "%s: what was read ahead comes first", how(plain));
    if (pthread_create(&thread, NULL, send_epoch, &s)) abort();
    while (!(r = conn_read(p.s, &got, buf, &p.se)) &&
           got.hdr.type == PROTO_DATA)
        for (uint32_t k = 0; k < got.hdr.length; k++)
            wrong += got.u.data[k] != pattern(at++);
    pthread_join(thread, NULL);
    ok(!r && !s.r && !wrong && got.hdr.type == PROTO_EPOCH_END &&
       got.u.epoch_end.bytes == at && at > 8u << 20,
       "%s: %llu octets arrive as they were sent", how(plain),
       (unsigned long long)at);
    conn_free(steal_ptr(&p.c));
    ok(conn_read(p.s, &got, buf, &p.se) == -ECONNRESET && p.se.msg[0],
       "%s: then the end: %s", how(plain), p.se.msg);
    pair_close(&p);
}

static void *shut(void *opaque)
{
    struct timespec t = { 0, 20 * 1000000 };

    /* Give the other thread a chance to block; right either way. */
    nanosleep(&t, NULL);
    conn_shutdown(opaque);
    return NULL;
}

static void test_shutdown(bool plain)
{
    struct pair p = attached(plain);
    struct sender s = { .c = p.c };
    CLEANUP_FREE uint8_t *buf = malloc(PROTO_DATA_MAX);
    struct proto_msg got;
    pthread_t thread;

    if (!buf || conn_blocking(p.c, NULL) || conn_blocking(p.s, NULL)) abort();
    if (pthread_create(&thread, NULL, shut, p.s)) abort();
    ok(conn_read(p.s, &got, buf, &p.se) == -ECONNRESET && p.se.msg[0],
       "%s: conn_shutdown() ends conn_read(): %s", how(plain), p.se.msg);
    pthread_join(thread, NULL);
    pair_close(&p);

    p = attached(plain);
    s.c = p.c;
    if (conn_blocking(p.c, NULL)) abort();
    if (pthread_create(&thread, NULL, shut, p.c)) abort();
    send_epoch(&s); /* nobody reads */
    pthread_join(thread, NULL);
    ok(s.r == -ECONNRESET && s.frames < PIECES && s.err.msg[0],
       "%s: conn_shutdown() ends conn_write(): %s", how(plain), s.err.msg);
    pair_close(&p);
}

/* Frames that a data connection must not take. */
static void test_blocking_wrong(void)
{
    CLEANUP_FREE uint8_t *buf = malloc(PROTO_DATA_MAX);
    uint8_t frame[PROTO_HDR_LEN + 40];

    for (int i = 0; i < 2 && buf; i++) {
        struct pair p = attached(true);
        struct proto_msg got;

        if (conn_blocking(p.s, NULL)) abort();
        memset(frame, i ? 'x' : 0, sizeof(frame));
        if (!i) proto_encode_hdr(frame, PROTO_DATA, 40, 2, 1);
        write_raw(conn_fd(p.c), frame, sizeof(frame));
        ok(conn_read(p.s, &got, buf, &p.se) == -EPROTO && p.se.msg[0],
           "conn_read() refuses: %s", p.se.msg);
        pair_close(&p);
    }
}

/* ---- TCP, and waiting ---------------------------------------------------- */

static void *serve(void *opaque)
{
    struct conn **s = opaque;

    for (int i = 0; !conn_ready(*s); i++) {
        struct pollfd pfd = { conn_fd(*s), conn_events(*s), 0 };

        if (poll(&pfd, 1, 5000) <= 0 || conn_io(*s, NULL)) break;
        if (conn_wants_attached(*s) &&
            (conn_send_attached(*s, &answer, NULL) || conn_io(*s, NULL)))
            break;
    }
    return NULL;
}

static void test_tcp(bool plain)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct conn *c, *s = NULL;
    struct pollfd pfd = { .events = POLLIN };
    uint16_t port = 0, other;
    pthread_t thread;
    int fd, r, acc;

    pfd.fd = conn_listen(0, &port, &err);
    if (!ok(pfd.fd >= 0 && port, "listens on port %u %s", port, err.msg))
        return;
    r = conn_listen(port, &other, &err);
    ok(r == -EADDRINUSE && strstr(err.msg, "--port"), "twice: %s", err.msg);
    fd = conn_dial("127.0.0.1", port, NULL);
    if (fd < 0 || poll(&pfd, 1, 5000) != 1) abort();
    acc = accept(pfd.fd, NULL, NULL);
    if (acc < 0 || conn_server(&s, acc, &secret[plain], NULL) ||
        conn_client(&c, fd, &secret[plain], PROTO_CH_DATA, 0, 1, NULL))
        abort();
    if (pthread_create(&thread, NULL, serve, &s)) abort();
    xlc_error_clear(&err);
    r = conn_wait_ready(c, clock_ms() + 20000, &err);
    pthread_join(thread, NULL);
    ok(!r && conn_ready(c) && conn_ready(s), "%s over TCP: attached %s",
       how(plain), err.msg);
    conn_free(c);
    conn_free(s);

    /* A listener that never says a word. */
    fd = conn_dial("127.0.0.1", port, NULL);
    if (fd < 0 || conn_client(&c, fd, &secret[plain], PROTO_CH_DATA, 0, 1,
                              NULL)) abort();
    ok(conn_wait_ready(c, clock_ms() + 50, &err) == -ETIMEDOUT &&
       err.status == -ETIMEDOUT, "%s: a deadline passes: %s", how(plain),
       err.msg);
    conn_free(c);

    close(pfd.fd);
    xlc_error_clear(&err);
    fd = conn_dial("127.0.0.1", port, &err);
    r = fd;
    if (fd >= 0 && !conn_client(&c, fd, &secret[plain], PROTO_CH_DATA, 0, 1,
                                NULL)) {
        r = conn_wait_ready(c, clock_ms() + 20000, &err);
        conn_free(c);
    }
    ok((r == -ECONNRESET || r == -ECONNREFUSED) && err.msg[0],
       "%s: nobody listens: %s", how(plain), err.msg);
}

static void test_dial(void)
{
    struct xlc_error err = XLC_ERROR_INIT;

    ok(conn_dial("not.a.host.invalid", 1, &err) == -EHOSTUNREACH &&
       strstr(err.msg, "not.a.host.invalid"), "no such host: %s", err.msg);
    conn_free(NULL);
    ok(true, "conn_free(NULL)");
}

int main(void)
{
    struct conn_secret wiped;
    static const struct conn_secret zero;

    signal(SIGPIPE, SIG_DFL); /* no call may raise it */
    alarm(120);
    for (int i = 0; i < 2; i++) {
        memset(secret[i].session, 0x11, sizeof(secret[i].session));
        memset(secret[i].key, 0x22, sizeof(secret[i].key));
        secret[i].plaintext = i;
    }
    for (int plain = 1; plain >= 0; plain--) {
        test_attach(plain);
        test_strangers(plain);
        test_garbage(plain);
        test_eof(plain);
        test_frames(plain);
        test_full(plain);
        test_last_words(plain);
        test_optional(plain);
        test_blocking(plain);
        test_shutdown(plain);
        test_tcp(plain);
    }
    test_mac();
    test_order();
    test_attached_incarnation();
    test_wrong_frames();
    test_blocking_wrong();
    test_dial();
    wiped = secret[0];
    conn_secret_wipe(&wiped);
    ok(!memcmp(&wiped, &zero, sizeof(wiped)), "a secret is wiped");
    return done_testing();
}
