/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-netbuf-kernel.c - The network buffer against a real kernel
 *
 * Needs root, ip, tc and a kernel with sch_plug, ifb, veth and bridge; is
 * skipped without. Works in a network namespace of its own: a veth pair is
 * the guest and its vif, a bridge and a second pair the network:
 *
 *   guest --- vif9000.0 [netbuf] --- br0 --- port --- lan
 *
 * Frames carry a serial number; what arrives at "lan" is compared with what
 * must. Held is what netbuf_stat() counts, so no test waits for a time.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_ether.h>

#include "log.h"
#include "netbuf-lock.h"
#include "netbuf-net.h"
#include "netbuf.h"
#include "tap.h"

static void test_open(void)
{
    struct netbuf *nb = setup();

    if (!ok(nb != NULL, "set up")) exit(done_testing());
    send_frames(3);
    ok(arrive(3), "an open buffer lets frames pass");
    send_type(2, ETH_P_ARP);
    send_type(2, ETH_P_IPV6);
    send_type(2, ETH_P_IP);
    send_type(2, ETH_P_8021Q);
    ok(arrive(8), "ARP, IPv6, IPv4 and VLAN frames pass");
    ok(netbuf_count(nb) == 1, "count");
    ok(netbuf_teardown(nb, false, &err) == 0, "teardown %s", err.msg);
    ok(netbuf_teardown(nb, false, &err) == 0, "teardown again");
    netbuf_free(nb);
    ok(nothing_left(), "nothing is left");
    send_frames(2);
    ok(arrive(2), "the vif works without the buffer");
}

static void test_epochs(void)
{
    struct netbuf *nb = setup();
    unsigned int i, last = 0, held = 0;
    bool all = true;

    ok(!netbuf_release(nb, &err), "a release while open is nothing");
    ok(!netbuf_buffer(nb, &err), "the first epoch begins");
    send_type(1, ETH_P_ARP);
    send_type(2, ETH_P_IPV6);
    send_type(1, ETH_P_8021Q);
    send_frames(3);
    ok(holds(nb, 7) && arrive(0), "7 frames of 4 protocols are held");
    ok(!netbuf_release(nb, &err) && holds(nb, 7) && arrive(0),
       "a release without a closed epoch lets nothing go");
    ok(!netbuf_buffer(nb, &err), "epoch 1 is closed");
    send_frames(3);
    ok(holds(nb, 10) && arrive(0), "epoch 2 is collected behind it");
    xlc_error_clear(&err);
    ok(netbuf_buffer(nb, &err) == -EBUSY && strstr(err.msg, "rb9000.0"),
       "a second close is refused: %s", err.msg);
    xlc_error_clear(&err);
    ok(!netbuf_release(nb, &err) && arrive(7) && holds(nb, 3),
       "exactly epoch 1 is released");
    ok(!netbuf_buffer(nb, &err) && !netbuf_release(nb, &err) && arrive(3) &&
       holds(nb, 0), "exactly epoch 2 is released");
    for (i = 0; i < 200 && all; i++) {
        unsigned int n = (i * 7919u) % 23;

        send_frames(n);
        held += n;
        all = holds(nb, held) && !netbuf_settle(nb, 200, 100000, &err) &&
              !netbuf_buffer(nb, &err);
        send_frames(last = i % 5); /* the next epoch's */
        held += last;
        all = all && holds(nb, held) && !netbuf_release(nb, &err) &&
              arrive(held - last) && holds(nb, last);
        held = last;
    }
    ok(all, "200 epochs: what was before the close, all of it, in order");
    ok(!netbuf_open(nb, &err) && arrive(held), "open lets the rest go");
    send_frames(4);
    ok(arrive(4) && holds(nb, 0), "and what comes");
    send_frames(500);
    ok(!netbuf_buffer(nb, &err) && arrive(500) && holds(nb, 0),
       "from open to closed: what was under way goes out");
    send_frames(9);
    ok(holds(nb, 9) && !netbuf_teardown(nb, false, &err) && arrive(9),
       "teardown lets go of what is held");
    netbuf_free(nb);
    ok(nothing_left(), "nothing is left");
}

