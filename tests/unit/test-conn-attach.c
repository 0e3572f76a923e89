/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-conn-attach.c - Who may join a session: attaching, strangers, garbage
 *
 * A stranger that speaks by itself (the fake ends) does so in plaintext, with
 * its own HMAC.
 */
#include <config.h>

#include <errno.h>

#include <gnutls/crypto.h>

#include "cleanup.h"
#include "conn-pair.h"

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

int main(void)
{
    struct conn_secret wiped;
    static const struct conn_secret zero;

    pair_begin();
    for (int plain = 1; plain >= 0; plain--) {
        test_attach(plain);
        test_strangers(plain);
        test_garbage(plain);
        test_eof(plain);
    }
    test_mac();
    test_order();
    test_attached_incarnation();
    wiped = secret[0];
    conn_secret_wipe(&wiped);
    ok(!memcmp(&wiped, &zero, sizeof(wiped)), "a secret is wiped");
    return done_testing();
}
