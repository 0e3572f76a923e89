/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-compare-tcp.c - Streams, connections and promises of the engine */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "compare-rig.h"
#include "tap.h"

/* Sequence numbers of the primary, of the secondary, of the client. */
#define P 1000u
#define S 4000000000u
#define C 70000u

#define FIN PACKET_FIN
#define SYN PACKET_SYN
#define RST PACKET_RST
#define ACK PACKET_ACK
#define URG PACKET_URG

static const uint8_t syn_opts[20] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7,
                                      0, 0, 0, 9, 1, 3, 3, 7 };
static struct rig r;
static struct frame f;

/* A segment with window 1000 (or @win), acknowledging C + @ack. */
static struct frame *seg(uint32_t seq, uint32_t ack, uint8_t flags,
                         const char *data, uint16_t win)
{
    struct tcp_spec t = { .seq = seq, .ack = C + ack, .flags = flags,
                          .win = win, .data = data, .len = strlen(data) };

    if (flags & SYN) {
        t.opts = syn_opts;
        t.nopts = sizeof(syn_opts);
    }
    if (!(flags & ACK)) t.ack = 0;
    frame_tcp(&f, &t);
    return &f;
}

static size_t p(uint32_t seq, uint32_t ack, uint8_t flags, const char *data)
{
    return rig_p(&r, seg(P + seq, ack, flags, data, 1000));
}

static size_t s(uint32_t seq, uint32_t ack, uint8_t flags, const char *data)
{
    return rig_s(&r, seg(S + seq, ack, flags, data, 1000));
}

/* A connection whose SYNs were seen; the next octet is 1. */
static void connected(void)
{
    rig_start(&r, NULL);
    p(0, 1, SYN | ACK, "");
    s(0, 1, SYN | ACK, "");
    if (r.n != 1) abort();
    rig_clear(&r);
}

/* ... and is older than the cut: both sides have the same numbers. */
static void inherited(void)
{
    connected();
    p(1, 1, ACK, "x");
    rig_cut(&r);
    rig_commit(&r);
    rig_clear(&r);
}

static bool got(size_t i, const char *data)
{
    struct got *g = &r.got[i];

    return i < r.n && packet_payload_len(&g->pk) == strlen(data) &&
           !memcmp(g->b + g->pk.payload, data, strlen(data)) &&
           frame_csum_ok(g->b, g->len, &g->vnet);
}

/* Does released frame @i acknowledge C + @ack, with right edge C + @edge? */
static bool says(size_t i, uint32_t ack, uint32_t edge)
{
    struct got *g = &r.got[i];

    return i < r.n && g->pk.ack == C + ack &&
           g->pk.ack + ((uint32_t)g->pk.win << 7) == C + edge &&
           frame_csum_ok(g->b, g->len, &g->vnet);
}

/* What moved counts once, and when it leaves. */
static void test_moved(void)
{
    connected();
    p(1, 1, ACK, "hello ");
    ok(!rig_stats(&r).said, "what is held was not said");
    s(1, 1, ACK, "hello ");
    p(1, 1, ACK, "hello ");
    ok(r.n == 2 && rig_stats(&r).said == 6, "C3: what is sent again moves "
       "nothing: %llu octets", (unsigned long long)rig_stats(&r).said);
    p(7, 11, ACK, "x");
    s(7, 6, ACK, "x");
    ok(rig_stats(&r).acked == 5 && rig_stats(&r).said == 7,
       "C3: of an acknowledgement counts what is released");
    s(8, 11, ACK, "");
    ok(rig_stats(&r).acked == 10, "and the rest when it is");
    rig_stop(&r);
}

