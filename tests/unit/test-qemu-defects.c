/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-qemu-defects.c - What QEMU's colo-compare gets wrong, done right
 *
 * Each test is one defect that was measured in QEMU 7.2 and 10.0, by the
 * mechanism it comes from:
 *
 *   class     which frames are compared at all, and by which length
 *   bounds    what happens when a table or a queue is full
 *   dgram     the comparison of UDP, ICMP and the rest
 *   verdict   late packets, requests, the order of what is let out
 *   input     frames that no guest should send
 *
 * TCP has test-qemu-defects-tcp.c, the rewriter test-qemu-defects-rewrite.c.
 * Those of the sockets around it (half a frame at a disconnect, output before
 * the peer listens) belong to the proxy.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>

#include "defect.h"

/* Held until the secondary says it, and a change in @byte is found. */
static bool held_and_compared(struct frame_spec *s, uint8_t *byte)
{
    WANT(pvm(s) == 0);
    WANT(svm(s) == 1 && unwanted());
    WANT(pvm(s) == 1);
    *byte ^= 1;
    svm(s);
    rig_wait(&rig, RIG_LATE_MS + 1);
    *byte ^= 1;
    WANT(take() == 1 && !unwanted());
    rig_checkpoint(&rig);
    WANT(take() == 2 && in_order());
    return true;
}

/* ---- class ---------------------------------------------------------------*/

static bool class_v6(void)
{
    struct frame_spec s = base(PROTO_UDP, 100);

    s.v6 = true;
    s.ext = 1;
    return held_and_compared(&s, &bytes[5]);
}

static bool class_vlan(void)
{
    struct frame_spec s = base(PROTO_UDP, 100);

    s.vlan = 5;
    return held_and_compared(&s, &bytes[5]);
}

static bool class_arp(void)
{
    static uint8_t body[28] = {
        0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 10, 0, 0, 1,
        2, 0, 0, 0, 0, 1, 10, 0, 0, 2,
    };
    struct frame_spec s = {
        .ethertype = 0x0806, .data = body, .len = 28, .pad = 18,
    };

    return held_and_compared(&s, &body[20]);
}

/* Frames as octets, of both sides, with the same MACs: nothing of them can
 * be told apart but the whole. */
static bool raw_pair(const uint8_t *frame, size_t len)
{
    unsigned int before = out.n;

    WANT(!rig_primary(&rig, frame, len, false));
    WANT(take() == before);
    WANT(!rig_secondary(&rig, frame, len, false));
    WANT(take() == before + 1 && unwanted());
    return true;
}

static bool class_header_beyond_frame(void)
{
    struct frame_spec s = tcp(0, 0, 0);
    uint8_t frame[128];
    size_t len = frame_build(&s, frame);

    frame[ETH_LEN] = 0x4f;
    return raw_pair(frame, len);
}

static bool class_runts(void)
{
    struct frame_spec s = tcp(0, 0, 0);
    uint8_t frame[128];

    frame_build(&s, frame);
    for (size_t len = 1; len < ETH_LEN + 40; len++)
        if (!raw_pair(frame, len)) return false;
    return true;
}

static bool class_no_room_for_ports(void)
{
    struct frame_spec s = tcp(0, 2, 0);
    uint8_t frame[128];
    size_t len;

    s.raw = true;
    len = frame_build(&s, frame);
    return raw_pair(frame, len);
}

static bool class_tcp_padding(void)
{
    struct frame_spec p = tcp(0, 3, 0), s = tcp(0, 3, 0);

    p.pad = 3;
    p.pad_byte = 0x55;
    WANT(pvm(&p) == 0);
    WANT(svm(&s) == 1);
    p = s = tcp(3, 100, 0);
    WANT(pvm(&p) == 1);
    WANT(svm(&s) == 2 && unwanted());
    return true;
}

static bool class_udp_padding(void)
{
    struct frame_spec s = base(PROTO_UDP, 3);

    s.pad = 15;
    WANT(pvm(&s) == 0);
    s.pad = 0;
    WANT(svm(&s) == 1 && unwanted());
    return true;
}

/* A later fragment's content is not a transport header. */
static bool class_fragments(void)
{
    struct frame_spec first = tcp(0, 800, 0), next = tcp(800, 600, 0);

    first.raw = next.raw = true;
    first.frag = 0x2000;
    next.frag = 100;
    WANT(pvm(&first) == 0 && pvm(&next) == 0);
    WANT(svm(&first) == 1);
    bytes[1399] ^= 1;
    svm(&next);
    bytes[1399] ^= 1;
    WANT(take() == 1 && wanted(COMPARE_PAYLOAD));
    return true;
}

