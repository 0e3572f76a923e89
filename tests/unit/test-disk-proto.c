/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disk-proto.c - The pure parts of the mirror: codec, queue, who may be
 * synchronised, and the session's questions
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diskctl.h"
#include "diskproto-samples.h"
#include "mirror.h"
#include "peerq.h"
#include "tap.h"

/* ---- The codec ----------------------------------------------------------- */

static void one_sample(const struct diskproto_sample *s)
{
    struct xlc_error err = XLC_ERROR_INIT;
    uint8_t buf[DISKPROTO_HEAD_MAX], *cut;
    struct diskproto_msg m, before;
    size_t used = 0, n;
    bool waits = true;
    int r = diskproto_decode(&m, s->octets, s->len, s->from_primary, &used,
                             &err);

    if (!ok(r == 1 && used == s->len, "%s is read", s->name)) return;
    n = diskproto_encode(&m, buf);
    ok(n + m.len == s->len && !memcmp(buf, s->octets, n) &&
       (!m.len || !memcmp(m.data, s->octets + n, m.len)),
       "%s is written as it was read", s->name);
    for (size_t len = 0; len < s->len; len++) {
        /* A copy of exactly that length: sanitizers see what is beyond. */
        cut = malloc(len ? len : 1);
        memcpy(cut, s->octets, len);
        memset(&m, 0x5a, sizeof(m));
        before = m;
        used = 0;
        r = diskproto_decode(&m, cut, len, s->from_primary, &used, &err);
        waits = waits && r == 0 && !used && !memcmp(&m, &before, sizeof(m));
        free(cut);
    }
    ok(waits, "%s cut at any octet is waited for", s->name);
    r = diskproto_decode(&m, s->octets, s->len, !s->from_primary, &used,
                         &err);
    ok(s->octets[5] == 1 || s->octets[5] == 48 ? r == 1 : r == -EPROTO,
       "%s of the other end", s->name);
}

static void bad(const char *name, const char *sample, size_t at,
                uint8_t octet, const char *text)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct diskproto_sample s;
    struct diskproto_msg m;
    size_t used;
    int r;

    for (unsigned int n = 0; diskproto_sample_get(n, &s); n++)
        if (!strcmp(s.name, sample)) break;
    s.octets[at] = octet;
    r = diskproto_decode(&m, s.octets, s.len, s.from_primary, &used, &err);
    ok(r == -EPROTO && strstr(err.msg, text), "%s: %s", name, err.msg);
}

static void codec(void)
{
    struct diskproto_msg m = { .type = DISKPROTO_WRITE, .epoch = 1 };
    uint8_t buf[DISKPROTO_HEAD_MAX];
    struct diskproto_sample s;

    for (unsigned int n = 0; diskproto_sample_get(n, &s); n++) one_sample(&s);
    bad("magic", "mark", 0, 1, "no message");
    bad("reserved", "mark", 7, 1, "no message");
    bad("reserved", "mark", 15, 1, "no message");
    bad("type", "mark", 5, 99, "unknown type 99");
    bad("length", "mark", 11, 1, "a MARK of 1 octets");
    bad("length", "write", 8, 1, "a WRITE of 16777221 octets");
    bad("epoch 0", "mark", 23, 0, "a MARK that makes no sense");
    bad("epoch", "sync", 23, 1, "a SYNC that makes no sense");
    bad("offset", "mark", 31, 1, "a MARK that makes no sense");
    bad("end of the disk", "write", 24, 0x80, "a WRITE that makes no sense");
    bad("empty", "zero", 32 + 5, 0, "a ZERO that makes no sense");
    bad("too long", "zero", 32, 0x80, "a ZERO that makes no sense");
    bad("version", "hello-primary", 33, 0, "a HELLO that makes no sense");
    bad("empty", "sum", 32 + 5, 0, "a SUM that makes no sense");
    bad("epoch 0", "sum", 23, 0, "a SUM that makes no sense");
    bad("empty", "summed", 32 + 5, 0, "a SUMMED that makes no sense");
    bad("neither", "summed", 32 + 11, 2, "a SUMMED that makes no sense");
    bad("reserved", "summed", 32 + 15, 1, "a SUMMED that makes no sense");
    bad("epoch", "summed", 23, 1, "a SUMMED that makes no sense");
    bad("role", "hello-primary", 35, 3, "a HELLO that makes no sense");
    bad("flags", "hello-primary", 39, 2, "a HELLO that makes no sense");
    bad("unknown, yet of an epoch", "hello-unknown", 71, 1,
        "a HELLO that makes no sense");
    bad("generation 0", "sync", 39, 0, "a SYNC that makes no sense");
    bad("durable > held", "state", 47, 43, "a STATE that makes no sense");
    bad("applied > held", "state", 55, 43, "a STATE that makes no sense");
    bad("a half range", "marks", 11, 31, "a MARKS that makes no sense");
    bad("neither", "marks-end", 35, 2, "a MARKS_END that makes no sense");
    bad("no error", "error-secondary", 35, 0, "ERROR that makes no sense");
    ok(!diskproto_encode(&m, buf), "an empty write is not written");
}

