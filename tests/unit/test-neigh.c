/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-neigh.c - Neighbours are learned, and answered for */
#include <config.h>

#include <string.h>

#include "neigh.h"
#include "packet.h"
#include "tap.h"

static struct neigh n;
static uint8_t frame[128], answer[NEIGH_ANSWER_MAX];

static const uint8_t guest_mac[6] = { 0, 0x16, 0x3e, 1, 2, 3 };
static const uint8_t other_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t nobody[6];

/* An ARP frame; @tags octets of VLAN tags. Return: its length. */
static size_t arp(unsigned int op, const uint8_t *mac, unsigned int sender,
                  unsigned int target, unsigned int tags)
{
    static const uint8_t fixed[] = { 8, 6, 0, 1, 8, 0, 6, 4, 0 };
    uint8_t *p = frame;

    memset(frame, 0, sizeof(frame));
    memset(p, 0xff, 6);
    memcpy(p + 6, mac, 6);
    p += 12;
    for (; tags; tags -= 4, p += 4)
        memcpy(p, "\x81\x00\x00\x2a", 4);
    memcpy(p, fixed, sizeof(fixed));
    p[9] = (uint8_t)op;
    memcpy(p + 10, mac, 6);
    memcpy(p + 16, "\x0a\x00\x00", 3);
    p[19] = (uint8_t)sender;
    if (!sender) memset(p + 16, 0, 4);
    memcpy(p + 26, "\x0a\x00\x00", 3);
    p[29] = (uint8_t)target;
    return (size_t)(p + 30 - frame);
}

/* Neighbour discovery, with a right checksum; @opt 0: without a MAC. */
static size_t nd(unsigned int type, const uint8_t *mac, unsigned int sender,
                 unsigned int target, unsigned int opt)
{
    struct packet p;
    size_t len = opt ? 86 : 78;

    memset(frame, 0, sizeof(frame));
    memcpy(frame, "\x33\x33\xff\x00\x00\x01", 6);
    memcpy(frame + 6, mac, 6);
    memcpy(frame + 12, "\x86\xdd\x60", 3);
    frame[19] = (uint8_t)(len - 54);
    frame[20] = PACKET_IP_ICMP6;
    frame[21] = 255;
    if (sender) frame[22] = 0xfe;
    if (sender) frame[23] = 0x80;
    frame[37] = (uint8_t)sender;
    memcpy(frame + 38, "\xff\x02", 2);
    frame[53] = 1;
    frame[54] = (uint8_t)type;
    memcpy(frame + 62, "\xfe\x80", 2);
    frame[77] = (uint8_t)target;
    if (opt) {
        frame[78] = (uint8_t)opt;
        frame[79] = 1;
        memcpy(frame + 80, mac, 6);
    }
    packet_parse(&p, frame, len, NULL);
    packet_put16(frame + 56, packet_l4_csum(&p, frame));
    return len;
}

static size_t ask(size_t len)
{
    memset(answer, 0xa5, sizeof(answer));
    return neigh_answer(&n, frame, len, answer);
}

