/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-plane-kernel.c - The packet plane against a real kernel
 *
 * Needs root, ip, tc, tun and a kernel with matchall, fw, mirred, skbedit,
 * gact, clsact, veth and bridge; is skipped without. Works in a network
 * namespace of its own: a veth pair is the guest and its vif, a bridge and a
 * second pair the network:
 *
 *   guest --- vif9000.0 [plane] --- br0 --- port --- lan
 *
 * A thread moves frames from each TAP back into it, as a proxy would, and
 * counts them. Frames carry a serial number for each direction.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "clock.h"
#include "log.h"
#include "packet-socket.h"
#include "plane.h"
#include "tap.h"

#define VIF "vif9000.0"
#define PATIENCE_MS 3000
#define MAGIC 0x786c2d70u
#define FRAME 64

static struct tc tc;
static struct plane plane;
static struct xlc_error err;
static int guest_fd, lan_fd;
static uint32_t sent_out, sent_in, got_out, got_in;

/* The mover's. */
static atomic_bool quit, held, resting;
static atomic_uint moved_out, moved_in;
static pthread_t mover;

/* Send @n frames of @type, numbered on, out of the guest or into it. */
static void send_frames(bool out, unsigned int n, uint16_t type)
{
    uint32_t *serial = out ? &sent_out : &sent_in;

    while (n--) {
        uint8_t f[FRAME] = { 2, 0, 0, 0, 0, (uint8_t)(out ? 9 : 8),
                             2, 0, 0, 0, 0, (uint8_t)(out ? 8 : 9) };
        uint32_t word[2] = { htonl(MAGIC), htonl((*serial)++) };
        uint16_t t = htons(type);

        memcpy(f + 12, &t, 2);
        memcpy(f + 40, word, sizeof(word));
        while (send(out ? guest_fd : lan_fd, f, sizeof(f), 0) < 0 &&
               (errno == EAGAIN || errno == ENOBUFS))
            usleep(100);
    }
}

/* The next of our frames at the far end. Return: its number; -1: none. */
static int64_t receive(bool out)
{
    int fd = out ? lan_fd : guest_fd;
    uint8_t f[2048];
    ssize_t n;

    while ((n = recv(fd, f, sizeof(f), 0)) > 0) {
        uint32_t word[2];

        if (n < FRAME || f[11] != (out ? 8 : 9)) continue;
        memcpy(word, f + 40, sizeof(word));
        if (ntohl(word[0]) == MAGIC) return ntohl(word[1]);
    }
    return -1;
}

/* Do exactly the next @n frames arrive, in order, and then none? */
static bool arrive(bool out, unsigned int n)
{
    uint32_t *next = out ? &got_out : &got_in;
    uint64_t end = clock_ms() + PATIENCE_MS;
    unsigned int seen = 0;

    while (seen < n && clock_ms() < end) {
        struct pollfd p = { .fd = out ? lan_fd : guest_fd, .events = POLLIN };
        int64_t got = receive(out);

        if (got < 0) {
            poll(&p, 1, 10);
            continue;
        }
        if (got != *next) {
            printf("# number %lld instead of %u\n", (long long)got, *next);
            return false;
        }
        (*next)++;
        seen++;
    }
    if (seen < n) printf("# only %u of %u arrived\n", seen, n);
    return seen == n && receive(out) < 0;
}

/* ---- A stand-in for a proxy ---------------------------------------------- */

static void move(int fd, atomic_uint *count)
{
    static uint8_t frame[PACKET_MAX];
    struct packet_vnet vnet;
    ssize_t n;

    while ((n = tapdev_read(fd, &vnet, frame, sizeof(frame))) > 0) {
        (*count)++; /* first: who sees the frame looks at the count */
        while (tapdev_write(fd, &vnet, frame, (size_t)n) == 0)
            usleep(100);
    }
}

static void *move_all(void *arg)
{
    (void)arg;
    while (!quit) {
        struct pollfd p[2] = {
            { .fd = plane.out.fd, .events = POLLIN },
            { .fd = plane.in.fd, .events = POLLIN },
        };

        if (held) {
            resting = true;
            usleep(200);
            continue;
        }
        poll(p, 2, 5);
        move(plane.out.fd, &moved_out);
        move(plane.in.fd, &moved_in);
    }
    return NULL;
}

