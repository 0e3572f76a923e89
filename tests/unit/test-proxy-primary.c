/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-proxy-primary.c - The proxy beside the primary guest */
#include <config.h>

#include <time.h>

#include "proxy-net.h"
#include "proxy-primary.h"

#define UDP PACKET_IP_UDP

static struct proxy_primary *p;
static struct proxy_primary_status st;
static struct proxy_port port;
static uint64_t stuck_ns = UINT64_C(60000000000);

static void start(const struct compare_opts *opts)
{
    struct proxy_primary_cfg cfg = {
        .ports = &port, .nports = 1, .compare = *opts,
    };

    xlc_error_clear(&err);
    port = make_port();
    cfg.compare.late_ns = UINT64_C(60000000000);
    cfg.stuck_ns = stuck_ns;
    if (proxy_primary_start(&p, &cfg, &err)) {
        ok(false, "start: %s", err.msg);
        exit(done_testing());
    }
}

static void stop(void)
{
    proxy_primary_stop(p);
    drop_port(&port);
    wirestream_close(&peer);
    p = NULL;
}

static const struct compare_opts usual = COMPARE_OPTS_INIT;

static struct proxy_primary_status *status(void)
{
    proxy_primary_status(p, &st, &err);
    return &st;
}

/* Wait until the proxy has read what it was given. */
static bool taken(uint64_t frames)
{
    uint64_t end = clock_ms() + PATIENCE_MS;

    while (status()->compare.primary < frames && clock_ms() < end)
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
    return st.compare.primary == frames;
}

/* A peer in COLO mode from epoch 1 on, whose guest is connected. */
static void go_colo(void)
{
    struct wire_msg m;
    const struct wire_msg connected = { .type = WIRE_CONNECTED, .epoch = 1 };

    ok(!proxy_primary_peer(p, make_peer(false), &wirestream_plain, NULL,
                           &err) &&
       !proxy_primary_mode(p, COMPARE_COLO, &err) &&
       !proxy_primary_cut(p, 1, &err) && !proxy_primary_commit(p, 1, &err) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_CUT && m.epoch == 1 &&
       m.u.mode == WIRE_MODE_COLO && !status()->connected &&
       peer_say(&connected), "COLO from epoch 1 on %s", err.msg);
    ok(event(proxy_primary_event_fd(p)) && status()->connected &&
       st.lag_us && st.lag_us < PATIENCE_MS * 1000u,
       "the other guest is connected, and how soon is known");
}

/*
 * Input until nothing of it moves any more, however slow the machine: each
 * answer of status() is a turn of the proxy's loop, in which it would have
 * moved what it may. Return: what arrived
 */
static uint32_t flood(uint32_t *said)
{
    uint32_t heard = 0;
    uint64_t teed = 0;

    for (unsigned int still = 0; still < 50 && *said < 200000; still++) {
        while (*said < 200000 && say(lan, UDP, *said))
            ++*said, still = 0;
        while (hear(guest, 0) >= 0)
            heard++, still = 0;
        if (status()->in_teed != teed) still = 0;
        teed = st.in_teed;
    }
    return heard;
}

static void test_passive(void)
{
    start(&usual);
    say(lan, UDP, 1);
    ok(hears(guest, 1), "input passes");
    say(guest, UDP, 1);
    say(guest, UDP, 2);
    ok(taken(2) && hear(lan, 20) < 0, "output is held from the start");
    /* What was sent and not yet read by anyone lies before the cut, too. */
    for (uint32_t i = 3; i <= 40; i++)
        say(guest, UDP, i);
    ok(!proxy_primary_cut(p, 1, &err), "cut 1 %s", err.msg);
    say(guest, UDP, 41);
    say(guest, UDP, 42);
    ok(taken(42) && hear(lan, 20) < 0, "a cut lets nothing go");
    ok(!proxy_primary_commit(p, 1, &err), "commit 1 %s", err.msg);
    {
        bool all = true;

        for (uint32_t i = 1; i <= 40; i++)
            all = all && hears(lan, i);
        ok(all && hear(lan, 20) < 0, "rule_A4: exactly what lay before it");
    }
    ok(proxy_primary_commit(p, 1, &err) == -ENOENT, "once: %s", err.msg);
    xlc_error_clear(&err);
    ok(proxy_primary_cut(p, 1, &err) == -EINVAL, "no cut twice: %s", err.msg);
    xlc_error_clear(&err);
    ok(proxy_primary_idle(p, &err) == -EAGAIN, "it is not idle");
    xlc_error_clear(&err);
    ok(!proxy_primary_cut(p, 2, &err) && hear(lan, 20) < 0,
       "a cut lets nothing go");
    ok(!proxy_primary_open(p, &err) && hears(lan, 41) && hears(lan, 42),
       "open lets all go");
    say(guest, UDP, 43);
    ok(hears(lan, 43) && !proxy_primary_idle(p, &err) &&
       status()->out_frames == 43 && st.in_frames == 1, "and what comes");
    stop();
}

