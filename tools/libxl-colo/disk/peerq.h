/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peerq.h - What the peer is to get, in order, with its epoch; bounded
 *
 * Pure: no time, no descriptors, and no locks but that of the spare memory of
 * all queues; the owner (mirror.c) has those. An
 * item is made outside of the owner's lock, with its copy of the data, and
 * then pushed: it gets the epoch that is open at that moment. A mark closes
 * the epoch; it always fits. An item counts until peerq_free(): what is being
 * sent takes memory too.
 */
#ifndef XLC_PEERQ_H
#define XLC_PEERQ_H

#include "diskproto.h"

/*
 * The memory of items with at least this much data is used again: fresh memory
 * of that size would come, zeroed, page by page. Spare memory and what the
 * queue holds are at most the queue's limit, or the latter and PEERQ_SPARE.
 */
#define PEERQ_BIG   (48u << 10)
#define PEERQ_SPARE (8ull << 20)

/* What an item costs beyond its data. */
#define PEERQ_OVERHEAD 128u

/**
 * struct peerq_item - one message
 * @next: in the queue, or in a chain that is pushed at once
 * @m: as it will be sent; @m.data points to @data
 * @cost: octets that it counts
 * @room: octets that @data has room for
 */
struct peerq_item {
    struct peerq_item *next;
    struct diskproto_msg m;
    uint64_t cost;
    uint32_t room;
    uint8_t data[];
};

/**
 * struct peerq - the queue
 * @first: @last: the list
 * @cost: octets of all that was pushed and not freed
 * @limit: most of them
 * @epoch: the open one; 0: closed, nothing is taken
 * @marked: newest epoch that was closed
 */
struct peerq {
    struct peerq_item *first;
    struct peerq_item *last;
    uint64_t cost;
    uint64_t limit;
    uint64_t epoch;
    uint64_t marked;
};

void peerq_init(struct peerq *q, uint64_t limit);

/* Take writes, of @epoch, from now on. */
void peerq_open(struct peerq *q, uint64_t epoch);

/* Drop all that waits; take nothing more. */
void peerq_close(struct peerq *q);

/**
 * peerq_make() - a chain of items for one write
 * @buf: copied; NULL: zeroes
 *
 * Return: the chain, for peerq_push() or peerq_drop(); NULL without memory
 */
struct peerq_item *peerq_make(const void *buf, uint64_t len, uint64_t off);
void peerq_drop(struct peerq_item *chain);

/* The same, of one item, for a SUM of the range. */
struct peerq_item *peerq_make_sum(const struct diskproto_sum *sum,
                                  uint64_t off);

/**
 * peerq_push() - append a whole write
 *
 * Return: its epoch; 0: nothing was taken, @chain is still the caller's: the
 * queue is closed, or there is no room now (q->epoch tells which). What alone
 * is larger than the bound fits into an empty queue.
 */
uint64_t peerq_push(struct peerq *q, struct peerq_item *chain);

/**
 * peerq_mark() - close the open epoch; the next is one more
 * @type: DISKPROTO_MARK or DISKPROTO_SYNC_END
 *
 * Return: 0; -EINVAL if @epoch is not the open one; -ENOMEM
 */
int peerq_mark(struct peerq *q, uint64_t epoch, enum diskproto_type type);

/* Take the oldest item out, for sending; it still counts. NULL if none. */
struct peerq_item *peerq_pop(struct peerq *q);
void peerq_free(struct peerq *q, struct peerq_item *item);

/* Octets of spare memory; give back what is more than PEERQ_SPARE of it, for
 * a queue that has had nothing to do for a while. */
uint64_t peerq_spare(void);
void peerq_trim(void);

#endif
