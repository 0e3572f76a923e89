/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dial.c - TCP sockets: the connecting and the listening end */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "conn.h"

/* Attempts at the addresses of one name, side by side at most. */
#define DIAL_MAX     8
/* An address that has not answered by then gets company by the next one. */
#define DIAL_NEXT_MS 250

/* Return: a socket that is connected or connecting, or a negative errno */
static int start(const struct addrinfo *a)
{
    CLEANUP_FD int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK |
                               SOCK_CLOEXEC, 0);

    if (fd < 0 ||
        (connect(fd, a->ai_addr, a->ai_addrlen) && errno != EINPROGRESS))
        return -errno;
    return steal_fd(&fd);
}

/* After poll(). Return: 1 connected; 0 not yet; a negative errno */
static int look(const struct pollfd *p)
{
    socklen_t len = sizeof(int);
    int e = 0;

    if (p->fd < 0 || !p->revents) return 0;
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &e, &len)) return -errno;
    if (e) return -e;
    return p->revents & POLLOUT ? 1 : -ECONNRESET;
}

/*
 * Begin with the next address when the one before has failed, or is slow; the
 * first that answers counts. @p: those under way, room for DIAL_MAX, all -1.
 *
 * Return: its place in @p; a negative errno
 */
static int race(const struct addrinfo *a, struct pollfd *p,
                uint64_t deadline_ms)
{
    unsigned int n = 0, live = 0;
    uint64_t next_ms = 0, now;
    int last = -EHOSTUNREACH;

    for (;;) {
        uint64_t until = deadline_ms;

        now = clock_ms();
        if (a && n < DIAL_MAX && (!live || now >= next_ms)) {
            int fd = start(a);

            a = a->ai_next;
            next_ms = now + DIAL_NEXT_MS;
            if (fd < 0) {
                last = fd;
                continue;
            }
            p[n++] = (struct pollfd){ .fd = fd, .events = POLLOUT };
            live++;
        }
        if (!live) return last;
        if (now >= deadline_ms) return -ETIMEDOUT;
        if (a && n < DIAL_MAX && next_ms < until) until = next_ms;
        if (poll(p, n, until > now ? (int)(until - now) : 0) < 0) {
            if (errno != EINTR) return -errno;
            continue;
        }
        for (unsigned int i = 0; i < n; i++) {
            int r = look(&p[i]);

            if (r > 0) return (int)i;
            if (!r) continue;
            last = r;
            close(p[i].fd);
            p[i].fd = -1;
            live--;
        }
    }
}

int conn_dial_list(const struct addrinfo *ai, uint64_t deadline_ms)
{
    struct pollfd p[DIAL_MAX];
    int r, fd = -1;

    for (unsigned int i = 0; i < DIAL_MAX; i++)
        p[i] = (struct pollfd){ .fd = -1 };
    r = race(ai, p, deadline_ms);
    for (int i = 0; i < DIAL_MAX; i++) {
        if (i == r) fd = p[i].fd;
        else if (p[i].fd >= 0) close(p[i].fd);
    }
    return r < 0 ? r : fd;
}

int conn_dial(const char *addr, uint16_t port, uint64_t deadline_ms,
              struct xlc_error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV }, *ai;
    char service[8];
    int r;

    snprintf(service, sizeof(service), "%u", port);
    r = getaddrinfo(addr, service, &hints, &ai);
    if (r)
        return xlc_error_set(err, -EHOSTUNREACH,
                             "the other host's address %s: %s", addr,
                             gai_strerror(r));
    r = conn_dial_list(ai, deadline_ms);
    freeaddrinfo(ai);
    if (r < 0)
        return xlc_error_set(err, r, "the other host at %s port %u: %s",
                             addr, port, strerror(-r));
    return r;
}

int conn_dial_start(const char *addr, uint16_t port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *ai;
    char service[8];
    int r;

    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(addr, service, &hints, &ai)) return -EINVAL;
    r = start(ai);
    freeaddrinfo(ai);
    return r;
}

int conn_listen(uint16_t port, uint16_t *port_r, struct xlc_error *err)
{
    struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
                               .sin6_port = htons(port) };
    struct sockaddr_in sa4 = { .sin_family = AF_INET,
                               .sin_port = htons(port) };
    union {
        struct sockaddr_in6 v6;
        struct sockaddr_in v4;
        struct sockaddr sa;
    } got;
    socklen_t len = sizeof(got);
    int fd, off = 0, on = 1, r;

    /* One socket for both families; a host without IPv6 gets IPv4 alone. */
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
    } else {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return xlc_error_set(err, -errno, "socket: %s", strerror(errno));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        r = bind(fd, (struct sockaddr *)&sa4, sizeof(sa4));
    }
    if (r || listen(fd, 16) || getsockname(fd, &got.sa, &len)) {
        r = -errno;
        close(fd);
        return xlc_error_set(err, r, "can't listen on TCP port %u: %s; "
                             "choose another one with --port", port,
                             strerror(-r));
    }
    *port_r = ntohs(got.sa.sa_family == AF_INET6 ? got.v6.sin6_port :
                    got.v4.sin_port);
    return fd;
}
