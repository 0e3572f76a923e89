/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * compare.c - The engine's entrances and exits
 *
 * engine.h tells how it works; fifo.c and tcp*.c compare, epoch.c draws cuts
 * and watches the clock.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define BOUND_MAX (UINT32_C(1) << 24)

static const char *const reason_names[COMPARE_NREASONS] = {
    [COMPARE_OK] = "none",          [COMPARE_PAYLOAD] = "payload",
    [COMPARE_HEADER] = "header",    [COMPARE_OPTIONS] = "options",
    [COMPARE_LATE] = "late",        [COMPARE_EXTRA] = "extra",
    [COMPARE_ACK] = "ack",          [COMPARE_UNPLUGGED] = "unplugged",
    [COMPARE_FULL] = "full",        [COMPARE_ABORTED] = "aborted",
};

const char *compare_reason_name(enum compare_reason reason)
{
    return reason < COMPARE_NREASONS ? reason_names[reason] : "unknown";
}

size_t compare_flow_size(void)
{
    /* The index has two to four places for each flow. */
    return sizeof(struct flow) + 2 * sizeof(struct bucket);
}

static bool rule_is_valid(const struct compare_rule *r)
{
    if (r->family != 0 && r->family != 4 && r->family != 6) return false;
    return r->prefix <= (r->family == 4 ? 32 : r->family == 6 ? 128 : 0);
}

static int check_opts(const struct compare_opts *o, struct xlc_error *err)
{
    if (!o->flows || o->flows > BOUND_MAX)
        return xlc_error_set(err, -EINVAL, "compare: bad number of flows");
    if (o->packets < 16 || o->packets > BOUND_MAX || o->jumbos < 4 ||
        o->jumbos > BOUND_MAX / 32 || o->bytes < 4 * PACKET_MAX)
        return xlc_error_set(err, -EINVAL,
                             "compare: bad bounds on packets or bytes");
    for (size_t i = 0; i < o->nrules; i++)
        if (!rule_is_valid(&o->rules[i]))
            return xlc_error_set(err, -EINVAL, "compare: rule %zu is bad", i);
    return 0;
}

int compare_new(struct compare **out, const struct compare_opts *opts,
                struct xlc_error *err)
{
    struct compare *c;
    int r = check_opts(opts, err);

    if (r) return r;
    c = calloc(1, sizeof(*c));
    if (!c) return xlc_error_set(err, -ENOMEM, "compare: out of memory");
    c->o = *opts;
    c->arrival = 1;
    c->mode = c->next_mode = opts->mode;
    c->epoch = opts->epoch;
    ring_init(&c->held);
    ring_init(&c->wait);
    ring_init(&c->waited);
    ring_init(&c->s_held);
    ring_init(&c->out);
    ring_init(&c->owed);
    if (opts->nrules) {
        c->rules = calloc(opts->nrules, sizeof(*c->rules));
        if (!c->rules) r = -ENOMEM;
        else memcpy(c->rules, opts->rules, opts->nrules * sizeof(*c->rules));
    }
    if (!r) r = pool_init(&c->pool, &c->o);
    if (!r) r = flow_init(c);
    if (r) {
        compare_free(c);
        return xlc_error_set(err, r, "compare: out of memory");
    }
    *out = c;
    return 0;
}

void compare_free(struct compare *c)
{
    if (!c) return;
    flow_dispose(c);
    pool_dispose(&c->pool);
    free(c->rules);
    free(c);
}

/* ---- Verdicts ----------------------------------------------------------- */

/* Ask for a checkpoint; @f is the flow, or NULL. The first reason stays. */
void want(struct compare *c, enum compare_reason reason,
          const struct flow *f, uint64_t now)
{
    if (c->want.reason != COMPARE_OK || c->open) return;
    c->want.reason = reason;
    c->want.since = now;
    if (f) c->want.key = f->key;
    c->st.wanted[reason]++;
    c->st.run_ns = now - c->cut_at;
}

void compare_want_now(struct compare *c, enum compare_reason reason,
                      uint64_t now)
{
    if (reason > COMPARE_OK && reason < COMPARE_NREASONS)
        want(c, reason, NULL, now);
}

bool compare_wanted(const struct compare *c, struct compare_want *w)
{
    if (w) *w = c->want;
    return c->want.reason != COMPARE_OK;
}

static void drop_all(struct compare *c, struct ring *list)
{
    while (!ring_empty(list))
        drop_secondary(c, ring_entry(list->next, struct slot, in_flow));
}

/* The sides differ: nothing of @f leaves before a commit covers it. */
void flow_bad(struct compare *c, struct flow *f, enum compare_reason reason,
              uint64_t now)
{
    f->bad = true;
    drop_all(c, &f->sq);
    drop_all(c, &f->later);
    want(c, reason, f, now);
}

