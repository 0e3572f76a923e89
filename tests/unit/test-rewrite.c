/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-rewrite.c - The rewriter's sequence numbers, segment by segment */
#include <config.h>

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

/* One connection from SYN to data both ways, in whatever shape @g has. */
static bool converse(struct rig *g, size_t len)
{
    bool good;

    rig_in(g, (struct seg){ .flags = TH_SYN, .seq = ISN_C, .odd = true });
    good = g->verdict == REWRITE_PASS;
    rig_told(g, ISN_P);
    rig_out(g, (struct seg){ .flags = SYNACK, .seq = ISN_S,
                             .ack = ISN_C + 1 });
    good = good && g->out.seq == ISN_P && g->seq_off == 0 - DELTA &&
           g->out.ack == ISN_C + 1;
    rig_in(g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                            .ack = ISN_P + 1 });
    good = good && g->out.ack == ISN_S + 1 && g->out.seq == ISN_C + 1;
    rig_out(g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                             .ack = ISN_C + 1, .len = len });
    good = good && g->out.seq == ISN_P + 1 && g->out.len == len;
    rig_in(g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                            .ack = ISN_P + 1 + (uint32_t)len, .len = len });
    return good && g->out.ack == ISN_S + 1 + (uint32_t)len && g->sums;
}

static void test_shapes(void)
{
    static const struct {
        const char *what;
        bool v6, partial;
        unsigned int ext;
        uint16_t vlan;
        size_t len;
    } shapes[] = {
        { "IPv4", false, false, 0, 0, 1460 },
        { "IPv4, an odd length", false, false, 0, 0, 77 },
        { "IPv6", true, false, 0, 0, 1440 },
        { "IPv6 with extension headers", true, false, 3, 0, 700 },
        { "IPv4 in a VLAN", false, false, 0, 7, 1460 },
        { "IPv6 in a VLAN", true, false, 1, 4094, 512 },
        { "IPv4, partial checksum", false, true, 0, 0, 1000 },
        { "IPv4, GSO of 60000", false, true, 0, 0, 60000 },
        { "IPv6, GSO of 60000", true, true, 2, 0, 60000 },
    };

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct rig g;

        rig_open(&g);
        g.v6 = shapes[i].v6;
        g.partial = shapes[i].partial;
        g.ext = shapes[i].ext;
        g.vlan = shapes[i].vlan;
        ok(converse(&g, shapes[i].len) && rewrite_live(g.r) == 1,
           "rule_B4: offset is SVM ISN - PVM ISN, both ways: %s",
           shapes[i].what);
        rig_close(&g);
    }
}

/* The checksum field of a partial frame is not ours to touch. */
static void test_partial(void)
{
    struct rig g;
    uint16_t before;

    rig_open(&g);
    rig_connect(&g);
    g.partial = true;
    rig_build(&g, &(struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                 .ack = ISN_C + 1, .len = 3000 }, false);
    before = packet_get16(g.frame + 14 + 20 + 16);
    rig_run(&g, false);
    ok(g.verdict == REWRITE_DONE &&
           packet_get16(g.frame + 14 + 20 + 16) == before &&
           frame_sums_right(g.frame, g.len, true),
       "a partial checksum stays the pseudo header's sum");
    g.partial = false;
    rig_build(&g, &(struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                 .ack = ISN_C + 1, .len = 30 }, false);
    g.frame[14 + 20 + 16] ^= 0x55;
    rig_run(&g, false);
    ok(!frame_sums_right(g.frame, g.len, false),
       "a wrong checksum stays wrong");
    rig_close(&g);
}

