/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plane.c - Take a vif's packets through two TAPs, and give the vif back
 *
 * Theory of operation
 * -------------------
 * What the guest sends is received by the vif (its ingress):
 *
 *   vif ingress    3: marked OUT: pass, to the bridge
 *                  4: all: redirect to the TAP xo, where the program reads it
 *   xo ingress     4: all: set mark OUT, redirect to the ingress of the vif
 *
 * so that a packet the program lets go enters the bridge on the vif's own
 * port, and no address moves there. What goes to the guest is sent by the
 * vif (its egress), and is the mirror image with the TAP xi and mark IN.
 *
 * A filter of the kind matchall cannot be replaced, so nothing here ever
 * replaces one: the filters that take effect by themselves (the two that
 * move) are added last and removed first, each by one request. Before and
 * after it every packet has exactly one way to go.
 *
 * A redirect to a TAP copies what netback still borrows from the guest, so
 * a packet that is held does not hold a page of it. Should the process die,
 * its TAPs vanish; the filters stay and then drop, which is what a guard
 * wants until it knows who may run. A process that takes the vif over first
 * puts a filter in front of them that drops, and removes it when everything
 * behind it leads to TAPs of its own.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "plane-name.h"
#include "plane.h"

/* matchall's own number; any, but not one that the kernel would choose. */
#define HANDLE_MOVE 0xf86c00c0u
/* Not one of the network buffer: those have the highest bit set. */
#define HANDLE_HUSH 0x786c00c2u

/* The filters that plane_inline() adds are the last. */
#define FIRST_MOVE (PLANE_FILTERS - 2u)

void plane_filters(struct plane_filter *f, int vif, int out, int in)
{
    const struct plane_filter all[PLANE_FILTERS] = {
        { .dev = out, .prio = PLANE_PRIO_MOVE, .match = PLANE_ALL,
          .handle = HANDLE_MOVE, .mark = PLANE_MARK_OUT, .target = vif,
          .into = true },
        { .dev = in, .prio = PLANE_PRIO_MOVE, .match = PLANE_ALL,
          .handle = HANDLE_MOVE, .mark = PLANE_MARK_IN, .target = vif },
        { .dev = vif, .prio = PLANE_PRIO_PASS, .match = PLANE_MARK,
          .handle = PLANE_MARK_OUT },
        { .dev = vif, .egress = true, .prio = PLANE_PRIO_PASS,
          .match = PLANE_MARK, .handle = PLANE_MARK_IN },
        { .dev = vif, .prio = PLANE_PRIO_MOVE, .match = PLANE_ALL,
          .handle = HANDLE_MOVE, .target = out },
        { .dev = vif, .egress = true, .prio = PLANE_PRIO_MOVE,
          .match = PLANE_ALL, .handle = HANDLE_MOVE, .target = in },
    };

    memcpy(f, all, sizeof(all));
}

struct plane_filter plane_hush(int vif, bool egress)
{
    return (struct plane_filter){
        .dev = vif, .egress = egress, .prio = PLANE_PRIO_HUSH,
        .match = PLANE_ALL, .handle = HANDLE_HUSH, .drop = true,
    };
}

static int add_filter(struct plane *p, unsigned int which,
                      struct xlc_error *err)
{
    struct plane_filter f[PLANE_FILTERS];
    int r;

    plane_filters(f, p->ifindex, p->out.ifindex, p->in.ifindex);
    r = plane_tc_add(p->tc, &f[which]);
    if (!r) p->added = which + 1;
    if (r)
        return xlc_error_set(err, r, "%s: can't add the %s filter of "
                             "priority %u for the packet plane: %s",
                             f[which].dev == p->ifindex ? p->vif :
                             f[which].dev == p->out.ifindex ? p->out.name :
                                                              p->in.name,
                             f[which].egress ? "egress" : "ingress",
                             f[which].prio, tc_why(p->tc, r));
    return 0;
}