static void test_stream(void)
{
    connected();
    p(1, 1, ACK, "hello ");
    p(7, 1, ACK, "world");
    ok(s(1, 1, ACK, "hel") == 0, "half a segment is not enough");
    ok(s(4, 1, ACK, "lo wor") == 1 && got(0, "hello "),
       "any segmentation, with other sequence numbers (both SYNs were seen)");
    ok(s(10, 1, ACK, "ld!!") == 2 && got(1, "world"), "to the last octet");
    ok(p(12, 1, ACK, "!!") == 3, "a secondary that is ahead");
    ok(p(1, 1, ACK, "hello world") == 4 && rig_wants(&r) == COMPARE_OK,
       "a retransmission of verified octets leaves at once");
    s(18, 1, ACK, "late");
    p(14, 1, ACK, "12");
    p(16, 1, ACK, "34");
    p(18, 1, ACK, "late");
    ok(s(14, 1, ACK, "1234") == 7 && got(6, "late"),
       "segments of the secondary out of order");
    ok(rig_stats(&r).waiting_secondary == 0 && rig_stats(&r).held == 0,
       "nothing is left behind");
    p(22, 1, ACK, "abcdef");
    p(28, 1, ACK, "ghi");
    ok(s(22, 1, ACK, "abcdeX") == 7 && rig_wants(&r) == COMPARE_PAYLOAD,
       "one octet differs: the segment is held");
    s(22, 1, ACK, "abcdefghi");
    ok(r.n == 7, "nor does anything after it leave");
    rig_stop(&r);

    rig_start(&r, NULL);
    p(1, 1, ACK, "aaa");
    ok(s(1, 1, ACK, "aaa") == 0,
       "without SYNs, numbers that differ by a constant are not equal");
    rig_wait(&r, 200 * MS);
    ok(rig_wants(&r) == COMPARE_LATE, "and a checkpoint is wanted in the end");
    rig_stop(&r);
    rig_start(&r, NULL);
    p(1, 1, ACK, "aaa");
    rig_s(&r, seg(P + 1, 1, ACK, "aaa", 1000));
    ok(r.n == 1, "equal numbers are");
    p(4, 1, ACK, "bbb");
    r.seq_off = 77;
    rig_s(&r, seg(P + 4 + 77, 1, ACK, "bbb", 1000));
    ok(r.n == 2, "what the rewriter added is taken off");
    rig_stop(&r);
}

/* [1, 4) was lost; the secondary needs its acknowledgement to go on. */
static void test_overtake(void)
{
    uint8_t ts[12] = { 1, 1, 8, 10, 0, 0, 0, 5 };
    struct tcp_spec t = { .seq = P + 1, .ack = C + 1, .flags = ACK,
                          .win = 1000, .opts = ts, .nopts = 12,
                          .data = "abc", .len = 3 };
    struct packet_tcp_opts o;

    connected();
    frame_tcp(&f, &t);
    rig_p(&r, &f);
    t.seq += 3;
    frame_tcp(&f, &t);
    rig_p(&r, &f);
    s(1, 1, ACK, "abc");
    t.seq -= 3;
    ts[7] = 9;
    frame_tcp(&f, &t);
    ok(rig_p(&r, &f) == 2 && rig_is(&r, 1, &f),
       "a retransmission of what has left overtakes what has not");
    t.seq += 1;
    frame_tcp(&f, &t);
    ok(rig_p(&r, &f) == 2, "but not with an octet that has not left");
    s(4, 1, ACK, "abc");
    ok(r.n == 4 && got(2, "abc") &&
           packet_tcp_options(&o, &r.got[2].pk, r.got[2].b) && o.tsval == 9,
       "what it overtook gets its timestamp, and is not taken for old");
    rig_stop(&r);
}

static void test_gso(void)
{
    static char big[60000];
    struct tcp_spec t = { .seq = P + 1, .ack = C + 1, .flags = ACK,
                          .win = 1000, .data = big, .len = sizeof(big),
                          .ip.partial = true, .ip.gso_size = 1448 };
    static struct frame super;

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 7 + i / 251);
    connected();
    frame_tcp(&super, &t);
    rig_p(&r, &super);
    t.ip.partial = false;
    t.ip.gso_size = 0;
    for (size_t at = 0; at < sizeof(big); at += 1000) {
        t.data = big + at;
        t.len = 1000;
        t.seq = S + 1 + (uint32_t)at;
        frame_tcp(&f, &t);
        rig_s(&r, &f);
        if (at + 1000 < sizeof(big) && r.n) break;
    }
    ok(r.n == 1 && rig_is(&r, 0, &super) && rig_wants(&r) == COMPARE_OK,
       "a super-frame leaves whole, after the last of 60 segments");
    rig_stop(&r);
}

