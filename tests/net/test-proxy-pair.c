/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-proxy-pair.c - Both proxies between real TCP stacks
 *
 * Needs root, ip and tun; is skipped without. Not Xen, and no checkpoint of
 * a guest: two kernels' TCPs run the same server from the start, with their
 * own sequence numbers, clocks and segments.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "clock.h"
#include "log.h"
#include "pair.h"
#include "tap.h"

#define PORT  7000
#define ORDER 16u /* octets of an order: a letter and a number */

static struct pair pair;
static struct xlc_error err;

/* What is transferred: octet number @at of it. */
static uint8_t octet(uint64_t at)
{
    uint64_t x = (at / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint8_t)(x >> (at % 8 * 8));
}

static void fill(uint8_t *buf, size_t len, uint64_t at)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = octet(at + i);
}

/* ---- Server -------------------------------------------------------------- */

static bool send_all(int fd, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n <= 0) return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool recv_all(int fd, void *buf, size_t len)
{
    return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static bool send_pattern(int fd, uint64_t len)
{
    uint8_t buf[65536];

    for (uint64_t at = 0; at < len;) {
        size_t n = len - at < sizeof(buf) ? len - at : sizeof(buf);

        fill(buf, n, at);
        if (!send_all(fd, buf, n)) return false;
        at += n;
    }
    return true;
}

/* Return: how many octets of it came and were right. */
static uint64_t recv_pattern(int fd, uint64_t len)
{
    uint8_t buf[65536];
    uint64_t at = 0;

    while (at < len) {
        size_t want = len - at < sizeof(buf) ? len - at : sizeof(buf);
        ssize_t n = recv(fd, buf, want, 0);

        if (n <= 0) return at;
        for (ssize_t i = 0; i < n; i++, at++)
            if (buf[i] != octet(at)) return at;
    }
    return at;
}

/* 1000 octets, 16 that nobody else knows, 1000 more. */
static bool send_token(int fd)
{
    uint8_t buf[1000], token[16];

    fill(buf, sizeof(buf), 0);
    if (getrandom(token, sizeof(token), 0) != (ssize_t)sizeof(token))
        return false;
    if (!send_all(fd, buf, sizeof(buf))) return false;
    usleep(20000);
    if (!send_all(fd, token, sizeof(token))) return false;
    usleep(20000);
    return send_all(fd, buf, sizeof(buf));
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg, on = 1;
    char order[ORDER + 1] = "";
    bool good = true;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    while (good && recv_all(fd, order, ORDER)) {
        uint64_t n = strtoull(order + 1, NULL, 10);

        if (order[0] == 'D') good = send_pattern(fd, n);
        else if (order[0] == 'U')
            good = recv_pattern(fd, n) == n && send_all(fd, "received", 8);
        else if (order[0] == 'T') good = send_token(fd);
        else good = false;
    }
    close(fd);
    return NULL;
}

static void serve(enum pair_ns which, void *arg)
{
    struct sockaddr_in me = {
        .sin_family = AF_INET, .sin_port = htons(PORT),
    };
    int l = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    (void)which;
    (void)arg;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(l, (struct sockaddr *)&me, sizeof(me)) || listen(l, 1000))
        _exit(98);
    close(3);
    for (;;) {
        int fd = accept(l, NULL, NULL);
        pthread_t t;

        if (fd < 0) continue;
        if (pthread_create(&t, NULL, serve_one, (void *)(intptr_t)fd)) {
            close(fd);
            continue;
        }
        pthread_detach(t);
    }
}

/* ---- Client -------------------------------------------------------------- */

static bool order(int fd, char what, uint64_t n)
{
    char buf[ORDER + 1];

    snprintf(buf, sizeof(buf), "%c%0*llu", what, (int)ORDER - 1,
             (unsigned long long)n);
    return send_all(fd, buf, ORDER);
}

static bool download(int fd, uint64_t n)
{
    return order(fd, 'D', n) && recv_pattern(fd, n) == n;
}

