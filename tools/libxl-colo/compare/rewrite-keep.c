/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-keep.c - After a failover: the rewriter's table, for a next process
 *
 * Theory of operation: entry number n of the table has slot number n. A slot
 * has two halves; a write goes to the one that is not the newest, with the
 * next number and a checksum, so that the newest stays whole until the write
 * is. Nothing of the slots' order is kept elsewhere: who recovers puts each
 * flow into the entry that it had, and goes on writing where it read.
 *
 * A killed process has done all stores up to some instruction: only the
 * compiler's order matters, and that between two writes to one slot.
 */
#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "rewrite-keep.h"
#include "rewrite-state.h"

#define KEEP_MAGIC   0x584c524bu /* "XLRK" */
#define KEEP_VERSION 1u
#define KEEP_HDR     64u
#define KEEP_SUMMED  16u /* octets of the header before its checksum */
/* A half: number, time, flow, checksum of these. */
#define HALF_SUMMED (16u + REWRITE_STATE_FLOW)
#define HALF        (HALF_SUMMED + 8u)
#define SLOT        (2u * HALF)

static const uint8_t no_flow[REWRITE_STATE_FLOW];

size_t rewrite_keep_room(uint32_t flows)
{
    return KEEP_HDR + (size_t)flows * SLOT;
}

size_t rewrite_keep_size(const struct rewrite *r)
{
    return rewrite_keep_room(r->fresh);
}

static uint8_t *half_at(uint8_t *keep, uint32_t slot, unsigned int half)
{
    return keep + KEEP_HDR + (size_t)slot * SLOT + half * HALF;
}

static uint64_t number_at(const uint8_t *half)
{
    struct rcur c = { half, 8, false };

    return rcur_u64(&c);
}

/* The other half of a slot than its newest; the number is the next. */
static void write_slot(uint8_t *keep, uint32_t slot,
                       const struct rewrite_flow *f)
{
    uint64_t a = number_at(half_at(keep, slot, 0));
    uint64_t b = number_at(half_at(keep, slot, 1));
    uint8_t buf[HALF];
    struct wcur c = { buf, sizeof(buf), false };

    wcur_u64(&c, (a > b ? a : b) + 1);
    wcur_u64(&c, f ? f->last : 0);
    if (f) rewrite_state_put(&c, f, f->last);
    else wcur_zero(&c, REWRITE_STATE_FLOW);
    wcur_u64(&c, XXH64(buf, HALF_SUMMED, slot));
    memcpy(half_at(keep, slot, a > b), buf, sizeof(buf));
    atomic_signal_fence(memory_order_seq_cst);
}

void rewrite_keep_put(struct rewrite *r, const struct rewrite_flow *f)
{
    uint32_t i = rewrite_flow_index(r, f);

    if (r->keep && i < r->keep_slots) write_slot(r->keep, i, f);
}

void rewrite_keep_del(struct rewrite *r, uint32_t i)
{
    if (r->keep && i < r->keep_slots) write_slot(r->keep, i, NULL);
}

/* What is there is nobody's table any more, and may be written anew. */
static void forget(uint8_t *keep)
{
    memset(keep, 0, KEEP_HDR);
    atomic_signal_fence(memory_order_seq_cst);
}

void rewrite_keep_end(struct rewrite *r)
{
    if (r->keep) forget(r->keep);
    r->keep = NULL;
}

int rewrite_keep(struct rewrite *r, void *mem, size_t size,
                 struct xlc_error *err)
{
    size_t need = rewrite_keep_size(r);
    uint8_t buf[KEEP_HDR];
    struct wcur c = { buf, sizeof(buf), false };

    if (!r->failover)
        return xlc_error_set(err, -EINVAL, "rewriter: its table is kept only "
                             "after a failover");
    if (size < need)
        return xlc_error_set(err, -ENOSPC, "rewriter: to keep its table "
                             "takes %zu octets, there is room for %zu", need,
                             size);
    forget(mem);
    memset(mem, 0, need);
    for (uint32_t i = 0; i < r->fresh; i++)
        write_slot(mem, i, NULL);
    for (unsigned int k = 0; k < REWRITE_NCLASSES; k++)
        for (uint32_t i = r->head[k]; i != REWRITE_NONE; i = r->flows[i].next)
            write_slot(mem, i, &r->flows[i]);
    wcur_u32(&c, KEEP_MAGIC);
    wcur_u16(&c, KEEP_VERSION);
    wcur_u16(&c, SLOT);
    wcur_u32(&c, r->fresh);
    wcur_zero(&c, 4);
    wcur_u64(&c, XXH64(buf, KEEP_SUMMED, 0));
    wcur_zero(&c, KEEP_HDR - KEEP_SUMMED - 8);
    memcpy(mem, buf, sizeof(buf));
    r->keep = mem;
    r->keep_slots = r->fresh;
    return 0;
}