static void test_ends(void)
{
    connected();
    p(1, 1, ACK | FIN, "bye");
    ok(s(1, 1, ACK, "bye") == 0, "FIN: the octets are not enough");
    ok(s(4, 1, ACK | FIN, "") == 1, "FIN at the same place");
    rig_stop(&r);
    connected();
    p(1, 1, ACK | FIN, "bye");
    ok(s(1, 1, ACK | FIN, "by") == 0 && rig_wants(&r) == COMPARE_HEADER,
       "FIN at another place differs");
    rig_stop(&r);
    connected();
    p(1, 1, ACK, "bye");
    ok(s(1, 1, ACK | FIN, "by") == 0 && rig_wants(&r) == COMPARE_HEADER,
       "FIN where the other side has an octet differs");
    rig_stop(&r);
    connected();
    p(1, 1, ACK, "a");
    s(1, 1, ACK | FIN, "a");
    rig_wait(&r, 200 * MS);
    ok(r.n == 1 && rig_wants(&r) == COMPARE_EXTRA,
       "FIN of the secondary alone asks for a checkpoint");
    rig_stop(&r);
    connected();
    p(1, 0, RST, "");
    s(1, 1, ACK, "a");
    ok(r.n == 0, "RST waits, whatever else the secondary says");
    ok(s(1, 0, RST, "") == 1, "RST at the same place");
    rig_stop(&r);
    connected();
    p(1, 0, RST, "");
    s(2, 0, RST, "");
    rig_wait(&r, 200 * MS);
    ok(r.n == 0 && rig_wants(&r) == COMPARE_LATE, "RST at another place");
    rig_stop(&r);
    rig_start(&r, NULL);
    p(-P, 1, RST | ACK, "");
    rig_s(&r, seg(0, 1, RST | ACK, "", 0));
    ok(r.n == 1, "RST of a closed port");
    rig_stop(&r);
    connected();
    p(1, 1, ACK | URG, "abc");
    s(1, 1, ACK, "abc");
    ok(r.n == 0, "URG waits for the other's");
    ok(s(1, 1, ACK | URG, "abc") == 1, "URG at the same place");
    frame_tcp(&f, &(struct tcp_spec){ .seq = S + 4, .ack = C + 1, .urg = 2,
                                      .flags = ACK | URG, .data = "de",
                                      .win = 1000, .len = 2 });
    rig_s(&r, &f);
    ok(p(4, 1, ACK, "de") == 1 && rig_wants(&r) == COMPARE_HEADER,
       "URG of the secondary alone differs");
    rig_stop(&r);
}

static void test_reuse(void)
{
    connected();
    p(1, 1, ACK, "old");
    /* A new connection, lower numbers, on the same ports. */
    rig_p(&r, seg(500, 1, SYN | ACK, "", 1000));
    rig_p(&r, seg(501, 1, ACK, "new", 1000));
    rig_s(&r, seg(200, 1, SYN | ACK, "", 1000));
    ok(r.n == 0, "a new connection does not overtake the old one's octets");
    s(1, 1, ACK, "old");
    ok(r.n == 0, "which the secondary no longer sends");
    rig_cut(&r);
    ok(rig_commit(&r) == 3, "a commit settles it");
    rig_stop(&r);

    connected();
    p(1, 1, ACK, "old");
    s(1, 1, ACK, "old");
    rig_p(&r, seg(500, 1, SYN | ACK, "", 1000));
    rig_p(&r, seg(501, 1, ACK, "new", 1000));
    ok(r.n == 1, "a SYN on a known 4-tuple starts anew: lower numbers are "
                 "not taken for a retransmission");
    rig_s(&r, seg(200, 1, SYN | ACK, "", 1000));
    ok(r.n == 2 && rig_s(&r, seg(201, 1, ACK, "nEw", 1000)) == 2 &&
           rig_wants(&r) == COMPARE_PAYLOAD, "its octets are compared");
    rig_stop(&r);
    connected();
    rig_s(&r, seg(200, 1, SYN | ACK, "", 1000));
    rig_s(&r, seg(201, 1, ACK, "new", 1000));
    rig_p(&r, seg(500, 1, SYN | ACK, "", 1000));
    ok(rig_p(&r, seg(501, 1, ACK, "new", 1000)) == 2,
       "also if the secondary was first");
    rig_stop(&r);
}

