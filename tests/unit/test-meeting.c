/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-meeting.c - RULES A2: whose word makes the secondary's copy stand aside
 *
 * The secondary's connections and machine; the primary's guard in the same
 * loop.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "glink.h"
#include "log.h"
#include "secondary.h"
#include "tap.h"

#define WAIT_MS 10000u

static struct secondary s;
static struct receive_shared shared;
static struct glink_peer peer;
static struct glink guard;
static uint8_t heard; /* the secondary's state, as it says */
static unsigned int attached, dropped; /* how often */

/* ---- What is not here: the rest of the secondary ------------------------ */

void secondary_wake(struct secondary *sec)
{
    (void)sec;
}

void secondary_event_locked(struct secondary *sec, enum sec_ev ev, uint64_t n)
{
    unsigned int act = sec_event(&sec->m, ev, n);

    if (act & (SEC_DO_ASIDE | SEC_DO_REJOIN))
        sec->aside = act & (SEC_DO_ASIDE | SEC_DO_REJOIN);
    sec->say |= act & (SEC_DO_SEND_DROPPED | SEC_DO_SEND_FAILED);
}

void secondary_event(struct secondary *sec, enum sec_ev ev, uint64_t n)
{
    LOCK_SCOPE(&sec->lock);
    secondary_event_locked(sec, ev, n);
}

static unsigned int data_begun;

int secondary_start_data(struct secondary *sec, struct xlc_error *err)
{
    (void)sec, (void)err;
    data_begun++;
    return 0;
}

int secondary_proxy_attach(struct secondary_proxy *p, struct conn *c,
                           struct xlc_error *err)
{
    (void)p, (void)c, (void)err;
    return -1;
}

static bool proxy_lives;

bool secondary_proxy_lives(struct secondary_proxy *p)
{
    (void)p;
    return proxy_lives;
}

/* ---- Both hosts --------------------------------------------------------- */

static void begin(void)
{
    s = (struct secondary){ .sh = &shared, .listener = -1 };
    pthread_mutex_init(&s.lock, NULL);
    s.hello.heartbeat_ms = 20;
    s.secret.plaintext = true;
    s.m.state = SEC_OPENING;
    s.listener = conn_listen(0, &s.port, NULL);
    if (s.listener < 0) abort();
    paths_init(&s.paths, 1000, clock_ms());
    peer = (struct glink_peer){ .secret = s.secret, .port = s.port,
                                .addr = { "127.0.0.1" }, .naddr = 1 };
    glink_init(&guard, &peer, 0, 200);
    attached = dropped = 0;
}

static void end(void)
{
    glink_close(&guard);
    secondary_unlink(&s);
    close(s.listener);
}

/* One turn of both; the guard says @say. */
static void turn(uint8_t say)
{
    const struct timespec nap = { 0, 2000000 };
    uint64_t now = clock_ms();
    struct proto_msg m;

    attached += glink_turn(&guard, now);
    while (glink_recv(&guard, &m, now)) {
        if (m.hdr.type == PROTO_HEARTBEAT) heard = m.u.heartbeat.state;
        dropped += m.hdr.type == PROTO_DROPPED;
    }
    glink_beat(&guard, now, 20, say, 7);
    secondary_accept(&s, now);
    for (unsigned int i = 0; i < LOBBY_MAX; i++)
        secondary_pending(&s, i, 1, now);
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++)
        if (s.conns[i]) secondary_read(&s, i, now);
    secondary_heartbeat(&s, now);
    secondary_say(&s);
    nanosleep(&nap, NULL);
}

#define UNTIL(what, say) do {                                           \
        uint64_t until_ = clock_ms() + WAIT_MS;                         \
                                                                        \
        while (!(what) && clock_ms() < until_)                          \
            turn(say);                                                  \
    } while (0)

