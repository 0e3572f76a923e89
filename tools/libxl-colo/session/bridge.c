/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bridge.c - Take an interface off its bridge, and bring it back */
#include <config.h>

#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include "bridge.h"

/**
 * struct port - an interface, and the way to the kernel
 */
struct port {
    struct nl_sock *sk;
    struct rtnl_link *link;
};

static void port_close(struct port *p)
{
    if (p->link) rtnl_link_put(p->link);
    if (p->sk) nl_socket_free(p->sk);
}

static int port_open(struct port *p, const char *ifname,
                     struct xlc_error *err)
{
    int r;

    *p = (struct port){ .sk = nl_socket_alloc() };
    if (!p->sk) return xlc_error_set(err, -ENOMEM, "no memory");
    r = nl_connect(p->sk, NETLINK_ROUTE);
    if (!r) r = rtnl_link_get_kernel(p->sk, 0, ifname, &p->link);
    return r ? xlc_error_set(err, -ENODEV, "%s: %s", ifname,
                             nl_geterror(r)) : 0;
}

static int set_up(struct port *p, bool up)
{
    struct rtnl_link *change = rtnl_link_alloc();
    int r;

    if (!change) return -NLE_NOMEM;
    if (up) rtnl_link_set_flags(change, IFF_UP);
    else rtnl_link_unset_flags(change, IFF_UP);
    r = rtnl_link_change(p->sk, p->link, change, 0);
    rtnl_link_put(change);
    return r;
}

int bridge_leave(const char *ifname, struct xlc_error *err)
{
    struct port p;
    int r = port_open(&p, ifname, err), nl;

    if (!r) {
        nl = set_up(&p, false);
        if (nl)
            r = xlc_error_set(err, -EIO, "%s can't be taken down: %s", ifname,
                              nl_geterror(nl));
        nl = rtnl_link_get_master(p.link) ?
             rtnl_link_release(p.sk, p.link) : 0;
        if (nl && !r)
            r = xlc_error_set(err, -EIO, "%s can't leave its bridge: %s",
                              ifname, nl_geterror(nl));
    }
    port_close(&p);
    return r;
}

int bridge_join(const char *ifname, const char *bridge,
                struct xlc_error *err)
{
    struct port p;
    int r = port_open(&p, ifname, err), nl = 0;

    if (!r && bridge && *bridge && !rtnl_link_get_master(p.link)) {
        int master = (int)if_nametoindex(bridge);

        nl = master ? rtnl_link_enslave_ifindex(p.sk,
                          master, rtnl_link_get_ifindex(p.link)) :
             -NLE_NODEV;
        if (nl)
            r = xlc_error_set(err, -EIO, "%s can't join %s: %s", ifname,
                              bridge, nl_geterror(nl));
    }
    if (!r) {
        nl = set_up(&p, true);
        if (nl)
            r = xlc_error_set(err, -EIO, "%s can't be brought up: %s", ifname,
                              nl_geterror(nl));
    }
    port_close(&p);
    return r;
}
