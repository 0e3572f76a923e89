/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu.c - QEMU's colo-compare and filter-rewriter as programs of their own
 *
 * One I/O thread of QEMU serves all sockets of a colo-compare, and each of
 * them is first in, first out. A frame of a flow that is ours alone, written
 * to the secondary's and then to the primary's input, comes out only after
 * everything that was written before it: that is the barrier.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "frame.h"
#include "qemu.h"

#define PROGRAM     "qemu-system-x86_64"
#define CHILD_FD    10
#define BARRIER_MS  20000
#define HELLO       "COLO_USERSPACE_PROXY_INIT"
#define HELLO_REPLY "COLO_COMPARE_GET_XEN_INIT"
#define CHECKPOINT  "COLO_CHECKPOINT"
#define NOTIFY      "DO_CHECKPOINT"

bool qemu_present(void)
{
    const char *path = getenv("PATH");
    char file[512];

    for (; path && *path; path += *path == ':') {
        size_t len = strcspn(path, ":");

        snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, PROGRAM);
        if (len && !access(file, X_OK)) return true;
        path += len;
    }
    return false;
}

/* ---- The process ---------------------------------------------------------*/

/* Move the pairs to where the child expects them, and become it. */
static _Noreturn void become(char *const argv[], int (*pair)[2],
                             unsigned int ends)
{
    int quiet = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* First above all targets, so that none of them is overwritten. */
    for (unsigned int i = 0; i < ends; i++)
        pair[i][1] = fcntl(pair[i][1], F_DUPFD, CHILD_FD + QEMU_ENDS);
    for (unsigned int i = 0; i < ends; i++)
        if (dup2(pair[i][1], CHILD_FD + (int)i) < 0) _exit(126);
    dup2(quiet, 0);
    dup2(quiet, 1);
    if (!getenv("ORACLE_VERBOSE")) dup2(quiet, 2);
    execvp(argv[0], argv);
    _exit(127);
}

int qemu_spawn(struct qemu *q, char *const argv[], unsigned int ends)
{
    int pair[QEMU_ENDS][2], rc = 0;
    unsigned int made;

    *q = (struct qemu){ .fd = { -1, -1, -1, -1 } };
    for (made = 0; made < ends; made++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair[made])) {
            rc = -errno;
            break;
        }
        q->fd[made] = pair[made][0];
    }
    if (!rc) {
        fflush(NULL);
        q->pid = fork();
        if (!q->pid) become(argv, pair, ends);
        if (q->pid < 0) {
            rc = -errno;
            q->pid = 0;
        }
    }
    for (unsigned int i = 0; i < made; i++) close(pair[i][1]);
    if (rc) qemu_stop(q);
    return rc;
}

void qemu_stop(struct qemu *q)
{
    if (q->pid > 0) {
        kill(q->pid, SIGTERM);
        waitpid(q->pid, NULL, 0);
    }
    q->pid = 0;
    for (unsigned int i = 0; i < QEMU_ENDS; i++) {
        if (q->fd[i] >= 0) close(q->fd[i]);
        q->fd[i] = -1;
        free(q->in[i]);
        q->in[i] = NULL;
        q->have[i] = q->room[i] = 0;
    }
}

/* ---- Frames on a stream --------------------------------------------------*/

static void be32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8) p[i] = (uint8_t)v;
}

static uint32_t get_be32(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) |
           ((uint32_t)p[2] << 8) | p[3];
}

/* Take in what is there. Return: octets read, or -errno (-EPIPE at an end). */
static ssize_t fill(struct qemu *q, enum qemu_end end)
{
    size_t room = q->room[end];
    ssize_t n;

    if (q->have[end] == room) {
        uint8_t *more = realloc(q->in[end], room ? room * 2 : 262144);

        if (!more) return -ENOMEM;
        q->in[end] = more;
        q->room[end] = room = room ? room * 2 : 262144;
    }
    n = recv(q->fd[end], q->in[end] + q->have[end], room - q->have[end],
             MSG_DONTWAIT);
    if (n > 0) q->have[end] += (size_t)n;
    return n > 0 ? n : n ? -errno : -EPIPE;
}

