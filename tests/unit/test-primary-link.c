/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-primary-link.c - The primary's data connection ends
 *
 * primary_data_ended() in each state of the machine, over a real connection:
 * what ends protection, what is the other host's good right, and that whoever
 * writes to it notices.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "conn-pair.h"
#include "log.h"
#include "primary.h"

#define BROKE "web: the data connection broke"

static char logged[] = "/tmp/test-primary-link-XXXXXX";
static const struct xlc_options options = { .host = "hostb" };
static struct shared shared;
static struct primary p;

/* Lines in the log that say so. */
static unsigned int told(void)
{
    FILE *f = fopen(logged, "r");
    char line[512];
    unsigned int n = 0;

    if (!f) abort();
    while (fgets(line, sizeof(line), f)) n += !!strstr(line, BROKE);
    fclose(f);
    return n;
}

static void begin(enum prim_state state, struct conn *data)
{
    memset(&p, 0, sizeof(p));
    memset(&shared, 0, sizeof(shared));
    pthread_mutex_init(&p.lock, NULL);
    pthread_mutex_init(&p.nb_lock, NULL);
    pthread_cond_init(&p.cond, NULL);
    prim_init(&p.m);
    p.m.state = state;
    p.m.cut = p.m.acked = 7;
    p.m.outcome = XLC_STOPPED;
    p.o = &options;
    p.sh = &shared;
    p.data = data;
    p.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p.wake < 0 || truncate(logged, 0)) abort();
    snprintf(p.rec.name, sizeof(p.rec.name), "web");
}

static void end(void)
{
    close(p.wake);
    pthread_cond_destroy(&p.cond);
    pthread_mutex_destroy(&p.nb_lock);
    pthread_mutex_destroy(&p.lock);
}

/* Would who writes to it be told? The other end is only half closed, so the
 * kernel takes an octet for as long as ours is not shut. */
static bool takes(const struct conn *c)
{
    return send(conn_fd(c), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

static bool woken(void)
{
    uint64_t n;

    return read(p.wake, &n, sizeof(n)) == sizeof(n);
}

/* The other host says no more, but is there. */
static struct pair half_closed(void)
{
    struct pair pair = attached(true);

    if (shutdown(conn_fd(pair.s), SHUT_WR)) abort();
    return pair;
}

static void test_breaks(enum prim_state state)
{
    struct pair pair = half_closed();
    bool before;

    begin(state, pair.c);
    before = takes(p.data);
    primary_data_ended(&p);
    ok(before && p.data_broken && !takes(p.data),
       "%s: it is not looked at again, and a writer notices",
       prim_state_name(state));
    ok(p.m.state == PRIM_DROPPING && p.m.outcome == XLC_PEER_LOST &&
       p.m.why == PROTO_WHY_ERROR && p.say == PRIM_DO_SEND_DROP && p.stop &&
       !p.finished && shared.state == PRIM_DROPPING && woken(),
       "protection ends, and the other host is asked to drop its copy");
    ok(told() == 1, "it is said");
    primary_data_ended(&p);
    ok(told() == 1 && p.m.state == PRIM_DROPPING &&
       p.say == PRIM_DO_SEND_DROP && !p.m.violations,
       "once; again nothing comes of it");
    end();
    pair_close(&pair);
}

/* After the final cut our copy must not go on by itself. */
static void test_final(void)
{
    struct pair pair = half_closed();

    begin(PRIM_SWAPPING, pair.c);
    p.m.final = true;
    primary_data_ended(&p);
    ok(p.m.state == PRIM_DROPPING && p.stop && p.freeze && told() == 1,
       "after the last checkpoint the guest stays suspended");
    end();
    pair_close(&pair);
}

/* All is decided: it is how the other host ends, too. */
static void test_decided(enum prim_state state)
{
    struct pair pair = half_closed();
    struct prim was;

    begin(state, pair.c);
    was = p.m;
    primary_data_ended(&p);
    ok(!told() && !memcmp(&was, &p.m, sizeof(was)) && !p.say && !p.stop &&
       !p.finished, "%s: nothing changes, nor is anything said",
       prim_state_name(state));
    ok(p.data_broken && !takes(p.data),
       "but it is not looked at again, and a writer notices");
    end();
    pair_close(&pair);
}

int main(void)
{
    int fd = mkstemp(logged);

    if (fd < 0) return 99;
    close(fd);
    log_init("test", logged, LOG_LEVEL_WARN);
    pair_begin();
    for (unsigned int st = 0; st < PRIM_NSTATES; st++) {
        if (st == PRIM_SYNCING || st == PRIM_PROTECTED || st == PRIM_SWAPPING)
            test_breaks((enum prim_state)st);
        else
            test_decided((enum prim_state)st);
    }
    test_final();
    unlink(logged);
    return done_testing();
}
