/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proxy-net.h - A guest and a LAN for a proxy, without a kernel's network
 *
 * A TAP is one end of a socket pair that keeps the borders of frames; the
 * test has the other end. Frames carry a number by which they are known.
 */
#ifndef XLC_TESTS_PROXY_NET_H
#define XLC_TESTS_PROXY_NET_H

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "proxy-port.h"
#include "tap.h"
#include "wirestream.h"

#define PATIENCE_MS 3000
#define FRAME_LEN   100u

static struct xlc_error err;

/* The test's ends. */
static int guest, lan;
static struct wirestream peer = WIRESTREAM_INIT;

/* How many the peer says that the guest has. */
static uint16_t peer_vifs = 1;

/* Take the other ends of what the proxy gets. */
static inline struct proxy_port make_port(void)
{
    int g[2], l[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, g) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, l))
        exit(99);
    guest = g[1];
    lan = l[1];
    return (struct proxy_port){
        .out_rd = g[0], .in_wr = g[0], .in_rd = l[0], .out_wr = l[0],
    };
}

static inline void drop_port(struct proxy_port *port)
{
    close(guest);
    close(lan);
    close(port->out_rd);
    close(port->in_rd);
}

/* The stream; the proxy's end is returned, the test's is @peer. */
static inline int make_peer(bool primary)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) ||
        wirestream_open(&peer, fds[1], &wirestream_plain, NULL, primary,
                        peer_vifs, &err))
        exit(99);
    wirestream_flush(&peer, &err);
    return fds[0];
}

/*
 * A frame of @proto number @number, from the guest (10.0.0.1) or for it.
 * UDP and TCP have right checksums; the number is in the payload.
 */
static inline void make_frame(uint8_t *f, unsigned int proto, bool out,
                              uint32_t number)
{
    static const uint8_t addr[2][4] = { { 10, 0, 0, 2 }, { 10, 0, 0, 1 } };
    struct packet p;
    unsigned int l4 = 34;

    memset(f, 0, FRAME_LEN);
    memcpy(f, out ? "\2\0\0\0\0\2\2\0\0\0\0\1" : "\2\0\0\0\0\1\2\0\0\0\0\2",
           12);
    f[12] = 8;
    f[14] = 0x45;
    packet_put16(f + 16, FRAME_LEN - 14);
    f[22] = 64;
    f[23] = (uint8_t)proto;
    memcpy(f + 26, addr[out], 4);
    memcpy(f + 30, addr[!out], 4);
    packet_put16(f + 24, (uint16_t)~packet_sum(0, f + 14, 20));
    packet_put16(f + l4, out ? 80 : 4000);
    packet_put16(f + l4 + 2, out ? 4000 : 80);
    if (proto == PACKET_IP_TCP) {
        packet_put32(f + l4 + 4, number);
        packet_put32(f + l4 + 8, 1);
        f[l4 + 12] = 0x50;
        f[l4 + 13] = PACKET_ACK;
        packet_put16(f + l4 + 14, 1000);
    } else {
        packet_put16(f + l4 + 4, (uint16_t)(FRAME_LEN - l4));
    }
    packet_put32(f + FRAME_LEN - 4, number);
    packet_parse(&p, f, FRAME_LEN, NULL);
    packet_put16(f + packet_l4_csum_at(&p), packet_l4_csum(&p, f));
}

/* Give the frame to a TAP. Return: false if it is full. */
static inline bool put_tap(int fd, const uint8_t *frame)
{
    uint8_t buf[sizeof(struct packet_vnet) + FRAME_LEN] = { 0 };

    memcpy(buf + sizeof(struct packet_vnet), frame, FRAME_LEN);
    return send(fd, buf, sizeof(buf), 0) == (ssize_t)sizeof(buf);
}

/*
 * A TCP segment without payload (and options), padded; make_frame() says
 * between whom.
 */
static inline void make_segment(uint8_t *f, bool out, uint8_t flags,
                                uint32_t seq, uint32_t ack)
{
    struct packet p;

    make_frame(f, PACKET_IP_TCP, out, 0);
    packet_put16(f + 16, 40);
    packet_put16(f + 24, 0);
    packet_put16(f + 24, (uint16_t)~packet_sum(0, f + 14, 20));
    f[47] = flags;
    packet_put32(f + 38, seq);
    packet_put32(f + 42, ack);
    packet_put16(f + 50, 0);
    packet_parse(&p, f, FRAME_LEN, NULL);
    packet_put16(f + packet_l4_csum_at(&p), packet_l4_csum(&p, f));
}

/* Write a frame where a TAP has its other end. Return: false if it is full. */
static inline bool say(int fd, unsigned int proto, uint32_t number)
{
    uint8_t f[FRAME_LEN];

    make_frame(f, proto, fd == guest, number);
    return put_tap(fd, f);
}

/* The number of the next frame that comes out there, within @wait_ms; -1. */
static inline int64_t hear(int fd, int wait_ms)
{
    uint8_t buf[sizeof(struct packet_vnet) + PACKET_MAX];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ssize_t n;

    if (poll(&p, 1, wait_ms) <= 0) return -1;
    n = recv(fd, buf, sizeof(buf), 0);
    if (n < (ssize_t)(sizeof(struct packet_vnet) + FRAME_LEN)) return -1;
    return packet_get32(buf + n - 4);
}

/* Is exactly this the next one? */
static inline bool hears(int fd, uint32_t number)
{
    int64_t n = hear(fd, PATIENCE_MS);

    if (n != number) printf("# heard %lld, not %u\n", (long long)n, number);
    return n == number;
}

/* The next message of the proxy, within @wait_ms. Return: its type; 0. */
static inline unsigned int peer_hear(struct wire_msg *m, int wait_ms)
{
    uint64_t end = clock_ms() + (uint64_t)wait_ms;

    for (;;) {
        struct pollfd p = { .fd = peer.fd, .events = POLLIN };
        uint64_t now = clock_ms();

        if (wirestream_next(&peer, m, &err) > 0) return m->type;
        if (now > end || poll(&p, 1, (int)(end - now)) <= 0) return 0;
        if (wirestream_fill(&peer, &err)) return 0;
    }
}

static inline bool peer_say(const struct wire_msg *m)
{
    return !wirestream_put(&peer, m) && !wirestream_flush(&peer, &err) &&
           !wirestream_waits(&peer);
}

/* A frame of the other guest, or for it, in a message. */
static inline bool peer_say_frame(unsigned int type, unsigned int proto,
                                  uint32_t number, uint64_t epoch)
{
    uint8_t f[FRAME_LEN];
    const struct wire_msg m = {
        .type = (uint16_t)type,
        .epoch = epoch,
        .u.frame = { .data = f, .len = FRAME_LEN },
    };

    make_frame(f, proto, type == WIRE_OUTBOUND, number);
    return peer_say(&m);
}

static inline uint32_t frame_number(const struct wire_msg *m)
{
    return m->u.frame.len < 4
               ? 0 : packet_get32(m->u.frame.data + m->u.frame.len - 4);
}

/* Did the proxy's eventfd become readable? Reads it. */
static inline bool event(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t n;

    return poll(&p, 1, PATIENCE_MS) == 1 &&
           read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

#endif
