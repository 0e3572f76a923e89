/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-flow.c - The rewriter's table of flows
 *
 * Theory of operation: the table never grows and is never wiped. When it is
 * full, room is made from attempts that the guest has not answered, oldest
 * first (nothing is known of them, nothing is lost), and from flows without
 * an offset that were silent for a minute. A flow with an offset leaves only
 * when its connection ended; if all are of that kind, the new flow is refused
 * and a checkpoint asked for, which sets the offsets to zero.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "rewrite-flow.h"
#include "rewrite-hold.h"

#define SPARE_AFTER (60 * REWRITE_SEC) /* a plain flow, if room is needed */

/*
 * Why these: an unanswered SYN is sent again after at most 32 s at the usual
 * settings; a SYN/ACK or FIN after at most 120 s (RTO_MAX); TIME_WAIT lasts
 * 60 s on Linux, 120 s elsewhere. A flow without a sequence offset needs its
 * mark only for as long as the secondary's clock may lag, which is seconds.
 */
static const uint64_t limits[REWRITE_NCLASSES] = {
    [REWRITE_ASKED] = 60 * REWRITE_SEC,
    [REWRITE_HALF] = 300 * REWRITE_SEC,
    [REWRITE_PLAIN] = 600 * REWRITE_SEC,
    [REWRITE_CLOSING] = 600 * REWRITE_SEC,
    [REWRITE_CLOSED] = 120 * REWRITE_SEC,
    [REWRITE_KEPT] = UINT64_MAX,
};

int rewrite_flow_init(struct rewrite *r, uint32_t max,
                      const uint64_t hash_key[2])
{
    uint32_t size = 16;

    while (size < max)
        size *= 2;
    r->max = max;
    r->mask = size - 1;
    r->flows = calloc(max, sizeof(*r->flows));
    r->buckets = malloc(size * sizeof(*r->buckets));
    if (!r->flows || !r->buckets) return -ENOMEM;
    for (uint64_t i = 0; i < REWRITE_SECRET / 8; i++) {
        uint64_t word[3] = { hash_key[0], hash_key[1], i };
        uint64_t h = XXH64(word, sizeof(word), hash_key[0]);

        memcpy(r->secret + i * 8, &h, 8);
    }
    rewrite_flow_clear(r);
    return 0;
}

void rewrite_flow_clear(struct rewrite *r)
{
    rewrite_keep_end(r);
    memset(r->buckets, 0xff, (r->mask + 1u) * sizeof(*r->buckets));
    memset(r->head, 0xff, sizeof(r->head));
    memset(r->tail, 0xff, sizeof(r->tail));
    r->used = r->fresh = r->offsets = 0;
    r->free_head = REWRITE_NONE;
    r->generation++;
    rewrite_hold_clear(r);
}

static uint32_t *bucket(struct rewrite *r, const struct packet_key *key)
{
    uint64_t h = XXH3_64bits_withSecret(key, sizeof(*key), r->secret,
                                        sizeof(r->secret));

    return &r->buckets[h & r->mask];
}

struct rewrite_flow *rewrite_flow_find(struct rewrite *r,
                                       const struct packet_key *key)
{
    if (!r->used) return NULL;
    for (uint32_t i = *bucket(r, key); i != REWRITE_NONE;
         i = r->flows[i].chain)
        if (!memcmp(&r->flows[i].key, key, sizeof(*key)))
            return &r->flows[i];
    return NULL;
}

static void unlist(struct rewrite *r, struct rewrite_flow *f)
{
    if (f->prev != REWRITE_NONE) r->flows[f->prev].next = f->next;
    else r->head[f->cls] = f->next;
    if (f->next != REWRITE_NONE) r->flows[f->next].prev = f->prev;
    else r->tail[f->cls] = f->prev;
}

static void enlist(struct rewrite *r, struct rewrite_flow *f,
                   enum rewrite_class cls)
{
    uint32_t i = rewrite_flow_index(r, f);

    f->cls = (uint8_t)cls;
    f->prev = r->tail[cls];
    f->next = REWRITE_NONE;
    if (f->prev != REWRITE_NONE) r->flows[f->prev].next = i;
    else r->head[cls] = i;
    r->tail[cls] = i;
}

