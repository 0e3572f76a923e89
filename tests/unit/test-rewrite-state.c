/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-rewrite-state.c - The rewriter's table, written down and read back */
#include <config.h>

#include <errno.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "rewrite-rig.h"
#include "tap.h"

#define ACK TH_ACK
#define SYNACK (TH_SYN | TH_ACK)
#define HDR 24u
#define FLOW 96u
#define SUM 8u

static uint8_t state[65536], again[65536];
static size_t state_len, again_len;

static int export_to(struct rig *g, uint8_t *buf, size_t size, size_t *len)
{
    return rewrite_export(g->r, buf, size, len, g->now, NULL);
}

static int import(struct rig *g, const uint8_t *buf, size_t len,
                  struct xlc_error *err)
{
    uint8_t *block = malloc(len ? len : 1);
    int rc;

    if (!block) abort();
    if (len) memcpy(block, buf, len);
    rc = rewrite_import(g->r, block, len, g->now, err);
    free(block);
    return rc;
}

/* Make the checksum right again. */
static void seal(uint8_t *buf, size_t len)
{
    uint64_t h = XXH64(buf, len - SUM, 0);

    for (unsigned int i = 0; i < SUM; i++)
        buf[len - 1 - i] = (uint8_t)(h >> 8 * i);
}

/* A table with flows in every condition, at state. */
static void fill(struct rig *g)
{
    rig_open(g);
    for (g->port = 1; g->port <= 3; g->port++)
        rig_connect(g);
    rig_in(g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    g->port++;
    rig_out(g, (struct seg){ .flags = TH_SYN, .seq = ISN_S, .ts = true,
                             .tsval = 9 });
    g->v6 = true;
    g->vlan = 7;
    rig_connect(g);
    rig_out(g, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_S + 1,
                             .ack = ISN_C + 1, .ts = true, .tsval = 1000 });
    rig_told_ts(g, 2000);
    g->port++;
    rig_connect(g);
    rig_in(g, (struct seg){ .flags = TH_RST, .seq = ISN_C + 1 });
    g->v6 = false;
    g->vlan = 0;
    g->port++;
    rig_out(g, (struct seg){ .flags = ACK, .seq = 1, .ack = 2, .ts = true,
                             .tsval = 1000 });
    rig_told_ts(g, 1500);
    g->port = 1;
    if (export_to(g, state, sizeof(state), &state_len)) abort();
}

static void test_round(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct rewrite_stats a, b;
    struct rig g, h;

    fill(&g);
    rewrite_get_stats(g.r, &a);
    ok(state_len == HDR + a.flows * FLOW + SUM && a.flows == 8 &&
           rewrite_export_size(g.r) == state_len,
       "%u flows take %zu octets", (unsigned int)a.flows, state_len);
    ok(export_to(&g, again, state_len - 1, &again_len) == -ENOSPC,
       "one octet too few is said");
    rig_open(&h);
    rig_connect(&h);
    h.now = 5 * SEC; /* another machine, another clock */
    ok(!import(&h, state, state_len, &err) && !err.status, "it is imported");
    rewrite_get_stats(h.r, &b);
    ok(a.flows == b.flows && a.offsets == b.offsets &&
           rewrite_live(g.r) == rewrite_live(h.r), "with all its flows");
    ok(!export_to(&h, again, sizeof(again), &again_len) &&
           again_len == state_len && !memcmp(state, again, state_len),
       "and exported it is the same, octet for octet");
    h.port = 1;
    ok(rig_out(&h, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                 .ack = ISN_C + 1 })->seq == ISN_P + 1,
       "rule_B4: a flow goes on where it was");
    h.port = 7;
    ok(rig_out(&h, (struct seg){ .flags = ACK, .seq = 1, .ack = 2,
                                 .ts = true, .tsval = 1400 })->tsval == 1500,
       "rule_B4: a mark too");
    rig_close(&h);

    rewrite_failover(g.r, g.now);
    ok(!export_to(&g, state, sizeof(state), &state_len), "after a failover");
    rig_open(&h);
    ok(!import(&h, state, state_len, &err) && rewrite_live(h.r) ==
       rewrite_live(g.r), "it is imported as that");
    h.port = 30;
    rig_connect(&h);
    ok(h.verdict == REWRITE_PASS, "rule_B4: and takes no new flow");
    rig_close(&g);
    rig_close(&h);
}