/* A range and a half: nothing beyond the message is looked at. */
static void half_range(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct diskproto_sample s;
    struct diskproto_msg m;
    uint8_t *exact;
    size_t used;

    for (unsigned int n = 0; diskproto_sample_get(n, &s); n++)
        if (!strcmp(s.name, "marks")) break;
    s.octets[11] = 24;
    s.len -= 8;
    exact = malloc(s.len);
    memcpy(exact, s.octets, s.len);
    ok(diskproto_decode(&m, exact, s.len, false, &used, &err) == -EPROTO,
       "a range and a half");
    free(exact);
}

/* ---- The queue ----------------------------------------------------------- */

static uint64_t push(struct peerq *q, uint64_t len, uint64_t off)
{
    uint8_t *buf = calloc(1, len);
    struct peerq_item *chain = peerq_make(buf, len, off);
    uint64_t epoch = peerq_push(q, chain);

    if (!epoch) peerq_drop(chain);
    free(buf);
    return epoch;
}

static void queue_order(void)
{
    static const struct {
        enum diskproto_type type;
        uint64_t epoch;
        uint64_t off;
        uint32_t len;
    } want[] = {
        { DISKPROTO_WRITE, 5, 0, 512 },
        { DISKPROTO_MARK, 5, 0, 0 },
        { DISKPROTO_WRITE, 6, 4096, DISKPROTO_DATA_MAX },
        { DISKPROTO_WRITE, 6, 4096 + DISKPROTO_DATA_MAX, 7 },
        { DISKPROTO_ZERO, 6, 9, 0 },
    };
    struct peerq_item *i, *chain;
    bool right = true;
    struct peerq q;

    peerq_init(&q, 4 << 20);
    ok(push(&q, 512, 0) == 0, "a closed queue takes nothing");
    peerq_open(&q, 5);
    ok(push(&q, 512, 0) == 5, "a write gets the open epoch");
    ok(peerq_mark(&q, 6, DISKPROTO_MARK) == -EINVAL &&
       peerq_mark(&q, 0, DISKPROTO_MARK) == -EINVAL &&
       peerq_mark(&q, 5, DISKPROTO_MARK) == 0 && q.marked == 5,
       "only the open epoch can be marked");
    ok(push(&q, DISKPROTO_DATA_MAX + 7, 4096) == 6, "then the next is open");
    chain = peerq_make(NULL, 100, 9);
    ok(peerq_push(&q, chain) == 6, "zeroes");
    for (size_t n = 0; n < sizeof(want) / sizeof(want[0]); n++) {
        i = peerq_pop(&q);
        right = right && i && i->m.type == want[n].type &&
                i->m.epoch == want[n].epoch && i->m.off == want[n].off &&
                i->m.len == want[n].len &&
                (i->m.type != DISKPROTO_ZERO || i->m.u.count == 100);
        if (i) peerq_free(&q, i);
    }
    ok(right && !peerq_pop(&q) && !q.cost,
       "in order, cut to messages, and free again");
    push(&q, 512, 0);
    peerq_close(&q);
    ok(!q.cost && !peerq_pop(&q) && push(&q, 512, 0) == 0,
       "closing drops all");
}

