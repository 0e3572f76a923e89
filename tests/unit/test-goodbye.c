/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-goodbye.c - A start that failed says so to the other host
 *
 * primary_goodbye() against a receiver in a thread of its own.
 */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "fake-peer.h"
#include "log.h"
#include "primary.h"
#include "tap.h"

static struct fake f;
static atomic_bool over;
static struct primary p;
static struct shared shared;

static void *receiver(void *opaque)
{
    const struct timespec nap = { 0, 1000000 };

    (void)opaque;
    while (!over) {
        fake_turn(&f);
        nanosleep(&nap, NULL);
    }
    return NULL;
}

/* How long it took. */
static uint64_t say(bool booted, bool dialled, uint16_t answer)
{
    uint64_t began = clock_ms(), took;
    pthread_t thread;

    fake_init(&f, true);
    f.state = PROTO_SEC_SYNCING;
    f.answer = answer;
    f.mute = true;
    over = false;
    if (pthread_create(&thread, NULL, receiver, NULL)) abort();
    p = (struct primary){ .sh = &shared, .naddr = 2, .port = f.port,
                          .secret = f.secret, .booted = booted,
                          .dialled = dialled, .boot = { -1, -1, -1 } };
    snprintf(p.addr[0], sizeof(p.addr[0]), "127.0.0.2"); /* nobody */
    snprintf(p.addr[1], sizeof(p.addr[1]), "127.0.0.1");
    primary_goodbye(&p);
    primary_unlink(&p);
    took = clock_ms() - began;
    over = true;
    pthread_join(thread, NULL);
    /* Whom it let in has hung up, and it reads on to that; nobody else comes
     * for a while. */
    for (int i = 0; i < (f.attached ? 10000 : 100) && !f.ended; i++) {
        fake_turn(&f);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    fake_free(&f);
    return took;
}

int main(void)
{
    uint64_t ms;

    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    ms = say(true, false, PROTO_DROPPED);
    ok(f.heard[PROTO_DROP] && f.heard[PROTO_DROP] < 9 && f.ended && ms < 2500,
       "it says DROP, hears DROPPED, and hangs up (%u ms)",
       (unsigned int)ms);
    ms = say(true, false, 0);
    ok(f.heard[PROTO_DROP] > 1 && f.ended && ms < 8000,
       "without an answer it says so again, and gives up (%u ms)",
       (unsigned int)ms);
    say(true, true, 0);
    ok(!f.attached, "where no connection could be made, none is tried again");
    say(false, false, 0);
    ok(!f.attached, "nor where the other host never said READY");
    return done_testing();
}
