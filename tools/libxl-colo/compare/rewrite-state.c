/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-state.c - The rewriter's table as octets, and back
 *
 * The format is in docs/rewrite.md. Flows are in the order of their keys, and
 * what is not known is zero, so that one table has one form and a flow that is
 * there twice is seen without a second table. An import is checked whole, then
 * stored.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "cleanup.h"
#include "rewrite-hold.h"
#include "rewrite-state.h"

#define STATE_MAGIC   0x584c5257u /* "XLRW" */
#define STATE_VERSION 1u
#define STATE_HDR     24u
#define STATE_FLOW    REWRITE_STATE_FLOW
#define STATE_SUM     8u
#define STATE_ADDRS   44u /* octets of a flow that are its key */

#define VLAN_MAX  4096u
#define SCALE_MAX 14u
#define FAILOVER  1u

size_t rewrite_export_size(const struct rewrite *r)
{
    return STATE_HDR + (size_t)r->used * STATE_FLOW + STATE_SUM;
}

static uint32_t seconds(uint64_t from, uint64_t now)
{
    uint64_t s = (now - from) / REWRITE_SEC;

    return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static void put_key(struct wcur *c, const struct packet_key *key)
{
    wcur_bytes(c, key->src, sizeof(key->src));
    wcur_bytes(c, key->dst, sizeof(key->dst));
    wcur_u16(c, key->sport);
    wcur_u16(c, key->dport);
    wcur_u16(c, key->vlan[0]);
    wcur_u16(c, key->vlan[1]);
    wcur_u8(c, key->family);
    wcur_zero(c, 3);
}

static uint32_t if_set(uint16_t flags, uint32_t value)
{
    return flags ? value : 0;
}

void rewrite_state_put(struct wcur *c, const struct rewrite_flow *f,
                       uint64_t now)
{
    uint16_t fl = f->flags;

    put_key(c, &f->key);
    wcur_u16(c, fl);
    wcur_u8(c, f->scale);
    wcur_u8(c, 0);
    wcur_u32(c, f->off);
    wcur_u32(c, if_set(fl & FLOW_KNOW_P, f->isn_p));
    wcur_u32(c, if_set(fl & FLOW_KNOW_S, f->isn_s));
    wcur_u32(c, if_set(fl & FLOW_HAVE_C, f->isn_c));
    wcur_u32(c, f->ts_off);
    wcur_u32(c, if_set(fl & FLOW_MARK, f->ts_mark));
    wcur_u32(c, if_set(fl & FLOW_LAST, f->ts_last));
    wcur_u32(c, if_set(fl & FLOW_RCV, f->ack_out));
    wcur_u32(c, if_set(fl & FLOW_FIN_OUT, f->fin_out));
    wcur_u32(c, if_set(fl & FLOW_FIN_IN, f->fin_in));
    wcur_u16(c, fl & FLOW_RCV ? f->win : 0);
    wcur_zero(c, 2);
    wcur_u32(c, if_set(fl & FLOW_MARK, seconds(f->mark_at, now)));
}

/* In the order of what put_key() writes. */
static int by_key(const void *a, const void *b)
{
    const struct packet_key *x = &(*(const struct rewrite_flow *const *)a)->key;
    const struct packet_key *y = &(*(const struct rewrite_flow *const *)b)->key;
    int r = memcmp(x->src, y->src, sizeof(x->src));

    if (!r) r = memcmp(x->dst, y->dst, sizeof(x->dst));
    if (!r) r = x->sport - y->sport;
    if (!r) r = x->dport - y->dport;
    if (!r) r = x->vlan[0] - y->vlan[0];
    if (!r) r = x->vlan[1] - y->vlan[1];
    return r ? r : x->family - y->family;
}

static void put_header(struct wcur *c, uint32_t n, bool failover)
{
    uint8_t buf[STATE_HDR];
    struct wcur h = { buf, sizeof(buf), false };

    wcur_u32(&h, STATE_MAGIC);
    wcur_u16(&h, STATE_VERSION);
    wcur_u16(&h, STATE_FLOW);
    wcur_u32(&h, n);
    wcur_u8(&h, failover ? FAILOVER : 0);
    wcur_zero(&h, 11);
    wcur_bytes(c, buf, sizeof(buf));
}

int rewrite_export(const struct rewrite *r, uint8_t *buf, size_t size,
                   size_t *len, uint64_t now, struct xlc_error *err)
{
    CLEANUP_FREE const struct rewrite_flow **sorted = NULL;
    size_t need = rewrite_export_size(r), n = 0;
    struct wcur c = { buf, need, false };

    if (size < need)
        return xlc_error_set(err, -ENOSPC,
                             "rewriter: its state takes %zu octets, there is "
                             "room for %zu", need, size);
    sorted = calloc(r->used + 1u, sizeof(*sorted));
    if (!sorted)
        return xlc_error_set(err, -ENOMEM,
                             "rewriter: no memory to export %u flows",
                             r->used);
    for (unsigned int k = 0; k < REWRITE_NCLASSES; k++)
        for (uint32_t i = r->head[k]; i != REWRITE_NONE; i = r->flows[i].next)
            sorted[n++] = &r->flows[i];
    qsort(sorted, n, sizeof(*sorted), by_key);
    put_header(&c, (uint32_t)n, r->failover);
    for (size_t i = 0; i < n; i++)
        rewrite_state_put(&c, sorted[i], now);
    wcur_u64(&c, XXH64(buf, need - STATE_SUM, 0));
    *len = need;
    return 0;
}

static void get_key(struct rcur *c, struct packet_key *key)
{
    memset(key, 0, sizeof(*key));
    rcur_bytes(c, key->src, sizeof(key->src));
    rcur_bytes(c, key->dst, sizeof(key->dst));
    key->sport = rcur_u16(c);
    key->dport = rcur_u16(c);
    key->vlan[0] = rcur_u16(c);
    key->vlan[1] = rcur_u16(c);
    key->family = rcur_u8(c);
    rcur_zero(c, 3);
    key->proto = PACKET_IP_TCP;
    key->kind = PACKET_TCP;
}

/* What was zero because it is not known must be. */
static uint32_t get_if(struct rcur *c, uint16_t flags)
{
    uint32_t v = rcur_u32(c);

    if (v && !flags) c->bad = true;
    return v;
}

void rewrite_state_get(struct rcur *c, struct rewrite_saved *s)
{
    struct rewrite_flow *f = &s->f;
    uint16_t fl;

    memset(s, 0, sizeof(*s));
    get_key(c, &f->key);
    fl = f->flags = rcur_u16(c);
    f->scale = rcur_u8(c);
    rcur_zero(c, 1);
    f->off = rcur_u32(c);
    f->isn_p = get_if(c, fl & FLOW_KNOW_P);
    f->isn_s = get_if(c, fl & FLOW_KNOW_S);
    f->isn_c = get_if(c, fl & FLOW_HAVE_C);
    f->ts_off = rcur_u32(c);
    f->ts_mark = get_if(c, fl & FLOW_MARK);
    f->ts_last = get_if(c, fl & FLOW_LAST);
    f->ack_out = get_if(c, fl & FLOW_RCV);
    f->fin_out = get_if(c, fl & FLOW_FIN_OUT);
    f->fin_in = get_if(c, fl & FLOW_FIN_IN);
    f->win = rcur_u16(c);
    if (f->win && !(fl & FLOW_RCV)) c->bad = true;
    rcur_zero(c, 2);
    s->mark_s = get_if(c, fl & FLOW_MARK);
}

static bool key_makes_sense(const struct packet_key *key)
{
    static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };

    if (key->family == 4) {
        if (memcmp(key->src, v4, sizeof(v4)) ||
            memcmp(key->dst, v4, sizeof(v4))) return false;
    } else if (key->family != 6) {
        return false;
    }
    return key->vlan[0] <= VLAN_MAX && key->vlan[1] <= VLAN_MAX &&
           (key->vlan[0] || !key->vlan[1]);
}