static void test_cut(void)
{
    inherited();
    ok(rig_p(&r, seg(P + 2, 1, ACK, "abc", 1000)) == 0 &&
           rig_s(&r, seg(P + 2, 1, ACK, "abc", 1000)) == 1,
       "rule_A10: after a cut both sides have the primary's numbers");
    p(5, 1, ACK, "d");
    ok(s(5, 1, ACK, "d") == 1, "rule_A10: the old offset no longer counts");
    rig_stop(&r);
    connected();
    s(1, 500, ACK, "");
    p(1, 300, ACK, "x");
    rig_cut(&r);
    rig_commit(&r);
    rig_clear(&r);
    rig_p(&r, seg(P + 2, 500, ACK, "y", 1000));
    rig_s(&r, seg(P + 2, 301, ACK, "y", 1000));
    ok(r.n == 1 && says(0, 301, 301 + 128000),
       "rule_A10: the cut lowers the secondary's acknowledgement to the "
       "primary's, it is no maximum");
    rig_stop(&r);
    inherited();
    ok(p(1, 1, ACK, "x") == 1,
       "a retransmission of what a commit covered leaves at once");
    rig_stop(&r);
}

static void test_rule_B5_acks(void)
{
    inherited();
    /* The secondary has 101, the primary 201; both offer up to 128 more. */
    rig_s(&r, seg(P + 2, 101, ACK, "", 1000));
    ok(p(2, 201, ACK, "") == 1 && says(0, 101, 101 + 128000),
       "rule_B5: an acknowledgement and the right edge are lowered");
    ok(p(2, 201, ACK, "") == 1, "rule_B5: what says nothing new is owed");
    ok(rig_s(&r, seg(P + 2, 151, ACK, "", 1000)) == 2 && r.got[1].made &&
           says(1, 151, 151 + 128000),
       "rule_B5: as the secondary catches up, it goes out");
    ok(rig_s(&r, seg(P + 2, 301, ACK, "", 1000)) == 3 &&
           says(2, 201, 201 + 128000),
       "rule_B5: but never more than the primary said");
    ok(rig_s(&r, seg(P + 2, 401, ACK, "", 1000)) == 3, "and not again");
    ok(p(2, 201, ACK, "") == 4 && p(2, 201, ACK, "") == 5 &&
           !r.got[4].made, "rule_B5: genuine duplicates pass at once");
    ok(rig_p(&r, seg(P + 2, 201, ACK, "", 9000)) == 6 &&
           says(5, 201, 201 + 128000 + 200 / 128 * 128),
       "rule_B5: a wider window is lowered to the secondary's edge");
    ok(rig_s(&r, seg(P + 2, 401, ACK, "", 9000)) == 7 &&
           says(6, 201, 201 + 9000 * 128),
       "rule_B5: and follows when the secondary opens its own");
    rig_clear(&r);
    rig_p(&r, seg(P + 2, 301, ACK, "", 9500));
    rig_p(&r, seg(P + 2, 301, ACK, "", 9500));
    rig_p(&r, seg(P + 2, 301, ACK, "", 9500));
    ok(r.n == 3 && r.got[2].pk.ack == C + 301 && r.got[2].pk.win < 9500,
       "rule_B5: duplicates pass with a lowered window too");
    rig_stop(&r);

    inherited();
    rig_s(&r, seg(P + 2, 101, ACK, "data", 1000));
    ok(p(2, 201, ACK, "data") == 1 && got(0, "data") &&
           says(0, 101, 101 + 128000),
       "rule_B5: data leaves with a lowered acknowledgement");
    rig_s(&r, seg(P + 6, 201, ACK, "", 1000));
    ok(r.n == 2 && r.got[1].made && got(1, "") && r.got[1].pk.seq == P + 6 &&
           r.got[1].pk.flags == ACK && says(1, 201, 201 + 128000),
       "rule_B5: and a pure acknowledgement follows");
    p(6, 301, ACK, "");
    rig_wait(&r, 199 * MS);
    ok(rig_wants(&r) == COMPARE_OK, "rule_B5: it may be owed for a while");
    rig_wait(&r, 1 * MS);
    ok(rig_wants(&r) == COMPARE_ACK, "rule_B5: then a checkpoint is wanted");
    rig_cut(&r);
    rig_clear(&r);
    rig_commit(&r);
    ok(r.n == 1 && says(0, 301, 301 + 128000),
       "rule_B5: whose commit lets it go");
    rig_stop(&r);
}