static bool upload(int fd, uint64_t n)
{
    char said[8];

    return order(fd, 'U', n) && send_pattern(fd, n) &&
           recv_all(fd, said, sizeof(said)) && !memcmp(said, "received", 8);
}

/* Nothing was asked for: the two said the same. */
static bool same(void)
{
    struct proxy_primary_status s;

    if (proxy_primary_status(pair.primary, &s, &err)) return false;
    if (s.want.reason != COMPARE_OK)
        printf("# wanted: %s, %u in flow of port %u\n",
               compare_reason_name(s.want.reason),
               (unsigned int)s.compare.held, s.want.key.dport);
    return s.want.reason == COMPARE_OK;
}

static void show(void)
{
    struct proxy_primary_status s;

    if (proxy_primary_status(pair.primary, &s, &err)) return;
    printf("# %llu frames in, %llu out, %llu of the other; %llu compared, "
           "%llu lowered, %llu made, %llu ended by a commit, %llu held, "
           "wanted: %s\n",
           (unsigned long long)s.in_frames, (unsigned long long)s.out_frames,
           (unsigned long long)s.compare.secondary,
           (unsigned long long)s.compare.compared,
           (unsigned long long)s.compare.lowered,
           (unsigned long long)s.compare.made,
           (unsigned long long)s.compare.committed,
           (unsigned long long)s.compare.held,
           compare_reason_name(s.want.reason));
}

static bool open_pair(unsigned int loss, uint32_t late_ms)
{
    struct compare_opts opts = COMPARE_OPTS_INIT;

    xlc_error_clear(&err);
    opts.late_ns = UINT64_C(1000000) * late_ms;
    if (pair_open(&pair, loss, &opts, &err) ||
        pair_serve(&pair, serve, NULL, &err)) {
        ok(false, "set up: %s", err.msg);
        return false;
    }
    return true;
}

/* ---- Tests --------------------------------------------------------------- */

static void test_same(void)
{
    bool good = true;
    int fd;

    if (!open_pair(0, 3000)) return;
    ok(!pair_colo(&pair, &err), "COLO %s", err.msg);
    fd = pair_connect(&pair, PORT);
    ok(fd >= 0 && same(), "a connection: %d", fd);
    ok(download(fd, 100) && same(), "a short answer");
    ok(download(fd, 16 << 20) && same(), "16 MiB down");
    ok(upload(fd, 16 << 20) && same(), "16 MiB up");
    close(fd);
    for (unsigned int i = 0; i < 200 && good; i++) {
        fd = pair_connect(&pair, PORT);
        good = fd >= 0 && download(fd, 1 + i * 97) && same();
        close(fd);
    }
    ok(good, "200 connections one after the other");
    show();
    pair_close(&pair);
}

static atomic_bool ticking;

static void *tick(void *arg)
{
    struct xlc_error own = XLC_ERROR_INIT;

    while (ticking && !pair_commit(arg, &own))
        usleep(20000);
    if (own.status) printf("# commit: %s\n", own.msg);
    return NULL;
}

/* What a session does when a checkpoint is wanted; but these guests can't be
 * made the same again, so it stays passive from then on. */
static void *fall_back(void *arg)
{
    struct proxy_primary_status s;
    struct xlc_error own = XLC_ERROR_INIT;

    while (ticking && !proxy_primary_status(pair.primary, &s, &own)) {
        if (s.want.reason == COMPARE_OK) {
            usleep(20000);
            continue;
        }
        *(enum compare_reason *)arg = s.want.reason;
        proxy_primary_mode(pair.primary, COMPARE_PASSIVE, &own);
        return tick(&pair);
    }
    return NULL;
}

/*
 * Losses on the LAN. The secondary guest may then be the one whose TCP is
 * slower, and late; but nothing that it says is different.
 */
