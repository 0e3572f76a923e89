/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-rewrite-keep.c - The rewriter's table survives its process (RULES B4)
 *
 * A process that dies is the same memory given to another rewriter, with what
 * was being written written in part.
 */
#include <config.h>

#include <errno.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "rewrite-keep.h"
#include "rewrite-rig.h"
#include "tap.h"

#define ACK TH_ACK
#define HDR  64u
#define HALF 120u
#define SLOT 240u
#define SUM  8u
#define FLOW 16u /* in a half: behind its number and time */
#define ALL  131072u

static uint8_t want[32768], had[32768], got[32768];
static uint8_t then[32768];
static size_t want_len, had_len, got_len, then_len;

static void look(struct rig *g, uint8_t *buf, size_t *len)
{
    if (rewrite_export(g->r, buf, sizeof(want), len, g->now, NULL)) abort();
}

static bool same(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
    return an == bn && !memcmp(a, b, an);
}

static const struct seg data = { .flags = ACK, .seq = ISN_S + 1,
                                 .ack = ISN_C + 1, .len = 9 };

/* Flows in every condition that a failover leaves. */
static void fill(struct rig *g)
{
    rig_open(g);
    rig_conditions(g);
    g->v6 = false;
    g->vlan = 0;
    g->port++;
    rig_connect(g);
    rig_in(g, (struct seg){ .flags = TH_RST, .seq = ISN_C + 1 });
    g->port++;
    rig_out(g, (struct seg){ .flags = ACK, .seq = 1, .ack = 2, .ts = true,
                             .tsval = 1000 });
    rig_told_ts(g, 1500);
    g->now += 3 * SEC;
    rig_failover(g);
    g->port = 1;
}

static void test_round(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    uint8_t little[HDR];
    struct rig g;
    uint32_t live;

    rig_open(&g);
    rig_connect(&g);
    ok(rewrite_keep(g.r, little, sizeof(little), &e) == -EINVAL,
       "before a failover: %s", e.msg);
    rewrite_failover(g.r, g.now);
    xlc_error_clear(&e);
    ok(rewrite_keep(g.r, little, sizeof(little), &e) == -ENOSPC,
       "too little room: %s", e.msg);
    rig_close(&g);

    fill(&g);
    live = rewrite_live(g.r);
    look(&g, want, &want_len);
    xlc_error_clear(&e);
    ok(!rig_die(&g, &e) && rewrite_live(g.r) == live && live == 7,
       "%u flows are there after a death %s", live, e.msg);
    look(&g, got, &got_len);
    ok(same(want, want_len, got, got_len), "octet for octet");
    for (unsigned int i = 0; i < 9; i++) {
        g.now += SEC;
        ok(rig_out(&g, data)->seq == ISN_P + 1 && !rig_die(&g, &e) &&
           rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                                    .ack = ISN_P + 10 })->ack == ISN_S + 10 &&
           (i % 2 || !rig_die(&g, &e)),
           "rule_B4: a connection goes on, death after death %s", e.msg);
    }
    g.port = 30;
    rig_connect(&g);
    ok(g.verdict == REWRITE_PASS && rewrite_live(g.r) == live,
       "rule_B4: it takes no new flow");
    look(&g, want, &want_len);
    ok(!rig_die(&g, &e), "and dies");
    look(&g, got, &got_len);
    ok(same(want, want_len, got, got_len), "still octet for octet");
    g.now += 601 * SEC;
    rewrite_tick(g.r, g.now);
    ok(rewrite_live(g.r) == 3, "what ends by time ends: %u are left",
       rewrite_live(g.r));
    ok(!rig_die(&g, &e) && rewrite_live(g.r) == 3,
       "rule_B4: nor does a death bring it back");
    rig_close(&g);
}

/* A port that was closed and is used anew is nobody's any more. */
static void test_reuse(void)
{
    struct rig g;

    fill(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = 5 });
    rig_out(&g, (struct seg){ .flags = TH_SYN | ACK, .seq = 77, .ack = 6 });
    ok(g.verdict == REWRITE_PASS && !rig_die(&g, NULL) &&
       rig_out(&g, (struct seg){ .flags = ACK, .seq = 78, .ack = 6 })->seq ==
       78, "rule_B4: a new connection on old ports is left alone by the next");
    rig_close(&g);
}

/* What the primary could not tell any more, and the client then did. */
static void test_inferred(void)
{
    struct rig g;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_out(&g, (struct seg){ .flags = TH_SYN | ACK, .seq = ISN_S,
                              .ack = ISN_C + 1 });
    rig_failover(&g);
    ok(!rig_die(&g, NULL) &&
       rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                                .ack = ISN_P + 1 })->ack == ISN_S + 1 &&
       !rig_die(&g, NULL) && rig_out(&g, data)->seq == ISN_P + 1,
       "rule_B4: an offset that the client told once is known for good");
    rig_close(&g);
}

