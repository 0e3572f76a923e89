/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * diskctl-serve.c - What the session asks of a disk's plugin: the server
 *
 * A thread accepts; each connection has one of its own, because a question
 * may wait. Waiting is cut into slices, so that the end of the process is
 * never held up by one.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleanup.h"
#include "clock.h"
#include "disknode.h"

#define CLIENTS  16u
#define SLICE_MS 100u

/**
 * struct client - one connection
 * @thread: to be joined if @used
 * @fd: its socket, closed by whoever joined the thread
 * @done: the thread is about to end; atomic
 */
struct client {
    struct diskctl_server *server;
    pthread_t thread;
    int fd;
    bool used;
    bool done;
};

/**
 * struct diskctl_server - the socket and those who speak
 * @client: the accepting thread's, then serve_close()'s
 * @ending: atomic
 */
struct diskctl_server {
    struct disknode *node;
    struct sockaddr_un sa;
    int fd;
    int wake;
    bool started;
    bool ending;
    pthread_t thread;
    struct client client[CLIENTS];
};

int diskctl_serve_open(struct diskctl_server **out, const char *path,
                       struct xlc_error *err)
{
    struct diskctl_server *s = calloc(1, sizeof(*s));
    mode_t old;
    int r = -1;

    if (!s) return xlc_error_set(err, -ENOMEM, "no memory");
    s->wake = eventfd(0, EFD_CLOEXEC);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->sa.sun_family = AF_UNIX;
    if (strlen(path) < sizeof(s->sa.sun_path)) {
        memcpy(s->sa.sun_path, path, strlen(path));
        /* What a killed process left behind. Two of one disk are kept apart
         * by whoever starts them. */
        unlink(path);
        old = umask(0177);
        r = bind(s->fd, (struct sockaddr *)&s->sa, sizeof(s->sa));
        umask(old);
    }
    if (r || s->wake < 0 || listen(s->fd, 8)) {
        xlc_error_set(err, errno ? -errno : -EINVAL, "%s: no socket there: %s",
                      path, strerror(errno));
        diskctl_serve_close(s);
        return -EINVAL;
    }
    *out = s;
    return 0;
}

static int ask_of(int sock, struct diskctl_ask *ask, int *fd)
{
    uint8_t buf[DISKCTL_ASK_LEN];
    char room[CMSG_SPACE(sizeof(int))];
    struct iovec iov = { buf, sizeof(buf) };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
                        .msg_control = room,
                        .msg_controllen = sizeof(room) };
    struct cmsghdr *c;
    ssize_t r;

    *fd = -1;
    do r = recvmsg(sock, &h, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    while (r < 0 && errno == EINTR);
    if (r <= 0) return r ? -errno : -EPIPE;
    c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(c), sizeof(*fd));
    return diskctl_get_ask(ask, buf, (size_t)r);
}

static bool waits(enum diskctl_op op)
{
    return op == DISKCTL_WAIT || op == DISKCTL_WAIT_DURABLE ||
           op == DISKCTL_WAIT_SYNCED || op == DISKCTL_CHECKPOINT;
}

static int carry_out(struct diskctl_server *s, struct diskctl_ask ask,
                     int fd, struct xlc_error *err)
{
    uint64_t left = ask.b;
    int rc;

    if (!waits(ask.op)) return disknode_control(s->node, &ask, fd, err);
    if (fd >= 0) close(fd);
    do {
        xlc_error_clear(err);
        ask.b = left < SLICE_MS ? left : SLICE_MS;
        rc = disknode_control(s->node, &ask, -1, err);
        left -= ask.b;
    } while (rc == -ETIMEDOUT && left &&
             !__atomic_load_n(&s->ending, __ATOMIC_ACQUIRE));
    return rc;
}

static int answer(struct client *c)
{
    uint8_t buf[DISKCTL_ANSWER_LEN + 2 * DISKCTL_TEXT_MAX];
    struct xlc_error err = XLC_ERROR_INIT;
    struct diskctl_status st;
    struct diskctl_ask ask;
    size_t len, at = 0;
    int fd, rc = ask_of(c->fd, &ask, &fd);

    if (rc) {
        if (fd >= 0) close(fd);
        return rc;
    }
    rc = carry_out(c->server, ask, fd, &err);
    disknode_status(c->server->node, &st);
    len = diskctl_put_answer(rc, err.msg, &st, buf);
    while (at < len) {
        ssize_t r = send(c->fd, buf + at, len - at, MSG_NOSIGNAL);

        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return -errno;
        at += (size_t)r;
    }
    return 0;
}

static void *client_thread(void *arg)
{
    struct client *c = arg;

    while (!answer(c) &&
           !__atomic_load_n(&c->server->ending, __ATOMIC_ACQUIRE))
        ;
    shutdown(c->fd, SHUT_RDWR);
    __atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void reap(struct client *c)
{
    pthread_join(c->thread, NULL);
    close(c->fd);
    c->used = false;
}

static void take_client(struct diskctl_server *s, int fd)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *c = &s->client[i];

        if (c->used && __atomic_load_n(&c->done, __ATOMIC_ACQUIRE)) reap(c);
        if (c->used) continue;
        *c = (struct client){ .server = s, .fd = fd };
        c->used = !pthread_create(&c->thread, NULL, client_thread, c);
        if (c->used) return;
        break;
    }
    close(fd);
}

static void *accept_thread(void *arg)
{
    struct diskctl_server *s = arg;
    struct pollfd p[2] = { { .fd = s->fd, .events = POLLIN },
                           { .fd = s->wake, .events = POLLIN } };

    while (!__atomic_load_n(&s->ending, __ATOMIC_ACQUIRE)) {
        int fd;

        if (poll(p, 2, -1) < 0 || !(p[0].revents & POLLIN)) continue;
        fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) take_client(s, fd);
    }
    return NULL;
}

int diskctl_serve_start(struct diskctl_server *s, struct disknode *n,
                        struct xlc_error *err)
{
    int rc;

    s->node = n;
    rc = pthread_create(&s->thread, NULL, accept_thread, s);
    s->started = !rc;
    return rc ? xlc_error_set(err, -rc, "no thread: %s", strerror(rc)) : 0;
}

void diskctl_serve_close(struct diskctl_server *s)
{
    uint64_t one = 1;

    if (!s) return;
    __atomic_store_n(&s->ending, true, __ATOMIC_RELEASE);
    if (s->started) {
        while (write(s->wake, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
        pthread_join(s->thread, NULL);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (!s->client[i].used) continue;
        shutdown(s->client[i].fd, SHUT_RDWR);
        reap(&s->client[i]);
    }
    if (s->fd >= 0) {
        close(s->fd);
        if (s->started) unlink(s->sa.sun_path);
    }
    if (s->wake >= 0) close(s->wake);
    free(s);
}
