/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* defect.c - Tests of single verdicts, one for each defect found elsewhere */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "defect.h"
#include "tap.h"

struct rig rig;
struct defect_out out;
uint8_t bytes[65536];
static uint32_t mark;

/* ---- Feeding -------------------------------------------------------------*/

static void take_one(void *ctx, const struct compare_packet *p)
{
    bool partial = p->vnet.flags & PACKET_VNET_NEEDS_CSUM;

    (void)ctx;
    out.sums = frame_sums_right(p->frame, p->len, partial);
    if (frame_read_tcp(p->frame, p->len, &out.tcp)) {
        out.sacks = false;
        for (size_t i = 0; i < out.tcp.opts_len;) {
            const uint8_t *opt = out.tcp.opts + i;

            out.sacks |= *opt == PACKET_OPT_SACK;
            if (*opt > PACKET_OPT_NOP && i + 1 < out.tcp.opts_len && opt[1])
                i += opt[1];
            else
                i++;
        }
    }
    if (p->made) {
        out.made++;
        return;
    }
    if (out.n < DEFECT_LOG) out.mark[out.n] = frame_mark(p->frame);
    out.n++;
}

unsigned int take(void)
{
    rig_take(&rig, take_one, NULL);
    return out.n;
}

int give(bool primary, const struct frame_spec *s)
{
    static uint8_t frame[FRAME_MAX];
    struct frame_spec mine = *s;
    size_t len;

    mine.mark = primary ? mark + 1 : 0;
    mine.id = mine.id ? mine.id : primary ? 1 : 2;
    len = frame_build(&mine, frame);
    if (!primary) return rig_secondary(&rig, frame, len, s->partial);
    if (rig_primary(&rig, frame, len, s->partial)) return -ENOBUFS;
    mark++;
    return 0;
}

unsigned int pvm(const struct frame_spec *s)
{
    if (give(true, s)) return ~0u;
    return take();
}

unsigned int svm(const struct frame_spec *s)
{
    if (give(false, s)) return ~0u;
    return take();
}

bool in_order(void)
{
    for (unsigned int i = 0; i < out.n; i++)
        if (out.mark[i] != i + 1) return false;
    return true;
}

bool wanted(enum compare_reason reason)
{
    struct compare_want w;

    return compare_wanted(rig.engine, &w) && w.reason == reason;
}

bool unwanted(void)
{
    return !rig_wanted(&rig);
}

uint64_t requests(void)
{
    struct compare_stats s;
    uint64_t n = 0;

    compare_get_stats(rig.engine, &s);
    for (unsigned int i = 0; i < COMPARE_NREASONS; i++) n += s.wanted[i];
    return n;
}

struct frame_spec base(uint8_t proto, size_t len)
{
    return (struct frame_spec){
        .proto = proto, .src = 0x0a000001, .dst = 0x0a000002, .sport = 80,
        .dport = 4000, .seq = 1000000, .ack = 5000, .flags = TH_ACK,
        .window = 4000, .data = bytes, .len = len,
    };
}

struct frame_spec tcp(uint32_t at, size_t len, uint8_t flags)
{
    struct frame_spec s = base(PROTO_TCP, len);

    s.seq += at;
    s.data = bytes + at;
    s.flags |= flags;
    return s;
}

int defect_main(const struct defect *defects, size_t n)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    for (size_t i = 0; i < n; i++) {
        memset(&out, 0, sizeof(out));
        mark = 0;
        rig_open(&rig, NULL);
        ok(defects[i].test(), "not here: %s", defects[i].name);
        rig_close(&rig);
    }
    return done_testing();
}
