/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-relay.c - A disk's stream between two plugins, over two relays
 *
 * The two ends that the plugins would have are the test's.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "conn-pair.h"
#include "relay.h"

#define MUCH (24u << 20)

/**
 * struct two - both hosts' relays
 * @r: primary's, secondary's; @fd: what their plugins have
 * @over: posted by each relay that ends; @why: what it said
 */
struct two {
    struct relay *r[2];
    int fd[2];
    sem_t over[2];
    char why[2][128];
};

static void ended(struct two *t, int i, const char *why)
{
    snprintf(t->why[i], sizeof(t->why[i]), "%s", why);
    sem_post(&t->over[i]);
}

static void ended_0(void *opaque, const char *why)
{
    ended(opaque, 0, why);
}

static void ended_1(void *opaque, const char *why)
{
    ended(opaque, 1, why);
}

static void two_open(struct two *t, bool plain)
{
    struct pair p = attached(plain);

    memset(t, 0, sizeof(*t));
    sem_init(&t->over[0], 0, 0);
    sem_init(&t->over[1], 0, 0);
    if (relay_start(&t->r[0], p.c, &t->fd[0], ended_0, t, NULL) ||
        relay_start(&t->r[1], p.s, &t->fd[1], ended_1, t, NULL)) abort();
}

static void two_close(struct two *t)
{
    for (int i = 0; i < 2; i++) {
        relay_stop(t->r[i]);
        if (t->fd[i] >= 0) close(t->fd[i]);
    }
}

/* ---- Octets -------------------------------------------------------------- */

struct job {
    int fd;
    unsigned int seed;
    bool write, good;
};

static void pattern(uint8_t *p, size_t len, size_t at, unsigned int seed)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)((at + i) * 2654435761u >> 13) ^ (uint8_t)seed;
}

static void *work(void *arg)
{
    static const size_t sizes[] = { 1, 37, 4096, 70000, 1 << 20 };
    uint8_t *buf = malloc(1 << 20), *want = malloc(1 << 20);
    struct job *j = arg;
    size_t at = 0;

    j->good = buf && want;
    for (unsigned int k = 0; at < MUCH && j->good; k++) {
        size_t len = sizes[k % 5];
        ssize_t n;

        if (len > MUCH - at) len = MUCH - at;
        if (j->write) {
            pattern(buf, len, at, j->seed);
            n = send(j->fd, buf, len, MSG_NOSIGNAL);
        } else {
            n = recv(j->fd, buf, len, 0);
            if (n > 0) pattern(want, (size_t)n, at, j->seed);
            j->good = n > 0 && !memcmp(buf, want, (size_t)n);
        }
        if (n <= 0) j->good = false;
        else at += (size_t)n;
    }
    free(buf);
    free(want);
    return NULL;
}

static void test_octets(bool plain)
{
    struct two t;
    struct job j[4];
    pthread_t th[4];
    bool good = true;

    two_open(&t, plain);
    for (int i = 0; i < 4; i++) {
        j[i] = (struct job){ t.fd[i & 1], i == 1 || i == 2, i < 2, false };
        if (pthread_create(&th[i], NULL, work, &j[i])) abort();
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(th[i], NULL);
        good = good && j[i].good;
    }
    ok(good, "%s: %u octets each way, at once", how(plain), MUCH);
    /* The last octets arrive before who sent them has counted them. */
    for (int i = 0; i < 10000 && (relay_out(t.r[0]) != MUCH ||
                                  relay_out(t.r[1]) != MUCH); i++)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    ok(relay_out(t.r[0]) == MUCH && relay_in(t.r[0]) == MUCH &&
       relay_out(t.r[1]) == MUCH, "%s: and they are counted", how(plain));
    two_close(&t);
}

/* ---- Ends ---------------------------------------------------------------- */

static bool waited(sem_t *s, unsigned int ms)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += ms / 1000;
    return !sem_timedwait(s, &at);
}

/* What a plugin says last arrives, and then the end. */
static void test_last_words(bool plain, int from)
{
    static uint8_t buf[200000], got[200000];
    struct two t;

    two_open(&t, plain);
    memset(buf, 'w', sizeof(buf));
    write_raw(t.fd[from], buf, sizeof(buf));
    close(steal_fd(&t.fd[from]));
    ok(recv(t.fd[!from], got, sizeof(got), MSG_WAITALL) ==
       (ssize_t)sizeof(got) && !memcmp(buf, got, sizeof(buf)) &&
       !recv(t.fd[!from], got, 1, 0),
       "%s: the last words of end %d arrive, then the end", how(plain), from);
    ok(waited(&t.over[from], 20000) && waited(&t.over[!from], 20000) &&
       strstr(t.why[from], "plugin") && t.why[!from][0],
       "%s: both are told: %s; %s", how(plain), t.why[from], t.why[!from]);
    two_close(&t);
}

