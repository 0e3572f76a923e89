/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-proxy-parts.c - The proxies' queue, stream and mailbox */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frameq.h"
#include "mailbox.h"
#include "wirestream.h"
#include "tap.h"

static struct xlc_error err;
static uint8_t octets[WIRE_FRAME_MAX];

static struct wire_msg inbound(size_t len, uint64_t epoch)
{
    return (struct wire_msg){
        .type = WIRE_INBOUND,
        .epoch = epoch,
        .u.frame = { .data = octets, .len = (uint32_t)len },
    };
}

static size_t random_len(void)
{
    size_t len = (size_t)rand() % 4 ? (size_t)rand() % 1500
                                    : (size_t)rand() % WIRE_FRAME_MAX;

    return len < WIRE_FRAME_MIN ? WIRE_FRAME_MIN : len;
}

/* Whatever its size, what goes in comes out, in order. */
static void test_queue(unsigned int seed)
{
    struct frameq q;
    struct wire_msg m;
    uint64_t next_in = 1, next_out = 1;
    uint8_t *at;
    bool good = true, full = false;

    srand(seed);
    if (frameq_init(&q, 300000, &err)) exit(done_testing());
    for (unsigned int i = 0; i < 200000 && good; i++) {
        if (rand() % 2) {
            bool room = frameq_room(&q);

            m = inbound(random_len(), next_in);
            /* Half of them are made in the queue itself. */
            at = room && rand() % 2 ? frameq_next(&q) : octets;
            m.u.frame.data = at;
            memset(at, (int)(next_in & 0xff), m.u.frame.len);
            memcpy(at, &next_in, sizeof(next_in));
            if (frameq_push(&q, &m)) next_in++;
            else full = true, good = good && !room;
        } else if (frameq_peek(&q, &m)) {
            uint64_t number;

            memcpy(&number, m.u.frame.data, sizeof(number));
            good = number == next_out && m.epoch == next_out &&
                   m.u.frame.data[m.u.frame.len - 1] ==
                       (m.u.frame.len > sizeof(number)
                            ? (uint8_t)number
                            : m.u.frame.data[m.u.frame.len - 1]);
            next_out++;
            frameq_pop(&q);
        } else {
            good = q.n == 0 && next_in == next_out && q.bytes == 0;
        }
    }
    ok(good && full, "a queue keeps %llu messages in order, seed %u",
       (unsigned long long)next_out, seed);
    while (q.n)
        frameq_pop(&q);
    ok(q.bytes == 0 && frameq_room(&q), "and is empty after that");
    frameq_dispose(&q);
    frameq_dispose(&q);
}

static struct wirestream p, s;

static void open_pair(void)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) ||
        wirestream_open(&p, fds[0], &wirestream_plain, NULL, true, 1, &err) ||
        wirestream_open(&s, fds[1], &wirestream_plain, NULL, false, 1, &err))
        exit(done_testing());
}

static void close_pair(void)
{
    wirestream_close(&p);
    wirestream_close(&s);
    wirestream_close(&s);
    xlc_error_clear(&err);
}

static void test_stream(void)
{
    struct wire_msg m;
    unsigned int put = 0, got = 0;
    bool good = true;

    open_pair();
    while (got < 5000 && good) {
        while (put < 5000 && wirestream_room(&p)) {
            m = inbound(random_len(), put + 1);
            good = good && !wirestream_put(&p, &m);
            put++;
        }
        good = good && !wirestream_flush(&p, &err) &&
               !wirestream_fill(&s, &err);
        while (good && wirestream_next(&s, &m, &err) > 0)
            good = m.epoch == ++got;
    }
    ok(good && put == 5000 && got == put && s.greeted && !err.status &&
       p.sent == s.received && !wirestream_waits(&p),
       "%u messages through a stream %s", got, err.msg);
    m = inbound(100, 1);
    wirestream_close(&p);
    ok(wirestream_put(&p, &m) == -ENOTCONN && !wirestream_room(&p),
       "nothing is put into one that is closed");
    ok(wirestream_fill(&s, &err) == -ECONNRESET, "the end: %s", err.msg);
    close_pair();
}

/* A layer that has read @ahead octets of which its descriptor says nothing,
 * and is asked @reads times. */
static size_t ahead;
static unsigned int reads;

static ssize_t layer_read(void *ctx, void *buf, size_t len)
{
    size_t n = ahead < 1000 ? ahead : 1000;

    (void)ctx;
    reads++;
    if (!n) return -EAGAIN;
    if (n > len) n = len;
    memset(buf, 0, n);
    ahead -= n;
    return (ssize_t)n;
}

static ssize_t layer_write(void *ctx, const void *buf, size_t len)
{
    (void)ctx, (void)buf;
    return (ssize_t)len;
}

static bool layer_ahead(void *ctx)
{
    (void)ctx;
    return ahead;
}

static void layer_close(void *ctx)
{
    (void)ctx;
}

