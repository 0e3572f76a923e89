/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-diskproto.c - What the peer's plugin, or who asks it, may say
 *
 * The input is read as either end's stream, and as a question and an answer
 * of the control socket. What is accepted is the same when it is written
 * again; what is refused says why and leaves the target untouched.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diskctl.h"
#include "diskproto.h"

#define MUST(cond)                                                 \
    do {                                                           \
        if (!(cond)) {                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                               \
        }                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ranges(const struct diskproto_msg *m)
{
    for (uint32_t at = 0; at < m->len; at += DISKPROTO_RANGE) {
        uint64_t off, len;

        diskproto_range_get(m->data + at, &off, &len);
        MUST(len && off <= INT64_MAX && len <= INT64_MAX - off);
    }
}

static void one_end(const uint8_t *data, size_t size, bool from_primary)
{
    uint8_t head[DISKPROTO_HEAD_MAX];

    while (size) {
        struct xlc_error err = XLC_ERROR_INIT;
        struct diskproto_msg m, before;
        size_t used = 0, n;
        int r;

        memset(&m, 0x5a, sizeof(m));
        before = m;
        r = diskproto_decode(&m, data, size, from_primary, &used, &err);
        if (r <= 0) {
            MUST(!memcmp(&m, &before, sizeof(m)) && !used);
            MUST(r ? r == -EPROTO && err.msg[0] : !err.status);
            return;
        }
        n = diskproto_encode(&m, head);
        MUST(n && n + m.len == used && !memcmp(head, data, n));
        MUST(!m.len || m.data == data + n);
        if (m.type == DISKPROTO_MARKS) ranges(&m);
        data += used;
        size -= used;
    }
}

static void control(const uint8_t *data, size_t size)
{
    uint8_t buf[DISKCTL_ANSWER_LEN + 2 * DISKCTL_TEXT_MAX];
    struct diskctl_status st;
    struct diskctl_ask ask;
    int status;

    if (!diskctl_get_ask(&ask, data, size)) {
        diskctl_put_ask(&ask, buf);
        MUST(!memcmp(buf, data, DISKCTL_ASK_LEN));
    }
    if (size < DISKCTL_ANSWER_LEN) return;
    if (diskctl_get_answer(data, DISKCTL_ANSWER_LEN, &status, &st) < 0)
        return;
    diskctl_put_answer(status, "", &st, buf);
    MUST(!memcmp(buf + 16, data + 16, DISKCTL_ANSWER_LEN - 16));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    one_end(data, size, true);
    one_end(data, size, false);
    control(data, size);
    return 0;
}