/* ---- The next process ---------------------------------------------------- */

static int bad(struct xlc_error *err, const char *why)
{
    return xlc_error_set(err, -EPROTO, "rewriter: the table that another "
                         "process kept is not usable: %s", why);
}

static int check_header(const struct rewrite *r, const uint8_t *mem,
                        size_t size, uint32_t *slots, struct xlc_error *err)
{
    struct rcur c = { mem, size, false };
    uint16_t version, slot;

    if (rcur_u32(&c) != KEEP_MAGIC || size < KEEP_HDR)
        return bad(err, "it is not there, or not complete");
    version = rcur_u16(&c);
    slot = rcur_u16(&c);
    *slots = rcur_u32(&c);
    rcur_zero(&c, 4);
    if (rcur_u64(&c) != XXH64(mem, KEEP_SUMMED, 0))
        return bad(err, "its header's checksum is wrong");
    rcur_zero(&c, KEEP_HDR - KEEP_SUMMED - 8);
    if (c.bad || version != KEEP_VERSION || slot != SLOT)
        return bad(err, "its header is wrong");
    if (*slots > r->max)
        return xlc_error_set(err, -ENOSPC, "rewriter: another process kept "
                             "up to %u flows, the table holds %u", *slots,
                             r->max);
    if (rewrite_keep_room(*slots) > size)
        return bad(err, "it is cut");
    return 0;
}

static bool whole(const uint8_t *half, uint32_t slot)
{
    struct rcur c = { half + HALF_SUMMED, 8, false };

    return number_at(half) && rcur_u64(&c) == XXH64(half, HALF_SUMMED, slot);
}

/* The half of @slot that counts; -1: neither does. */
static int newest(uint8_t *mem, uint32_t slot)
{
    const uint8_t *a = half_at(mem, slot, 0), *b = half_at(mem, slot, 1);
    bool a_whole = whole(a, slot), b_whole = whole(b, slot);
    uint64_t na = number_at(a), nb = number_at(b);

    if (a_whole && b_whole)
        return na == nb + 1 ? 0 : nb == na + 1 ? 1 : -1;
    return a_whole ? 0 : b_whole ? 1 : -1;
}

/**
 * read_slot() - what the slot says
 * @s: set if there is a flow
 * @at: when it was written
 *
 * Return: 1; 0: no flow; -EPROTO
 */
static int read_slot(uint8_t *mem, uint32_t slot, uint64_t now,
                     struct rewrite_saved *s, uint64_t *at,
                     struct xlc_error *err)
{
    int half = newest(mem, slot);
    struct rcur c;

    if (half < 0) return bad(err, "a flow's checksums are wrong");
    c = (struct rcur){ half_at(mem, slot, (unsigned int)half) + 8,
                       HALF_SUMMED - 8, false };
    *at = rcur_u64(&c);
    if (!memcmp(c.p, no_flow, sizeof(no_flow)))
        return *at ? bad(err, "a flow that is gone has a time") : 0;
    rewrite_state_get(&c, s);
    if (c.bad || !rewrite_state_sane(s, true))
        return bad(err, "a flow is impossible");
    if (*at > now) return bad(err, "a flow is of a time to come");
    return 1;
}

/* Whatever the dead process did not finish must not look like the newest. */
static void clean_slot(uint8_t *mem, uint32_t slot)
{
    unsigned int old = newest(mem, slot) == 0;
    uint8_t *half = half_at(mem, slot, old);

    if (!whole(half, slot)) memset(half, 0, HALF);
}

static int fill(struct rewrite *r, uint8_t *mem, uint32_t slots, uint64_t now,
                struct xlc_error *err)
{
    for (uint32_t i = 0; i < slots; i++) {
        struct rewrite_saved s;
        uint64_t at = 0;
        int rc = read_slot(mem, i, now, &s, &at, err);

        if (rc < 0) return rc;
        if (!rc) {
            r->flows[i].chain = r->free_head;
            r->free_head = i;
            continue;
        }
        if (rewrite_flow_find(r, &s.f.key))
            return bad(err, "a flow is there twice");
        rewrite_state_store(r, rewrite_flow_place(r, i, &s.f.key, now), &s,
                            at, now);
    }
    r->fresh = slots;
    return 0;
}

int rewrite_keep_recover(struct rewrite *r, void *mem, size_t size,
                         uint64_t now, struct xlc_error *err)
{
    uint32_t slots = 0;
    int rc = check_header(r, mem, size, &slots, err);

    if (rc) return rc;
    rewrite_flow_clear(r);
    rc = fill(r, mem, slots, now, err);
    if (rc) {
        rewrite_flow_clear(r);
        return rc;
    }
    r->failover = true;
    for (uint32_t i = 0; i < slots; i++)
        clean_slot(mem, i);
    r->keep = mem;
    r->keep_slots = slots;
    return 0;
}
