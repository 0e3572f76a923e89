/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proto.h - The wire protocol between the two hosts
 *
 * docs/specs/link-protocol.md explains what is said when; this header is
 * the one place where it is laid out. Everything is big-endian. A frame is a
 * struct proto_hdr followed by @length octets. The structs below are the
 * octets on the wire; nobody casts to them: proto.c reads and writes field by
 * field through cursors, and asserts that both agree in size.
 *
 * Ends: the primary (P) connects, the secondary (S) listens. Channels:
 *   boot   the standard input and output of `xl remus-receive`, inside ssh
 *   data   TCP, TLS 1.3: the epochs, P to S
 *   ctrl   TCP, TLS 1.3: heartbeats, acknowledgements, decisions, both ways;
 *          one for each address of S (a path), and one of P's guard
 *   disk   TCP, TLS 1.3: one for each mirrored disk; after ATTACHED no frames
 *          but the octets of the disk's stream, both ways
 *   proxy  TCP, TLS 1.3: the same for what the two proxies say (wire.h), if
 *          packets are compared
 */
#ifndef XLC_PROTO_H
#define XLC_PROTO_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define PROTO_MAGIC       0x584c434fu /* "XLCO" */
#define PROTO_VERSION     1u          /* what this build speaks */
#define PROTO_VERSION_MIN 1u          /* the oldest that it accepts */

/* A type with this bit is skipped by a peer that does not know it. */
#define PROTO_OPTIONAL     0x8000u
#define PROTO_OPTIONAL_MAX (64u << 10) /* octets in a frame nobody knows */

#define PROTO_KEY_LEN     32u
#define PROTO_UUID_LEN    16u
#define PROTO_SESSION_LEN 16u
#define PROTO_NONCE_LEN   32u
#define PROTO_MAC_LEN     32u
#define PROTO_NAME_MAX    255u
#define PROTO_TEXT_MAX    480u
#define PROTO_DATA_MAX    (1u << 20) /* octets in one PROTO_DATA frame */
#define PROTO_CONFIG_MAX  (1u << 20) /* octets of domain configuration */
#define PROTO_DISKS_MIN   50u        /* octets of PROTO_DISKS, */
#define PROTO_DISKS_MAX   8576u      /* see disklist.h */

#define PROTO_LIMIT_MS_MAX 3600000u /* no silence limit is longer */
#define PROTO_PATH_MAX     8u       /* addresses of S: 0 to 7 */
#define PROTO_STATE_MAX    15u      /* room for states of P and of S */

/**
 * struct proto_hdr - in front of every frame
 * @magic: PROTO_MAGIC
 * @type: enum proto_type
 * @_res: zero
 * @length: octets that follow, at most the type's maximum
 * @incarnation: counts the connections of a channel and path, from 1; a frame
 *               of an older one than the newest that was attached is dropped
 *               (RULES A3). 0 in boot frames and in CHALLENGE, nowhere else
 * @epoch: the epoch this frame speaks of. Not 0 in EPOCH_BEGIN, DATA,
 *         EPOCH_END and ACK; 0 in boot frames, CHALLENGE, ATTACH, ATTACHED
 *         and HEARTBEAT; either in the others
 */
struct proto_hdr_wire {
    uint32_t magic;
    uint16_t type;
    uint16_t _res;
    uint32_t length;
    uint32_t incarnation;
    uint64_t epoch;
} __attribute__((packed));
static_assert(sizeof(struct proto_hdr_wire) == 24, "header: 24 octets");
static_assert(offsetof(struct proto_hdr_wire, length) == 8, "length at 8");
static_assert(offsetof(struct proto_hdr_wire, epoch) == 16, "epoch at 16");
#define PROTO_HDR_LEN 24u

