/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-proxy-rollback.c - Checkpoints in the middle of live TCP
 *
 * Two real TCP stacks as guests, and a server that can be told to stand
 * still. A checkpoint makes the secondary guest what the primary guest is, as
 * a session would: input is held, the server stands still, its connection is
 * looked at (TCP_REPAIR), the proxies cut, and the secondary's server goes on
 * with a copy of the connection in place of its own. Needs root, ip, tun and
 * a kernel with TCP_REPAIR; is skipped without.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "pair.h"
#include "repair.h"
#include "tap.h"

#define PORT  7000
#define CHUNK 16384u
#define TOTAL (UINT64_C(48) << 20)
#define EACH  50u /* ms between checkpoints, at least */
#define STILL 60000u /* ms: nothing moves any more */

/* What the server does: octet number n of a stream is a function of n. It
 * sends @TOTAL of them, and counts those that come. */
struct app {
    uint64_t sent, got;
    bool wrong;
};

/**
 * struct shared - memory of the test and both servers
 * @app: what the server that stood still was doing
 * @conn: its connection
 */
struct shared {
    struct app app;
    struct repair conn;
};

static struct pair pair;
static struct shared *shared;
static struct xlc_error err;
static int ctl[PAIR_NS][2]; /* test's end, server's end */

static uint8_t octet(uint64_t at)
{
    return (uint8_t)(((at / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15)) >>
                     (at % 8 * 8));
}

/* ---- Server -------------------------------------------------------------- */

/* Read all there is. Return: false if the connection is over. */
static bool take(int fd, struct app *a)
{
    uint8_t buf[CHUNK];
    ssize_t n;

    while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        for (ssize_t i = 0; i < n; i++, a->got++)
            if (buf[i] != octet(a->got)) a->wrong = true;
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Both servers cut their stream into the same pieces. */
static void give(int fd, struct app *a)
{
    uint8_t buf[CHUNK];
    size_t len = CHUNK - a->sent % CHUNK;
    ssize_t n;

    for (size_t i = 0; i < len; i++)
        buf[i] = octet(a->sent + i);
    n = send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) a->sent += (uint64_t)n;
}

static void say(int fd, char c)
{
    if (write(fd, &c, 1) != 1) _exit(97);
}

static char hear(int fd)
{
    char c;

    return read(fd, &c, 1) == 1 ? c : 0;
}

/* It begins, and says so: before that there is nothing to look at, nor may a
 * copy take the place of a connection that nobody has accepted yet. */
static int begin(int control, int l)
{
    int fd = accept(l, NULL, NULL);

    if (fd >= 0) say(control, 'y');
    return fd;
}

/* 'F': stand still, and say what you are. 'K': become what is said. Then 'G':
 * go on. */
static int obey(int control, int fd, struct app *a)
{
    char c = hear(control);
    int e = 0;

    if (c == 'F') {
        take(fd, a);
        e = repair_dump(fd, &shared->conn);
        shared->app = *a;
    } else if (c == 'K') {
        if (fd >= 0) repair_drop(fd);
        fd = e = repair_make(&shared->conn);
        *a = shared->app;
    } else {
        _exit(0);
    }
    if (e < 0) fprintf(stderr, "# %c: %s\n", c, strerror(-e));
    say(control, e < 0 ? 'n' : 'y');
    if (hear(control) != 'G') _exit(0);
    if (c == 'K' && repair_go(fd, &shared->conn)) say(control, 'n');
    else say(control, 'y');
    return fd;
}

