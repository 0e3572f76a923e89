/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wire.h - The wire protocol between the two proxies
 *
 * docs/specs/proxy-protocol.md explains what is said when; this header is
 * the one place where it is laid out. Everything is big-endian. A message is
 * a struct wire_hdr_wire followed by @length octets. P is the proxy beside
 * the primary, S the one beside the secondary. The stream below is ordered,
 * reliable and authenticated; nothing here is.
 */
#ifndef XLC_WIRE_H
#define XLC_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "packet.h"

#define WIRE_VERSION     1u /* what this build speaks */
#define WIRE_VERSION_MIN 1u /* the oldest that it accepts */

/* A type with this bit is skipped by a peer that does not know it. */
#define WIRE_OPTIONAL     0x8000u
#define WIRE_OPTIONAL_MAX 4096u

#define WIRE_VIFS_MAX 16u

/* An Ethernet frame: from its header alone to a super-frame of 64 KiB. */
#define WIRE_FRAME_MIN 14u
#define WIRE_FRAME_MAX 69632u
static_assert(WIRE_FRAME_MAX == PACKET_MAX, "what a TAP may give");

/* Capabilities, in HELLO; those that both ends named are in use. */
#define WIRE_CAP_DIGEST 0x00000001u /* reserved: digests, not packets */

/**
 * struct wire_hdr_wire - in front of every message
 * @type: enum wire_type
 * @vif: which of the guest's, from 0, less than WIRE_VIFS_MAX; 0 where the
 *       message is about all of them
 * @length: octets that follow, within the bounds of the type
 * @epoch: the one this message belongs to; 0 in HELLO, nowhere else
 */
struct wire_hdr_wire {
    uint16_t type;
    uint16_t vif;
    uint32_t length;
    uint64_t epoch;
} __attribute__((packed));
static_assert(sizeof(struct wire_hdr_wire) == 16, "header: 16 octets");
static_assert(offsetof(struct wire_hdr_wire, length) == 4, "length at 4");
static_assert(offsetof(struct wire_hdr_wire, epoch) == 8, "epoch at 8");
#define WIRE_HDR_LEN 16u

/**
 * enum wire_type - every message there is
 * @WIRE_HELLO: both, first and only once: versions and capabilities
 * @WIRE_CUT: P: what follows belongs to the epoch of this header
 * @WIRE_INBOUND: P: a frame that the primary guest was given
 * @WIRE_FLOW: P: what the primary guest said on a connection
 * @WIRE_OUTBOUND: S: a frame that the secondary guest sent
 * @WIRE_CONNECTED: S: the secondary guest's vif is connected in this epoch
 * @WIRE_WANT: S: a checkpoint, please
 * @WIRE_DIGEST: S: reserved for digests of streams in place of OUTBOUND;
 *               refused while WIRE_CAP_DIGEST is not in use
 */
enum wire_type {
    WIRE_HELLO = 1,
    WIRE_CUT = 2,
    WIRE_INBOUND = 16,
    WIRE_FLOW = 17,
    WIRE_OUTBOUND = 32,
    WIRE_CONNECTED = 33,
    WIRE_WANT = 34,
    WIRE_DIGEST = 35,
};

/* What an epoch is, for WIRE_CUT. */
enum wire_mode {
    WIRE_MODE_PASSIVE = 1, /* the secondary guest is idle */
    WIRE_MODE_COLO = 2,    /* it runs, and is compared */
};

/* Why S wants a checkpoint. */
enum wire_want {
    WIRE_WANT_FLOWS = 1, /* no room for one more connection */
    WIRE_WANT_QUEUE = 2, /* no room for what waits for the secondary guest */
    WIRE_WANT_SPLIT = 3, /* a packet that could not be rewritten */
};
#define WIRE_WANT_LAST 3u

/**
 * struct wire_hello_wire - WIRE_HELLO
 * @version: the sender's WIRE_VERSION; @version_min: oldest it speaks
 * @caps: WIRE_CAP_*; unknown ones are no error
 * @vifs: how many the guest has; the same on both sides
 */
struct wire_hello_wire {
    uint16_t version;
    uint16_t version_min;
    uint32_t caps;
    uint16_t vifs;
    uint16_t _res;
} __attribute__((packed));
static_assert(sizeof(struct wire_hello_wire) == 12, "HELLO: 12 octets");

