/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-compare-edges.c - What is owed or forgotten, and numbers that wrap */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare-rig.h"
#include "tap.h"

/* Sequence numbers of the primary, of the secondary, of the client. */
#define P 1000u
#define S 4000000000u
#define C 70000u

#define SYN PACKET_SYN
#define ACK PACKET_ACK
#define URG PACKET_URG

static const uint8_t syn_opts[4] = { 1, 3, 3, 7 };
static struct rig r;
static struct frame f;

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

static size_t p(uint32_t seq, uint32_t ack, const char *data, uint16_t win)
{
    return rig_p(&r, seg(P + seq, ack, ACK, data, win));
}

/* After a cut: both sides have the same numbers. */
static size_t s(uint32_t seq, uint32_t ack, const char *data, uint16_t win)
{
    return rig_s(&r, seg(P + seq, ack, ACK, data, win));
}

static void checkpoint(void)
{
    rig_cut(&r);
    rig_commit(&r);
    rig_clear(&r);
}

/* A connection from before the cut; the next octet is 1, the scale 7. */
static void inherited(void)
{
    rig_start(&r, NULL);
    rig_p(&r, seg(P, 1, SYN | ACK, "", 1000));
    p(1, 1, "", 1000);
    checkpoint();
}

/* ... on which the primary acknowledged 201, the secondary did not. */
static void owing(void)
{
    inherited();
    if (p(1, 201, "", 1000)) abort();
}

static bool says(size_t i, uint32_t ack, uint16_t win)
{
    struct got *g = &r.got[i];

    return i < r.n && g->pk.ack == C + ack && g->pk.win == win &&
           frame_csum_ok(g->b, g->len, &g->vnet);
}

static void test_windows(void)
{
    inherited();
    s(1, 101, "", 1000);
    ok(p(1, 101, "", 9000) == 1 && says(0, 101, 1000),
       "a window that only the primary widened is lowered");
    rig_wait(&r, 200 * MS);
    ok(rig_wants(&r) == COMPARE_OK,
       "stacks size windows by their own clock: no checkpoint for that");
    ok(s(1, 101, "", 9000) == 2 && says(1, 101, 9000),
       "but the client is told when the secondary widens its own");
    rig_stop(&r);

    inherited();
    s(1, 128001, "", 0);
    ok(p(1, 128001, "", 9000) == 1 && says(0, 128001, 0),
       "a secondary with a full buffer shuts the window");
    rig_wait(&r, 200 * MS);
    ok(rig_wants(&r) == COMPARE_ACK,
       "for which a checkpoint is wanted: the client can't go on");
    rig_stop(&r);

    rig_start(&r, NULL);
    rig_p(&r, seg(P, 0, SYN, "", 1000));
    rig_s(&r, seg(S, 0, SYN, "", 500));
    ok(r.n == 1 && r.got[0].pk.win == 500 &&
           frame_csum_ok(r.got[0].b, r.got[0].len, &r.got[0].vnet),
       "rule_B5: the window of a SYN is lowered too");
    rig_p(&r, seg(P, 0, SYN, "", 1000));
    checkpoint();
    ok(rig_p(&r, seg(P, 0, SYN, "", 1000)) == 1 && r.got[0].pk.win == 1000,
       "rule_B5: behind a cut it is the primary's");
    rig_stop(&r);
}

static void test_forged_syn(void)
{
    struct tcp_spec syn = { .ip.src = 2, .ip.dst = 1, .sport = 40000,
                            .dport = 80, .seq = C + 5, .flags = SYN };

    inherited();
    frame_tcp(&f, &syn);
    compare_inbound(r.c, f.b, f.len, &f.vnet, r.now);
    ok(p(1, 1, "", 2000) == 0 && s(1, 11, "", 1000) == 0 &&
           p(1, 11, "", 2000) == 1 && says(0, 11, 1000),
       "rule_B5: a SYN from outside does not change a scale that is known");
    rig_stop(&r);
}