/**
 * enum proto_type - every frame there is
 * @PROTO_HELLO: boot, P: who I am, whom I protect, the session's key
 * @PROTO_HELLO_REPLY: boot, S: chosen version, port, addresses
 * @PROTO_CONFIG: boot, P: the domain's libxl configuration (JSON)
 * @PROTO_READY: boot, S: checked and listening; connect now
 * @PROTO_REFUSED: boot, S: why not (text); S then exits
 * @PROTO_DISKS: boot, P: the disks that are mirrored (disklist.h); before
 *               CONFIG, and only if both ends have PROTO_CAP_DISK
 * @PROTO_CHALLENGE: data and ctrl, S: a nonce, first frame on a connection
 * @PROTO_ATTACH: data and ctrl, P: which channel this is, with a MAC
 * @PROTO_ATTACHED: data and ctrl, S: accepted; what S holds (the place from
 *                  where a later version resumes a broken connection)
 * @PROTO_EPOCH_BEGIN: data: an epoch starts
 * @PROTO_DATA: data: a piece of it
 * @PROTO_EPOCH_END: data: all of it was sent; its size and hash
 * @PROTO_HEARTBEAT: ctrl, both: alive, and how far
 * @PROTO_ACK: ctrl, S: the whole epoch is held and will survive P
 * @PROTO_DROP: ctrl, P: forget your copy, P goes on alone
 * @PROTO_DROPPED: ctrl, S: my copy will never run
 * @PROTO_END: ctrl, P: the guest ended by itself
 * @PROTO_ENDED: ctrl, S: understood, my copy will never run (RULES A13)
 * @PROTO_SWAP: ctrl, S: please hand the guest over (planned failover)
 * @PROTO_SWAP_REFUSED: ctrl, P: no (text)
 * @PROTO_YOURS: ctrl, P: my copy is suspended and stays so, run yours
 * @PROTO_PROMOTED: ctrl, S: my copy runs; destroy yours
 * @PROTO_FAILED: ctrl, S: my copy is of no use any more (text)
 * @PROTO_CLOCK: ctrl, both: what time it is here; a peer that has never heard
 *               of it skips it
 */
enum proto_type {
    PROTO_HELLO = 1,
    PROTO_HELLO_REPLY = 2,
    PROTO_CONFIG = 3,
    PROTO_READY = 4,
    PROTO_REFUSED = 5,
    PROTO_DISKS = 6,
    PROTO_CHALLENGE = 16,
    PROTO_ATTACH = 17,
    PROTO_ATTACHED = 18,
    PROTO_EPOCH_BEGIN = 32,
    PROTO_DATA = 33,
    PROTO_EPOCH_END = 34,
    PROTO_HEARTBEAT = 48,
    PROTO_ACK = 49,
    PROTO_DROP = 50,
    PROTO_DROPPED = 51,
    PROTO_END = 52,
    PROTO_ENDED = 53,
    PROTO_SWAP = 54,
    PROTO_SWAP_REFUSED = 55,
    PROTO_YOURS = 56,
    PROTO_PROMOTED = 57,
    PROTO_FAILED = 58,
    PROTO_CLOCK = PROTO_OPTIONAL | 1,
};

/* Channels, for PROTO_ATTACH. */
enum proto_channel {
    PROTO_CH_DATA = 1,
    PROTO_CH_CTRL = 2,
    PROTO_CH_GUARD = 3,
    PROTO_CH_DISK = 4, /* the path is the disk's place in PROTO_DISKS */
    PROTO_CH_PROXY = 5, /* path 0 */
};

/* States of P in HEARTBEAT; what they mean is in prim.h. The numbers are
 * fixed, whatever happens to the enumeration there. */
enum proto_prim_state {
    PROTO_PRIM_SYNCING = 0,
    PROTO_PRIM_PROTECTED = 1,
    PROTO_PRIM_DROPPING = 2,
    PROTO_PRIM_ENDING = 3,
    PROTO_PRIM_SWAPPING = 4,
    PROTO_PRIM_HANDING = 5,
    PROTO_PRIM_YIELDING = 6,
    PROTO_PRIM_SOLO = 7,
    PROTO_PRIM_GONE = 8,
    PROTO_PRIM_YIELDED = 9,
    PROTO_PRIM_STUCK = 10,
};

/* States of S in HEARTBEAT and ATTACHED; see sec.h. */
enum proto_sec_state {
    PROTO_SEC_SYNCING = 0,
    PROTO_SEC_PAIRED = 1,
    PROTO_SEC_DECIDING = 2,
    PROTO_SEC_OPENING = 3,
    PROTO_SEC_OPEN = 4,
    PROTO_SEC_DROPPED = 5,
    PROTO_SEC_FAILED = 6,
    PROTO_SEC_ASIDE = 7,
    PROTO_SEC_OVER = 8,
};

/* Roles, on the wire and in the state file (RULES A1, A7). */
enum proto_role {
    PROTO_ROLE_PRIMARY = 1,
    PROTO_ROLE_SECONDARY = 2,
};

/* Capabilities offered in HELLO, where a bit that this end has never heard of
 * is no error; the reply holds those both ends have. */