static void test_limit(void)
{
    struct netbuf *nb = NULL;
    struct netbuf_stat s;
    /* The kernel compares what is there with its cost, and the new one's
     * length. */
    uint64_t room = (NETBUF_LIMIT_MIN - FRAME) / (FRAME + 1280) + 1;
    bool all;

    ok(netbuf_setup(&nb, DOMID, &vif0, 1, 1000, &err) == -EINVAL && !nb,
       "a limit that is too small is refused: %s", err.msg);
    xlc_error_clear(&err);
    netbuf_setup(&nb, DOMID, &vif0, 1, NETBUF_LIMIT_MIN, &err);
    all = nb && !netbuf_buffer(nb, &err);
    send_frames(50);
    /* A change of a qdisc takes its size table away unless it has one. */
    all = all && holds(nb, 50) && !netbuf_buffer(nb, &err) &&
          !netbuf_release(nb, &err) && arrive(50);
    send_frames(300);
    ok(all && holds(nb, room), "the limit counts what a packet costs: "
       "%u of 300", (unsigned int)room);
    ok(netbuf_stat(nb, &s, 1, &err) == 1 && s.drops == 300 - room &&
       s.held_bytes == room * FRAME, "bytes and drops: %llu, %llu",
       (unsigned long long)s.held_bytes, (unsigned long long)s.drops);
    ok(!netbuf_open(nb, &err) && arrive((unsigned int)room),
       "the first ones are there");
    lost();
    netbuf_teardown(nb, false, &err);
    netbuf_free(nb);
    ok(nothing_left(), "nothing is left");
}

static void test_silence(void)
{
    struct netbuf *nb = setup();
    struct netbuf_stat s;

    netbuf_buffer(nb, &err);
    send_frames(4);
    ok(holds(nb, 4) && !netbuf_mute(nb, true, &err) &&
       !netbuf_mute(nb, true, &err), "mute, twice");
    send_frames(6);
    serial_out -= 6;
    ok(holds(nb, 4) && !netbuf_mute(nb, false, &err) &&
       !netbuf_mute(nb, false, &err), "what came is gone, what is held stays");
    send_frames(2);
    ok(holds(nb, 6) && !netbuf_buffer(nb, &err) &&
       !netbuf_release(nb, &err) && arrive(6), "and goes on as if nothing was");
    send_frames(5);
    ok(holds(nb, 5) && !netbuf_buffer(nb, &err), "5 held, epoch closed");
    send_frames(5);
    ok(holds(nb, 10) && !netbuf_cut(nb, &err) && holds(nb, 0), "cut");
    send_frames(5);
    ok(netbuf_stat(nb, &s, 1, &err) == 1 && s.cut && s.held_packets == 0,
       "nothing is collected");
    xlc_error_clear(&err);
    ok(netbuf_release(nb, &err) == -ESHUTDOWN &&
       netbuf_open(nb, &err) == -ESHUTDOWN &&
       netbuf_buffer(nb, &err) == -ESHUTDOWN &&
       netbuf_mute(nb, false, &err) == -ESHUTDOWN, "final: %s", err.msg);
    xlc_error_clear(&err);
    ok(!netbuf_cut(nb, &err), "cut again");
    send_frames(5);
    ok(!netbuf_teardown(nb, false, &err) && lost(),
       "nothing of it ever arrives");
    netbuf_free(nb);
    ok(nothing_left(), "nothing is left");
    send_frames(2);
    ok(arrive(2), "the vif works again");
}

/* Cut with an open buffer under load: what arrives is a beginning of it. */
static void test_cut_load(void)
{
    struct netbuf *nb = setup();
    int64_t got, next;
    struct pollfd p = { .fd = lan_fd, .events = POLLIN };
    unsigned int n = 0;
    bool order = true;
    pid_t pid = fork();
    int status;

    if (!pid) {
        send_frames(20000);
        _exit(0);
    }
    while (receive() < 0)
        usleep(100);
    netbuf_cut(nb, &err);
    waitpid(pid, &status, 0);
    /* One that passes after the cut comes without those before it. */
    next = serial_in + 1;
    while ((got = receive()) >= 0 || poll(&p, 1, 50) == 1) {
        if (got < 0) continue;
        order &= got == next++;
        n++;
    }
    ok(order && n < 19999, "cut under load: %u passed, then none",
       n + 1);
    serial_out += 20000;
    lost();
    netbuf_teardown(nb, true, &err);
    netbuf_free(nb);
    ok(nothing_left(), "nothing is left");
}

