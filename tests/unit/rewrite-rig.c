/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rewrite-rig.c - Segments through the rewriter, checked on the way */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "rewrite-keep.h"
#include "rewrite-rig.h"

static void new_one(struct rig *g, uint32_t held)
{
    struct rewrite_opts opts = REWRITE_OPTS_INIT;

    opts.flows = g->flows;
    if (held) opts.held = held;
    opts.hash_key[0] = 0x1234;
    if (rewrite_new(&g->r, &opts, NULL)) abort();
}

void rig_open_with(struct rig *g, uint32_t flows, uint32_t held)
{
    memset(g, 0, offsetof(struct rig, frame));
    g->flows = flows;
    new_one(g, held);
    g->now = 1000 * SEC;
    g->port = 40000;
    g->sums = true;
}

void rig_open_n(struct rig *g, uint32_t flows)
{
    rig_open_with(g, flows, 0);
}

void rig_open(struct rig *g)
{
    rig_open_n(g, 64);
}

void rig_close(struct rig *g)
{
    rewrite_free(g->r);
    g->r = NULL;
    free(g->kept);
    g->kept = NULL;
}

void rig_failover(struct rig *g)
{
    rewrite_failover(g->r, g->now);
    g->kept_len = rewrite_keep_size(g->r);
    g->kept = malloc(g->kept_len);
    if (!g->kept || rewrite_keep(g->r, g->kept, g->kept_len, NULL)) abort();
}

int rig_die(struct rig *g, struct xlc_error *err)
{
    rewrite_free(g->r);
    new_one(g, 0);
    return rewrite_keep_recover(g->r, g->kept, g->kept_len, g->now, err);
}

static size_t rig_options(const struct seg *s, uint8_t *o)
{
    size_t n = 0;

    memset(o, PACKET_OPT_NOP, 40);
    if (s->odd) n++;
    if (s->wscale) {
        o[n] = PACKET_OPT_WSCALE;
        o[n + 1] = 3;
        o[n + 2] = (uint8_t)(s->wscale - 1);
        n += 3;
    }
    if (s->kind) {
        o[n] = s->kind;
        o[n + 1] = 2;
        n += 2;
    }
    if (s->ts) {
        o[n] = PACKET_OPT_TS;
        o[n + 1] = 10;
        packet_put32(o + n + 2, s->tsval);
        packet_put32(o + n + 6, s->tsecr);
        n += 10;
    }
    if (s->nsack) {
        o[n] = PACKET_OPT_SACK;
        o[n + 1] = (uint8_t)(2 + 8 * s->nsack);
        for (unsigned int i = 0; i < s->nsack; i++) {
            packet_put32(o + n + 2 + 8 * i, s->sack[i][0]);
            packet_put32(o + n + 6 + 8 * i, s->sack[i][1]);
        }
        n += 2u + 8u * s->nsack;
    }
    if (n > 40) abort();
    return (n + 3) / 4 * 4;
}

void rig_build(struct rig *g, const struct seg *s, bool in)
{
    static uint8_t data[FRAME_MAX];
    uint8_t opts[40];
    struct frame_spec spec = {
        .vlan = g->vlan, .v6 = g->v6, .ext = g->v6 ? g->ext : 0,
        .proto = PROTO_TCP, .src = in ? REMOTE : GUEST,
        .dst = in ? GUEST : REMOTE, .sport = in ? g->port : 80,
        .dport = in ? 80 : g->port, .seq = s->seq, .ack = s->ack,
        .flags = s->flags, .window = 60000, .opts = opts,
        .opts_len = rig_options(s, opts), .data = s->data ? s->data : data,
        .len = s->len, .partial = g->partial,
    };

    for (size_t i = 0; !s->data && i < s->len; i++)
        data[i] = (uint8_t)(7 * i);
    g->len = frame_build(&spec, g->frame);
    memset(&g->vnet, 0, sizeof(g->vnet));
    if (g->partial) {
        uint8_t proto;
        size_t end;

        g->vnet.flags = PACKET_VNET_NEEDS_CSUM;
        g->vnet.csum_start =
            (uint16_t)frame_l4(g->frame, g->len, &proto, &end);
        g->vnet.csum_offset = 16;
        if (s->len > 1460) {
            g->vnet.gso_type = g->v6 ? PACKET_GSO_TCPV6 : PACKET_GSO_TCPV4;
            g->vnet.gso_size = 1460;
        }
    }
}