static void test_arp(void)
{
    size_t len;

    n = (struct neigh){ 0 };
    len = arp(1, guest_mac, 1, 2, 0);
    ok(!ask(len), "rule_C2: who is not known is not answered for");
    neigh_learn(&n, frame, arp(2, other_mac, 2, 1, 0));
    len = ask(arp(1, guest_mac, 1, 2, 0));
    ok(len == 60 && !memcmp(answer, guest_mac, 6) &&
       !memcmp(answer + 6, other_mac, 6) && answer[21] == 2 &&
       !memcmp(answer + 22, other_mac, 6) && answer[31] == 2 &&
       !memcmp(answer + 32, guest_mac, 6) && answer[41] == 1,
       "rule_C2: an ARP request is answered");
    ok(!ask(arp(1, guest_mac, 1, 3, 0)), "not for another");
    ok(!ask(arp(1, guest_mac, 0, 2, 0)), "a probe is not answered");
    neigh_learn(&n, frame, arp(2, other_mac, 1, 1, 0));
    ok(!ask(arp(1, guest_mac, 1, 1, 0)), "nor a gratuitous one");
    ok(!ask(arp(2, guest_mac, 1, 2, 0)), "nor an answer");
    ok(!ask(arp(1, guest_mac, 1, 2, 4)), "another VLAN is another LAN");
    neigh_learn(&n, frame, arp(1, other_mac, 2, 9, 4));
    len = ask(arp(1, guest_mac, 1, 2, 4));
    ok(len == 60 && !memcmp(answer + 12, "\x81\x00\x00\x2a\x08\x06", 6) &&
       answer[25] == 2, "questions teach, too; the tag is kept");
    neigh_learn(&n, frame, arp(2, guest_mac, 2, 1, 0));
    ok(ask(arp(1, guest_mac, 1, 2, 0)) && !memcmp(answer + 6, guest_mac, 6),
       "a new MAC replaces the old one");
    ok(!ask(arp(1, guest_mac, 1, 2, 0) - 1), "a frame that is cut");
    neigh_learn(&n, frame, arp(2, nobody, 7, 1, 0));
    ok(!ask(arp(1, guest_mac, 1, 7, 0)), "no MAC of zeroes");
}

static void test_nd(void)
{
    struct packet p;
    size_t len;

    n = (struct neigh){ 0 };
    neigh_learn(&n, frame, nd(136, other_mac, 2, 2, 2));
    len = ask(nd(135, guest_mac, 1, 2, 1));
    packet_parse(&p, answer, len, NULL);
    ok(len == 86 && p.kind == PACKET_ICMP && answer[54] == 136 &&
       answer[58] == 0x60 && answer[77] == 2 && answer[78] == 2 &&
       !memcmp(answer + 80, other_mac, 6) && answer[37] == 2 &&
       answer[53] == 1, "rule_C2: a neighbour solicitation is answered");
    ok(packet_get16(answer + 56) == packet_l4_csum(&p, answer),
       "with a right checksum");
    ok(!ask(nd(135, guest_mac, 0, 2, 0)), "duplicate detection is not");
    len = nd(136, other_mac, 3, 3, 2);
    frame[56] ^= 1;
    neigh_learn(&n, frame, len);
    ok(!ask(nd(135, guest_mac, 1, 3, 1)), "a wrong checksum teaches nothing");
    len = nd(136, other_mac, 3, 3, 2);
    frame[21] = 64;
    neigh_learn(&n, frame, len);
    ok(!ask(nd(135, guest_mac, 1, 3, 1)), "nor what a router forwarded");
    neigh_learn(&n, frame, nd(135, other_mac, 4, 1, 1));
    ok(ask(nd(135, guest_mac, 1, 4, 1)) == 86, "a solicitation teaches");
    neigh_learn(&n, frame, nd(136, other_mac, 5, 5, 0));
    ok(ask(nd(135, guest_mac, 1, 5, 1)) == 86,
       "an answer without its option, by who sent it");
}

static void test_bound(void)
{
    unsigned int known = 0;

    n = (struct neigh){ 0 };
    for (unsigned int i = 0; i < 20000; i++) {
        size_t len = arp(2, other_mac, i & 0xff, 1, 0);

        frame[30] = (uint8_t)(i >> 8);
        neigh_learn(&n, frame, len);
    }
    for (unsigned int i = 0; i < NEIGH_MAX; i++)
        known += n.at[i].family == 4;
    ok(known > NEIGH_MAX / 2, "a full table: %u", known);
    neigh_learn(&n, frame, arp(2, other_mac, 2, 1, 0));
    ok(ask(arp(1, guest_mac, 1, 2, 0)), "the newest is known");
}

int main(void)
{
    test_arp();
    test_nd();
    test_bound();
    return done_testing();
}
