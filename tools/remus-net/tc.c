/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tc.c - The few rtnetlink requests that the network buffer is made of
 *
 * Theory of operation
 * -------------------
 * Messages are put together here attribute by attribute instead of with
 * libnl-route's objects, which have no setter for two things that the buffer
 * depends on: the size table of a qdisc (TCA_STAB), and an exact deletion of
 * one filter. It also keeps the one request that runs while a guest is
 * suspended, BUFFER, a single message of about 100 octets.
 *
 * A dump that the kernel marks as interrupted (something changed meanwhile)
 * is reported as -EINTR: the callback has already seen a part, so starting
 * again is the caller's.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <linux/gen_stats.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "rtnl.h"

/* The kernel answers within the send; this is for an answer that got lost. */
#define ANSWER_TIMEOUT_S 5

#define PLUG_HANDLE   TC_H_MAKE(0x10000u, 0u) /* "1:" */
#define CLSACT_HANDLE TC_H_MAKE(TC_H_CLSACT, 0u)
#define INGRESS       TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define EGRESS        TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)

int tc_open(struct tc *tc, struct xlc_error *err)
{
    struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_S };
    int fd, r, on = 1;

    *tc = (struct tc){ 0 };
    tc->sk = nl_socket_alloc();
    if (!tc->sk)
        return xlc_error_set(err, -ENOMEM, "netlink: out of memory");
    r = nl_connect(tc->sk, NETLINK_ROUTE); /* sets SOCK_CLOEXEC */
    if (r < 0) {
        tc_close(tc);
        return xlc_error_set(err, -EIO, "can't open a netlink socket: %s",
                             nl_geterror(r));
    }
    fd = nl_socket_get_fd(tc->sk);
    /* Only better words and less copying: an old kernel may refuse. */
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return 0;
}

void tc_close(struct tc *tc)
{
    if (tc->sk) nl_socket_free(tc->sk);
    tc->sk = NULL;
}

const char *tc_why(struct tc *tc, int r)
{
    return tc->why[0] ? tc->why : strerror(-r);
}

static void request_start_tc(struct request *q, int type, int flags,
                             int ifindex, uint32_t parent, uint32_t handle,
                             uint32_t info)
{
    struct tcmsg t = {
        .tcm_family = AF_UNSPEC,
        .tcm_ifindex = ifindex,
        .tcm_parent = parent,
        .tcm_handle = handle,
        .tcm_info = info,
    };

    request_start(q, type, flags, &t, sizeof(t));
}

/* ---- Links ------------------------------------------------------------ */

static void request_start_link(struct request *q, int type, int flags,
                               int ifindex, unsigned int up)
{
    struct ifinfomsg i = {
        .ifi_family = AF_UNSPEC,
        .ifi_index = ifindex,
        .ifi_flags = up,
        .ifi_change = type == RTM_NEWLINK && ifindex ? IFF_UP : 0,
    };

    request_start(q, type, flags, &i, sizeof(i));
}

int tc_ifb_add(struct tc *tc, const char *name, uint32_t txqlen)
{
    struct request q;
    struct nlattr *nest;

    request_start_link(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, 0);
    request_text(&q, IFLA_IFNAME, name);
    /* Now, not later: changing it on a device that is up empties the plug
     * without resetting its counts. */
    request_put(&q, IFLA_TXQLEN, &txqlen, sizeof(txqlen));
    nest = request_nest(&q, IFLA_LINKINFO);
    request_text(&q, IFLA_INFO_KIND, "ifb");
    request_end(&q, nest);
    return request_talk(tc, &q, NULL, NULL);
}

int tc_link_set_up(struct tc *tc, int ifindex, bool up)
{
    struct request q;

    request_start_link(&q, RTM_NEWLINK, 0, ifindex, up ? IFF_UP : 0);
    return request_talk(tc, &q, NULL, NULL);
}

int tc_link_del(struct tc *tc, int ifindex)
{
    struct request q;

    request_start_link(&q, RTM_DELLINK, 0, ifindex, 0);
    return request_talk(tc, &q, NULL, NULL);
}

