/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf-setup.c - Put one interface under protection
 *
 * The filter on the vif comes last: until then nothing has changed for the
 * guest. From then on its packets go through the plug, which is open.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "netbuf-setup.h"

/* What the ifb may have on its way out before its queue waits; in packets. */
#define IFB_TXQLEN 1000

/* Filters that others have on a vif. */
struct others {
    uint16_t first_prio;
};

/*
 * An interface that comes up announces itself by IPv6; that would be counted
 * as the guest's. Without IPv6 in the kernel there is nothing to switch off.
 */
static void disable_ipv6(const char *ifname)
{
    char path[64 + IFNAMSIZ];
    CLEANUP_FD int fd = -1;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
             ifname);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) != 1)
        log_debug("can't write %s: %s", path, strerror(errno));
}

static int make_ifb(struct tc *tc, struct port *p, uint32_t limit,
                    struct xlc_error *err)
{
    const char *what = "make it";
    int r = tc_ifb_add(tc, p->ifb, IFB_TXQLEN);

    if (r) goto out;
    p->ifb_index = (int)if_nametoindex(p->ifb);
    if (!p->ifb_index) {
        r = -errno;
        goto out;
    }
    disable_ipv6(p->ifb);
    what = "give it a plug queue";
    r = tc_plug_add(tc, p->ifb_index, limit);
    if (r) goto out;
    what = "open its queue"; /* a new plug is closed */
    r = tc_plug_do(tc, p->ifb_index, TC_PLUG_OPEN);
    if (r) goto out;
    p->state = PLUG_OPEN;
    what = "take it up";
    r = tc_link_set_up(tc, p->ifb_index, true);
out:
    if (r)
        xlc_error_set(err, r, "%s: can't %s: %s", p->ifb, what,
                      tc_why(tc, r));
    return r;
}

static int on_others_filter(const struct tc_filter *filter, void *arg)
{
    struct others *o = arg;

    if (!o->first_prio || filter->prio < o->first_prio)
        o->first_prio = filter->prio;
    return 0;
}

/*
 * A filter in front of ours could let packets pass that must be held, so
 * there may be none. One behind ours does not see anything any more: what
 * comes back from an ifb skips the filters.
 */
static int check_others(struct tc *tc, struct port *p, struct xlc_error *err)
{
    struct others o = { 0 };
    int r = tc_each_filter(tc, p->vif_index, false, on_others_filter, &o);

    if (r)
        return xlc_error_set(err, r, "%s: can't list its filters: %s",
                             p->vif, tc_why(tc, r));
    if (o.first_prio && o.first_prio <= TC_PRIO_HOLD)
        return xlc_error_set(err, -EBUSY, "%s has an ingress filter at "
                             "priority %u, which could let packets pass the "
                             "buffer; move it behind priority %u", p->vif,
                             o.first_prio, TC_PRIO_HOLD);
    if (o.first_prio)
        log_warn("%s has ingress filters: they are not applied while the "
                 "domain is protected", p->vif);
    return 0;
}

/* The way from the vif into the ifb. */
static int join(struct tc *tc, struct port *p, struct xlc_error *err)
{
    int r = tc_clsact_add(tc, p->vif_index);

    if (!r) p->clsact = CLSACT_OURS;
    else if (r != -EEXIST)
        return xlc_error_set(err, r, "%s: can't add a clsact: %s", p->vif,
                             tc_why(tc, r));
    r = check_others(tc, p, err);
    if (r) return r;
    r = tc_hold_add(tc, p->vif_index, netbuf_handle(&p->id), p->ifb_index);
    if (r)
        return xlc_error_set(err, r, "%s: can't send its packets to %s: %s",
                             p->vif, p->ifb, tc_why(tc, r));
    return 0;
}

static int find_vif(struct port *p, const struct netbuf_vif *vif,
                    struct xlc_error *err)
{
    snprintf(p->vif, sizeof(p->vif), "%.*s", IFNAMSIZ - 1, vif->ifname);
    p->vif_index = (int)if_nametoindex(p->vif);
    if (p->vif_index) return 0;
    return xlc_error_set(err, -ENODEV, "vif %u of domain %u: there is no "
                         "interface %s", (unsigned int)vif->devid,
                         (unsigned int)p->id.domid, p->vif);
}

int netbuf_port_setup(struct tc *tc, struct port *p, uint32_t domid,
                      const struct netbuf_vif *vif, uint32_t limit,
                      struct xlc_error *err)
{
    int r;

    *p = (struct port){
        .id = {
            .domid = domid,
            .devid = vif->devid,
            .emulated = vif->emulated,
        },
    };
    r = netbuf_name_format(p->ifb, &p->id);
    if (r)
        return xlc_error_set(err, r, "vif %u of domain %u: the number is too "
                             "large", (unsigned int)vif->devid,
                             (unsigned int)domid);
    r = find_vif(p, vif, err);
    if (r) return r;
    p->clsact = CLSACT_OTHERS;
    r = make_ifb(tc, p, limit, err);
    return r ? r : join(tc, p, err);
}

int netbuf_port_rejoin(struct tc *tc, struct port *p,
                       const struct netbuf_vif *vif, struct xlc_error *err)
{
    int r = find_vif(p, vif, err);

    if (r) return r;
    p->clsact = CLSACT_OTHERS;
    p->muted = false;
    return join(tc, p, err);
}