static void test_guest_opens(void)
{
    bool told_first = false;

    do {
        struct rig g;

        rig_open(&g);
        if (told_first) rig_told(&g, ISN_P);
        rig_out(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_S, .ts = true,
                                  .tsval = 500 });
        ok(g.seq_off == (told_first ? 0 - DELTA : 0) && g.out.ack == 0,
           "rule_B4: the guest's SYN, primary's told %s",
           told_first ? "first" : "later");
        if (!told_first) rig_told(&g, ISN_P);
        rig_in(&g, (struct seg){ .flags = SYNACK, .seq = ISN_C,
                                 .ack = ISN_P + 1, .ts = true, .tsval = 7,
                                 .tsecr = 90000 });
        ok(g.out.ack == ISN_S + 1 && g.out.tsecr == 500 && g.out.tsval == 7,
           "rule_B4: the SYN/ACK acknowledges the SVM's SYN and echoes it");
        rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                  .ack = ISN_C + 1, .ts = true, .tsval = 510,
                                  .tsecr = 7 });
        ok(g.out.seq == ISN_P + 1 && g.out.tsval == 90010 &&
               g.out.tsecr == 7 && g.sums,
           "rule_B4: and the connection the guest opened is translated");
        rig_close(&g);
        told_first = !told_first;
    } while (told_first);
}

static void test_again(void)
{
    struct rig g;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S,
                              .ack = ISN_C + 1 });
    ok(g.seq_off == 0, "the SVM is faster: its SYN/ACK is left as it is");
    rig_told(&g, ISN_P);
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S,
                              .ack = ISN_C + 1 });
    rig_told(&g, ISN_P);
    ok(g.out.seq == ISN_P, "its SYN/ACK, sent again, is translated");
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 1 });
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1 });
    ok(g.out.seq == ISN_P + 1 && stats_of(&g).settled == 1,
       "a SYN that comes late changes nothing");
    rig_close(&g);
}

/* QEMU computes a wrong offset here, for good. */
static void test_early_ack(void)
{
    struct rig g;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_told(&g, ISN_P);
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 1 });
    ok(g.verdict == REWRITE_HELD && !rig_take(&g),
       "rule_B4: an ACK that is ahead of the SVM's SYN/ACK waits");
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 1, .len = 100 });
    ok(g.verdict == REWRITE_HELD, "and so does what is behind it");
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S,
                              .ack = ISN_C + 1 });
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 101,
                             .ack = ISN_P + 1, .len = 9 });
    ok(g.verdict == REWRITE_HELD, "a later one does not overtake");
    ok(rig_take(&g) && g.out.ack == ISN_S + 1 && g.out.len == 0 &&
           rig_take(&g) && g.out.ack == ISN_S + 1 && g.out.len == 100 &&
           rig_take(&g) && g.out.len == 9 && !rig_take(&g) && g.sums,
       "rule_B4: all come in order, translated, once it answered");
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 110,
                             .ack = ISN_P + 1 });
    ok(g.verdict == REWRITE_DONE, "then nothing waits any more");
    rig_close(&g);
}

/* The primary accepts a SYN, the secondary says that it is an old one's. */
static void test_hold_ends(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C + 77 });
    rig_told(&g, 5000);
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 1 });
    ok(g.verdict == REWRITE_HELD, "after a SYN on the same ports: it waits");
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1 });
    ok(g.out.seq == ISN_P + 1 && rig_take(&g) && g.out.ack == ISN_S + 1,
       "until the guest goes on with the connection that it has");
    rig_close(&g);
}

static void test_hold_bound(void)
{
    struct rig g;
    unsigned int held = 0;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_told(&g, ISN_P);
    for (unsigned int i = 0; i < 100; i++) {
        rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                                 .ack = ISN_P + 1, .len = 30000 });
        if (g.verdict == REWRITE_HELD) held++;
    }
    ok(held == (1u << 20) / 30054 && g.verdict == REWRITE_DROP &&
           rewrite_wanted(g.r) == REWRITE_WANT_HELD,
       "held segments are bounded, a checkpoint is asked for");
    rewrite_cut(g.r, g.now);
    ok(!rig_take(&g) && !rewrite_wanted(g.r),
       "a checkpoint has them: the cut forgets them");
    rig_close(&g);
}