/* WIRE_CUT. */
struct wire_cut_wire {
    uint8_t mode;
    uint8_t _res[7];
} __attribute__((packed));
static_assert(sizeof(struct wire_cut_wire) == 8, "CUT: 8 octets");

/**
 * struct wire_frame_wire - WIRE_INBOUND, WIRE_OUTBOUND; then the frame
 * @flags, @gso_type, @hdr_len, @gso_size, @csum_start, @csum_offset: as in a
 *         virtio-net header
 * @said: WIRE_SAID_*; 0 in INBOUND
 * @seq_off: what S's rewriter added to the sequence number; 0 in INBOUND
 */
struct wire_frame_wire {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint16_t said;
    uint32_t seq_off;
} __attribute__((packed));
static_assert(sizeof(struct wire_frame_wire) == 16, "frame: 16 octets");

/* S has answered this question about a neighbour itself (RULES C2). */
#define WIRE_SAID_ANSWERED 0x0001u
#define WIRE_SAID_ALL      WIRE_SAID_ANSWERED

/**
 * struct wire_flow_wire - WIRE_FLOW: about a TCP connection of the guest
 * @family: 4 or 6
 * @has: WIRE_FLOW_*, at least one
 * @vlan: identifier + 1 of the outer and the inner tag; 0 without it
 * @sport, @dport: the guest's port, and that of the other end
 * @isn: the primary guest's initial sequence number; 0 if not there
 * @tsval: the primary guest's newest timestamp; 0 if not there
 * @src, @dst: the guest's address, and that of the other end; an address of
 *             IPv4 as ::ffff:a.b.c.d
 */
struct wire_flow_wire {
    uint8_t family;
    uint8_t has;
    uint16_t vlan[2];
    uint16_t sport;
    uint16_t dport;
    uint16_t _res;
    uint32_t isn;
    uint32_t tsval;
    uint8_t src[16];
    uint8_t dst[16];
} __attribute__((packed));
static_assert(sizeof(struct wire_flow_wire) == 52, "FLOW: 52 octets");

#define WIRE_FLOW_ISN   0x01u
#define WIRE_FLOW_TSVAL 0x02u
#define WIRE_FLOW_ALL   (WIRE_FLOW_ISN | WIRE_FLOW_TSVAL)

/* WIRE_WANT. */
struct wire_want_wire {
    uint32_t reason;
    uint32_t _res;
} __attribute__((packed));
static_assert(sizeof(struct wire_want_wire) == 8, "WANT: 8 octets");

/* The longest message. */
#define WIRE_MSG_MAX \
    (WIRE_HDR_LEN + (uint32_t)sizeof(struct wire_frame_wire) + WIRE_FRAME_MAX)

/* The same, as the program has them; see above for what they mean. */
struct wire_hello {
    uint16_t version, version_min;
    uint32_t caps;
    uint16_t vifs;
};

struct wire_frame {
    struct packet_vnet vnet;
    uint16_t said;
    uint32_t seq_off;
    const uint8_t *data; /* @len octets; not owned */
    uint32_t len;
};

struct wire_flow {
    struct packet_key key; /* as the guest sends */
    uint8_t has;
    uint32_t isn, tsval;
};

/**
 * struct wire_msg - a message
 * @type: enum wire_type, or one with WIRE_OPTIONAL, which has no @u
 * @vif, @epoch: as in the header
 */
struct wire_msg {
    uint16_t type;
    uint16_t vif;
    uint64_t epoch;
    union {
        struct wire_hello hello;
        enum wire_mode mode;
        struct wire_frame frame;
        struct wire_flow flow;
        enum wire_want want;
    } u;
};

/* "INBOUND", … or "?" for a type that does not exist. */
const char *wire_type_name(unsigned int type);

/**
 * wire_decode() - read and check the message at the beginning of @buf
 * @m: untouched unless 1 is returned; @m->u.frame.data points into @buf
 * @from_primary: who sent it
 * @used_r: octets of it
 *
 * Return: 1; 0: it goes on behind @len; -EPROTO with a sentence
 */
int wire_decode(struct wire_msg *m, const uint8_t *buf, size_t len,
                bool from_primary, size_t *used_r, struct xlc_error *err);

/**
 * wire_encode() - write @m, which is checked as if it had arrived
 * @buf: room for @size octets
 *
 * Return: its length; -ENOSPC: no room; -EINVAL: the other end would refuse
 */
int wire_encode(const struct wire_msg *m, bool from_primary, uint8_t *buf,
                size_t size);

#endif
