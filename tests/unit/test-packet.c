/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-packet.c - What is inside a frame, and its checksums */
#include <config.h>

#include <string.h>

#include "cleanup.h"
#include "frames.h"
#include "tap.h"

static struct frame f;
static struct packet pk;

static void parse(void)
{
    packet_parse(&pk, f.b, f.len, &f.vnet);
}

static bool is(int kind, uint32_t l3, uint32_t l4, uint32_t payload,
               uint32_t end)
{
    return pk.kind == kind && pk.l3 == l3 && pk.l4 == l4 &&
           pk.payload == payload && pk.end == end;
}

/* Cut @f after each octet: no read beyond, and RAW whenever it is short. */
static bool cut_everywhere(int kind)
{
    size_t whole = f.len, end = pk.end;

    for (size_t n = 0; n <= whole; n++) {
        CLEANUP_FREE uint8_t *b = malloc(n ? n : 1);

        memcpy(b, f.b, n);
        packet_parse(&pk, b, n, NULL);
        if (pk.kind != (n < end ? PACKET_RAW : kind) || pk.end > n)
            return false;
    }
    return true;
}

static void test_kinds(void)
{
    static const uint8_t ts[12] = { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2 };
    static const uint8_t echo[12] = { 8, 0, 0, 0, 0x12, 0x34, 0, 1 };
    struct tcp_spec t = { .seq = 7, .ack = 9, .flags = PACKET_ACK, .win = 5,
                          .urg = 3, .opts = ts, .nopts = 12, .data = "abc",
                          .len = 3, .ip.pad = 9 };
    struct udp_spec u = { .data = "abcd", .len = 4, .ip.v6 = true };
    struct ip_spec ip = { .vlan = 5 };
    struct packet_key key, back;

    frame_tcp(&f, &t);
    parse();
    ok(is(PACKET_TCP, 14, 34, 66, 69) && f.len == 78,
       "TCP: padding is not payload");
    ok(pk.seq == 7 && pk.ack == 9 && pk.win == 5 && pk.urg == 3 &&
           pk.flags == PACKET_ACK && !pk.opaque, "TCP: header fields");
    ok(cut_everywhere(PACKET_TCP), "TCP: cut at every octet");
    frame_udp(&f, &u);
    parse();
    ok(is(PACKET_UDP, 14, 54, 62, 66), "UDP over IPv6");
    ok(cut_everywhere(PACKET_UDP), "UDP: cut at every octet");
    frame_icmp(&f, &ip, echo, sizeof(echo));
    parse();
    packet_key(&key, &pk, f.b);
    ok(is(PACKET_ICMP, 18, 38, 46, 50) && pk.vlan[0] == 6 && !pk.vlan[1],
       "ICMP with a VLAN tag");
    ok(key.sport == 0x0800 && key.dport == 0x1234 && key.src[10] == 0xff &&
           key.src[15] == 1 && key.dst[15] == 2, "ICMP echo: key");
    packet_key_reverse(&back, &key);
    ok(back.src[15] == 2 && back.dst[15] == 1 && back.sport == 0x1234,
       "a key the other way round");
    frame_ip(&f, &ip, 47, 0x2000, "12345678", 8);
    parse();
    ok(is(PACKET_FRAG, 18, 38, 38, 46) && pk.more && !pk.frag_off,
       "first fragment");
    frame_ip(&f, &ip, 6, 0x0003, "12345678", 8);
    parse();
    ok(pk.kind == PACKET_FRAG && !pk.more && pk.frag_off == 24,
       "last fragment");
    frame_arp(&f, 1, 1, 2);
    parse();
    ok(is(PACKET_ARP, 14, 14, 14, 42), "ARP");
    ok(cut_everywhere(PACKET_ARP), "ARP: cut at every octet");
}

static void test_ipv6_chain(void)
{
    struct ip_spec ip = { .v6 = true };
    uint8_t body[64] = { 60, 0 };

    /* Hop-by-hop, destination options, then UDP. */
    body[8] = 17;
    packet_put16(body + 20, 12);
    frame_ip(&f, &ip, 0, 0, body, 28);
    parse();
    ok(is(PACKET_UDP, 14, 70, 78, 82), "extension headers are walked");
    ok(cut_everywhere(PACKET_UDP), "extension headers: cut at every octet");
    body[1] = 9;
    frame_ip(&f, &ip, 0, 0, body, 28);
    parse();
    ok(pk.kind == PACKET_IP, "an extension header beyond the end");
    memset(body, 0, sizeof(body));
    for (int i = 0; i < 7; i++)
        body[8 * i] = 60;
    frame_ip(&f, &ip, 60, 0, body, sizeof(body));
    parse();
    ok(pk.kind == PACKET_IP, "a chain without end is given up");
    frame_frag6(&f, &ip, 17, 8 | 1, 77, "12345678", 8);
    parse();
    ok(pk.kind == PACKET_FRAG && pk.more && pk.frag_off == 8 &&
           pk.proto == 17 && pk.frag_id == 77 && pk.l4 == 62,
       "IPv6 fragment");
    memset(body, 0, sizeof(body));
    packet_put16(body + 4, 10);
    frame_frag6(&f, &ip, 17, 0, 77, body, 10);
    parse();
    ok(is(PACKET_UDP, 14, 62, 70, 72), "an atomic fragment is whole");
}

