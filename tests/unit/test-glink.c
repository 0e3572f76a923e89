/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-glink.c - The guard's connection is made, and made again */
#include <config.h>

#include <poll.h>
#include <stdio.h>

#include "fake-peer.h"
#include "glink.h"
#include "tap.h"

#define MOST_MS 400u
#define TURNS   400 /* of 5 ms: far more than anything takes */

/**
 * struct two - both ends
 * @now: the guard's clock, which the test turns
 */
struct two {
    struct fake f;
    struct glink_peer peer;
    struct glink l;
    uint64_t now;
    uint8_t state;
};

static void two_init(struct two *t, bool plaintext)
{
    fake_init(&t->f, plaintext);
    t->peer = (struct glink_peer){ .secret = t->f.secret, .naddr = 1,
                                   .addr = { "127.0.0.1" },
                                   .port = t->f.port };
    t->now = 1000;
    t->state = PROTO_PRIM_PROTECTED;
    glink_init(&t->l, &t->peer, 0, MOST_MS);
}

static void two_free(struct two *t)
{
    glink_close(&t->l);
    fake_free(&t->f);
}

/* One turn of both; the guard's clock goes on by @ms. */
static void both(struct two *t, uint64_t ms)
{
    struct pollfd pfd = { .fd = glink_fd(&t->l),
                          .events = glink_events(&t->l) };
    struct proto_msg m;

    fake_turn(&t->f);
    poll(&pfd, 1, 5);
    t->now += ms;
    glink_turn(&t->l, t->now);
    while (glink_recv(&t->l, &m, t->now))
        ;
    glink_beat(&t->l, t->now, 10, t->state, 7);
}

static bool until_attached(struct two *t, unsigned int n, uint64_t ms)
{
    for (int i = 0; i < TURNS && t->f.attached < n; i++)
        both(t, ms);
    for (int i = 0; i < TURNS && !t->l.ready; i++)
        both(t, 0);
    return t->f.attached >= n && t->l.ready;
}

static void test_again(bool plaintext)
{
    const char *how = plaintext ? "plaintext" : "TLS";
    struct two t;

    two_init(&t, plaintext);
    ok(until_attached(&t, 1, 5) && t.f.incarnation >= 1,
       "%s: it is made", how);
    ok(conn_attached(t.l.conn)->state == PROTO_SEC_PAIRED,
       "%s: and knows what the other side holds", how);
    for (uint32_t old = t.f.incarnation, i = 2; i < 5; i++) {
        fake_hang_up(&t.f);
        ok(until_attached(&t, i, 20) && t.f.incarnation > old,
           "%s: it broke: it is made again, as incarnation %u", how,
           t.f.incarnation);
        old = t.f.incarnation;
    }
    two_free(&t);
}

static void test_backoff(void)
{
    uint64_t began, last = 0;
    uint32_t tried = 0, pause = 0, longest = 0;
    bool grows = true;
    struct two t;

    two_init(&t, true);
    close(steal_fd(&t.f.listener));
    began = t.now;
    for (int i = 0; i < TURNS && tried < 12; i++) {
        uint32_t before = t.l.incarnation;

        both(&t, 10);
        if (t.l.incarnation == before) continue;
        tried++;
        if (last) {
            pause = (uint32_t)(t.now - last);
            grows &= pause + 40 >= longest;
            if (pause > longest) longest = pause;
        }
        last = t.now;
    }
    ok(grows && longest >= MOST_MS && longest <= MOST_MS + 60,
       "nobody listens: the pauses grow to %u ms (12 attempts in %u ms)",
       longest, (unsigned int)(t.now - began));
    fake_listen(&t.f);
    ok(until_attached(&t, 1, 20), "then somebody does");
    ok(t.l.backoff_ms == GLINK_BACKOFF_MS, "and the pauses are short again");
    two_free(&t);
}

static void test_addresses(void)
{
    struct two t;

    two_init(&t, true);
    snprintf(t.peer.addr[0], GLINK_ADDR_MAX, "127.0.0.2");
    snprintf(t.peer.addr[1], GLINK_ADDR_MAX, "no.number.invalid");
    snprintf(t.peer.addr[2], GLINK_ADDR_MAX, "127.0.0.1");
    t.peer.naddr = 3;
    ok(until_attached(&t, 1, 20), "the third address is the good one");
    two_free(&t);
}

/* A host that takes connections and does nothing with them. */
static void test_sleeper(void)
{
    struct two t;
    uint32_t first;
    int fd;

    two_init(&t, false);
    fd = steal_fd(&t.f.listener); /* nobody accepts, the kernel does */
    t.f.listener = -1;
    both(&t, 0);
    first = t.l.incarnation;
    for (int i = 0; i < 10; i++)
        both(&t, CONN_ATTACH_MS / 20);
    ok(t.l.incarnation == first && !t.l.ready, "it waits for the answer");
    for (int i = 0; i < 20; i++)
        both(&t, CONN_ATTACH_MS / 10);
    ok(t.l.incarnation > first, "and then tries again");
    t.f.listener = fd;
    two_free(&t);
}

static void test_says(void)
{
    struct two t;

    two_init(&t, true);
    until_attached(&t, 1, 5);
    for (uint8_t s = PROTO_PRIM_SYNCING; s <= PROTO_PRIM_STUCK; s++) {
        t.state = s;
        for (int i = 0; i < 50 && t.f.last != s; i++)
            both(&t, 10);
        ok(t.f.last == s, "state %u is heard", s);
    }
    two_free(&t);
}

int main(void)
{
    test_again(true);
    test_again(false);
    test_backoff();
    test_addresses();
    test_sleeper();
    test_says();
    return done_testing();
}