static bool class_one_fragments(void)
{
    struct frame_spec s = tcp(0, 800, 0), whole = base(PROTO_UDP, 1392);

    s.proto = PROTO_UDP;
    s.raw = true;
    s.frag = 0x2000;
    WANT(pvm(&s) == 0);
    svm(&whole);
    rig_wait(&rig, RIG_LATE_MS + 1);
    WANT(take() == 0 && !unwanted());
    return true;
}

/* ---- bounds --------------------------------------------------------------*/

static bool bounds_many_flows(void)
{
    struct frame_spec s = base(PROTO_UDP, 20);

    for (unsigned int i = 0; i < 20000; i++) {
        s.dst = 0x0b000000 + i;
        WANT(pvm(&s) == 0);
    }
    rig_checkpoint(&rig);
    WANT(take() == 20000 && in_order());
    return true;
}

/* Says @n frames of the primary's, each of a flow of its own if @flows, until
 * one is refused. Return: whether none was lost. */
static bool fill_up(unsigned int n, bool flows)
{
    struct frame_spec s = base(PROTO_UDP, 20);
    unsigned int taken;

    for (taken = 0; taken < n && !compare_full(rig.engine); taken++) {
        if (flows) s.dst = 0x0b000000 + taken;
        if (give(true, &s)) break;
    }
    WANT(taken > 0 && taken < n);
    WANT(compare_full(rig.engine) && wanted(COMPARE_FULL));
    WANT(take() == 0);
    rig_checkpoint(&rig);
    WANT(take() == taken && in_order());
    WANT(!compare_full(rig.engine));
    WANT(pvm(&s) == taken);
    return true;
}

static bool bounds_flow_table(void)
{
    struct compare_opts o = rig_opts();

    rig_close(&rig);
    o.flows = 64;
    rig_open(&rig, &o);
    return fill_up(1000, true);
}

static bool bounds_queue(void)
{
    struct compare_opts o = rig_opts();

    rig_close(&rig);
    o.packets = 64;
    rig_open(&rig, &o);
    return fill_up(1000, false);
}

static bool bounds_one_flow(void)
{
    struct frame_spec s = base(PROTO_UDP, 20);

    for (unsigned int i = 0; i < 3000; i++) WANT(pvm(&s) == 0);
    for (unsigned int i = 0; i < 3000; i++) WANT(svm(&s) == i + 1);
    WANT(in_order() && unwanted());
    return true;
}

/* ---- dgram ---------------------------------------------------------------*/

static bool dgram_checksum(void)
{
    struct frame_spec s = base(PROTO_UDP, 100);

    s.partial = true;
    WANT(pvm(&s) == 0);
    s.partial = false;
    WANT(svm(&s) == 1 && unwanted());
    return true;
}

static bool dgram_other_proto(void)
{
    struct frame_spec s = base(132, 100);

    s.ttl = 64;
    WANT(pvm(&s) == 0);
    s.ttl = 63;
    WANT(svm(&s) == 1 && unwanted());
    WANT(pvm(&s) == 1);
    bytes[99] ^= 1;
    svm(&s);
    bytes[99] ^= 1;
    WANT(take() == 1 && !unwanted());
    return true;
}

/* Fills @s's data so that no two are alike. */
static void number(unsigned int i)
{
    bytes[0] = (uint8_t)i;
    bytes[1] = (uint8_t)(i >> 8);
}

static bool dgram_burst(void)
{
    struct frame_spec s = base(PROTO_UDP, 100);

    for (unsigned int i = 0; i < 1000; i++) {
        number(i);
        WANT(pvm(&s) == 0);
    }
    for (unsigned int i = 0; i < 1000; i++) {
        number(i);
        WANT(svm(&s) == i + 1);
    }
    WANT(unwanted() && in_order());
    return true;
}

static bool dgram_flush_order(void)
{
    struct frame_spec s = base(PROTO_UDP, 100);

    for (unsigned int i = 0; i < 1000; i++) {
        number(i);
        WANT(pvm(&s) == 0);
    }
    rig_checkpoint(&rig);
    WANT(take() == 1000 && in_order());
    return true;
}

/* ---- verdict -------------------------------------------------------------*/

static bool verdict_late(void)
{
    struct frame_spec s = base(PROTO_UDP, 100);

    WANT(pvm(&s) == 0);
    rig_wait(&rig, RIG_LATE_MS - 1);
    WANT(unwanted());
    rig_wait(&rig, 2);
    WANT(wanted(COMPARE_LATE) && requests() == 1);
    rig_wait(&rig, 100 * RIG_LATE_MS);
    WANT(requests() == 1);
    rig_checkpoint(&rig);
    WANT(take() == 1 && unwanted());
    return true;
}

