/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* announce.c - Tell the network where a domain is */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>

#include <netlink/addr.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>

#include "announce.h"
#include "cleanup.h"
#include "groups.h"
#include "vifname.h"

#define RARP_REQUEST 3

/**
 * struct rarp - a whole frame, as short as Ethernet allows
 */
struct rarp {
    struct ethhdr eth;
    struct arphdr arp;
    uint8_t sender[ETH_ALEN], sender_ip[4];
    uint8_t target[ETH_ALEN], target_ip[4];
    uint8_t pad[ETH_ZLEN - 42];
} __attribute__((packed));

_Static_assert(sizeof(struct rarp) == ETH_ZLEN, "a minimum frame");

/* "I am @mac, what is my address?": of it, only the source counts here. */
static int send_rarp(int bridge, const uint8_t mac[6])
{
    struct rarp f = {
        .eth.h_proto = htons(ETH_P_RARP),
        .arp = { .ar_hrd = htons(ARPHRD_ETHER), .ar_pro = htons(ETH_P_IP),
                 .ar_hln = ETH_ALEN, .ar_pln = 4,
                 .ar_op = htons(RARP_REQUEST) },
    };
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = bridge,
                              .sll_halen = ETH_ALEN };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), r = 0;

    if (fd < 0) return -errno;
    memset(f.eth.h_dest, 0xff, ETH_ALEN);
    memset(to.sll_addr, 0xff, ETH_ALEN);
    memcpy(f.eth.h_source, mac, ETH_ALEN);
    memcpy(f.sender, mac, ETH_ALEN);
    memcpy(f.target, mac, ETH_ALEN);
    if (sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        r = -errno;
    close(fd);
    return r;
}

/* As if the bridge had just heard @mac at @port. Return: 0 or libnl's error */
static int bridge_learn(struct nl_sock *sk, int port, const uint8_t mac[6])
{
    struct rtnl_neigh *n = rtnl_neigh_alloc();
    struct nl_addr *a = nl_addr_build(AF_LLC, mac, ETH_ALEN);
    int r = -NLE_NOMEM;

    if (n && a) {
        rtnl_neigh_set_family(n, AF_BRIDGE);
        rtnl_neigh_set_ifindex(n, port);
        rtnl_neigh_set_lladdr(n, a);
        rtnl_neigh_set_state(n, NUD_REACHABLE);
        rtnl_neigh_set_flags(n, NTF_MASTER);
        r = rtnl_neigh_add(sk, n, NLM_F_CREATE | NLM_F_REPLACE);
    }
    if (a) nl_addr_put(a);
    if (n) rtnl_neigh_put(n);
    return r;
}

/* The Linux bridge that @link is on; 0 if none. Return: 0 or libnl's error */
static int bridge_of(struct nl_sock *sk, struct rtnl_link *link,
                     int *bridge_r)
{
    int master = rtnl_link_get_master(link), r;
    struct rtnl_link *m = NULL;
    const char *type;

    *bridge_r = 0;
    if (!master) return 0;
    r = rtnl_link_get_kernel(sk, master, NULL, &m);
    if (r) return r;
    type = rtnl_link_get_type(m);
    if (type && !strcmp(type, "bridge")) *bridge_r = master;
    rtnl_link_put(m);
    return 0;
}

int announce_vif(const char *ifname, const uint8_t mac[6],
                 struct xlc_error *err)
{
    struct nl_sock *sk = nl_socket_alloc();
    struct rtnl_link *link = NULL;
    int bridge = 0, nl, r = 0;

    if (!sk) return xlc_error_set(err, -ENOMEM, "no memory");
    nl = nl_connect(sk, NETLINK_ROUTE);
    if (!nl) nl = rtnl_link_get_kernel(sk, 0, ifname, &link);
    if (!nl) nl = bridge_of(sk, link, &bridge);
    if (!nl && bridge)
        nl = bridge_learn(sk, rtnl_link_get_ifindex(link), mac);
    if (nl)
        r = xlc_error_set(err, -EIO, "%s can't be announced on its bridge: "
                          "%s", ifname, nl_geterror(nl));
    if (!r && bridge) r = send_rarp(bridge, mac);
    if (r && !nl)
        xlc_error_set(err, r, "%s can't be announced behind its bridge: %s",
                      ifname, strerror(-r));
    if (link) rtnl_link_put(link);
    nl_socket_free(sk);
    return r ? r : !bridge;
}

int announce_domain(libxl_ctx *ctx, uint32_t domid, struct xlc_error *err)
{
    libxl_device_nic *nics;
    int n = 0, rc = 0;

    nics = libxl_device_nic_list(ctx, domid, &n);
    for (int i = 0; i < n; i++) {
        char name[IFNAMSIZ];
        int r;

        if (nics[i].backend_domid) continue;
        vif_name(name, domid, &nics[i]);
        r = announce_vif(name, nics[i].mac, err);
        if (r < 0 && !rc) rc = r;
        r = groups_ask(name, rc ? NULL : err);
        if (r && !rc) rc = r;
    }
    if (nics) libxl_device_nic_list_free(nics, n);
    return rc;
}
