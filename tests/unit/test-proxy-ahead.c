/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-proxy-ahead.c - Input that the other guest has before the primary's
 *
 * The vif of the primary's guest takes no more here, and the peer reads: what
 * the proxy has read waits for the one, and was told the other.
 */
#include <config.h>

#include <stdatomic.h>

#include "proxy-net.h"
#include "proxy-primary.h"

#define UDP  PACKET_IP_UDP
#define MOST 200000u /* more than the sockets hold */
#define FEW  20u     /* less than the proxy reads ahead */

static struct proxy_primary *p;
static struct proxy_primary_status st;
static struct proxy_port port;
static uint32_t said;

static struct proxy_primary_status *status(void)
{
    proxy_primary_status(p, &st, &err);
    return &st;
}

/* COLO from epoch 1 on. */
static void begin(int fd, const struct wirestream_ops *ops)
{
    struct proxy_primary_cfg cfg = {
        .ports = &port, .nports = 1, .compare = COMPARE_OPTS_INIT,
        .stuck_ns = UINT64_C(60000000000),
    };
    struct wire_msg m;

    said = 0;
    cfg.compare.late_ns = UINT64_C(60000000000);
    if (proxy_primary_start(&p, &cfg, &err) ||
        proxy_primary_peer(p, fd, ops, NULL, &err) ||
        proxy_primary_mode(p, COMPARE_COLO, &err) ||
        proxy_primary_cut(p, 1, &err) || proxy_primary_commit(p, 1, &err) ||
        peer_hear(&m, PATIENCE_MS) != WIRE_CUT) {
        ok(false, "COLO from epoch 1 on: %s", err.msg);
        exit(done_testing());
    }
}

/* Say more, until so much waits for the guest whose vif is full. Each answer
 * is a turn of the proxy's loop, in which it moved what it might. */
static void fill(void)
{
    do {
        if (!say(lan, UDP, said)) break;
        said++;
        status();
    } while (status()->in_teed < st.in_frames + FEW && said < MOST);
}

static void end(void)
{
    proxy_primary_stop(p);
    drop_port(&port);
    wirestream_close(&peer);
}

/* Hear what the peer is told from frame @from on, until it is told @type or
 * (0) nothing more. Return: the frame that would be next */
static uint32_t told(uint32_t from, unsigned int type, uint64_t epoch,
                     bool *good)
{
    struct wire_msg m;
    unsigned int is;

    while ((is = peer_hear(&m, type ? PATIENCE_MS : 100)) == WIRE_INBOUND) {
        *good = *good && m.epoch == epoch && frame_number(&m) == from;
        from++;
    }
    *good = *good && is == type;
    return from;
}

static void test_cut(void)
{
    uint32_t n, had, heard = 1;
    bool good = true;

    port = make_port();
    begin(make_peer(false), &wirestream_plain);
    fill();
    n = told(0, 0, 1, &good);
    had = (uint32_t)st.in_frames;
    ok(good && n == said && n == had + FEW, "the other guest has input that "
       "this one's vif does not take yet: %u frames, and %u", n, had);
    ok(!proxy_primary_hold(p, true, &err), "hold %s", err.msg);
    for (unsigned int i = 0; i < FEW; i++)
        said += say(lan, UDP, said);
    ok(hears(guest, 0) && status()->in_frames == had,
       "while input is held, what was read ahead is, too");
    ok(!proxy_primary_cut(p, 2, &err) && !proxy_primary_commit(p, 2, &err) &&
       !proxy_primary_hold(p, false, &err), "a cut, go on %s", err.msg);
    while (heard < said && good)
        good = hears(guest, heard++);
    ok(good && n < said, "the guest has all of it once, in order");
    n = told(n, WIRE_CUT, 1, &good);
    ok(good && n == had + FEW,
       "rule_A10: nothing of epoch 1 comes behind its end");
    n = told(had, 0, 2, &good);
    ok(good && n == said && status()->in_frames == said,
       "rule_B6: in epoch 2 the other guest has what this one had not before "
       "it, from %u to %u", had, n);
    end();
}

static void test_broken(void)
{
    bool good = true;

    port = make_port();
    begin(make_peer(false), &wirestream_plain);
    fill();
    wirestream_close(&peer);
    ok(event(proxy_primary_event_fd(p)) && !status()->peer &&
       st.in_teed > st.in_frames, "the stream breaks: %s", st.err.msg);
    for (uint32_t heard = 0; heard < said && good; heard++)
        good = hears(guest, heard);
    ok(good, "the guest has what was read for it all the same");
    end();
}

/* A stream that looks, as it is written to, whether the guest has got more. */
static int stream;
static atomic_uint early, late;

static ssize_t watch_read(void *ctx, void *buf, size_t len)
{
    ssize_t n = recv(stream, buf, len, 0);

    (void)ctx;
    return n < 0 ? -errno : n;
}

static ssize_t watch_write(void *ctx, const void *buf, size_t len)
{
    struct pollfd f = { .fd = guest, .events = POLLIN };
    ssize_t n = send(stream, buf, len, MSG_NOSIGNAL);

    (void)ctx;
    if (poll(&f, 1, 0)) late++;
    else early++;
    return n < 0 ? -errno : n;
}

static void watch_close(void *ctx)
{
    (void)ctx;
    close(stream);
}

static void test_first(void)
{
    const struct wirestream_ops watch = {
        .read = watch_read, .write = watch_write, .close = watch_close,
    };
    struct wire_msg m;

    port = make_port();
    stream = make_peer(false);
    begin(stream, &watch);
    early = late = 0;
    say(lan, UDP, 7);
    ok(peer_hear(&m, PATIENCE_MS) == WIRE_INBOUND && !status()->err.status &&
       early == 1 && !late, "the peer is told before the guest, whose host "
       "may have no other processor");
    ok(hears(guest, 7), "and then the guest");
    end();
}

/* A stream that takes nothing while it is shut, and then all at once. */
static atomic_bool shut;

static ssize_t gate_write(void *ctx, const void *buf, size_t len)
{
    ssize_t n = shut ? 0 : send(stream, buf, len, MSG_NOSIGNAL);

    (void)ctx;
    if (shut) return -EAGAIN;
    return n < 0 ? -errno : n;
}

/* Nobody speaks but the network, so nothing else wakes the proxy. */
static void test_no_room(void)
{
    const struct wirestream_ops gate = {
        .read = watch_read, .write = gate_write, .close = watch_close,
    };
    const int large = 8 << 20;
    uint32_t heard = 0;

    port = make_port();
    stream = make_peer(false);
    setsockopt(stream, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
    begin(stream, &gate);
    shut = true;
    while (said < MOST && say(lan, UDP, said)) {
        said++;
        if (!hears(guest, heard)) break;
        heard++;
    }
    ok(said == heard + 1, "the stream has no room after %u frames", heard);
    ok(!proxy_primary_hold(p, true, &err) && !proxy_primary_cut(p, 2, &err) &&
       !proxy_primary_commit(p, 2, &err) &&
       !proxy_primary_hold(p, false, &err), "a cut %s", err.msg);
    shut = false;
    ok(hears(guest, heard),
       "rule_C1: once the peer reads, input goes on without being asked");
    end();
}

int main(void)
{
    test_first();
    test_no_room();
    test_cut();
    test_broken();
    return done_testing();
}
