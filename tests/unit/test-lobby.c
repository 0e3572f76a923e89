/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-lobby.c - Strangers can't keep the peer out */
#include <config.h>

#include <errno.h>
#include <poll.h>

#include "fake-peer.h"
#include "tap.h"

#define TURNS 2000

static int stranger(const struct fake *f)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(f->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) abort();
    return fd;
}

/* The peer attaches. Return: it got in */
static bool peer_gets_in(struct fake *f)
{
    struct conn *c = NULL;
    int fd = stranger(f);
    bool in = false;

    if (conn_client(&c, fd, &f->secret, PROTO_CH_CTRL, 0, 1, NULL)) abort();
    for (int i = 0; i < TURNS && !in; i++) {
        struct pollfd pfd = { .fd = conn_fd(c), .events = conn_events(c) };

        fake_turn(f);
        poll(&pfd, 1, 1);
        if (conn_io(c, NULL)) break;
        in = conn_ready(c);
    }
    conn_free(c);
    return in;
}

static unsigned int waiting(const struct fake *f)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < LOBBY_MAX; i++)
        n += f->lobby.conn[i] != NULL;
    return n;
}

static void test_full(bool plaintext)
{
    const char *how = plaintext ? "plaintext" : "TLS";
    int fds[3 * LOBBY_MAX];
    struct fake f;

    fake_init(&f, plaintext);
    for (int i = 0; i < 3 * LOBBY_MAX; i++) {
        fds[i] = stranger(&f);
        fake_turn(&f);
    }
    /* Who has connected there may not be here yet. */
    for (int i = 0; i < TURNS &&
         waiting(&f) + f.lobby.evicted < 3 * LOBBY_MAX; i++) {
        poll(NULL, 0, 1);
        fake_turn(&f);
    }
    ok(waiting(&f) == LOBBY_MAX && f.lobby.evicted == 2 * LOBBY_MAX,
       "%s: %u strangers sit there, and never more than %d", how,
       3 * LOBBY_MAX, LOBBY_MAX);
    ok(peer_gets_in(&f), "%s: the peer gets in", how);
    for (int i = 0; i < 3 * LOBBY_MAX; i++)
        close(fds[i]);
    fake_free(&f);
}

static void test_oldest(void)
{
    struct lobby l = { .evicted = 0 };
    struct conn_secret s = { .plaintext = true };
    struct conn *newest;
    int other[LOBBY_MAX + 1], fd[2];

    for (int i = 0; i <= LOBBY_MAX; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd)) abort();
        other[i] = fd[1];
        if (i < LOBBY_MAX) /* place 5 has waited longest */
            lobby_enter(&l, fd[0], &s, i == 5 ? 10 : 20 + (uint64_t)i, NULL);
    }
    ok(lobby_enter(&l, fd[0], &s, 90, NULL) == 5 && l.evicted == 1,
       "who has waited longest goes first");
    newest = l.conn[5];
    ok(newest && l.since_ms[5] == 90, "the newest has its place");
    lobby_clear(&l);
    for (int i = 0; i <= LOBBY_MAX; i++)
        close(other[i]);
}

static void test_time(void)
{
    struct lobby l = { .evicted = 0 };
    struct conn_secret s = { .plaintext = true };
    struct xlc_error e = XLC_ERROR_INIT;
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd)) abort();
    lobby_enter(&l, fd[0], &s, 1000, NULL);
    ok(!lobby_turn(&l, 0, 0, 1000 + CONN_ATTACH_MS - 1, &e) && l.conn[0] &&
       !e.status, "it may wait %u ms", CONN_ATTACH_MS);
    ok(!lobby_turn(&l, 0, 0, 1000 + CONN_ATTACH_MS, &e) && !l.conn[0] &&
       e.status == -ETIMEDOUT, "and no longer: %s", e.msg);
    ok(!lobby_turn(&l, 0, 0, 99999, &e), "a free place is passed over");
    close(fd[1]);
}

int main(void)
{
    test_full(true);
    test_full(false);
    test_oldest();
    test_time();
    return done_testing();
}