static void test_ahead(void)
{
    struct wirestream_ops ops = {
        .read = layer_read, .write = layer_write, .close = layer_close,
        .ahead = layer_ahead,
    };

    if (wirestream_open(&p, 0, &ops, NULL, true, 1, &err))
        exit(done_testing());
    ahead = 2500;
    ok(p.more && !wirestream_fill(&p, &err) && p.received == 2500 && !p.more,
       "all is read that a layer has read ahead");
    ahead = 1000;
    reads = 0;
    ok(!wirestream_fill(&p, &err) && reads == 1 && p.received == 3500,
       "and it is not asked for what only the descriptor can tell");
    ahead = WIRESTREAM_IN;
    ok(!wirestream_fill(&p, &err) && p.more && ahead,
       "who has no room remembers that there is more");
    wirestream_close(&p);
}

/* Say @m as the first message in place of HELLO, or behind it. */
static int first(bool hello, const struct wire_msg *m)
{
    struct wire_msg got;
    int r;

    open_pair();
    if (!hello) p.out_end = 0;
    wirestream_put(&p, m);
    if (wirestream_flush(&p, &err) || wirestream_fill(&s, &err)) return 1;
    r = wirestream_next(&s, &got, &err);
    return r;
}

static void test_greeting(void)
{
    struct wire_msg m = inbound(100, 1);
    struct wire_msg hello = {
        .type = WIRE_HELLO, .u.hello = { 3, 2, 0, 1 },
    };

    ok(first(false, &m) == -EPROTO && strstr(err.msg, "began with INBOUND"),
       "no message before HELLO: %s", err.msg);
    close_pair();
    ok(first(true, &hello) == -EPROTO && strstr(err.msg, "a second HELLO"),
       "no second one: %s", err.msg);
    close_pair();
    ok(first(false, &hello) == -EPROTO && strstr(err.msg, "versions 2 to 3"),
       "a version of the future: %s", err.msg);
    close_pair();
    hello.u.hello = (struct wire_hello){ 9, 1, 0xffffffff, 1 };
    ok(first(false, &hello) == 0 && s.greeted,
       "a newer one that speaks ours is welcome");
    close_pair();
}

static void *answer_all(void *arg)
{
    struct mailbox *mb = arg;
    struct letter *l;

    for (;;) {
        l = mailbox_take(mb);
        if (!l) {
            usleep(100);
            continue;
        }
        l->result = 0;
        if (l->what == 2) {
            l->result = -EBUSY;
            xlc_error_set(&l->err, -EBUSY, "not now");
        }
        l->number++;
        if (l->what == 3) break; /* ends without an answer */
        mailbox_answer(mb, l);
    }
    mailbox_close(mb);
    return NULL;
}

static bool readable(int fd)
{
    struct pollfd f = { .fd = fd, .events = POLLIN };

    return poll(&f, 1, 0) == 1;
}

static void *ask(void *arg)
{
    struct letter l = { .what = 1 };

    mailbox_ask(arg, &l, NULL);
    return NULL;
}

/* Whoever polls the box looks into it when there is a letter, and only then. */
static void test_mailbox_fd(void)
{
    struct mailbox mb;
    pthread_t thread[3];
    unsigned int taken = 0;
    bool good = true;

    if (mailbox_init(&mb, &err)) exit(done_testing());
    ok(!readable(mb.fd), "an empty box is not readable");
    for (unsigned int i = 0; i < 3; i++)
        if (pthread_create(&thread[i], NULL, ask, &mb)) exit(done_testing());
    while (taken < 3 && good) {
        struct pollfd f = { .fd = mb.fd, .events = POLLIN };
        struct letter *l;

        good = poll(&f, 1, 10000) == 1 && (l = mailbox_take(&mb));
        taken += good;
        if (good) mailbox_answer(&mb, l);
    }
    ok(good && !readable(mb.fd), "a box is readable for each of %u letters, "
       "and then no more", taken);
    mailbox_close(&mb);
    for (unsigned int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    mailbox_dispose(&mb);
}

static void test_mailbox(void)
{
    struct letter l = { .what = 1, .number = 41 };
    struct mailbox mb;
    pthread_t thread;

    if (mailbox_init(&mb, &err) ||
        pthread_create(&thread, NULL, answer_all, &mb))
        exit(done_testing());
    ok(!mailbox_ask(&mb, &l, &err) && l.number == 42, "an answer");
    l.what = 2;
    ok(mailbox_ask(&mb, &l, &err) == -EBUSY && !strcmp(err.msg, "not now"),
       "a refusal: %s", err.msg);
    xlc_error_clear(&err);
    l = (struct letter){ .what = 3 };
    ok(mailbox_ask(&mb, &l, &err) == -ESHUTDOWN, "the thread ends: %s",
       err.msg);
    pthread_join(thread, NULL);
    ok(mailbox_ask(&mb, &l, NULL) == -ESHUTDOWN, "and is gone");
    mailbox_dispose(&mb);
    mailbox_dispose(&mb);
}

int main(void)
{
    for (unsigned int seed = 1; seed < 4; seed++)
        test_queue(seed);
    test_stream();
    test_ahead();
    test_greeting();
    test_mailbox();
    test_mailbox_fd();
    return done_testing();
}