#define PROTO_CAP_PLAINTEXT 0x00000001u /* connections without TLS wanted */
#define PROTO_CAP_RESUME    0x00000002u /* reserved: resume a connection */
#define PROTO_CAP_DISK      0x00000004u /* disks are mirrored */
#define PROTO_CAP_COLO      0x00000008u /* the copy is put back in place */
#define PROTO_CAP_PROXY     0x00000010u /* packets are compared; with COLO */
#define PROTO_CAP_PROXY_AGAIN 0x00000020u /* and PROTO_CH_PROXY again */
#define PROTO_CAP_ALL                                                   \
    (PROTO_CAP_PLAINTEXT | PROTO_CAP_RESUME | PROTO_CAP_DISK |          \
     PROTO_CAP_COLO | PROTO_CAP_PROXY | PROTO_CAP_PROXY_AGAIN)

/* Why a guest or a protection ended: PROTO_END, PROTO_DROP. */
enum proto_reason {
    PROTO_WHY_STOP = 1,
    PROTO_WHY_POWEROFF = 2,
    PROTO_WHY_REBOOT = 3,
    PROTO_WHY_CRASH = 4,
    PROTO_WHY_WORKER_DIED = 5,
    PROTO_WHY_ERROR = 6,
    PROTO_WHY_WATCHDOG = 7,
    PROTO_WHY_DESTROYED = 8,
};
#define PROTO_WHY_MAX 8u

/**
 * struct proto_hello - PROTO_HELLO, followed by the domain's name
 * @version: the sender's PROTO_VERSION; @version_min: oldest it speaks
 * @caps: PROTO_CAP_*
 * @uuid: the guest's
 * @session: random, names this protection
 * @generation: of the guest's record; grows with each takeover (RULES A1)
 * @role: the sender's, enum proto_role
 * @heartbeat_ms: interval of heartbeats, both ways; 1 to @limit_ms
 * @limit_ms: silence on every path that long means the other host failed; at
 *            most PROTO_LIMIT_MS_MAX
 * @port: wanted TCP port of S, 0 = any
 * @xen_major, @xen_minor: of the sender's hypervisor
 * @name_len: octets of name that follow
 * @key: the session's secret; only ever inside ssh
 *
 * The name: printable ASCII without '/', neither "." nor "..". @session and
 * @key are not all zeroes. The layout of this frame never changes: a later
 * version says more in frames of its own.
 */
struct proto_hello_wire {
    uint16_t version;
    uint16_t version_min;
    uint32_t caps;
    uint8_t uuid[PROTO_UUID_LEN];
    uint8_t session[PROTO_SESSION_LEN];
    uint64_t generation;
    uint8_t role;
    uint8_t _res[3];
    uint32_t heartbeat_ms;
    uint32_t limit_ms;
    uint16_t port;
    uint16_t xen_major;
    uint16_t xen_minor;
    uint16_t name_len;
    uint8_t key[PROTO_KEY_LEN];
} __attribute__((packed));
static_assert(sizeof(struct proto_hello_wire) == 100, "HELLO: 100 octets");

struct proto_hello {
    uint16_t version, version_min;
    uint32_t caps;
    uint8_t uuid[PROTO_UUID_LEN];
    uint8_t session[PROTO_SESSION_LEN];
    uint64_t generation;
    uint8_t role;
    uint32_t heartbeat_ms, limit_ms;
    uint16_t port;
    uint16_t xen_major, xen_minor;
    uint8_t key[PROTO_KEY_LEN];
    char name[PROTO_NAME_MAX + 1];
};

/**
 * struct proto_hello_reply - PROTO_HELLO_REPLY, followed by an address
 * @version: the one both speak from here on
 * @caps: what both can do
 * @session: as in HELLO
 * @generation: newest that this host knows for the guest, 0 if none
 * @port: TCP port S listens on
 * @xen_major, @xen_minor: of S's hypervisor
 * @addr_len: octets of text that follow: the address of S that ssh used,
 *            from SSH_CONNECTION, numeric (a %zone may follow); 0 if unknown
 */
struct proto_hello_reply_wire {
    uint16_t version;
    uint16_t port;
    uint32_t caps;
    uint8_t session[PROTO_SESSION_LEN];
    uint64_t generation;
    uint16_t xen_major;
    uint16_t xen_minor;
    uint16_t addr_len;
    uint16_t _res;
} __attribute__((packed));
static_assert(sizeof(struct proto_hello_reply_wire) == 40, "REPLY: 40");

#define PROTO_ADDR_MAX 63u

struct proto_hello_reply {
    uint16_t version;
    uint16_t port;
    uint32_t caps;
    uint8_t session[PROTO_SESSION_LEN];
    uint64_t generation;
    uint16_t xen_major, xen_minor;
    char addr[PROTO_ADDR_MAX + 1];
};