/* A frame of the primary leaves the queue of @f and all lists. */
void leave(struct flow *f, struct slot *s)
{
    struct ring *next = s->in_flow.next;
    struct slot *n = next == &f->pq ? NULL
                                    : ring_entry(next, struct slot, in_flow);

    if (f->cmp == s) f->cmp = n;
    if (f->data == s) f->data = n;
    ring_del(&s->in_flow);
    ring_del(&s->in_wait);
    ring_del(&s->in_all);
}

/* A frame of the primary leaves its flow, if it is in one, for the caller. */
void release(struct compare *c, struct slot *s)
{
    uint64_t held = c->now > s->time ? c->now - s->time : 0;

    if (!s->flow || s->flow->key.kind != PACKET_TCP)
        c->st.said += s->pub.len;
    if (s->flow) leave(s->flow, s);
    ring_add(&c->out, &s->in_all);
    c->st.held_ns += held;
    if (held > c->longest_ns) c->longest_ns = held;
    s->flow = NULL;
    c->nout++;
    c->st.held--;
    c->st.held_bytes -= s->pub.len;
    c->st.released++;
}

/* Release what may leave from the head of @f, which is as of the last cut. */
void flow_pump(struct compare *c, struct flow *f, uint64_t now)
{
    bool tcp = f->key.kind == PACKET_TCP;

    while (!ring_empty(&f->pq)) {
        struct slot *s = ring_entry(f->pq.next, struct slot, in_flow);

        if (s->arrival < c->committed) {
            if (tcp) ack_committed(c, f, s);
            c->st.committed++;
            release(c, s);
            continue;
        }
        if (!covered(c) || c->mode != COMPARE_COLO || f->pass || f->bad)
            return;
        if (tcp && s->seg.gen != f->tcp.gen) {
            tcp_switch(c, f, s->seg.gen, now);
            continue;
        }
        if (tcp) {
            if (!tcp_release(c, f, s, now)) return;
            continue;
        }
        if (!s->matched) return;
        c->st.compared++;
        release(c, s);
    }
}

struct compare_packet *compare_next(struct compare *c)
{
    struct slot *s;

    if (ring_empty(&c->out)) return NULL;
    s = ring_entry(c->out.next, struct slot, in_all);
    ring_del(&s->in_all);
    return &s->pub;
}

void compare_put(struct compare *c, struct compare_packet *p)
{
    c->nout--;
    pool_put(&c->pool, ring_entry(p, struct slot, pub));
}

bool compare_next_isn(struct compare *c, struct compare_isn *isn)
{
    if (!c->isn_n) return false;
    *isn = c->isn[c->isn_head];
    c->isn_head = (c->isn_head + 1) % ISN_EVENTS;
    c->isn_n--;
    return true;
}

/* ---- The primary -------------------------------------------------------- */

bool compare_full(const struct compare *c)
{
    return !pool_room(&c->pool, false) || !ring_empty(&c->over.pq);
}

/* Queue a frame that is in its slot's buffer, and see what may leave. */
static void primary_in(struct compare *c, struct slot *s, size_t len,
                       const struct packet_vnet *vnet, uint64_t now)
{
    struct packet_key key;
    struct flow *f;

    s->pub.len = (uint32_t)len;
    s->pub.vnet = vnet ? *vnet : (struct packet_vnet){ 0 };
    s->seg = (struct seg){ .frame = s->buf, .vnet = s->pub.vnet };
    s->arrival = c->arrival++;
    c->now = s->time = now;
    c->pool.bytes += len;
    c->st.primary++;
    c->st.held_bytes += len;
    if (++c->st.held > c->st.held_max) c->st.held_max = c->st.held;
    packet_parse(&s->seg.pk, s->buf, len, &s->pub.vnet);
    packet_key(&key, &s->seg.pk, s->buf);
    f = flow_get(c, &key, now);
    if (f && key.kind == PACKET_TCP) tcp_note(c, f, s);
    if (c->open) {
        if (f && key.kind == PACKET_TCP) ack_released(c, f, s);
        release(c, s);
        return;
    }
    if (!f) {
        f = &c->over;
        want(c, COMPARE_FULL, NULL, now);
    }
    s->flow = f;
    ring_add(&f->pq, &s->in_flow);
    ring_add(&c->held, &s->in_all);
    if (c->mode == COMPARE_COLO && !f->pass) {
        ring_add(&c->wait, &s->in_wait);
        if (!f->cmp) f->cmp = s;
        if (!f->data) f->data = s;
        if (!f->bad) {
            if (key.kind == PACKET_TCP) tcp_primary(c, f, s, now);
            else fifo_primary(c, f, s, now);
            flow_pump(c, f, now);
            if (key.kind == PACKET_TCP) tcp_overtake(c, f, s, now);
        }
    }
    /* What only waits to be written asks for no checkpoint. */
    if (!pool_room(&c->pool, false) && c->nout < c->st.held)
        want(c, COMPARE_FULL, NULL, now);
}

