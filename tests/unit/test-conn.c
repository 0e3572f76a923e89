/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-conn.c - Frames between two ends that are attached */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include "cleanup.h"
#include "clock.h"
#include "conn-pair.h"

#define RX_MAX  (PROTO_HDR_LEN + PROTO_OPTIONAL_MAX)
#define NFRAMES 1500 /* heartbeats that are more than one queue holds */
#define PIECES  24u  /* of PROTO_DATA_MAX octets */

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

/* All that is there. Return: the frames are the next ones */
static bool take_all(struct conn *c, uint64_t *seen)
{
    struct proto_msg m;

    while (conn_recv(c, &m, NULL) > 0)
        if (m.u.heartbeat.seq != ++*seen) return false;
    return true;
}

/* Put @m into the queue, which the socket empties only when it is full: small
 * writes cost the kernel more than their octets. */
static bool put(struct conn *c, const struct proto_msg *m)
{
    int r = conn_send(c, m);

    return r == -EAGAIN ? !conn_io(c, NULL) && !conn_send(c, m) : !r;
}

/* More than the receive buffer holds, and then the end: nothing is lost. A
 * kernel that lets a socket hold less than that has the peer read before. */
static void test_last_words(bool plain)
{
    struct pair p = attached(plain);
    struct xlc_error err = XLC_ERROR_INIT;
    int big = 1 << 20, r = 0;
    uint64_t seen = 0, early;
    bool good = true;

    setsockopt(conn_fd(p.c), SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
    for (uint64_t i = 1; i <= NFRAMES && good; i++) {
        struct proto_msg m = heartbeat(i);

        while (!put(p.c, &m) && good)
            good = !conn_io(p.s, NULL) && take_all(p.s, &seen);
    }
    for (good = good && !conn_io(p.c, NULL);
         good && (conn_events(p.c) & POLLOUT); )
        good = !conn_io(p.s, NULL) && take_all(p.s, &seen) &&
               !conn_io(p.c, NULL);
    early = seen;
    conn_free(steal_ptr(&p.c));
    for (int i = 0; i < TURNS && !r; i++) {
        r = conn_io(p.s, &err);
        good = good && take_all(p.s, &seen);
    }
    ok(good && seen == NFRAMES, "%s: %llu of %u frames in front of the end, "
       "%llu of them read when it came", how(plain), (unsigned long long)seen,
       NFRAMES, (unsigned long long)early);
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
        { 0x8123, 4, 2, "of connection 2 on connection 1" },
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

int main(void)
{
    pair_begin();
    for (int plain = 1; plain >= 0; plain--) {
        test_frames(plain);
        test_full(plain);
        test_last_words(plain);
        test_optional(plain);
        test_blocking(plain);
        test_shutdown(plain);
    }
    test_wrong_frames();
    test_blocking_wrong();
    return done_testing();
}