static void test_settle(void)
{
    struct netbuf *nb = setup();
    struct netbuf_stat s;
    int status;
    pid_t pid;

    send_frames(3);
    ok(arrive(3) && !netbuf_settle(nb, 2000, 100000, &err),
       "an open buffer settles %s", err.msg);
    ok(!netbuf_buffer(nb, &err), "hold");
    pid = fork();
    if (!pid)
        for (;;) {
            send_frames(1);
            usleep(500);
        }
    do {
        usleep(100);
    } while (netbuf_stat(nb, &s, 1, &err) == 1 && !s.held_packets);
    ok(netbuf_settle(nb, 50000, 300000, &err) == -ETIMEDOUT,
       "not while packets come: %s", err.msg);
    xlc_error_clear(&err);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    ok(!netbuf_settle(nb, 2000, 300000, &err), "but then %s", err.msg);
    ok(!netbuf_teardown(nb, true, &err) && lost(), "teardown");
    netbuf_free(nb);
}

static void test_crash(void)
{
    struct netbuf *nb = NULL, *other = NULL;
    struct netbuf_stat s;
    int status, ready[2];
    char c;
    pid_t pid;

    ok(pipe(ready) == 0 && !netbuf_owner_alive(DOMID), "no owner");
    pid = fork();
    if (!pid) {
        nb = setup();
        if (!nb || netbuf_buffer(nb, &err)) _exit(1);
        (void)!write(ready[1], "x", 1);
        pause();
    }
    ok(read(ready[0], &c, 1) == 1 && netbuf_owner_alive(DOMID),
       "a worker owns a buffer");
    send_frames(5);
    ok(netbuf_attach(&nb, DOMID, &err) == -EBUSY && !nb,
       "nobody else attaches: %s", err.msg);
    xlc_error_clear(&err);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    ok(!netbuf_owner_alive(DOMID), "killed: no owner");
    ok(netbuf_setup(&other, DOMID, &vif0, 1, NETBUF_LIMIT_DEFAULT, &err) ==
       -EBUSY && !other && strstr(err.msg, "remus-netbuf clear 9000"),
       "no second set-up over it: %s", err.msg);
    xlc_error_clear(&err);
    ok(netbuf_scan(&s, 1, &err) == 1 && s.domid == DOMID && s.devid == 0 &&
       !strcmp(s.vif, "vif9000.0") && !strcmp(s.ifb, "rb9000.0") && !s.cut,
       "a scan finds it");
    ok(!netbuf_attach(&nb, DOMID, &err) && netbuf_count(nb) == 1 &&
       netbuf_owner_alive(DOMID), "the guard attaches");
    send_frames(2);
    ok(holds(nb, 7) && arrive(0), "all is held as it was");
    ok(netbuf_buffer(nb, &err) == -EBUSY, "no epoch before an open: %s",
       err.msg);
    xlc_error_clear(&err);
    ok(!netbuf_open(nb, &err) && arrive(7), "open");
    ok(!netbuf_buffer(nb, &err), "and a new first epoch");
    send_frames(3);
    ok(holds(nb, 3) && !netbuf_teardown(nb, true, &err) && lost(),
       "teardown that throws away");
    netbuf_free(nb);
    ok(nothing_left() && !netbuf_owner_alive(DOMID), "nothing is left");
    nb = NULL;
    ok(!netbuf_attach(&nb, DOMID, &err) && netbuf_count(nb) == 0 &&
       !netbuf_teardown(nb, false, &err), "attach to nothing");
    netbuf_free(nb);
    close(ready[0]);
    close(ready[1]);
}

