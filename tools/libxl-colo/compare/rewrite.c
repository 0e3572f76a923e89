/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite.c - Let the secondary's TCP connections speak as the primary's do
 *
 * Theory of operation: each frame is parsed, its flow looked up once, the
 * connection's state follows the segment (rewrite-conn), and what the state
 * says is added to the header's fields (rewrite-edit). Towards the guest that
 * is ack, SACK blocks and the echoed timestamp; from the guest seq and the
 * timestamp's value. Quotes in ICMP errors are headers that went the other
 * way. A frame that can't be understood is nobody's connection and passes.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rewrite-conn.h"
#include "rewrite-edit.h"
#include "rewrite-hold.h"

#define FLOWS_MAX (1u << 24)
#define HELD_MAX  (1u << 28)

int rewrite_new(struct rewrite **out, const struct rewrite_opts *opts,
                struct xlc_error *err)
{
    struct rewrite *r;
    int rc;

    if (!opts->flows || opts->flows > FLOWS_MAX ||
        opts->held < PACKET_MAX || opts->held > HELD_MAX)
        return xlc_error_set(err, -EINVAL,
                             "rewriter: %u flows and %u octets of held "
                             "segments are not within 1-%u and %u-%u",
                             opts->flows, opts->held, FLOWS_MAX, PACKET_MAX,
                             HELD_MAX);
    r = calloc(1, sizeof(*r));
    if (!r) goto nomem;
    r->arena_size = opts->held;
    r->arena = malloc(opts->held);
    rc = rewrite_flow_init(r, opts->flows, opts->hash_key);
    if (!rc && r->arena) {
        *out = r;
        return 0;
    }
    rewrite_free(r);
nomem:
    return xlc_error_set(err, -ENOMEM, "rewriter: no memory for %u flows",
                         opts->flows);
}

void rewrite_free(struct rewrite *r)
{
    if (!r) return;
    free(r->flows);
    free(r->buckets);
    free(r->arena);
    free(r);
}

/* The header of a PACKET_TCP. */
static void header_of(struct rewrite_hdr *h, const struct packet *p,
                      uint8_t *frame)
{
    memset(h, 0, sizeof(*h));
    h->tcp = frame + p->l4;
    h->hlen = p->payload - p->l4;
    h->sum = p->partial ? NULL : h->tcp + 16;
}

static void segment_of(struct rewrite_seg *s, const struct packet *p,
                       const struct rewrite_hdr *h,
                       const struct rewrite_opts_at *o)
{
    *s = (struct rewrite_seg){
        .seq = p->seq, .ack = p->ack, .len = packet_payload_len(p),
        .flags = p->flags, .win = p->win,
        .has_wscale = o->has_wscale, .wscale = o->wscale,
    };
    if (!o->ts) return;
    s->has_ts = true;
    s->tsval = packet_get32(h->tcp + o->ts);
    s->tsecr = packet_get32(h->tcp + o->ts + 4);
}

/* A change would break the signature: the checkpoint will make it needless. */
static bool leave_signed(struct rewrite *r, const struct rewrite_flow *f,
                         const struct rewrite_opts_at *o)
{
    if (!o->is_signed || (!f->off && !f->ts_off)) return false;
    r->stats.signed_segments++;
    r->want |= REWRITE_WANT_SIGNED;
    return true;
}

/* Towards the guest, what the state says now. Return: was it changed? */
static bool translate_in(struct rewrite *r, const struct rewrite_flow *f,
                         const struct rewrite_hdr *h,
                         const struct rewrite_opts_at *o)
{
    struct rewrite_add add = { 0 };

    if (!(h->tcp[13] & PACKET_ACK)) return false;
    if (leave_signed(r, f, o)) return false;
    add.ack = add.sack = rewrite_conn_off(f);
    if (o->ts) {
        uint32_t tsecr = packet_get32(h->tcp + o->ts + 4);

        add.tsecr = rewrite_conn_ts_in(f, tsecr) - tsecr;
    }
    return rewrite_edit_add(h, o, &add);
}

