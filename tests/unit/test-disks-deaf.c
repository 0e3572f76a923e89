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

#include "clock.h"
#include "disks.h"
#include "tap.h"

#define N     2u
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

static void test_gives_up(struct disks *d, enum diskctl_op op,
                          const char *what)
{
    uint64_t began = clock_ms(), took;
    unsigned int given_up = 0;

    for (unsigned int i = 0; i < N; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        given_up += disks_quick(d, i, op, 1, &e) == -EAGAIN &&
                    strstr(e.msg, "no answer in time");
    }
    took = clock_ms() - began;
    /* Half of the limit is meant; a busy machine adds to it. */
    ok(given_up == N && took >= LIMIT / 2 && took < DISKS_ANSWER_MS,
       "%s of %u disks gives up after %llu ms", what, N,
       (unsigned long long)took);
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
    disks_dispose(&d);
    for (unsigned int i = 0; i < N; i++) {
        char path[100];

        close(fd[i]);
        snprintf(path, sizeof(path), "%s/control", folder[i]);
        unlink(path);
        rmdir(folder[i]);
    }
    return done_testing();
}
