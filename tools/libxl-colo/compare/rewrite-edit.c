/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-edit.c - Change fields of a TCP header, wherever it is
 *
 * Checksums follow each change (RFC 1624), so that it does not matter whether
 * the rest of the segment is there: a first fragment's checksum stays right
 * for the whole datagram, and a wrong checksum stays wrong. A checksum inside
 * an ICMP error is part of what that error's own checksum covers.
 */
#include <config.h>

#include <string.h>

#include "rewrite-edit.h"

#define OPT_MD5 19u
#define OPT_AO  29u

#define IP_HLEN      20u
#define IP6_HLEN     40u
#define IP6_HOP      0u
#define IP6_ROUTING  43u
#define IP6_FRAGMENT 44u
#define IP6_DEST     60u

void rewrite_edit_options(struct rewrite_opts_at *o,
                          const struct rewrite_hdr *h)
{
    size_t at = PACKET_TCP_HLEN;

    memset(o, 0, sizeof(*o));
    while (at < h->hlen && h->tcp[at] != PACKET_OPT_END) {
        uint8_t kind = h->tcp[at], len;

        if (kind == PACKET_OPT_NOP) {
            at++;
            continue;
        }
        if (at + 2 > h->hlen) return;
        len = h->tcp[at + 1];
        if (len < 2 || at + len > h->hlen) return;
        if (kind == PACKET_OPT_TS && len == 10) {
            o->ts = (uint8_t)(at + 2);
        } else if (kind == PACKET_OPT_SACK && len % 8 == 2) {
            o->sack = (uint8_t)(at + 2);
            o->nsack = len / 8;
        } else if (kind == PACKET_OPT_WSCALE && len == 3) {
            o->has_wscale = true;
            o->wscale = h->tcp[at + 2];
        } else if (kind == OPT_MD5 || kind == OPT_AO) {
            o->is_signed = true;
        }
        at += len;
    }
}

/* The 32 bit field at @at of the header, and the checksums that cover it. */
static bool add32(const struct rewrite_hdr *h, size_t at, uint32_t add)
{
    uint8_t old[4], *field = h->tcp + at, sum[2];

    if (!add || at + 4 > h->hlen) return false;
    memcpy(old, field, 4);
    packet_put32(field, packet_get32(field) + add);
    if (h->outer)
        packet_csum_fix(h->outer, old, field, 4, h->odd ^ (at & 1));
    if (!h->sum) return true;
    memcpy(sum, h->sum, 2);
    packet_csum_fix(h->sum, old, field, 4, at & 1);
    if (h->outer) packet_csum_fix(h->outer, sum, h->sum, 2, h->odd);
    return true;
}

bool rewrite_edit_add(const struct rewrite_hdr *h,
                      const struct rewrite_opts_at *o,
                      const struct rewrite_add *add)
{
    bool done = add32(h, 4, add->seq);

    done |= add32(h, 8, add->ack);
    for (unsigned int i = 0; i < 2u * o->nsack; i++)
        done |= add32(h, o->sack + 4u * i, add->sack);
    if (!o->ts) return done;
    done |= add32(h, o->ts, add->tsval);
    return add32(h, o->ts + 4u, add->tsecr) || done;
}

/* Return: octets of the quoted IPv4 header before TCP; 0 if it is not that. */
static size_t quote4(struct packet_key *key, const uint8_t *ip, size_t len)
{
    size_t ihl;

    if (len < IP_HLEN || ip[0] >> 4 != 4) return 0;
    ihl = (size_t)(ip[0] & 15) * 4;
    if (ihl < IP_HLEN || ihl > len || ip[9] != PACKET_IP_TCP) return 0;
    if (packet_get16(ip + 6) & 0x1fff) return 0;
    key->src[10] = key->src[11] = key->dst[10] = key->dst[11] = 0xff;
    memcpy(key->src + 12, ip + 12, 4);
    memcpy(key->dst + 12, ip + 16, 4);
    return ihl;
}

/* The same for IPv6, behind its extension headers. */
static size_t quote6(struct packet_key *key, const uint8_t *ip, size_t len)
{
    size_t at = IP6_HLEN;
    uint8_t next;

    if (len < IP6_HLEN || ip[0] >> 4 != 6) return 0;
    memcpy(key->src, ip + 8, 16);
    memcpy(key->dst, ip + 24, 16);
    next = ip[6];
    while (next != PACKET_IP_TCP) {
        if (at + 8 > len) return 0;
        if (next == IP6_FRAGMENT) {
            if (packet_get16(ip + at + 2) & 0xfff8) return 0;
            next = ip[at];
            at += 8;
        } else if (next == IP6_HOP || next == IP6_ROUTING ||
                   next == IP6_DEST) {
            next = ip[at];
            at += 8u + 8u * ip[at + 1];
        } else {
            return 0;
        }
    }
    return at <= len ? at : 0;
}

static bool is_error(const struct packet *p, const uint8_t *icmp)
{
    if (p->proto == PACKET_IP_ICMP6) return icmp[0] && icmp[0] < 128;
    return icmp[0] == 3 || icmp[0] == 4 || icmp[0] == 5 || icmp[0] == 11 ||
           icmp[0] == 12;
}

bool rewrite_edit_quote(struct rewrite_hdr *h, struct packet_key *key,
                        const struct packet *p, uint8_t *frame)
{
    uint8_t *icmp = frame + p->l4, *ip = icmp + 8;
    size_t left, skip, hlen;

    if (p->end < p->l4 + 8u || !is_error(p, icmp)) return false;
    left = p->end - p->l4 - 8u;
    memset(key, 0, sizeof(*key));
    skip = p->family == 4 ? quote4(key, ip, left) : quote6(key, ip, left);
    if (!skip || left - skip < 8) return false;
    left -= skip;
    memset(h, 0, sizeof(*h));
    h->tcp = ip + skip;
    key->sport = packet_get16(h->tcp);
    key->dport = packet_get16(h->tcp + 2);
    memcpy(key->vlan, p->vlan, sizeof(key->vlan));
    key->proto = PACKET_IP_TCP;
    key->kind = PACKET_TCP;
    key->family = p->family;
    hlen = left > 12 ? (size_t)(h->tcp[12] >> 4) * 4 : left;
    if (hlen < PACKET_TCP_HLEN) hlen = PACKET_TCP_HLEN;
    h->hlen = left < hlen ? left : hlen;
    if (left >= 18) h->sum = h->tcp + 16;
    h->outer = p->partial ? NULL : icmp + 2;
    h->odd = (h->tcp - icmp) & 1;
    return true;
}