/* All paths were cut; what the primary said then arrives when they heal. */
static void test_old_word(void)
{
    begin();
    UNTIL(attached == 1 && s.peer_beat.state == PROTO_PRIM_PROTECTED,
          PROTO_PRIM_PROTECTED);
    secondary_event(&s, SEC_EV_OPENED, 0);
    UNTIL(!s.conns[SECONDARY_GUARD], PROTO_PRIM_SOLO);
    ok(s.m.state == SEC_OPEN && s.peer_beat.state == PROTO_PRIM_PROTECTED,
       "SOLO of before the takeover takes nothing aside");
    UNTIL(attached == 2, PROTO_PRIM_GONE);
    for (int i = 0; i < 50; i++)
        turn(PROTO_PRIM_GONE);
    ok(attached == 2 && s.m.state == SEC_OPEN,
       "the primary's copy is gone by now: ours goes on");
    UNTIL(s.m.state == SEC_ASIDE, PROTO_PRIM_SOLO);
    ok(s.m.state == SEC_ASIDE && attached == 2,
       "SOLO on a connection made since then takes it aside");

    heard = 0;
    UNTIL(heard, PROTO_PRIM_SOLO);
    ok(heard == PROTO_SEC_OPEN, "it does not say so before that is done");
    s.aside = 0;
    UNTIL(heard == PROTO_SEC_ASIDE, PROTO_PRIM_SOLO);
    ok(heard == PROTO_SEC_ASIDE, "but then");

    UNTIL(s.peer_beat.state == PROTO_PRIM_STUCK, PROTO_PRIM_STUCK);
    secondary_event(&s, SEC_EV_LET_GO, 0);
    UNTIL(!s.conns[SECONDARY_GUARD], PROTO_PRIM_SOLO);
    ok(s.m.state == SEC_OPEN,
       "let go again: it wants to hear it on a new connection");
    UNTIL(s.m.state == SEC_ASIDE, PROTO_PRIM_SOLO);
    ok(s.m.state == SEC_ASIDE && attached == 3, "and does");
    end();
}

/* It opens, and is not open yet: any word counts. */
static void test_opening(void)
{
    begin();
    UNTIL(attached == 1, PROTO_PRIM_PROTECTED);
    UNTIL(s.m.state == SEC_DROPPED, PROTO_PRIM_SOLO);
    ok(s.m.state == SEC_DROPPED && attached == 1,
       "SOLO while it is opened takes the opening back");
    end();
}

static void test_heard(void)
{
    uint64_t now;

    begin();
    ok(!secondary_heard(&s, clock_ms(), 3000), "nobody is there");
    UNTIL(attached == 1, PROTO_PRIM_SOLO);
    now = s.paths.heard_ms[SECONDARY_GUARD];
    ok(secondary_heard(&s, now + 2999, 3000), "somebody is, who beats slowly");
    ok(!secondary_heard(&s, now + 3000, 3000),
       "a connection on which nothing comes is nobody");
    end();
}

