/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-proxy-secondary.c - The proxy beside the secondary guest */
#include <config.h>

#include <fcntl.h>
#include <time.h>

#include "proxy-net.h"
#include "proxy-secondary.h"

#define UDP PACKET_IP_UDP
#define TCP PACKET_IP_TCP

static struct proxy_secondary *s;
static struct proxy_secondary_status st;
static struct proxy_port port;

static void start(void)
{
    struct proxy_secondary_cfg cfg = {
        .ports = &port, .nports = 1, .rewrite = REWRITE_OPTS_INIT,
    };

    xlc_error_clear(&err);
    port = make_port();
    if (proxy_secondary_start(&s, &cfg, &err) ||
        proxy_secondary_peer(s, make_peer(true), &wirestream_plain, NULL,
                             &err)) {
        ok(false, "start: %s", err.msg);
        exit(done_testing());
    }
}

static void stop(void)
{
    proxy_secondary_stop(s);
    drop_port(&port);
    wirestream_close(&peer);
    s = NULL;
}

static struct proxy_secondary_status *status(void)
{
    proxy_secondary_status(s, &st, &err);
    return &st;
}

static bool say_cut(uint64_t epoch)
{
    const struct wire_msg m = {
        .type = WIRE_CUT, .epoch = epoch, .u.mode = WIRE_MODE_COLO,
    };

    return peer_say(&m) && event(proxy_secondary_event_fd(s)) &&
           status()->told == epoch;
}

/* From epoch 1 on, connected. */
static void go(void)
{
    struct wire_msg m;

    ok(say_cut(1) && !proxy_secondary_cut(s, 1, &err) &&
       !proxy_secondary_connected(s, &err) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_CONNECTED && m.epoch == 1,
       "epoch 1, connected %s", err.msg);
}

static void test_epochs(void)
{
    struct wire_msg m;

    start();
    say_cut(1);
    peer_say_frame(WIRE_INBOUND, UDP, 1, 1);
    ok(hear(guest, 20) < 0, "rule_C1: input waits for its epoch");
    ok(!proxy_secondary_cut(s, 1, &err) && hear(guest, 20) < 0,
       "rule_C1: and until the vif is connected");
    ok(!proxy_secondary_connected(s, &err) && hears(guest, 1) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_CONNECTED && m.epoch == 1,
       "then it goes in, and the peer is told");
    say(guest, UDP, 2);
    ok(peer_hear(&m, PATIENCE_MS) == WIRE_OUTBOUND && m.epoch == 1 &&
       frame_number(&m) == 2 && !m.u.frame.said && !m.u.frame.seq_off,
       "output goes to the peer");
    peer_say_frame(WIRE_INBOUND, UDP, 3, 1);
    peer_say_frame(WIRE_INBOUND, TCP, 4, 1);
    peer_say_frame(WIRE_INBOUND, UDP, 5, 1);
    ok(hears(guest, 3) && hears(guest, 4) && hears(guest, 5), "input");
    ok(say_cut(2), "the peer cuts");
    peer_say_frame(WIRE_INBOUND, UDP, 6, 2);
    ok(hear(guest, 20) < 0, "its new input waits");
    say(guest, UDP, 7);
    ok(peer_hear(&m, PATIENCE_MS) == WIRE_OUTBOUND && m.epoch == 1,
       "rule_A10: this guest still runs from 1");
    ok(!proxy_secondary_cut(s, 2, &err), "cut 2 %s", err.msg);
    ok(hear(guest, 20) < 0, "not connected");
    ok(!proxy_secondary_connected(s, &err) && hears(guest, 4),
       "rule_C1: a TCP segment that it may have lost comes again");
    ok(hears(guest, 6) && hear(guest, 20) < 0,
       "rule_C1: UDP never; then the new input");
    status();
    ok(st.in_again == 1 && st.epoch == 2 && st.in_frames == 6,
       "counted: %u again, %u in all", (unsigned int)st.in_again,
       (unsigned int)st.in_frames);
    ok(proxy_secondary_cut(s, 1, &err) == -EINVAL, "no way back: %s",
       err.msg);
    xlc_error_clear(&err);
    peer_say_frame(WIRE_INBOUND, UDP, 8, 2);
    ok(hears(guest, 8) && !proxy_secondary_cut(s, 2, &err) &&
       status()->epoch == 2 && !st.connected, "rule_A10: put back to the same "
       "epoch again %s", err.msg);
    peer_say_frame(WIRE_INBOUND, UDP, 9, 2);
    ok(hear(guest, 20) < 0 && !proxy_secondary_connected(s, &err) &&
       hears(guest, 9), "its input waits until it is "
       "connected again %s", err.msg);
    xlc_error_clear(&err);
    stop();
}