static void test_others(void)
{
    struct netbuf *nb;

    run("tc qdisc add dev vif9000.0 clsact");
    nb = setup();
    ok(nb && !netbuf_teardown(nb, false, &err) &&
       !run("tc qdisc show dev vif9000.0 | grep -q clsact"),
       "somebody else's clsact stays");
    netbuf_free(nb);
    run("tc filter add dev vif9000.0 egress prio 7 matchall action ok");
    run("tc filter add dev vif9000.0 ingress prio 9 matchall action drop");
    nb = setup();
    send_frames(2);
    ok(nb && arrive(2), "somebody else's filter behind ours sees nothing");
    netbuf_free(nb); /* as if it had died */
    ok(!netbuf_attach(&nb, DOMID, &err) &&
       !netbuf_teardown(nb, false, &err) &&
       !run("tc filter show dev vif9000.0 ingress | grep -q 'pref 9 '") &&
       !run("tc filter show dev vif9000.0 egress | grep -q 'pref 7 '"),
       "their filters and their clsact stay, even after a crash");
    netbuf_free(nb);
    run("tc filter add dev vif9000.0 ingress prio 1 matchall action ok");
    ok(!setup() && err.status == -EBUSY && strstr(err.msg, "priority 1"),
       "one in front of ours is refused");
    ok(!run("! ip -o link show type ifb | grep -q ."), "without a trace");
    run("tc qdisc del dev vif9000.0 clsact");
    run("tc qdisc add dev vif9000.0 ingress");
    nb = setup();
    send_frames(2);
    ok(nb && arrive(2) && !netbuf_buffer(nb, &err), "on an ingress qdisc");
    netbuf_free(nb);
    ok(!netbuf_attach(&nb, DOMID, &err) &&
       !netbuf_teardown(nb, false, &err) &&
       !run("tc qdisc show dev vif9000.0 | grep -q ingress"),
       "which also stays after a crash");
    netbuf_free(nb);
    run("tc qdisc del dev vif9000.0 ingress");
}

static void test_odd(void)
{
    struct netbuf_vif bad = { .devid = 0, .ifname = "nosuch" };
    const struct netbuf_vif both[] = {
        { .devid = 0, .ifname = "vif9000.0" },
        { .devid = 0, .emulated = true, .ifname = "vif9000.0-emu" },
    };
    struct netbuf *nb = NULL;
    struct netbuf_stat s[4];

    ok(!netbuf_setup(&nb, DOMID, NULL, 0, NETBUF_LIMIT_DEFAULT, &err) &&
       netbuf_count(nb) == 0 && !netbuf_buffer(nb, &err) &&
       !netbuf_release(nb, &err) && !netbuf_cut(nb, &err) &&
       !netbuf_teardown(nb, true, &err), "a guest without network");
    netbuf_free(nb);
    ok(netbuf_setup(&nb, DOMID, &bad, 1, NETBUF_LIMIT_DEFAULT, &err) ==
       -ENODEV, "no such vif: %s", err.msg);
    xlc_error_clear(&err);
    run("ip link add vif9000.0-emu type veth peer name emu");
    ok(!netbuf_setup(&nb, DOMID, both, 2, NETBUF_LIMIT_DEFAULT, &err) &&
       netbuf_stat(nb, s, 4, &err) == 2 && !strcmp(s[1].ifb, "rb9000.0e") &&
       s[1].emulated, "both halves of an HVM guest's vif %s", err.msg);
    ok(!netbuf_buffer(nb, &err), "hold");
    run("ip link del vif9000.0-emu");
    ok(!netbuf_buffer(nb, &err) && !netbuf_release(nb, &err) &&
       netbuf_stat(nb, s, 4, &err) == 2 && !s[1].vif[0] && s[1].ifb[0],
       "a vif that goes does not disturb %s", err.msg);
    ok(!netbuf_mute(nb, true, &err) && !netbuf_mute(nb, false, &err) &&
       !netbuf_teardown(nb, false, &err), "nor does its teardown %s",
       err.msg);
    netbuf_free(nb);
    ok(nothing_left(), "nothing is left");
    nb = setup();
    netbuf_buffer(nb, &err);
    netbuf_free(nb);
    run("ip link del rb9000.0");
    send_frames(3);
    ok(netbuf_scan(s, 4, &err) == 1 && s[0].cut && !s[0].ifb[0] && lost(),
       "an ifb that goes cuts the vif off, and a scan says so");
    ok(!netbuf_attach(&nb, DOMID, &err) &&
       !netbuf_teardown(nb, false, &err), "which is cleared %s", err.msg);
    netbuf_free(nb);
    run("ip link add rb9000.0 type ifb");
    ok(!netbuf_attach(&nb, DOMID, &err) && netbuf_count(nb) == 1 &&
       !netbuf_teardown(nb, false, &err), "a set-up killed at its start %s",
       err.msg);
    netbuf_free(nb);
    ok(nothing_left(), "nothing is left");
    run("ip link add rb9000.0 type dummy");
    ok(!setup() && strstr(err.msg, "rb9000.0: can't make it"),
       "a name that is taken: %s", err.msg);
    ok(!run("ip link del rb9000.0"), "and stays");
    xlc_error_clear(&err);
}