static void queue_bound(void)
{
    struct peerq_item *i;
    struct peerq q;
    int n = 0;

    peerq_init(&q, 64 << 10);
    peerq_open(&q, 1);
    while (push(&q, 4096, 0)) n++;
    ok(n == (64 << 10) / (4096 + (int)PEERQ_OVERHEAD) && q.epoch == 1 &&
       q.cost <= q.limit, "%d writes fit, and no more", n);
    ok(peerq_mark(&q, 1, DISKPROTO_MARK) == 0, "a mark always fits");
    i = peerq_pop(&q);
    ok(push(&q, 4096, 0) == 0, "what is being sent still counts");
    peerq_free(&q, i);
    ok(push(&q, 4096 - 2 * PEERQ_OVERHEAD, 0) == 2, "until it is gone");
    while ((i = peerq_pop(&q))) peerq_free(&q, i);
    ok(push(&q, 1 << 20, 0) == 2, "what is larger than the bound fits alone");
    ok(push(&q, 1, 0) == 0, "and nothing with it");
    peerq_close(&q);
}

/* Memory of big items is used again, for what is about as big. */
static void queue_spares(void)
{
    uint8_t *buf = malloc(DISKPROTO_DATA_MAX);
    struct peerq_item *i, *old;
    bool right = true;
    struct peerq q;

    memset(buf, 0xaa, DISKPROTO_DATA_MAX);
    peerq_init(&q, 64 << 20);
    peerq_open(&q, 1);
    push(&q, 4096, 0);
    old = peerq_pop(&q);
    peerq_free(&q, old);
    for (uint32_t len = DISKPROTO_DATA_MAX; len; len /= 3) {
        ok(peerq_push(&q, peerq_make(buf, len, 7)) == 1, "%u octets", len);
        old = peerq_pop(&q);
        right = right && old->m.len == len && old->m.off == 7 &&
                old->cost == old->room + PEERQ_OVERHEAD && old->room >= len &&
                old->room / 2 <= len && !memcmp(old->m.data, buf, len);
        peerq_free(&q, old);
        memset(buf, (int)len, DISKPROTO_DATA_MAX);
        i = peerq_make(buf, len, 8);
        right = right && (len < PEERQ_BIG || i == old) && !i->m.epoch &&
                i->m.off == 8 && !memcmp(i->m.data, buf, len);
        peerq_drop(i);
    }
    ok(right && !q.cost, "nothing is left in it of what it was");
    for (unsigned int n = 0; n < 2 * PEERQ_SPARE / DISKPROTO_DATA_MAX; n++)
        push(&q, DISKPROTO_DATA_MAX, 0);
    peerq_close(&q);
    ok(!q.cost, "closing takes the spare memory too");
    free(buf);
}

/* A burst that filled the queue leaves spares, for the next; together with
 * what waits they are never more than the limit allows. */
static void queue_spares_bound(void)
{
    const unsigned int most = 24;
    struct peerq_item *i;
    struct peerq q;
    uint64_t peak;

    peerq_init(&q, (most + 1ull) * DISKPROTO_DATA_MAX);
    peerq_open(&q, 1);
    for (unsigned int n = 0; n < most; n++) push(&q, DISKPROTO_DATA_MAX, 0);
    while ((i = peerq_pop(&q))) peerq_free(&q, i);
    peak = peerq_spare();
    ok(peak == (uint64_t)most * DISKPROTO_DATA_MAX,
       "the memory of a burst is kept");
    for (unsigned int n = 0; n < most / 2; n++) push(&q, DISKPROTO_DATA_MAX, 0);
    ok(peerq_spare() == peak / 2, "and used again");
    while ((i = peerq_pop(&q))) peerq_free(&q, i);
    /* Another size: none of it can be used. */
    for (unsigned int n = 0; n < 4 * most; n++)
        push(&q, DISKPROTO_DATA_MAX / 8, 0);
    ok(q.cost + peerq_spare() <= q.limit &&
       q.cost > most / 2 * DISKPROTO_DATA_MAX,
       "what waits and what is spare are within the limit");
    while ((i = peerq_pop(&q))) peerq_free(&q, i);
    ok(peerq_spare() > PEERQ_SPARE, "after it too");
    peerq_trim();
    ok(peerq_spare() <= PEERQ_SPARE && peerq_spare() > 0,
       "a queue that rests gives most of it back");
    peerq_close(&q);
    ok(!peerq_spare(), "a closed one all");
}

/* ---- Who may be synchronised (RULES A6, A7) ------------------------------ */