static void test_malformed(void)
{
    static const uint8_t md5[20] = { 19, 18 };
    static const uint8_t bad[4] = { 8, 1, 0, 0 };
    struct tcp_spec t = { .flags = PACKET_ACK, .opts = md5, .nopts = 20 };

    frame_tcp(&f, &t);
    parse();
    ok(pk.kind == PACKET_TCP && pk.opaque, "a signature option is opaque");
    t.opts = bad;
    t.nopts = 4;
    frame_tcp(&f, &t);
    parse();
    ok(pk.kind == PACKET_TCP && pk.opaque, "an option of length 1 is opaque");
    f.b[14 + 20 + 12] = 0x40;
    parse();
    ok(pk.kind == PACKET_IP, "a TCP header of 16 octets is content");
    frame_tcp(&f, &t);
    f.b[14] = 0x44;
    parse();
    ok(pk.kind == PACKET_RAW, "an IP header of 16 octets is raw");
    frame_tcp(&f, &t);
    f.vnet.flags = PACKET_VNET_NEEDS_CSUM;
    f.vnet.csum_start = 33;
    f.vnet.csum_offset = 16;
    parse();
    ok(pk.kind == PACKET_RAW && pk.end == f.len,
       "a vnet header that contradicts the frame makes it raw");
    f.vnet = (struct packet_vnet){ .gso_type = PACKET_GSO_UDP_L4,
                                   .gso_size = 100 };
    parse();
    ok(pk.kind == PACKET_RAW, "UDP segmentation of TCP is raw");
    packet_parse(&pk, f.b, 0, NULL);
    ok(pk.kind == PACKET_RAW && !pk.end, "an empty frame is raw");
}

static unsigned int seed = 20260101;

static unsigned int rnd(unsigned int n)
{
    seed = seed * 1103515245u + 12345u;
    return seed / 65536u % n;
}

static bool stores_right(bool v6, bool partial)
{
    uint8_t opts[12] = { 1, 1, 8, 10 }, data[64], buf[32];
    struct tcp_spec t = { .ip.v6 = v6, .ip.partial = partial, .opts = opts,
                          .nopts = 12, .data = data, .flags = PACKET_ACK };

    for (int i = 0; i < 3000; i++) {
        size_t off, n;

        t.len = rnd(sizeof(data));
        t.seq = rnd(65536) << 16 | rnd(65536);
        for (size_t j = 0; j < sizeof(data); j++)
            data[j] = (uint8_t)rnd(256);
        frame_tcp(&f, &t);
        parse();
        /* Anywhere after the checksum, odd or even. */
        off = pk.l4 + 18u + rnd(pk.end - pk.l4 - 18);
        n = rnd((unsigned int)(pk.end - off) + 1);
        if (n > sizeof(buf)) n = sizeof(buf);
        for (size_t j = 0; j < n; j++)
            buf[j] = rnd(3) ? (uint8_t)rnd(256) : rnd(2) ? 0xff : 0;
        packet_store(&pk, f.b, off, buf, n);
        packet_store32(&pk, f.b, pk.l4 + 8u, rnd(65536) << 16);
        packet_store16(&pk, f.b, pk.l4 + 14u, (uint16_t)rnd(65536));
        if (memcmp(f.b + off, buf, n) || !frame_csum_ok(f.b, f.len, &f.vnet))
            return false;
        if (!partial &&
            packet_l4_csum(&pk, f.b) != packet_get16(f.b + pk.l4 + 16))
            return false;
    }
    return true;
}

static void test_checksums(void)
{
    uint8_t data[5] = { 0 };
    struct udp_spec u = { .data = data, .len = 5 };
    bool right = true;

    ok(stores_right(false, false), "stores keep the checksum, IPv4");
    ok(stores_right(true, false), "stores keep the checksum, IPv6");
    ok(stores_right(false, true), "stores leave a partial checksum alone");
    u.no_csum = true;
    frame_udp(&f, &u);
    parse();
    packet_store16(&pk, f.b, pk.payload, 0xabcd);
    ok(!packet_get16(f.b + pk.l4 + 6), "no UDP checksum stays none");
    u.no_csum = false;
    for (unsigned int v = 0; v < 65536; v++) {
        frame_udp(&f, &u);
        parse();
        packet_store16(&pk, f.b, pk.payload + 1, (uint16_t)v);
        if (!packet_get16(f.b + pk.l4 + 6) ||
            packet_l4_csum(&pk, f.b) != packet_get16(f.b + pk.l4 + 6))
            right = false;
    }
    ok(right, "a UDP checksum never becomes zero");
    f.b[pk.l4 + 6] ^= 0x40;
    packet_store16(&pk, f.b, pk.payload, 0x1234);
    ok(!frame_csum_ok(f.b, f.len, &f.vnet), "a wrong checksum stays wrong");
}

static void test_options(void)
{
    static const uint8_t syn[20] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7,
                                     0, 0, 0, 0, 1, 3, 3, 9 };
    static const uint8_t sack[20] = { 1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2,
                                      0, 0, 0, 3, 0, 0, 0, 4 };
    struct tcp_spec t = { .flags = PACKET_SYN, .opts = syn, .nopts = 20 };
    struct packet_tcp_opts o;

    frame_tcp(&f, &t);
    parse();
    ok(packet_tcp_options(&o, &pk, f.b) && o.has_mss && o.mss == 1460 &&
           o.sack_ok && o.has_ts && o.tsval == 7 && o.has_wscale &&
           o.wscale == 9 && o.ts_off == pk.opts + 6, "options of a SYN");
    t.opts = sack;
    frame_tcp(&f, &t);
    parse();
    ok(packet_tcp_options(&o, &pk, f.b) && o.nsack == 2 &&
           o.sack[1][1] == 4 && o.sack_off == pk.opts + 2, "SACK blocks");
}

int main(void)
{
    test_kinds();
    test_ipv6_chain();
    test_malformed();
    test_checksums();
    test_options();
    return done_testing();
}
