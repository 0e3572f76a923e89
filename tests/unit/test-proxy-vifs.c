/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-proxy-vifs.c - Both proxies with a guest of two vifs */
#include <config.h>

#include <time.h>

#include "proxy-net.h"
#include "proxy-primary.h"
#include "proxy-secondary.h"

#define UDP  PACKET_IP_UDP
#define VIFS 2u

static struct proxy_port ports[VIFS];
static int guests[VIFS], lans[VIFS];

static void make_ports(void)
{
    for (unsigned int i = 0; i < VIFS; i++) {
        ports[i] = make_port();
        guests[i] = guest;
        lans[i] = lan;
    }
}

static void drop_ports(void)
{
    for (unsigned int i = 0; i < VIFS; i++) {
        guest = guests[i];
        lan = lans[i];
        drop_port(&ports[i]);
    }
    wirestream_close(&peer);
}

/* A frame of vif @vif, out of the guest or into it. */
static bool say_at(bool out, unsigned int vif, uint32_t number)
{
    guest = guests[vif];
    return say(out ? guest : lans[vif], UDP, number);
}

static bool peer_say_at(unsigned int type, unsigned int vif, uint32_t number)
{
    uint8_t f[FRAME_LEN];
    const struct wire_msg m = {
        .type = (uint16_t)type,
        .vif = (uint16_t)vif,
        .epoch = 1,
        .u.frame = { .data = f, .len = FRAME_LEN },
    };

    make_frame(f, UDP, type == WIRE_OUTBOUND, number);
    return peer_say(&m);
}

/* The next message: a frame of that vif and number. */
static bool peer_hears(unsigned int type, unsigned int vif, uint32_t number)
{
    struct wire_msg m;
    unsigned int got = peer_hear(&m, PATIENCE_MS);

    if (got != type || m.vif != vif || frame_number(&m) != number)
        printf("# %s of vif %u, not of %u\n", wire_type_name(got), m.vif,
               vif);
    return got == type && m.vif == vif && frame_number(&m) == number;
}

static struct proxy_primary_status st;

static bool taken(struct proxy_primary *p, uint64_t frames)
{
    uint64_t end = clock_ms() + PATIENCE_MS;

    do {
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
        if (proxy_primary_status(p, &st, &err)) return false;
    } while (st.compare.primary < frames && clock_ms() < end);
    return st.compare.primary == frames;
}

/* The next event tells of @reason, or of a vif that went. An event before it
 * may have been told together with it, so the status is looked at again. */
static bool told(struct proxy_primary *p, enum compare_reason reason,
                 unsigned int lost)
{
    uint64_t end = clock_ms() + PATIENCE_MS;

    do {
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
        if (proxy_primary_status(p, &st, &err)) return false;
    } while ((st.want.reason != reason || st.ports_lost != lost) &&
             clock_ms() < end);
    return st.want.reason == reason && st.ports_lost == lost &&
           event(proxy_primary_event_fd(p));
}

static struct proxy_primary *start_primary(void)
{
    struct proxy_primary_cfg cfg = {
        .ports = ports, .nports = VIFS, .compare = COMPARE_OPTS_INIT,
    };
    struct proxy_primary *p = NULL;

    xlc_error_clear(&err);
    cfg.compare.late_ns = UINT64_C(60000000000);
    make_ports();
    peer_vifs = VIFS;
    if (proxy_primary_start(&p, &cfg, &err)) {
        ok(false, "start: %s", err.msg);
        exit(done_testing());
    }
    return p;
}

static void colo(struct proxy_primary *p)
{
    struct wire_msg m;
    bool good = !proxy_primary_peer(p, make_peer(false), &wirestream_plain,
                                    NULL, &err) &&
                !proxy_primary_mode(p, COMPARE_COLO, &err) &&
                !proxy_primary_cut(p, 1, &err) &&
                !proxy_primary_commit(p, 1, &err) &&
                peer_hear(&m, PATIENCE_MS) == WIRE_CUT;

    for (uint16_t i = 0; i < VIFS && good; i++) {
        m = (struct wire_msg){ .type = WIRE_CONNECTED, .vif = i, .epoch = 1 };
        good = peer_say(&m);
    }
    /* The copy's word is an event of its own. */
    ok(good && event(proxy_primary_event_fd(p)), "COLO %s", err.msg);
}

