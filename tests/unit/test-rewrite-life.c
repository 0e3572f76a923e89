/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-rewrite-life.c - The rewriter's flows: clocks, quotes, fragments, ends
 */
#include <config.h>

#include <errno.h>

#include "rewrite-rig.h"
#include "tap.h"

#define ACK TH_ACK
#define SYNACK (TH_SYN | TH_ACK)

static struct rewrite_stats stats_of(const struct rig *g)
{
    struct rewrite_stats s;

    rewrite_get_stats(g->r, &s);
    return s;
}

/* A segment of the guest with a timestamp. Return: what the wire has. */
static uint32_t sends(struct rig *g, uint32_t seq, uint32_t tsval)
{
    return rig_out(g, (struct seg){ .flags = ACK, .seq = seq,
                                    .ack = ISN_C + 1, .ts = true, .len = 8,
                                    .tsval = tsval, .tsecr = 1 })->tsval;
}

/* A segment of the remote end. Return: the echo that the guest gets. */
static uint32_t echoes(struct rig *g, uint32_t ack, uint32_t tsecr)
{
    return rig_in(g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                                   .ack = ack, .ts = true, .tsval = 1,
                                   .tsecr = tsecr })->tsecr;
}

/* ---- Timestamps ----------------------------------------------------------*/

static void test_clocks_of_a_new_flow(void)
{
    uint32_t ts;
    struct rig g;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C, .ts = true,
                             .tsval = 1 });
    rig_told(&g, ISN_P);
    rig_told_ts(&g, 0xfffffff0);
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S, .ts = true,
                              .ack = ISN_C + 1, .tsval = 5000, .tsecr = 1 });
    ts = echoes(&g, ISN_P + 1, 0xfffffff0);
    ok(ts == 5000,
       "rule_B4: the echo of the primary's SYN/ACK is that of the SVM's");
    ok(sends(&g, ISN_S + 1, 5032) == 0x10 && g.out.tsecr == 1 && g.sums,
       "rule_B4: the SVM's clock goes on where the primary's is, wrapped");
    ok(echoes(&g, ISN_P + 1, 0xfffffff8) == 5008,
       "rule_B4: an echo of the primary's is one of the SVM's");
    ok(echoes(&g, ISN_P + 1, 0x100) == 5032,
       "rule_B4: an echo is never newer than what the SVM sent");
    ok(rig_in(&g, (struct seg){ .flags = TH_RST, .seq = ISN_C + 1,
                                .ts = true, .tsecr = 0x10 })->tsecr == 0x10,
       "without ACK there is no echo");
    rig_close(&g);
}

static void test_paws(void)
{
    struct rig g;

    rig_open(&g);
    ok(sends(&g, 1, 1000) == 1000 && !rewrite_live(g.r),
       "a flow from before the cut: the clocks are the same");
    rig_told_ts(&g, 1300);
    ok(sends(&g, 9, 1010) == 1300,
       "rule_B4: never older than what the primary said it sent");
    ok(sends(&g, 17, 1020) == 1310 && rewrite_live(g.r) == 1,
       "rule_B4: and it goes on from there");
    ok(echoes(&g, 17, 1305) == 1015, "the echo takes the same way back");
    ok(echoes(&g, 17, 1400) == 1020, "what the SVM did not send, it has not");
    ok(sends(&g, 25, 1021) == 1400,
       "rule_B4: nor older than what the remote end echoed of it");
    rig_told_ts(&g, 1200);
    ok(sends(&g, 33, 1022) == 1401, "what is told late does not set it back");
    rewrite_cut(g.r, g.now);
    ok(rewrite_live(g.r) == 0, "a cut: the clocks are the same again");
    ok(sends(&g, 41, 1390) == 1400,
       "rule_B4: but what the primary sent before it still counts");
    ok(sends(&g, 49, 1500) == 1510, "until the flow closes");
    rewrite_failover(g.r, g.now);
    ok(echoes(&g, 57, 1900) == 1500 && sends(&g, 57, 1501) == 1511,
       "rule_B4: after the failover echoes are the SVM's own");
    rig_close(&g);

    rig_open(&g);
    sends(&g, 1, 1000);
    rig_told_ts(&g, 1300);
    rewrite_cut(g.r, g.now);
    ok(echoes(&g, 9, 1500) == 1300,
       "after a cut an echo is of what both guests sent before it");
    rig_close(&g);

    rig_open(&g);
    sends(&g, 1, 1000);
    rig_told_ts(&g, 1300);
    g.now += 25 * 86400 * SEC;
    ok(sends(&g, 9, 1000 + 25u * 86400000u) == 1000 + 25u * 86400000u,
       "a mark of 25 days ago, half the number space, says nothing");
    rig_close(&g);
}

