/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proxy-primary-older.c - Connections of before a failover, in the primary
 *
 * Theory of operation: after a failover the guest speaks on its older
 * connections in other numbers than the network knows (RULES B4). Protected
 * again, what is compared, held and teed is in the guest's numbers. Those of
 * the network are outside of all that: a frame is translated when it was read
 * from the network, and when it was let go, once each.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "proxy-primary-io.h"

/* How often what ends by time is looked for. */
#define TICK_NS UINT64_C(1000000000)

static bool needed(const struct pri_port *port)
{
    return port->older && rewrite_live(port->older);
}

bool pri_older_in(struct proxy_primary *p, struct pri_port *port,
                  uint8_t *frame, struct wire_frame *f, uint64_t now)
{
    enum rewrite_verdict v;

    if (!needed(port)) return true;
    v = rewrite_in(port->older, frame, f->len, &f->vnet, now);
    p->s.dropped += v == REWRITE_DROP;
    return v == REWRITE_PASS || v == REWRITE_DONE;
}

bool pri_older_held(struct pri_port *port, uint8_t *frame,
                    struct wire_frame *f, uint64_t now)
{
    struct rewrite_held h;

    if (!needed(port) || !rewrite_take(port->older, &h, now)) return false;
    memcpy(frame, h.frame, h.len);
    f->len = (uint32_t)h.len;
    f->vnet = h.vnet;
    return true;
}

bool pri_older_out(struct proxy_primary *p, struct pri_port *port)
{
    struct compare_packet *o = port->out;
    uint32_t off;

    if (!needed(port) ||
        rewrite_out(port->older, o->frame, o->len, &o->vnet,
                    clock_us() * 1000u, &off) != REWRITE_DROP)
        return true;
    p->s.dropped++;
    return false;
}

uint32_t pri_older_live(const struct proxy_primary *p)
{
    uint32_t n = 0;

    for (unsigned int i = 0; i < p->nports; i++)
        if (p->ports[i].older) n += rewrite_live(p->ports[i].older);
    return n;
}

void pri_older_tick(struct proxy_primary *p, uint64_t now)
{
    if (now - p->ticked < TICK_NS) return;
    p->ticked = now;
    for (unsigned int i = 0; i < p->nports; i++)
        if (p->ports[i].older) rewrite_tick(p->ports[i].older, now);
}

uint64_t pri_older_until(const struct proxy_primary *p)
{
    return pri_older_live(p) ? p->ticked + TICK_NS : COMPARE_NEVER;
}

int pri_older_export(const struct proxy_primary *p, uint64_t vif,
                     struct pri_older *o, uint64_t now,
                     struct xlc_error *err)
{
    const struct rewrite *r = vif < p->nports ? p->ports[vif].older : NULL;
    uint64_t generation;
    size_t size;
    int rc;

    if (!r) return 0;
    generation = rewrite_generation(r);
    if (generation == o->generation) return 0;
    size = rewrite_export_size(r);
    o->buf = malloc(size);
    if (!o->buf)
        return xlc_error_set(err, -ENOMEM, "proxy: no memory for %zu octets "
                             "of translations", size);
    rc = rewrite_export(r, o->buf, size, &o->len, now, err);
    if (rc) {
        free(o->buf);
        o->buf = NULL;
        return rc;
    }
    o->generation = generation;
    return 0;
}
