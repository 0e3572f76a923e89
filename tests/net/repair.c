/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* repair.c - Copy a TCP connection from one guest into the other */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "repair.h"

#define OPT_MSS    2u
#define OPT_SCALE  3u
#define OPT_SACK   4u
#define OPT_STAMPS 8u

static int set(int fd, int what, int value)
{
    return setsockopt(fd, IPPROTO_TCP, what, &value, sizeof(value)) ? -errno
                                                                    : 0;
}

static int get(int fd, int what, void *value, socklen_t len)
{
    return getsockopt(fd, IPPROTO_TCP, what, value, &len) ? -errno : 0;
}

bool repair_works(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool works = fd >= 0 && !set(fd, TCP_REPAIR, TCP_REPAIR_ON);

    if (fd >= 0) close(fd);
    return works;
}

static int dump_options(int fd, struct repair *r)
{
    struct tcp_info info;
    uint32_t mss;
    int e = get(fd, TCP_INFO, &info, sizeof(info));

    if (!e) e = get(fd, TCP_MAXSEG, &mss, sizeof(mss));
    if (e) return e;
    r->nopt = 0;
    r->opt[r->nopt++] = (struct tcp_repair_opt){ OPT_MSS, mss };
    if (info.tcpi_options & TCPI_OPT_WSCALE)
        r->opt[r->nopt++] = (struct tcp_repair_opt){
            OPT_SCALE, info.tcpi_snd_wscale |
                       (uint32_t)info.tcpi_rcv_wscale << 16,
        };
    if (info.tcpi_options & TCPI_OPT_SACK)
        r->opt[r->nopt++] = (struct tcp_repair_opt){ OPT_SACK, 0 };
    if (info.tcpi_options & TCPI_OPT_TIMESTAMPS)
        r->opt[r->nopt++] = (struct tcp_repair_opt){ OPT_STAMPS, 0 };
    return 0;
}

static int dump_queue(int fd, struct repair *r)
{
    int left, unsent, e = set(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
    ssize_t n;

    if (!e) e = get(fd, TCP_QUEUE_SEQ, &r->seq_out, sizeof(r->seq_out));
    if (!e && (ioctl(fd, SIOCOUTQ, &left) || ioctl(fd, SIOCOUTQNSD, &unsent)))
        e = -errno;
    if (e) return e;
    if ((uint32_t)left > sizeof(r->queue)) return -ENOBUFS;
    n = left ? recv(fd, r->queue, (size_t)left, MSG_PEEK | MSG_DONTWAIT) : 0;
    if (n != left) return n < 0 ? -errno : -EIO;
    r->queued = (uint32_t)left;
    r->unsent = (uint32_t)unsent;
    e = set(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
    if (!e) e = get(fd, TCP_QUEUE_SEQ, &r->seq_in, sizeof(r->seq_in));
    return e;
}

int repair_dump(int fd, struct repair *r)
{
    socklen_t len = sizeof(r->me);
    int e = set(fd, TCP_REPAIR, TCP_REPAIR_ON);

    if (e) return e;
    if (getsockname(fd, (struct sockaddr *)&r->me, &len) ||
        getpeername(fd, (struct sockaddr *)&r->other, &len))
        e = -errno;
    if (!e) e = dump_options(fd, r);
    if (!e) e = dump_queue(fd, r);
    if (!e) e = get(fd, TCP_TIMESTAMP, &r->tsval, sizeof(r->tsval));
    if (!e) e = get(fd, TCP_REPAIR_WINDOW, &r->window, sizeof(r->window));
    set(fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
    set(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
    return e;
}

static int put(int fd, const uint8_t *p, uint32_t len)
{
    while (len) {
        ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n <= 0) return n ? -errno : -EIO;
        p += n;
        len -= (uint32_t)n;
    }
    return 0;
}

/* What is put under repair counts as sent. */
static int fill_queue(int fd, const struct repair *r)
{
    int e = set(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);

    return e ? e : put(fd, r->queue, r->queued - r->unsent);
}

static int make(int fd, const struct repair *r)
{
    int big = (int)REPAIR_QUEUE, e = set(fd, TCP_REPAIR, TCP_REPAIR_ON);

    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
    if (!e) e = set(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
    if (!e) e = set(fd, TCP_QUEUE_SEQ, (int)(r->seq_out - r->queued));
    if (!e) e = set(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
    if (!e) e = set(fd, TCP_QUEUE_SEQ, (int)r->seq_in);
    if (!e && (bind(fd, (const struct sockaddr *)&r->me, sizeof(r->me)) ||
               connect(fd, (const struct sockaddr *)&r->other,
                       sizeof(r->other))))
        e = -errno;
    if (!e && setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, r->opt,
                         r->nopt * (socklen_t)sizeof(r->opt[0])))
        e = -errno;
    if (!e) e = set(fd, TCP_TIMESTAMP, (int)r->tsval);
    if (!e) e = fill_queue(fd, r);
    if (!e && setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &r->window,
                         sizeof(r->window)))
        e = -errno;
    return e;
}

int repair_make(const struct repair *r)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), e;

    if (fd < 0) return -errno;
    e = make(fd, r);
    if (!e) return fd;
    repair_drop(fd);
    return e;
}

int repair_go(int fd, const struct repair *r)
{
    int e = set(fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);

    if (!e) e = set(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
    return e ? e : put(fd, r->queue + r->queued - r->unsent, r->unsent);
}

void repair_drop(int fd)
{
    set(fd, TCP_REPAIR, TCP_REPAIR_ON);
    close(fd);
}