static void serve(enum pair_ns which, void *arg)
{
    struct sockaddr_in me = {
        .sin_family = AF_INET, .sin_port = htons(PORT),
    };
    int l = socket(AF_INET, SOCK_STREAM, 0), on = 1, fd = -1;
    int control = ctl[which][1];
    struct app a = { 0 };

    (void)arg;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(l, (struct sockaddr *)&me, sizeof(me)) || listen(l, 10))
        _exit(98);
    close(3);
    for (;;) {
        struct pollfd p[3] = {
            { .fd = control, .events = POLLIN },
            { .fd = fd < 0 ? l : -1, .events = POLLIN },
            { .fd = fd, .events = (short)(POLLIN | (a.sent < TOTAL ? POLLOUT
                                                                   : 0)) },
        };

        if (poll(p, 3, -1) < 0) continue;
        if (p[0].revents) fd = obey(control, fd, &a);
        else if (p[1].revents) fd = begin(control, l);
        else if (p[2].revents & POLLIN && !take(fd, &a)) p[2].fd = -1;
        else if (p[2].revents & POLLOUT) give(fd, &a);
        if (p[2].fd < 0 && fd >= 0 && p[2].revents) break;
    }
    pause();
}

/* ---- Client -------------------------------------------------------------- */

/**
 * struct client - sends and receives at the same time, until TOTAL of both
 *                 went through; however slow that is, as long as it moves
 * @why: it ended before
 */
struct client {
    int fd;
    atomic_ullong sent, got;
    atomic_bool wrong, over;
    const char *why;
};

/* Return: does the connection live? */
static bool get_some(struct client *c)
{
    uint8_t buf[CHUNK];
    ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

    if (n < 0) return errno == EAGAIN;
    for (ssize_t i = 0; i < n; i++)
        if (buf[i] != octet(c->got++)) c->wrong = true;
    return n > 0;
}

static bool put_some(struct client *c)
{
    size_t len = CHUNK - c->sent % CHUNK;
    uint8_t buf[CHUNK];
    ssize_t n;

    for (size_t i = 0; i < len; i++)
        buf[i] = octet(c->sent + i);
    n = send(c->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    c->sent += (uint64_t)n;
    return true;
}

static void *talk(void *arg)
{
    struct client *c = arg;

    while (!c->why && (c->sent < TOTAL || c->got < TOTAL)) {
        struct pollfd p = { .fd = c->fd, .events = POLLIN };

        if (c->sent < TOTAL) p.events |= POLLOUT;
        if (poll(&p, 1, STILL) <= 0) c->why = ", then nothing moved";
        else if ((p.revents & POLLIN && !get_some(c)) ||
                 (p.revents & POLLOUT && !put_some(c)))
            c->why = ", then the connection broke";
        if (c->wrong) c->why = ", then another one";
    }
    c->over = true;
    return NULL;
}

/* ---- Checkpoints --------------------------------------------------------- */

static bool tell(enum pair_ns which, char what)
{
    say(ctl[which][0], what);
    return hear(ctl[which][0]) == 'y';
}

/* Return: NULL, or which step failed. */
static const char *checkpoint(void)
{
    uint64_t epoch = ++pair.epoch;

    if (proxy_primary_hold(pair.primary, true, &err)) return "hold";
    usleep(2000); /* what was on its way into the guest is there */
    if (!tell(PAIR_P, 'F')) return "look at the connection";
    usleep(2000);
    if (proxy_primary_cut(pair.primary, epoch, &err)) return "cut";
    if (!tell(PAIR_P, 'G')) return "resume";
    if (proxy_primary_hold(pair.primary, false, &err)) return "go on";
    if (!tell(PAIR_S, 'K')) return "make the connection";
    if (proxy_secondary_cut(pair.secondary, epoch, &err)) return "its cut";
    if (!tell(PAIR_S, 'G')) return "let it go on";
    if (proxy_secondary_connected(pair.secondary, &err)) return "connected";
    if (proxy_primary_commit(pair.primary, epoch, &err)) return "commit";
    return NULL;
}

/*
 * A copy begins with the smallest congestion window and segments, which
 * TCP_REPAIR can't set: its first flight must cover a frame of the primary.
 */
static bool small_frames(void)
{
    bool good = !pair_enter(&pair, PAIR_P) &&
                !system("ip link set eth0 gso_max_segs 1");

    pair_enter(&pair, PAIR_NS);
    return good;
}

/* Both servers have their connection. */
static bool begun(void)
{
    for (int i = PAIR_P; i <= PAIR_S; i++) {
        struct pollfd p = { .fd = ctl[i][0], .events = POLLIN };

        if (poll(&p, 1, STILL) != 1 || hear(ctl[i][0]) != 'y') return false;
    }
    return true;
}

static bool open_all(struct client *c, pthread_t *t)
{
    struct compare_opts opts = COMPARE_OPTS_INIT;
    bool good = true;

    xlc_error_clear(&err);
    opts.late_ns = UINT64_C(5000000000);
    for (int i = PAIR_P; i <= PAIR_S && good; i++)
        good = !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ctl[i]);
    *c = (struct client){ .fd = -1 };
    good = good && !pair_open(&pair, 0, &opts, &err) &&
           !pair_serve(&pair, serve, NULL, &err) && small_frames() &&
           !pair_colo(&pair, &err);
    if (good) c->fd = pair_connect(&pair, PORT);
    good = good && c->fd >= 0 && begun();
    ok(good, "a connection in COLO mode %s", err.msg);
    return good && !pthread_create(t, NULL, talk, c);
}