static void test_colo(void)
{
    struct wire_msg m;

    start(&usual);
    go_colo();
    say(guest, UDP, 7);
    ok(taken(1) && hear(lan, 20) < 0, "held");
    peer_say_frame(WIRE_OUTBOUND, UDP, 7, 1);
    ok(hears(lan, 7), "until the other guest says the same");
    say(lan, UDP, 8);
    ok(hears(guest, 8) && peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND &&
       m.epoch == 1 && frame_number(&m) == 8, "input is teed");

    ok(!proxy_primary_hold(p, true, &err), "hold");
    say(lan, UDP, 9);
    ok(hear(guest, 20) < 0 && !peer_hear(&m, 20) && status()->holding,
       "input rests");
    say(guest, UDP, 10);
    ok(!proxy_primary_cut(p, 2, &err) && !proxy_primary_hold(p, false, &err),
       "cut 2, go on");
    ok(hears(guest, 9) && peer_hear(&m, PATIENCE_MS) == WIRE_CUT &&
       m.epoch == 2 && peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND &&
       m.epoch == 2 && frame_number(&m) == 9,
       "what rested belongs to the epoch that began");
    say(guest, UDP, 11);
    taken(3);
    peer_say_frame(WIRE_OUTBOUND, UDP, 11, 1);
    ok(hear(lan, 20) < 0, "rule_A10: what the other said before is nothing");
    ok(!proxy_primary_commit(p, 2, &err) && hears(lan, 10), "commit 2");
    ok(hear(lan, 20) < 0 && status()->compare.stale == 1,
       "rule_A10: it was thrown away");
    peer_say_frame(WIRE_OUTBOUND, UDP, 11, 2);
    ok(hears(lan, 11), "said now, it counts");

    say(guest, UDP, 12);
    taken(4);
    ok(status()->want.reason == COMPARE_OK, "nothing is wanted");
    peer_say_frame(WIRE_OUTBOUND, UDP, 13, 2);
    ok(event(proxy_primary_event_fd(p)) &&
       status()->want.reason == COMPARE_PAYLOAD && hear(lan, 20) < 0,
       "a difference wants a checkpoint");
    ok(!proxy_primary_cut(p, 3, &err) && !proxy_primary_commit(p, 3, &err) &&
       hears(lan, 12) && status()->want.reason == COMPARE_OK,
       "which covers it");
    stop();
}

static void test_mode(void)
{
    struct wire_msg m;

    start(&usual);
    go_colo();
    ok(!proxy_primary_mode(p, COMPARE_PASSIVE, &err), "passive, please");
    say(lan, UDP, 1);
    say(guest, UDP, 2);
    taken(1);
    peer_say_frame(WIRE_OUTBOUND, UDP, 2, 1);
    ok(hears(guest, 1) && peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND &&
       hears(lan, 2), "rule_B6: not before the cut");
    ok(!proxy_primary_cut(p, 2, &err) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_CUT &&
       m.u.mode == WIRE_MODE_PASSIVE, "cut");
    say(lan, UDP, 3);
    say(guest, UDP, 4);
    taken(2);
    peer_say_frame(WIRE_OUTBOUND, UDP, 4, 2);
    ok(hears(guest, 3) && !peer_hear(&m, 20) && hear(lan, 20) < 0,
       "rule_B6: nothing is teed, nothing compared");
    ok(!proxy_primary_mode(p, COMPARE_COLO, &err) &&
       !proxy_primary_cut(p, 3, &err) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_CUT && m.u.mode == WIRE_MODE_COLO,
       "and back");
    say(lan, UDP, 5);
    ok(hears(guest, 5) && peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND &&
       m.epoch == 3 && frame_number(&m) == 5,
       "rule_B6: the other's input begins at the cut");
    ok(!proxy_primary_commit(p, 3, &err) && hears(lan, 4),
       "nothing was lost on the way");
    stop();
}

