/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disklist.h - The body of PROTO_DISKS: which disks are mirrored, and how
 *
 * docs/specs/link-protocol.md, section 4.10, has the layout. A disk's place in
 * the list is the path of its connection (PROTO_CH_DISK).
 */
#ifndef XLC_DISKLIST_H
#define XLC_DISKLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "proto.h"

#define DISKLIST_MAX      PROTO_PATH_MAX
#define DISKLIST_VDEV_MAX 15u
#define DISKLIST_PATH_MAX 1023u
#define DISKLIST_FORCE    0x0001u

#define DISKLIST_HEAD_LEN 16u
#define DISKLIST_ITEM_LEN 32u
static_assert(DISKLIST_HEAD_LEN + DISKLIST_ITEM_LEN + 2 == PROTO_DISKS_MIN,
              "one disk with short names");
static_assert(DISKLIST_HEAD_LEN + DISKLIST_MAX *
              (DISKLIST_ITEM_LEN + DISKLIST_VDEV_MAX + DISKLIST_PATH_MAX) ==
              PROTO_DISKS_MAX, "all disks with long names");

/**
 * struct disklist_item - a disk
 * @uuid: of its history, not all zeroes: which copies belong together
 * @size: octets, not 0
 * @vdev: its name in the guest: letters and digits
 * @path: of its image on S: absolute, printable
 */
struct disklist_item {
    uint8_t uuid[PROTO_UUID_LEN];
    uint64_t size;
    char vdev[DISKLIST_VDEV_MAX + 1];
    char path[DISKLIST_PATH_MAX + 1];
};

/**
 * struct disklist - all of them
 * @first: the disks' epoch that belongs to the session's epoch 1; not 0
 * @force: overwrite an image of which nothing is known
 * @n: how many, 1 to DISKLIST_MAX; no two of the same @vdev or @path
 */
struct disklist {
    uint64_t first;
    bool force;
    unsigned int n;
    struct disklist_item at[DISKLIST_MAX];
};

/**
 * disklist_get() - read and check it
 *
 * Return: 0; -EPROTO with a sentence, and @l is untouched
 */
int disklist_get(struct disklist *l, const uint8_t *buf, size_t len,
                 struct xlc_error *err);

/**
 * disklist_put() - write it
 * @buf: room for PROTO_DISKS_MAX octets
 *
 * Return: octets; -EINVAL with a sentence if the other end would refuse it
 */
int disklist_put(const struct disklist *l, uint8_t *buf,
                 struct xlc_error *err);

/* The disk of that name, or NULL. */
const struct disklist_item *disklist_find(const struct disklist *l,
                                          const char *vdev);

#endif
