/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* control-ask.c - The client's side of the local socket */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "control.h"

/* Milliseconds left for poll(); -1 is for ever. */
static int left_ms(uint64_t deadline)
{
    uint64_t now;

    if (!deadline) return -1;
    now = clock_ms();
    return now >= deadline ? 0 : (int)(deadline - now);
}

/* Return: a connection, or a negative errno */
static int reach(const char *path, int timeout_ms, struct xlc_error *err)
{
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    struct timeval tv = { .tv_sec = timeout_ms / 1000,
                          .tv_usec = timeout_ms % 1000 * 1000 };

    if (fd < 0) return xlc_error_set(err, -errno, "%s", strerror(errno));
    if (len >= sizeof(sa.sun_path))
        return xlc_error_set(err, -ENAMETOOLONG, "%s is too long", path);
    memcpy(sa.sun_path, path, len);
    /* Bounds the wait for a place in a full queue as well. */
    if (timeout_ms > 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
        return xlc_error_set(err, -errno, "%s", strerror(errno));
    while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) errno = ETIMEDOUT;
        return xlc_error_set(err, -errno, "%s: %s", path, strerror(errno));
    }
    return steal_fd(&fd);
}

static int say(int fd, enum control_op op, const char *args,
               const char *path, struct xlc_error *err)
{
    char line[CONTROL_LINE_MAX + 1];
    int n = snprintf(line, sizeof(line), "%s%s%s\n", control_op_name(op),
                     args ? " " : "", args ? args : "");

    for (int i = 0; i < n && i < CONTROL_LINE_MAX; i++)
        if ((line[i] < ' ' || line[i] > '~') && i != n - 1)
            return xlc_error_set(err, -EINVAL,
                                 "only plain characters can be sent");
    if (n > CONTROL_LINE_MAX)
        return xlc_error_set(err, -EINVAL, "%d characters are too many in "
                             "one go: at most %d", n, CONTROL_LINE_MAX);
    /* It is short: a stream socket takes it whole, or not at all. */
    if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != n)
        return xlc_error_set(err, -ECONNRESET, "%s: it hung up", path);
    return 0;
}

/* Read up to the newline. Return: 0 or a negative errno */
static int listen_to(int fd, uint64_t deadline, const char *path,
                     char **answer_r, struct xlc_error *err)
{
    CLEANUP_FREE char *buf = NULL;
    size_t len = 0, room = 0;

    for (;;) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        char *end, *grown;
        ssize_t n;
        int r = poll(&pfd, 1, left_ms(deadline));

        if (r < 0 && errno == EINTR) continue;
        if (r == 0)
            return xlc_error_set(err, -ETIMEDOUT,
                                 "%s: no answer in time", path);
        if (room - len < 4096) {
            room += 65536;
            if (room > CONTROL_ANSWER_MAX + 65536)
                return xlc_error_set(err, -EMSGSIZE,
                                     "%s: the answer has no end", path);
            grown = realloc(buf, room);
            if (!grown) return xlc_error_set(err, -ENOMEM, "out of memory");
            buf = grown;
        }
        n = recv(fd, buf + len, room - len, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return xlc_error_set(err, -ECONNRESET,
                                 "%s: it hung up before it answered", path);
        end = memchr(buf + len, '\n', (size_t)n);
        len += (size_t)n;
        if (!end) continue;
        *end = 0;
        *answer_r = steal_ptr(&buf);
        return 0;
    }
}

int control_ask_begin(const char *path, enum control_op op, const char *args,
                      int timeout_ms, struct xlc_error *err)
{
    CLEANUP_FD int fd = reach(path, timeout_ms, err);
    int r;

    if (fd < 0) return fd;
    r = say(fd, op, args, path, err);
    return r ? r : steal_fd(&fd);
}

static uint64_t deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? 0 : clock_ms() + (uint64_t)timeout_ms + 1;
}

int control_ask_end(int fd, const char *path, int timeout_ms,
                    char **answer_r, struct xlc_error *err)
{
    return listen_to(fd, deadline_of(timeout_ms), path, answer_r, err);
}

int control_ask(const char *path, enum control_op op, int timeout_ms,
                char **answer_r, struct xlc_error *err)
{
    uint64_t deadline = deadline_of(timeout_ms);
    CLEANUP_FD int fd = control_ask_begin(path, op, NULL, timeout_ms, err);

    return fd < 0 ? fd : listen_to(fd, deadline, path, answer_r, err);
}