static bool translate_out(struct rewrite *r, struct rewrite_flow *f,
                          const struct rewrite_hdr *h,
                          const struct rewrite_opts_at *o, uint64_t now,
                          uint32_t *seq_off)
{
    struct rewrite_add add = { 0 };

    if (o->ts)
        add.tsval = rewrite_conn_ts_out(r, f, packet_get32(h->tcp + o->ts),
                                        h->tcp[13] & PACKET_SYN, now);
    if (leave_signed(r, f, o)) return false;
    add.seq = 0 - rewrite_conn_off(f);
    *seq_off = add.seq;
    return rewrite_edit_add(h, o, &add);
}

/* A segment of a known flow, when it need not wait. */
static enum rewrite_verdict deliver_in(struct rewrite *r,
                                       struct rewrite_flow *f,
                                       const struct packet *p, uint8_t *frame,
                                       uint64_t now)
{
    struct rewrite_opts_at o;
    struct rewrite_hdr h;
    struct rewrite_seg s;
    bool done;

    header_of(&h, p, frame);
    rewrite_edit_options(&o, &h);
    segment_of(&s, p, &h, &o);
    rewrite_conn_in(r, f, &s, now);
    done = translate_in(r, f, &h, &o);
    rewrite_flow_touch(r, f, now);
    return done ? REWRITE_DONE : REWRITE_PASS;
}

static enum rewrite_verdict tcp_in(struct rewrite *r, const struct packet *p,
                                   uint8_t *frame, size_t len,
                                   const struct packet_vnet *vnet,
                                   uint64_t now)
{
    struct packet_key seen, key;
    struct rewrite_flow *f;
    bool syn = p->flags & PACKET_SYN && !(p->flags & PACKET_ACK);

    packet_key(&seen, p, frame);
    packet_key_reverse(&key, &seen);
    f = rewrite_flow_find(r, &key);
    if (!f && syn && !r->failover && !(p->flags & PACKET_RST))
        f = rewrite_flow_add(r, &key, now);
    if (!f) return REWRITE_PASS;
    if (syn || (!f->held && !rewrite_hold_must(f)))
        return deliver_in(r, f, p, frame, now);
    if (rewrite_hold_put(r, f, frame, len, vnet)) {
        r->stats.held++;
        return REWRITE_HELD;
    }
    r->stats.held_dropped++;
    r->want |= REWRITE_WANT_HELD;
    return REWRITE_DROP;
}

bool rewrite_take(struct rewrite *r, struct rewrite_held *h, uint64_t now)
{
    struct rewrite_flow *f;
    struct rewrite_rec rec;
    struct packet p;
    uint8_t *frame = rewrite_hold_get(r, &rec, &f);

    if (!frame) return false;
    packet_parse(&p, frame, rec.len, &rec.vnet);
    if (deliver_in(r, f, &p, frame, now) == REWRITE_DONE) r->stats.in_done++;
    h->frame = frame;
    h->len = rec.len;
    h->vnet = rec.vnet;
    return true;
}

static enum rewrite_verdict tcp_out(struct rewrite *r, const struct packet *p,
                                    uint8_t *frame, uint64_t now,
                                    uint32_t *seq_off)
{
    struct rewrite_opts_at o;
    struct packet_key key;
    struct rewrite_flow *f;
    struct rewrite_hdr h;
    struct rewrite_seg s;
    bool done;

    packet_key(&key, p, frame);
    f = rewrite_flow_find(r, &key);
    if (!f && (r->failover || p->flags & PACKET_RST)) return REWRITE_PASS;
    header_of(&h, p, frame);
    rewrite_edit_options(&o, &h);
    if (!f && !(p->flags & PACKET_SYN) && !o.ts) return REWRITE_PASS;
    if (!f) f = rewrite_flow_add(r, &key, now);
    if (!f) return REWRITE_PASS;
    segment_of(&s, p, &h, &o);
    switch (rewrite_conn_out(r, f, &s, now)) {
    case REWRITE_USELESS:
        rewrite_flow_del(r, f);
        return REWRITE_PASS;
    case REWRITE_REFUSED:
        rewrite_flow_touch(r, f, now);
        return REWRITE_PASS;
    default:
        break;
    }
    done = translate_out(r, f, &h, &o, now, seq_off);
    rewrite_flow_touch(r, f, now);
    return done ? REWRITE_DONE : REWRITE_PASS;
}

