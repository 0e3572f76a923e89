/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-proxy-older.c - Connections of before a failover, protected anew
 *
 * RULES B4. Host A failed, B's guest goes on with a client (sequence numbers
 * from NET on) in numbers of its own (from OWN on). B's proxy translates in
 * front of all that is compared; then B fails as well.
 */
#include <config.h>

#include <time.h>

#include "proxy-net.h"
#include "proxy-primary.h"
#include "proxy-secondary.h"

#define UDP PACKET_IP_UDP
#define NET 5000u
#define OWN 1000u
#define CLIENT 100u

static struct proxy_primary *p;
static struct proxy_primary_status st;
static struct proxy_secondary *s;
static struct proxy_port port;
static struct rewrite *older;
static uint8_t f[FRAME_LEN];

static struct rewrite *new_table(void)
{
    const struct rewrite_opts opts = REWRITE_OPTS_INIT;
    struct rewrite *r;

    if (rewrite_new(&r, &opts, &err)) exit(99);
    return r;
}

/* What a failover left: the client's connection. */
static void make_older(void)
{
    uint64_t now = clock_us() * 1000u;
    struct packet_key key;
    struct packet parsed;
    uint32_t off;

    xlc_error_clear(&err);
    older = new_table();
    make_segment(f, false, PACKET_SYN, CLIENT, 0);
    rewrite_in(older, f, sizeof(f), NULL, now);
    make_segment(f, true, PACKET_SYN | PACKET_ACK, OWN, CLIENT + 1);
    packet_parse(&parsed, f, sizeof(f), NULL);
    packet_key(&key, &parsed, f);
    rewrite_isn(older, &key, NET, now);
    rewrite_out(older, f, sizeof(f), NULL, now, &off);
    make_segment(f, false, PACKET_ACK, CLIENT + 1, NET + 1);
    rewrite_in(older, f, sizeof(f), NULL, now);
    rewrite_failover(older, now);
}

static void start(void)
{
    struct proxy_primary_cfg cfg = {
        .ports = &port, .nports = 1, .compare = COMPARE_OPTS_INIT,
    };

    make_older();
    port = make_port();
    cfg.compare.late_ns = UINT64_C(60000000000);
    cfg.older[0] = older;
    if (proxy_primary_start(&p, &cfg, &err)) {
        ok(false, "start: %s", err.msg);
        exit(done_testing());
    }
}

static void stop(void)
{
    proxy_primary_stop(p);
    rewrite_free(older);
    drop_port(&port);
    wirestream_close(&peer);
    p = NULL;
}

static void put(int fd, uint8_t flags, uint32_t seq, uint32_t ack)
{
    make_segment(f, fd == guest, flags, seq, ack);
    put_tap(fd, f);
}

/* Is it this one, with right checksums? */
static bool segment_is(const uint8_t *got, size_t len, uint8_t flags,
                       uint32_t seq, uint32_t ack)
{
    struct packet q;
    bool same;

    packet_parse(&q, got, len, NULL);
    same = q.kind == PACKET_TCP && q.flags == flags && q.seq == seq &&
           q.ack == ack;
    if (!same)
        printf("# heard flags %x, seq %u, ack %u\n", q.flags, q.seq, q.ack);
    return same &&
           packet_get16(got + packet_l4_csum_at(&q)) ==
               packet_l4_csum(&q, got);
}

/* Not another one that came before. */
static bool comes(int fd, uint8_t flags, uint32_t seq, uint32_t ack)
{
    uint8_t buf[sizeof(struct packet_vnet) + PACKET_MAX];
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    ssize_t n;

    if (poll(&pfd, 1, PATIENCE_MS) <= 0) return false;
    n = recv(fd, buf, sizeof(buf), 0);
    return n > (ssize_t)sizeof(struct packet_vnet) &&
           segment_is(buf + sizeof(struct packet_vnet),
                      (size_t)n - sizeof(struct packet_vnet), flags, seq,
                      ack);
}

static bool taken(uint64_t frames)
{
    uint64_t end = clock_ms() + PATIENCE_MS;

    do {
        proxy_primary_status(p, &st, &err);
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
    } while (st.compare.primary < frames && clock_ms() < end);
    return st.compare.primary == frames;
}

static void test_passive(void)
{
    start();
    put(lan, PACKET_ACK, CLIENT + 1, NET + 1);
    ok(comes(guest, PACKET_ACK, CLIENT + 1, OWN + 1),
       "rule_B4: the guest is told in its own numbers");
    put(guest, PACKET_ACK, OWN + 1, CLIENT + 1);
    ok(taken(1) && st.live == 1 && hear(lan, 20) < 0, "what it says is held");
    ok(!proxy_primary_cut(p, 1, &err) && !proxy_primary_commit(p, 1, &err) &&
       comes(lan, PACKET_ACK, NET + 1, CLIENT + 1),
       "rule_B4: and leaves in the network's %s", err.msg);
    put(lan, PACKET_SYN, 7, 0);
    ok(comes(guest, PACKET_SYN, 7, 0), "a new connection is nobody's");
    say(lan, UDP, 8);
    ok(hears(guest, 8), "nor is anything else");
    stop();
}

