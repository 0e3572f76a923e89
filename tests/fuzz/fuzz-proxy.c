/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-proxy.c - What the peer's proxy may say, and what frames may hold
 *
 * The input is read as the one end's octets and then as the other's. A
 * message that is accepted says the same when it is encoded again, survives a
 * queue, and its frame is looked at for neighbours. One that is refused says
 * why and leaves the target untouched; one that is cut is waited for.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frameq.h"
#include "neigh.h"
#include "wire.h"

#define MUST(cond)                                                 \
    do {                                                           \
        if (!(cond)) {                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                               \
        }                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct neigh neigh;
static struct frameq queue;
static uint8_t again[WIRE_MSG_MAX];

static void one_frame(const struct wire_frame *f)
{
    uint8_t answer[NEIGH_ANSWER_MAX], twice[NEIGH_ANSWER_MAX];

    neigh_learn(&neigh, f->data, f->len);
    if (!neigh_answer(&neigh, f->data, f->len, answer)) return;
    /* An answer is no question. */
    MUST(!neigh_answer(&neigh, answer, sizeof(answer), twice));
}

static void one_message(const struct wire_msg *m, bool from_primary,
                        const uint8_t *octets, size_t used)
{
    struct wire_msg back;

    if (m->type & WIRE_OPTIONAL) return;
    MUST(wire_encode(m, from_primary, again, sizeof(again)) == (int)used);
    MUST(!memcmp(again, octets, used));
    MUST(used == 0 ||
         wire_encode(m, from_primary, again, used - 1) == -ENOSPC);
    if (m->type != WIRE_INBOUND && m->type != WIRE_OUTBOUND) return;
    one_frame(&m->u.frame);
    if (!frameq_push(&queue, m)) {
        MUST(queue.n);
        frameq_pop(&queue);
        return;
    }
    MUST(frameq_peek(&queue, &back) && back.u.frame.len);
    if (queue.n == 1)
        MUST(!memcmp(back.u.frame.data, m->u.frame.data, m->u.frame.len));
}

static void one_end(const uint8_t *data, size_t size, bool from_primary)
{
    while (size) {
        struct xlc_error err = XLC_ERROR_INIT;
        struct wire_msg m, before;
        size_t used = 0;
        int r;

        memset(&m, 0x5a, sizeof(m));
        before = m;
        r = wire_decode(&m, data, size, from_primary, &used, &err);
        if (r <= 0) {
            MUST(!memcmp(&m, &before, sizeof(m)) && !used);
            MUST(r ? err.status == r && err.msg[0] : !err.status);
            return;
        }
        MUST(used >= WIRE_HDR_LEN && used <= size && !err.status);
        one_message(&m, from_primary, data, used);
        data += used;
        size -= used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!queue.at) MUST(!frameq_init(&queue, 1u << 18, NULL));
    one_end(data, size, true);
    one_end(data, size, false);
    return 0;
}