static void test_peer_lost(void)
{
    struct wire_msg want = { .type = WIRE_WANT, .epoch = 1,
                             .u.want = WIRE_WANT_FLOWS };

    start(&usual);
    go_colo();
    say(guest, UDP, 1);
    taken(1);
    peer_say(&want);
    ok(event(proxy_primary_event_fd(p)) &&
       status()->want.reason == COMPARE_FULL, "the peer wants a checkpoint");
    wirestream_close(&peer);
    ok(event(proxy_primary_event_fd(p)) && !status()->peer &&
       st.err.status == -ECONNRESET, "a peer that goes is told: %s",
       st.err.msg);
    ok(hear(lan, 20) < 0, "output stays held");
    say(lan, UDP, 2);
    ok(hears(guest, 2), "input goes on");
    ok(!proxy_primary_peer(p, make_peer(false), &wirestream_plain, NULL,
                           &err), "another stream");
    {
        struct wire_msg m = { .type = WIRE_CONNECTED, .vif = 1, .epoch = 1 };

        peer_say(&m);
        ok(event(proxy_primary_event_fd(p)) && !status()->peer,
           "a vif that is not there ends it");
    }
    stop();
}

/* Of the epoch that runs when the stream is made again nothing is compared:
 * the other guest may lack input, and what it said went by the old one. */
static void test_peer_back(void)
{
    const struct wire_msg connected = { .type = WIRE_CONNECTED, .epoch = 1 };
    const struct wire_msg want = { .type = WIRE_WANT, .epoch = 1,
                                   .u.want = WIRE_WANT_FLOWS };
    struct wire_msg m;

    start(&usual);
    go_colo();
    say(guest, UDP, 1);
    taken(1);
    wirestream_close(&peer);
    ok(event(proxy_primary_event_fd(p)) && !status()->peer, "it breaks");
    ok(!proxy_primary_peer(p, make_peer(false), &wirestream_plain, NULL,
                           &err) && peer_hear(&m, PATIENCE_MS) == WIRE_CUT &&
       m.epoch == 1 && m.u.mode == WIRE_MODE_PASSIVE,
       "rule_B6: a new stream begins with the epoch that runs, without "
       "comparing");
    say(lan, UDP, 2);
    ok(hears(guest, 2) && !peer_hear(&m, 20), "rule_B6: nothing is teed");
    peer_say(&connected);
    peer_say(&want);
    peer_say_frame(WIRE_OUTBOUND, UDP, 1, 1);
    ok(hear(lan, 100) < 0 && !status()->compare.secondary &&
       st.want.reason == COMPARE_OK,
       "rule_A10: what the other guest says in it does not count");
    ok(!proxy_primary_cut(p, 2, &err) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_CUT && m.epoch == 2 &&
       m.u.mode == WIRE_MODE_COLO && !proxy_primary_commit(p, 2, &err) &&
       hears(lan, 1), "the next cut covers it %s", err.msg);
    say(guest, UDP, 3);
    taken(2);
    peer_say_frame(WIRE_OUTBOUND, UDP, 3, 1);
    ok(hear(lan, 20) < 0, "rule_A10: late words of the epoch before are none");
    peer_say_frame(WIRE_OUTBOUND, UDP, 3, 2);
    say(lan, UDP, 4);
    ok(hears(lan, 3) && hears(guest, 4) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND && m.epoch == 2 &&
       frame_number(&m) == 4, "rule_B6: from it on packets are compared");
    stop();
}

