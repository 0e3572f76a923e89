/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frame.h - Ethernet frames, made and read back without the engine's parser
 *
 * What tests feed to the compare engine and to QEMU. Written apart from
 * packet.h on purpose: a mistake in one does not hide in the other.
 */
#ifndef XLC_TESTS_FRAME_H
#define XLC_TESTS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 69632u /* QEMU's limit, more than any GSO frame */

#define ETH_LEN 14u

#define PROTO_ICMP   1u
#define PROTO_TCP    6u
#define PROTO_UDP    17u
#define PROTO_ICMPV6 58u

#define TH_FIN 0x01u
#define TH_SYN 0x02u
#define TH_RST 0x04u
#define TH_PSH 0x08u
#define TH_ACK 0x10u
#define TH_URG 0x20u

/**
 * struct frame_spec - a frame in words; zero is a sensible default
 * @mark: low 24 bits of the source MAC, to know a frame by
 * @ethertype: an ARP or unknown frame with @data as its body; 0: IP
 * @vlan: 802.1Q tag, 0: none
 * @v6: IPv6; @src and @dst are then the last four octets of the address
 * @ext: IPv6 extension headers before the transport (destination options)
 * @proto: PROTO_*, or any other with @data as its body
 * @ttl: 0: 64
 * @id: IPv4 identification
 * @frag: IPv4 flags and offset field as it is
 * @raw: @data follows the IP header as it is, transport header included
 * @src: source address
 * @dst: destination address
 * @sport: source port; ICMP: identifier
 * @dport: destination port; ICMP: sequence
 * @seq: TCP
 * @ack: TCP
 * @flags: TH_*
 * @window: TCP
 * @urgent: TCP
 * @opts: TCP options, @opts_len octets (a multiple of 4)
 * @opts_len: 0 to 40
 * @type: ICMP
 * @code: ICMP
 * @data: payload
 * @len: octets of it
 * @pad: octets after the IP packet, filled with @pad_byte
 * @pad_byte: see @pad
 * @partial: the TCP or UDP checksum is the pseudo header's sum only, as a
 *           guest leaves it with VIRTIO_NET_HDR_F_NEEDS_CSUM
 */
struct frame_spec {
    uint32_t mark;
    uint16_t ethertype;
    uint16_t vlan;
    bool v6;
    unsigned int ext;
    uint8_t proto;
    uint8_t ttl;
    uint16_t id;
    uint16_t frag;
    bool raw;
    uint32_t src, dst;
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    uint16_t urgent;
    const uint8_t *opts;
    size_t opts_len;
    uint8_t type, code;
    const void *data;
    size_t len;
    size_t pad;
    uint8_t pad_byte;
    bool partial;
};

/**
 * frame_build() - write a frame
 * @s: what to write
 * @out: FRAME_MAX octets
 *
 * Return: its length; aborts if it would not fit (a mistake of the test).
 */
size_t frame_build(const struct frame_spec *s, uint8_t *out);

/* Return: the mark of a frame that frame_build() made. */
uint32_t frame_mark(const uint8_t *frame);

/**
 * frame_l4() - where the transport header is
 * @frame: a frame of frame_build(), perhaps rewritten
 * @len: its length
 * @proto: set to the transport protocol
 * @end: set to the end of the IP packet, padding left out
 *
 * Return: offset of the transport header, or 0 if it has none.
 */
size_t frame_l4(const uint8_t *frame, size_t len, uint8_t *proto, size_t *end);

/**
 * struct frame_tcp - fields of a TCP header, and what follows it
 * @seq: sequence number
 * @ack: acknowledgement number
 * @flags: TH_*
 * @window: as it is in the header
 * @opts: its options
 * @opts_len: octets of them
 * @data: payload
 * @len: octets of it
 */
struct frame_tcp {
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    const uint8_t *opts;
    size_t opts_len;
    const uint8_t *data;
    size_t len;
};

/* Read @frame's TCP header. Return: whether it is TCP and whole. */
bool frame_read_tcp(const uint8_t *frame, size_t len, struct frame_tcp *t);

/**
 * frame_sums_right() - compute all checksums from scratch
 * @frame: Ethernet frame
 * @len: its length
 * @partial: the transport's is the pseudo header's only
 *
 * Return: whether IPv4's, TCP's, UDP's and ICMP's are what they should be.
 */
bool frame_sums_right(const uint8_t *frame, size_t len, bool partial);

#endif