void rig_read(struct rig *g, const uint8_t *frame, size_t len)
{
    struct frame_tcp t;

    if (!frame_read_tcp(frame, len, &t)) abort();
    g->sums = g->sums && frame_sums_right(frame, len, g->partial);
    memset(&g->out, 0, sizeof(g->out));
    g->out.flags = t.flags;
    g->out.seq = t.seq;
    g->out.ack = t.ack;
    g->out.len = t.len;
    for (size_t i = 0; i + 1 < t.opts_len; i += t.opts[i] == 1 ? 1 :
         t.opts[i + 1]) {
        const uint8_t *o = t.opts + i;

        if (o[0] == PACKET_OPT_TS) {
            g->out.ts = true;
            g->out.tsval = packet_get32(o + 2);
            g->out.tsecr = packet_get32(o + 6);
        } else if (o[0] == PACKET_OPT_SACK) {
            g->out.nsack = o[1] / 8;
            for (unsigned int k = 0; k < g->out.nsack; k++) {
                g->out.sack[k][0] = packet_get32(o + 2 + 8 * k);
                g->out.sack[k][1] = packet_get32(o + 6 + 8 * k);
            }
        }
    }
}

void rig_run(struct rig *g, bool in)
{
    uint8_t *block = malloc(g->len);

    if (!block) abort();
    memcpy(block, g->frame, g->len);
    g->seq_off = 0;
    g->verdict = in ? rewrite_in(g->r, block, g->len, &g->vnet, g->now)
                    : rewrite_out(g->r, block, g->len, &g->vnet, g->now,
                                  &g->seq_off);
    g->same = !memcmp(block, g->frame, g->len);
    if ((g->verdict == REWRITE_DONE) == g->same) abort();
    memcpy(g->frame, block, g->len);
    free(block);
}

const struct seg *rig_in(struct rig *g, struct seg s)
{
    rig_build(g, &s, true);
    rig_run(g, true);
    rig_read(g, g->frame, g->len);
    return &g->out;
}

const struct seg *rig_out(struct rig *g, struct seg s)
{
    rig_build(g, &s, false);
    rig_run(g, false);
    rig_read(g, g->frame, g->len);
    if (g->verdict == REWRITE_PASS && g->seq_off) abort();
    if (g->out.seq != s.seq + g->seq_off) abort();
    return &g->out;
}

/* The key of the flow, as the guest sends. */
static struct packet_key rig_key(const struct rig *g)
{
    static struct rig copy;
    struct packet_key key;
    struct packet p;

    memcpy(&copy, g, offsetof(struct rig, frame));
    rig_build(&copy, &(struct seg){ .flags = TH_ACK }, false);
    packet_parse(&p, copy.frame, copy.len, &copy.vnet);
    packet_key(&key, &p, copy.frame);
    return key;
}

void rig_told(struct rig *g, uint32_t isn)
{
    struct packet_key key = rig_key(g);

    rewrite_isn(g->r, &key, isn, g->now);
}

void rig_told_ts(struct rig *g, uint32_t tsval)
{
    struct packet_key key = rig_key(g);

    rewrite_tsval(g->r, &key, tsval, g->now);
}

bool rig_take(struct rig *g)
{
    struct rewrite_held h;

    if (!rewrite_take(g->r, &h, g->now)) return false;
    rig_read(g, h.frame, h.len);
    return true;
}

void rig_connect(struct rig *g)
{
    rig_in(g, (struct seg){ .flags = TH_SYN, .seq = ISN_C, .wscale = 8 });
    rig_told(g, ISN_P);
    rig_out(g, (struct seg){ .flags = TH_SYN | TH_ACK, .seq = ISN_S,
                             .ack = ISN_C + 1, .wscale = 8 });
    rig_in(g, (struct seg){ .flags = TH_ACK, .seq = ISN_C + 1,
                            .ack = ISN_P + 1 });
}

void rig_conditions(struct rig *g)
{
    for (g->port = 1; g->port <= 3; g->port++)
        rig_connect(g);
    rig_in(g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    g->port++;
    g->v6 = true;
    g->vlan = 7;
    rig_connect(g);
    rig_out(g, (struct seg){ .flags = TH_ACK | TH_FIN, .seq = ISN_S + 1,
                             .ack = ISN_C + 1, .ts = true, .tsval = 1000 });
    rig_told_ts(g, 2000);
}