static void test_colo(void)
{
    const struct wire_msg connected = { .type = WIRE_CONNECTED, .epoch = 1 };
    struct wire_msg m = { .type = WIRE_OUTBOUND, .epoch = 1,
                          .u.frame = { .data = f, .len = FRAME_LEN } };

    start();
    ok(!proxy_primary_peer(p, make_peer(false), &wirestream_plain, NULL,
                           &err) &&
       !proxy_primary_mode(p, COMPARE_COLO, &err) &&
       !proxy_primary_cut(p, 1, &err) && !proxy_primary_commit(p, 1, &err) &&
       peer_say(&connected), "COLO %s", err.msg);
    put(lan, PACKET_ACK, CLIENT + 1, NET + 1);
    ok(comes(guest, PACKET_ACK, CLIENT + 1, OWN + 1), "in");
    while (peer_hear(&m, PATIENCE_MS) && m.type != WIRE_INBOUND)
        ;
    ok(m.type == WIRE_INBOUND &&
       segment_is(m.u.frame.data, m.u.frame.len, PACKET_ACK, CLIENT + 1,
                  OWN + 1),
       "rule_B4: the copy is told in the guest's numbers, too");
    put(guest, PACKET_ACK, OWN + 1, CLIENT + 1);
    ok(taken(1) && hear(lan, 20) < 0, "held");
    m = (struct wire_msg){ .type = WIRE_OUTBOUND, .epoch = 1,
                           .u.frame = { .data = f, .len = FRAME_LEN } };
    make_segment(f, true, PACKET_ACK, OWN + 1, CLIENT + 1);
    peer_say(&m);
    ok(comes(lan, PACKET_ACK, NET + 1, CLIENT + 1),
       "rule_B4: compared in those, and let go in the network's");
    stop();
}

/* Who has to wait for room is not translated once more. */
static bool once(int from, int to, uint32_t seq, uint32_t ack, uint32_t seq2,
                 uint32_t ack2)
{
    uint32_t said = 0, heard = 0;

    /* Until neither the end nor the way to it takes more. */
    for (unsigned int still = 0; still < 50 && said < 100000; still++) {
        while (said < 100000 && say(from, UDP, said))
            said++, still = 0;
        proxy_primary_status(p, &st, &err);
    }
    /* Now the segment has no room even to be read; it gets in as the others
     * get out. */
    make_segment(f, from == guest, PACKET_ACK, seq, ack);
    while (!put_tap(from, f))
        heard += hears(to, heard);
    while (heard < said)
        if (!hears(to, heard++)) return false;
    return comes(to, PACKET_ACK, seq2, ack2);
}

static void test_once(void)
{
    start();
    proxy_primary_open(p, &err);
    ok(once(guest, lan, OWN + 1, CLIENT + 1, NET + 1, CLIENT + 1),
       "rule_B4: nothing that waits is translated twice, out");
    ok(once(lan, guest, CLIENT + 1, NET + 1, CLIENT + 1, OWN + 1), "and in");
    ok(!proxy_primary_idle(p, &err), "idle %s", err.msg);
    stop();
}

/* What travels with a checkpoint. */
static void test_export(void)
{
    uint64_t generation = UINT64_MAX;
    struct rewrite *r = new_table();
    uint8_t *buf = NULL;
    size_t len = 0;

    start();
    ok(!proxy_primary_older(p, 0, &generation, &buf, &len, &err) && buf &&
       !rewrite_import(r, buf, len, clock_us() * 1000u, &err) &&
       rewrite_live(r) == 1, "the table as octets %s", err.msg);
    free(buf);
    buf = NULL;
    put(lan, PACKET_ACK, CLIENT + 1, NET + 1);
    comes(guest, PACKET_ACK, CLIENT + 1, OWN + 1);
    ok(!proxy_primary_older(p, 0, &generation, &buf, &len, &err) && !buf,
       "not once more while it says the same");
    put(lan, PACKET_ACK | PACKET_FIN, CLIENT + 1, NET + 1);
    comes(guest, PACKET_ACK | PACKET_FIN, CLIENT + 1, OWN + 1);
    ok(!proxy_primary_older(p, 0, &generation, &buf, &len, &err) && buf,
       "but when it says something new");
    free(buf);
    buf = NULL;
    ok(!proxy_primary_older(p, 1, &generation, &buf, &len, &err) && !buf,
       "a vif without one has none");
    stop();
    rewrite_free(r);
}

/* The second failover: the copy goes on, whose own offset is 0. */
static void test_second(void)
{
    struct proxy_secondary_cfg cfg = {
        .ports = &port, .nports = 1, .rewrite = REWRITE_OPTS_INIT,
    };

    make_older();
    port = make_port();
    if (proxy_secondary_start(&s, &cfg, &err) ||
        proxy_secondary_peer(s, make_peer(true), &wirestream_plain, NULL,
                             &err) ||
        proxy_secondary_cut(s, 1, &err) ||
        proxy_secondary_connected(s, &err))
        exit(99);
    ok(proxy_secondary_older(s, 1, older, &err) == -EINVAL,
       "not of a vif that is not there: %s", err.msg);
    xlc_error_clear(&err);
    ok(!proxy_secondary_older(s, 0, older, &err), "a table came %s",
       err.msg);
    /* With the next checkpoint a newer one. */
    make_older();
    ok(!proxy_secondary_older(s, 0, older, &err), "and another one %s",
       err.msg);
    ok(!proxy_secondary_open(s, &err), "the second failover %s", err.msg);
    put(lan, PACKET_ACK, CLIENT + 1, NET + 1);
    ok(comes(guest, PACKET_ACK, CLIENT + 1, OWN + 1),
       "rule_B4: the client's connection goes on,");
    put(guest, PACKET_ACK, OWN + 1, CLIENT + 1);
    ok(comes(lan, PACKET_ACK, NET + 1, CLIENT + 1), "in both directions");
    make_older();
    ok(proxy_secondary_older(s, 0, older, &err) == -EBUSY,
       "afterwards no table comes: %s", err.msg);
    rewrite_free(older);
    proxy_secondary_stop(s);
    drop_port(&port);
    wirestream_close(&peer);
}

int main(void)
{
    test_passive();
    test_colo();
    test_once();
    test_export();
    test_second();
    return done_testing();
}