/* @octets of the change from @before to @after, from its end if @back. */
static void tear(uint8_t *to, const uint8_t *before, const uint8_t *after,
                 size_t len, size_t octets, bool back)
{
    size_t first = len, end = 0;

    for (size_t i = 0; i < len; i++)
        if (before[i] != after[i]) {
            if (first == len) first = i;
            end = i + 1;
        }
    first = first / 8 * 8;
    memcpy(to, before, len);
    if (first >= end) return;
    if (octets > end - first) octets = end - first;
    if (back) first = end - octets;
    memcpy(to + first, after + first, octets);
}

/* A write to a table that a torn one is in is torn as well. */
static bool torn_again(struct rig *g)
{
    uint8_t *before = malloc(g->kept_len), *after = malloc(g->kept_len);
    bool good;

    if (!before || !after) abort();
    memcpy(before, g->kept, g->kept_len);
    rig_out(g, data);
    memcpy(after, g->kept, g->kept_len);
    tear(g->kept, before, after, g->kept_len, HALF / 2, false);
    good = !rig_die(g, NULL);
    free(before);
    free(after);
    return good;
}

/* One frame, and a death after any number of the octets that it writes. */
static void test_torn(bool back)
{
    uint8_t *before, *after;
    unsigned int old = 0, new = 0;
    bool good = true;
    struct rig g;
    size_t len;

    fill(&g);
    rig_out(&g, data); /* both halves were used */
    len = g.kept_len;
    before = malloc(len);
    after = malloc(len);
    if (!before || !after) abort();
    memcpy(before, g.kept, len);
    look(&g, had, &had_len);
    rig_out(&g, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_S + 10,
                              .ack = ISN_C + 4 });
    memcpy(after, g.kept, len);
    look(&g, want, &want_len);
    for (size_t n = 0; n <= HALF && good; n++) {
        bool whole;

        tear(g.kept, before, after, len, n, back);
        whole = !memcmp(g.kept, after, len);
        good = !rig_die(&g, NULL);
        look(&g, got, &got_len);
        good = good && (whole ? same(want, want_len, got, got_len) :
                        same(had, had_len, got, got_len));
        good = good && torn_again(&g);
        /* It goes on from there, and dies again. */
        rig_out(&g, data);
        look(&g, then, &then_len);
        good = good && !rig_die(&g, NULL);
        look(&g, got, &got_len);
        good = good && same(then, then_len, got, got_len);
        old += !whole;
        new += whole;
    }
    ok(good && old > 90 && new > 0, "rule_B4: torn at any octet, from its %s: "
       "the older %u times, the newer %u times", back ? "end" : "begin", old,
       new);
    free(before);
    free(after);
    rig_close(&g);
}

static void seal(uint8_t *half, uint32_t slot)
{
    uint64_t h = XXH64(half, HALF - SUM, slot);

    for (unsigned int i = 0; i < SUM; i++)
        half[HALF - 1 - i] = (uint8_t)(h >> 8 * i);
}

/* The half of @slot that counts; the other is void then. */
static uint8_t *only(struct rig *g, uint32_t slot)
{
    uint8_t *a = g->kept + HDR + slot * SLOT, *b = a + HALF;
    bool second = memcmp(a, b, 8) < 0;

    memset(second ? a : b, 0xff, HALF);
    return second ? b : a;
}

static bool refused(struct rig *g, const uint8_t *mem, int rc,
                    const char *words)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int r;

    memcpy(g->kept, mem, g->kept_len);
    r = rig_die(g, &e);
    return r == rc && e.status == rc && strstr(e.msg, words) &&
           !rewrite_live(g->r) && !memcmp(g->kept, mem, g->kept_len);
}

/* Where in the half of the first slot, what, and what is said. */
static const struct {
    size_t at;
    uint8_t value;
    const char *words, *what;
} bad[] = {
    { 8, 1, "time to come", "a time to come" },
    { FLOW + 40, 5, "impossible", "an unknown family" },
    { FLOW + 41, 1, "impossible", "a reserved octet" },
    { FLOW + 46, 15, "impossible", "a window scale above 14" },
    { FLOW + 48, 1, "impossible", "an offset that the ISNs do not give" },
    { FLOW + 45, 0, "impossible", "a number that is not known" },
};

