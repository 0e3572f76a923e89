/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-compare.c - Datagrams, epochs, lateness and bounds of the engine */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "compare-rig.h"
#include "tap.h"

static struct rig r;
static struct frame fp, fs;

static struct frame *udp(struct frame *f, uint16_t port, const char *data)
{
    struct udp_spec u = { .dport = port, .data = data, .len = strlen(data) };

    /* What must not make a difference does differ. */
    u.ip.id = (uint16_t)(f == &fs ? 7 : 1);
    u.ip.ttl = f == &fs ? 63 : 64;
    u.ip.pad = f == &fs ? 11 : 0;
    u.no_csum = f == &fs;
    frame_udp(f, &u);
    return f;
}

static size_t p(uint16_t port, const char *data)
{
    return rig_p(&r, udp(&fp, port, data));
}

static size_t s(uint16_t port, const char *data)
{
    return rig_s(&r, udp(&fs, port, data));
}

static bool got_udp(size_t i, const char *data)
{
    struct got *g = &r.got[i];

    return i < r.n && g->pk.kind == PACKET_UDP &&
           packet_payload_len(&g->pk) == strlen(data) &&
           !memcmp(g->b + g->pk.payload, data, strlen(data));
}

static void test_datagrams(void)
{
    struct ip_spec ip = { .v6 = true }, ip4 = { 0 };

    rig_start(&r, NULL);
    ok(p(1, "one") == 0, "a datagram waits for the secondary's");
    ok(s(1, "one") == 1 && rig_is(&r, 0, udp(&fp, 1, "one")),
       "it leaves as it came, whatever id, TTL, padding and checksum say");
    ok(s(1, "two") == 1 && s(1, "three") == 1 && p(1, "two") == 2 &&
           p(1, "three") == 3 && got_udp(2, "three"),
       "a secondary that is ahead is no difference");
    p(1, "a");
    p(1, "b");
    p(1, "c");
    ok(s(1, "a") == 4 && s(1, "b") == 5 && s(1, "c") == 6 &&
           got_udp(3, "a") && got_udp(4, "b") && got_udp(5, "c"),
       "a burst leaves in order, with a secondary that lags");
    ok(rig_wants(&r) == COMPARE_OK, "and no checkpoint was wanted");
    p(1, "x");
    p(2, "other");
    ok(s(1, "y") == 6 && rig_wants(&r) == COMPARE_PAYLOAD,
       "different octets: held, and a checkpoint is wanted");
    ok(s(2, "other") == 7 && got_udp(6, "other"), "other flows go on");
    p(1, "z");
    s(1, "z");
    s(1, "x");
    ok(r.n == 7 && rig_stats(&r).wanted[COMPARE_PAYLOAD] == 1,
       "nothing more leaves the flow, and no second request is made");
    rig_cut(&r);
    ok(rig_commit(&r) == 9 && got_udp(7, "x") && got_udp(8, "z") &&
           rig_wants(&r) == COMPARE_OK, "the commit releases them in order");

    rig_clear(&r);
    frame_icmp(&fp, &ip, "\x81\0\0\0\1\2\3\4data", 12);
    frame_icmp(&fs, &ip, "\x81\0\xff\xff\1\2\3\4data", 12);
    rig_p(&r, &fp);
    ok(rig_s(&r, &fs) == 1, "ICMPv6 is compared without its checksum");
    frame_icmp(&fs, &ip, "\x81\0\0\0\1\2\3\4dato", 12);
    rig_p(&r, &fp);
    ok(rig_s(&r, &fs) == 1 && rig_wants(&r) == COMPARE_PAYLOAD,
       "an echo reply with other data differs");
    rig_cut(&r);
    rig_commit(&r);
    rig_clear(&r);
    frame_ip(&fp, &ip4, 132, 0, "sctp", 4);
    frame_ip(&fs, &ip4, 132, 0, "sctp", 4);
    fs.b[18] ^= 1; /* the id, and so the header's checksum */
    rig_p(&r, &fp);
    ok(rig_s(&r, &fs) == 1, "any other protocol is compared by its content");
    rig_stop(&r);
}

