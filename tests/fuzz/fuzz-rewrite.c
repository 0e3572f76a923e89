/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-rewrite.c - Frames, and all that happens around them, in any order
 *
 * Eight octets a step: segments of a few connections whose numbers are near
 * each other, so that what matters is met, what the primary tells, cuts, the
 * failover, time; or a frame of whatever follows. Checksums that were right
 * stay right, a frame that is passed is untouched, and the state at the end
 * can be saved and read back.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "../unit/rewrite-rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

#define STEP 8u

static struct rig rig, other;
static uint8_t saved[2][65536];

static void segment(struct rig *g, const uint8_t *b, bool in)
{
    static const uint32_t base[4] = { ISN_C, ISN_P, ISN_S, 0 };
    struct seg s = {
        .flags = b[1], .seq = base[b[3] & 3] + (uint32_t)(int8_t)b[4],
        .ack = base[b[3] >> 2 & 3] + (uint32_t)(int8_t)b[5],
        .ts = b[6] & 1, .odd = b[2] >> 5 & 1, .nsack = b[2] >> 3 & 3,
        .tsval = b[6] * 1000u, .tsecr = b[7] * 1000u,
        .wscale = b[1] & TH_SYN ? b[7] % 16 : 0, .len = b[6] & 0xfeu,
    };

    if (s.wscale) s.nsack = 0;
    for (unsigned int i = 0; i < s.nsack; i++)
        s.sack[i][0] = s.sack[i][1] = s.ack + b[4];
    g->port = b[2] & 3;
    g->v6 = b[2] & 4;
    g->partial = b[2] & 0x40;
    if (in) rig_in(g, s);
    else rig_out(g, s);
    MUST(g->sums && (in || g->verdict != REWRITE_HELD));
}

/* What follows is a frame. Return: octets of it. */
static size_t raw(struct rig *g, const uint8_t *b, const uint8_t *frame,
                  size_t left)
{
    size_t len = b[2];

    if (len > left) len = left;
    if (!len) return 0;
    memcpy(g->frame, frame, len);
    g->len = len;
    memset(&g->vnet, 0, sizeof(g->vnet));
    g->vnet.flags = b[3];
    g->vnet.gso_type = b[4];
    g->vnet.gso_size = b[5];
    g->vnet.csum_start = b[6];
    g->vnet.csum_offset = b[7];
    rig_run(g, b[1] & 1);
    return len;
}

static void event(struct rig *g, const uint8_t *b)
{
    g->port = b[2] & 3;
    g->v6 = b[2] & 4;
    switch (b[1] % 8) {
    case 0:
        rewrite_cut(g->r, g->now);
        break;
    case 1:
        rewrite_failover(g->r, g->now);
        break;
    case 2:
        g->now += b[3] * SEC;
        rewrite_tick(g->r, g->now);
        break;
    case 3:
    case 4:
        rig_told_ts(g, b[6] * 1000u);
        break;
    default:
        rig_told(g, ISN_P + (uint32_t)(int8_t)b[4]);
        break;
    }
}

/* Saved, read back and saved again it is the same. */
static void round_trip(struct rig *g)
{
    size_t n, m;

    rig_open_with(&other, 8, PACKET_MAX);
    other.now = 7;
    MUST(!rewrite_export(g->r, saved[0], sizeof(saved[0]), &n, g->now, NULL));
    MUST(!rewrite_import(other.r, saved[0], n, other.now, NULL));
    MUST(!rewrite_export(other.r, saved[1], sizeof(saved[1]), &m, other.now,
                         NULL));
    MUST(n == m && !memcmp(saved[0], saved[1], n));
    MUST(rewrite_live(g->r) == rewrite_live(other.r));
    rig_close(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rewrite_held h;

    rig_open_with(&rig, 8, PACKET_MAX);
    while (size >= STEP) {
        const uint8_t *b = data;

        data += STEP;
        size -= STEP;
        rig.now += SEC / 10;
        switch (b[0] % 8) {
        case 0:
        case 1:
        case 2:
            segment(&rig, b, true);
            break;
        case 3:
        case 4:
            segment(&rig, b, false);
            break;
        case 5: {
            size_t n = raw(&rig, b, data, size);

            data += n;
            size -= n;
            break;
        }
        default:
            event(&rig, b);
            break;
        }
        while (rewrite_take(rig.r, &h, rig.now))
            MUST(h.len);
        MUST(rewrite_live(rig.r) <= 8);
    }
    round_trip(&rig);
    rig_close(&rig);
    return 0;
}
