/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rig.c - Our compare engine, ready to be fed with frames of tests */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "frame.h"
#include "rig.h"

#define NS_PER_MS UINT64_C(1000000)

struct compare_opts rig_opts(void)
{
    struct compare_opts o = COMPARE_OPTS_INIT;

    o.mode = COMPARE_COLO;
    o.epoch = 1;
    o.late_ns = RIG_LATE_MS * NS_PER_MS;
    o.hash_key[0] = 1;
    o.hash_key[1] = 2;
    return o;
}

void rig_open(struct rig *r, const struct compare_opts *opts)
{
    struct compare_opts o = opts ? *opts : rig_opts();
    struct xlc_error err = XLC_ERROR_INIT;

    *r = (struct rig){ .now = UINT64_C(1000000000000), .epoch = o.epoch };
    if (compare_new(&r->engine, &o, &err)) {
        fprintf(stderr, "rig: %s\n", err.msg);
        abort();
    }
    compare_svm_connected(r->engine, r->now);
}

void rig_close(struct rig *r)
{
    compare_free(r->engine);
    r->engine = NULL;
}

struct packet_vnet rig_vnet(const uint8_t *frame, size_t len, bool partial)
{
    struct packet_vnet v = { .flags = 0 };
    uint8_t proto = 0;
    size_t end = 0, l4 = frame_l4(frame, len, &proto, &end);

    if (!partial || !l4) return v;
    v.flags = PACKET_VNET_NEEDS_CSUM;
    v.csum_start = (uint16_t)l4;
    v.csum_offset = proto == PROTO_TCP ? 16 : 6;
    if (proto == PROTO_TCP && end - l4 > 1480) {
        v.gso_type = frame[l4 - 20] >> 4 == 4 ? PACKET_GSO_TCPV4 :
                     PACKET_GSO_TCPV6;
        v.gso_size = 1440;
        v.hdr_len = (uint16_t)(l4 + 4u * (frame[l4 + 12] >> 4));
    }
    return v;
}

int rig_primary(struct rig *r, const uint8_t *frame, size_t len, bool partial)
{
    struct packet_vnet v = rig_vnet(frame, len, partial);

    return compare_primary(r->engine, frame, len, &v, r->now);
}

int rig_secondary(struct rig *r, const uint8_t *frame, size_t len,
                  bool partial)
{
    struct packet_vnet v = rig_vnet(frame, len, partial);
    struct compare_meta meta = { .epoch = r->epoch };

    return compare_secondary(r->engine, &meta, frame, len, &v, r->now);
}

void rig_wait(struct rig *r, unsigned int ms)
{
    uint64_t until = r->now + ms * NS_PER_MS, next;

    while ((next = compare_deadline(r->engine)) <= until) {
        if (next > r->now) r->now = next;
        compare_tick(r->engine, r->now);
        /* One that does not move on would keep us here. */
        if (compare_deadline(r->engine) <= r->now) break;
    }
    r->now = until;
}

unsigned int rig_take(struct rig *r, rig_fn *fn, void *ctx)
{
    struct compare_packet *p;
    unsigned int n = 0;

    for (; (p = compare_next(r->engine)); n++) {
        fn(ctx, p);
        compare_put(r->engine, p);
    }
    return n;
}

void rig_checkpoint(struct rig *r)
{
    r->now += NS_PER_MS;
    r->epoch++;
    if (compare_cut(r->engine, r->epoch, r->now) ||
        compare_commit(r->engine, r->epoch, r->now))
        abort();
    compare_svm_connected(r->engine, r->now);
}

bool rig_wanted(const struct rig *r)
{
    return compare_wanted(r->engine, NULL);
}