static void test_loss(void)
{
    enum compare_reason why = COMPARE_OK;
    pthread_t t;
    int fd;

    if (!open_pair(100, 1000)) return;
    pair_colo(&pair, &err);
    ticking = true;
    pthread_create(&t, NULL, fall_back, &why);
    fd = pair_connect(&pair, PORT);
    ok(fd >= 0 && download(fd, 4 << 20),
       "a client with 1 %% of losses: 4 MiB down");
    ok(upload(fd, 4 << 20), "4 MiB up");
    ticking = false;
    pthread_join(t, NULL);
    ok(why == COMPARE_OK || why == COMPARE_LATE || why == COMPARE_ACK,
       "nothing differs, wanted is %s", compare_reason_name(why));
    close(fd);
    show();
    pair_close(&pair);
}

/* What the client has within @wait_ms of silence. */
static size_t gather(int fd, uint8_t *buf, size_t size, int wait_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    size_t have = 0;

    while (have < size && poll(&p, 1, wait_ms) == 1) {
        ssize_t n = recv(fd, buf + have, size - have, 0);

        if (n <= 0) break;
        have += (size_t)n;
    }
    return have;
}

static void test_token(void)
{
    struct pollfd event = { .events = POLLIN };
    uint8_t buf[4096], expect[1000];
    struct proxy_primary_status s;
    uint64_t told;
    size_t have;
    int fd;

    if (!open_pair(0, 3000)) return;
    pair_colo(&pair, &err);
    fill(expect, sizeof(expect), 0);
    fd = pair_connect(&pair, PORT);
    ok(fd >= 0 && download(fd, 5000) && same(), "the same for a while");
    event.fd = proxy_primary_event_fd(pair.primary);
    ok(poll(&event, 1, 5000) == 1 && read(event.fd, &told, sizeof(told)) > 0,
       "the copy's connection was told");
    ok(order(fd, 'T', 0) && poll(&event, 1, 5000) == 1 &&
       !proxy_primary_status(pair.primary, &s, &err) &&
       s.want.reason == COMPARE_PAYLOAD,
       "a random token wants a checkpoint");
    have = gather(fd, buf, sizeof(buf), 300);
    ok(have == 1000 && !memcmp(buf, expect, 1000),
       "what is equal has left, and not one octet more: %zu", have);
    ok(!pair_commit(&pair, &err), "a checkpoint %s", err.msg);
    have = gather(fd, buf, sizeof(buf), 500);
    ok(have >= 16 && have <= 1016, "lets the token go, and what was sent "
       "before the cut: %zu", have);
    close(fd);
    pair_close(&pair);
}

/* Read on until @end octets are there, which are right. */
static bool read_on(int fd, uint64_t *got, uint64_t end)
{
    uint8_t buf[65536];

    while (*got < end) {
        size_t max = end - *got < sizeof(buf) ? end - *got : sizeof(buf);
        ssize_t n = recv(fd, buf, max, 0);

        if (n <= 0) return false;
        for (ssize_t i = 0; i < n; i++, (*got)++)
            if (buf[i] != octet(*got)) return false;
    }
    return true;
}

/* Both guests run, with two connections. */
static bool open_two(int *fd, int *fd2)
{
    if (!open_pair(0, 3000)) return false;
    pair_colo(&pair, &err);
    *fd = pair_connect(&pair, PORT);
    *fd2 = pair_connect(&pair, PORT);
    ok(*fd >= 0 && *fd2 >= 0 && upload(*fd, 300000) && download(*fd2, 300000),
       "two connections, and what they did");
    return true;
}