static const struct {
    const char *name;
    uint64_t my_generation, my_epoch, taken;
    uint16_t role;
    uint64_t generation, epoch;
    int want;
} bases[] = {
    { "nothing is known of it", 3, 9, 0, 0, 0, 0, 0 },
    { "our copy, even", 3, 9, 0, 2, 3, 9, 1 },
    { "our copy, ahead of what we noted", 3, 9, 0, 2, 3, 12, 1 },
    { "a copy that missed what another made durable", 3, 9, 0, 2, 3, 8, 0 },
    { "a copy of an older history", 3, 9, 0, 2, 2, 9, 0 },
    { "a copy of a newer history", 3, 9, 0, 2, 4, 1, -ESTALE },
    { "a primary of our generation", 3, 9, 0, 1, 3, 9, -ESTALE },
    { "a primary of a newer one", 3, 9, 0, 1, 4, 9, -ESTALE },
    { "the old primary after our takeover", 3, 9, 9, 1, 2, 8, 1 },
    { "the same, but it knows of a later durable epoch", 3, 9, 9, 1, 2, 10,
      0 },
    { "the same, but another peer made something durable since", 3, 12, 9, 1,
      2, 8, 0 },
    { "the same, but we were started anew", 3, 9, 0, 1, 2, 8, 0 },
    { "a primary before the last", 3, 9, 9, 1, 1, 8, 0 },
};

static void basis(void)
{
    struct identity mine = { .size = 1 << 20, .role = IDENTITY_PRIMARY };
    struct diskproto_hello h = { .version = 1, .size = 1 << 20 };
    struct xlc_error err = XLC_ERROR_INIT;

    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        xlc_error_clear(&err);
        mine.generation = bases[i].my_generation;
        mine.epoch = bases[i].my_epoch;
        h.role = bases[i].role;
        h.generation = bases[i].generation;
        h.epoch = bases[i].epoch;
        ok(mirror_basis(&mine, bases[i].taken, &h, &err) == bases[i].want &&
           (bases[i].want < 0) == (err.msg[0] != '\0'),
           "A6: %s: %s", bases[i].name,
           bases[i].want > 0   ? "the bitmaps"
           : bases[i].want < 0 ? err.msg
                               : "everything");
    }
    h.size++;
    ok(mirror_basis(&mine, 0, &h, &err) == -EINVAL, "another size");
    h.size--;
    xlc_error_clear(&err);
    h.uuid[3] = 1;
    ok(mirror_basis(&mine, 0, &h, &err) == -EPERM, "another guest");
}

/* ---- The session's questions --------------------------------------------- */

static void questions(void)
{
    struct diskctl_ask ask = { DISKCTL_WAIT, 7, 9 }, got = { 0, 0, 0 };
    uint8_t buf[DISKCTL_ANSWER_LEN + 2 * DISKCTL_TEXT_MAX];
    struct diskctl_status st, back;
    bool refused = true;
    size_t len;
    int status = 0, lens;

    diskctl_put_ask(&ask, buf);
    ok(!diskctl_get_ask(&got, buf, DISKCTL_ASK_LEN) &&
       got.op == DISKCTL_WAIT && got.a == 7 && got.b == 9, "a question");
    for (size_t n = 0; n < DISKCTL_ASK_LEN; n++)
        refused = refused && diskctl_get_ask(&got, buf, n) == -EPROTO;
    ok(refused, "cut at any octet it is none");
    buf[5] = DISKCTL_OUTRANK + 1;
    ok(diskctl_get_ask(&got, buf, DISKCTL_ASK_LEN) == -EPROTO,
       "an unknown one is refused");
    memset(&st, 0, sizeof(st));
    st.role = DISKCTL_SECONDARY;
    st.failed = 5;
    memcpy(st.why, "because", 8);
    len = diskctl_put_answer(-ENOENT, "no", &st, buf);
    ok(len == DISKCTL_ANSWER_LEN + 2 + 7, "an answer with two sentences");
    lens = diskctl_get_answer(buf, DISKCTL_ANSWER_LEN, &status, &back);
    ok(lens == (2 << 16 | 7) && status == -ENOENT && back.failed == 5 &&
       back.role == DISKCTL_SECONDARY, "is read as it was written");
    refused = true;
    for (size_t n = 0; n < DISKCTL_ANSWER_LEN; n++)
        refused = refused &&
                  diskctl_get_answer(buf, n, &status, &back) == -EPROTO;
    ok(refused, "cut at any octet it is none");
}

int main(void)
{
    codec();
    half_range();
    queue_order();
    queue_bound();
    queue_spares();
    queue_spares_bound();
    basis();
    questions();
    return done_testing();
}
