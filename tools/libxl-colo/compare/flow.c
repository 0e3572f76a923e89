/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flow.c - The flow table: find, make, forget
 *
 * Open addressing with linear probing over a keyed hash (SipHash-1-3), so that
 * nobody who does not know the key can make it slow. An entry that holds no
 * frame may be forgotten: what it knew makes comparing less strict, never
 * more. Only one whose sequence numbers differ between the sides is kept until
 * the next cut.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

/* A new flow may push out one that was silent so long, or since the cut. */
#define PUSH_NS  UINT64_C(1000000000)
#define PUSH_LOOKS 64u
/* So many entries are in a cache anyway. */
#define CACHED 1024u
#define SWEEP_LOOKS 4096u

#define ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = ROTL(v[1], 13) ^ v[0];
    v[0] = ROTL(v[0], 32);
    v[2] += v[3];
    v[3] = ROTL(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ROTL(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ROTL(v[1], 17) ^ v[2];
    v[2] = ROTL(v[2], 32);
}

/* SipHash-1-3 of @n octets with the engine's key. */
uint64_t flow_mix(const struct compare *c, const void *buf, size_t n)
{
    const uint8_t *p = buf;
    uint64_t k0 = c->o.hash_key[0], k1 = c->o.hash_key[1];
    uint64_t v[4] = { k0 ^ UINT64_C(0x736f6d6570736575),
                      k1 ^ UINT64_C(0x646f72616e646f6d),
                      k0 ^ UINT64_C(0x6c7967656e657261),
                      k1 ^ UINT64_C(0x7465646279746573) };
    uint64_t m, last = (uint64_t)n << 56;

    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&m, p, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void flow_reset(struct flow *f)
{
    ring_init(&f->pq);
    ring_init(&f->sq);
    ring_init(&f->later);
    ring_init(&f->in_owed);
    f->cmp = f->data = f->owed = NULL;
    f->pass = f->bad = false;
    f->free_next = NULL;
}

int flow_init(struct compare *c)
{
    size_t places = 2;

    while (places < (size_t)c->o.flows * 2)
        places *= 2;
    c->mask = (uint32_t)(places - 1);
    c->index = mmap(NULL, places * sizeof(*c->index), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->index == MAP_FAILED) c->index = NULL;
    c->flows = mmap(NULL, c->o.flows * sizeof(*c->flows),
                    PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->flows == MAP_FAILED) c->flows = NULL;
    /* Each packet looks at one entry, anywhere: spare it the page walks. */
    if (c->flows)
        (void)madvise(c->flows, c->o.flows * sizeof(*c->flows),
                      MADV_HUGEPAGE);
    if (c->index)
        (void)madvise(c->index, places * sizeof(*c->index), MADV_HUGEPAGE);
    flow_reset(&c->over);
    c->over.pass = true;
    return c->index && c->flows ? 0 : -ENOMEM;
}

void flow_dispose(struct compare *c)
{
    if (c->index)
        munmap(c->index, ((size_t)c->mask + 1) * sizeof(*c->index));
    if (c->flows) munmap(c->flows, c->o.flows * sizeof(*c->flows));
    c->index = NULL;
    c->flows = NULL;
}

/* Return: where @key is, or the empty place where it would be */
static uint32_t find_place(const struct compare *c, uint32_t hash,
                           const struct packet_key *key)
{
    uint32_t i = hash & c->mask;

    for (; c->index[i].flow; i = (i + 1) & c->mask) {
        const struct flow *f = &c->flows[c->index[i].flow - 1];

        if (c->index[i].hash != hash) continue;
        /* All lines of it at once, not one after the other. */
        for (size_t at = 0; at < sizeof(*f) && c->nflows > CACHED; at += 64)
            __builtin_prefetch((const char *)f + at, 1);
        if (!memcmp(&f->key, key, sizeof(*key))) break;
    }
    return i;
}

/* Close the gap at @i, so that no search ends there too early. */
static void remove_place(struct compare *c, uint32_t i)
{
    uint32_t j = i;

    for (;;) {
        c->index[i].flow = 0;
        for (;;) {
            uint32_t home;

            j = (j + 1) & c->mask;
            if (!c->index[j].flow) return;
            home = c->index[j].hash & c->mask;
            /* Movable unless its home lies within (i, j]. */
            if (((j - home) & c->mask) >= ((j - i) & c->mask)) break;
        }
        c->index[i] = c->index[j];
        i = j;
    }
}

static void forget(struct compare *c, struct flow *f)
{
    remove_place(c, find_place(c, f->hash, &f->key));
    f->used = false;
    f->free_next = c->free_flow;
    c->free_flow = f;
    c->nflows--;
    c->st.aged++;
}

/* What an old cut dropped is no longer in any list of ours. */
static bool forgettable(const struct compare *c, const struct flow *f)
{
    if (!f->used || !ring_empty(&f->pq) || f->owed) return false;
    if (f->cut != c->cut) return true;
    return ring_empty(&f->sq) && ring_empty(&f->later) && !f->tcp.delta;
}

/* Return: true if a flow gave up its place */
static bool push_out(struct compare *c, uint64_t now)
{
    for (unsigned int i = 0; i < PUSH_LOOKS && i < c->o.flows; i++) {
        struct flow *f = &c->flows[c->hand];

        c->hand = (c->hand + 1) % c->o.flows;
        if (!forgettable(c, f)) continue;
        /* Or a full table would want a checkpoint for each new flow. */
        if (f->cut == c->cut && now - f->seen < PUSH_NS && !f->tcp.p.closed)
            continue;
        forget(c, f);
        return true;
    }
    return false;
}

void flow_age(struct compare *c, uint64_t now)
{
    for (unsigned int i = 0; i < SWEEP_LOOKS && i < c->fresh_flow; i++) {
        struct flow *f = &c->flows[c->hand % c->fresh_flow];

        c->hand = (c->hand + 1) % c->o.flows;
        if (forgettable(c, f) && now - f->seen >= c->o.idle_ns)
            forget(c, f);
    }
}

/* Make the state what a cut leaves, if there was one since. */
void flow_sync(struct compare *c, struct flow *f)
{
    if (f->cut == c->cut) return;
    f->cut = c->cut;
    /* The cut took all of these away (compare_cut()). */
    ring_init(&f->sq);
    ring_init(&f->later);
    f->cmp = f->data = NULL;
    f->bad = false;
    if (f->key.kind != PACKET_TCP) return;
    if (f->owed && f->owed->seg.gen != f->tcp.p.gen) ack_forget(c, f);
    tcp_sync(f);
}

static bool prefix_matches(const struct compare_rule *r, const uint8_t *addr)
{
    unsigned int whole = r->prefix / 8, bits = r->prefix % 8;

    if (memcmp(r->addr, addr, whole)) return false;
    return !bits || !((r->addr[whole] ^ addr[whole]) >> (8 - bits));
}

static bool rule_matches(const struct compare_rule *r,
                         const struct packet_key *key)
{
    size_t skip = key->family == 4 ? 12 : 0;

    if (r->family && r->family != key->family) return false;
    if (r->proto && r->proto != key->proto) return false;
    if (r->port && ((key->kind != PACKET_TCP && key->kind != PACKET_UDP) ||
                    (r->port != key->sport && r->port != key->dport)))
        return false;
    return !r->prefix || prefix_matches(r, key->src + skip) ||
           prefix_matches(r, key->dst + skip);
}

/* Return: a new entry; NULL if the table is full */
static struct flow *make(struct compare *c, const struct packet_key *key,
                         uint32_t hash, uint64_t now)
{
    struct flow *f;

    if (!ring_empty(&c->over.pq)) return NULL;
    if (c->nflows == c->o.flows && !push_out(c, now)) return NULL;
    f = c->free_flow;
    if (f) c->free_flow = f->free_next;
    else f = &c->flows[c->fresh_flow++];
    flow_reset(f);
    f->key = *key;
    f->hash = hash;
    f->cut = c->cut;
    f->used = true;
    memset(&f->tcp, 0, sizeof(f->tcp));
    f->tcp.scale = f->tcp.offered = SCALE_NONE;
    for (size_t i = 0; i < c->o.nrules && !f->pass; i++)
        f->pass = rule_matches(&c->rules[i], key);
    c->index[find_place(c, hash, key)] =
        (struct bucket){ hash, (uint32_t)(f - c->flows) + 1 };
    c->nflows++;
    return f;
}

/* Return: the flow, as of the last cut; NULL if there is none */
struct flow *flow_find(struct compare *c, const struct packet_key *key)
{
    uint32_t hash = (uint32_t)flow_mix(c, key, sizeof(*key));
    uint32_t i = find_place(c, hash, key);
    struct flow *f;

    if (!c->index[i].flow) return NULL;
    f = &c->flows[c->index[i].flow - 1];
    flow_sync(c, f);
    return f;
}

/* Return: the flow, made if need be; NULL if the table is full */
struct flow *flow_get(struct compare *c, const struct packet_key *key,
                      uint64_t now)
{
    uint32_t hash = (uint32_t)flow_mix(c, key, sizeof(*key));
    uint32_t i = find_place(c, hash, key);
    struct flow *f;

    if (c->index[i].flow) {
        f = &c->flows[c->index[i].flow - 1];
        flow_sync(c, f);
    } else {
        f = make(c, key, hash, now);
    }
    if (f) f->seen = now;
    return f;
}