/* The connection breaks. */
static void test_broken(bool plain)
{
    struct pair p = attached(plain);
    int fd = -1;
    struct two t = { .fd = { -1, -1 } };
    char c;

    sem_init(&t.over[0], 0, 0);
    if (relay_start(&t.r[0], p.c, &fd, ended_0, &t, NULL)) abort();
    conn_free(p.s);
    ok(!recv(fd, &c, 1, 0) && waited(&t.over[0], 20000) &&
       strstr(t.why[0], "closed the connection"),
       "%s: the plugin sees that the connection broke: %s", how(plain),
       t.why[0]);
    relay_stop(t.r[0]);
    close(fd);
}

/* Our own end is nobody's loss. */
static void test_stop(bool plain)
{
    struct two t;
    char c;

    two_open(&t, plain);
    relay_stop(steal_ptr(&t.r[0]));
    ok(!recv(t.fd[0], &c, 1, 0) && sem_trywait(&t.over[0]) &&
       errno == EAGAIN, "%s: relay_stop() ends it and calls nobody",
       how(plain));
    ok(waited(&t.over[1], 20000), "%s: the other host's relay ends",
       how(plain));
    two_close(&t);
}

/* ---- Slow ---------------------------------------------------------------- */

/* Nobody reads there: what is taken here is bounded, and waiting costs no
 * processor time. */
static void test_slow(bool plain)
{
    static uint8_t buf[65536], got[65536];
    struct rusage before, after;
    struct two t;
    size_t taken = 0, back = 0;
    uint64_t spent, begun;
    int quiet = 0;

    two_open(&t, plain);
    while (quiet < 3) { /* full for 300 ms */
        struct pollfd pfd = { .fd = t.fd[0], .events = POLLOUT };
        ssize_t n = 0;

        if (poll(&pfd, 1, 100) == 1)
            n = send(t.fd[0], buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) taken += (size_t)n;
        quiet = n > 0 ? 0 : quiet + 1;
    }
    ok(taken < (8u << 20), "%s: %zu octets are taken, no more", how(plain),
       taken);
    getrusage(RUSAGE_SELF, &before);
    begun = clock_ms();
    poll(NULL, 0, 500);
    getrusage(RUSAGE_SELF, &after);
    spent = (uint64_t)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) *
            1000000 + (uint64_t)(after.ru_utime.tv_usec +
                                 after.ru_stime.tv_usec -
                                 before.ru_utime.tv_usec -
                                 before.ru_stime.tv_usec) +
            (uint64_t)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) *
            1000000;
    ok(spent < (clock_ms() - begun) * 1000 / 4, "%s: waiting takes %llu us "
       "of processor time in half a second", how(plain),
       (unsigned long long)spent);
    while (back < taken) {
        ssize_t n = recv(t.fd[1], got, sizeof(got), 0);

        if (n <= 0) break;
        back += (size_t)n;
    }
    ok(back == taken, "%s: all of it arrives when it is read", how(plain));
    two_close(&t);
}

/* The plugin ends, and the other host never reads what it said: that does
 * not keep the relay for ever. */
static void test_deaf(bool plain)
{
    static uint8_t buf[4096];
    struct two t;
    uint64_t begun;

    two_open(&t, plain);
    while (send(t.fd[0], buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL) > 0 ||
           poll(&(struct pollfd){ .fd = t.fd[0], .events = POLLOUT }, 1,
                100) == 1)
        ;
    begun = clock_ms();
    close(steal_fd(&t.fd[0]));
    ok(waited(&t.over[0], 20000) && clock_ms() - begun < 15000,
       "%s: a deaf peer is not waited for", how(plain));
    two_close(&t);
}

int main(void)
{
    pair_begin();
    for (int plain = 0; plain < 2; plain++) {
        test_octets(plain);
        test_last_words(plain, 0);
        test_last_words(plain, 1);
        test_broken(plain);
        test_stop(plain);
        test_slow(plain);
        test_deaf(plain);
    }
    return done_testing();
}