static void test_flood(void)
{
    int fd[LOBBY_MAX + 1];

    begin();
    for (unsigned int i = 0; i < LOBBY_MAX + 1; i++) {
        fd[i] = conn_dial("127.0.0.1", s.port, clock_ms() + 1000, NULL);
        if (fd[i] < 0) abort();
    }
    secondary_accept(&s, clock_ms());
    ok(!s.lobby.evicted, "a flood of strangers is let in bit by bit");
    for (unsigned int i = 0; i < WAIT_MS && !s.lobby.evicted; i++) {
        secondary_accept(&s, clock_ms());
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    ok(s.lobby.evicted == 1, "and the oldest of them goes");
    for (unsigned int i = 0; i < LOBBY_MAX + 1; i++)
        close(fd[i]);
    end();
}

/* RULES A7: its images count as the newest once it has heard DROPPED. */
static void test_disks_taken(void)
{
    begin();
    s.taken = true;
    UNTIL(s.m.state == SEC_DROPPED, PROTO_PRIM_SOLO);
    heard = 0;
    for (int i = 0; i < 50; i++)
        turn(PROTO_PRIM_SOLO);
    UNTIL(heard, PROTO_PRIM_SOLO);
    ok(s.m.state == SEC_DROPPED && heard == PROTO_SEC_OPENING && !dropped,
       "dropped, and nothing is said before the disks are given back");
    s.taken = false;
    UNTIL(heard == PROTO_SEC_DROPPED && dropped, PROTO_PRIM_SOLO);
    ok(heard == PROTO_SEC_DROPPED && dropped, "but then");
    end();
}

/* RULES C3: the other host says what time it is, and then something else. */
static void say_clock(void)
{
    struct proto_msg m = { .hdr.type = PROTO_CLOCK };
    uint64_t seq = s.peer_beat.seq;

    m.u.clock.host_us = clock_wall_us();
    if (conn_send(guard.conn, &m)) abort();
    UNTIL(s.peer_beat.seq > seq + 1, PROTO_PRIM_PROTECTED);
}

static void test_clock(void)
{
    begin();
    s.paths.limit_ms = 1000000; /* this loop turns often enough */
    UNTIL(attached == 1, PROTO_PRIM_PROTECTED);
    say_clock();
    ok(s.clock.n == 1, "what time it is there is heard");
    s.paths.tick_ms -= 500000;
    say_clock();
    ok(s.clock.n == 1, "rule_C3: but not if it waited while we stood still");
    paths_tick(&s.paths, clock_ms());
    say_clock();
    ok(s.clock.n == 1, "nor in the next turns");
    s.paths.late = false;
    say_clock();
    ok(s.clock.n == 2, "but then");
    end();
}

/* A connection of @channel, as its @n-th attempt. Return: it is let in, or
 * not */
static bool comes(uint8_t channel, uint32_t n)
{
    int fd = conn_dial("127.0.0.1", s.port, clock_ms() + 1000, NULL);
    uint64_t until = clock_ms() + WAIT_MS;
    struct xlc_error e = XLC_ERROR_INIT;
    struct conn *c = NULL;
    bool in = false;

    if (fd < 0 || conn_client(&c, fd, &s.secret, channel, 0, n, NULL))
        abort();
    while (!in && !conn_io(c, &e) && clock_ms() < until) {
        turn(PROTO_PRIM_PROTECTED);
        in = conn_ready(c);
    }
    in |= conn_ready(c);
    ok(in || e.status, "attempt %u has an answer", n);
    conn_free(c);
    return in;
}

/* A stream of the primary's proxy. */
static bool proxy_comes(uint32_t n)
{
    return comes(PROTO_CH_PROXY, n);
}

/* Epochs come on one connection, while the copy is being built. */
static void test_data(void)
{
    struct restore *const building = (struct restore *)&shared;

    begin();
    s.m.state = SEC_OPEN;
    data_begun = 0;
    ok(!comes(PROTO_CH_DATA, 1) && !s.data, "who came in place of another "
       "receiver takes no data");
    s.m.state = SEC_SYNCING;
    ok(!comes(PROTO_CH_DATA, 2) && !s.data, "nor does one that builds no copy");
    s.restore = building;
    for (unsigned int i = SEC_PAIRED; i < SEC_NSTATES; i++) {
        s.m.state = (enum sec_state)i;
        ok(!comes(PROTO_CH_DATA, 3 + i) && !s.data && !data_begun,
           "nor is it let in when it is %s", sec_state_name(s.m.state));
    }
    s.m.state = SEC_SYNCING;
    ok(comes(PROTO_CH_DATA, 3) && s.data && data_begun == 1,
       "one that builds a copy takes it");
    ok(!comes(PROTO_CH_DATA, 20) && data_begun == 1, "but once");
    conn_free(s.data);
    s.data = NULL;
    end();
}

/* How often @what is in the log. */
static unsigned int logged(const char *path, const char *what)
{
    FILE *f = fopen(path, "re");
    char line[1024];
    unsigned int n = 0;

    while (f && fgets(line, sizeof(line), f))
        n += strstr(line, what) != NULL;
    if (f) fclose(f);
    return n;
}

/* The proxy here has ended; the primary goes on trying. */
static void test_dead_proxy(void)
{
    char path[] = "/tmp/xlc-meeting-XXXXXX";
    int fd = mkstemp(path);

    if (fd < 0 || log_init("test", path, LOG_LEVEL_WARN)) abort();
    close(fd);
    begin();
    s.m.state = SEC_PAIRED;
    s.hello.caps = PROTO_CAP_PROXY_AGAIN;
    s.proxy = (struct secondary_proxy *)&shared;
    s.newest_proxy = 1;
    proxy_lives = true;
    ok(!proxy_comes(1) && logged(path, "second connection") == 1,
       "an older stream of the primary's proxy is refused");
    proxy_lives = false;
    for (uint32_t n = 2; n < 5; n++)
        ok(!proxy_comes(n), "so is any, once ours has ended");
    ok(logged(path, "refused") == 2 && logged(path, "second connection") == 1 &&
       logged(path, "the proxy of this host has ended") == 1 &&
       logged(path, "protect anew") == 1,
       "and why is said once, with the way out");
    proxy_lives = true;
    ok(proxy_comes(5), "while it lives, one is let in");
    end();
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    unlink(path);
}

int main(void)
{
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    test_old_word();
    test_opening();
    test_heard();
    test_flood();
    test_disks_taken();
    test_clock();
    test_data();
    test_dead_proxy();
    return done_testing();
}