static void test_forged_echo(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    sends(&g, ISN_S + 1, 1000);
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 0x40000000,
                             .ack = ISN_P + 1, .ts = true, .tsval = 1,
                             .tsecr = 0x70000000 });
    ok(sends(&g, ISN_S + 9, 1010) == 1010,
       "an echo outside the window teaches nothing");
    rig_close(&g);
}

/* ---- ICMP errors ---------------------------------------------------------*/

/* An error from @in's sender about @quoted, cut after @cut octets of TCP. */
static void error_about(struct rig *g, const struct seg *quoted, bool in,
                        size_t cut)
{
    static uint8_t inner[FRAME_MAX];
    struct frame_spec spec = {
        .v6 = g->v6, .proto = g->v6 ? PROTO_ICMPV6 : PROTO_ICMP,
        .type = g->v6 ? 1 : 3, .code = 4, .src = in ? 0x0a000099u : GUEST,
        .dst = in ? GUEST : REMOTE, .data = inner,
    };
    size_t ip = g->v6 ? 40 + 8 * g->ext : 20;

    rig_build(g, quoted, !in);
    memcpy(inner, g->frame + 14, g->len - 14);
    spec.len = ip + cut;
    g->len = frame_build(&spec, g->frame);
    memset(&g->vnet, 0, sizeof(g->vnet));
    rig_run(g, in);
    g->sums = g->sums && frame_sums_right(g->frame, g->len, false);
}

/* The TCP header quoted in g->frame. */
static const uint8_t *quote(const struct rig *g)
{
    return g->frame + 14 + (g->v6 ? 40 : 20) + 8 +
           (g->v6 ? 40 + 8 * g->ext : 20);
}

static void test_icmp(bool v6)
{
    const char *ip = v6 ? "IPv6" : "IPv4";
    struct seg sent = { .flags = ACK, .seq = ISN_P + 1, .ack = ISN_C + 1,
                        .ts = true, .tsval = 1310, .tsecr = 1, .len = 100 };
    struct seg got = { .flags = ACK, .seq = ISN_C + 1, .ack = ISN_S + 9,
                       .len = 20, .nsack = 1,
                       .sack = { { ISN_S + 20, ISN_S + 30 } } };
    struct rig g;
    uint16_t sum;

    rig_open(&g);
    g.v6 = v6;
    g.ext = 2;
    rig_connect(&g);
    rig_told_ts(&g, 1300);
    sends(&g, ISN_S + 1, 1000);
    error_about(&g, &sent, true, 132);
    ok(packet_get32(quote(&g) + 4) == ISN_S + 1 &&
           packet_get32(quote(&g) + 8) == ISN_C + 1 &&
           packet_get32(quote(&g) + 22) == 1010 && g.sums,
       "rule_B4: %s: an error quotes to the guest what the guest sent", ip);
    sum = packet_get16(quote(&g) + 16);
    sent.seq = ISN_S + 1;
    sent.tsval = 1010;
    rig_build(&g, &sent, false);
    ok(sum == packet_get16(g.frame + 14 + (v6 ? 56 : 20) + 16),
       "rule_B4: %s: and the checksum that it sent", ip);
    sent.seq = ISN_P + 1;
    sent.tsval = 1310;
    sent.odd = true;
    error_about(&g, &sent, true, 50);
    ok(packet_get32(quote(&g) + 23) == 1010 && g.sums,
       "rule_B4: %s: also where fields are at odd places", ip);
    error_about(&g, &sent, true, 8);
    ok(packet_get32(quote(&g) + 4) == ISN_S + 1 && g.sums,
       "rule_B4: %s: eight quoted octets are enough", ip);
    error_about(&g, &sent, true, 7);
    ok(g.verdict == REWRITE_PASS && g.sums, "%s: seven are not", ip);
    error_about(&g, &got, false, 44);
    ok(packet_get32(quote(&g) + 8) == ISN_P + 9 &&
           packet_get32(quote(&g) + 4) == ISN_C + 1 &&
           packet_get32(quote(&g) + 22) == ISN_P + 20 && g.sums &&
           !g.seq_off && stats_of(&g).icmp == 4,
       "rule_B4: %s: the guest's error quotes what the remote end sent", ip);
    rig_close(&g);
}