bool rewrite_state_sane(const struct rewrite_saved *s, bool failover)
{
    const uint16_t both = FLOW_KNOW_P | FLOW_KNOW_S;
    uint16_t fl = s->f.flags;

    if (!key_makes_sense(&s->f.key) || s->f.scale > SCALE_MAX) return false;
    if ((fl & FLOW_FIN_OUT_OK && !(fl & FLOW_FIN_OUT)) ||
        (fl & FLOW_FIN_IN_OK && !(fl & FLOW_FIN_IN)) ||
        (fl & FLOW_RST_EXACT && !(fl & FLOW_RST)) ||
        (fl & FLOW_NATIVE &&
         !(failover && fl & (FLOW_OPEN | FLOW_HALF))))
        return false;
    if ((fl & both) != both) return true;
    return !(fl & FLOW_OPEN) && s->f.off == s->f.isn_s - s->f.isn_p;
}

static int bad(struct xlc_error *err, const char *why)
{
    return xlc_error_set(err, -EPROTO,
                         "rewriter: the saved state is not usable: %s", why);
}

static int check_header(const struct rewrite *r, struct rcur *c,
                        const uint8_t *buf, size_t len, uint32_t *n,
                        uint8_t *mode, struct xlc_error *err)
{
    struct rcur sum;
    uint16_t version, size;

    if (rcur_u32(c) != STATE_MAGIC || len < STATE_HDR + STATE_SUM)
        return bad(err, "it is cut or something else");
    version = rcur_u16(c);
    if (version != STATE_VERSION)
        return xlc_error_set(err, -EPROTO,
                             "rewriter: the saved state is of version %u, "
                             "known is %u", version, STATE_VERSION);
    size = rcur_u16(c);
    *n = rcur_u32(c);
    *mode = rcur_u8(c);
    rcur_zero(c, 11);
    if (c->bad || size != STATE_FLOW || *mode > FAILOVER)
        return bad(err, "its header is wrong");
    if (len - STATE_HDR - STATE_SUM != (uint64_t)*n * STATE_FLOW)
        return bad(err, "its length is wrong");
    sum = (struct rcur){ buf + len - STATE_SUM, STATE_SUM, false };
    if (rcur_u64(&sum) != XXH64(buf, len - STATE_SUM, 0))
        return bad(err, "its checksum is wrong");
    if (*n > r->max)
        return xlc_error_set(err, -ENOSPC,
                             "rewriter: the saved state has %u flows, the "
                             "table holds %u", *n, r->max);
    return 0;
}