static void test_other_frames(void)
{
    struct ip_spec ip = { .id = 5 }, later = { .id = 9 };

    rig_start(&r, NULL);
    frame_arp(&fp, 1, 1, 2);
    fs = fp;
    fs.len = 42;
    ok(rig_p(&r, &fp) == 0, "ARP waits");
    ok(rig_s(&r, &fs) == 1, "ARP is compared without padding");
    memset(fp.b, 0x42, 100);
    fp.len = 100;
    fs = fp;
    ok(rig_p(&r, &fp) == 1, "a frame of no known type waits");
    fs.b[99] ^= 1;
    ok(rig_s(&r, &fs) == 1 && rig_wants(&r) == COMPARE_PAYLOAD,
       "and is compared to its last octet");
    rig_cut(&r);
    ok(rig_commit(&r) == 2, "a commit releases it");
    fp.len = 5;
    fs.len = 5;
    fs.b[4] = fp.b[4];
    rig_p(&r, &fp);
    ok(rig_s(&r, &fs) == 3, "even if it is shorter than Ethernet");
    frame_ip(&fp, &ip, 17, 0x2000, "first one", 9);
    frame_ip(&fs, &later, 17, 0x2000, "first one", 9);
    rig_p(&r, &fp);
    ok(rig_s(&r, &fs) == 4, "fragments are compared in order, without the id");
    frame_ip(&fp, &ip, 17, 0x0001, "rest", 4);
    frame_ip(&fs, &later, 17, 0x0002, "rest", 4);
    rig_p(&r, &fp);
    ok(rig_s(&r, &fs) == 4 && rig_wants(&r) == COMPARE_PAYLOAD,
       "a fragment at another offset differs");
    rig_stop(&r);
}

static void test_rule_A4(void)
{
    rig_start(&r, NULL);
    p(1, "before");
    rig_cut(&r);
    p(1, "after");
    p(2, "after");
    ok(r.n == 0, "rule_A4: a cut releases nothing");
    ok(compare_commit(r.c, 7, r.now) == -ENOENT && r.n == 0,
       "rule_A4: a commit of an unknown epoch does nothing");
    s(2, "after");
    ok(r.n == 0, "rule_A4: nothing behind the cut overtakes the commit, even "
                 "if the secondary sent it too");
    ok(rig_commit(&r) == 2 && got_udp(0, "before") && got_udp(1, "after"),
       "rule_A4: the commit releases what lay before the cut, and nothing "
       "after it that was not compared");
    ok(s(1, "after") == 3, "rule_A4: that is compared as usual");
    rig_clear(&r);

    p(1, "one");
    rig_cut(&r);
    p(1, "two");
    rig_cut(&r);
    p(1, "three");
    ok(!compare_commit(r.c, r.epoch - 1, r.now) && rig_drain(&r) == 1 &&
           got_udp(0, "one"), "rule_A4: of two cuts, the first is committed");
    ok(rig_commit(&r) == 2 && got_udp(1, "two"), "rule_A4: then the second");
    rig_clear(&r);
    p(1, "four");
    rig_cut(&r);
    ok(!compare_abort(r.c, r.epoch, r.now) && rig_drain(&r) == 0 &&
           rig_wants(&r) == COMPARE_ABORTED,
       "rule_A4: an aborted epoch releases nothing, a new one is wanted");
    p(2, "five");
    s(2, "five");
    ok(r.n == 0, "rule_A4: nothing leaves after an abort");
    rig_cut(&r);
    ok(rig_commit(&r) == 3 && got_udp(0, "three") && got_udp(1, "four") &&
           got_udp(2, "five"), "rule_A4: the next commit covers it all");
    ok(compare_cut(r.c, r.epoch, r.now) == -EINVAL,
       "an epoch does not come twice");
    for (unsigned int i = 0; i < COMPARE_CUTS; i++)
        rig_cut(&r);
    ok(compare_cut(r.c, r.epoch + 1, r.now) == -EBUSY,
       "there is a bound on outstanding cuts");
    rig_stop(&r);
}

static void test_rule_A10(void)
{
    rig_start(&r, NULL);
    s(1, "old");
    rig_cut(&r);
    rig_commit(&r);
    ok(rig_stats(&r).waiting_secondary == 0 && p(1, "old") == 0,
       "rule_A10: what the secondary sent before the cut is dropped");
    r.epoch--;
    ok(s(1, "old") == 0 && rig_stats(&r).stale == 1,
       "rule_A10: a frame with the old epoch is counted, not compared");
    r.epoch += 2;
    ok(s(1, "old") == 0 && rig_stats(&r).stale == 2,
       "rule_A10: nor is one with a coming epoch");
    r.epoch--;
    ok(s(1, "old") == 1, "rule_A10: one of this epoch is");
    rig_stop(&r);
}