static int on_traffic(struct nlmsghdr *hdr, void *arg)
{
    struct tc_traffic *t = arg;
    struct nlattr *tb[IFLA_MAX + 1];
    struct rtnl_link_stats64 s = { 0 };

    if (hdr->nlmsg_type != RTM_NEWLINK) return 0;
    if (nlmsg_parse(hdr, sizeof(struct ifinfomsg), tb, IFLA_MAX, NULL) < 0)
        return -EPROTO;
    if (!tb[IFLA_STATS64]) return -ENODATA;
    nla_memcpy(&s, tb[IFLA_STATS64], sizeof(s));
    t->in = s.rx_packets - s.rx_dropped;
    t->out = s.tx_packets;
    return 0;
}

int tc_link_traffic(struct tc *tc, int ifindex, struct tc_traffic *t)
{
    struct request q;

    *t = (struct tc_traffic){ 0 };
    request_start_link(&q, RTM_GETLINK, 0, ifindex, 0);
    return request_talk(tc, &q, on_traffic, t);
}

/* ---- Qdiscs ----------------------------------------------------------- */

/*
 * A plug message. It always carries the size table: a change without one
 * takes the table away.
 */
static int plug_request(struct tc *tc, int ifindex, int flags, int action,
                        uint32_t limit)
{
    struct tc_plug_qopt o = { .action = action, .limit = limit };
    struct tc_sizespec s = { .overhead = (int)TC_PACKET_COST };
    struct request q;
    struct nlattr *nest;

    request_start_tc(&q, RTM_NEWQDISC, flags, ifindex, TC_H_ROOT,
                     PLUG_HANDLE, 0);
    request_text(&q, TCA_KIND, "plug");
    request_put(&q, TCA_OPTIONS, &o, sizeof(o));
    nest = request_nest(&q, TCA_STAB);
    request_put(&q, TCA_STAB_BASE, &s, sizeof(s));
    request_end(&q, nest);
    return request_talk(tc, &q, NULL, NULL);
}

int tc_plug_add(struct tc *tc, int ifindex, uint32_t limit)
{
    return plug_request(tc, ifindex, NLM_F_CREATE | NLM_F_EXCL,
                        TCQ_PLUG_LIMIT, limit);
}

int tc_plug_do(struct tc *tc, int ifindex, enum tc_plug what)
{
    static const int actions[] = {
        [TC_PLUG_BUFFER] = TCQ_PLUG_BUFFER,
        [TC_PLUG_RELEASE_ONE] = TCQ_PLUG_RELEASE_ONE,
        [TC_PLUG_OPEN] = TCQ_PLUG_RELEASE_INDEFINITE,
    };

    return plug_request(tc, ifindex, 0, actions[what], 0);
}

static int parse_queue(struct nlmsghdr *hdr, struct tc_queue *q)
{
    const struct tcmsg *t = nlmsg_data(hdr);
    struct nlattr *tb[TCA_MAX + 1], *st[TCA_STATS_MAX + 1];
    struct gnet_stats_queue s = { 0 };
    struct gnet_stats_basic b = { 0 };
    uint64_t cost;

    if (nlmsg_parse(hdr, sizeof(*t), tb, TCA_MAX, NULL) < 0) return -EPROTO;
    *q = (struct tc_queue){ .ifindex = t->tcm_ifindex };
    if (tb[TCA_KIND]) nla_strlcpy(q->kind, tb[TCA_KIND], sizeof(q->kind));
    if (tb[TCA_STATS2] &&
        nla_parse_nested(st, TCA_STATS_MAX, tb[TCA_STATS2], NULL) >= 0) {
        if (st[TCA_STATS_QUEUE])
            nla_memcpy(&s, st[TCA_STATS_QUEUE], sizeof(s));
        if (st[TCA_STATS_BASIC])
            nla_memcpy(&b, st[TCA_STATS_BASIC], sizeof(b));
    }
    q->sent = b.bytes;
    q->packets = s.qlen;
    q->drops = s.drops;
    /* Count and octets are not read together: never below zero. */
    cost = tb[TCA_STAB] ? (uint64_t)s.qlen * TC_PACKET_COST : 0;
    q->bytes = s.backlog > cost ? s.backlog - cost : 0;
    return 0;
}

static int on_queue_get(struct nlmsghdr *hdr, void *arg)
{
    return hdr->nlmsg_type == RTM_NEWQDISC ? parse_queue(hdr, arg) : 0;
}

