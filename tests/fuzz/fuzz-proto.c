/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-proto.c - A stream of frames from a peer that means no good
 *
 * Whatever is accepted must encode to the very same octets again; whatever is
 * refused must come with a sentence and leave the message as it was.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "disklist.h"
#include "proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

/* The body of DISKS, which the codec leaves to others. */
static void disks(const uint8_t *body, size_t len)
{
    static struct disklist l, before;
    static uint8_t again[PROTO_DISKS_MAX];
    struct xlc_error err = XLC_ERROR_INIT;

    memset(&l, 0x5a, sizeof(l));
    before = l;
    if (disklist_get(&l, body, len, &err)) {
        MUST(err.status == -EPROTO && err.msg[0]);
        MUST(!memcmp(&l, &before, sizeof(l)));
        return;
    }
    MUST(disklist_put(&l, again, &err) == (int)len && !err.status);
    MUST(!memcmp(again, body, len));
    MUST(disklist_find(&l, l.at[0].vdev) == &l.at[0]);
}

/* One frame whose header was accepted. @frame: header and body */
static bool one_frame(const struct proto_hdr *h, const uint8_t *frame)
{
    size_t all = PROTO_HDR_LEN + (size_t)h->length;
    /* A block of its own, so that reading beyond the body is seen. */
    CLEANUP_FREE uint8_t *body = malloc(h->length ? h->length : 1);
    CLEANUP_FREE uint8_t *again = malloc(all);
    struct xlc_error err = XLC_ERROR_INIT;
    struct proto_msg m, before;

    MUST(body && again);
    memcpy(body, frame + PROTO_HDR_LEN, h->length);
    memset(&m, 0x5a, sizeof(m));
    m.hdr = *h;
    before = m;
    if (proto_decode(&m, body, &err)) {
        MUST(err.status < 0 && err.msg[0]);
        MUST(!memcmp(&m.u, &before.u, sizeof(m.u)));
        return false;
    }
    MUST(!err.status);
    MUST(proto_encode(again, all, &m) == (int)all);
    MUST(!memcmp(again, frame, all));
    if (h->type == PROTO_DISKS) disks(body, h->length);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size >= PROTO_HDR_LEN) {
        struct xlc_error err = XLC_ERROR_INIT;
        struct proto_hdr h = { 0 };

        if (proto_decode_hdr(&h, data, &err)) {
            MUST(err.status < 0 && err.msg[0] && !h.type);
            break;
        }
        MUST(strcmp(proto_type_name(h.type), "?"));
        if (h.length > size - PROTO_HDR_LEN) break;
        if (!one_frame(&h, data)) break;
        data += PROTO_HDR_LEN + h.length;
        size -= PROTO_HDR_LEN + h.length;
    }
    return 0;
}
