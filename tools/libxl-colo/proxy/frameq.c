/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frameq.c - A bounded queue of messages in one piece of memory
 *
 * A ring in which a message is never torn apart: what does not fit at the
 * end goes to the beginning, and @wrap says where the end was.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "frameq.h"

/* In front of a frame's octets. */
struct entry {
    struct wire_msg m;
    size_t size;
};

#define ALIGN     (sizeof(uint64_t))
#define ENTRY_MAX ((sizeof(struct entry) + WIRE_FRAME_MAX + ALIGN - 1) / \
                   ALIGN * ALIGN)

static bool is_frame(const struct wire_msg *m)
{
    return m->type == WIRE_INBOUND || m->type == WIRE_OUTBOUND;
}

int frameq_init(struct frameq *q, size_t size, struct xlc_error *err)
{
    void *at;

    *q = (struct frameq){ .size = (size + ENTRY_MAX) / ALIGN * ALIGN };
    at = mmap(NULL, q->size, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return xlc_error_set(err, -errno, "no memory for a queue of %zu "
                             "octets", q->size);
    q->at = at;
    return 0;
}

void frameq_dispose(struct frameq *q)
{
    if (q->at) munmap(q->at, q->size);
    *q = (struct frameq){ 0 };
}

/*
 * Where @size octets fit; SIZE_MAX if nowhere. The tail meets the head only
 * in an empty queue.
 */
static size_t place(const struct frameq *q, size_t size)
{
    if (!q->n) return size <= q->size ? 0 : SIZE_MAX;
    if (q->tail > q->head) {
        if (q->size - q->tail >= size) return q->tail;
        return q->head > size ? 0 : SIZE_MAX;
    }
    return q->head - q->tail > size ? q->tail : SIZE_MAX;
}

bool frameq_room(const struct frameq *q)
{
    return place(q, ENTRY_MAX) != SIZE_MAX;
}

uint8_t *frameq_next(const struct frameq *q)
{
    return q->at + place(q, ENTRY_MAX) + sizeof(struct entry);
}

bool frameq_push(struct frameq *q, const struct wire_msg *m)
{
    size_t len = is_frame(m) ? m->u.frame.len : 0;
    size_t size = (sizeof(struct entry) + len + ALIGN - 1) / ALIGN * ALIGN;
    size_t to = place(q, size);
    struct entry *e;

    if (to == SIZE_MAX) return false;
    if (!q->n) q->head = 0;
    else if (to < q->tail && q->tail > q->head) q->wrap = q->tail;
    e = (struct entry *)(void *)(q->at + to);
    e->m = *m;
    e->size = size;
    if (len) {
        /* It may be there already, or where only a longer one would go. */
        memmove(e + 1, m->u.frame.data, len);
        e->m.u.frame.data = (const uint8_t *)(e + 1);
    }
    q->tail = to + size;
    q->n++;
    q->bytes += size;
    return true;
}

bool frameq_peek(const struct frameq *q, struct wire_msg *m)
{
    if (!q->n) return false;
    *m = ((const struct entry *)(const void *)(q->at + q->head))->m;
    return true;
}

void frameq_pop(struct frameq *q)
{
    const struct entry *e;

    if (!q->n) return;
    e = (const struct entry *)(const void *)(q->at + q->head);
    q->n--;
    q->bytes -= e->size;
    q->head += e->size;
    if (q->n && q->tail <= q->head && q->head == q->wrap) q->head = 0;
}