int tc_queue_get(struct tc *tc, int ifindex, struct tc_queue *q)
{
    struct request rq;
    int r;

    *q = (struct tc_queue){ 0 };
    /* Without ECHO the kernel tells everybody who listens, but not us. */
    request_start_tc(&rq, RTM_GETQDISC, NLM_F_ECHO, ifindex, TC_H_ROOT,
                     PLUG_HANDLE, 0);
    r = request_talk(tc, &rq, on_queue_get, q);
    return !r && !q->ifindex ? -ENODATA : r;
}

static int clsact_request(struct tc *tc, int type, int flags, int ifindex)
{
    struct request q;

    request_start_tc(&q, type, flags, ifindex, TC_H_CLSACT, CLSACT_HANDLE,
                     0);
    request_text(&q, TCA_KIND, "clsact"); /* on delete: only if it is one */
    return request_talk(tc, &q, NULL, NULL);
}

int tc_clsact_add(struct tc *tc, int ifindex)
{
    return clsact_request(tc, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
                          ifindex);
}

int tc_clsact_del(struct tc *tc, int ifindex)
{
    return clsact_request(tc, RTM_DELQDISC, 0, ifindex);
}

/* ---- Filters ---------------------------------------------------------- */

static void request_start_filter(struct request *q, int type, int flags,
                                 int ifindex, uint16_t prio, uint32_t handle)
{
    request_start_tc(q, type, flags, ifindex, INGRESS, handle,
                     TC_H_MAKE((uint32_t)prio << 16, htons(ETH_P_ALL)));
    request_text(q, TCA_KIND, "matchall");
}

static void request_act(struct request *q, int place, const char *kind,
                        int type, const void *parms, size_t len)
{
    struct nlattr *act = request_nest(q, place), *opts;

    request_text(q, TCA_ACT_KIND, kind);
    opts = request_nest(q, TCA_ACT_OPTIONS);
    request_put(q, type, parms, len);
    request_end(q, opts);
    request_end(q, act);
}

int tc_hold_add(struct tc *tc, int ifindex, uint32_t handle, int ifb)
{
    /* PIPE makes the kernel clone (netbuf.c says why that matters); the
     * original then ends, without counting as dropped. Should mirred fail
     * the packet is shot: it never passes. */
    struct tc_mirred copy = {
        .action = TC_ACT_PIPE,
        .eaction = TCA_EGRESS_REDIR,
        .ifindex = (uint32_t)ifb,
    };
    struct tc_gact end = { .action = TC_ACT_STOLEN };
    struct nlattr *opts, *acts;
    struct request q;

    request_start_filter(&q, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
                         ifindex, TC_PRIO_HOLD, handle);
    opts = request_nest(&q, TCA_OPTIONS);
    acts = request_nest(&q, TCA_MATCHALL_ACT);
    request_act(&q, 1, "mirred", TCA_MIRRED_PARMS, &copy, sizeof(copy));
    request_act(&q, 2, "gact", TCA_GACT_PARMS, &end, sizeof(end));
    request_end(&q, acts);
    request_end(&q, opts);
    return request_talk(tc, &q, NULL, NULL);
}

int tc_drop_add(struct tc *tc, int ifindex, uint32_t handle)
{
    struct tc_gact drop = { .action = TC_ACT_SHOT };
    struct nlattr *opts, *acts;
    struct request q;

    request_start_filter(&q, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
                         ifindex, TC_PRIO_DROP, handle);
    opts = request_nest(&q, TCA_OPTIONS);
    acts = request_nest(&q, TCA_MATCHALL_ACT);
    request_act(&q, 1, "gact", TCA_GACT_PARMS, &drop, sizeof(drop));
    request_end(&q, acts);
    request_end(&q, opts);
    return request_talk(tc, &q, NULL, NULL);
}

int tc_filter_del(struct tc *tc, int ifindex, uint16_t prio, uint32_t handle)
{
    struct request q;

    request_start_filter(&q, RTM_DELTFILTER, 0, ifindex, prio, handle);
    return request_talk(tc, &q, NULL, NULL);
}

/* ---- Dumps ------------------------------------------------------------ */

/* What a dump's answers are handed to. */
struct each {
    tc_link_fn *link;
    tc_queue_fn *queue;
    tc_filter_fn *filter;
    void *arg;
};