/* It touches no TAP any more. */
static bool hold(void)
{
    uint64_t end = clock_ms() + PATIENCE_MS;

    resting = false;
    held = true;
    while (!resting && clock_ms() < end)
        usleep(200);
    return resting;
}

static bool start(void)
{
    quit = held = false;
    moved_out = moved_in = 0;
    xlc_error_clear(&err);
    return !plane_setup(&plane, &tc, VIF, &err) &&
           !pthread_create(&mover, NULL, move_all, NULL);
}

static void stop(void)
{
    quit = true;
    pthread_join(mover, NULL);
}

static bool nothing_left(void)
{
    return run("tc qdisc show dev " VIF " | grep -q 'clsact\\|ingress'") &&
           run("ip -o link | grep -q 'x[io]9000'");
}

/* ---- Tests --------------------------------------------------------------- */

static void test_both_ways(void)
{
    if (!ok(start(), "set up %s", err.msg)) exit(done_testing());
    send_frames(true, 5, ETH_P_IP);
    send_frames(false, 5, ETH_P_IP);
    ok(arrive(true, 5) && arrive(false, 5) && !moved_out && !moved_in,
       "set up: packets go their direct way");
    ok(!plane_inline(&plane, &err) && !plane_inline(&plane, &err),
       "inline %s", err.msg);
    send_frames(true, 3, ETH_P_IP);
    send_frames(true, 2, ETH_P_ARP);
    send_frames(true, 2, ETH_P_IPV6);
    send_frames(false, 3, ETH_P_IP);
    send_frames(false, 2, ETH_P_ARP);
    send_frames(false, 1, ETH_P_IPV6);
    ok(arrive(true, 7) && moved_out == 7,
       "7 frames of 3 protocols go out through their TAP");
    ok(arrive(false, 6) && moved_in == 6, "6 go in through theirs");
    ok(hold(), "nothing is moved");
    send_frames(true, 200, ETH_P_IP);
    send_frames(false, 200, ETH_P_IP);
    ok(arrive(true, 0) && arrive(false, 0), "what is not moved is held");
    ok(!plane_settle(&plane, 5000, 500000, &err), "and at rest %s", err.msg);
    held = false;
    ok(arrive(true, 200) && arrive(false, 200), "nothing of it is lost");
    ok(!plane_direct(&plane, &err), "direct %s", err.msg);
    moved_out = moved_in = 0;
    send_frames(true, 5, ETH_P_IP);
    send_frames(false, 5, ETH_P_IP);
    ok(arrive(true, 5) && arrive(false, 5) && !moved_out && !moved_in,
       "nothing goes through the TAPs");
    stop();
    ok(!plane_teardown(&plane, &err) && !plane_teardown(&plane, &err),
       "teardown, twice %s", err.msg);
    ok(nothing_left(), "nothing is left");
}

/* Under load in both directions: none is lost, none comes twice. */
static void test_switch_load(void)
{
    const unsigned int n = 30000;
    static bool seen_out[30000], seen_in[30000];
    unsigned int out = 0, in = 0, twice = 0, switches = 0;
    uint32_t base_out = sent_out, base_in = sent_in;
    uint64_t end = clock_ms() + 20000;
    pid_t pid;
    int status;

    start();
    pid = fork();
    if (!pid) {
        for (unsigned int i = 0; i < n; i += 10) {
            send_frames(true, 10, ETH_P_IP);
            send_frames(false, 10, ETH_P_IP);
            usleep(300);
        }
        _exit(0);
    }
    while ((out < n || in < n) && clock_ms() < end) {
        int64_t got;

        if (switches < 40 && (out + in) / 1400 > switches) {
            int r = switches % 2 ? plane_direct(&plane, &err)
                                 : plane_inline(&plane, &err);

            if (r) break;
            switches++;
        }
        while ((got = receive(true)) >= 0) {
            bool *at = &seen_out[(uint32_t)got - base_out];

            twice += *at;
            out += !*at;
            *at = true;
        }
        while ((got = receive(false)) >= 0) {
            bool *at = &seen_in[(uint32_t)got - base_in];

            twice += *at;
            in += !*at;
            *at = true;
        }
        usleep(100);
    }
    waitpid(pid, &status, 0);
    sent_out = got_out = base_out + n;
    sent_in = got_in = base_in + n;
    ok(out == n && in == n && !twice && switches > 10,
       "%u switches under load: %u out, %u in, %u twice, %u and %u moved %s",
       switches, out, in, twice, moved_out, moved_in, err.msg);
    stop();
    plane_teardown(&plane, &err);
    ok(nothing_left(), "nothing is left");
}