static void test_rule_B6(void)
{
    rig_start(&r, NULL);
    compare_set_mode(r.c, COMPARE_PASSIVE);
    p(1, "one");
    ok(s(1, "one") == 1 && compare_get_mode(r.c) == COMPARE_COLO,
       "rule_B6: until the cut the old mode compares");
    p(1, "two");
    rig_cut(&r);
    ok(compare_get_mode(r.c) == COMPARE_PASSIVE,
       "rule_B6: the cut switches the mode");
    ok(rig_commit(&r) == 2 && p(1, "three") == 2 && s(1, "three") == 2,
       "rule_B6: then nothing is compared");
    rig_wait(&r, 5000 * MS);
    ok(rig_wants(&r) == COMPARE_OK, "rule_B6: and nothing is late");
    compare_set_mode(r.c, COMPARE_COLO);
    p(1, "four");
    rig_cut(&r);
    p(1, "five");
    ok(rig_commit(&r) == 4 && got_udp(2, "three") && got_udp(3, "four"),
       "rule_B6: switching back loses and reorders nothing");
    ok(s(1, "five") == 5, "rule_B6: and compares from its cut on");
    rig_stop(&r);
}

static void test_rule_C1(void)
{
    rig_start(&r, NULL);
    p(1, "x");
    rig_wait(&r, 199 * MS);
    ok(rig_wants(&r) == COMPARE_OK &&
           compare_deadline(r.c) == UINT64_C(1200) * MS,
       "rule_C1: 199 ms are not late; the deadline is known");
    rig_wait(&r, 1 * MS);
    ok(rig_wants(&r) == COMPARE_LATE, "rule_C1: 200 ms are late");
    rig_wait(&r, 5000 * MS);
    ok(rig_stats(&r).wanted[COMPARE_LATE] == 1,
       "rule_C1: one request, however late");
    rig_cut(&r);
    p(1, "y");
    ok(!compare_commit(r.c, r.epoch, r.now), "commit");
    rig_wait(&r, 300 * MS);
    ok(rig_wants(&r) == COMPARE_OK,
       "rule_C1: nothing is late before the vif is connected");
    compare_svm_connected(r.c, r.now);
    rig_wait(&r, 199 * MS);
    ok(rig_wants(&r) == COMPARE_OK,
       "rule_C1: lateness counts from the vif's connection");
    rig_wait(&r, 1 * MS);
    ok(rig_wants(&r) == COMPARE_LATE, "rule_C1: and then runs out");
    rig_cut(&r);
    p(1, "z");
    compare_commit(r.c, r.epoch, r.now);
    rig_wait(&r, 1999 * MS);
    ok(rig_wants(&r) == COMPARE_OK, "a vif has its time to connect");
    rig_wait(&r, 1 * MS);
    ok(rig_wants(&r) == COMPARE_UNPLUGGED, "but not for ever");
    rig_stop(&r);
}

/* Only the secondary sends @fs. Return: the reason after the late limit */
static enum compare_reason alone(void)
{
    rig_start(&r, NULL);
    rig_s(&r, &fs);
    rig_wait(&r, 200 * MS);
    return rig_wants(&r);
}

static void test_rule_C2(void)
{
    static const uint8_t na[24] = { 136 }, mld[8] = { 143 }, ns[24] = { 135 };
    struct ip_spec v6 = { .v6 = true }, v4 = { 0 };

    frame_arp(&fs, 1, 1, 1);
    ok(alone() == COMPARE_OK && rig_stats(&r).ignored == 1,
       "rule_C2: gratuitous ARP of the secondary alone is ignored");
    rig_stop(&r);
    frame_icmp(&fs, &v6, na, sizeof(na));
    ok(alone() == COMPARE_OK, "rule_C2: so is a neighbour advertisement");
    rig_stop(&r);
    frame_icmp(&fs, &v6, mld, sizeof(mld));
    ok(alone() == COMPARE_OK, "rule_C2: so is MLD");
    rig_stop(&r);
    frame_ip(&fs, &v4, PACKET_IP_IGMP, 0, "\x16\0\0\0\0\0\0\0", 8);
    ok(alone() == COMPARE_OK, "rule_C2: so is IGMP");
    /* It is in the way of nothing. */
    rig_s(&r, &fs);
    frame_ip(&fs, &v4, PACKET_IP_IGMP, 0, "\x17\0\0\0\0\0\0\0", 8);
    rig_p(&r, &fs);
    ok(rig_s(&r, &fs) == 1 && rig_wants(&r) == COMPARE_OK,
       "rule_C2: an ignored frame before the right one is passed over");
    rig_stop(&r);
    frame_icmp(&fs, &v6, ns, sizeof(ns));
    ok(alone() == COMPARE_EXTRA,
       "rule_C2: a neighbour solicitation asks for a checkpoint");
    rig_stop(&r);
    frame_arp(&fs, 1, 1, 2);
    ok(alone() == COMPARE_EXTRA, "rule_C2: so does an ARP request");
    rig_stop(&r);
    udp(&fs, 1, "x");
    ok(alone() == COMPARE_EXTRA, "rule_C2: so does any datagram");
    rig_stop(&r);
    frame_arp(&fs, 1, 1, 2);
    rig_start(&r, NULL);
    r.answered = true;
    rig_s(&r, &fs);
    rig_wait(&r, 200 * MS);
    ok(rig_wants(&r) == COMPARE_OK && rig_stats(&r).ignored == 1,
       "rule_C2: an ARP request that was answered is ignored");
    rig_p(&r, &fs);
    ok(rig_s(&r, &fs) == 1, "rule_C2: and counts if the primary asks too");
    rig_stop(&r);
    frame_arp(&fp, 1, 1, 1);
    rig_start(&r, NULL);
    rig_p(&r, &fp);
    rig_wait(&r, 200 * MS);
    ok(r.n == 0 && rig_wants(&r) == COMPARE_LATE,
       "rule_C2: the primary's own are held and compared like any other");
    rig_stop(&r);
}

