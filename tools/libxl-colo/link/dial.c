/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dial.c - TCP sockets: the connecting and the listening end */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "conn.h"

int conn_dial(const char *addr, uint16_t port, struct xlc_error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai, *a;
    int r, fd = -1, last = 0;
    char service[8];

    snprintf(service, sizeof(service), "%u", port);
    r = getaddrinfo(addr, service, &hints, &ai);
    if (r)
        return xlc_error_set(err, -EHOSTUNREACH,
                             "the other host's address %s: %s", addr,
                             gai_strerror(r));
    for (a = ai; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            last = errno;
            continue;
        }
        if (connect(fd, a->ai_addr, a->ai_addrlen) && errno != EINPROGRESS) {
            last = errno;
            close(steal_fd(&fd));
        }
    }
    freeaddrinfo(ai);
    if (fd < 0)
        return xlc_error_set(err, -last, "the other host at %s port %u: %s",
                             addr, port, strerror(last));
    return fd;
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
