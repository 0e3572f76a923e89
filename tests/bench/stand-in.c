/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stand-in.c - The compare engine behind the sockets that QEMU's has
 *
 * A program for benchmarks and tests only. Descriptors 10 to 13 are the
 * primary's input, the secondary's, the output and the notifications, framed
 * as QEMU's character devices are. Of its arguments, which are QEMU's, only
 * whether frames have vnet headers matters.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "compare.h"

#define FD_PRI 10
#define FD_SEC 11
#define FD_OUT 12
#define FD_NTF 13

#define IN_SIZE  (512u << 10)
#define OUT_MAX  64u
#define VNET_LEN 12u
#define TEXT_MAX 64u

/**
 * struct input - one stream of frames
 * @fd: socket
 * @buf: IN_SIZE octets
 * @at: first octet not looked at
 * @have: end of what was read
 */
struct input {
    int fd;
    uint8_t *buf;
    size_t at, have;
};

/**
 * struct stand_in - everything
 * @engine: the engine
 * @vnet: frames have vnet headers
 * @epoch: the epoch that runs
 * @now: nanoseconds, read once a turn
 * @asked: DO_CHECKPOINT was sent in this epoch
 * @in: from the primary, the secondary, and the notifications
 */
struct stand_in {
    struct compare *engine;
    bool vnet;
    uint64_t epoch, now;
    bool asked;
    struct input in[3];
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- Output --------------------------------------------------------------*/

static void write_all(int fd, struct iovec *iov, int n)
{
    while (n) {
        ssize_t put = writev(fd, iov, n);

        if (put < 0) {
            if (errno == EPIPE || errno == ECONNRESET) exit(0);
            die("write");
        }
        for (; n && (size_t)put >= iov->iov_len; n--)
            put -= (ssize_t)(iov++)->iov_len;
        if (n) {
            iov->iov_base = (uint8_t *)iov->iov_base + put;
            iov->iov_len -= (size_t)put;
        }
    }
}

/* Write what the engine released, many frames at once. */
static void let_out(struct stand_in *s)
{
    static uint8_t head[OUT_MAX][8 + VNET_LEN];
    struct compare_packet *p[OUT_MAX];
    struct iovec iov[2 * OUT_MAX];
    size_t extra = s->vnet ? VNET_LEN : 0;
    unsigned int n;

    do {
        for (n = 0; n < OUT_MAX && (p[n] = compare_next(s->engine)); n++) {
            packet_put32(head[n], (uint32_t)(p[n]->len + extra));
            packet_put32(head[n] + 4, VNET_LEN);
            if (s->vnet) memcpy(head[n] + 8, &p[n]->vnet, sizeof(p[n]->vnet));
            iov[2 * n].iov_base = head[n];
            iov[2 * n].iov_len = s->vnet ? sizeof(head[n]) : 4;
            iov[2 * n + 1].iov_base = p[n]->frame;
            iov[2 * n + 1].iov_len = p[n]->len;
        }
        if (n) write_all(FD_OUT, iov, (int)(2 * n));
        for (unsigned int i = 0; i < n; i++) compare_put(s->engine, p[i]);
    } while (n == OUT_MAX);
}

static void say(const char *text)
{
    uint8_t head[4];
    struct iovec iov[2] = {
        { .iov_base = head, .iov_len = 4 },
        { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) },
    };

    packet_put32(head, (uint32_t)strlen(text));
    write_all(FD_NTF, iov, 2);
}

/* ---- Input ---------------------------------------------------------------*/

static void notified(struct stand_in *s, const uint8_t *text, size_t len)
{
    static const char hello[] = "COLO_USERSPACE_PROXY_INIT";
    static const char checkpoint[] = "COLO_CHECKPOINT";

    if (len == sizeof(hello) - 1 && !memcmp(text, hello, len))
        say("COLO_COMPARE_GET_XEN_INIT");
    if (len != sizeof(checkpoint) - 1 || memcmp(text, checkpoint, len)) return;
    s->epoch++;
    if (compare_cut(s->engine, s->epoch, s->now) ||
        compare_commit(s->engine, s->epoch, s->now))
        die("checkpoint");
    compare_svm_connected(s->engine, s->now);
    s->asked = false;
}