static void test_rule_B5_scale(void)
{
    /* Nobody saw the SYNs. */
    rig_start(&r, NULL);
    rig_s(&r, seg(P + 1, 1, ACK, "x", 1000));
    ok(rig_p(&r, seg(P + 1, 101, ACK, "x", 1000)) == 0,
       "rule_B5: without a scale an acknowledgement ahead waits");
    rig_s(&r, seg(P + 2, 101, ACK, "", 900));
    ok(r.n == 1 && r.got[0].pk.win == 900 && r.got[0].pk.ack == C + 101,
       "rule_B5: and the smaller window field is released");
    rig_stop(&r);
    /* The guest opens it: its offer holds if the client answers with one. */
    rig_start(&r, NULL);
    p(0, 0, SYN, "");
    s(0, 0, SYN, "");
    frame_tcp(&f, &(struct tcp_spec){
        .ip.src = 2, .ip.dst = 1, .sport = 40000, .dport = 80, .seq = C,
        .ack = P + 1, .flags = SYN | ACK, .opts = syn_opts,
        .nopts = sizeof(syn_opts), .win = 100 });
    compare_inbound(r.c, f.b, f.len, &f.vnet, r.now);
    s(1, 1, ACK, "");
    ok(p(1, 101, ACK, "") == 2 && says(1, 1, 1 + 128000),
       "rule_B5: an inbound SYN tells whether the guest's scale holds");
    rig_stop(&r);
}

static void sack_seg(uint32_t seq, uint32_t ack, uint32_t l1, uint32_t l2)
{
    uint8_t opts[20] = { 1, 1, 5, 18 };
    struct tcp_spec t = { .seq = seq, .ack = C + ack, .flags = ACK,
                          .win = 1000, .opts = opts, .nopts = 20 };

    packet_put32(opts + 4, C + l1);
    packet_put32(opts + 8, C + l1 + 100);
    packet_put32(opts + 12, C + l2);
    packet_put32(opts + 16, C + l2 + 100);
    frame_tcp(&f, &t);
}

