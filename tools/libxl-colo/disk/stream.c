/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stream.c - Messages of diskproto.h over a connected stream socket */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "stream.h"

/* One of the largest, and enough before it that the begin of a message, which
 * is cut off and moved to the front, is little beside what came with it. Not
 * more: what was used a moment ago is in the caches. */
#define STREAM_ROOM ((256u << 10) + DISKPROTO_MSG_MAX)

int stream_open(struct stream *s, int fd, bool from_primary,
                struct xlc_error *err)
{
    *s = (struct stream){ .fd = fd, .from_primary = from_primary };
    s->buf = malloc(STREAM_ROOM);
    if (!s->buf) return xlc_error_set(err, -ENOMEM, "no memory");
    s->room = STREAM_ROOM;
    return 0;
}

void stream_close(struct stream *s)
{
    free(s->buf);
    s->buf = NULL;
}

static int receive(struct stream *s, struct xlc_error *err)
{
    ssize_t r;

    if (s->room - s->from < DISKPROTO_MSG_MAX) {
        memmove(s->buf, s->buf + s->from, s->to - s->from);
        s->to -= s->from;
        s->from = 0;
    }
    do r = recv(s->fd, s->buf + s->to, s->room - s->to, 0);
    while (r < 0 && errno == EINTR);
    if (r > 0) {
        s->to += (size_t)r;
        return 0;
    }
    if (!r) return xlc_error_set(err, -ENOTCONN, "the peer closed");
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return xlc_error_set(err, -ETIMEDOUT, "the peer says nothing");
    return xlc_error_set(err, -errno, "the connection: %s", strerror(errno));
}

int stream_next(struct stream *s, struct diskproto_msg *m,
                struct xlc_error *err)
{
    for (;;) {
        size_t used = 0;
        int r = diskproto_decode(m, s->buf + s->from, s->to - s->from,
                                 s->from_primary, &used, err);

        if (r < 0) return r;
        s->from += used;
        if (r) return 0;
        if (s->from == s->to) s->from = s->to = 0;
        r = receive(s, err);
        if (r) return r;
    }
}

int stream_send(int fd, struct iovec *iov, unsigned int n)
{
    while (n) {
        struct msghdr h = { .msg_iov = iov, .msg_iovlen = n };
        ssize_t r = sendmsg(fd, &h, MSG_NOSIGNAL);

        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return errno == EAGAIN ? -ETIMEDOUT : -errno;
        while (n && (size_t)r >= iov->iov_len) {
            r -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n) {
            iov->iov_base = (uint8_t *)iov->iov_base + r;
            iov->iov_len -= (size_t)r;
        }
    }
    return 0;
}

int stream_say(int fd, const struct diskproto_msg *m)
{
    uint8_t head[DISKPROTO_HEAD_MAX];
    struct iovec iov[2] = { { .iov_base = head } };

    iov[0].iov_len = diskproto_encode(m, head);
    if (!iov[0].iov_len) return -EINVAL;
    iov[1].iov_base = (void *)(uintptr_t)m->data;
    iov[1].iov_len = m->len;
    return stream_send(fd, iov, m->len ? 2 : 1);
}

int stream_timeout(int fd, uint32_t ms)
{
    struct timeval t = { .tv_sec = ms / 1000,
                         .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)))
        return -errno;
    return 0;
}