/* Write all of @iov, reading meanwhile so that neither side blocks for good. */
static int write_all(struct qemu *q, enum qemu_end end, struct iovec *iov,
                     int count)
{
    while (count) {
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)count };
        ssize_t n = sendmsg(q->fd[end], &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd p[QEMU_ENDS];

            for (unsigned int i = 0; i < QEMU_ENDS; i++)
                p[i] = (struct pollfd){ .fd = q->fd[i], .events = POLLIN };
            p[end].events |= POLLOUT;
            if (poll(p, QEMU_ENDS, BARRIER_MS) <= 0) return -ETIMEDOUT;
            for (unsigned int i = 0; i < QEMU_ENDS; i++)
                if (p[i].revents & POLLIN) fill(q, (enum qemu_end)i);
            continue;
        }
        if (n < 0) return -errno;
        for (; count && (size_t)n >= iov->iov_len; count--)
            n -= (ssize_t)(iov++)->iov_len;
        if (count) {
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int qemu_put(struct qemu *q, enum qemu_end end, const uint8_t *frame,
             size_t len)
{
    uint8_t head[8 + QEMU_VNET_LEN] = { 0 };
    size_t extra = q->vnet ? QEMU_VNET_LEN : 0;
    struct iovec iov[2] = {
        { .iov_base = head, .iov_len = q->vnet ? sizeof(head) : 4 },
        { .iov_base = (void *)(uintptr_t)frame, .iov_len = len },
    };

    be32(head, (uint32_t)(len + extra));
    be32(head + 4, (uint32_t)extra);
    return write_all(q, end, iov, 2);
}

static int put_text(struct qemu *q, const char *text)
{
    uint8_t buf[64];
    size_t len = strlen(text), head = q->vnet ? 8 : 4;
    struct iovec iov = { .iov_base = buf, .iov_len = head + len };

    /* Inbound notifications have the vnet field too; outbound have not. */
    be32(buf, (uint32_t)len);
    be32(buf + 4, 0);
    memcpy(buf + head, text, len);
    return write_all(q, QEMU_NTF, &iov, 1);
}

/* Length of the message at the head of @end, without its prefix (of @head
 * octets), or 0 if it is not whole yet. */
static size_t whole(const struct qemu *q, enum qemu_end end, size_t head)
{
    size_t len;

    if (q->have[end] < head) return 0;
    len = get_be32(q->in[end]);
    return q->have[end] >= head + len ? len : 0;
}

static void drop(struct qemu *q, enum qemu_end end, size_t len)
{
    q->have[end] -= len;
    memmove(q->in[end], q->in[end] + len, q->have[end]);
}

ssize_t qemu_get(struct qemu *q, enum qemu_end end, const uint8_t **frame,
                 int timeout_ms)
{
    size_t head = q->vnet ? 8 : 4, extra = q->vnet ? QEMU_VNET_LEN : 0, len;

    while (!(len = whole(q, end, head))) {
        struct pollfd p = { .fd = q->fd[end], .events = POLLIN };
        ssize_t n;

        if (poll(&p, 1, timeout_ms) <= 0) return -ETIMEDOUT;
        n = fill(q, end);
        if (n < 0 && n != -EAGAIN) return n;
    }
    if (len < extra || len > FRAME_MAX) return -EPROTO;
    /* Out of the way of the next frames: to the end of the buffer's room. */
    if (q->room[end] - q->have[end] < len) {
        uint8_t *more = realloc(q->in[end], q->room[end] + FRAME_MAX);

        if (!more) return -ENOMEM;
        q->in[end] = more;
        q->room[end] += FRAME_MAX;
    }
    {
        uint8_t *keep = q->in[end] + q->room[end] - len;

        memcpy(keep, q->in[end] + head, len);
        drop(q, end, head + len);
        *frame = keep + extra;
    }
    return (ssize_t)(len - extra);
}

/* ---- colo-compare --------------------------------------------------------*/

int qemu_drain_notify(struct qemu *q)
{
    ssize_t n;

    do n = fill(q, QEMU_NTF); while (n > 0);
    if (n != -EAGAIN) return (int)n;
    for (size_t len; (len = whole(q, QEMU_NTF, 4)); drop(q, QEMU_NTF, 4 + len))
        q->notified += len == strlen(NOTIFY) &&
                       !memcmp(q->in[QEMU_NTF] + 4, NOTIFY, len);
    return 0;
}

int qemu_wait_notify(struct qemu *q)
{
    unsigned int before = q->notified;
    int rc = 0;

    while (!rc && q->notified == before) {
        struct pollfd p = { .fd = q->fd[QEMU_NTF], .events = POLLIN };

        if (poll(&p, 1, BARRIER_MS) <= 0) return -ETIMEDOUT;
        rc = qemu_drain_notify(q);
    }
    return rc;
}

/* A frame of a flow of our own, unlike all others. Return: its length. */
static size_t own_frame(struct qemu *q, uint32_t dst, uint8_t *frame)
{
    uint32_t unique = ++q->barriers;
    struct frame_spec s = {
        .mark = 0xffffff, .proto = PROTO_UDP, .src = 0xc0000201, .dst = dst,
        .sport = 9, .dport = 9, .data = &unique, .len = sizeof(unique),
    };

    return frame_build(&s, frame);
}

/* Give what comes out to @fn until @mine does. Return: 0 or -errno. */
static int read_until(struct qemu *q, const uint8_t *mine, size_t mine_len,
                      qemu_frame_fn *fn, void *ctx)
{
    for (;;) {
        const uint8_t *frame;
        ssize_t len = qemu_get(q, QEMU_OUT, &frame, BARRIER_MS);

        if (len < 0) return (int)len;
        if ((size_t)len == mine_len && !memcmp(frame, mine, mine_len))
            return 0;
        fn(ctx, frame, (size_t)len);
    }
}

int qemu_barrier(struct qemu *q, qemu_frame_fn *fn, void *ctx)
{
    uint8_t mine[128];
    size_t len = own_frame(q, 0xc0000202, mine);
    int rc = qemu_put(q, QEMU_SEC, mine, len);

    if (!rc) rc = qemu_put(q, QEMU_PRI, mine, len);
    if (!rc) rc = read_until(q, mine, len, fn, ctx);
    return rc ? rc : qemu_drain_notify(q);
}

int qemu_checkpoint(struct qemu *q, qemu_frame_fn *fn, void *ctx)
{
    uint8_t mine[128];
    size_t len = own_frame(q, 0xc0000203, mine);
    /* Nothing but the checkpoint will let this one out; the barrier sees to
     * it that it is in there before. */
    int rc = qemu_put(q, QEMU_PRI, mine, len);

    if (!rc) rc = qemu_barrier(q, fn, ctx);
    if (!rc) rc = put_text(q, CHECKPOINT);
    if (!rc) rc = read_until(q, mine, len, fn, ctx);
    return rc ? rc : qemu_barrier(q, fn, ctx);
}

/* Wait for the answer to HELLO. */
static int shake_hands(struct qemu *q)
{
    int rc = put_text(q, HELLO);
    size_t len;

    while (!rc && !(len = whole(q, QEMU_NTF, 4))) {
        struct pollfd p = { .fd = q->fd[QEMU_NTF], .events = POLLIN };

        if (poll(&p, 1, BARRIER_MS) <= 0) return -ETIMEDOUT;
        rc = (int)fill(q, QEMU_NTF);
        if (rc > 0 || rc == -EAGAIN) rc = 0;
    }
    if (rc) return rc;
    if (len != strlen(HELLO_REPLY) ||
        memcmp(q->in[QEMU_NTF] + 4, HELLO_REPLY, len))
        return -EPROTO;
    drop(q, QEMU_NTF, 4 + len);
    return 0;
}

static void nothing(void *ctx, const uint8_t *frame, size_t len)
{
    (void)ctx;
    (void)frame;
    (void)len;
}

int qemu_start_compare(struct qemu *q, const struct qemu_opts *opts)
{
    char object[256];
    const char *program = opts->program ? opts->program : PROGRAM;
    const char *const argv[] = {
        program, "-machine", "none", "-nodefaults", "-no-user-config",
        "-display", "none", "-monitor", "none", "-object", "iothread,id=io1",
        "-chardev", "socket,id=pri,fd=10", "-chardev", "socket,id=sec,fd=11",
        "-chardev", "socket,id=out,fd=12", "-chardev", "socket,id=ntf,fd=13",
        "-object", object, NULL,
    };
    int rc;

    snprintf(object, sizeof(object),
             "colo-compare,id=comp0,primary_in=pri,secondary_in=sec,"
             "outdev=out,iothread=io1,notify_dev=ntf,compare_timeout=%u,"
             "expired_scan_cycle=%u%s",
             opts->timeout_ms, opts->scan_ms,
             opts->vnet ? ",vnet_hdr_support=on" : "");
    /* execvp() takes what it does not change without const. */
    rc = qemu_spawn(q, (char *const *)(uintptr_t)argv, QEMU_ENDS);
    if (rc) return rc;
    q->vnet = opts->vnet;
    rc = shake_hands(q);
    if (!rc) rc = qemu_barrier(q, nothing, NULL);
    if (rc) qemu_stop(q);
    return rc;
}

/* ---- filter-rewriter -----------------------------------------------------*/

int qemu_start_rewriter(struct qemu *q, const char *program)
{
    const char *const argv[] = {
        program ? program : PROGRAM, "-machine", "none", "-nodefaults",
        "-no-user-config", "-display", "none", "-monitor", "none",
        "-netdev", "socket,id=n0,fd=10",
        "-netdev", "hubport,id=h0,hubid=0,netdev=n0",
        "-netdev", "socket,id=n1,fd=11",
        "-netdev", "hubport,id=h1,hubid=0,netdev=n1",
        "-object", "filter-rewriter,id=rew0,netdev=n0,queue=all", NULL,
    };

    return qemu_spawn(q, (char *const *)(uintptr_t)argv, 2);
}