static void test_bounds(void)
{
    struct compare_opts o = COMPARE_OPTS_INIT;
    size_t n = 0, size;
    uint8_t *room;
    char data[8];
    int e = 0;

    o.flows = 8;
    o.packets = 64;
    rig_start(&r, &o);
    while (n < 1000) {
        snprintf(data, sizeof(data), "%zu", n);
        udp(&fp, 9, data);
        e = compare_primary(r.c, fp.b, fp.len, &fp.vnet, r.now);
        if (e) break;
        n++;
    }
    ok(e == -ENOBUFS && n == 64 && compare_full(r.c) &&
           rig_wants(&r) == COMPARE_FULL && !compare_room(r.c, &size),
       "at the bound of packets: refused, full, a checkpoint is wanted");
    rig_cut(&r);
    rig_commit(&r);
    ok(r.n == 64 && got_udp(0, "0") && got_udp(63, "63") &&
           !compare_full(r.c), "after the checkpoint all went out, in order");
    rig_clear(&r);
    for (uint16_t i = 1; i <= 12; i++)
        p(i, "flow");
    ok(rig_wants(&r) == COMPARE_FULL && compare_full(r.c),
       "at the bound of flows: full, and a checkpoint is wanted");
    p(10, "again");
    for (uint16_t i = 1; i <= 12; i++)
        s(i, "flow");
    ok(r.n == 8 && rig_stats(&r).flows == 8,
       "flows that are known are compared, others wait for the commit");
    rig_wait(&r, 1500 * MS);
    p(10, "last");
    s(10, "last");
    ok(r.n == 8, "nor do they overtake their own when there is room again");
    rig_cut(&r);
    rig_commit(&r);
    ok(r.n == 14 && got_udp(12, "again") && got_udp(13, "last") &&
           !compare_full(r.c),
       "no frame is lost, and each flow is in order");
    rig_clear(&r);
    rig_wait(&r, 2000 * MS);
    p(99, "new");
    ok(s(99, "new") == 1, "a silent flow makes room for a new one");
    for (int i = 0; i < 100; i++)
        s(99, "ahead");
    ok(rig_stats(&r).dropped > 0 && rig_wants(&r) == COMPARE_FULL &&
           !compare_full(r.c),
       "a secondary that runs away leaves room for the primary");
    room = compare_room(r.c, &size);
    ok(room && size == PACKET_MAX, "there is room to read into");
    udp(&fp, 99, "ahead");
    memcpy(room, fp.b, fp.len);
    ok(!compare_filled(r.c, fp.len, NULL, r.now) && rig_drain(&r) == 2,
       "what was read in place is compared too");
    ok(compare_primary(r.c, fp.b, 0, NULL, r.now) == -EINVAL &&
           compare_primary(r.c, fp.b, PACKET_MAX + 1, NULL, r.now) ==
               -EMSGSIZE && compare_filled(r.c, 0, NULL, r.now) == -EINVAL,
       "frames of no length, or too long, are refused");
    rig_stop(&r);
}

static void test_ageing(void)
{
    struct compare_opts o = COMPARE_OPTS_INIT;

    o.flows = 4096;
    o.idle_ns = 5000 * MS;
    rig_start(&r, &o);
    for (uint16_t i = 1; i <= 2000; i++) {
        p(i, "x");
        s(i, "x");
    }
    p(3000, "waits");
    rig_wait(&r, 4000 * MS);
    ok(rig_stats(&r).flows == 2001, "flows are remembered for a while");
    rig_wait(&r, 1500 * MS);
    rig_wait(&r, 1500 * MS);
    ok(rig_stats(&r).flows == 1 && rig_stats(&r).aged == 2000,
       "then forgotten, but for the one that holds a frame");
    rig_cut(&r);
    ok(rig_commit(&r) == 2001, "which is not lost");
    rig_stop(&r);
}

