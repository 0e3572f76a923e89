/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * extmap.h - Which ranges of a disk are kept elsewhere, and where
 *
 * A map of extents that never overlap: a later one replaces what it covers of
 * earlier ones. Setting, finding and removing cost O(log n). No locks: the
 * owner holds one.
 */
#ifndef XLC_EXTMAP_H
#define XLC_EXTMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An extent that reads as zeroes and has no data. */
#define EXTMAP_ZERO UINT64_MAX

/**
 * struct extent - a range of the disk
 * @off: first octet
 * @len: octets, never 0
 * @where: position of its data, which is as long; or EXTMAP_ZERO
 */
struct extent {
    uint64_t off;
    uint64_t len;
    uint64_t where;
};

struct extmap_node;

/**
 * struct extmap - the map; all zero is an empty one
 * @node: nodes; number 0 is "none"
 * @room: nodes that @node has room for
 * @used: nodes ever taken from it
 * @free_list: nodes given back, linked through their left
 * @root: top of the treap
 * @count: extents
 * @rng: state of the priorities
 */
struct extmap {
    struct extmap_node *node;
    uint32_t room;
    uint32_t used;
    uint32_t free_list;
    uint32_t root;
    uint32_t count;
    uint32_t rng;
};

/* Gives the memory back; the map is empty and may be used again. */
void extmap_dispose(struct extmap *m);

/* Empty, but the memory is kept for the next use. */
void extmap_clear(struct extmap *m);

/**
 * extmap_set() - a range is at @where
 *
 * @off + @len must not overflow. Return: 0, or -ENOMEM (nothing changed).
 */
int extmap_set(struct extmap *m, uint64_t off, uint64_t len, uint64_t where);

/* A range is kept nowhere. Return: 0, or -ENOMEM (nothing changed). */
int extmap_remove(struct extmap *m, uint64_t off, uint64_t len);

/**
 * extmap_find() - the first extent that ends after @off
 *
 * It may begin before @off. Return: false if there is none.
 */
bool extmap_find(const struct extmap *m, uint64_t off, struct extent *e);

#endif