/* Who does not read stops those who write, and nothing is lost. */
static void test_pressure(void)
{
    struct compare_opts few = COMPARE_OPTS_INIT;
    uint32_t said = 0, heard = 0, teed = 0;
    struct wire_msg m;
    bool good = true;

    start(&usual);
    go_colo();
    while (said < 200000) {
        int64_t n;

        if (say(lan, UDP, said)) {
            said++;
            continue;
        }
        n = hear(guest, 100);
        if (n < 0) break;
        good = good && n == heard++;
    }
    ok(good && said < 200000 && said > heard,
       "a peer that does not read stops the input after %u", heard);
    while (heard < said && good) {
        int64_t n = hear(guest, 0);

        if (n >= 0) good = n == heard++;
        else if (peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND)
            good = frame_number(&m) == teed++;
        else
            break;
    }
    while (teed < said && peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND && good)
        good = frame_number(&m) == teed++;
    ok(good && heard == said && teed == said && status()->in_teed == said,
       "when it reads all come, in order, to both: %u %u %u", said, heard,
       teed);
    stop();

    few.packets = 64;
    few.jumbos = 4;
    start(&few);
    for (said = 0; say(guest, UDP, said); said++)
        ;
    ok(event(proxy_primary_event_fd(p)) && status()->full &&
       st.want.reason == COMPARE_FULL, "a full engine wants a checkpoint");
    say(lan, UDP, 1);
    ok(hear(guest, 20) < 0, "and holds the input");
    for (uint64_t epoch = 1, n = 0; n < said && good; epoch++) {
        int64_t got;

        good = !proxy_primary_cut(p, epoch, &err) &&
               !proxy_primary_commit(p, epoch, &err);
        while (good && (got = hear(lan, 20)) >= 0)
            good = (uint64_t)got == n++;
        if (n == said) ok(true, "%u frames in %u epochs, none lost", said,
                          (unsigned int)epoch);
        if (epoch > said) break;
    }
    ok(good && hears(guest, 1), "then input goes on %s", err.msg);
    stop();
}


/* All that was said arrives, the last time at once. */
static bool arrives(uint32_t heard, uint32_t said)
{
    while (heard < said && hear(guest, PATIENCE_MS) >= 0)
        heard++;
    return heard == said;
}

/* Who reads nothing, or next to nothing, does not take the guest's input
 * away. */