uint8_t *compare_room(struct compare *c, size_t *size)
{
    if (!pool_room(&c->pool, false)) {
        c->st.refused++;
        return NULL;
    }
    if (!c->room) c->room = pool_get(&c->pool, true);
    *size = PACKET_MAX;
    return c->room->buf;
}

int compare_filled(struct compare *c, size_t len,
                   const struct packet_vnet *vnet, uint64_t now)
{
    struct slot *s = NULL;

    if (!len || len > PACKET_MAX || !c->room) return -EINVAL;
    if (len <= SLOT_SMALL) s = pool_get(&c->pool, false);
    if (s) {
        memcpy(s->buf, c->room->buf, len);
    } else {
        s = c->room;
        c->room = NULL;
    }
    primary_in(c, s, len, vnet, now);
    return 0;
}

int compare_primary(struct compare *c, const uint8_t *frame, size_t len,
                    const struct packet_vnet *vnet, uint64_t now)
{
    struct slot *s;

    if (!len) return -EINVAL;
    if (len > PACKET_MAX) return -EMSGSIZE;
    if (!pool_room(&c->pool, false)) {
        c->st.refused++;
        return -ENOBUFS;
    }
    s = pool_get(&c->pool, len > SLOT_SMALL);
    memcpy(s->buf, frame, len);
    primary_in(c, s, len, vnet, now);
    return 0;
}

/* ---- The secondary ------------------------------------------------------ */

/* Keep a copy of @g, in no queue yet. Return: NULL if there is no room */
struct slot *take_secondary(struct compare *c, const struct seg *g,
                            struct flow *f, uint64_t now)
{
    uint32_t len = g->pk.end;
    struct slot *s = NULL;

    if (pool_room(&c->pool, true))
        s = pool_get(&c->pool, len > SLOT_SMALL);
    if (!s) {
        c->st.dropped++;
        want(c, COMPARE_FULL, f, now);
        return NULL;
    }
    memcpy(s->buf, g->frame, len);
    s->seg = *g;
    s->seg.frame = s->buf;
    s->pub.len = len;
    s->flow = f;
    s->time = now;
    c->pool.bytes += len;
    c->st.waiting_secondary++;
    ring_add(&c->s_held, &s->in_all);
    return s;
}

void drop_secondary(struct compare *c, struct slot *s)
{
    ring_del(&s->in_flow);
    ring_del(&s->in_all);
    c->st.waiting_secondary--;
    pool_put(&c->pool, s);
}

static void secondary_in(struct compare *c, struct seg *g, uint32_t seq_off,
                         uint64_t now)
{
    struct packet_key key;
    struct flow *f;

    packet_key(&key, &g->pk, g->frame);
    f = flow_get(c, &key, now);
    if (!f) {
        c->st.dropped++;
        want(c, COMPARE_FULL, NULL, now);
        return;
    }
    if (f->pass || f->bad) {
        c->st.passive++;
        return;
    }
    if (key.kind == PACKET_TCP)
        tcp_secondary(c, f, g, g->pk.seq - seq_off, now);
    else fifo_secondary(c, f, g, now);
    if (!f->bad) flow_pump(c, f, now);
}

int compare_secondary(struct compare *c, const struct compare_meta *meta,
                      const uint8_t *frame, size_t len,
                      const struct packet_vnet *vnet, uint64_t now)
{
    struct seg g = { .frame = frame, .answered = meta->answered };

    if (!len) return -EINVAL;
    if (len > PACKET_MAX) return -EMSGSIZE;
    c->st.secondary++;
    c->now = now;
    if (meta->epoch != c->epoch) {
        c->st.stale++;
        return 0;
    }
    if (c->mode != COMPARE_COLO || c->open) {
        c->st.passive++;
        return 0;
    }
    if (vnet) g.vnet = *vnet;
    packet_parse(&g.pk, frame, len, &g.vnet);
    secondary_in(c, &g, meta->seq_off, now);
    return 0;
}

void compare_inbound(struct compare *c, const uint8_t *frame, size_t len,
                     const struct packet_vnet *vnet, uint64_t now)
{
    struct packet_tcp_opts o;
    struct packet_key key;
    struct packet pk;
    struct flow *f;
    struct tcp *t;

    (void)now;
    packet_parse(&pk, frame, len, vnet);
    if (pk.kind != PACKET_TCP || !(pk.flags & PACKET_SYN) ||
        !packet_tcp_options(&o, &pk, frame)) return;
    packet_key(&key, &pk, frame);
    packet_key_reverse(&key, &key);
    f = flow_find(c, &key);
    if (!f) return;
    t = &f->tcp;
    /* Once it is known no SYN changes it, whoever made that. */
    if (t->scale != SCALE_NONE || t->offered == SCALE_NONE ||
        !t->p.has_isn || t->p.closed ||
        ((pk.flags & PACKET_ACK) && pk.ack != t->p.isn + 1)) return;
    t->scale = o.has_wscale ? t->offered : 0;
}