/* ---- Fragments -----------------------------------------------------------*/

/* The first @octets of what follows IP in g->frame, as a first fragment. */
static void first_fragment(struct rig *g, const struct seg *s, bool in,
                           size_t octets)
{
    static uint8_t body[FRAME_MAX];
    struct frame_spec spec = {
        .proto = PROTO_TCP, .src = in ? REMOTE : GUEST,
        .dst = in ? GUEST : REMOTE, .frag = 0x2000, .raw = true,
        .data = body, .len = octets,
    };

    rig_build(g, s, in);
    memcpy(body, g->frame + 34, octets);
    g->len = frame_build(&spec, g->frame);
    rig_run(g, in);
}

static void test_fragments(void)
{
    struct seg s = { .flags = ACK, .seq = ISN_S + 1, .ack = ISN_C + 1,
                     .len = 800 };
    static uint8_t whole[FRAME_MAX];
    size_t len;
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    rig_build(&g, &s, false);
    len = g.len;
    memcpy(whole, g.frame, len);
    first_fragment(&g, &s, false, 400);
    memcpy(whole + 34, g.frame + 34, 400);
    ok(g.verdict == REWRITE_DONE && g.seq_off == 0 - DELTA &&
           packet_get32(whole + 38) == ISN_P + 1 &&
           frame_sums_right(whole, len, false),
       "rule_B4: a first fragment is translated, its checksum stays right "
       "for all fragments");
    s.ts = true;
    first_fragment(&g, &s, false, 24);
    ok(g.verdict == REWRITE_DROP && rewrite_wanted(g.r) == REWRITE_WANT_TINY,
       "a fragment that cuts the header is never sent half translated");
    first_fragment(&g, &s, false, 3);
    ok(g.verdict == REWRITE_PASS, "a fragment without ports passes");
    rewrite_cut(g.r, g.now);
    sends(&g, ISN_P + 1, 1000);
    first_fragment(&g, &s, false, 24);
    ok(g.verdict == REWRITE_PASS, "a flow without an offset: any fragment");
    rig_close(&g);
}

/* ---- Ends ----------------------------------------------------------------*/

/* Close; @guest_first. All numbers as each side sees them. */
static void close_both(struct rig *g, bool guest_first, uint32_t off)
{
    const struct seg fin_g = { .flags = ACK | TH_FIN, .seq = ISN_P + 1 + off,
                               .ack = ISN_C + 1 + !guest_first };
    const struct seg fin_r = { .flags = ACK | TH_FIN, .seq = ISN_C + 1,
                               .ack = ISN_P + 1 + guest_first };

    if (guest_first) {
        rig_out(g, fin_g);
        rig_in(g, fin_r);
        rig_out(g, (struct seg){ .flags = ACK, .seq = ISN_P + 2 + off,
                                 .ack = ISN_C + 2 });
        return;
    }
    rig_in(g, fin_r);
    rig_out(g, fin_g);
    rig_in(g, (struct seg){ .flags = ACK, .seq = ISN_C + 2,
                            .ack = ISN_P + 2 });
}

static void test_close(void)
{
    for (int guest_first = 0; guest_first < 2; guest_first++) {
        struct rig g;

        rig_open(&g);
        rig_connect(&g);
        rewrite_failover(g.r, g.now);
        close_both(&g, guest_first, DELTA);
        ok(rewrite_live(g.r) == 1, "rule_B4: closed by the %s: TIME_WAIT",
           guest_first ? "guest" : "remote end");
        rig_in(&g, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_C + 1,
                                 .ack = ISN_P + 2 });
        ok(g.out.ack == ISN_S + 2, "a FIN again is still translated");
        g.now += 119 * SEC;
        rewrite_tick(g.r, g.now);
        ok(rewrite_live(g.r) == 1, "for two minutes");
        g.now += 2 * SEC;
        rewrite_tick(g.r, g.now);
        ok(rewrite_live(g.r) == 0, "then the entry goes");
        rig_close(&g);
    }
}

