/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plane-tc.c - The filters that the packet plane is made of, as netlink */
#include <config.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/tc_act/tc_skbedit.h>

#include "plane-tc.h"
#include "rtnl.h"

static void start(struct request *q, int type, int flags,
                  const struct plane_filter *f)
{
    struct tcmsg t = {
        .tcm_family = AF_UNSPEC,
        .tcm_ifindex = f->dev,
        .tcm_parent = TC_H_MAKE(TC_H_CLSACT, f->egress ? TC_H_MIN_EGRESS
                                                       : TC_H_MIN_INGRESS),
        .tcm_handle = f->handle,
        .tcm_info = TC_H_MAKE((uint32_t)f->prio << 16, htons(ETH_P_ALL)),
    };

    request_start(q, type, flags, &t, sizeof(t));
    request_text(q, TCA_KIND, f->match == PLANE_MARK ? "fw" : "matchall");
}

/* An action: its kind, and one attribute that all kinds call PARMS. */
static struct nlattr *act_start(struct request *q, int place,
                                const char *kind, struct nlattr **opts_r)
{
    struct nlattr *act = request_nest(q, place);

    request_text(q, TCA_ACT_KIND, kind);
    *opts_r = request_nest(q, TCA_ACT_OPTIONS);
    return act;
}

static void act_end(struct request *q, struct nlattr *act,
                    struct nlattr *opts)
{
    request_end(q, opts);
    request_end(q, act);
}

static void put_mark(struct request *q, int place, uint32_t mark)
{
    struct tc_skbedit e = { .action = TC_ACT_PIPE };
    struct nlattr *act, *opts;

    act = act_start(q, place, "skbedit", &opts);
    request_put(q, TCA_SKBEDIT_PARMS, &e, sizeof(e));
    request_put(q, TCA_SKBEDIT_MARK, &mark, sizeof(mark));
    act_end(q, act, opts);
}

static void put_move(struct request *q, int place, int target, bool into)
{
    struct tc_mirred m = {
        .action = TC_ACT_STOLEN,
        .eaction = into ? TCA_INGRESS_REDIR : TCA_EGRESS_REDIR,
        .ifindex = (uint32_t)target,
    };
    struct nlattr *act, *opts;

    act = act_start(q, place, "mirred", &opts);
    request_put(q, TCA_MIRRED_PARMS, &m, sizeof(m));
    act_end(q, act, opts);
}

static void put_gact(struct request *q, int place, int action)
{
    struct tc_gact g = { .action = action };
    struct nlattr *act, *opts;

    act = act_start(q, place, "gact", &opts);
    request_put(q, TCA_GACT_PARMS, &g, sizeof(g));
    act_end(q, act, opts);
}

int plane_tc_add(struct tc *tc, const struct plane_filter *f)
{
    struct request q;
    struct nlattr *opts, *acts;
    int place = 1;

    start(&q, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, f);
    opts = request_nest(&q, TCA_OPTIONS);
    acts = request_nest(&q, f->match == PLANE_MARK ? TCA_FW_ACT
                                                   : TCA_MATCHALL_ACT);
    if (f->mark) put_mark(&q, place++, f->mark);
    if (f->target) put_move(&q, place, f->target, f->into);
    else put_gact(&q, place, f->drop ? TC_ACT_SHOT : TC_ACT_OK);
    request_end(&q, acts);
    request_end(&q, opts);
    return request_talk(tc, &q, NULL, NULL);
}

int plane_tc_del(struct tc *tc, const struct plane_filter *f)
{
    struct request q;

    start(&q, RTM_DELTFILTER, 0, f);
    return request_talk(tc, &q, NULL, NULL);
}

int plane_tc_txqlen(struct tc *tc, int ifindex, uint32_t packets)
{
    struct ifinfomsg i = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
    struct request q;

    request_start(&q, RTM_NEWLINK, 0, &i, sizeof(i));
    request_put(&q, IFLA_TXQLEN, &packets, sizeof(packets));
    return request_talk(tc, &q, NULL, NULL);
}