/* The vif, or one of its filters, may be gone already. */
static int del_filter(struct tc *tc, const char *vif,
                      const struct plane_filter *f, struct xlc_error *err)
{
    int r = plane_tc_del(tc, f);

    /* EINVAL: there is no clsact (any more), or another kind of filter. */
    if (!r || r == -ENOENT || r == -ENODEV || r == -EINVAL) return 0;
    return xlc_error_set(err, r, "%s: can't remove the %s filter of priority "
                         "%u: %s", vif, f->egress ? "egress" : "ingress",
                         f->prio, tc_why(tc, r));
}

struct prios {
    uint16_t first;
    unsigned int n;
};

static int on_filter(const struct tc_filter *filter, void *arg)
{
    struct prios *s = arg;

    s->n++;
    if (!s->first || filter->prio < s->first) s->first = filter->prio;
    return 0;
}

/* Filters in front of ours could let packets pass, or take them away. */
static int check_others(struct plane *p, bool egress, struct xlc_error *err)
{
    const char *side = egress ? "egress" : "ingress";
    struct prios s = { 0 };
    int r = tc_each_filter(p->tc, p->ifindex, egress, on_filter, &s);

    if (r)
        return xlc_error_set(err, r, "%s: can't list its %s filters: %s",
                             p->vif, side, tc_why(p->tc, r));
    if (s.first && s.first <= PLANE_PRIO_MOVE)
        return xlc_error_set(err, -EBUSY, "%s has an %s filter at priority "
                             "%u, which could let packets pass the proxy; "
                             "remove it, or move it behind priority %u",
                             p->vif, side, s.first, PLANE_PRIO_MOVE);
    if (s.first)
        log_warn("%s has %s filters: they are not applied while the domain "
                 "is protected", p->vif, side);
    return 0;
}

static int setup_tap(struct plane *p, struct tapdev *t, bool inbound,
                     struct xlc_error *err)
{
    char name[IFNAMSIZ];
    const char *what = "make room for waiting packets";
    int r = plane_name(name, p->vif, inbound);

    if (r)
        return xlc_error_set(err, r, "%s is not the name of a vif", p->vif);
    r = tapdev_open(t, name, err);
    if (r) return r;
    r = plane_tc_txqlen(p->tc, t->ifindex, TAPDEV_QUEUE);
    if (!r) {
        what = "add a clsact";
        r = tc_clsact_add(p->tc, t->ifindex);
    }
    if (!r) {
        what = "take it up";
        r = tc_link_set_up(p->tc, t->ifindex, true);
    }
    if (r)
        xlc_error_set(err, r, "%s: can't %s: %s", name, what,
                      tc_why(p->tc, r));
    return r;
}

static int on_queue(const struct tc_queue *queue, void *arg)
{
    int *ifindex = arg;

    if (queue->ifindex == *ifindex && !strcmp(queue->kind, "ingress"))
        *ifindex = 0;
    return 0;
}

/* On an ingress qdisc egress filters would become ingress filters, without a
 * word of the kernel. */
static int check_clsact(struct plane *p, struct xlc_error *err)
{
    int ifindex = p->ifindex, r = tc_each_queue(p->tc, on_queue, &ifindex);

    if (r)
        return xlc_error_set(err, r, "%s: can't list its qdiscs: %s", p->vif,
                             tc_why(p->tc, r));
    if (!ifindex)
        return xlc_error_set(err, -EBUSY, "%s has an ingress qdisc, which "
                             "has no egress side; replace it by a clsact",
                             p->vif);
    return 0;
}

static int setup_vif(struct plane *p, struct xlc_error *err)
{
    int r = tc_clsact_add(p->tc, p->ifindex);

    if (!r) p->clsact_ours = true;
    else if (r != -EEXIST)
        return xlc_error_set(err, r, "%s: can't add a clsact: %s", p->vif,
                             tc_why(p->tc, r));
    r = check_clsact(p, err);
    if (r) return r;
    r = check_others(p, false, err);
    return r ? r : check_others(p, true, err);
}

