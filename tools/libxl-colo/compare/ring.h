/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - Doubly linked lists without a special end
 *
 * A head that points to itself is an empty list; so does an element that is in
 * none, and taking it out again does nothing.
 */
#ifndef XLC_RING_H
#define XLC_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring {
    struct ring *next, *prev;
};

#define ring_entry(ptr, type, member) \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void ring_init(struct ring *r)
{
    r->next = r->prev = r;
}

static inline bool ring_empty(const struct ring *r)
{
    return r->next == r;
}

/* Put @n before @at: at the end, if @at is a list's head. */
static inline void ring_add(struct ring *at, struct ring *n)
{
    n->next = at;
    n->prev = at->prev;
    at->prev->next = n;
    at->prev = n;
}

static inline void ring_del(struct ring *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    ring_init(n);
}

/* Move all of @from to the end of @to. */
static inline void ring_move(struct ring *to, struct ring *from)
{
    if (ring_empty(from)) return;
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    ring_init(from);
}

#endif
