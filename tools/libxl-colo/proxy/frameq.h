/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frameq.h - A bounded queue of messages in one piece of memory
 *
 * First in, first out. Pages of it are used as they are first touched.
 */
#ifndef XLC_FRAMEQ_H
#define XLC_FRAMEQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/**
 * struct frameq - the queue
 * @at: @size octets; NULL: not made
 * @head, @tail: where the oldest message is, where the next one goes
 * @wrap: where those behind the head end, if the tail is in front of it
 * @n: messages
 * @bytes: octets they take
 */
struct frameq {
    uint8_t *at;
    size_t size, head, tail, wrap;
    size_t n, bytes;
};

/* Room for at least @size octets, and one longest message. */
int frameq_init(struct frameq *q, size_t size, struct xlc_error *err);
void frameq_dispose(struct frameq *q);

/* True if the longest message fits. */
bool frameq_room(const struct frameq *q);

/* Where a frame may be written that is pushed next, which is not copied then;
 * of any length, if frameq_room(). */
uint8_t *frameq_next(const struct frameq *q);

/* Copy @m behind the others. Return: false if it does not fit. */
bool frameq_push(struct frameq *q, const struct wire_msg *m);

/**
 * frameq_peek() - the oldest message
 * @m: a frame's octets stay in the queue, and may be changed there
 *
 * Return: false if there is none
 */
bool frameq_peek(const struct frameq *q, struct wire_msg *m);

/* The oldest goes. */
void frameq_pop(struct frameq *q);

#endif
