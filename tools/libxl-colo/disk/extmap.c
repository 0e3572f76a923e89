/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * extmap.c - Which ranges of a disk are kept elsewhere, and where
 *
 * Theory of operation: a treap, ordered by offset, balanced by random
 * priorities, its links numbers into one array that grows. A change first
 * makes sure of the nodes that it may need, so that it never stops half way.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "extmap.h"

struct extmap_node {
    struct extent e;
    uint32_t prio;
    uint32_t left;
    uint32_t right;
};

#define N(i) (m->node[i])

static int reserve(struct extmap *m, uint32_t n)
{
    struct extmap_node *node;
    uint32_t room = m->room ? m->room : 64, unused = m->used - m->count;

    if (!m->used) m->used = 1; /* number 0 is "none" */
    else unused--;
    if (m->node && unused + (m->room - m->used) >= n) return 0;
    while (room - m->used < n) {
        if (room > UINT32_MAX / 2) return -ENOMEM;
        room *= 2;
    }
    node = reallocarray(m->node, room, sizeof(*node));
    if (!node) return -ENOMEM;
    m->node = node;
    m->room = room;
    return 0;
}

static uint32_t take(struct extmap *m, struct extent e)
{
    uint32_t i = m->free_list;

    if (i) m->free_list = N(i).left;
    else i = m->used++;
    /* xorshift32: the priorities only have to be unrelated to offsets. */
    if (!m->rng) m->rng = 2463534242u;
    m->rng ^= m->rng << 13;
    m->rng ^= m->rng >> 17;
    m->rng ^= m->rng << 5;
    N(i) = (struct extmap_node){ .e = e, .prio = m->rng };
    m->count++;
    return i;
}

static void give_back(struct extmap *m, uint32_t i)
{
    if (!i) return;
    give_back(m, N(i).left);
    give_back(m, N(i).right);
    N(i).left = m->free_list;
    m->free_list = i;
    m->count--;
}

/* Extents that begin before @off to the left, the others to the right. */
static void split(struct extmap *m, uint32_t i, uint64_t off, uint32_t *left,
                  uint32_t *right)
{
    if (!i) {
        *left = *right = 0;
    } else if (N(i).e.off < off) {
        split(m, N(i).right, off, &N(i).right, right);
        *left = i;
    } else {
        split(m, N(i).left, off, left, &N(i).left);
        *right = i;
    }
}

static uint32_t join(struct extmap *m, uint32_t left, uint32_t right)
{
    if (!left || !right) return left ? left : right;
    if (N(left).prio > N(right).prio) {
        N(left).right = join(m, N(left).right, right);
        return left;
    }
    N(right).left = join(m, left, N(right).left);
    return right;
}

static uint64_t shifted(uint64_t where, uint64_t by)
{
    return where == EXTMAP_ZERO ? where : where + by;
}

/* The last of a subtree, or 0. */
static uint32_t last(const struct extmap *m, uint32_t i)
{
    while (i && N(i).right) i = N(i).right;
    return i;
}

/*
 * Takes [off, end) out: what is before in *@left, what is behind in *@right.
 * Needs at most one new node, for an extent that spans the whole range.
 */
static void carve(struct extmap *m, uint64_t off, uint64_t end,
                  uint32_t *left, uint32_t *right)
{
    struct extent tail = { .len = 0 };
    uint32_t rest, middle, i;

    split(m, m->root, off, left, &rest);
    split(m, rest, end, &middle, right);
    i = middle ? last(m, middle) : last(m, *left);
    if (i && N(i).e.off + N(i).e.len > end) {
        uint64_t cut = end - N(i).e.off;

        tail = (struct extent){ .off = end,
                                .len = N(i).e.len - cut,
                                .where = shifted(N(i).e.where, cut) };
    }
    i = last(m, *left);
    if (i && N(i).e.off + N(i).e.len > off) N(i).e.len = off - N(i).e.off;
    give_back(m, middle);
    if (tail.len) *right = join(m, take(m, tail), *right);
}

int extmap_set(struct extmap *m, uint64_t off, uint64_t len, uint64_t where)
{
    uint32_t left, right, i;
    int rc = reserve(m, 2);

    if (rc || !len) return rc;
    carve(m, off, off + len, &left, &right);
    i = last(m, left);
    if (i && N(i).e.off + N(i).e.len == off &&
        (where == EXTMAP_ZERO
             ? N(i).e.where == EXTMAP_ZERO
             : N(i).e.where != EXTMAP_ZERO &&
                   N(i).e.where + N(i).e.len == where))
        N(i).e.len += len;
    else
        left = join(m, left, take(m, (struct extent){ off, len, where }));
    m->root = join(m, left, right);
    return 0;
}

int extmap_remove(struct extmap *m, uint64_t off, uint64_t len)
{
    uint32_t left, right;
    int rc = reserve(m, 1);

    if (rc || !len) return rc;
    carve(m, off, off + len, &left, &right);
    m->root = join(m, left, right);
    return 0;
}

bool extmap_find(const struct extmap *m, uint64_t off, struct extent *e)
{
    uint32_t i = m->root;
    bool found = false;

    while (i) {
        if (N(i).e.off + N(i).e.len > off) {
            *e = N(i).e;
            found = true;
            i = N(i).left;
        } else {
            i = N(i).right;
        }
    }
    return found;
}

void extmap_clear(struct extmap *m)
{
    m->root = m->count = m->free_list = 0;
    m->used = m->node ? 1 : 0;
}

void extmap_dispose(struct extmap *m)
{
    free(m->node);
    *m = (struct extmap){ .node = NULL };
}