/*
 * Output until nobody takes any more, however slow the machine: each answer
 * of status() is a turn of the proxy's loop, in which it would have taken
 * some. Return: how much
 */
static uint32_t flood(void)
{
    uint32_t said = 0;

    for (unsigned int still = 0; still < 50; still++) {
        while (say(guest, UDP, said))
            said++, still = 0;
        status();
    }
    return said;
}

/* The peer is slower than the guest: what waits at a cut is thrown away, and
 * never goes out with the tag of the next epoch. */
static void test_stale(void)
{
    uint32_t said, heard = 0;
    struct wire_msg m;
    bool good = true;

    start();
    go();
    said = flood();
    ok(!proxy_secondary_cut(s, 2, &err), "cut");
    status();
    ok(st.out_stale > 0 && st.out_stale + st.out_frames == said,
       "rule_A10: of %u frames %u were thrown away", said,
       (unsigned int)st.out_stale);
    say(guest, UDP, said);
    while (good && heard <= st.out_frames &&
           peer_hear(&m, PATIENCE_MS) == WIRE_OUTBOUND) {
        good = m.epoch == (frame_number(&m) == said ? 2 : 1) &&
               (frame_number(&m) == heard || frame_number(&m) == said);
        heard++;
    }
    ok(good && heard == st.out_frames + 1 && frame_number(&m) == said &&
       !peer_hear(&m, 20), "rule_A10: those that were sent have their own tag");
    stop();
}

/* Input of an epoch that this guest was rolled back beyond is its own. */
static void test_old(void)
{
    start();
    go();
    peer_say_frame(WIRE_INBOUND, UDP, 1, 1);
    ok(hears(guest, 1) && say_cut(2), "cut");
    peer_say_frame(WIRE_INBOUND, UDP, 2, 2);
    peer_say_frame(WIRE_INBOUND, TCP, 3, 2);
    while (status()->waiting < 2 && !err.status)
        ;
    ok(say_cut(3) && !proxy_secondary_cut(s, 3, &err) &&
       status()->in_old == 2, "epoch 2 never ran here");
    peer_say_frame(WIRE_INBOUND, UDP, 4, 3);
    ok(!proxy_secondary_connected(s, &err) && hears(guest, 3) &&
       hears(guest, 4) && hear(guest, 20) < 0,
       "rule_C1: of what it has, TCP again; then the new");
    /* The session was faster than the stream. */
    ok(!proxy_secondary_cut(s, 4, &err), "cut 4 %s", err.msg);
    peer_say_frame(WIRE_INBOUND, UDP, 6, 3);
    peer_say_frame(WIRE_INBOUND, TCP, 7, 3);
    ok(say_cut(4) && status()->in_old == 4, "input of 3 comes late");
    peer_say_frame(WIRE_INBOUND, UDP, 8, 4);
    ok(!proxy_secondary_connected(s, &err) && hears(guest, 7) &&
       hears(guest, 8) && hear(guest, 20) < 0,
       "rule_C1: TCP of it goes in, UDP not, and what follows");
    peer_say_frame(WIRE_INBOUND, UDP, 5, 2);
    ok(event(proxy_secondary_event_fd(s)) && !status()->peer &&
       strstr(st.err.msg, "INBOUND of epoch 2 in 4"),
       "a peer that goes back is left: %s", st.err.msg);
    stop();
}

static void test_neighbours(void)
{
    static const uint8_t request[60] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6,
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1,
        0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    };
    uint8_t buf[10 + sizeof(request)] = { 0 }, reply[60];
    struct wire_msg m = { .type = WIRE_INBOUND, .epoch = 1,
                          .u.frame = { .data = reply, .len = 60 } };

    start();
    go();
    memcpy(buf + 10, request, sizeof(request));
    ok(send(guest, buf, sizeof(buf), 0) > 0 &&
       peer_hear(&m, PATIENCE_MS) == WIRE_OUTBOUND && !m.u.frame.said &&
       hear(guest, 20) < 0, "a question about an unknown one goes to the peer");
    memcpy(reply, request, sizeof(reply));
    memcpy(reply, request + 6, 6);
    memcpy(reply + 6, "\2\0\0\0\0\2", 6);
    reply[21] = 2;
    memcpy(reply + 22, "\2\0\0\0\0\2\12\0\0\2\2\0\0\0\0\1\12\0\0\1", 20);
    m = (struct wire_msg){ .type = WIRE_INBOUND, .epoch = 1,
                           .u.frame = { .data = reply, .len = 60 } };
    peer_say(&m);
    while (status()->in_frames < 1 && !err.status)
        ;
    ok(recv(guest, buf, sizeof(buf), 0) == 70 &&
       !memcmp(buf + 10, reply, 60), "the LAN's answer comes in");
    memset(buf, 0, 10);
    memcpy(buf + 10, request, sizeof(request));
    ok(send(guest, buf, sizeof(buf), 0) > 0 &&
       peer_hear(&m, PATIENCE_MS) == WIRE_OUTBOUND &&
       m.u.frame.said == WIRE_SAID_ANSWERED, "rule_C2: asked again, the "
       "peer is told that it is answered");
    ok(recv(guest, buf, sizeof(buf), 0) == 70 &&
       !memcmp(buf + 10, reply, 42) && status()->answered == 1,
       "rule_C2: with the same answer");
    stop();
}