void rewrite_state_store(struct rewrite *r, struct rewrite_flow *f,
                         const struct rewrite_saved *s, uint64_t saved_at,
                         uint64_t now)
{
    f->flags = s->f.flags;
    f->scale = s->f.scale;
    f->win = s->f.win;
    f->isn_p = s->f.isn_p;
    f->isn_s = s->f.isn_s;
    f->isn_c = s->f.isn_c;
    f->ts_mark = s->f.ts_mark;
    f->ts_last = s->f.ts_last;
    f->ack_out = s->f.ack_out;
    f->fin_out = s->f.fin_out;
    f->fin_in = s->f.fin_in;
    f->mark_at = saved_at - s->mark_s * REWRITE_SEC;
    rewrite_flow_offsets(r, f, s->f.off, s->f.ts_off);
    /* How long it was silent is not kept: that counts from now. */
    rewrite_flow_touch(r, f, now);
}

int rewrite_import(struct rewrite *r, const uint8_t *buf, size_t len,
                   uint64_t now, struct xlc_error *err)
{
    struct rcur c = { buf, len, false };
    const uint8_t *before = NULL;
    struct rewrite_saved s;
    uint8_t mode = 0;
    uint32_t n = 0;
    int rc = check_header(r, &c, buf, len, &n, &mode, err);

    if (rc) return rc;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *at = c.p;

        rewrite_state_get(&c, &s);
        if (c.bad || !rewrite_state_sane(&s, mode == FAILOVER))
            return bad(err, "a flow is impossible");
        if (before && memcmp(before, at, STATE_ADDRS) >= 0)
            return bad(err, "its flows are not in order");
        before = at;
    }
    rewrite_flow_clear(r);
    r->failover = mode == FAILOVER;
    c = (struct rcur){ buf + STATE_HDR, len - STATE_HDR, false };
    for (uint32_t i = 0; i < n; i++) {
        rewrite_state_get(&c, &s);
        rewrite_state_store(r, rewrite_flow_add(r, &s.f.key, now), &s, now,
                            now);
    }
    return 0;
}