static void test_stuck(void)
{
    uint32_t said = 0, heard;
    uint64_t end;
    char some[100];

    stuck_ns = 300000000;
    start(&usual);
    go_colo();
    heard = flood(&said);
    ok(arrives(heard, said) && event(proxy_primary_event_fd(p)) &&
       !status()->peer && st.err.status == -ETIMEDOUT,
       "a peer that reads nothing is dropped: %s", st.err.msg);
    say(guest, UDP, 1);
    ok(taken(1) && hear(lan, 20) < 0, "output stays held");
    ok(!proxy_primary_cut(p, 2, &err) && !proxy_primary_commit(p, 2, &err) &&
       hears(lan, 1), "until the next checkpoint %s", err.msg);
    say(lan, UDP, 7);
    ok(hears(guest, 7), "and input goes on");
    stop();

    start(&usual);
    go_colo();
    said = 0;
    heard = flood(&said);
    ok(!proxy_primary_limits(p, 60 * stuck_ns, stuck_ns, &err) &&
       !proxy_primary_cut(p, 2, &err) && !proxy_primary_commit(p, 2, &err),
       "a cut that can't be said %s", err.msg);
    end = clock_ms() + PATIENCE_MS;
    while (status()->peer && clock_ms() < end) {
        (void)!recv(peer.fd, some, sizeof(some), 0);
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    ok(!st.peer && st.err.status == -ETIMEDOUT && arrives(heard, said),
       "nor does it gain by a little now and then: %s", st.err.msg);
    stop();
    stuck_ns = UINT64_C(60000000000);
}

/*
 * The guest answers a SYN while the peer does not read: what it said is told
 * before any input that came later, which may acknowledge it.
 */
static void test_flow_first(void)
{
    uint32_t said = 0, teed = 0;
    uint8_t f[FRAME_LEN];
    struct wire_msg m;
    uint64_t before;

    start(&usual);
    go_colo();
    flood(&said);
    before = status()->in_teed;
    make_segment(f, true, PACKET_SYN | PACKET_ACK, 5000, 1);
    put_tap(guest, f);
    ok(taken(1) && before < said, "a peer that does not read, and a "
       "connection");
    while (peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND)
        teed++;
    ok(m.type == WIRE_FLOW && m.u.flow.isn == 5000 && teed == before,
       "rule_B4: it is told before what comes later: %u of %u", teed, said);
    stop();
}

/* After an opening the next peer has no part in the epoch that runs. */
static void test_new_peer(void)
{
    struct wire_msg m;

    start(&usual);
    go_colo();
    ok(!proxy_primary_open(p, &err), "open %s", err.msg);
    wirestream_close(&peer);
    ok(!proxy_primary_peer(p, make_peer(false), &wirestream_plain, NULL,
                           &err) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_CUT &&
       m.u.mode == WIRE_MODE_PASSIVE, "another peer %s", err.msg);
    say(lan, UDP, 1);
    ok(hears(guest, 1) && !peer_hear(&m, 20) && !status()->in_teed,
       "gets nothing that it could not use");
    ok(!proxy_primary_mode(p, COMPARE_COLO, &err) &&
       !proxy_primary_cut(p, 2, &err) &&
       peer_hear(&m, PATIENCE_MS) == WIRE_CUT && m.u.mode == WIRE_MODE_COLO,
       "before its first epoch");
    say(lan, UDP, 2);
    ok(hears(guest, 2) && peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND &&
       m.epoch == 2, "whose input it gets");
    stop();
}

/*
 * A message of a peer in which some octets are not what they were; or that is
 * cut. Return: how long
 */
static size_t damaged(uint8_t *buf, uint64_t epoch)
{
    uint8_t f[FRAME_LEN];
    struct wire_msg m = {
        .type = WIRE_OUTBOUND, .epoch = epoch,
        .u.frame = { .data = f, .len = FRAME_LEN },
    };
    int len;

    if (rand() % 4 == 0)
        m = (struct wire_msg){ .type = WIRE_CONNECTED, .epoch = epoch };
    /* A number that none of the primary's frames has. */
    make_frame(f, rand() % 2 ? UDP : PACKET_IP_TCP, true, 0x55aa55aa);
    len = wire_encode(&m, false, buf, WIRE_MSG_MAX);
    if (len < 0) return 0;
    for (int n = rand() % 4; n > 0; n--)
        buf[rand() % (rand() % 2 ? len : 34 < len ? 34 : len)] =
            (uint8_t)rand();
    return (size_t)(rand() % 8 ? len : rand() % len);
}

/* Whatever a peer says, the primary lives and what is held stays held. */
static void test_hostile(void)
{
    static uint8_t buf[WIRE_MSG_MAX];
    unsigned int dropped = 0, leaked = 0, seed = 20;
    uint64_t end;

    srand(seed);
    start(&usual);
    proxy_primary_mode(p, COMPARE_COLO, &err);
    for (uint32_t round = 1; round <= 200; round++) {
        if (proxy_primary_peer(p, make_peer(false), &wirestream_plain, NULL,
                               &err) ||
            proxy_primary_cut(p, round, &err) ||
            proxy_primary_commit(p, round, &err) ||
            (round > 1 && !hears(lan, round - 1)))
            break;
        say(guest, UDP, round);
        taken(round);
        for (unsigned int i = 0; i < 20; i++)
            if (send(peer.fd, buf, damaged(buf, round), MSG_NOSIGNAL) < 0)
                break;
        shutdown(peer.fd, SHUT_WR);
        end = clock_ms() + PATIENCE_MS;
        while (status()->peer && clock_ms() < end)
            ;
        dropped += st.err.status == -EPROTO;
        leaked += hear(lan, 0) >= 0;
        wirestream_close(&peer);
    }
    ok(!err.status && st.epoch == 200 && dropped > 20 && !leaked,
       "200 peers that talk nonsense, %u of them seen as such, %u frames "
       "leaked, seed %u %s", dropped, leaked, seed, err.msg);
    stop();
}

/* What is held keeps it from being idle; what can't be read, too. */
static void test_idle(void)
{
    start(&usual);
    ok(!proxy_primary_idle(p, &err) && !proxy_primary_hold(p, true, &err),
       "idle, then hold");
    say(lan, UDP, 1);
    ok(proxy_primary_idle(p, &err) == -EAGAIN,
       "input that is held has not come through");
    xlc_error_clear(&err);
    proxy_primary_hold(p, false, &err);
    ok(hears(guest, 1) && !proxy_primary_idle(p, &err), "now it has");
    ok(!proxy_primary_peer(p, make_peer(false), &wirestream_plain, NULL,
                           &err), "a peer");
    wirestream_close(&peer);
    ok(event(proxy_primary_event_fd(p)) && status()->err.status < 0,
       "a peer that goes: %s", st.err.msg);
    close(guest);
    ok(event(proxy_primary_event_fd(p)) && status()->ports_lost == 1 &&
       st.err.status == -ENODEV, "and a vif that goes: %s", st.err.msg);
    guest = -1;
    stop();
}

/* A question that only the secondary guest has, answered or not. */
static bool asks(uint16_t said)
{
    static const uint8_t request[60] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6,
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1,
        0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    };
    const struct wire_msg m = {
        .type = WIRE_OUTBOUND,
        .epoch = 1,
        .u.frame = { .said = said, .data = request, .len = 60 },
    };

    return peer_say(&m);
}

