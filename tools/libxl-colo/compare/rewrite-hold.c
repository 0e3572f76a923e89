/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-hold.c - Segments that wait for the guest's SYN/ACK
 *
 * Theory of operation: frames lie one behind the other in an arena, with an
 * array of records in order of arrival. A record of length 0 is dead; dead
 * ones are squeezed out when room is needed. This happens only while a slow
 * guest is about to answer a SYN, so moving memory is cheap enough.
 */
#include <config.h>

#include <string.h>

#include "rewrite-hold.h"

static void squeeze(struct rewrite *r)
{
    uint32_t n = 0, used = 0;

    for (uint32_t i = 0; i < r->nrecs; i++) {
        struct rewrite_rec rec = r->recs[i];

        if (!rec.len) continue;
        memmove(r->arena + used, r->arena + rec.at, rec.len);
        rec.at = used;
        used += rec.len;
        r->recs[n++] = rec;
    }
    r->nrecs = n;
    r->arena_used = used;
}

bool rewrite_hold_put(struct rewrite *r, struct rewrite_flow *f,
                      const uint8_t *frame, size_t len,
                      const struct packet_vnet *vnet)
{
    struct rewrite_rec *rec;

    if (!len || len > r->arena_size) return false;
    if (r->nrecs == REWRITE_RECS || len > r->arena_size - r->arena_used) {
        squeeze(r);
        if (r->nrecs == REWRITE_RECS || len > r->arena_size - r->arena_used)
            return false;
    }
    rec = &r->recs[r->nrecs++];
    memset(rec, 0, sizeof(*rec));
    rec->flow = rewrite_flow_index(r, f);
    rec->at = r->arena_used;
    rec->len = (uint32_t)len;
    if (vnet) rec->vnet = *vnet;
    memcpy(r->arena + rec->at, frame, len);
    r->arena_used += rec->len;
    f->held++;
    return true;
}

uint8_t *rewrite_hold_get(struct rewrite *r, struct rewrite_rec *rec,
                          struct rewrite_flow **flow)
{
    if (!r->ready) return NULL;
    for (uint32_t i = 0; i < r->nrecs; i++) {
        struct rewrite_flow *f = &r->flows[r->recs[i].flow];

        if (!r->recs[i].len || rewrite_hold_must(f)) continue;
        *rec = r->recs[i];
        *flow = f;
        r->recs[i].len = 0;
        f->held--;
        return r->arena + rec->at;
    }
    r->ready = false;
    squeeze(r);
    return NULL;
}

void rewrite_hold_forget(struct rewrite *r, struct rewrite_flow *f)
{
    uint32_t i = rewrite_flow_index(r, f);

    for (uint32_t n = 0; f->held && n < r->nrecs; n++) {
        if (!r->recs[n].len || r->recs[n].flow != i) continue;
        r->recs[n].len = 0;
        f->held--;
        r->stats.held_dropped++;
    }
}

void rewrite_hold_clear(struct rewrite *r)
{
    r->nrecs = r->arena_used = 0;
    r->ready = false;
}
