/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * diskproto.h - What the two plugins of a mirrored disk say to each other
 *
 * docs/specs/disk-protocol.md explains what is said when; this header is the
 * one place where it is laid out. Everything is big-endian. A message is a
 * header, a fixed part, and for some types octets after it. Nobody casts to
 * the structs: diskproto.c reads and writes field by field through cursors.
 *
 * Ends: the primary (P), where the guest runs, and the secondary (S).
 */
#ifndef XLC_DISKPROTO_H
#define XLC_DISKPROTO_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define DISKPROTO_MAGIC   0x584c4344u /* "XLCD" */
#define DISKPROTO_VERSION 2u
#define DISKPROTO_WITH_SUMS 2u /* the first version with SUM, SUMMED */

#define DISKPROTO_DATA_MAX  (1u << 20) /* octets of one WRITE */
#define DISKPROTO_RANGE     16u
#define DISKPROTO_MARKS_MAX (4096u * DISKPROTO_RANGE)
#define DISKPROTO_TEXT_MAX  480u

/**
 * struct diskproto_hdr_wire - in front of every message
 * @magic: DISKPROTO_MAGIC
 * @type: enum diskproto_type
 * @_res: zero
 * @length: octets that follow
 * @_res2: zero
 * @epoch: not 0 in WRITE, ZERO, SUM, MARK and SYNC_END; 0 in the others
 * @off: first octet of the disk in WRITE, ZERO, SUM and SUMMED; 0 in the
 *       others
 */
struct diskproto_hdr_wire {
    uint32_t magic;
    uint16_t type;
    uint16_t _res;
    uint32_t length;
    uint32_t _res2;
    uint64_t epoch;
    uint64_t off;
} __attribute__((packed));
static_assert(sizeof(struct diskproto_hdr_wire) == 32, "header: 32 octets");
static_assert(offsetof(struct diskproto_hdr_wire, length) == 8, "length");
static_assert(offsetof(struct diskproto_hdr_wire, epoch) == 16, "epoch");
#define DISKPROTO_HDR_LEN 32u

/**
 * enum diskproto_type - every message there is
 * @DISKPROTO_HELLO: both, first: what my image is
 * @DISKPROTO_SYNC: P: what follows makes your image mine, of this generation
 * @DISKPROTO_WRITE: P: data
 * @DISKPROTO_ZERO: P: zeroes
 * @DISKPROTO_MARK: P: the epoch's writes are all sent
 * @DISKPROTO_SYNC_END: P: the same; and you have all of my image
 * @DISKPROTO_SUM: P: a range's checksum; is it yours?
 * @DISKPROTO_MARKS: S, after HELLO: ranges that I wrote alone
 * @DISKPROTO_MARKS_END: S: that was all; or: I don't know
 * @DISKPROTO_STATE: S: what I have
 * @DISKPROTO_SUMMED: S: to each SUM, in order: whether it differs
 * @DISKPROTO_ERROR: both, last: why I give up
 */
enum diskproto_type {
    DISKPROTO_HELLO = 1,
    DISKPROTO_SYNC = 2,
    DISKPROTO_WRITE = 3,
    DISKPROTO_ZERO = 4,
    DISKPROTO_MARK = 5,
    DISKPROTO_SYNC_END = 6,
    DISKPROTO_SUM = 7,
    DISKPROTO_MARKS = 32,
    DISKPROTO_MARKS_END = 33,
    DISKPROTO_STATE = 34,
    DISKPROTO_SUMMED = 35,
    DISKPROTO_ERROR = 48,
};

#define DISKPROTO_CONSISTENT 1u /* @flags of HELLO */

/**
 * struct diskproto_hello - fixed part of HELLO
 * @version: the newest that its end speaks, not 0; both speak the lower one
 * @role: enum identity_role; 0: nothing is known of the image
 * @flags: DISKPROTO_CONSISTENT
 * @uuid: the guest's
 * @generation: @epoch: of the image; 0 with @role 0
 * @size: of the image, octets, 1 to 2^63 - 1
 */
