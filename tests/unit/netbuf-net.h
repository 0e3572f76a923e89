/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf-net.h - A network namespace with a "guest", and frames through it
 *
 *   guest --- vif9000.0 [netbuf] --- br0 --- port --- lan
 */
#ifndef XLC_TESTS_NETBUF_NET_H
#define XLC_TESTS_NETBUF_NET_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "clock.h"
#include "log.h"
#include "netbuf-lock.h"
#include "netbuf.h"
#include "packet-socket.h"
#include "tap.h"

#define DOMID   9000
#define PATIENCE_MS 3000
#define MAGIC   0x786c2d63u
#define FRAME   64

static int guest_fd, lan_fd;
static uint32_t serial_out, serial_in;
static const struct netbuf_vif vif0 = { .devid = 0, .ifname = "vif9000.0" };
static struct xlc_error err;

/* Send @n frames of @type, numbered on. */
static void send_type(unsigned int n, uint16_t type)
{
    while (n--) {
        uint8_t f[FRAME] = { 0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 8 };
        uint32_t word[2] = { htonl(MAGIC), htonl(serial_out++) };
        uint16_t t = htons(type);

        memcpy(f + 12, &t, 2);
        if (type == ETH_P_8021Q) { /* VLAN 1, which the bridge port has */
            f[15] = 1;
            f[16] = 0x88;
            f[17] = 0xb5;
        }
        memcpy(f + 40, word, sizeof(word));
        while (send(guest_fd, f, sizeof(f), 0) < 0 && errno == EAGAIN)
            usleep(100);
    }
}

static void send_frames(unsigned int n)
{
    send_type(n, 0x88b5);
}

/* The serial number of the next frame of ours that is there; -1 if none. */
static int64_t receive(void)
{
    uint8_t f[2048];
    ssize_t n;

    while ((n = recv(lan_fd, f, sizeof(f), 0)) > 0) {
        uint32_t word[2];
        /* The kernel takes a VLAN tag out of the frame. */
        ssize_t at = n == FRAME - 4 ? 36 : 40;

        if (n < FRAME - 4) continue;
        memcpy(word, f + at, sizeof(word));
        if (ntohl(word[0]) == MAGIC) return ntohl(word[1]);
    }
    return -1;
}

/* Exactly the next @n frames arrive, in order, and nothing behind them. */
static bool arrive(unsigned int n)
{
    uint64_t until = clock_ms() + PATIENCE_MS;
    struct pollfd p = { .fd = lan_fd, .events = POLLIN };

    while (n) {
        int64_t s = receive();

        if (s < 0) {
            if (clock_ms() > until) {
                printf("# %u frames did not arrive\n", n);
                return false;
            }
            poll(&p, 1, 50);
            continue;
        }
        if (s != serial_in) {
            printf("# frame %lld instead of %u\n", (long long)s, serial_in);
            return false;
        }
        serial_in++;
        n--;
    }
    return receive() < 0;
}

/* Forget what was sent and must never arrive. */
static bool lost(void)
{
    bool silent = receive() < 0;

    serial_in = serial_out;
    return silent;
}

/* Wait until @nb holds @n packets. */
static bool holds(struct netbuf *nb, uint64_t n)
{
    uint64_t until = clock_ms() + PATIENCE_MS;
    struct netbuf_stat s = { .held_packets = 0 };

    do {
        if (netbuf_stat(nb, &s, 1, &err) != 1) return false;
        if (s.held_packets == n) return true;
        usleep(1000);
    } while (clock_ms() < until);
    printf("# holds %llu, not %llu\n", (unsigned long long)s.held_packets,
           (unsigned long long)n);
    return false;
}

static struct netbuf *setup(void)
{
    struct netbuf *nb = NULL;

    xlc_error_clear(&err);
    if (netbuf_setup(&nb, DOMID, &vif0, 1, NETBUF_LIMIT_DEFAULT, &err))
        printf("# setup: %s\n", err.msg);
    return nb;
}

static bool nothing_left(void)
{
    struct netbuf_stat s;

    return netbuf_scan(&s, 1, &err) == 0 &&
           run("! tc qdisc show dev vif9000.0 | grep -q clsact") == 0 &&
           run("! ip -o link show type ifb | grep -q .") == 0;
}

static bool make_network(void)
{
    if (unshare(CLONE_NEWNET)) return false;
    if (run("ip link add guest type veth peer name vif9000.0 && "
            "ip link add lan type veth peer name port && "
            "ip link add br0 type bridge && "
            "for i in guest vif9000.0 lan port br0; do "
            "  echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done; "
            "ip link set vif9000.0 master br0 && "
            "ip link set port master br0 && "
            "for i in guest vif9000.0 lan port br0; do "
            "  ip link set $i up; done"))
        return false;
    guest_fd = open_packet("guest");
    lan_fd = open_packet("lan");
    return guest_fd >= 0 && lan_fd >= 0;
}

#endif