static bool verdict_storm(void)
{
    struct frame_spec s = tcp(0, 100, 0);

    pvm(&s);
    bytes[0] ^= 1;
    svm(&s);
    bytes[0] ^= 1;
    for (uint32_t i = 1; i <= 20; i++) {
        s = tcp(100 * i, 100, 0);
        pvm(&s);
        svm(&s);
    }
    WANT(out.n == 0 && wanted(COMPARE_PAYLOAD) && requests() == 1);
    rig_checkpoint(&rig);
    WANT(take() == 21 && in_order() && unwanted());
    return true;
}

/* Nobody takes what is let out: it is kept, in order, up to the bound. */
static bool verdict_unread(void)
{
    struct frame_spec s = base(PROTO_UDP, 100);
    struct compare_opts o = rig_opts();
    unsigned int n;

    rig_close(&rig);
    o.packets = 256;
    rig_open(&rig, &o);
    for (n = 0; n < 10000 && !compare_full(rig.engine); n++) {
        number(n);
        if (give(true, &s)) break;
        WANT(!give(false, &s));
    }
    WANT(n > 100 && n < 10000);
    WANT(take() == n && in_order());
    WANT(!compare_full(rig.engine));
    return true;
}

/* ---- input ---------------------------------------------------------------*/

static bool input_sizes(void)
{
    static uint8_t frame[PACKET_MAX + 1];
    struct frame_spec s = base(PROTO_UDP, 100);

    WANT(rig_primary(&rig, frame, 0, false) == -EINVAL);
    WANT(rig_secondary(&rig, frame, 0, false) == -EINVAL);
    WANT(rig_primary(&rig, frame, PACKET_MAX + 1, false) == -EMSGSIZE);
    WANT(rig_secondary(&rig, frame, PACKET_MAX + 1, false) == -EMSGSIZE);
    WANT(pvm(&s) == 0);
    WANT(svm(&s) == 1 && unwanted());
    WANT(!rig_primary(&rig, frame, PACKET_MAX, false) && take() == 1);
    WANT(!rig_secondary(&rig, frame, PACKET_MAX, false) && take() == 2);
    return true;
}

static bool input_header_lengths(void)
{
    struct frame_spec s = tcp(0, 30, 0);
    uint8_t frame[128];
    size_t len = frame_build(&s, frame);

    for (unsigned int i = 0; i < 256; i++) {
        rig_close(&rig);
        rig_open(&rig, NULL);
        frame[ETH_LEN] = (uint8_t)(0x40 | (i & 15));
        frame[ETH_LEN + 32] = (uint8_t)(i & 0xf0);
        WANT(!rig_primary(&rig, frame, len, false));
        WANT(take() == i);
        WANT(!rig_secondary(&rig, frame, len, false));
        /* Garbage that looks like TCP may be more than can be compared. */
        WANT(take() == i + 1 || !unwanted());
        rig_checkpoint(&rig);
        WANT(take() == i + 1);
    }
    return true;
}

/* ---- The table -----------------------------------------------------------*/

static const struct defect defects[] = {
    { "class: IPv6 is let out uncompared", class_v6 },
    { "class: frames with a VLAN tag are let out uncompared", class_vlan },
    { "class: ARP is let out uncompared", class_arp },
    { "class: an IP header longer than its frame is let out uncompared",
      class_header_beyond_frame },
    { "class: runts are let out uncompared", class_runts },
    { "class: ports are read beyond the packet", class_no_room_for_ports },
    { "class: Ethernet padding is taken for TCP payload", class_tcp_padding },
    { "class: Ethernet padding is taken for a longer datagram",
      class_udp_padding },
    { "class: a later fragment's content is taken for a header",
      class_fragments },
    { "class: one side's fragments match the other's whole datagram",
      class_one_fragments },
    { "bounds: the 16385th connection destroys what all others hold",
      bounds_many_flows },
    { "bounds: a full connection table loses packets", bounds_flow_table },
    { "bounds: a full queue loses packets without a word", bounds_queue },
    { "bounds: the 1026th packet of a connection is lost", bounds_one_flow },
    { "dgram: a UDP checksum left to the card counts as different",
      dgram_checksum },
    { "dgram: IP id and MACs of other protocols count as different",
      dgram_other_proto },
    { "dgram: a burst asks for a checkpoint and comes out reordered",
      dgram_burst },
    { "dgram: a checkpoint lets out the newest first", dgram_flush_order },
    { "verdict: late packets ask again at every scan", verdict_late },
    { "verdict: each packet after a difference asks again", verdict_storm },
    { "verdict: what nobody reads is lost, or piles up and comes out reversed",
      verdict_unread },
    { "input: frames of no octets, or too many, end all comparison",
      input_sizes },
    { "input: header lengths are not validated", input_header_lengths },
};

int main(void)
{
    return defect_main(defects, sizeof(defects) / sizeof(defects[0]));
}
