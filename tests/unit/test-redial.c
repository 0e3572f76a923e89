/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-redial.c - The stream of the proxies is made again, and again */
#include <config.h>

#include <poll.h>

#include "fake-peer.h"
#include "redial.h"
#include "tap.h"

#define TURNS 400 /* of 5 ms: far more than anything takes */

/**
 * struct two - both ends
 * @now: the redialling side's clock, which the test turns
 * @conn: what it has now
 */
struct two {
    struct fake f;
    struct redial r;
    uint64_t now;
    struct conn *conn;
};

static void two_init(struct two *t, bool plaintext)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int fd;

    fake_init(&t->f, plaintext);
    t->f.mute = true; /* a stream, not frames */
    t->now = 1000;
    fd = conn_dial("127.0.0.1", t->f.port, clock_ms() + 5000, &e);
    if (fd < 0 || conn_client(&t->conn, fd, &t->f.secret, PROTO_CH_PROXY, 0,
                              1, &e)) abort();
    redial_init(&t->r, t->conn, &t->f.secret, t->f.port, PROTO_CH_PROXY,
                t->now);
}

static void two_free(struct two *t)
{
    redial_close(&t->r);
    conn_free(t->conn);
    fake_free(&t->f);
}

/* One turn of both; the clock goes on by @ms. Return: it is there */
static bool both(struct two *t, uint64_t ms)
{
    struct pollfd pfd = { .fd = redial_fd(&t->r),
                          .events = redial_events(&t->r) };

    fake_turn(&t->f);
    poll(&pfd, 1, 5);
    t->now += ms;
    return redial_turn(&t->r, t->now);
}

static void lose(struct two *t, const char *why)
{
    conn_free(steal_ptr(&t->conn));
    redial_lost(&t->r, why, t->now);
}

static bool comes_back(struct two *t, uint64_t ms)
{
    for (int i = 0; i < TURNS && !both(t, ms); i++)
        ;
    if (!t->r.conn || !conn_ready(t->r.conn)) return false;
    t->conn = redial_take(&t->r, t->now);
    return conn_channel(t->conn) == PROTO_CH_PROXY && !conn_path(t->conn);
}

static void test_again(bool plaintext)
{
    const char *how = plaintext ? "plaintext" : "TLS";
    struct two t;

    two_init(&t, plaintext);
    ok(!both(&t, 100000) && redial_fd(&t.r) < 0 && !t.r.tries,
       "%s: as long as it is there nothing is done", how);
    for (uint32_t i = 2; i < 5; i++) {
        uint32_t old = t.r.incarnation;

        lose(&t, "cut");
        ok(redial_wait_ms(&t.r, t.now) && t.r.losses == i - 1 &&
           !strcmp(t.r.why.msg, "cut"), "%s: it broke, and waits", how);
        ok(comes_back(&t, 20) && conn_incarnation(t.conn) > old &&
           t.f.incarnation == conn_incarnation(t.conn) &&
           !redial_wait_ms(&t.r, t.now) && redial_fd(&t.r) < 0,
           "%s: rule_A3: it is made again, as incarnation %u", how,
           t.f.incarnation);
    }
    two_free(&t);
}

static void test_backoff(void)
{
    uint64_t last = 0, pause = 0, longest = 0;
    unsigned int tried = 0;
    bool grows = true;
    struct two t;

    two_init(&t, true);
    close(steal_fd(&t.f.listener));
    t.f.listener = -1;
    lose(&t, "cut");
    for (int i = 0; i < 2 * TURNS && tried < 12; i++) {
        both(&t, 400);
        if (t.r.tries == tried) continue;
        tried = t.r.tries;
        if (last) {
            pause = t.now - last;
            grows &= pause + 800 >= longest;
            if (pause > longest) longest = pause;
        }
        last = t.now;
    }
    ok(grows && longest >= REDIAL_MAX_MS && longest <= REDIAL_MAX_MS + 1600,
       "nobody listens: the pauses grow to %u ms, and no more",
       (unsigned int)longest);
    ok(tried == 12 && t.r.losses == 1 && strstr(t.r.why.msg, "refused"),
       "it is told how often, and what for: %s", t.r.why.msg);
    fake_listen(&t.f);
    ok(comes_back(&t, 500), "then somebody does");
    t.now += REDIAL_GOOD_MS - 1;
    lose(&t, "soon");
    ok(redial_wait_ms(&t.r, t.now) == REDIAL_MAX_MS && !t.r.tries,
       "one that breaks soon is no reason for haste");
    ok(comes_back(&t, 500), "again");
    t.now += REDIAL_GOOD_MS;
    lose(&t, "late");
    ok(redial_wait_ms(&t.r, t.now) == REDIAL_MIN_MS,
       "after one that lasted the pause is short");
    redial_close(&t.r);
    ok(!both(&t, 100000) && redial_fd(&t.r) < 0 && !t.r.tries,
       "nothing is tried once nobody wants it");
    two_free(&t);
}

/* A host that takes connections and does nothing with them, or lets nobody
 * in. */
static void test_refused(void)
{
    struct conn_secret other;
    struct two t;
    int fd;

    two_init(&t, false);
    other = t.f.secret;
    other.key[0] ^= 1;
    fd = steal_fd(&t.f.listener); /* nobody accepts, the kernel does */
    t.f.listener = -1;
    lose(&t, "cut");
    for (int i = 0; i < 10; i++)
        both(&t, CONN_ATTACH_MS / 20);
    ok(t.r.tries == 1 && t.r.conn, "it waits for the answer");
    for (int i = 0; i < 20 && t.r.conn; i++)
        both(&t, CONN_ATTACH_MS / 10);
    ok(!t.r.conn && strstr(t.r.why.msg, "in time"), "but not for ever: %s",
       t.r.why.msg);
    t.f.listener = fd;
    t.r.secret = &other;
    for (int i = 0; i < TURNS && t.r.tries < 3; i++)
        both(&t, 100);
    ok(t.r.tries >= 3 && !t.f.attached && !t.conn,
       "a host with another key is none: %s", t.r.why.msg);
    two_free(&t);
}

/* It is attached, and its end comes before its owner takes it. */
static void test_not_taken(void)
{
    const struct linger abort_it = { .l_onoff = 1 };
    struct pollfd pfd = { .fd = -1 };
    bool there = false;
    struct two t;

    two_init(&t, true);
    lose(&t, "cut");
    for (int i = 0; i < TURNS && !there; i++)
        there = both(&t, 20);
    if (!there || !t.f.conn || setsockopt(conn_fd(t.f.conn), SOL_SOCKET,
                                          SO_LINGER, &abort_it,
                                          sizeof(abort_it))) abort();
    fake_free(&t.f);
    if (t.r.conn) pfd.fd = conn_fd(t.r.conn);
    ok(poll(&pfd, 1, 5000) == 1, "it ends, attached and not taken");
    pfd.fd = redial_fd(&t.r);
    pfd.events = redial_events(&t.r);
    ok(!poll(&pfd, 1, 0), "the loop is not woken for it without end");
    ok(redial_turn(&t.r, t.now) && redial_turn(&t.r, t.now + 1000),
       "any later turn of it can take it");
    t.conn = redial_take(&t.r, t.now);
    redial_close(&t.r);
    conn_free(t.conn);
}

int main(void)
{
    test_again(true);
    test_again(false);
    test_backoff();
    test_refused();
    test_not_taken();
    return done_testing();
}