/**
 * struct proto_attach - PROTO_ATTACH
 * @session: as in HELLO
 * @channel: enum proto_channel
 * @path: which of S's addresses this is, from 0
 * @mac: HMAC-SHA256 under the session's key over the 68 octets
 *       "xl-colo attach" | nonce | session | channel | path | incarnation
 *       (14 without terminator, 32, 16, 1, 1, and the header's 4)
 */
struct proto_attach_wire {
    uint8_t session[PROTO_SESSION_LEN];
    uint8_t channel;
    uint8_t path;
    uint16_t _res;
    uint8_t mac[PROTO_MAC_LEN];
} __attribute__((packed));
static_assert(sizeof(struct proto_attach_wire) == 52, "ATTACH: 52 octets");

struct proto_attach {
    uint8_t session[PROTO_SESSION_LEN];
    uint8_t channel, path;
    uint8_t mac[PROTO_MAC_LEN];
};

/**
 * struct proto_attached - PROTO_ATTACHED
 * @generation: of the guest's record
 * @accepted: newest whole epoch S holds, 0 if none
 * @state: enum proto_sec_state
 */
struct proto_attached_wire {
    uint64_t generation;
    uint64_t accepted;
    uint8_t state;
    uint8_t _res[7];
} __attribute__((packed));
static_assert(sizeof(struct proto_attached_wire) == 24, "ATTACHED: 24");

struct proto_attached {
    uint64_t generation, accepted;
    uint8_t state;
};

/**
 * struct proto_epoch_begin - PROTO_EPOCH_BEGIN
 * @flags: PROTO_EPOCH_*
 */
#define PROTO_EPOCH_STREAM 0x00000001u /* first copy: passed on at once */
#define PROTO_EPOCH_FINAL  0x00000002u /* planned swap: P does not resume */
#define PROTO_EPOCH_ALL    (PROTO_EPOCH_STREAM | PROTO_EPOCH_FINAL)
struct proto_epoch_begin_wire {
    uint32_t flags;
    uint32_t _res;
} __attribute__((packed));
static_assert(sizeof(struct proto_epoch_begin_wire) == 8, "BEGIN: 8 octets");

/**
 * struct proto_epoch_end - PROTO_EPOCH_END
 * @bytes: octets in all DATA frames of the epoch
 * @hash: XXH3_64bits of them, in order
 */
struct proto_epoch_end_wire {
    uint64_t bytes;
    uint64_t hash;
} __attribute__((packed));
static_assert(sizeof(struct proto_epoch_end_wire) == 16, "END: 16 octets");

struct proto_epoch_end {
    uint64_t bytes, hash;
};

/**
 * struct proto_heartbeat - PROTO_HEARTBEAT
 * @seq: counts on each connection
 * @accepted: S: newest whole epoch held; P: newest acknowledged to it
 * @applied: S: newest epoch that the restore has taken in; P: newest epoch
 *           whose output was let go. At most @accepted, but 1 may be applied
 *           while it is still 0
 * @idle_ms: since something moved forward (an epoch, or the first copy)
 * @suspended_ms: P: how long the guest has been suspended now; 0 if it runs
 * @state: enum proto_prim_state or enum proto_sec_state
 */
struct proto_heartbeat_wire {
    uint64_t seq;
    uint64_t accepted;
    uint64_t applied;
    uint32_t idle_ms;
    uint32_t suspended_ms;
    uint8_t state;
    uint8_t _res[7];
} __attribute__((packed));
static_assert(sizeof(struct proto_heartbeat_wire) == 40, "HEARTBEAT: 40");

struct proto_heartbeat {
    uint64_t seq, accepted, applied;
    uint32_t idle_ms, suspended_ms;
    uint8_t state;
};

/**
 * struct proto_clock - PROTO_CLOCK
 * @host_us: microseconds since 1970, UTC, that the sender's host clock shows;
 *           at most PROTO_CLOCK_MAX
 * @ahead_s: P: seconds that the guest's clock is ahead of that, in two's
 *           complement. S: 0, which P does not look at
 */
#define PROTO_CLOCK_MAX ((uint64_t)1 << 61)
struct proto_clock_wire {
    uint64_t host_us;
    uint32_t ahead_s;
    uint32_t _res;
} __attribute__((packed));
static_assert(sizeof(struct proto_clock_wire) == 16, "CLOCK: 16 octets");

struct proto_clock {
    uint64_t host_us;
    int32_t ahead_s;
};

/**
 * struct proto_ack - PROTO_ACK; the header's epoch is the accepted one
 * @applied: newest epoch that the restore has taken in; at most that one
 */
struct proto_ack_wire {
    uint64_t applied;
} __attribute__((packed));
static_assert(sizeof(struct proto_ack_wire) == 8, "ACK: 8 octets");