static void test_idle(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    rewrite_failover(g.r, g.now);
    g.now += 30 * 86400 * SEC;
    rewrite_tick(g.r, g.now);
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1, .len = 1 });
    ok(g.out.seq == ISN_P + 1,
       "rule_B4: a flow with an offset that is silent for a month lives");
    /* Half closed: the remote end may still send for as long as it likes. */
    rig_out(&g, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_S + 2,
                              .ack = ISN_C + 1 });
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 3 });
    g.now += 30 * 86400 * SEC;
    rewrite_tick(g.r, g.now);
    ok(rewrite_live(g.r) == 1, "rule_B4: and so does a half-closed one");
    rig_close(&g);

    rig_open(&g);
    rig_connect(&g);
    rewrite_failover(g.r, g.now);
    rig_out(&g, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_S + 1,
                              .ack = ISN_C + 1 });
    g.now += 601 * SEC;
    rewrite_tick(g.r, g.now);
    ok(rewrite_live(g.r) == 0,
       "a FIN that nobody acknowledged, not sent again for ten minutes");
    rig_close(&g);
}

static void test_reset(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    rewrite_failover(g.r, g.now);
    rig_in(&g, (struct seg){ .flags = TH_RST, .seq = ISN_C + 0x20000000 });
    g.now += 500 * SEC;
    rewrite_tick(g.r, g.now);
    ok(rewrite_live(g.r) == 1, "a RST outside the window ends nothing");
    rig_in(&g, (struct seg){ .flags = TH_RST, .seq = ISN_C + 100 });
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1 });
    g.now += 500 * SEC;
    rewrite_tick(g.r, g.now);
    ok(rewrite_live(g.r) == 1, "nor one that the guest challenges");
    rig_in(&g, (struct seg){ .flags = TH_RST, .seq = ISN_C + 1 });
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1, .len = 9,
                              .ack = ISN_C + 1 });
    ok(g.out.seq == ISN_P + 1, "what crosses a RST is translated");
    g.now += 121 * SEC;
    rewrite_tick(g.r, g.now);
    ok(rewrite_live(g.r) == 0, "a RST in its place does end the flow");
    rig_close(&g);

    rig_open(&g);
    rig_connect(&g);
    rewrite_failover(g.r, g.now);
    rig_out(&g, (struct seg){ .flags = TH_RST | ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1 });
    g.now += 121 * SEC;
    rewrite_tick(g.r, g.now);
    ok(rewrite_live(g.r) == 0, "and so does the guest's own");
    rig_close(&g);
}

static void test_failover(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    g.port++;
    sends(&g, 1, 1000);
    rig_told_ts(&g, 1100);
    g.port++;
    sends(&g, 1, 1000);
    rewrite_failover(g.r, g.now);
    ok(rewrite_live(g.r) == 2,
       "rule_B4: after the failover: an offset, and a mark to pass");
    g.port--;
    ok(sends(&g, 9, 1200) == 1200 && rewrite_live(g.r) == 1,
       "the first timestamp past the mark needs no help: its entry goes");
    g.port += 7;
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S,
                              .ack = ISN_C + 1 });
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_S + 1 });
    g.port++;
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    g.port--;
    ok(g.verdict == REWRITE_PASS && rewrite_live(g.r) == 1,
       "rule_B4: a new flow gets no entry");
    g.port -= 8;
    rewrite_cut(g.r, g.now);
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1 });
    ok(g.out.seq == ISN_P + 1,
       "rule_B4: later checkpoints do not touch what a failover left");
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C + 9000000 });
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = 5,
                              .ack = ISN_C + 9000001 });
    ok(g.verdict == REWRITE_PASS && rewrite_live(g.r) == 0,
       "the same ports again: a connection of the survivor's own");
    rig_close(&g);
}

/* What the primary told was lost with it; its answer may not have been. */
static void test_infer(void)
{
    struct rig g;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C, .ts = true });
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S, .ts = true,
                              .tsval = 50, .ack = ISN_C + 1 });
    rewrite_failover(g.r, g.now);
    ok(echoes(&g, ISN_P + 1, 1000) == 50 && g.out.ack == ISN_S + 1 &&
           stats_of(&g).inferred == 1,
       "rule_B4: the remote end's first ACK tells what the primary could not");
    ok(sends(&g, ISN_S + 1, 60) == 1010 && g.out.seq == ISN_P + 1,
       "and the connection goes on");
    rig_close(&g);

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S,
                              .ack = ISN_C + 1 });
    rewrite_failover(g.r, g.now);
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_S + 1 });
    ok(g.verdict == REWRITE_PASS, "or that it heard the survivor alone");
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1 });
    ok(rewrite_live(g.r) == 0, "which needs no entry");
    rig_close(&g);
}