/* Nothing of it is there yet, but the vif. */
static int begin(struct plane *p, struct tc *tc, const char *vif,
                 struct xlc_error *err)
{
    *p = (struct plane)PLANE_INIT;
    p->tc = tc;
    snprintf(p->vif, sizeof(p->vif), "%s", vif);
    p->ifindex = (int)if_nametoindex(p->vif);
    return p->ifindex ? 0 : xlc_error_set(err, -ENODEV, "there is no "
                                          "interface %s", p->vif);
}

int plane_setup(struct plane *p, struct tc *tc, const char *vif,
                struct xlc_error *err)
{
    int r = begin(p, tc, vif, err);

    if (r) return r;
    r = setup_tap(p, &p->out, false, err);
    if (!r) r = setup_tap(p, &p->in, true, err);
    if (!r) r = setup_vif(p, err);
    for (unsigned int i = 0; !r && i < FIRST_MOVE; i++)
        r = add_filter(p, i, err);
    if (r) plane_teardown(p, err);
    return r;
}

/* A vif that is closed is closed in front of the filters that change now. The
 * clsact may be gone if the other process died while it gave the vif back. */
static int close_vif(struct plane *p, struct xlc_error *err)
{
    int r = tc_clsact_add(p->tc, p->ifindex);

    if (r && r != -EEXIST)
        return xlc_error_set(err, r, "%s: can't add a clsact: %s", p->vif,
                             tc_why(p->tc, r));
    for (int egress = 0; egress < 2; egress++) {
        struct plane_filter f = plane_hush(p->ifindex, egress);

        r = plane_tc_add(p->tc, &f);
        if (r && r != -EEXIST)
            return xlc_error_set(err, r, "%s: can't close it while its "
                                 "packet plane changes hands: %s", p->vif,
                                 tc_why(p->tc, r));
    }
    return 0;
}

static int open_vif(struct tc *tc, const char *vif, int ifindex,
                    struct xlc_error *err)
{
    int r = 0, one;

    for (int egress = 0; egress < 2; egress++) {
        struct plane_filter f = plane_hush(ifindex, egress);

        one = del_filter(tc, vif, &f, err);
        if (!r) r = one;
    }
    return r;
}

/* Filters of the other process, which name TAPs that are no more, and ours. */
static int replace_filters(struct plane *p, struct xlc_error *err)
{
    struct plane_filter f[PLANE_FILTERS];
    int r = 0;

    plane_filters(f, p->ifindex, p->out.ifindex, p->in.ifindex);
    for (unsigned int i = PLANE_FILTERS; i-- > 0 && !r;)
        if (f[i].dev == p->ifindex) r = del_filter(p->tc, p->vif, &f[i], err);
    for (unsigned int i = 0; i < PLANE_FILTERS && !r; i++)
        r = add_filter(p, i, err);
    return r;
}

int plane_adopt(struct plane *p, struct tc *tc, const char *vif,
                struct xlc_error *err)
{
    int r = begin(p, tc, vif, err);

    if (r) return r;
    /* Whoever had it made it, as far as we know. */
    p->clsact_ours = true;
    r = close_vif(p, err);
    if (!r) r = setup_tap(p, &p->out, false, err);
    if (!r) r = setup_tap(p, &p->in, true, err);
    if (!r) r = replace_filters(p, err);
    if (!r) r = open_vif(tc, p->vif, p->ifindex, err);
    if (!r) return 0;
    tapdev_close(&p->in);
    tapdev_close(&p->out);
    p->ifindex = 0;
    p->added = 0;
    return r;
}

/* Remove filters until only the first @keep are there, the newest first. */
static int del_filters(struct plane *p, unsigned int keep,
                       struct xlc_error *err)
{
    struct plane_filter f[PLANE_FILTERS];
    int r = 0, one;

    plane_filters(f, p->ifindex, p->out.ifindex, p->in.ifindex);
    for (unsigned int i = p->added; i-- > keep;) {
        one = del_filter(p->tc, p->vif, &f[i], err);
        if (!r) r = one;
    }
    if (!r && p->added > keep) p->added = keep;
    return r;
}