/* Super-frames with partial checksums go through as they are. */
static void test_offloads(void)
{
    int r;

    if (system("command -v python3 >/dev/null")) {
        skip("no python3");
        return;
    }
    run("ip netns add plane-g 2>/dev/null; "
        "ip link add g2 type veth peer name vif9001.0 && "
        "ip link set g2 netns plane-g && "
        "ip link set vif9001.0 master br0 up && "
        "ip -n plane-g addr add 10.9.0.1/24 dev g2 && "
        "ip -n plane-g link set g2 up && ip addr add 10.9.0.2/24 dev br0");
    quit = held = false;
    moved_out = moved_in = 0;
    r = plane_setup(&plane, &tc, "vif9001.0", &err);
    if (r || plane_inline(&plane, &err) ||
        pthread_create(&mover, NULL, move_all, NULL)) {
        ok(false, "set up: %s", err.msg);
        return;
    }
    r = run("timeout 20 python3 -c '\n"
            "import socket, threading, os, hashlib, subprocess, sys\n"
            "l = socket.create_server((\"10.9.0.2\", 7000))\n"
            "data = os.urandom(1 << 20) * 32\n"
            "child = subprocess.Popen([\"ip\", \"netns\", \"exec\", "
            "\"plane-g\", sys.executable, \"-c\", \"import socket, hashlib; "
            "s = socket.create_connection((\\\"10.9.0.2\\\", 7000)); "
            "f = s.makefile(\\\"rwb\\\"); d = f.read(32 << 20); "
            "f.write(hashlib.sha256(d).hexdigest().encode() + d); "
            "f.flush()\"])\n"
            "c, _ = l.accept(); c.sendall(data)\n"
            "f = c.makefile(\"rb\"); h = f.read(64).decode()\n"
            "back = f.read(32 << 20); child.wait()\n"
            "want = hashlib.sha256(data).hexdigest()\n"
            "sys.exit(0 if h == want and back == data else 1)\n'");
    ok(!r && moved_in < 25000 && moved_out < 25000,
       "32 MiB each way, whole, in %u and %u frames", moved_in, moved_out);
    stop();
    ok(!plane_teardown(&plane, &err), "teardown %s", err.msg);
    run("ip link del vif9001.0; ip netns del plane-g");
}