static void test_primary(void)
{
    struct proxy_primary *p = start_primary();

    say_at(true, 0, 1);
    say_at(true, 1, 2);
    ok(!proxy_primary_cut(p, 1, &err), "a cut");
    say_at(true, 1, 3);
    taken(p, 3);
    ok(hear(lans[0], 20) < 0 && hear(lans[1], 20) < 0 &&
       !proxy_primary_commit(p, 1, &err) && hears(lans[0], 1) &&
       hears(lans[1], 2) && hear(lans[1], 20) < 0,
       "rule_A4: the output of both lies before it, and leaves by the commit");
    proxy_primary_stop(p);
    drop_ports();

    p = start_primary();
    colo(p);
    say_at(false, 1, 4);
    say_at(false, 0, 5);
    ok(hears(guests[1], 4) && hears(guests[0], 5), "input to both");
    {
        struct wire_msg m;
        bool seen[VIFS] = { false };

        for (unsigned int i = 0; i < VIFS; i++)
            if (peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND && m.vif < VIFS)
                seen[m.vif] = frame_number(&m) == (m.vif ? 4 : 5);
        ok(seen[0] && seen[1], "is teed as theirs");
    }
    say_at(true, 0, 6);
    say_at(true, 1, 6);
    taken(p, 2);
    peer_say_at(WIRE_OUTBOUND, 1, 6);
    ok(hears(lans[1], 6) && hear(lans[0], 20) < 0,
       "what the other guest says on one is not compared with the other");
    peer_say_at(WIRE_OUTBOUND, 0, 6);
    ok(hears(lans[0], 6), "each has its own");
    say_at(true, 1, 7);
    taken(p, 3);
    peer_say_at(WIRE_OUTBOUND, 1, 8);
    ok(told(p, COMPARE_PAYLOAD, 0) && taken(p, 3) && st.want_vif == 1,
       "a difference on the second is told as its");
    close(guests[1]);
    ok(told(p, COMPARE_PAYLOAD, 1) && taken(p, 3) &&
       strstr(st.err.msg, "vif 1"),
       "one that goes is told: %s", st.err.msg);
    guests[1] = -1;
    say_at(false, 0, 9);
    ok(hears(guests[0], 9) && !proxy_primary_cut(p, 2, &err) &&
       !proxy_primary_commit(p, 2, &err) && hears(lans[1], 7),
       "the other works on, and nothing that was held is lost");
    proxy_primary_stop(p);
    drop_ports();
}

static void test_differ(void)
{
    struct proxy_primary *p = start_primary();

    peer_vifs = 1;
    ok(!proxy_primary_peer(p, make_peer(false), &wirestream_plain, NULL,
                           &err) &&
       event(proxy_primary_event_fd(p)) && taken(p, 0) && !st.peer &&
       strstr(st.err.msg, "2 vifs here"), "a peer with another number of "
       "them is refused: %s", st.err.msg);
    proxy_primary_stop(p);
    drop_ports();
}

static void test_secondary(void)
{
    struct proxy_secondary_cfg cfg = {
        .ports = ports, .nports = VIFS, .rewrite = REWRITE_OPTS_INIT,
    };
    struct wire_msg m = { .type = WIRE_CUT, .epoch = 1,
                          .u.mode = WIRE_MODE_COLO };
    struct proxy_secondary *s = NULL;
    bool good;

    make_ports();
    peer_vifs = VIFS;
    good = !proxy_secondary_start(&s, &cfg, &err) &&
           !proxy_secondary_peer(s, make_peer(true), &wirestream_plain, NULL,
                                 &err);
    peer_say(&m);
    say_at(true, 0, 1);
    say_at(true, 1, 1);
    ok(good && event(proxy_secondary_event_fd(s)) &&
       !proxy_secondary_cut(s, 1, &err) &&
       !proxy_secondary_connected(s, &err), "epoch 1 %s", err.msg);
    for (unsigned int i = 0; i < VIFS; i++)
        good = peer_hear(&m, PATIENCE_MS) == WIRE_CONNECTED && m.vif == i &&
               good;
    ok(good, "both are connected");
    say_at(true, 1, 2);
    good = peer_hears(WIRE_OUTBOUND, 1, 2);
    say_at(true, 0, 3);
    ok(good && peer_hears(WIRE_OUTBOUND, 0, 3),
       "output is told as theirs; rule_A10: that from before is gone");
    peer_say_at(WIRE_INBOUND, 1, 4);
    peer_say_at(WIRE_INBOUND, 0, 5);
    ok(hears(guests[1], 4) && hears(guests[0], 5) &&
       hear(guests[0], 20) < 0 && hear(guests[1], 20) < 0,
       "input goes to its vif");
    ok(!proxy_secondary_open(s, &err), "taken over");
    say_at(true, 1, 6);
    good = hears(lans[1], 6);
    say_at(false, 0, 7);
    ok(good && hears(guests[0], 7) && hear(guests[1], 20) < 0 &&
       hear(lans[0], 20) < 0, "each has its bridge");
    proxy_secondary_stop(s);
    drop_ports();
}

int main(void)
{
    test_primary();
    test_differ();
    test_secondary();
    return done_testing();
}
