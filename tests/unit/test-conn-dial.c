/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-conn-dial.c - Connections over TCP: dialling, listening, waiting */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>

#include "cleanup.h"
#include "clock.h"
#include "conn-pair.h"

static int dial(uint16_t port, struct xlc_error *err)
{
    return conn_dial("127.0.0.1", port, clock_ms() + 20000, err);
}

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
    fd = dial(port, NULL);
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
    fd = dial(port, NULL);
    if (fd < 0 || conn_client(&c, fd, &secret[plain], PROTO_CH_DATA, 0, 1,
                              NULL)) abort();
    ok(conn_wait_ready(c, clock_ms() + 50, &err) == -ETIMEDOUT &&
       err.status == -ETIMEDOUT, "%s: a deadline passes: %s", how(plain),
       err.msg);
    conn_free(c);

    close(pfd.fd);
    xlc_error_clear(&err);
    ok(dial(port, &err) == -ECONNREFUSED && strstr(err.msg, "127.0.0.1"),
       "%s: nobody listens: %s", how(plain), err.msg);
}

/* A socket on this host, and its address as getaddrinfo() tells it. */
static int place(int family, struct sockaddr_storage *ss, struct addrinfo *ai)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
    socklen_t len = family == AF_INET ? sizeof(*v4) : sizeof(*v6);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(ss, 0, sizeof(*ss));
    ss->ss_family = (sa_family_t)family;
    if (family == AF_INET) v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else v6->sin6_addr = in6addr_loopback;
    *ai = (struct addrinfo){ .ai_family = family, .ai_addrlen = len,
                             .ai_addr = (struct sockaddr *)ss };
    if (fd < 0 || bind(fd, (struct sockaddr *)ss, len) ||
        getsockname(fd, (struct sockaddr *)ss, &len)) {
        if (fd >= 0) close(fd);
        return -1;
    }
    return fd;
}

/* A host that takes no notice: its queue is full, so that nothing answers. */
static int deaf(struct sockaddr_storage *ss, struct addrinfo *ai, int fill[2])
{
    int fd = place(AF_INET, ss, ai);

    if (fd < 0 || listen(fd, 0)) abort();
    for (int i = 0; i < 2; i++) {
        struct pollfd p = { .events = POLLOUT };

        fill[i] = p.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(p.fd, ai->ai_addr, ai->ai_addrlen) &&
            errno != EINPROGRESS) abort();
        if (!i) poll(&p, 1, 5000);
    }
    return fd;
}

/* Whom is @fd connected to? */
static bool is_at(int fd, const struct sockaddr_storage *ss)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);

    return fd >= 0 && !getpeername(fd, (struct sockaddr *)&peer, &len) &&
           !memcmp(&peer, ss, ss->ss_family == AF_INET ?
                   offsetof(struct sockaddr_in, sin_zero) :
                   sizeof(struct sockaddr_in6));
}

static void test_several(void)
{
    struct sockaddr_storage dead_ss, mute_ss, good_ss, six_ss;
    struct addrinfo dead, mute, good, six;
    int fill[2], m = deaf(&mute_ss, &mute, fill), fd, d, g, s;
    uint64_t begun = clock_ms(), took;

    d = place(AF_INET, &dead_ss, &dead); /* bound, does not listen */
    g = place(AF_INET, &good_ss, &good);
    if (d < 0 || g < 0 || listen(g, 5)) abort();

    fd = conn_dial_list(&good, begun + 20000);
    ok(is_at(fd, &good_ss), "one address");
    close(fd);
    dead.ai_next = &good;
    fd = conn_dial_list(&dead, clock_ms() + 20000);
    ok(is_at(fd, &good_ss), "the first one refuses: the second is taken");
    close(fd);
    mute.ai_next = &good;
    begun = clock_ms();
    fd = conn_dial_list(&mute, begun + 20000);
    took = clock_ms() - begun;
    ok(is_at(fd, &good_ss) && took < 10000,
       "the first one says nothing: the second is taken");
    close(fd);
    dead.ai_next = &mute;
    mute.ai_next = NULL;
    begun = clock_ms();
    ok(conn_dial_list(&dead, begun + 300) == -ETIMEDOUT &&
       clock_ms() - begun >= 300, "no good one: the deadline ends it");
    mute.ai_next = &dead;
    dead.ai_next = NULL;
    ok(conn_dial_list(&mute, clock_ms() + 600) == -ETIMEDOUT,
       "one that refuses does not end the wait for another");
    ok(conn_dial_list(&dead, clock_ms() + 20000) == -ECONNREFUSED,
       "all refuse: it is told at once");
    ok(conn_dial_list(NULL, clock_ms() + 20000) == -EHOSTUNREACH,
       "no address at all");
    s = place(AF_INET6, &six_ss, &six);
    if (s < 0 || listen(s, 5)) {
        skip("no IPv6 here");
    } else {
        mute.ai_next = &six;
        fd = conn_dial_list(&mute, clock_ms() + 20000);
        ok(is_at(fd, &six_ss), "IPv4 says nothing, IPv6 answers");
        close(fd);
    }
    for (int i = 0; i < 2; i++)
        close(fill[i]);
    close(m), close(d), close(g);
    if (s >= 0) close(s);
}

static void test_names(void)
{
    struct xlc_error err = XLC_ERROR_INIT;

    ok(conn_dial("not.a.host.invalid", 1, clock_ms() + 20000, &err) ==
       -EHOSTUNREACH && strstr(err.msg, "not.a.host.invalid"),
       "no such host: %s", err.msg);
}

int main(void)
{
    pair_begin();
    for (int plain = 1; plain >= 0; plain--)
        test_tcp(plain);
    test_several();
    test_names();
    conn_free(NULL);
    ok(true, "conn_free(NULL)");
    return done_testing();
}
