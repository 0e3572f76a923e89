/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frames.h - Ethernet frames for tests: say what differs from the usual
 *
 * The guest is host 1, the client host 2 (@src, @dst: the last octet of the
 * address). Checksums come from code of their own, not from the product's.
 */
#ifndef XLC_TESTS_FRAMES_H
#define XLC_TESTS_FRAMES_H

#include "packet.h"

/**
 * struct frame - a frame that was built
 * @b: @len octets
 * @vnet: its vnet header
 */
struct frame {
    uint8_t b[PACKET_MAX];
    size_t len;
    struct packet_vnet vnet;
};

/**
 * struct ip_spec - what every IP frame has
 * @v6: IPv6
 * @src, @dst: last octets of the addresses; 0 means 1 and 2
 * @vlan: tag; 0 for none
 * @id: IPv4 identification
 * @ttl: or hop limit; 0 means 64
 * @pad: octets of Ethernet padding
 * @partial: the L4 checksum is left to the receiver of the vnet header
 * @gso_size: makes it a super-frame
 */
struct ip_spec {
    bool v6;
    uint8_t src, dst;
    uint16_t vlan, id;
    uint8_t ttl;
    size_t pad;
    bool partial;
    uint16_t gso_size;
};

/**
 * struct tcp_spec - a TCP segment
 * @flags: PACKET_ACK is not implied
 * @opts: @nopts octets, a multiple of 4
 * @data: @len octets
 */
struct tcp_spec {
    struct ip_spec ip;
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t win, urg;
    const uint8_t *opts;
    size_t nopts;
    const void *data;
    size_t len;
};

/** struct udp_spec - a datagram; @no_csum: checksum zero */
struct udp_spec {
    struct ip_spec ip;
    uint16_t sport, dport;
    bool no_csum;
    const void *data;
    size_t len;
};

void frame_tcp(struct frame *f, const struct tcp_spec *t);
void frame_udp(struct frame *f, const struct udp_spec *u);

/* @body: ICMP from its type on, whose checksum is filled in. */
void frame_icmp(struct frame *f, const struct ip_spec *ip, const void *body,
                size_t len);

/* Any other protocol; @frag is IPv4's flags and offset, as on the wire. */
void frame_ip(struct frame *f, const struct ip_spec *ip, uint8_t proto,
              uint16_t frag, const void *body, size_t len);

/* One IPv6 fragment with its extension header. */
void frame_frag6(struct frame *f, const struct ip_spec *ip, uint8_t proto,
                 uint16_t off_more, uint32_t id, const void *body,
                 size_t len);

/* Sender 10.0.0.@spa asks for, or tells, 10.0.0.@tpa. */
void frame_arp(struct frame *f, uint16_t op, uint8_t spa, uint8_t tpa);

/* Are the IP and L4 checksums right, taken from scratch? */
bool frame_csum_ok(const uint8_t *b, size_t len,
                   const struct packet_vnet *vnet);

#endif
