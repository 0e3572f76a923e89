/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disks-deaf.c - A plugin that is stopped holds nobody up for long
 *
 * MARK and ACCEPT are asked with the session's lock held, and heartbeats wait
 * for it: they give up well before silence would be taken for a failed host.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "disks.h"
#include "json.h"
#include "tap.h"

#define N     8u
#define LIMIT 1000u /* ms */

static void wake(void *opaque)
{
    (void)opaque;
}

/* Lets everybody in, as the kernel does for a stopped process. */
static int deaf(const char *folder)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/control", folder);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
        listen(fd, 16))
        abort();
    return fd;
}

/* The first one that is silent takes all the time; the others are not even
 * asked, however many they are. */
static bool gave_up(const struct xlc_error *e, unsigned int i)
{
    return e->status == -EAGAIN &&
           strstr(e->msg, i ? "was not asked" : "no answer in time");
}

static void test_gives_up(struct disks *d, enum diskctl_op op,
                          const char *what)
{
    uint64_t began = clock_ms(), until = disks_until(d), took;
    unsigned int given_up = 0;

    for (unsigned int i = 0; i < N; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        disks_quick(d, i, op, 1, until, &e);
        given_up += gave_up(&e, i);
    }
    took = clock_ms() - began;
    /* Half of the limit is meant; a busy machine adds to it. */
    ok(given_up == N && took >= LIMIT / 2 && took < DISKS_ANSWER_MS,
       "%s of %u disks gives up after %llu ms", what, N,
       (unsigned long long)took);
}

/* On the thread that sends the heartbeats. */
static void test_status(struct disks *d)
{
    uint64_t began = clock_ms(), took;
    unsigned int silent = 0, unasked = 0;
    CLEANUP_FREE char *text = NULL;
    struct json j;

    json_begin(&j);
    disks_json(d, &j);
    text = json_end(&j);
    took = clock_ms() - began;
    for (const char *s = text; s && (s = strstr(s, "in time")); s++)
        silent++;
    for (const char *s = text; s && (s = strstr(s, "not asked")); s++)
        unasked++;
    ok(silent == 1 && unasked == N - 1 && took >= LIMIT / 4,
       "the status of %u disks says so after %llu ms", N,
       (unsigned long long)took);
    ok(d->at[0].deaf_until_ms && !d->at[1].deaf_until_ms,
       "and only who was silent is left alone for a while");
}

int main(void)
{
    char folder[N][40];
    struct disks d;
    int fd[N];

    signal(SIGPIPE, SIG_IGN);
    alarm(120);
    disks_init(&d, wake, NULL);
    disks_limit(&d, LIMIT);
    d.list.n = N;
    for (unsigned int i = 0; i < N; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        snprintf(folder[i], sizeof(folder[i]), "/tmp/xl-colo-deaf-XXXXXX");
        if (!mkdtemp(folder[i])) abort();
        fd[i] = deaf(folder[i]);
        snprintf(d.at[i].folder, sizeof(d.at[i].folder), "%s", folder[i]);
        if (disks_connect(&d, i, &e)) abort();
    }
    test_gives_up(&d, DISKCTL_MARK, "MARK");
    test_gives_up(&d, DISKCTL_ACCEPT, "ACCEPT");
    test_status(&d);
    disks_dispose(&d);
    for (unsigned int i = 0; i < N; i++) {
        char path[sizeof(folder) + 16];

        close(fd[i]);
        snprintf(path, sizeof(path), "%s/control", folder[i]);
        unlink(path);
        rmdir(folder[i]);
    }
    return done_testing();
}
