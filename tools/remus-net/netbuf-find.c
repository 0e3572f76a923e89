/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf-find.c - What of network buffers there is in the kernel
 *
 * Theory of operation
 * -------------------
 * Three looks, each of which may find parts of a port that the others don't,
 * because a set-up or a teardown may have been killed at any step:
 *
 *   1. ifb devices with a name of ours;
 *   2. qdiscs: how much those ifbs hold, and which interfaces have an
 *      ingress side at all (only those can have a filter);
 *   3. the ingress filters of these interfaces: our priority, kind and a
 *      handle of ours. They name the port, so a filter whose ifb is gone
 *      (its guest is cut off) is found as well.
 *
 * If something changes during a dump the kernel says so, and all is looked
 * at again.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "netbuf-find.h"

#define TRIES 10

struct look {
    const uint32_t *domid;
    struct ports *found;
    int *ingress; /* interfaces with an ingress side */
    unsigned int n_ingress;
    int current; /* the one whose filters are looked at */
};

/* The port with this @id, added if it is new; NULL without memory. */
static struct port *port_of(struct look *look, const struct netbuf_port *id)
{
    struct ports *f = look->found;
    struct port *p;
    unsigned int i;

    for (i = 0; i < f->n; i++)
        if (netbuf_port_same(&f->at[i].id, id)) return &f->at[i];
    p = reallocarray(f->at, f->n + 1, sizeof(*p));
    if (!p) return NULL;
    f->at = p;
    p = &f->at[f->n++];
    *p = (struct port){ .id = *id };
    netbuf_name_format(p->ifb, id);
    return p;
}

static bool is_wanted(const struct look *look, const struct netbuf_port *id)
{
    return !look->domid || *look->domid == id->domid;
}

static int on_link(const struct tc_link *link, void *arg)
{
    struct look *look = arg;
    struct netbuf_port id;
    struct port *p;

    if (!link->ifb || netbuf_name_parse(link->name, &id) ||
        !is_wanted(look, &id))
        return 0;
    p = port_of(look, &id);
    if (!p) return -ENOMEM;
    p->ifb_index = link->ifindex;
    p->down |= !link->up;
    return 0;
}

static int on_queue(const struct tc_queue *queue, void *arg)
{
    struct look *look = arg;
    unsigned int i;

    if (!strcmp(queue->kind, "clsact") || !strcmp(queue->kind, "ingress")) {
        int *more = reallocarray(look->ingress, look->n_ingress + 1,
                                 sizeof(*more));

        if (!more) return -ENOMEM;
        look->ingress = more;
        look->ingress[look->n_ingress++] = queue->ifindex;
        return 0;
    }
    if (strcmp(queue->kind, "plug")) return 0;
    for (i = 0; i < look->found->n; i++)
        if (look->found->at[i].ifb_index == queue->ifindex)
            look->found->at[i].queue = *queue;
    return 0;
}

static int on_filter(const struct tc_filter *filter, void *arg)
{
    struct look *look = arg;
    struct netbuf_port id;
    struct port *p;

    if (!filter->matchall ||
        (filter->prio != TC_PRIO_HOLD && filter->prio != TC_PRIO_DROP) ||
        netbuf_handle_parse(filter->handle, &id) || !is_wanted(look, &id))
        return 0;
    p = port_of(look, &id);
    if (!p) return -ENOMEM;
    if (filter->prio == TC_PRIO_DROP) p->muted = true;
    else p->down |= !filter->target;
    /* A name that is gone by now belonged to a vif that is. */
    if (if_indextoname((unsigned int)look->current, p->vif))
        p->vif_index = look->current;
    return 0;
}

static int look_once(struct tc *tc, struct look *look)
{
    unsigned int i;
    int r;

    look->n_ingress = 0;
    r = tc_each_link(tc, on_link, look);
    if (!r) r = tc_each_queue(tc, on_queue, look);
    for (i = 0; !r && i < look->n_ingress; i++) {
        look->current = look->ingress[i];
        r = tc_each_filter(tc, look->current, false, on_filter, look);
        if (r == -ENODEV || r == -EINVAL) r = 0; /* it went meanwhile */
    }
    return r;
}

int netbuf_find(struct tc *tc, const uint32_t *domid, struct ports *found,
                struct xlc_error *err)
{
    CLEANUP_FREE int *ingress = NULL;
    struct look look = { .domid = domid, .found = found };
    int i, r = -EINTR;

    for (i = 0; i < TRIES && r == -EINTR; i++) {
        found->n = 0;
        r = look_once(tc, &look);
    }
    ingress = look.ingress;
    if (!r) return 0;
    free(found->at);
    *found = (struct ports){ 0 };
    return xlc_error_set(err, r, "can't list the host's network buffers: %s",
                         tc_why(tc, r));
}

void netbuf_port_stat(const struct port *port, struct netbuf_stat *out)
{
    *out = (struct netbuf_stat){
        .domid = port->id.domid,
        .devid = port->id.devid,
        .emulated = port->id.emulated,
        .cut = port->muted || port->down,
        .held_packets = port->queue.packets,
        .held_bytes = port->queue.bytes,
        .drops = port->queue.drops,
    };
    memcpy(out->vif, port->vif, sizeof(out->vif));
    if (port->ifb_index) memcpy(out->ifb, port->ifb, sizeof(out->ifb));
}
