/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* groups.c - A guest tells anew which multicast groups it listens to */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "cleanup.h"
#include "cursor.h"
#include "groups.h"

#define ANSWER 10u /* within so many tenths of a second */
#define ROBUST 2u
#define QUERY_S 125u

#define IGMP       2u
#define IGMP_QUERY 0x11u
#define IGMP_LEN   12u
#define IPV4_LEN   24u /* with the router alert */

#define HOP_BY_HOP 0u
#define ICMPV6     58u
#define MLD_QUERY  130u
#define MLD_LEN    28u
#define IPV6_LEN   40u
#define OPTS_LEN   8u /* router alert and padding */

static const uint8_t all_hosts[4] = { 224, 0, 0, 1 };
static const uint8_t all_nodes[16] = {
    0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
};
static const uint8_t nobody[16] = {
    0xfe, 0x80, 0, 0, 0, 0, 0, 0,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};

/* Of an even number of octets, on top of @sum. */
static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    return sum;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8);
    at[1] = (uint8_t)~sum;
}

size_t groups_igmp_query(uint8_t frame[GROUPS_FRAME_MAX],
                         const uint8_t from[6])
{
    static const uint8_t to[6] = { 1, 0, 0x5e, 0, 0, 1 };
    uint8_t *ip = frame + ETH_HLEN, *igmp = ip + IPV4_LEN;
    struct wcur c = { frame + 12, GROUPS_FRAME_MAX - 12, false };

    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    wcur_u16(&c, ETH_P_IP);
    wcur_u16(&c, 0x46c0); /* six words; network control */
    wcur_u16(&c, IPV4_LEN + IGMP_LEN);
    wcur_u32(&c, 0);
    wcur_u16(&c, 0x0100 | IGMP); /* one hop */
    wcur_u16(&c, 0);
    wcur_u32(&c, 0); /* from nobody */
    wcur_bytes(&c, all_hosts, 4);
    wcur_u32(&c, 0x94040000); /* router alert */
    wcur_u16(&c, IGMP_QUERY << 8 | ANSWER);
    wcur_u16(&c, 0);
    wcur_u32(&c, 0); /* which groups? all */
    wcur_u16(&c, ROBUST << 8 | QUERY_S);
    wcur_u16(&c, 0);
    put_sum(ip + 10, sum16(ip, IPV4_LEN, 0));
    put_sum(igmp + 2, sum16(igmp, IGMP_LEN, 0));
    return (size_t)(c.p - frame);
}

size_t groups_mld_query(uint8_t frame[GROUPS_FRAME_MAX],
                        const uint8_t from[6])
{
    static const uint8_t to[6] = { 0x33, 0x33, 0, 0, 0, 1 };
    static const uint8_t none[16];
    uint8_t *ip = frame + ETH_HLEN, *mld = ip + IPV6_LEN + OPTS_LEN;
    struct wcur c = { frame + 12, GROUPS_FRAME_MAX - 12, false };

    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    wcur_u16(&c, ETH_P_IPV6);
    wcur_u32(&c, 0x60000000);
    wcur_u16(&c, OPTS_LEN + MLD_LEN);
    wcur_u16(&c, HOP_BY_HOP << 8 | 1); /* one hop */
    wcur_bytes(&c, nobody, 16);
    wcur_bytes(&c, all_nodes, 16);
    wcur_u32(&c, ICMPV6 << 24 | 0x0502); /* router alert: MLD, padding */
    wcur_u32(&c, 0x00000100);
    wcur_u32(&c, MLD_QUERY << 24);
    wcur_u32(&c, (ANSWER * 100) << 16);
    wcur_bytes(&c, none, 16); /* which groups? all */
    wcur_u16(&c, ROBUST << 8 | QUERY_S);
    wcur_u16(&c, 0);
    put_sum(mld + 2, sum16(mld, MLD_LEN, sum16(ip + 8, 32, MLD_LEN +
                                               ICMPV6)));
    return (size_t)(c.p - frame);
}

static int own_mac(int fd, const char *ifname, uint8_t mac[6])
{
    struct ifreq r = { 0 };
    size_t len = strnlen(ifname, IFNAMSIZ);

    if (len >= IFNAMSIZ) return -ENODEV;
    memcpy(r.ifr_name, ifname, len);
    if (ioctl(fd, SIOCGIFHWADDR, &r)) return -errno;
    memcpy(mac, r.ifr_hwaddr.sa_data, 6);
    return 0;
}

int groups_ask(const char *ifname, struct xlc_error *err)
{
    uint8_t frame[GROUPS_FRAME_MAX], mac[6];
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_halen = 6,
                              .sll_ifindex = (int)if_nametoindex(ifname) };
    CLEANUP_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? -errno : own_mac(fd, ifname, mac);

    for (int v6 = 0; v6 < 2 && !r; v6++) {
        size_t len = v6 ? groups_mld_query(frame, mac) :
                     groups_igmp_query(frame, mac);

        memcpy(to.sll_addr, frame, 6);
        if (sendto(fd, frame, len, 0, (struct sockaddr *)&to,
                   sizeof(to)) < 0)
            r = -errno;
    }
    if (!r) return 0;
    return xlc_error_set(err, r, "the guest behind %s can't be asked for its "
                         "multicast groups: %s", ifname, strerror(-r));
}