static int on_link(struct nlmsghdr *hdr, void *arg)
{
    const struct each *e = arg;
    const struct ifinfomsg *i = nlmsg_data(hdr);
    struct nlattr *tb[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
    struct tc_link l = { 0 };

    if (hdr->nlmsg_type != RTM_NEWLINK) return 0;
    if (nlmsg_parse(hdr, sizeof(*i), tb, IFLA_MAX, NULL) < 0 ||
        !tb[IFLA_IFNAME])
        return -EPROTO;
    l.ifindex = i->ifi_index;
    l.up = i->ifi_flags & IFF_UP;
    nla_strlcpy(l.name, tb[IFLA_IFNAME], sizeof(l.name));
    if (tb[IFLA_LINKINFO] &&
        nla_parse_nested(info, IFLA_INFO_MAX, tb[IFLA_LINKINFO], NULL) >= 0 &&
        info[IFLA_INFO_KIND])
        l.ifb = nla_strcmp(info[IFLA_INFO_KIND], "ifb") == 0;
    return e->link(&l, e->arg);
}

int tc_each_link(struct tc *tc, tc_link_fn *fn, void *arg)
{
    struct each e = { .link = fn, .arg = arg };
    struct request q;

    request_start_link(&q, RTM_GETLINK, NLM_F_DUMP, 0, 0);
    return request_talk(tc, &q, on_link, &e);
}

static int on_queue(struct nlmsghdr *hdr, void *arg)
{
    const struct each *e = arg;
    struct tc_queue q;
    int r;

    if (hdr->nlmsg_type != RTM_NEWQDISC) return 0;
    r = parse_queue(hdr, &q);
    return r < 0 ? r : e->queue(&q, e->arg);
}

int tc_each_queue(struct tc *tc, tc_queue_fn *fn, void *arg)
{
    struct each e = { .queue = fn, .arg = arg };
    struct request q;

    request_start_tc(&q, RTM_GETQDISC, NLM_F_DUMP, 0, 0, 0, 0);
    return request_talk(tc, &q, on_queue, &e);
}

/* The interface that a mirred among @acts names first; 0 if there is none. */
static int find_target(struct nlattr *acts)
{
    struct nlattr *act, *tb[TCA_ACT_MAX + 1], *mi[TCA_MIRRED_MAX + 1];
    struct tc_mirred m = { 0 };
    int left;

    nla_for_each_nested(act, acts, left) {
        if (nla_parse_nested(tb, TCA_ACT_MAX, act, NULL) < 0 ||
            !tb[TCA_ACT_KIND] || !tb[TCA_ACT_OPTIONS] ||
            nla_strcmp(tb[TCA_ACT_KIND], "mirred") ||
            nla_parse_nested(mi, TCA_MIRRED_MAX, tb[TCA_ACT_OPTIONS],
                             NULL) < 0 ||
            !mi[TCA_MIRRED_PARMS])
            continue;
        nla_memcpy(&m, mi[TCA_MIRRED_PARMS], sizeof(m));
        return (int)m.ifindex;
    }
    return 0;
}

static int on_filter(struct nlmsghdr *hdr, void *arg)
{
    const struct each *e = arg;
    const struct tcmsg *t = nlmsg_data(hdr);
    struct nlattr *tb[TCA_MAX + 1], *mall[TCA_MATCHALL_MAX + 1];
    struct tc_filter f = { 0 };

    if (hdr->nlmsg_type != RTM_NEWTFILTER) return 0;
    if (nlmsg_parse(hdr, sizeof(*t), tb, TCA_MAX, NULL) < 0) return -EPROTO;
    f.handle = t->tcm_handle;
    f.prio = (uint16_t)(TC_H_MAJ(t->tcm_info) >> 16);
    f.matchall = tb[TCA_KIND] && nla_strcmp(tb[TCA_KIND], "matchall") == 0;
    if (f.matchall && tb[TCA_OPTIONS] &&
        nla_parse_nested(mall, TCA_MATCHALL_MAX, tb[TCA_OPTIONS],
                         NULL) >= 0 &&
        mall[TCA_MATCHALL_ACT])
        f.target = find_target(mall[TCA_MATCHALL_ACT]);
    return e->filter(&f, e->arg);
}

int tc_each_filter(struct tc *tc, int ifindex, bool egress, tc_filter_fn *fn,
                   void *arg)
{
    struct each e = { .filter = fn, .arg = arg };
    struct request q;

    request_start_tc(&q, RTM_GETTFILTER, NLM_F_DUMP, ifindex,
                     egress ? EGRESS : INGRESS, 0, 0);
    return request_talk(tc, &q, on_filter, &e);
}
