/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plane-clear.c - Give back every vif of a domain whose process died */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <net/if.h>

#include "plane.h"

/**
 * struct look - the filters of an interface
 * @want: the one that a plane adds last to what a vif receives
 * @found: it is there
 */
struct look {
    struct plane_filter want;
    bool found;
};

static int on_filter(const struct tc_filter *filter, void *arg)
{
    struct look *l = arg;

    l->found |= filter->matchall && filter->prio == l->want.prio &&
                filter->handle == l->want.handle;
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
    r = tc_each_filter(tc, ifindex, l.want.egress, on_filter, &l);
    return r ? r : l.found;
}

/* "vif3.0" is domain 3's; its TAPs have other names. */
static bool is_vif(const char *name, uint32_t *domid_r)
{
    char *end;
    unsigned long n;

    if (strncmp(name, "vif", 3) || name[3] < '0' || name[3] > '9')
        return false;
    n = strtoul(name + 3, &end, 10);
    *domid_r = (uint32_t)n;
    return *end == '.' && n <= UINT16_MAX;
}

/* Clear those of @domid, or of any domain. Return: how many had a plane */
static int clear(uint32_t domid, bool any, struct xlc_error *err)
{
    struct if_nameindex *all = if_nameindex();
    struct tc tc = { 0 };
    int r, one, n = 0;

    if (!all)
        return xlc_error_set(err, -errno, "can't list the interfaces: %s",
                             strerror(errno));
    r = tc_open(&tc, err);
    for (struct if_nameindex *i = r ? NULL : all; i && i->if_index; i++) {
        uint32_t whose;

        if (!is_vif(i->if_name, &whose) || (!any && whose != domid)) continue;
        one = plane_left(&tc, i->if_name);
        if (one < 0)
            xlc_error_set(err, one, "%s: can't list its filters: %s",
                          i->if_name, tc_why(&tc, one));
        if (one > 0) {
            one = plane_clear(&tc, i->if_name, err);
            n += !one;
        }
        if (one < 0 && !r) r = one;
    }
    tc_close(&tc);
    if_freenameindex(all);
    return r ? r : n;
}

int plane_clear_domain(uint32_t domid, struct xlc_error *err)
{
    return clear(domid, false, err);
}

int plane_clear_all(struct xlc_error *err)
{
    return clear(0, true, err);
}
