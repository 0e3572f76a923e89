/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-qemu-defects-rewrite.c - What QEMU's filter-rewriter gets wrong
 *
 * Each test is one defect that was measured in QEMU 7.2 and 10.0, or read
 * from its source, and does not happen here. The guest is the secondary; its
 * sequence numbers are OFF higher than the primary's.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "rewrite.h"
#include "tap.h"

#define ISN_P 1000u
#define OFF   7000u
#define ISN_S (ISN_P + OFF)
#define ISN_C 500u
#define SEC   UINT64_C(1000000000)

#define WANT(c)                                              \
    do {                                                     \
        if (!(c)) {                                          \
            printf("# line %d: not %s\n", __LINE__, #c);     \
            return false;                                    \
        }                                                    \
    } while (0)

static struct rewrite *rewriter;
static uint64_t now;
static uint8_t frame[4096];
static size_t frame_len;
static struct frame_tcp got;
static uint32_t seq_off;

static struct frame_spec out_spec(uint32_t seq, uint32_t ack, uint8_t flags)
{
    return (struct frame_spec){
        .proto = PROTO_TCP, .src = 0x0a000001, .dst = 0x0a000002, .sport = 80,
        .dport = 4000, .seq = seq, .ack = ack, .flags = flags, .window = 1000,
    };
}

static struct frame_spec in_spec(uint32_t seq, uint32_t ack, uint8_t flags)
{
    struct frame_spec s = out_spec(seq, ack, flags);

    s.src = 0x0a000002;
    s.dst = 0x0a000001;
    s.sport = 4000;
    s.dport = 80;
    return s;
}

/* Frames through the rewriter. Return: whether one came out whole. */
static bool pass(const struct frame_spec *s, bool in)
{
    struct packet_vnet v = {
        .flags = s->partial ? PACKET_VNET_NEEDS_CSUM : 0,
        .csum_start = s->partial ? 34 : 0, .csum_offset = s->partial ? 16 : 0,
    };
    enum rewrite_verdict verdict;

    frame_len = frame_build(s, frame);
    verdict = in ? rewrite_in(rewriter, frame, frame_len, &v, now) :
              rewrite_out(rewriter, frame, frame_len, &v, now, &seq_off);
    if (verdict != REWRITE_PASS && verdict != REWRITE_DONE) return false;
    if (!frame_read_tcp(frame, frame_len, &got)) return true;
    return frame_sums_right(frame, frame_len, s->partial);
}

static bool in(uint32_t seq, uint32_t ack, uint8_t flags)
{
    struct frame_spec s = in_spec(seq, ack, flags);

    return pass(&s, true);
}

static bool out(uint32_t seq, uint32_t ack, uint8_t flags)
{
    struct frame_spec s = out_spec(seq, ack, flags);

    return pass(&s, false);
}

static struct packet_key key_of(const struct frame_spec *s)
{
    uint8_t buf[256];
    size_t len = frame_build(s, buf);
    struct packet_key key;
    struct packet p;

    packet_parse(&p, buf, len, NULL);
    packet_key(&key, &p, buf);
    return key;
}

static void tell(const struct frame_spec *s)
{
    struct packet_key key = key_of(s);

    rewrite_isn(rewriter, &key, ISN_P, now);
}

/* A connection that the remote end opened. */
static bool opened(void)
{
    struct frame_spec s = out_spec(0, 0, 0);

    WANT(in(ISN_C, 0, TH_SYN));
    tell(&s);
    WANT(out(ISN_S, ISN_C + 1, TH_SYN | TH_ACK));
    WANT(in(ISN_C + 1, ISN_P + 1, TH_ACK) && got.ack == ISN_S + 1);
    return true;
}

static bool synack(void)
{
    struct frame_spec s = out_spec(0, 0, 0);

    WANT(in(ISN_C, 0, TH_SYN));
    tell(&s);
    WANT(out(ISN_S, ISN_C + 1, TH_SYN | TH_ACK));
    WANT(got.seq == ISN_P && seq_off == 0u - OFF);
    return true;
}

static bool reset(void)
{
    WANT(opened());
    WANT(out(ISN_S + 1, 0, TH_RST) && got.seq == ISN_P + 1);
    return true;
}

static bool sack(void)
{
    uint8_t opts[12] = { 1, 1, 5, 10 };
    struct frame_spec s = in_spec(ISN_C + 1, ISN_P + 1, TH_ACK);

    WANT(opened());
    packet_put32(opts + 4, ISN_P + 101);
    packet_put32(opts + 8, ISN_P + 201);
    s.opts = opts;
    s.opts_len = sizeof(opts);
    WANT(pass(&s, true));
    WANT(packet_get32(got.opts + 4) == ISN_S + 101);
    WANT(packet_get32(got.opts + 8) == ISN_S + 201);
    return true;
}

static bool timestamps(void)
{
    uint8_t opts[12] = { 1, 1, 8, 10, 0, 0, 0, 100 };
    struct frame_spec s = out_spec(ISN_S + 1, ISN_C + 1, TH_ACK);
    struct packet_key key = key_of(&s);
    uint32_t sent;

    WANT(opened());
    rewrite_tsval(rewriter, &key, 5000, now);
    s.opts = opts;
    s.opts_len = sizeof(opts);
    WANT(pass(&s, false));
    sent = packet_get32(got.opts + 4);
    WANT((int32_t)(sent - 5000) >= 0);
    /* Its echo is the guest's own again. */
    s = in_spec(ISN_C + 1, ISN_P + 1, TH_ACK);
    packet_put32(opts + 4, 9);
    packet_put32(opts + 8, sent);
    s.opts = opts;
    s.opts_len = sizeof(opts);
    WANT(pass(&s, true));
    WANT(packet_get32(got.opts + 8) == 100);
    return true;
}

static bool icmp_error(void)
{
    struct frame_spec inner = out_spec(ISN_P + 1, ISN_C + 1, TH_ACK);
    struct frame_spec s = in_spec(0, 0, 0);
    uint8_t quoted[256];

    WANT(opened());
    s.len = frame_build(&inner, quoted) - ETH_LEN;
    s.proto = PROTO_ICMP;
    s.type = 3;
    s.code = 4;
    s.sport = s.dport = 0;
    s.data = quoted + ETH_LEN;
    WANT(pass(&s, true));
    WANT(frame_sums_right(frame, frame_len, false));
    WANT(packet_get32(frame + ETH_LEN + 20 + 8 + 20 + 4) == ISN_S + 1);
    return true;
}

/* The same connection over IPv6, or with a VLAN tag. */
static bool around(bool v6, uint16_t vlan)
{
    struct frame_spec syn = in_spec(ISN_C, 0, TH_SYN);
    struct frame_spec reply = out_spec(ISN_S, ISN_C + 1, TH_SYN | TH_ACK);
    struct frame_spec ack = in_spec(ISN_C + 1, ISN_P + 1, TH_ACK);

    syn.v6 = reply.v6 = ack.v6 = v6;
    syn.vlan = reply.vlan = ack.vlan = vlan;
    WANT(pass(&syn, true));
    tell(&reply);
    WANT(pass(&reply, false) && got.seq == ISN_P);
    WANT(pass(&ack, true) && got.ack == ISN_S + 1);
    return true;
}

static bool v6(void)
{
    return around(true, 0);
}

static bool vlan(void)
{
    return around(false, 33);
}

static bool guest_opens(void)
{
    struct frame_spec s = out_spec(0, 0, 0);

    WANT(out(ISN_S, 0, TH_SYN));
    tell(&s);
    WANT(in(ISN_C, ISN_P + 1, TH_SYN | TH_ACK) && got.ack == ISN_S + 1);
    WANT(out(ISN_S + 1, ISN_C + 1, TH_ACK) && got.seq == ISN_P + 1);
    return true;
}

static bool early_ack(void)
{
    struct frame_spec s = in_spec(ISN_C + 1, ISN_P + 1, TH_ACK);
    struct frame_spec reply = out_spec(0, 0, 0);
    struct rewrite_held h;

    WANT(in(ISN_C, 0, TH_SYN));
    tell(&reply);
    frame_len = frame_build(&s, frame);
    WANT(rewrite_in(rewriter, frame, frame_len, NULL, now) == REWRITE_HELD);
    WANT(!rewrite_take(rewriter, &h, now));
    WANT(out(ISN_S, ISN_C + 1, TH_SYN | TH_ACK));
    WANT(rewrite_take(rewriter, &h, now));
    WANT(frame_read_tcp(h.frame, h.len, &got) && got.ack == ISN_S + 1);
    WANT(frame_sums_right(h.frame, h.len, false));
    WANT(out(ISN_S + 1, ISN_C + 1, TH_ACK) && got.seq == ISN_P + 1);
    return true;
}

static bool fragment(void)
{
    static uint8_t data[1000];
    struct frame_spec s = out_spec(ISN_S + 1, ISN_C + 1, TH_ACK), first;
    uint8_t whole[2048], want[2048];
    size_t len;

    WANT(opened());
    s.data = data;
    s.len = sizeof(data);
    frame_build(&s, whole);
    s.seq = ISN_P + 1;
    frame_build(&s, want);
    first = s;
    first.raw = true;
    first.frag = 0x2000;
    first.data = whole + ETH_LEN + 20;
    first.len = 800;
    len = frame_build(&first, frame);
    WANT(rewrite_out(rewriter, frame, len, NULL, now, &seq_off) ==
         REWRITE_DONE);
    /* The checksum is that of the whole segment with its new number. */
    WANT(!memcmp(frame + ETH_LEN + 20, want + ETH_LEN + 20, 800));
    return true;
}

static bool partial_checksum(void)
{
    struct frame_spec s = out_spec(ISN_S + 1, ISN_C + 1, TH_ACK);

    WANT(opened());
    s.partial = true;
    s.data = "hello";
    s.len = 5;
    WANT(pass(&s, false) && got.seq == ISN_P + 1);
    return true;
}

/* Long after both ends closed nothing is left of it. */
static bool forgotten(void)
{
    for (unsigned int i = 0; i < 600; i++) {
        now += SEC;
        rewrite_tick(rewriter, now);
    }
    return rewrite_live(rewriter) == 0;
}

static bool passive_close(void)
{
    WANT(opened());
    WANT(rewrite_live(rewriter) == 1);
    WANT(in(ISN_C + 1, ISN_P + 1, TH_FIN | TH_ACK));
    WANT(out(ISN_S + 1, ISN_C + 2, TH_FIN | TH_ACK));
    WANT(in(ISN_C + 2, ISN_P + 2, TH_ACK));
    WANT(forgotten());
    return true;
}

static bool active_close(void)
{
    WANT(opened());
    WANT(out(ISN_S + 1, ISN_C + 1, TH_FIN | TH_ACK));
    WANT(in(ISN_C + 1, ISN_P + 2, TH_FIN | TH_ACK));
    WANT(out(ISN_S + 2, ISN_C + 2, TH_ACK) && got.seq == ISN_P + 2);
    WANT(forgotten());
    return true;
}

static bool flood_of_syns(unsigned int n)
{
    struct frame_spec s = in_spec(ISN_C, 0, TH_SYN);

    for (unsigned int i = 0; i < n; i++) {
        s.src = 0x0b000000 + i;
        WANT(pass(&s, true));
    }
    WANT(out(ISN_S + 1, ISN_C + 1, TH_ACK) && got.seq == ISN_P + 1);
    return true;
}

static bool many_connections(void)
{
    WANT(opened());
    return flood_of_syns(16390);
}

static bool full_table(void)
{
    struct rewrite_opts o = REWRITE_OPTS_INIT;

    rewrite_free(rewriter);
    rewriter = NULL;
    o.flows = 64;
    WANT(!rewrite_new(&rewriter, &o, NULL));
    WANT(opened());
    return flood_of_syns(1000);
}

/* It stays for those that have an offset, and lets all others be. */
static bool failover(void)
{
    struct frame_spec syn = in_spec(ISN_C, 0, TH_SYN), reply;

    WANT(opened());
    rewrite_failover(rewriter, now);
    WANT(rewrite_live(rewriter) == 1);
    WANT(out(ISN_S + 1, ISN_C + 1, TH_ACK) && got.seq == ISN_P + 1);
    syn.src++;
    WANT(pass(&syn, true));
    reply = out_spec(77777, ISN_C + 1, TH_SYN | TH_ACK);
    reply.dst++;
    WANT(pass(&reply, false) && got.seq == 77777);
    WANT(rewrite_live(rewriter) == 1);
    return true;
}

static const struct defect {
    const char *name;
    bool (*test)(void);
} defects[] = {
    { "a SYN/ACK is left as it is", synack },
    { "a RST without an ack is left as it is", reset },
    { "SACK blocks are left as they are", sack },
    { "a survivor's timestamps look older than the primary's", timestamps },
    { "headers inside ICMP errors are left as they are", icmp_error },
    { "IPv6 is left as it is", v6 },
    { "frames with a VLAN tag are left as they are", vlan },
    { "connections that the guest opens are not translated", guest_opens },
    { "an ack before the SYN/ACK spoils the connection for good", early_ack },
    { "a first fragment's checksum is corrupted", fragment },
    { "a checksum left to the card is filled in", partial_checksum },
    { "a connection that the remote end closed is kept for good",
      passive_close },
    { "a connection that the guest closed is kept for good", active_close },
    { "the 16385th connection takes all others' offsets away",
      many_connections },
    { "a full table takes live connections' offsets away", full_table },
    { "after a failover new connections are followed too", failover },
};

int main(void)
{
    for (size_t i = 0; i < sizeof(defects) / sizeof(defects[0]); i++) {
        struct rewrite_opts o = REWRITE_OPTS_INIT;

        now = 1000 * SEC;
        if (rewrite_new(&rewriter, &o, NULL)) abort();
        ok(defects[i].test(), "not here: rewriter: %s", defects[i].name);
        rewrite_free(rewriter);
        rewriter = NULL;
    }
    return done_testing();
}