static void test_sack(void)
{
    const struct seg *o;
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    for (int odd = 0; odd < 2; odd++) {
        o = rig_in(&g, (struct seg){
            .flags = ACK, .seq = ISN_C + 1, .ack = ISN_P + 1, .odd = odd,
            .nsack = 4, .sack = { { ISN_P + 100, ISN_P + 200 },
                                  { ISN_P + 300, ISN_P + 400 },
                                  { ISN_P + 500, ISN_P + 600 },
                                  { ISN_P + 10, ISN_P + 20 } } });
        ok(o->nsack == 4 && o->sack[0][0] == ISN_S + 100 &&
               o->sack[0][1] == ISN_S + 200 && o->sack[3][1] == ISN_S + 20 &&
               o->sack[2][0] == ISN_S + 500 && g.sums,
           "rule_B4: SACK blocks name the SVM's octets%s",
           odd ? ", also at odd places" : "");
    }
    o = rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                  .ack = ISN_C + 1, .nsack = 1,
                                  .sack = { { ISN_C + 9, ISN_C + 19 } } });
    ok(o->sack[0][0] == ISN_C + 9 && o->sack[0][1] == ISN_C + 19,
       "the guest's blocks are the remote end's octets: untouched");
    rig_close(&g);
}

static void test_rst(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    rig_out(&g, (struct seg){ .flags = TH_RST, .seq = ISN_S + 1 });
    ok(g.out.seq == ISN_P + 1 && g.sums,
       "rule_B4: a RST without ACK is translated");
    g.port++;
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_out(&g, (struct seg){ .flags = TH_RST | ACK, .ack = ISN_C + 1 });
    ok(g.verdict == REWRITE_PASS && stats_of(&g).flows == 1,
       "a refused connection leaves nothing");
    /* The same on the ports of a connection that has an offset. */
    g.port--;
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C + 99 });
    rig_out(&g, (struct seg){ .flags = TH_RST | ACK, .ack = ISN_C + 100 });
    ok(g.verdict == REWRITE_PASS && g.out.seq == 0,
       "the RST that answers a SYN has sequence number 0, as it must");
    rig_close(&g);
}

static void test_midstream(void)
{
    struct rig g;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = ACK, .seq = 1, .ack = 2, .len = 10 });
    rig_out(&g, (struct seg){ .flags = ACK, .seq = 2, .ack = 11, .ts = true,
                              .tsval = 1000 });
    ok(g.verdict == REWRITE_PASS && rewrite_live(g.r) == 0,
       "rule_B4: no offset for a flow whose SYN was before the cut");
    /* In SYN_RCVD at the cut: both answer again, with the same number. */
    g.port++;
    rig_told(&g, ISN_P);
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 1 });
    ok(g.verdict == REWRITE_PASS,
       "rule_B4: nor does it wait when the primary answers again");
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_P,
                              .ack = ISN_C + 1 });
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_P + 1,
                              .ack = ISN_C + 1, .len = 5 });
    ok(g.verdict == REWRITE_PASS && !g.seq_off && !rewrite_live(g.r),
       "rule_B4: the same ISN on both is offset 0");
    rig_close(&g);
}

static void test_cut(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    ok(rewrite_live(g.r) == 1, "one flow has an offset");
    rewrite_cut(g.r, g.now);
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_P + 1,
                              .ack = ISN_C + 1, .len = 5 });
    ok(g.verdict == REWRITE_PASS && !g.seq_off && !rewrite_live(g.r),
       "rule_B4: after a cut the offset is 0, out");
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 6 });
    ok(g.verdict == REWRITE_PASS, "rule_B4: and in");
    g.port++;
    rig_connect(&g);
    ok(rewrite_live(g.r) == 1 && g.out.ack == ISN_S + 1,
       "rule_B4: only what begins after the cut has one");
    rig_close(&g);
}

