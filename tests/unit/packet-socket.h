/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* packet-socket.h - For tests of the kernel's filters: commands, raw frames */
#ifndef XLC_TESTS_PACKET_SOCKET_H
#define XLC_TESTS_PACKET_SOCKET_H

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Return: the command's status, which is shown unless it is 0 */
static int run(const char *command)
{
    int r = system(command);

    if (r) printf("# %s: status %d\n", command, r);
    return r;
}

/* All frames of @ifname, both ways. Return: a descriptor, or -1 */
static int open_packet(const char *ifname)
{
    struct sockaddr_ll a = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex(ifname),
    };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    htons(ETH_P_ALL)), big = 32 << 20;

    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
    return bind(fd, (struct sockaddr *)&a, sizeof(a)) ? -1 : fd;
}

#endif
