/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plane-clear.c - Give back every vif of a domain whose process died */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <net/if.h>

#include "plane.h"
#include "plane-name.h"

/**
 * struct look - the filters of an interface
 * @want: the one that a plane adds last to what a vif receives
 * @hush: or the one that closes it while it changes hands
 * @found: one of them is there
 */
struct look {
    struct plane_filter want, hush;
    bool found;
};

static bool is(const struct tc_filter *filter, const struct plane_filter *f)
{
    return filter->matchall && filter->prio == f->prio &&
           filter->handle == f->handle;
}

static int on_filter(const struct tc_filter *filter, void *arg)
{
    struct look *l = arg;

    l->found |= is(filter, &l->want) || is(filter, &l->hush);
    return 0;
}

int plane_left(struct tc *tc, const char *vif)
{
    struct plane_filter f[PLANE_FILTERS];
    int ifindex = (int)if_nametoindex(vif), r;
    struct look l = { .found = false };

    if (!ifindex) return 0;
    plane_filters(f, ifindex, 0, 0);
    l.want = f[PLANE_FILTERS - 2];
    l.hush = plane_hush(ifindex, l.want.egress);
    r = tc_each_filter(tc, ifindex, l.want.egress, on_filter, &l);
    return r ? r : l.found;
}

/**
 * struct walk - all vifs that have a plane
 * @each: called for each; Return: 0 or a negative errno
 * @n: how many there were that did not fail; @list, @room: for plane_scan()
 * @domid: only of this domain, unless @all
 */
struct walk {
    int (*each)(struct walk *w, const char *vif,
                const struct netbuf_port *port, struct xlc_error *err);
    struct tc tc;
    struct plane_seen *list;
    unsigned int room, n;
    uint32_t domid;
    bool all;
};

static int walk_one(struct walk *w, const char *vif, struct xlc_error *err)
{
    struct netbuf_port port;
    int r;

    if (plane_port(vif, &port) || (!w->all && port.domid != w->domid))
        return 0;
    r = plane_left(&w->tc, vif);
    if (r < 0)
        return xlc_error_set(err, r, "%s: can't list its filters: %s", vif,
                             tc_why(&w->tc, r));
    if (!r) return 0;
    r = w->each(w, vif, &port, err);
    if (!r) w->n++;
    return r;
}

/* One that fails does not keep the others from it. Return: the first error */
static int walk(struct walk *w, struct xlc_error *err)
{
    struct if_nameindex *all = if_nameindex();
    int r;

    if (!all)
        return xlc_error_set(err, -errno, "can't list the interfaces: %s",
                             strerror(errno));
    r = tc_open(&w->tc, err);
    for (struct if_nameindex *i = r ? NULL : all; i && i->if_index; i++) {
        int one = walk_one(w, i->if_name, err);

        if (one < 0 && !r) r = one;
    }
    tc_close(&w->tc);
    if_freenameindex(all);
    return r;
}

static int clear_one(struct walk *w, const char *vif,
                     const struct netbuf_port *port, struct xlc_error *err)
{
    (void)port;
    return plane_clear(&w->tc, vif, err);
}

int plane_clear_domain(uint32_t domid, struct xlc_error *err)
{
    struct walk w = { .each = clear_one, .domid = domid };
    int r = walk(&w, err);

    return r ? r : (int)w.n;
}

int plane_clear_all(struct xlc_error *err)
{
    struct walk w = { .each = clear_one, .all = true };
    int r = walk(&w, err);

    return r ? r : (int)w.n;
}

static int note_one(struct walk *w, const char *vif,
                    const struct netbuf_port *port, struct xlc_error *err)
{
    char tap[IFNAMSIZ];

    (void)err;
    if (w->n >= w->room) return 0; /* counted all the same */
    w->list[w->n] = (struct plane_seen){ .port = *port };
    snprintf(w->list[w->n].vif, IFNAMSIZ, "%s", vif);
    /* It goes when the process does that reads it. */
    w->list[w->n].served = !plane_name(tap, vif, false) &&
                           if_nametoindex(tap);
    return 0;
}

int plane_scan(struct plane_seen *list, unsigned int room,
               struct xlc_error *err)
{
    struct walk w = { .each = note_one, .list = list, .room = room,
                      .all = true };
    int r = walk(&w, err);

    return r ? r : (int)w.n;
}