static void close_all(struct client *c)
{
    pair_close(&pair);
    close(c->fd);
    for (int i = PAIR_P; i <= PAIR_S; i++) {
        close(ctl[i][0]);
        close(ctl[i][1]);
    }
}

/*
 * rule_A4, A10, B4, C1 together. With @fail the primary dies half way: the
 * copy of the connection has its numbers, so it goes on without a rewriter.
 * With @passive every third epoch is passive (rule_B6).
 */
static void test_rollbacks(bool fail, bool passive)
{
    struct proxy_primary_status p = { 0 };
    struct proxy_secondary_status s = { 0 };
    unsigned int n = 0, wants = 0, rest = EACH;
    const char *failed = NULL;
    struct client c;
    pthread_t t;

    if (!open_all(&c, &t)) return;
    while (!c.over && !failed && !(fail && c.got > TOTAL / 2 && n > 4)) {
        uint64_t began;

        usleep(rest * 1000);
        proxy_primary_status(pair.primary, &p, &err);
        if (p.want.reason != COMPARE_OK)
            printf("# epoch %llu: wanted: %s\n", (unsigned long long)p.epoch,
                   compare_reason_name(p.want.reason));
        wants += p.want.reason != COMPARE_OK;
        if (passive &&
            proxy_primary_mode(pair.primary, n % 3 == 1 ? COMPARE_PASSIVE
                                                        : COMPARE_COLO, &err))
            break;
        /* On a busy machine too the guests run half of the time. */
        began = clock_ms();
        failed = checkpoint();
        rest = (unsigned int)(clock_ms() - began);
        if (rest < EACH) rest = EACH;
        n += !failed;
    }
    ok(!failed && n > 4, "%u checkpoints%s%s %s", n, failed ? ", then: " : "",
       failed ? failed : "", err.msg);
    proxy_primary_status(pair.primary, &p, &err);
    ok(!wants && p.want.reason == COMPARE_OK && p.compare.compared > n,
       "nothing differs in between: %llu frames compared, %llu left by a "
       "commit", (unsigned long long)p.compare.compared,
       (unsigned long long)p.compare.committed);
    proxy_secondary_status(pair.secondary, &s, &err);
    ok(s.in_again > 0, "rule_C1: %llu segments were given again",
       (unsigned long long)s.in_again);
    if (fail) ok(!pair_failover(&pair, &err), "failover %s", err.msg);
    pthread_join(t, NULL);
    ok(!c.wrong && c.sent == TOTAL && c.got == TOTAL,
       "each octet came, once, both ways: %llu and %llu of %llu%s",
       (unsigned long long)c.sent, (unsigned long long)c.got,
       (unsigned long long)TOTAL, c.why ? c.why : "");
    close_all(&c);
}

int main(void)
{
    if (geteuid() || access("/dev/net/tun", R_OK | W_OK) ||
        system("ip -V >/dev/null 2>&1") || !repair_works()) {
        puts("1..0 # SKIP needs root, ip, tun and TCP_REPAIR");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    log_init("test", NULL, LOG_LEVEL_ERROR);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 99;
    test_rollbacks(false, false);
    test_rollbacks(false, true);
    test_rollbacks(true, false);
    return done_testing();
}