/* Whole tables, of which something is damaged. */
static void test_damaged(struct rig *g, uint8_t *mem)
{
    bool header = true, rest = true;

    for (size_t at = 0; at < HDR; at++) {
        mem[at] ^= 0x10;
        header = header && refused(g, mem, -EPROTO, "not usable");
        mem[at] ^= 0x10;
    }
    ok(header, "any octet of the header changed: refused, nothing changes");
    for (size_t at = HDR; at < g->kept_len; at++) {
        memcpy(g->kept, mem, g->kept_len);
        g->kept[at] ^= 0x10;
        /* As if it had been torn: the other half, which may be void. */
        rest = rest && !rig_die(g, NULL) && rewrite_live(g->r) >= 6;
    }
    ok(rest, "any other octet: its slot's other half counts");
}

/* What is at g->kept now is refused. */
static void refuse(struct rig *g, const char *words, const char *what)
{
    memcpy(got, g->kept, g->kept_len);
    ok(refused(g, got, -EPROTO, words), "refused: %s", what);
}

/* The checksums are right. */
static void test_impossible(struct rig *g, const uint8_t *mem)
{
    size_t len = g->kept_len;
    uint8_t *half;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memcpy(g->kept, mem, len);
        half = only(g, 0);
        half[bad[i].at] = bad[i].value;
        seal(half, 0);
        refuse(g, bad[i].words, bad[i].what);
    }
    memcpy(g->kept, mem, len);
    only(g, 0)[HALF - 1] ^= 1;
    refuse(g, "checksums", "no half is whole");
    memcpy(g->kept, mem, len);
    half = only(g, 1);
    memcpy(half, only(g, 0), HALF);
    refuse(g, "checksums", "another slot's");
    memcpy(g->kept, got, len);
    seal(half, 1);
    refuse(g, "twice", "a flow that is there twice");
    memcpy(g->kept, mem, len);
    half = only(g, 0);
    memset(half + FLOW, 0, HALF - SUM - FLOW);
    seal(half, 0);
    refuse(g, "has a time", "a flow that is gone and has a time");
    memcpy(g->kept, mem, len);
    memcpy(g->kept + HDR, g->kept + HDR + HALF, HALF);
    refuse(g, "checksums", "two halves of one number");
}

static void test_hostile(void)
{
    struct rig g, h;
    uint8_t *mem;
    size_t len;

    fill(&g);
    len = g.kept_len;
    mem = malloc(len);
    if (!mem) abort();
    memcpy(mem, g.kept, len);
    test_damaged(&g, mem);
    test_impossible(&g, mem);
    rig_open_n(&h, 3);
    h.kept = malloc(len);
    if (!h.kept) abort();
    h.kept_len = len;
    ok(refused(&h, mem, -ENOSPC, "the table holds 3"),
       "refused: more flows than fit");
    rig_close(&h);
    g.kept_len = len - 1;
    ok(refused(&g, mem, -EPROTO, "cut"), "refused: one octet too few");
    g.kept_len = HDR - 1;
    ok(refused(&g, mem, -EPROTO, "not complete"), "refused: half a header");
    free(mem);
    rig_close(&g);
}

static void test_full(void)
{
    struct packet_key key = { .family = 4, .kind = PACKET_TCP,
                              .proto = PACKET_IP_TCP };
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig g;

    rig_open_n(&g, ALL);
    for (unsigned int i = 10; i < 12; i++)
        key.src[i] = key.dst[i] = 0xff;
    for (uint32_t i = 0; i < ALL; i++) {
        key.sport = (uint16_t)(i & 0xffff);
        key.dport = (uint16_t)(1 + (i >> 16));
        rewrite_isn(g.r, &key, i, g.now);
    }
    rig_failover(&g);
    ok(rewrite_live(g.r) == ALL && g.kept_len == rewrite_keep_room(ALL) &&
       !rig_die(&g, &e) && rewrite_live(g.r) == ALL,
       "%u flows, %zu octets %s", ALL, g.kept_len, e.msg);
    g.now += 61 * SEC;
    rewrite_tick(g.r, g.now);
    ok(!rewrite_live(g.r) && !rig_die(&g, &e) && !rewrite_live(g.r),
       "which end, all of them");
    rig_close(&g);
}

/* Another table is not in there, and a stale one must not be. */
static void test_replaced(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct rig g;

    fill(&g);
    look(&g, want, &want_len);
    ok(!rewrite_import(g.r, want, want_len, g.now, NULL) &&
       rig_die(&g, &e) == -EPROTO, "a table that was replaced: %s", e.msg);
    rig_close(&g);
}

int main(void)
{
    test_round();
    test_reuse();
    test_inferred();
    test_torn(false);
    test_torn(true);
    test_hostile();
    test_full();
    test_replaced();
    return done_testing();
}