static void test_rules_and_open(void)
{
    struct compare_rule rules[2] = {
        { .family = 4, .proto = 17, .port = 123, .prefix = 24,
          .addr = { 10, 0, 0 } },
        { .proto = PACKET_IP_ICMP6 },
    };
    struct compare_opts o = COMPARE_OPTS_INIT;
    struct compare *c;

    o.rules = rules;
    o.nrules = 2;
    rig_start(&r, &o);
    p(123, "time");
    s(123, "other");
    rig_wait(&r, 1000 * MS);
    ok(r.n == 0 && rig_wants(&r) == COMPARE_OK && rig_stats(&r).passive == 1,
       "a flow of a rule is held, and never compared or late");
    p(124, "x");
    ok(s(124, "x") == 1, "another port is compared");
    rig_cut(&r);
    ok(rig_commit(&r) == 2 && got_udp(1, "time"), "a commit releases it");
    p(1, "a");
    p(2, "b");
    p(123, "c");
    rig_cut(&r);
    compare_open(r.c, r.now);
    ok(rig_drain(&r) == 5 && got_udp(2, "a") && got_udp(4, "c"),
       "open: all is released, in order");
    ok(p(1, "d") == 6 && s(1, "e") == 6 && rig_wants(&r) == COMPARE_OK,
       "open: frames pass at once");
    rig_cut(&r);
    ok(p(1, "f") == 6, "a cut ends it");
    rig_stop(&r);
    rules[0].prefix = 33;
    ok(compare_new(&c, &o, NULL) == -EINVAL, "a rule with a bad prefix");
    o.nrules = 0;
    o.packets = 0;
    ok(compare_new(&c, &o, NULL) == -EINVAL, "a bound of zero");
}

/* Sent by both, to the host fd00::@dst. */
static size_t both_v6(uint8_t dst, const char *mine, const char *others)
{
    struct udp_spec u = { .ip = { .v6 = true, .dst = dst }, .dport = 9 };

    u.data = mine;
    u.len = strlen(mine);
    frame_udp(&fp, &u);
    rig_p(&r, &fp);
    u.data = others;
    u.len = strlen(others);
    frame_udp(&fs, &u);
    return rig_s(&r, &fs);
}

static void test_v6_prefix(void)
{
    /* fd00::40 to fd00::4f, as the frames' addresses are */
    struct compare_rule rule = {
        .family = 6, .prefix = 124, .addr = { [0] = 0xfd, [15] = 0x40 },
    };
    struct compare_opts o = COMPARE_OPTS_INIT;

    o.rules = &rule;
    o.nrules = 1;
    rig_start(&r, &o);
    ok(both_v6(0x4f, "time", "other") == 0 && rig_wants(&r) == COMPARE_OK &&
           rig_stats(&r).passive == 1,
       "an IPv6 prefix: within it nothing is compared, and it is held");
    ok(both_v6(0x50, "x", "x") == 1, "the next address is compared");
    both_v6(0x3f, "x", "y");
    ok(rig_wants(&r) == COMPARE_PAYLOAD, "and the one before");
    rig_cut(&r);
    ok(rig_commit(&r) == 3, "a commit releases all");
    rig_stop(&r);
}

static void test_late_setting(void)
{
    struct compare_opts o = COMPARE_OPTS_INIT;
    struct compare_want w;

    o.late_ns = 50 * MS;
    rig_start(&r, &o);
    p(1, "first");
    rig_wait(&r, 30 * MS);
    p(2, "later");
    s(1, "first");
    rig_wait(&r, 49 * MS);
    ok(rig_wants(&r) == COMPARE_OK,
       "another limit: each flow's time counts from its own frame");
    rig_wait(&r, 1 * MS);
    ok(compare_wanted(r.c, &w) && w.reason == COMPARE_LATE &&
           w.key.dport == 2, "and runs out when it was set to");
    rig_stop(&r);
}

int main(void)
{
    test_datagrams();
    test_other_frames();
    test_rule_A4();
    test_rule_A10();
    test_rule_B6();
    test_rule_C1();
    test_rule_C2();
    test_bounds();
    test_ageing();
    test_rules_and_open();
    test_v6_prefix();
    test_late_setting();
    return done_testing();
}