static void test_generation(void)
{
    uint64_t before;
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1, .len = 9 });
    rewrite_failover(g.r, g.now);
    before = rewrite_generation(g.r);
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 10,
                              .ack = ISN_C + 1, .len = 9 });
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 10, .len = 9 });
    ok(rewrite_generation(g.r) == before,
       "data is no reason to export again");
    rig_out(&g, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_S + 19,
                              .ack = ISN_C + 10 });
    ok(rewrite_generation(g.r) != before, "a FIN is");
    rig_close(&g);
}

/* Is @buf refused with these words, and the table as it was? */
static bool refused(struct rig *g, const uint8_t *buf, size_t len, int rc,
                    const char *words)
{
    struct xlc_error err = XLC_ERROR_INIT;

    if (import(g, buf, len, &err) != rc || err.status != rc) return false;
    if (words && !strstr(err.msg, words)) return false;
    return !export_to(g, again, sizeof(again), &again_len) &&
           again_len == HDR + FLOW + SUM;
}

/* Where, what, and what is said; the checksum is right. */
static const struct {
    size_t at;
    uint8_t value;
    const char *words, *what;
} bad[] = {
    { 0, 1, "something else", "another magic" },
    { 5, 2, "version 2", "a later version" },
    { 7, 95, "header", "another size of flows" },
    { 11, 200, "length", "more flows than there are" },
    { 12, 2, "header", "an unknown mode" },
    { 23, 1, "header", "a reserved octet" },
    { HDR + 40, 5, "impossible", "an unknown family" },
    { HDR + 9, 1, "impossible", "an IPv4 address that is none" },
    { HDR + 41, 1, "impossible", "a reserved octet of a flow" },
    { HDR + 36, 0x20, "impossible", "a VLAN above 4096" },
    { HDR + 39, 1, "impossible", "an inner VLAN alone" },
    { HDR + 46, 15, "impossible", "a window scale above 14" },
    { HDR + 48, 1, "impossible", "an offset that the ISNs do not give" },
    { HDR + 45, 0, "impossible", "a number that is not known" },
};

static void test_bad(void)
{
    bool whole = true, sums = true;
    struct rig g, h;

    fill(&g);
    rig_open_n(&h, 8);
    h.port = 9;
    rig_connect(&h);
    for (size_t cut = 0; cut < state_len; cut++) {
        whole = whole && refused(&h, state, cut, -EPROTO, NULL);
        if (cut < SUM) continue;
        memcpy(again, state, cut);
        seal(again, cut);
        memcpy(state + 32768, again, cut);
        whole = whole && refused(&h, state + 32768, cut, -EPROTO, NULL);
    }
    ok(whole, "cut at any octet it is refused, and nothing changes");
    for (size_t at = 0; at < state_len; at++) {
        state[at] ^= 0x10;
        sums = sums && refused(&h, state, state_len, -EPROTO, NULL);
        state[at] ^= 0x10;
    }
    ok(sums, "and with any octet changed");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t kept = state[bad[i].at];

        state[bad[i].at] = bad[i].value;
        seal(state, state_len);
        ok(refused(&h, state, state_len, -EPROTO, bad[i].words),
           "refused: %s", bad[i].what);
        state[bad[i].at] = kept;
    }
    memcpy(again, state + HDR, FLOW);
    memcpy(state + HDR, state + HDR + FLOW, FLOW);
    seal(state, state_len);
    ok(refused(&h, state, state_len, -EPROTO, "order"),
       "refused: the same flow twice");
    rig_close(&h);

    fill(&h);
    rig_close(&h);
    rig_open_n(&h, 7);
    h.port = 9;
    rig_connect(&h);
    ok(refused(&h, state, state_len, -ENOSPC,
               "has 8 flows, the table holds 7"),
       "refused: more flows than fit");
    rig_close(&g);
    rig_close(&h);
}

int main(void)
{
    test_round();
    test_generation();
    test_bad();
    return done_testing();
}