static void test_failover(void)
{
    uint8_t state[4096];
    size_t len = 0;

    start();
    go();
    peer_say_frame(WIRE_INBOUND, UDP, 1, 1);
    ok(hears(guest, 1), "input from the peer");
    say(lan, UDP, 2);
    ok(hear(guest, 20) < 0, "nothing from the bridge");
    wirestream_close(&peer);
    ok(event(proxy_secondary_event_fd(s)) && !status()->peer,
       "the peer is gone: %s", st.err.msg);
    say(guest, UDP, 3);
    ok(hear(lan, 20) < 0, "undecided: nothing leaves");
    ok(!proxy_secondary_open(s, &err) && hears(lan, 3), "taken over: what "
       "waited leaves first");
    ok(hears(guest, 2), "the bridge is heard");
    say(guest, TCP, 4);
    say(lan, TCP, 5);
    ok(hears(lan, 4) && hears(guest, 5), "both ways");
    ok(event(proxy_secondary_event_fd(s)) && !status()->live && st.open,
       "the rewriter is not needed");
    ok(proxy_secondary_cut(s, 9, &err) == -EBUSY, "final: %s", err.msg);
    xlc_error_clear(&err);
    ok(proxy_secondary_peer(s, 0, &wirestream_plain, NULL, &err) == -EBUSY,
       "no peer any more: %s", err.msg);
    xlc_error_clear(&err);
    ok(!proxy_secondary_export(s, 0, state, sizeof(state), &len, &err) &&
       len && !proxy_secondary_import(s, 0, state, len, &err),
       "the rewriter's state out and in %s", err.msg);
    ok(proxy_secondary_import(s, 0, state, len - 1, &err) < 0 &&
       proxy_secondary_export(s, 1, state, sizeof(state), &len, NULL) ==
       -EINVAL, "not if it is cut: %s", err.msg);
    stop();
}

/* A guest that does not stand still at a cut has not been disconnected. */
static void test_not_still(void)
{
    struct proxy_port endless = { .in_rd = -1, .in_wr = -1, .out_wr = -1 };
    struct proxy_secondary_cfg cfg = {
        .ports = &endless, .nports = 1, .rewrite = REWRITE_OPTS_INIT,
    };

    endless.out_rd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    alarm(60);
    ok(endless.out_rd >= 0 && !proxy_secondary_start(&s, &cfg, &err) &&
       proxy_secondary_cut(s, 1, &err) == -EBUSY && !status()->epoch &&
       st.out_stale > TAPDEV_QUEUE, "rule_A10: no new tag while packets keep "
       "coming: %s", err.msg);
    alarm(0);
    xlc_error_clear(&err);
    proxy_secondary_stop(s);
    close(endless.out_rd);
}

/* The next segment there. */
static bool hears_segment(int fd, uint8_t flags, uint32_t seq, uint32_t ack)
{
    uint8_t buf[sizeof(struct packet_vnet) + PACKET_MAX];
    const uint8_t *f = buf + sizeof(struct packet_vnet);
    struct pollfd w = { .fd = fd, .events = POLLIN };

    if (poll(&w, 1, PATIENCE_MS) != 1 || recv(fd, buf, sizeof(buf), 0) < 64)
        return false;
    if (f[47] != flags || packet_get32(f + 38) != seq ||
        packet_get32(f + 42) != ack)
        printf("# flags %02x, seq %u, ack %u\n", f[47],
               packet_get32(f + 38), packet_get32(f + 42));
    return f[47] == flags && packet_get32(f + 38) == seq &&
           packet_get32(f + 42) == ack;
}

/*
 * The primary's answer to a SYN reached the client, and then the primary died
 * before this side was told of it: the client's ack tells. A connection that
 * begins after that has nothing to do with the primary.
 */