static enum rewrite_class class_of(const struct rewrite_flow *f)
{
    const uint16_t both = FLOW_FIN_OUT_OK | FLOW_FIN_IN_OK;

    if (f->flags & FLOW_RST || (f->flags & both) == both)
        return REWRITE_CLOSED;
    if (f->flags & FLOW_HALF) return REWRITE_HALF;
    if (f->flags & FLOW_FIN_OUT && !(f->flags & FLOW_FIN_OUT_OK))
        return REWRITE_CLOSING;
    if (f->off || (f->ts_off && !rewrite_flow_shared(f)))
        return REWRITE_KEPT;
    if (f->flags & FLOW_EST) return REWRITE_PLAIN;
    return f->flags & FLOW_KNOW_S ? REWRITE_HALF : REWRITE_ASKED;
}

void rewrite_flow_touch(struct rewrite *r, struct rewrite_flow *f,
                        uint64_t now)
{
    enum rewrite_class cls = class_of(f);

    f->last = now;
    rewrite_keep_put(r, f);
    if (f->held && !rewrite_hold_must(f)) r->ready = true;
    if (f->cls == cls && f->next == REWRITE_NONE) return;
    if (f->cls != cls) r->generation++;
    unlist(r, f);
    enlist(r, f, cls);
}

void rewrite_flow_offsets(struct rewrite *r, struct rewrite_flow *f,
                          uint32_t off, uint32_t ts_off)
{
    if (f->off == off && f->ts_off == ts_off) return;
    r->offsets -= f->off || f->ts_off;
    f->off = off;
    f->ts_off = ts_off;
    r->offsets += f->off || f->ts_off;
    r->generation++;
}

void rewrite_flow_del(struct rewrite *r, struct rewrite_flow *f)
{
    uint32_t i = rewrite_flow_index(r, f), *link = bucket(r, &f->key);

    rewrite_hold_forget(r, f);
    rewrite_flow_offsets(r, f, 0, 0);
    while (*link != i)
        link = &r->flows[*link].chain;
    *link = f->chain;
    unlist(r, f);
    f->chain = r->free_head;
    r->free_head = i;
    r->used--;
    r->generation++;
    rewrite_keep_del(r, i);
}

void rewrite_flow_expire(struct rewrite *r, uint64_t now)
{
    for (unsigned int c = 0; c < REWRITE_KEPT; c++) {
        while (r->head[c] != REWRITE_NONE) {
            struct rewrite_flow *f = &r->flows[r->head[c]];

            if (now - f->last < limits[c]) break;
            rewrite_flow_del(r, f);
            r->stats.expired++;
        }
    }
}

/* Forget an entry that is worth less than a new one. Return: was there one? */
static bool make_room(struct rewrite *r, uint64_t now)
{
    uint32_t asked = r->head[REWRITE_ASKED], plain = r->head[REWRITE_PLAIN];

    rewrite_flow_expire(r, now);
    if (r->used < r->max) return true;
    if (asked != REWRITE_NONE) {
        rewrite_flow_del(r, &r->flows[asked]);
    } else if (plain != REWRITE_NONE && !r->failover &&
               now - r->flows[plain].last >= SPARE_AFTER) {
        rewrite_flow_del(r, &r->flows[plain]);
    } else {
        return false;
    }
    r->stats.evicted++;
    return true;
}

struct rewrite_flow *rewrite_flow_place(struct rewrite *r, uint32_t i,
                                        const struct packet_key *key,
                                        uint64_t now)
{
    struct rewrite_flow *f = &r->flows[i];
    uint32_t *head = bucket(r, key);

    memset(f, 0, sizeof(*f));
    f->key = *key;
    f->last = now;
    f->chain = *head;
    *head = i;
    enlist(r, f, REWRITE_ASKED);
    r->used++;
    r->generation++;
    return f;
}

struct rewrite_flow *rewrite_flow_add(struct rewrite *r,
                                      const struct packet_key *key,
                                      uint64_t now)
{
    uint32_t i;

    if (r->used == r->max && !make_room(r, now)) {
        r->stats.refused++;
        r->want |= REWRITE_WANT_FULL;
        return NULL;
    }
    if (r->free_head != REWRITE_NONE) {
        i = r->free_head;
        r->free_head = r->flows[i].chain;
    } else {
        i = r->fresh++;
    }
    return rewrite_flow_place(r, i, key, now);
}