static void test_rule_B5_options(void)
{
    uint8_t other[20];
    struct tcp_spec t = { .seq = S, .ack = C + 1, .flags = SYN | ACK,
                          .win = 1000, .opts = other, .nopts = 20 };
    struct packet_tcp_opts o;

    inherited();
    sack_seg(P + 2, 1, 1000, 3000);
    rig_s(&r, &f);
    sack_seg(P + 2, 1, 2000, 3000);
    rig_p(&r, &f);
    ok(r.n == 1 && packet_tcp_options(&o, &r.got[0].pk, r.got[0].b) &&
           o.nsack == 1 && o.sack[0][0] == C + 3000 && got(0, ""),
       "rule_B5: a SACK block that the secondary lacks is taken out");
    sack_seg(P + 2, 1, 5000, 6000);
    rig_p(&r, &f);
    ok(r.n == 2 && packet_tcp_options(&o, &r.got[1].pk, r.got[1].b) &&
           !o.nsack && got(1, "") && rig_stats(&r).sacks == 3,
       "rule_B5: all of them, if need be");
    rig_stop(&r);

    rig_start(&r, NULL);
    memcpy(other, syn_opts, sizeof(other));
    other[11] = 99; /* the timestamp's value */
    p(0, 1, SYN | ACK, "");
    frame_tcp(&f, &t);
    ok(rig_s(&r, &f) == 1, "rule_B5: timestamp values of SYNs may differ");
    rig_stop(&r);
    rig_start(&r, NULL);
    other[19] = 8; /* the window's scale */
    p(0, 1, SYN | ACK, "");
    frame_tcp(&f, &t);
    ok(rig_s(&r, &f) == 0 && rig_wants(&r) == COMPARE_OPTIONS,
       "rule_B5: other values may not");
    rig_stop(&r);
    rig_start(&r, NULL);
    memcpy(other, syn_opts, sizeof(other));
    other[4] = other[5] = 1; /* no SACK */
    p(0, 1, SYN | ACK, "");
    frame_tcp(&f, &t);
    ok(rig_s(&r, &f) == 0 && rig_wants(&r) == COMPARE_OPTIONS,
       "rule_B5: nor may an option be missing");
    rig_stop(&r);
    rig_start(&r, NULL);
    p(0, 1, SYN | ACK, "");
    ok(s(0, 2, SYN | ACK, "") == 0 && rig_wants(&r) == COMPARE_HEADER,
       "a SYN that acknowledges something else differs");
    rig_stop(&r);
    connected();
    memset(other, 0, sizeof(other));
    other[0] = 19; /* a signature: no header of it can be changed */
    other[1] = 18;
    t = (struct tcp_spec){ .seq = P + 1, .ack = C + 1, .flags = ACK,
                           .opts = other, .nopts = 20 };
    frame_tcp(&f, &t);
    ok(rig_p(&r, &f) == 0 && rig_wants(&r) == COMPARE_OPTIONS,
       "rule_B5: a signed segment waits for a checkpoint");
    rig_stop(&r);
}

static void test_rule_B5_constant(void)
{
    /* The primary's SYN lay before the cut: one SYN is not both. */
    rig_start(&r, NULL);
    p(0, 1, SYN | ACK, "");
    rig_cut(&r);
    rig_commit(&r);
    s(0, 1, SYN | ACK, "");
    s(1, 1, ACK, "abc");
    p(1, 1, ACK, "abc");
    ok(r.n == 1, "rule_B5: a difference counts only if both SYNs were seen");
    rig_wait(&r, 200 * MS);
    ok(rig_wants(&r) != COMPARE_OK, "rule_B5: a checkpoint is wanted");
    rig_stop(&r);
}

static void test_isn(void)
{
    struct compare_isn isn;

    rig_start(&r, NULL);
    p(0, 1, SYN | ACK, "");
    p(0, 1, SYN | ACK, "");
    ok(compare_next_isn(r.c, &isn) && isn.isn == P && isn.key.sport == 80 &&
           isn.has_ts && isn.tsval == 7 && !compare_next_isn(r.c, &isn),
       "a first number is told, once");
    s(0, 1, SYN | ACK, "");
    ok(r.n == 2, "a repeated SYN leaves with the first");
    frame_tcp(&f, &(struct tcp_spec){ .seq = P, .ack = C + 1, .win = 1000,
                                      .flags = SYN | ACK });
    ok(rig_p(&r, &f) == 2, "but not if it offers something else by now");
    frame_tcp(&f, &(struct tcp_spec){ .seq = S, .ack = C + 1, .win = 1000,
                                      .flags = SYN | ACK });
    ok(rig_s(&r, &f) == 3, "until the secondary offers it too");
    for (unsigned int i = 1; i <= 1100; i++)
        rig_p(&r, seg(P + i * 1000, 1, SYN, "", 0));
    ok(compare_next_isn(r.c, &isn) && isn.isn == P + 77000 &&
           rig_stats(&r).isn_lost == 76, "if nobody asks, the oldest is lost");
    rig_cut(&r);
    ok(!compare_next_isn(r.c, &isn), "a cut takes back what was not told");
    rig_stop(&r);
}

int main(void)
{
    test_moved();
    test_stream();
    test_overtake();
    test_gso();
    test_ends();
    test_reuse();
    test_cut();
    test_rule_B5_acks();
    test_rule_B5_scale();
    test_rule_B5_options();
    test_rule_B5_constant();
    test_isn();
    return done_testing();
}