static void test_crash(void)
{
    struct plane_seen seen = { .vif = "" };
    int ready[2], status;
    pid_t pid;
    char c;

    ok(!pipe(ready), "pipe");
    pid = fork();
    if (!pid) {
        struct tc own;

        if (tc_open(&own, &err) || plane_setup(&plane, &own, VIF, &err) ||
            plane_inline(&plane, &err))
            _exit(1);
        (void)!write(ready[1], "x", 1);
        pause();
    }
    ok(read(ready[0], &c, 1) == 1, "another process has the plane");
    xlc_error_clear(&err);
    ok(plane_clear(&tc, VIF, &err) == -EBUSY && strstr(err.msg, "xo9000.0"),
       "which is not cleared while it lives: %s", err.msg);
    xlc_error_clear(&err);
    ok(plane_clear_domain(9000, &err) == -EBUSY && plane_left(&tc, VIF) == 1,
       "nor with the whole domain: %s", err.msg);
    xlc_error_clear(&err);
    ok(plane_scan(&seen, 1, &err) == 1 && !strcmp(seen.vif, VIF) &&
       seen.port.domid == 9000 && !seen.port.devid && seen.served,
       "it is listed, and served %s", err.msg);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    ok(plane_scan(&seen, 1, &err) == 1 && !seen.served &&
       plane_scan(&seen, 0, &err) == 1, "killed: it is listed, unserved %s",
       err.msg);
    send_frames(true, 3, ETH_P_IP);
    send_frames(false, 3, ETH_P_IP);
    ok(arrive(true, 0) && arrive(false, 0),
       "killed: nothing passes any more");
    got_out = sent_out;
    got_in = sent_in;
    ok(plane_setup(&plane, &tc, VIF, &err) == -EBUSY &&
       strstr(err.msg, "priority 3"), "no set-up over what it left: %s",
       err.msg);
    xlc_error_clear(&err);
    send_frames(true, 3, ETH_P_IP);
    ok(arrive(true, 0), "nor does that let anything pass");
    got_out = sent_out;
    ok(!plane_clear_domain(900, &err) && plane_left(&tc, VIF) == 1,
       "another domain's are not touched");
    ok(plane_clear_domain(9000, &err) == 1 && !plane_left(&tc, VIF) &&
       !plane_clear_domain(9000, &err) && !plane_clear_all(&err) &&
       nothing_left(), "the domain's are cleared, and counted %s", err.msg);
    ok(!plane_scan(&seen, 1, &err), "none is listed %s", err.msg);
    ok(!plane_clear(&tc, VIF, &err) && !plane_clear(&tc, VIF, &err) &&
       nothing_left(), "cleared, twice %s", err.msg);
    send_frames(true, 3, ETH_P_IP);
    send_frames(false, 3, ETH_P_IP);
    ok(arrive(true, 3) && arrive(false, 3), "the vif works");
    ok(!plane_clear(&tc, "vif9999.9", &err), "a vif that is gone %s",
       err.msg);
    ok(plane_clear(&tc, "eth0", &err) == -EINVAL, "no vif: %s", err.msg);
    xlc_error_clear(&err);
    close(ready[0]);
    close(ready[1]);
}

/* Another process had the vif, and was killed; or a successor was, while it
 * took it over. */
static void test_adopt(void)
{
    struct plane_filter hush;

    ok(!plane_setup(&plane, &tc, VIF, &err) && !plane_inline(&plane, &err),
       "a plane %s", err.msg);
    tapdev_close(&plane.in);
    tapdev_close(&plane.out);
    for (unsigned int round = 0; round < 3; round++) {
        bool good;

        send_frames(true, 3, ETH_P_IP);
        send_frames(false, 3, ETH_P_IP);
        ok(arrive(true, 0) && arrive(false, 0), "it died: nothing passes");
        got_out = sent_out;
        got_in = sent_in;
        quit = held = false;
        good = !plane_adopt(&plane, &tc, VIF, &err) &&
               !pthread_create(&mover, NULL, move_all, NULL);
        ok(good, "another one has it %s", err.msg);
        if (!good) return;
        moved_out = moved_in = 0;
        send_frames(true, 5, ETH_P_IP);
        send_frames(false, 5, ETH_P_ARP);
        ok(arrive(true, 5) && arrive(false, 5) && moved_out == 5 &&
           moved_in == 5, "all goes through its TAPs: %u, %u", moved_out,
           moved_in);
        stop();
        tapdev_close(&plane.in);
        tapdev_close(&plane.out);
        /* As if the next one had died on its way: closed in front. */
        hush = plane_hush(plane.ifindex, round & 1);
        if (plane_tc_add(&tc, &hush)) abort();
    }
    ok(plane_left(&tc, VIF) == 1 && plane_clear_domain(9000, &err) == 1 &&
       nothing_left(), "cleared %s", err.msg);
    /* Nothing but what closes it: killed in the middle. */
    run("tc qdisc add dev " VIF " clsact");
    hush = plane_hush(plane.ifindex, false);
    ok(!plane_tc_add(&tc, &hush) && plane_left(&tc, VIF) == 1, "closed");
    send_frames(true, 3, ETH_P_IP);
    ok(arrive(true, 0), "nothing passes");
    got_out = sent_out;
    ok(plane_clear_domain(9000, &err) == 1 && nothing_left(), "cleared %s",
       err.msg);
    send_frames(true, 3, ETH_P_IP);
    send_frames(false, 3, ETH_P_IP);
    ok(arrive(true, 3) && arrive(false, 3), "the vif works");
    ok(plane_adopt(&plane, &tc, "vif9999.9", &err) == -ENODEV, "gone: %s",
       err.msg);
    xlc_error_clear(&err);
}