/*
 * The first fragment of a TCP segment: its header is translated if it is
 * whole; the checksum, which covers all fragments, follows. The others hold
 * nothing to translate. Its connection's state does not follow: how long the
 * segment is can't be known.
 */
static enum rewrite_verdict fragment(struct rewrite *r,
                                     const struct packet *p, uint8_t *frame,
                                     bool in, uint64_t now,
                                     uint32_t *seq_off)
{
    size_t have = p->end - p->l4, hlen;
    struct packet as_tcp = *p;
    struct rewrite_opts_at o;
    struct packet_key seen, key;
    struct rewrite_flow *f;
    struct rewrite_hdr h;
    bool done;

    if (p->frag_off || p->proto != PACKET_IP_TCP || have < 4)
        return REWRITE_PASS;
    as_tcp.kind = PACKET_TCP;
    packet_key(&seen, &as_tcp, frame);
    key = seen;
    if (in) packet_key_reverse(&key, &seen);
    f = rewrite_flow_find(r, &key);
    if (!f) return REWRITE_PASS;
    hlen = have < 13 ? 0 : (size_t)(frame[p->l4 + 12] >> 4) * 4;
    if (hlen < PACKET_TCP_HLEN || hlen > have ||
        (in && (f->held || rewrite_hold_must(f)))) {
        if (!rewrite_conn_off(f) && !f->ts_off && !rewrite_hold_must(f))
            return REWRITE_PASS;
        r->stats.tiny++;
        r->want |= REWRITE_WANT_TINY;
        return REWRITE_DROP;
    }
    memset(&h, 0, sizeof(h));
    h.tcp = frame + p->l4;
    h.hlen = hlen;
    h.sum = h.tcp + 16;
    rewrite_edit_options(&o, &h);
    if (in) return translate_in(r, f, &h, &o) ? REWRITE_DONE : REWRITE_PASS;
    done = translate_out(r, f, &h, &o, now, seq_off);
    rewrite_keep_put(r, f);
    return done ? REWRITE_DONE : REWRITE_PASS;
}

/* An ICMP error quotes what went the other way. */
static enum rewrite_verdict icmp(struct rewrite *r, const struct packet *p,
                                 uint8_t *frame, bool in)
{
    struct packet_key seen, key;
    struct rewrite_add add = { 0 };
    struct rewrite_opts_at o;
    struct rewrite_flow *f;
    struct rewrite_hdr h;
    uint32_t off;

    if (!rewrite_edit_quote(&h, &seen, p, frame)) return REWRITE_PASS;
    key = seen;
    if (!in) packet_key_reverse(&key, &seen);
    f = rewrite_flow_find(r, &key);
    if (!f) return REWRITE_PASS;
    rewrite_edit_options(&o, &h);
    if (o.is_signed) return REWRITE_PASS;
    off = rewrite_conn_off(f);
    if (in) {
        add.seq = off;
        add.tsval = 0 - f->ts_off;
    } else if (h.hlen >= 14 && h.tcp[13] & PACKET_ACK) {
        add.ack = add.sack = 0 - off;
        add.tsecr = f->ts_off;
    }
    if (!rewrite_edit_add(&h, &o, &add)) return REWRITE_PASS;
    r->stats.icmp++;
    return REWRITE_DONE;
}

enum rewrite_verdict rewrite_in(struct rewrite *r, uint8_t *frame, size_t len,
                                const struct packet_vnet *vnet, uint64_t now)
{
    enum rewrite_verdict v = REWRITE_PASS;
    struct packet p;
    uint32_t seq_off;

    r->stats.in++;
    packet_parse(&p, frame, len, vnet);
    if (p.kind == PACKET_TCP) v = tcp_in(r, &p, frame, len, vnet, now);
    if (p.kind == PACKET_FRAG)
        v = fragment(r, &p, frame, true, now, &seq_off);
    if (p.kind == PACKET_ICMP) v = icmp(r, &p, frame, true);
    if (v == REWRITE_DONE) r->stats.in_done++;
    return v;
}

