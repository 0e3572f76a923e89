/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-conn-stream.c - What the proxies say, over a connection of the link */
#include <config.h>

#include <errno.h>
#include <poll.h>

#include "conn-pair.h"
#include "conn-stream.h"

#define FRAME  60000u
#define FRAMES 40u

static uint8_t frame[FRAME];

/* @n's octets. */
static void draw(uint32_t n)
{
    for (uint32_t i = 0; i < FRAME; i++)
        frame[i] = (uint8_t)(i * 7 + n);
}

static struct wire_msg message(uint32_t n)
{
    struct wire_msg m = { .type = WIRE_INBOUND, .epoch = 1 };

    draw(n);
    m.u.frame.data = frame;
    m.u.frame.len = FRAME - n;
    return m;
}

/* The secondary speaks before the primary has read ATTACHED. */
static void attach_at_once(struct pair *p, struct wirestream *s)
{
    pair_open(p, &secret[p->cr], &secret[p->cr], 1);
    for (int i = 0; i < TURNS && s->fd < 0; i++) {
        if (!conn_wants_attached(p->s)) {
            if (conn_io(p->c, NULL) || conn_io(p->s, NULL)) abort();
            continue;
        }
        if (conn_send_attached(p->s, &answer, NULL) || conn_io(p->s, NULL) ||
            wirestream_open(s, conn_fd(p->s), &conn_stream_ops, p->s, false,
                            1, NULL) ||
            wirestream_flush(s, NULL)) abort();
    }
    for (int i = 0; i < TURNS && !conn_ready(p->c); i++)
        if (conn_io(p->c, NULL)) abort();
}

static void test_hello(bool plain)
{
    struct wirestream c = WIRESTREAM_INIT, s = WIRESTREAM_INIT;
    struct pair p = { .cr = plain };
    struct pollfd pfd;
    struct wire_msg m;

    attach_at_once(&p, &s);
    pfd = (struct pollfd){ .fd = conn_fd(p.c), .events = POLLIN };
    ok(!poll(&pfd, 1, 0) && conn_raw_pending(p.c),
       "%s: HELLO came right behind ATTACHED, and poll() does not know",
       how(plain));
    ok(!wirestream_open(&c, conn_fd(p.c), &conn_stream_ops, p.c, true, 1,
                        NULL) && c.more, "%s: so the stream looks at once",
       how(plain));
    ok(!wirestream_fill(&c, NULL) && !wirestream_next(&c, &m, NULL) &&
       c.greeted && !c.more, "%s: and finds it", how(plain));
    wirestream_close(&c);
    wirestream_close(&s);
}

static void streams(bool plain, struct wirestream *c, struct wirestream *s)
{
    struct pair p = attached(plain);

    if (wirestream_open(c, conn_fd(p.c), &conn_stream_ops, p.c, true, 1,
                        NULL) ||
        wirestream_open(s, conn_fd(p.s), &conn_stream_ops, p.s, false, 1,
                        NULL)) abort();
}

/* Long messages through a socket that takes little at once. */
static void test_frames(bool plain)
{
    struct wirestream c = WIRESTREAM_INIT, s = WIRESTREAM_INIT;
    uint32_t put = 0, got = 0;
    bool good = true;
    struct wire_msg m;
    int small = 4096;

    streams(plain, &c, &s);
    setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    for (int i = 0; i < TURNS && got < FRAMES && good; i++) {
        if (put < FRAMES && wirestream_room(&c)) {
            m = message(put);
            good = !wirestream_put(&c, &m);
            put++;
        }
        good = good && !wirestream_flush(&c, NULL) &&
               !wirestream_fill(&s, NULL);
        while (good && wirestream_next(&s, &m, NULL) > 0) {
            draw(got);
            good = m.u.frame.len == FRAME - got &&
                   !memcmp(m.u.frame.data, frame, m.u.frame.len);
            got++;
        }
    }
    ok(good && got == FRAMES, "%s: %u long frames arrive whole",
       how(plain), got);
    wirestream_close(&c);
    wirestream_close(&s);
}

static void test_end(bool plain)
{
    struct wirestream c = WIRESTREAM_INIT, s = WIRESTREAM_INIT;
    struct xlc_error err = XLC_ERROR_INIT;
    int r = 0;

    streams(plain, &c, &s);
    ok(!wirestream_fill(&c, NULL), "%s: nothing is no error", how(plain));
    wirestream_close(&s);
    for (int i = 0; i < TURNS && !r; i++)
        r = wirestream_fill(&c, &err);
    ok(r == -ECONNRESET && err.status == r && *err.msg,
       "%s: the end is found: %s", how(plain), err.msg);
    wirestream_close(&c);
}

int main(void)
{
    pair_begin();
    for (int plain = 0; plain < 2; plain++) {
        test_hello(plain);
        test_frames(plain);
        test_end(plain);
    }
    return done_testing();
}