static void test_reuse(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    /* The ports again, before the first one's entry is gone. */
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C + 5000000 });
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1 });
    ok(g.out.seq == ISN_P + 1,
       "a SYN that the guest does not accept changes nothing");
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C + 6000000 });
    rig_told(&g, 77);
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = 99,
                              .ack = ISN_C + 6000001 });
    ok(g.out.seq == 77, "a SYN on known ports that it accepts starts anew");
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 6000001,
                             .ack = 78 });
    ok(g.out.ack == 100 && rewrite_live(g.r) == 1, "with its own offset");
    rig_out(&g, (struct seg){ .flags = TH_SYN, .seq = 0x5000 });
    ok(g.seq_off == 0, "the guest reuses the ports: not known yet");
    rig_told(&g, 0x6000);
    rig_in(&g, (struct seg){ .flags = SYNACK, .seq = 1, .ack = 0x6001 });
    ok(g.out.ack == 0x5001 && g.sums, "and is translated when it is");
    rig_close(&g);
}

static void test_cookies(void)
{
    struct rig g;

    rig_open(&g);
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_told(&g, ISN_P);
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S,
                              .ack = ISN_C + 1 });
    rig_in(&g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    rig_told(&g, ISN_P + 64);
    rig_out(&g, (struct seg){ .flags = SYNACK, .seq = ISN_S + 32,
                              .ack = ISN_C + 1 });
    ok(g.out.seq == ISN_P + 64, "an answer that changed (SYN cookies)");
    rig_in(&g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_P + 65 });
    ok(g.out.ack == ISN_S + 33, "has the offset of the newest numbers");
    rig_close(&g);
}

static void test_signed(void)
{
    struct rig g;

    rig_open(&g);
    rig_connect(&g);
    rig_out(&g, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1, .kind = 19 });
    ok(g.verdict == REWRITE_PASS && !g.seq_off &&
           rewrite_wanted(g.r) == REWRITE_WANT_SIGNED,
       "a signed segment is left alone, a checkpoint is asked for");
    rig_close(&g);
}

/* A whole connection with timestamps, to its end. */
static void whole(struct rig *g)
{
    rig_in(g, (struct seg){ .flags = TH_SYN, .seq = ISN_C, .ts = true,
                            .tsval = 5 });
    rig_told(g, ISN_P);
    rig_out(g, (struct seg){ .flags = SYNACK, .seq = ISN_S, .ack = ISN_C + 1,
                             .ts = true, .tsval = 700, .tsecr = 5 });
    rig_in(g, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_C + 1,
                            .ack = ISN_P + 1, .ts = true, .tsval = 6,
                            .tsecr = 900 });
    rig_out(g, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_S + 1,
                             .ack = ISN_C + 2, .ts = true, .tsval = 701,
                             .tsecr = 6 });
    rig_in(g, (struct seg){ .flags = ACK, .seq = ISN_C + 2,
                            .ack = ISN_P + 2, .ts = true, .tsval = 7,
                            .tsecr = 901 });
}

static void test_ended(void)
{
    struct rig g;

    rig_open_n(&g, 4);
    for (g.port = 1; g.port <= 5; g.port++)
        whole(&g);
    ok(rewrite_wanted(g.r) == REWRITE_WANT_FULL,
       "connections that ended keep their place for a while");
    rewrite_cut(g.r, g.now);
    whole(&g);
    ok(!rewrite_wanted(g.r),
       "rule_C1: but not beyond a cut, or each new one would want another");
    rig_close(&g);
}

int main(void)
{
    test_shapes();
    test_partial();
    test_guest_opens();
    test_again();
    test_early_ack();
    test_hold_ends();
    test_hold_bound();
    test_sack();
    test_rst();
    test_midstream();
    test_cut();
    test_reuse();
    test_cookies();
    test_signed();
    test_ended();
    return done_testing();
}