int plane_inline(struct plane *p, struct xlc_error *err)
{
    int r = 0;

    while (!r && p->added < PLANE_FILTERS)
        r = add_filter(p, p->added, err);
    if (r) del_filters(p, FIRST_MOVE, err);
    return r;
}

int plane_direct(struct plane *p, struct xlc_error *err)
{
    return del_filters(p, FIRST_MOVE, err);
}

int plane_settle(struct plane *p, uint32_t quiet_us, uint32_t limit_us,
                 struct xlc_error *err)
{
    uint64_t now = clock_us(), end = now + limit_us, since = now;
    struct tc_traffic last, t;
    int r = tc_link_traffic(p->tc, p->ifindex, &last);

    while (!r && now - since < quiet_us) {
        if (now >= end)
            return xlc_error_set(err, -ETIMEDOUT, "%s: packets kept coming "
                                 "from the suspended guest for %u us",
                                 p->vif, (unsigned int)limit_us);
        usleep(quiet_us / 4 + 1);
        r = tc_link_traffic(p->tc, p->ifindex, &t);
        now = clock_us();
        if (!r && t.in != last.in) {
            last = t;
            since = now;
        }
    }
    if (r)
        return xlc_error_set(err, r, "%s: can't read its counters: %s",
                             p->vif, tc_why(p->tc, r));
    return 0;
}

/* The clsact goes if nobody uses it, and it is not known to be another's. */
static int del_clsact(struct tc *tc, const char *vif, int ifindex,
                      struct xlc_error *err)
{
    struct prios s = { 0 };
    int r = tc_each_filter(tc, ifindex, false, on_filter, &s);

    if (!r) r = tc_each_filter(tc, ifindex, true, on_filter, &s);
    if (!r && !s.n) r = tc_clsact_del(tc, ifindex);
    if (!r || r == -ENOENT || r == -ENODEV || r == -EINVAL) return 0;
    return xlc_error_set(err, r, "%s: can't remove its clsact: %s", vif,
                         tc_why(tc, r));
}

/* Did the interface go (a guest that ended), or become another one? */
static bool vif_there(const struct plane *p)
{
    return p->ifindex && (int)if_nametoindex(p->vif) == p->ifindex;
}

int plane_teardown(struct plane *p, struct xlc_error *err)
{
    int r = 0, one;

    if (vif_there(p)) {
        r = del_filters(p, 0, err);
        one = p->clsact_ours ? del_clsact(p->tc, p->vif, p->ifindex, err) : 0;
        if (!r) r = one;
    }
    /* Their filters go with them. */
    tapdev_close(&p->in);
    tapdev_close(&p->out);
    p->ifindex = 0;
    p->added = 0;
    p->clsact_ours = false;
    return r;
}

int plane_clear(struct tc *tc, const char *vif, struct xlc_error *err)
{
    struct plane_filter f[PLANE_FILTERS];
    char name[IFNAMSIZ];
    int ifindex = (int)if_nametoindex(vif), r = 0, one;

    for (int inbound = 0; inbound < 2; inbound++) {
        if (plane_name(name, vif, inbound))
            return xlc_error_set(err, -EINVAL, "%s is not the name of a vif",
                                 vif);
        if (if_nametoindex(name))
            return xlc_error_set(err, -EBUSY, "%s exists: another process "
                                 "takes care of %s", name, vif);
    }
    if (!ifindex) return 0;
    plane_filters(f, ifindex, 0, 0);
    for (unsigned int i = PLANE_FILTERS; i-- > 0;) {
        if (f[i].dev != ifindex) continue;
        one = del_filter(tc, vif, &f[i], err);
        if (!r) r = one;
    }
    one = open_vif(tc, vif, ifindex, err);
    if (!r) r = one;
    one = del_clsact(tc, vif, ifindex, err);
    return r ? r : one;
}