static void test_owed(void)
{
    owing();
    rig_cut(&r);
    compare_commit(r.c, r.epoch, r.now);
    rig_drain(&r);
    rig_clear(&r);
    ok(p(1, 301, "", 1000) == 0, "an acknowledgement is owed");
    rig_wait(&r, 1999 * MS);
    ok(rig_wants(&r) == COMPARE_OK, "while the vif has its time to connect");
    rig_wait(&r, 1 * MS);
    ok(rig_wants(&r) == COMPARE_UNPLUGGED,
       "rule_C1: if it never does, a checkpoint is wanted for that too");
    rig_stop(&r);

    owing();
    compare_set_mode(r.c, COMPARE_PASSIVE);
    rig_cut(&r);
    ok(rig_commit(&r) == 1 && says(0, 201, 1000),
       "rule_B6: what is owed survives the switch to passive mode");
    rig_stop(&r);

    owing();
    rig_cut(&r);
    rig_cut(&r);
    ok(!compare_commit(r.c, r.epoch - 1, r.now) && rig_drain(&r) == 1 &&
           says(0, 201, 1000),
       "rule_A4: a commit says what was owed before its cut, though another "
       "cut waits");
    rig_stop(&r);

    owing();
    compare_open(r.c, r.now);
    ok(rig_drain(&r) == 1 && says(0, 201, 1000),
       "open: what was owed is said");
    rig_stop(&r);

    /* No scale: nobody saw the SYNs. */
    rig_start(&r, NULL);
    s(1, 1, "x", 4);
    p(1, 1, "x", 6);
    p(2, 1, "yy", 5);
    rig_cut(&r);
    ok(rig_commit(&r) == 2 && says(0, 1, 4) && says(1, 1, 5),
       "a committed frame says more than what was owed before it");
    rig_wait(&r, 200 * MS);
    ok(rig_wants(&r) == COMPARE_OK, "rule_C1: and wants no other checkpoint");
    rig_stop(&r);
}

static void test_wrap(void)
{
    inherited();
    compare_open(r.c, r.now);
    p(1, 0x60000000, "", 1000);
    p(1, 0xc0000000, "", 1000);
    checkpoint();
    p(1, 0xc0000064, "", 1000);
    ok(s(1, 0xc0000064, "", 1000) == 1 && says(0, 0xc0000064, 1000),
       "what passes while open is remembered as said");
    rig_stop(&r);

    inherited();
    rig_p(&r, seg(P + 1, 1, ACK | URG, "u", 1000));
    for (uint32_t at = 0x30000000; at <= 0x90000000; at += 0x30000000) {
        checkpoint();
        p(at, 1, "x", 1000);
    }
    checkpoint();
    p(0x90000001, 1, "y", 1000);
    ok(s(0x90000001, 1, "y", 1000) == 1 && rig_wants(&r) == COMPARE_OK,
       "an urgent octet 2 GiB ago is not taken for a coming one");
    rig_stop(&r);
}

static void test_generations(void)
{
    inherited();
    p(1, 1, "abc", 1000);
    s(1, 1, "abc", 1000);
    p(4, 1, "not said", 1000);
    for (uint32_t i = 256; i; i--)
        rig_p(&r, seg(P - 100 * i, 1, SYN | ACK, "", 1000));
    ok(p(1, 1, "XYZ", 1000) == 1,
       "of 256 connections later, octets are not taken for a "
       "retransmission");
    rig_stop(&r);
}

/* All is compared while a commit is awaited, and only once. */
static void test_uncommitted(void)
{
    inherited();
    rig_cut(&r);
    p(1, 1, "abcd", 1000);
    p(5, 1, "", 1000);
    p(5, 1, "efgh", 1000);
    s(1, 1, "abcdef", 1000);
    p(1, 1, "abcd", 1000);
    p(9, 1, "ijkl", 1000);
    p(5, 1, "efgh", 1000);
    s(7, 1, "ghi", 1000);
    ok(r.n == 0 && rig_commit(&r) == 4,
       "what was compared before the commit leaves with it");
    s(10, 1, "jkl", 1000);
    ok(r.n == 6 && rig_wants(&r) == COMPARE_OK,
       "and what was not, when it was");
    p(13, 1, "mn", 1000);
    ok(s(13, 1, "mX", 1000) == 6 && rig_wants(&r) == COMPARE_PAYLOAD,
       "to the first octet that differs");
    rig_stop(&r);
}

static size_t udp(uint16_t port, bool both)
{
    struct udp_spec u = { .dport = port, .data = "x", .len = 1 };

    frame_udp(&f, &u);
    rig_p(&r, &f);
    return both ? rig_s(&r, &f) : r.n;
}

static void test_full_table(void)
{
    struct compare_opts o = COMPARE_OPTS_INIT;

    o.flows = 8;
    rig_start(&r, &o);
    for (uint16_t i = 1; i <= 8; i++)
        udp(i, true);
    ok(udp(9, false) == 8 && rig_wants(&r) == COMPARE_FULL,
       "a full table wants a checkpoint");
    checkpoint();
    ok(udp(10, true) == 1 && udp(11, true) == 2 &&
           rig_wants(&r) == COMPARE_OK,
       "rule_C1: and not one more for each new flow");
    rig_stop(&r);
}

int main(void)
{
    test_windows();
    test_forged_syn();
    test_owed();
    test_wrap();
    test_generations();
    test_uncommitted();
    test_full_table();
    return done_testing();
}