struct diskproto_hello {
    uint16_t version;
    uint16_t role;
    uint32_t flags;
    uint8_t uuid[16];
    uint64_t generation;
    uint64_t epoch;
    uint64_t size;
    uint64_t _res;
} __attribute__((packed));
static_assert(sizeof(struct diskproto_hello) == 56, "HELLO: 56 octets");

/**
 * struct diskproto_state - fixed part of STATE
 * @held: newest epoch of which S has all
 * @durable: newest that a power cut does not take from S; at most @held
 * @applied: newest that S accepted; at most @held
 */
struct diskproto_state {
    uint64_t held;
    uint64_t durable;
    uint64_t applied;
} __attribute__((packed));
static_assert(sizeof(struct diskproto_state) == 24, "STATE: 24 octets");

/**
 * struct diskproto_sum - fixed part of SUM
 * @count: octets, not 0
 * @seed: of the checksum; random, of this sync
 * @sum: XXH3, 128 bits, of the range, in its canonical form
 */
struct diskproto_sum {
    uint64_t count;
    uint64_t seed;
    uint8_t sum[16];
} __attribute__((packed));
static_assert(sizeof(struct diskproto_sum) == 32, "SUM: 32 octets");

/**
 * struct diskproto_summed - fixed part of SUMMED
 * @count: octets, as in the SUM
 * @differs: 1: send it; 0: S has the same
 * @_res: zero
 */
struct diskproto_summed {
    uint64_t count;
    uint32_t differs;
    uint32_t _res;
} __attribute__((packed));
static_assert(sizeof(struct diskproto_summed) == 16, "SUMMED: 16 octets");

/* What is in front of the octets at @data, at most. */
#define DISKPROTO_HEAD_MAX (DISKPROTO_HDR_LEN + 56u)
#define DISKPROTO_MSG_MAX  (DISKPROTO_HEAD_MAX + DISKPROTO_DATA_MAX)

/**
 * struct diskproto_msg - a message
 * @type: which of @u counts
 * @epoch: @off: see the header
 * @data: of WRITE, MARKS and ERROR: @len octets; not owned
 * @u.hello: HELLO
 * @u.state: STATE
 * @u.generation: SYNC
 * @u.count: ZERO: octets, not 0
 * @u.sum: SUM
 * @u.summed: SUMMED
 * @u.everything: MARKS_END: compare all
 * @u.status: ERROR: a positive errno
 */
struct diskproto_msg {
    enum diskproto_type type;
    uint64_t epoch;
    uint64_t off;
    const uint8_t *data;
    uint32_t len;
    union {
        struct diskproto_hello hello;
        struct diskproto_state state;
        uint64_t generation;
        uint64_t count;
        struct diskproto_sum sum;
        struct diskproto_summed summed;
        bool everything;
        uint32_t status;
    } u;
};

/**
 * diskproto_encode() - all of a message but what is at @data
 * @buf: room for DISKPROTO_HEAD_MAX
 *
 * Return: its length; 0 if the message makes no sense
 */
size_t diskproto_encode(const struct diskproto_msg *m, uint8_t *buf);

/**
 * diskproto_decode() - the first message of what came
 * @m: touched on success only; its @data points into @buf
 * @used: set on success: octets of the message
 *
 * Return: 1; 0: not all of it is there yet; -EPROTO with a sentence
 */
int diskproto_decode(struct diskproto_msg *m, const uint8_t *buf, size_t len,
                     bool from_primary, size_t *used, struct xlc_error *err);

/* The ranges of MARKS. */
void diskproto_range_put(uint8_t *data, uint64_t off, uint64_t len);
void diskproto_range_get(const uint8_t *data, uint64_t *off, uint64_t *len);

const char *diskproto_name(unsigned int type);

#endif