static void test_answered(void)
{
    struct compare_opts opts = COMPARE_OPTS_INIT;
    struct proxy_primary_cfg cfg = { .ports = &port, .nports = 1 };

    opts.late_ns = 50000000;
    cfg.compare = opts;
    port = make_port();
    if (proxy_primary_start(&p, &cfg, &err)) exit(done_testing());
    go_colo();
    asks(WIRE_SAID_ANSWERED);
    nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
    ok(status()->want.reason == COMPARE_OK && st.compare.secondary == 1,
       "rule_C2: a question that was answered there is no difference");
    asks(0);
    ok(event(proxy_primary_event_fd(p)) &&
       status()->want.reason != COMPARE_OK, "one that was not is");
    stop();
}

/* A packet that is late wants a checkpoint, once, and costs nothing more. */
static void test_late(void)
{
    struct compare_opts opts = COMPARE_OPTS_INIT;
    struct proxy_primary_cfg cfg = { .ports = &port, .nports = 1 };
    struct proxy_primary_held held;
    clock_t before;

    opts.late_ns = 60000000000;
    cfg.compare = opts;
    port = make_port();
    xlc_error_clear(&err);
    if (proxy_primary_start(&p, &cfg, &err)) exit(done_testing());
    go_colo();
    say(guest, UDP, 1);
    ok(!proxy_primary_limits(p, 50000000, 2000000000, &err),
       "another limit, while it runs");
    ok(event(proxy_primary_event_fd(p)) &&
       status()->want.reason == COMPARE_LATE, "a late packet is wanted");
    before = clock();
    nanosleep(&(struct timespec){ .tv_nsec = 400000000 }, NULL);
    ok(clock() - before < CLOCKS_PER_SEC / 10 &&
       status()->compare.wanted[COMPARE_LATE] == 1,
       "once, and the proxy sleeps: %ld us", (long)(clock() - before));
    ok(!proxy_primary_open(p, &err) && !proxy_primary_held(p, &held, &err) &&
       held.packets == 1 && held.held_us == held.longest_us &&
       held.held_us >= 400000 && held.held_us < PATIENCE_MS * 1000u,
       "C3: it was held for %llu us", (unsigned long long)held.held_us);
    ok(!proxy_primary_held(p, &held, &err) && !held.packets &&
       !held.held_us && !held.longest_us, "which is told once");
    stop();
}

int main(void)
{
    test_passive();
    test_colo();
    test_mode();
    test_peer_lost();
    test_peer_back();
    test_flow_first();
    test_new_peer();
    test_hostile();
    test_idle();
    test_answered();
    test_late();
    test_stuck();
    test_pressure();
    return done_testing();
}
