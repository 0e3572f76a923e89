/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * packet.h - What is inside an Ethernet frame, and its checksums
 *
 * Offsets count from the first octet of the frame. Lengths come from the IP
 * header: what follows @end is Ethernet padding and belongs to nobody. A frame
 * that does not hold what its headers promise is PACKET_RAW, never an error.
 * (Long because of the protocols' constants.)
 */
#ifndef XLC_PACKET_H
#define XLC_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What a TAP can give at most: a GSO frame and its link-layer header. */
#define PACKET_MAX 69632u

#define PACKET_ETH_HLEN 14u
#define PACKET_TCP_HLEN 20u
#define PACKET_UDP_HLEN 8u

#define PACKET_FIN 0x01u
#define PACKET_SYN 0x02u
#define PACKET_RST 0x04u
#define PACKET_PSH 0x08u
#define PACKET_ACK 0x10u
#define PACKET_URG 0x20u
#define PACKET_ECE 0x40u
#define PACKET_CWR 0x80u

#define PACKET_IP_ICMP   1u
#define PACKET_IP_IGMP   2u
#define PACKET_IP_TCP    6u
#define PACKET_IP_UDP    17u
#define PACKET_IP_ICMP6  58u

/** TCP options by kind. */
#define PACKET_OPT_END    0u
#define PACKET_OPT_NOP    1u
#define PACKET_OPT_MSS    2u
#define PACKET_OPT_WSCALE 3u
#define PACKET_OPT_SACKOK 4u
#define PACKET_OPT_SACK   5u
#define PACKET_OPT_TS     8u

/** @flags and @gso_type of a vnet header. */
#define PACKET_VNET_NEEDS_CSUM 1u
#define PACKET_VNET_DATA_VALID 2u
#define PACKET_GSO_NONE   0u
#define PACKET_GSO_TCPV4  1u
#define PACKET_GSO_UDP    3u
#define PACKET_GSO_TCPV6  4u
#define PACKET_GSO_UDP_L4 5u
#define PACKET_GSO_ECN    0x80u

/**
 * struct packet_vnet - what a TAP with IFF_VNET_HDR puts before a frame
 *
 * Octet for octet the kernel's struct virtio_net_hdr, in the order of this
 * machine. All zero is a whole, checksummed frame.
 */
struct packet_vnet {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
};
_Static_assert(sizeof(struct packet_vnet) == 10, "as the kernel has it");

/** enum packet_kind - how far a frame was understood */
enum packet_kind {
    PACKET_RAW,   /* not IP or ARP, or it does not hold what it promises */
    PACKET_ARP,   /* Ethernet and IPv4, whole */
    PACKET_FRAG,  /* any fragment of an IP datagram */
    PACKET_IP,    /* IP with any other protocol, or a broken L4 header */
    PACKET_ICMP,  /* ICMP for IPv4 and ICMPv6: see @proto */
    PACKET_UDP,
    PACKET_TCP,
};

/**
 * struct packet_key - who speaks to whom, as the sender of the frame sees it
 * @src, @dst: IPv6, or IPv4 as ::ffff:a.b.c.d. ARP: the sender's and target's
 *   protocol address. PACKET_RAW: the MAC addresses
 * @sport, @dport: host order. ICMP: type << 8 | code and, for echo, the id.
 *   ARP: the operation, and 0. PACKET_RAW: the ethertype, and 0
 * @vlan: outer and inner VLAN id + 1; 0 without a tag
 * @proto: the IP protocol after all extension headers
 * @kind: enum packet_kind
 * @family: 4, 6 or 0
 * @pad: zero, so that keys can be compared as octets
 */
struct packet_key {
    uint8_t src[16], dst[16];
    uint16_t sport, dport;
    uint16_t vlan[2];
    uint8_t proto, kind, family, pad[5];
};
_Static_assert(sizeof(struct packet_key) == 48, "whole words for the hash");

/**
 * struct packet - where everything is in one frame
 * @kind: enum packet_kind; the fields after it are set as far as it says
 * @family: 4, 6 or 0
 * @proto: the IP protocol after all extension headers
 * @flags: TCP flags
 * @partial: the L4 checksum field holds only the pseudo header's sum (vnet
 *   NEEDS_CSUM): a change of L4 octets must leave it alone
 * @gso: the frame is a super-frame, cut by whoever sends it
 * @more: fragment: more follow
 * @opaque: a TCP option that is neither ours to change nor to ignore (MD5, AO,
 *   MPTCP ...), or a malformed option area
 * @vlan: as in struct packet_key
 * @ethertype: after the tags
 * @l3: the IP or ARP header
 * @l4: the header after IP; a fragment's first octet of content
 * @payload: the first octet after the L4 header (PACKET_RAW: 0)
 * @end: the end by the IP header (PACKET_RAW: the frame's)
 * @frag_off: fragment: offset in octets
 * @frag_id: fragment: the datagram's id
 * @win: TCP window as sent, unscaled
 * @urg: TCP urgent pointer
 * @seq, @ack: TCP
 * @opts, @opts_len: TCP options
 */
struct packet {
    uint8_t kind, family, proto, flags;
    bool partial, gso, more, opaque;
    uint16_t vlan[2];
    uint16_t ethertype;
    uint16_t l3, l4;
    uint32_t payload, end;
    uint32_t frag_off, frag_id;
    uint16_t win, urg;
    uint32_t seq, ack;
    uint16_t opts, opts_len;
};

/**
 * struct packet_tcp_opts - the options that we understand
 * @has_mss, @has_wscale, @sack_ok, @has_ts: present
 * @nsack: number of SACK blocks
 * @wscale: as sent
 * @mss: as sent
 * @tsval, @tsecr: timestamps
 * @ts_off, @sack_off: where in the frame the option's first octet (its kind)
 *   is; 0 if absent
 * @sack: left and right edges
 */
struct packet_tcp_opts {
    bool has_mss, has_wscale, sack_ok, has_ts;
    uint8_t nsack, wscale;
    uint16_t mss;
    uint32_t tsval, tsecr;
    uint16_t ts_off, sack_off;
    uint32_t sack[4][2];
};

/**
 * packet_parse() - find everything in a frame
 * @p: where to; whole on return
 * @frame: @len octets
 * @vnet: its vnet header; NULL means all zero
 *
 * Reads headers only, never beyond @len. A vnet header that contradicts the
 * frame makes it PACKET_RAW.
 */
void packet_parse(struct packet *p, const uint8_t *frame, size_t len,
                  const struct packet_vnet *vnet);

/** packet_key() - the flow that a parsed frame belongs to */
void packet_key(struct packet_key *key, const struct packet *p,
                const uint8_t *frame);

/** packet_key_reverse() - the other direction of @key */
void packet_key_reverse(struct packet_key *to, const struct packet_key *key);

/**
 * packet_tcp_options() - read the options of a PACKET_TCP
 *
 * Return: false if the area is malformed; @o holds what came before
 */
bool packet_tcp_options(struct packet_tcp_opts *o, const struct packet *p,
                        const uint8_t *frame);

/** packet_payload_len() - octets after the L4 header */
static inline uint32_t packet_payload_len(const struct packet *p)
{
    return p->end - p->payload;
}

/** packet_seq_len() - sequence numbers that a TCP segment takes */
static inline uint32_t packet_seq_len(const struct packet *p)
{
    return packet_payload_len(p) + !!(p->flags & PACKET_SYN) +
           !!(p->flags & PACKET_FIN);
}

/** packet_after() - is sequence number @a after @b, modulo 2^32? */
static inline bool packet_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static inline uint16_t packet_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t packet_get32(const uint8_t *p)
{
    return (uint32_t)packet_get16(p) << 16 | packet_get16(p + 2);
}

static inline void packet_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void packet_put32(uint8_t *p, uint32_t v)
{
    packet_put16(p, (uint16_t)(v >> 16));
    packet_put16(p + 2, (uint16_t)v);
}

/**
 * packet_store() - overwrite L4 octets of a PACKET_TCP, UDP or ICMP
 * @p: the parsed frame; its fields are not refreshed
 * @frame: the frame
 * @off: where, from the frame's start; may be odd; between @l4 and @end, not
 *   on the checksum
 * @src: @n octets
 *
 * The L4 checksum follows (RFC 1624), unless it is partial or, for UDP over
 * IPv4, absent. A wrong checksum stays wrong by as much.
 */
void packet_store(const struct packet *p, uint8_t *frame, size_t off,
                  const void *src, size_t n);

/** packet_store16() - packet_store() of a 16 bit field */
void packet_store16(const struct packet *p, uint8_t *frame, size_t off,
                    uint16_t v);

/** packet_store32() - packet_store() of a 32 bit field */
void packet_store32(const struct packet *p, uint8_t *frame, size_t off,
                    uint32_t v);

/**
 * packet_csum_fix() - RFC 1624: a checksum after @n octets changed
 * @field: the checksum in the packet, rewritten
 * @old, @new: the octets before and after
 * @odd: the first octet is at an odd distance from where the sum starts
 */
void packet_csum_fix(uint8_t *field, const uint8_t *old, const uint8_t *new,
                     size_t n, bool odd);

/** packet_sum() - ones' complement sum of @n octets added to @sum, folded */
uint32_t packet_sum(uint32_t sum, const uint8_t *buf, size_t n);

/**
 * packet_l4_csum() - the L4 checksum from scratch, as it should be on the wire
 *
 * Return: the value for the field, host order (partial frames too: the whole
 * checksum)
 */
uint16_t packet_l4_csum(const struct packet *p, const uint8_t *frame);

/** packet_l4_pseudo() - what the field holds when it is partial */
uint16_t packet_l4_pseudo(const struct packet *p, const uint8_t *frame);

/** packet_l4_csum_at() - offset of the checksum field; 0 if there is none */
size_t packet_l4_csum_at(const struct packet *p);

#endif