enum rewrite_verdict rewrite_out(struct rewrite *r, uint8_t *frame, size_t len,
                                 const struct packet_vnet *vnet, uint64_t now,
                                 uint32_t *seq_off)
{
    enum rewrite_verdict v = REWRITE_PASS;
    struct packet p;

    *seq_off = 0;
    r->stats.out++;
    packet_parse(&p, frame, len, vnet);
    if (p.kind == PACKET_TCP) v = tcp_out(r, &p, frame, now, seq_off);
    if (p.kind == PACKET_FRAG)
        v = fragment(r, &p, frame, false, now, seq_off);
    if (p.kind == PACKET_ICMP) v = icmp(r, &p, frame, false);
    if (v == REWRITE_DONE) r->stats.out_done++;
    return v;
}

/* A flow that the primary told of. Return: NULL if it does not matter. */
static struct rewrite_flow *told_flow(struct rewrite *r,
                                      const struct packet_key *key,
                                      uint64_t now)
{
    struct rewrite_flow *f;

    if (r->failover || key->kind != PACKET_TCP) return NULL;
    f = rewrite_flow_find(r, key);
    return f ? f : rewrite_flow_add(r, key, now);
}

void rewrite_isn(struct rewrite *r, const struct packet_key *key,
                 uint32_t isn, uint64_t now)
{
    struct rewrite_flow *f = told_flow(r, key, now);

    if (!f) return;
    rewrite_conn_told(r, f, isn);
    rewrite_flow_touch(r, f, now);
}

void rewrite_tsval(struct rewrite *r, const struct packet_key *key,
                   uint32_t tsval, uint64_t now)
{
    struct rewrite_flow *f = told_flow(r, key, now);

    if (!f) return;
    if (!(f->flags & (FLOW_OPEN | FLOW_HALF))) f->flags |= FLOW_EST;
    rewrite_conn_mark(r, f, tsval, now);
    rewrite_flow_touch(r, f, now);
}

void rewrite_cut(struct rewrite *r, uint64_t now)
{
    if (r->failover) return;
    rewrite_hold_clear(r);
    for (unsigned int c = 0; c < REWRITE_NCLASSES; c++) {
        uint32_t i = r->head[c], next;

        for (; i != REWRITE_NONE; i = next) {
            struct rewrite_flow *f = &r->flows[i];

            next = f->next;
            if (!rewrite_conn_cut(r, f)) rewrite_flow_del(r, f);
            else if (c != REWRITE_PLAIN) rewrite_flow_touch(r, f, now);
        }
    }
    r->want = 0;
    r->stats.cuts++;
}

void rewrite_failover(struct rewrite *r, uint64_t now)
{
    if (r->failover) return;
    r->failover = true;
    r->want = 0;
    r->generation++;
    rewrite_flow_expire(r, now);
    for (unsigned int c = 0; c < REWRITE_NCLASSES; c++) {
        uint32_t i = r->head[c], next;

        for (; i != REWRITE_NONE; i = next) {
            next = r->flows[i].next;
            if (!rewrite_conn_failover(&r->flows[i]))
                rewrite_flow_del(r, &r->flows[i]);
        }
    }
}

void rewrite_tick(struct rewrite *r, uint64_t now)
{
    rewrite_flow_expire(r, now);
}

uint32_t rewrite_live(const struct rewrite *r)
{
    return r->failover ? r->used : r->offsets;
}

uint32_t rewrite_wanted(const struct rewrite *r)
{
    return r->want;
}

uint64_t rewrite_generation(const struct rewrite *r)
{
    return r->generation;
}

void rewrite_get_stats(const struct rewrite *r, struct rewrite_stats *s)
{
    *s = r->stats;
    s->flows = r->used;
    s->offsets = r->offsets;
}

size_t rewrite_flow_size(void)
{
    return sizeof(struct rewrite_flow) + 2 * sizeof(uint32_t);
}