/* A vif that comes later does as the others do. */
static void test_add(void)
{
    struct netbuf *nb = NULL;
    struct netbuf_stat st;

    netbuf_setup(&nb, DOMID, NULL, 0, NETBUF_LIMIT_DEFAULT, &err);
    ok(nb && netbuf_add(nb, &vif0, NETBUF_LIMIT_DEFAULT, &err) == 1,
       "a vif comes %s", err.msg);
    send_frames(2);
    ok(arrive(2), "and sends: nobody holds anything");
    ok(!netbuf_add(nb, &vif0, NETBUF_LIMIT_DEFAULT, &err), "it is known now");
    ok(!netbuf_teardown(nb, true, &err), "teardown");
    netbuf_free(nb);
    nb = NULL;
    netbuf_setup(&nb, DOMID, NULL, 0, NETBUF_LIMIT_DEFAULT, &err);
    ok(nb && !netbuf_buffer(nb, &err) &&
       netbuf_add(nb, &vif0, NETBUF_LIMIT_DEFAULT, &err) == 1,
       "one comes while the others hold %s", err.msg);
    send_frames(3);
    ok(holds(nb, 3) && arrive(0), "what it sends is held");
    ok(!netbuf_release(nb, &err) && holds(nb, 3) && arrive(0),
       "and is not of the epoch that is let go");
    ok(!netbuf_buffer(nb, &err), "its first epoch is closed");
    send_frames(2);
    ok(holds(nb, 5) && !netbuf_release(nb, &err) && arrive(3) && holds(nb, 2),
       "and let go, no more than that");
    run("ip link set vif9000.0 down; ip link set vif9000.0 name away; "
        "ip link add vif9000.0 type veth peer name guest2");
    ok(netbuf_add(nb, &vif0, NETBUF_LIMIT_DEFAULT, &err) == 1 &&
       netbuf_stat(nb, &st, 1, &err) == 1 && !strcmp(st.vif, "vif9000.0") &&
       !run("tc filter show dev vif9000.0 ingress | grep -q rb9000.0"),
       "another vif of its number is held as well %s", err.msg);
    ok(netbuf_add(nb, &(struct netbuf_vif){ .devid = 1, .ifname = "not" },
                  NETBUF_LIMIT_DEFAULT, &err) == -ENODEV &&
       netbuf_count(nb) == 1, "one without an interface is not: %s", err.msg);
    xlc_error_clear(&err);
    ok(!netbuf_teardown(nb, true, &err), "teardown %s", err.msg);
    netbuf_free(nb);
    run("ip link del vif9000.0; tc qdisc del dev away clsact; ip link set "
        "away name vif9000.0; ip link set vif9000.0 up");
    ok(nothing_left() && lost(), "nothing is left");
}

int main(void)
{
    if (geteuid() || access("/sys/class/net", R_OK) || !make_network()) {
        puts("1..0 # SKIP needs root, ip, veth and a bridge");
        return 77;
    }
    if (run("modprobe -q sch_plug; ip link add t0 type ifb && "
            "tc qdisc add dev t0 root plug; r=$?; "
            "ip link del t0; exit $r") ||
        run("for i in $(ip -o link show type ifb | cut -d: -f2); do "
            "ip link del $i; done")) {
        puts("1..0 # SKIP this kernel has no sch_plug or no ifb");
        return 77;
    }
    log_init("test", NULL, LOG_LEVEL_ERROR);
    test_open();
    test_epochs();
    test_limit();
    test_silence();
    test_cut_load();
    test_settle();
    test_crash();
    test_others();
    test_odd();
    test_add();
    return done_testing();
}