static void test_failover(bool loss)
{
    struct proxy_secondary_status s;
    uint64_t got = 0, end;
    bool good;
    int fd, fd2;

    if (!open_two(&fd, &fd2)) return;
    order(fd, 'D', 8 << 20);
    good = read_on(fd, &got, 2 << 20);
    ok(good && same(), "%llu octets of a download, and then",
       (unsigned long long)got);
    ok(!pair_failover(&pair, &err), "the primary dies %s", err.msg);
    if (loss) pair.loss = 50;
    good = good && read_on(fd, &got, 8 << 20);
    ok(good && got == 8 << 20, "the other one goes on with it: %llu of 8 MiB",
       (unsigned long long)got);
    ok(upload(fd, 1 << 20) && download(fd, 1 << 20),
       "and with the connection, both ways");
    ok(upload(fd2, 1 << 20) && download(fd2, 1 << 20), "and with the idle one");
    ok(!proxy_secondary_status(pair.secondary, &s, &err) && s.live == 2,
       "through the rewriter, for both");
    close(fd);
    close(fd2);
    fd = pair_connect(&pair, PORT);
    ok(fd >= 0 && download(fd, 100000), "a new connection");
    close(fd);
    if (!getenv("PROXY_PAIR_LONG")) {
        skip("closed connections are kept for 2 minutes: PROXY_PAIR_LONG=1");
        pair_close(&pair);
        return;
    }
    end = clock_ms() + 150000;
    do {
        usleep(100000);
        good = !proxy_secondary_status(pair.secondary, &s, &err);
    } while (good && s.live && clock_ms() < end);
    ok(good && !s.live, "and when they are closed, without it");
    pair_close(&pair);
}

/* RULES B4: the survivor's rewriter is killed in the middle of connections
 * that have an offset, again and again. */
static void test_killed(void)
{
    const uint64_t all = 8 << 20;
    unsigned int deaths = 0;
    uint64_t got = 0;
    bool good;
    int fd, fd2;

    if (!open_two(&fd, &fd2)) return;
    order(fd, 'D', all);
    ok(read_on(fd, &got, 1 << 20) && !pair_failover(&pair, &err),
       "in the middle of a download the primary dies %s", err.msg);
    do {
        good = !pair_succeed(&pair, &err) &&
               read_on(fd, &got, got + (300 << 10) < all ? got + (300 << 10) :
                                                           all);
        deaths++;
    } while (good && got < all);
    ok(good && deaths > 20, "rule_B4: %llu octets of the rest arrive, %u times "
       "by another process %s", (unsigned long long)got, deaths, err.msg);
    ok(upload(fd, 1 << 20) && !pair_succeed(&pair, &err) &&
       download(fd, 1 << 20), "rule_B4: and the connection goes on, both ways");
    ok(upload(fd2, 1 << 20) && !pair_succeed(&pair, &err) &&
       download(fd2, 1 << 20), "rule_B4: and the idle one");
    close(fd);
    close(fd2);
    fd = pair_connect(&pair, PORT);
    ok(fd >= 0 && download(fd, 100000), "a new connection");
    close(fd);
    pair_close(&pair);
}

/* Output goes by epochs, and the guests need not be the same. */
static void test_passive(void)
{
    uint8_t buf[2016];
    pthread_t t;
    int fd;

    if (!open_pair(0, 3000)) return;
    ticking = true;
    pthread_create(&t, NULL, tick, &pair);
    fd = pair_connect(&pair, PORT);
    ok(fd >= 0 && download(fd, 4 << 20) && upload(fd, 4 << 20) && same(),
       "passive, an epoch each 20 ms: 4 MiB each way");
    ok(order(fd, 'T', 0) && recv_all(fd, buf, sizeof(buf)) && same(),
       "a token is nothing special");
    ticking = false;
    pthread_join(t, NULL);
    close(fd);
    pair_close(&pair);
}

int main(void)
{
    if (geteuid() || access("/dev/net/tun", R_OK | W_OK) ||
        system("ip -V >/dev/null 2>&1")) {
        puts("1..0 # SKIP needs root, ip and tun");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    log_init("test", NULL, LOG_LEVEL_ERROR);
    test_passive();
    test_same();
    test_token();
    test_loss();
    test_failover(false);
    test_failover(true);
    test_killed();
    return done_testing();
}