static void test_half_open(void)
{
    uint8_t f[FRAME_LEN];
    struct wire_msg m = { .type = WIRE_INBOUND, .epoch = 1,
                          .u.frame = { .data = f, .len = FRAME_LEN } };

    start();
    go();
    make_segment(f, false, PACKET_SYN, 100, 0);
    peer_say(&m);
    ok(hears_segment(guest, PACKET_SYN, 100, 0), "a connection begins");
    make_segment(f, true, PACKET_SYN | PACKET_ACK, 1000, 101);
    put_tap(guest, f);
    ok(peer_hear(&m, PATIENCE_MS) == WIRE_OUTBOUND, "this guest answers");
    wirestream_close(&peer);
    ok(event(proxy_secondary_event_fd(s)) && !proxy_secondary_open(s, &err),
       "failover %s", err.msg);
    make_segment(f, false, PACKET_ACK, 101, 5001);
    put_tap(lan, f);
    ok(hears_segment(guest, PACKET_ACK, 101, 1001),
       "rule_B4: the client acknowledges what the primary said");
    make_segment(f, true, PACKET_ACK, 1001, 101);
    put_tap(guest, f);
    ok(hears_segment(lan, PACKET_ACK, 5001, 101) && status()->live == 1,
       "and hears this guest in the same numbers");
    make_segment(f, true, PACKET_RST | PACKET_ACK, 1001, 101);
    put_tap(guest, f);
    ok(hears_segment(lan, PACKET_RST | PACKET_ACK, 5001, 101), "a reset");
    stop();
}

/* Before the plane is taken away nothing may be under way. */
static void test_idle(void)
{
    uint32_t said, heard = 0;

    start();
    go();
    ok(proxy_secondary_idle(s, &err) == -EAGAIN, "not before the failover");
    xlc_error_clear(&err);
    proxy_secondary_open(s, &err);
    ok(!proxy_secondary_idle(s, &err), "after it, with nothing to do");
    said = flood();
    ok(proxy_secondary_idle(s, &err) == -EAGAIN,
       "a bridge that takes no more: %u frames wait", said);
    xlc_error_clear(&err);
    while (heard < said && hears(lan, heard))
        heard++;
    ok(heard == said && !proxy_secondary_idle(s, &err),
       "all went there, in order");
    stop();
}

/* Taken over while its vifs are not connected: nobody will say that they
 * are, and what the proxy keeps for that moment must not keep it. */
static void test_idle_again(void)
{
    start();
    go();
    peer_say_frame(WIRE_INBOUND, TCP, 1, 1);
    ok(hears(guest, 1) && say_cut(2) && !proxy_secondary_cut(s, 2, &err) &&
       !proxy_secondary_open(s, &err), "a failover right after a rollback");
    ok(!proxy_secondary_idle(s, &err), "nothing is waited for %s", err.msg);
    stop();
}

/* A stream that is made again: what the old one had brought is no input of
 * this guest any more, and nothing is known of the mode. */
static void test_again(void)
{
    struct wire_msg m = { .type = WIRE_CUT, .epoch = 2,
                          .u.mode = WIRE_MODE_PASSIVE };

    start();
    go();
    peer_say_frame(WIRE_INBOUND, TCP, 1, 1);
    ok(hears(guest, 1) && say_cut(2) && status()->mode == WIRE_MODE_COLO,
       "the old stream");
    peer_say_frame(WIRE_INBOUND, UDP, 2, 2);
    peer_say_frame(WIRE_INBOUND, TCP, 3, 2);
    while (status()->waiting < 2 && !err.status)
        ;
    wirestream_close(&peer);
    ok(event(proxy_secondary_event_fd(s)) && !status()->peer, "breaks");
    ok(!proxy_secondary_peer(s, make_peer(true), &wirestream_plain, NULL,
                             &err) && !status()->waiting && !st.mode &&
       st.told == 2, "rule_A10: its input goes with it, and the mode that it "
       "told of %s", err.msg);
    peer_say(&m);
    ok(event(proxy_secondary_event_fd(s)) &&
       status()->mode == WIRE_MODE_PASSIVE, "until it is told again");
    ok(!proxy_secondary_cut(s, 2, &err) &&
       !proxy_secondary_connected(s, &err) && hear(guest, 50) < 0,
       "rule_B6: and nothing of it is given again %s", err.msg);
    ok(say_cut(3) && !proxy_secondary_cut(s, 3, &err), "the next cut");
    peer_say_frame(WIRE_INBOUND, UDP, 4, 3);
    ok(!proxy_secondary_connected(s, &err) && hears(guest, 4),
       "rule_B6: from it on there is input");
    stop();
}

int main(void)
{
    test_epochs();
    test_stale();
    test_not_still();
    test_half_open();
    test_again();
    test_idle();
    test_idle_again();
    test_old();
    test_neighbours();
    test_failover();
    return done_testing();
}