static void test_others(void)
{
    run("tc qdisc add dev " VIF " clsact");
    run("tc filter add dev " VIF " egress prio 9 matchall action ok");
    ok(start() && !plane_inline(&plane, &err), "behind ours: allowed");
    stop();
    ok(!plane_teardown(&plane, &err) &&
       !run("tc filter show dev " VIF " egress | grep -q 'pref 9 '"),
       "somebody else's clsact and filter stay");
    run("tc filter add dev " VIF " egress prio 2 matchall action ok");
    ok(plane_setup(&plane, &tc, VIF, &err) == -EBUSY &&
       strstr(err.msg, "egress filter at priority 2"), "in front: %s",
       err.msg);
    xlc_error_clear(&err);
    ok(run("ip -o link | grep -q 'x[io]9000'"), "without a trace");
    run("tc qdisc del dev " VIF " clsact");
    run("tc qdisc add dev " VIF " ingress");
    ok(plane_setup(&plane, &tc, VIF, &err) == -EBUSY &&
       strstr(err.msg, "ingress qdisc"), "%s", err.msg);
    xlc_error_clear(&err);
    run("tc qdisc del dev " VIF " ingress");
    ok(plane_setup(&plane, &tc, "vif1.1", &err) == -ENODEV, "no such vif: "
       "%s", err.msg);
    xlc_error_clear(&err);
    ok(start() && !plane_inline(&plane, &err), "inline %s", err.msg);
    tc_drop_add(&tc, plane.ifindex, 0x80000000u);
    send_frames(true, 5, ETH_P_IP);
    ok(arrive(true, 0), "the network buffer's drop silences it");
    got_out = sent_out;
    tc_filter_del(&tc, plane.ifindex, TC_PRIO_DROP, 0x80000000u);
    send_frames(true, 2, ETH_P_IP);
    ok(arrive(true, 2), "and gives it back");
    run("ip link del guest");
    stop();
    ok(!plane_teardown(&plane, &err) &&
       run("ip -o link | grep -q 'x[io]9000'"), "a vif that went %s",
       err.msg);
}

static bool make_network(void)
{
    if (unshare(CLONE_NEWNET)) return false;
    if (run("ip link add guest type veth peer name " VIF " && "
            "ip link add lan type veth peer name port && "
            "ip link add br0 type bridge && "
            "for i in guest " VIF " lan port br0; do "
            "  echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done; "
            "ip link set " VIF " master br0 && "
            "ip link set port master br0 && "
            "for i in guest " VIF " lan port br0; do "
            "  ip link set $i up; done"))
        return false;
    guest_fd = open_packet("guest");
    lan_fd = open_packet("lan");
    return guest_fd >= 0 && lan_fd >= 0;
}

int main(void)
{
    if (geteuid() || access("/dev/net/tun", R_OK) || !make_network()) {
        puts("1..0 # SKIP needs root, ip, tun, veth and a bridge");
        return 77;
    }
    if (run("ip link add t0 type veth peer name t1 && "
            "tc qdisc add dev t0 clsact && "
            "tc filter add dev t0 ingress prio 1 handle 1 fw action ok && "
            "tc filter add dev t0 ingress prio 2 matchall "
            "action skbedit mark 1 pipe action mirred ingress redirect "
            "dev br0 2>/dev/null; r=$?; ip link del t0; exit $r")) {
        puts("1..0 # SKIP this kernel has no matchall, fw, skbedit or gact");
        return 77;
    }
    log_init("test", NULL, LOG_LEVEL_ERROR);
    if (tc_open(&tc, &err)) return 99;
    test_both_ways();
    test_switch_load();
    test_offloads();
    test_crash();
    test_adopt();
    test_others();
    tc_close(&tc);
    return done_testing();
}
