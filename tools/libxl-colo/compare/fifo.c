/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fifo.c - Comparing datagrams: the n-th of one side with that of the other
 *
 * As long as @cmp waits, @sq holds only frames that differ from it and that
 * the secondary may send alone (RULES C2); any other would have been matched,
 * or have made the flow bad.
 */
#include <config.h>

#include <string.h>

#include "engine.h"

/* How many frames of the secondary may be passed over in search of a match. */
#define LOOKS 64

#define ND_SOLICIT  135u
#define ND_ADVERT   136u
#define MLD_FIRST   131u
#define MLD_LAST    132u
#define MLD2_REPORT 143u

/* May the secondary alone say this? (RULES C2) */
bool fifo_ignorable(const struct flow *f, const struct seg *g)
{
    uint8_t type = (uint8_t)(f->key.sport >> 8);

    switch (f->key.kind) {
    case PACKET_ARP:
        /* Gratuitous: about the sender itself. */
        return g->answered ||
               !memcmp(f->key.src, f->key.dst, sizeof(f->key.src));
    case PACKET_IP:
        return g->pk.family == 4 && g->pk.proto == PACKET_IP_IGMP;
    case PACKET_ICMP:
        return g->pk.family == 6 &&
               (type == ND_ADVERT || type == MLD2_REPORT ||
                (type == ND_SOLICIT && g->answered) ||
                (type >= MLD_FIRST && type <= MLD_LAST));
    default:
        return false;
    }
}

static bool same_octets(const struct seg *p, const struct seg *s,
                        uint32_t p_from, uint32_t s_from)
{
    uint32_t n = p->pk.end - p_from;

    return n == s->pk.end - s_from &&
           !memcmp(p->frame + p_from, s->frame + s_from, n);
}

/* docs/compare.md has the table of what this leaves out, and why. */
static bool same(const struct seg *p, const struct seg *s)
{
    switch (p->pk.kind) {
    case PACKET_FRAG:
        return p->pk.frag_off == s->pk.frag_off && p->pk.more == s->pk.more &&
               same_octets(p, s, p->pk.l4, s->pk.l4);
    case PACKET_ICMP:
        /* Type and code, then all after the checksum. */
        return !memcmp(p->frame + p->pk.l4, s->frame + s->pk.l4, 2) &&
               same_octets(p, s, p->pk.l4 + 4u, s->pk.l4 + 4u);
    case PACKET_UDP:
        /* A super-frame is so many datagrams of that size. */
        return (!(p->pk.gso || s->pk.gso) ||
                (p->vnet.gso_type == s->vnet.gso_type &&
                 p->vnet.gso_size == s->vnet.gso_size)) &&
               same_octets(p, s, p->pk.payload, s->pk.payload);
    default:
        /* RAW from 0, ARP from its header, IP from the content. */
        return same_octets(p, s, p->pk.payload, s->pk.payload);
    }
}

static void matched(struct flow *f, struct slot *p)
{
    struct ring *next = p->in_flow.next;

    p->matched = true;
    ring_del(&p->in_wait);
    f->cmp = next == &f->pq ? NULL : ring_entry(next, struct slot, in_flow);
}

/* Match @cmp against what waits. Return: false if there is no match yet */
static bool match_one(struct compare *c, struct flow *f, uint64_t now)
{
    struct ring *at = f->sq.next;

    for (int i = 0; at != &f->sq && i < LOOKS; at = at->next, i++) {
        struct slot *s = ring_entry(at, struct slot, in_flow);

        if (same(&f->cmp->seg, &s->seg)) {
            drop_secondary(c, s);
            matched(f, f->cmp);
            return true;
        }
        if (fifo_ignorable(f, &s->seg)) continue;
        flow_bad(c, f, COMPARE_PAYLOAD, now);
        return false;
    }
    return false;
}

void fifo_primary(struct compare *c, struct flow *f, struct slot *s,
                  uint64_t now)
{
    /* An older one waits already: nothing in sq is for this one. */
    if (f->cmp != s) return;
    while (f->cmp && match_one(c, f, now))
        continue;
}

void fifo_secondary(struct compare *c, struct flow *f, const struct seg *g,
                    uint64_t now)
{
    struct slot *s;

    if (f->cmp && same(&f->cmp->seg, g)) {
        matched(f, f->cmp);
        while (f->cmp && match_one(c, f, now))
            continue;
        return;
    }
    if (f->cmp && !fifo_ignorable(f, g)) {
        flow_bad(c, f, COMPARE_PAYLOAD, now);
        return;
    }
    s = take_secondary(c, g, f, now);
    if (s) ring_add(&f->sq, &s->in_flow);
}