/* A second pairing of the survivor, and a second failover. */
static void test_chain(void)
{
    struct rig old, new;

    rig_open(&old);
    rig_connect(&old);
    rewrite_failover(old.r, old.now);
    rig_open(&new);
    rewrite_cut(new.r, new.now);
    sends(&new, ISN_S + 1, 900);
    rig_told_ts(&new, 1000);
    rewrite_failover(new.r, new.now);
    ok(sends(&new, ISN_S + 9, 950) == 1000, "the new rewriter: the clock");
    old.now = new.now;
    memcpy(old.frame, new.frame, new.len);
    old.len = new.len;
    old.vnet = new.vnet;
    rig_run(&old, false);
    rig_read(&old, old.frame, old.len);
    ok(old.out.seq == ISN_P + 9 && old.out.tsval == 1000 && old.sums,
       "rule_B4: behind it the old one: the sequence number of long ago");
    rig_close(&old);
    rig_close(&new);
}

/* ---- The table -----------------------------------------------------------*/

static void test_bound(void)
{
    unsigned int good = 0;
    struct rig g;

    rig_open_n(&g, 100);
    for (g.port = 1; g.port <= 100; g.port++)
        rig_connect(&g);
    ok(rewrite_live(g.r) == 100 && !rewrite_wanted(g.r), "a full table");
    for (g.port = 101; g.port <= 300; g.port++) {
        rig_connect(&g);
        g.now += SEC;
    }
    ok(rewrite_wanted(g.r) == REWRITE_WANT_FULL && stats_of(&g).refused,
       "rule_B4: at the bound a new flow is refused, a checkpoint asked for");
    for (g.port = 1; g.port <= 100; g.port++)
        good += rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                          .ack = ISN_C + 1 })->seq ==
                ISN_P + 1;
    ok(good == 100, "rule_B4: and never is a flow with an offset lost");
    rewrite_cut(g.r, g.now);
    ok(!rewrite_wanted(g.r) && stats_of(&g).flows == 0,
       "the checkpoint makes room");
    for (g.port = 1; g.port <= 200; g.port++)
        rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    ok(!rewrite_wanted(g.r) && stats_of(&g).evicted == 100,
       "SYNs that the guest does not answer push each other out");
    g.port = 200;
    rig_connect(&g);
    ok(g.out.ack == ISN_S + 1 && g.verdict == REWRITE_DONE,
       "and no connection");
    rig_close(&g);
}

static void test_ages(void)
{
    struct rig g;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    g.now += 61 * SEC;
    rewrite_tick(g.r, g.now);
    ok(stats_of(&g).flows == 0, "a SYN without an answer is forgotten");
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_told(&g, ISN_P);
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S,
                              .ack = ISN_C + 1 });
    g.now += 299 * SEC;
    rewrite_tick(g.r, g.now);
    ok(stats_of(&g).flows == 1, "a half-open connection waits");
    g.now += 2 * SEC;
    rewrite_tick(g.r, g.now);
    ok(stats_of(&g).flows == 0, "five minutes");
    sends(&g, 1, 1000);
    g.now += 601 * SEC;
    rewrite_tick(g.r, g.now);
    ok(stats_of(&g).flows == 0, "a silent flow without an offset: ten");
    rig_close(&g);
}

static void test_opts(void)
{
    struct rewrite_opts opts = REWRITE_OPTS_INIT;
    struct xlc_error err = XLC_ERROR_INIT;
    struct rewrite *r = NULL;

    opts.flows = 0;
    ok(rewrite_new(&r, &opts, &err) == -EINVAL && !r &&
           !strcmp(err.msg, "rewriter: 0 flows and 1048576 octets of held "
                            "segments are not within 1-16777216 and "
                            "69632-268435456"),
       "a table for no flow is refused: %s", err.msg);
    rewrite_free(NULL);
}

int main(void)
{
    test_clocks_of_a_new_flow();
    test_paws();
    test_forged_echo();
    test_icmp(false);
    test_icmp(true);
    test_fragments();
    test_close();
    test_idle();
    test_reset();
    test_failover();
    test_infer();
    test_chain();
    test_bound();
    test_ages();
    test_opts();
    return done_testing();
}