/* Give a message to whom it belongs. Return: whether there was room for it. */
static bool take(struct stand_in *s, const struct input *in,
                 const uint8_t *msg, size_t len)
{
    struct compare_meta meta = { .epoch = s->epoch };
    size_t extra = s->vnet ? VNET_LEN : 0;
    struct packet_vnet v = { .flags = 0 };

    if (in->fd == FD_NTF) {
        notified(s, msg, len);
        return true;
    }
    if (len <= extra) return true;
    if (s->vnet) memcpy(&v, msg, sizeof(v));
    if (in->fd == FD_SEC) {
        compare_secondary(s->engine, &meta, msg + extra, len - extra, &v,
                          s->now);
        return true;
    }
    return compare_primary(s->engine, msg + extra, len - extra, &v, s->now) !=
           -ENOBUFS;
}

/* Look at all whole messages of @in. Return: false if one found no room. */
static bool parse(struct stand_in *s, struct input *in)
{
    size_t head = s->vnet ? 8 : 4, max = IN_SIZE - head, len;

    for (; in->have - in->at >= head; in->at += head + len) {
        const uint8_t *p = in->buf + in->at;

        len = packet_get32(p);
        if (len > max || (in->fd == FD_NTF && len > TEXT_MAX)) {
            fprintf(stderr, "stand-in: a message of %zu octets\n", len);
            exit(1);
        }
        if (in->have - in->at < head + len) break;
        if (!take(s, in, p + head, len)) return false;
    }
    /* What is left moves only when there is no room behind it. */
    if (in->at == in->have) {
        in->at = in->have = 0;
    } else if (IN_SIZE - in->have < IN_SIZE / 2) {
        memmove(in->buf, in->buf + in->at, in->have - in->at);
        in->have -= in->at;
        in->at = 0;
    }
    return true;
}

static void turn(struct stand_in *s, struct input *in)
{
    ssize_t n = recv(in->fd, in->buf + in->have, IN_SIZE - in->have,
                     MSG_DONTWAIT);

    if (!n) exit(0);
    if (n < 0 && errno != EAGAIN) die("recv");
    if (n > 0) in->have += (size_t)n;
    while (!parse(s, in)) {
        let_out(s);
        if (!compare_full(s->engine)) continue;
        /* Only a checkpoint makes room, and whoever measures asked for none. */
        fprintf(stderr, "stand-in: the engine is full\n");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct compare_opts o = COMPARE_OPTS_INIT;
    struct xlc_error err = XLC_ERROR_INIT;
    struct stand_in s = { .epoch = 1 };
    int ep = epoll_create1(EPOLL_CLOEXEC);

    for (int i = 1; i < argc; i++)
        s.vnet |= strstr(argv[i], "vnet_hdr_support=on") != NULL;
    o.mode = COMPARE_COLO;
    o.epoch = s.epoch;
    o.late_ns = UINT64_C(3600000000000);
    if (ep < 0 || compare_new(&s.engine, &o, &err)) die("start");
    for (int i = 0; i < 3; i++) {
        struct epoll_event e = { .events = EPOLLIN };

        s.in[i].fd = i == 2 ? FD_NTF : FD_PRI + i;
        s.in[i].buf = malloc(IN_SIZE);
        e.data.ptr = &s.in[i];
        if (!s.in[i].buf || epoll_ctl(ep, EPOLL_CTL_ADD, s.in[i].fd, &e))
            die("start");
    }
    s.now = clock_us() * 1000;
    compare_svm_connected(s.engine, s.now);
    for (;;) {
        struct epoll_event e[3];
        int n = epoll_wait(ep, e, 3, -1);

        s.now = clock_us() * 1000;
        for (int i = 0; i < n; i++) turn(&s, e[i].data.ptr);
        let_out(&s);
        if (compare_deadline(s.engine) <= s.now) compare_tick(s.engine, s.now);
        if (compare_wanted(s.engine, NULL) && !s.asked) {
            say("DO_CHECKPOINT");
            s.asked = true;
        }
    }
}
