/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diskctl.c - What the session asks of a disk's plugin: codec and client */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "cleanup.h"
#include "cursor.h"
#include "diskctl.h"

static_assert(offsetof(struct diskctl_status, why) == 8 * DISKCTL_NUMBERS,
              "the numbers are all that is before the sentence");

void diskctl_put_ask(const struct diskctl_ask *ask, uint8_t *buf)
{
    struct wcur c = { buf, DISKCTL_ASK_LEN, false };

    wcur_u32(&c, DISKCTL_MAGIC);
    wcur_u16(&c, (uint16_t)ask->op);
    wcur_zero(&c, 2);
    wcur_u64(&c, ask->a);
    wcur_u64(&c, ask->b);
    wcur_zero(&c, 8);
}

int diskctl_get_ask(struct diskctl_ask *ask, const uint8_t *buf, size_t len)
{
    struct rcur c = { buf, len, false };
    bool magic = rcur_u32(&c) == DISKCTL_MAGIC;
    uint16_t op = rcur_u16(&c);
    struct diskctl_ask n;

    rcur_zero(&c, 2);
    n.a = rcur_u64(&c);
    n.b = rcur_u64(&c);
    rcur_zero(&c, 8);
    if (!rcur_done(&c) || !magic || op < DISKCTL_STATUS ||
        op > DISKCTL_OUTRANK)
        return -EPROTO;
    n.op = (enum diskctl_op)op;
    *ask = n;
    return 0;
}

size_t diskctl_put_answer(int status, const char *text,
                          const struct diskctl_status *st, uint8_t *buf)
{
    struct wcur c = { buf, DISKCTL_ANSWER_LEN + 2 * DISKCTL_TEXT_MAX, false };
    size_t said = strnlen(text, DISKCTL_TEXT_MAX - 1);
    size_t why = strnlen(st->why, DISKCTL_TEXT_MAX - 1);
    uint64_t numbers[DISKCTL_NUMBERS];

    memcpy(numbers, st, sizeof(numbers));
    wcur_u32(&c, DISKCTL_MAGIC);
    wcur_u32(&c, (uint32_t)-status);
    wcur_u32(&c, (uint32_t)said);
    wcur_u32(&c, (uint32_t)why);
    for (size_t i = 0; i < DISKCTL_NUMBERS; i++) wcur_u64(&c, numbers[i]);
    wcur_bytes(&c, text, said);
    wcur_bytes(&c, st->why, why);
    return (size_t)(c.p - buf);
}

int diskctl_get_answer(const uint8_t *buf, size_t len, int *status,
                       struct diskctl_status *st)
{
    struct rcur c = { buf, len, false };
    uint64_t numbers[DISKCTL_NUMBERS];
    bool magic = rcur_u32(&c) == DISKCTL_MAGIC;
    uint32_t code = rcur_u32(&c), said = rcur_u32(&c), why = rcur_u32(&c);

    for (size_t i = 0; i < DISKCTL_NUMBERS; i++) numbers[i] = rcur_u64(&c);
    if (!rcur_done(&c) || !magic || code > 4095 || said >= DISKCTL_TEXT_MAX ||
        why >= DISKCTL_TEXT_MAX)
        return -EPROTO;
    memcpy(st, numbers, sizeof(numbers));
    memset(st->why, 0, sizeof(st->why));
    *status = -(int)code;
    return (int)(said << 16 | why);
}

int diskctl_connect(const char *path, unsigned int ms, struct xlc_error *err)
{
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    const struct timeval tv = { ms / 1000, (long)(ms % 1000) * 1000 };

    if (fd < 0 || strlen(path) >= sizeof(sa.sun_path))
        return xlc_error_set(err, -EINVAL, "%s: no socket's path", path);
    memcpy(sa.sun_path, path, strlen(path));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
        return xlc_error_set(err, -errno, "%s: %s", path, strerror(errno));
    return steal_fd(&fd);
}

static int ask_with(int sock, const uint8_t *buf, int fd)
{
    char room[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { (void *)(uintptr_t)buf, DISKCTL_ASK_LEN };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t r;

    if (fd >= 0) {
        struct cmsghdr *c;

        h.msg_control = room;
        h.msg_controllen = sizeof(room);
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    do r = sendmsg(sock, &h, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    return r == (ssize_t)DISKCTL_ASK_LEN ? 0 : r < 0 ? -errno : -EPIPE;
}

static int read_all(int sock, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len) {
        ssize_t r = recv(sock, p, len, 0);

        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return r ? -errno : -EPIPE;
        p += r;
        len -= (size_t)r;
    }
    return 0;
}

/* What the socket's error @rc means here. */
static int broken(int rc, struct xlc_error *err)
{
    return xlc_error_set(err, rc, "the disk's plugin: %s",
                         rc == -EAGAIN ? "no answer in time: it is stopped, "
                         "or waits for its disk" : strerror(-rc));
}

int diskctl_call(int sock, const struct diskctl_ask *ask, int fd,
                 struct diskctl_status *st, struct xlc_error *err)
{
    uint8_t buf[DISKCTL_ANSWER_LEN > DISKCTL_ASK_LEN ? DISKCTL_ANSWER_LEN
                                                     : DISKCTL_ASK_LEN];
    char raw[DISKCTL_TEXT_MAX], text[DISKCTL_TEXT_MAX];
    struct diskctl_status got;
    int rc, lens, status;

    diskctl_put_ask(ask, buf);
    rc = ask_with(sock, buf, fd);
    if (!rc) rc = read_all(sock, buf, DISKCTL_ANSWER_LEN);
    if (rc) return broken(rc, err);
    lens = diskctl_get_answer(buf, DISKCTL_ANSWER_LEN, &status, &got);
    if (lens < 0)
        return xlc_error_set(err, lens, "the disk's plugin answers nonsense");
    rc = read_all(sock, raw, (size_t)(lens >> 16));
    xlc_sanitise(text, sizeof(text), raw, (unsigned int)(lens >> 16));
    if (!rc) rc = read_all(sock, raw, (size_t)(lens & 0xffff));
    if (rc) return broken(rc, err);
    xlc_sanitise(got.why, sizeof(got.why), raw,
                 (unsigned int)(lens & 0xffff));
    if (st) *st = got;
    return status ? xlc_error_set(err, status, "%s", text) : 0;
}