/**
 * struct proto_verdict - DROP, DROPPED, END, ENDED, SWAP, SWAP_REFUSED,
 * YOURS, PROMOTED, FAILED, REFUSED, READY: a reason and perhaps a sentence
 * @generation: of the guest's record as the sender sees it
 * @reason: enum proto_reason, 0 if none
 * @text_len: octets of printable ASCII that follow
 */
struct proto_verdict_wire {
    uint64_t generation;
    uint32_t reason;
    uint16_t text_len;
    uint16_t _res;
} __attribute__((packed));
static_assert(sizeof(struct proto_verdict_wire) == 16, "verdict: 16 octets");

struct proto_verdict {
    uint64_t generation;
    uint32_t reason;
    char text[PROTO_TEXT_MAX + 1];
};

/* The longest frame of a known type but PROTO_DATA, _CONFIG and _DISKS. */
#define PROTO_SMALL_MAX (PROTO_HDR_LEN + 512u)
static_assert(sizeof(struct proto_verdict_wire) + PROTO_TEXT_MAX <= 512, "");
static_assert(sizeof(struct proto_hello_wire) + PROTO_NAME_MAX <= 512, "");

/**
 * struct proto_hdr - a decoded header
 * @type: known type, or one with PROTO_OPTIONAL set
 */
struct proto_hdr {
    uint16_t type;
    uint32_t length;
    uint32_t incarnation;
    uint64_t epoch;
};

/**
 * struct proto_msg - a decoded frame
 * @hdr: its header
 * @u: by type; CHALLENGE is @nonce; DATA, CONFIG, DISKS and optional types are
 *     @data, @hdr.length octets that belong to the caller's buffer
 */
struct proto_msg {
    struct proto_hdr hdr;
    union {
        struct proto_hello hello;
        struct proto_hello_reply hello_reply;
        struct proto_attach attach;
        struct proto_attached attached;
        uint32_t epoch_flags;
        struct proto_epoch_end epoch_end;
        struct proto_heartbeat heartbeat;
        struct proto_clock clock;
        uint64_t applied;
        struct proto_verdict verdict;
        uint8_t nonce[PROTO_NONCE_LEN];
        const uint8_t *data;
    } u;
};

/* "HEARTBEAT", … or "?" for a type that does not exist. */
const char *proto_type_name(unsigned int type);

/* May it be passed over, because nobody here knows what it says? */
bool proto_unknown(unsigned int type);

/* "guest crashed", …, "no reason given" for 0, or "?". */
const char *proto_reason_text(unsigned int reason);

/**
 * proto_decode_hdr() - read and check PROTO_HDR_LEN octets
 * @buf: PROTO_HDR_LEN octets
 *
 * Checks magic, type, the reserved field, that the length is within the
 * bounds of the type, and that incarnation and epoch are zero or not as the
 * type asks, before anyone allocates or reads on. A type that is not known
 * but has PROTO_OPTIONAL set may be PROTO_OPTIONAL_MAX octets long.
 *
 * Return: 0, or -EPROTO with a sentence
 */
int proto_decode_hdr(struct proto_hdr *hdr_r, const uint8_t *buf,
                     struct xlc_error *err);

/**
 * proto_decode() - read and check a frame's body
 * @m: @m->hdr as proto_decode_hdr() gave it; @m->u is filled in
 * @body: @m->hdr.length octets; kept by reference for DATA and CONFIG
 *
 * Validates everything (lengths, enumerations, flags, text) before it stores
 * anything; on failure @m->u is untouched.
 *
 * Return: 0, or -EPROTO with a sentence
 */
int proto_decode(struct proto_msg *m, const uint8_t *body,
                 struct xlc_error *err);

/**
 * proto_encode() - write a frame
 * @buf: room for @size octets
 * @m: what to say; @m->hdr.length is ignored, except for DATA, CONFIG and
 *     optional types, where it is the length of @m->u.data
 *
 * Refuses what the other end would refuse, with one exception: unprintable
 * octets in a verdict's text become '?', so that a reason always arrives.
 *
 * Return: octets written (header and body), or -EMSGSIZE (@buf is too small;
 * its contents are then undefined), -EINVAL (such a frame may not be sent)
 */
int proto_encode(uint8_t *buf, size_t size, const struct proto_msg *m);

/**
 * proto_encode_hdr() - write only the header of a frame
 * @length: octets of body that the caller sends itself (PROTO_DATA)
 */
void proto_encode_hdr(uint8_t buf[PROTO_HDR_LEN], uint16_t type,
                      uint32_t length, uint32_t incarnation, uint64_t epoch);

#endif
