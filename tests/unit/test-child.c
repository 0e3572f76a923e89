/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-child.c - A child's end is found, with a pidfd and without */
#include <config.h>

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "tap.h"

static pid_t sleeper(void)
{
    pid_t pid = fork();

    if (!pid) {
        pause();
        _exit(0);
    }
    return pid;
}

/* No descriptor is left while the child begins to be watched. */
static void watch_without(struct child *c, pid_t pid)
{
    struct rlimit old, none;

    getrlimit(RLIMIT_NOFILE, &old);
    none = old;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    child_watch(c, pid);
    setrlimit(RLIMIT_NOFILE, &old);
}

static void test(bool with)
{
    const struct timespec nap = { 0, 5000000 };
    const char *how = with ? "with a pidfd" : "without a pidfd";
    struct child c;
    int turns = 0;

    if (with) child_watch(&c, sleeper());
    else watch_without(&c, sleeper());
    ok((c.fd >= 0) == with && !child_ended(&c), "%s: it lives", how);
    child_kill(&c, SIGKILL);
    if (with) {
        struct pollfd pfd = { .fd = c.fd, .events = POLLIN };

        ok(poll(&pfd, 1, 10000) == 1, "%s: its end wakes a loop", how);
    }
    while (!child_ended(&c) && turns++ < 2000)
        nanosleep(&nap, NULL);
    ok(child_ended(&c) && !c.pid, "%s: its end is found", how);
    child_kill(&c, SIGKILL); /* whose number this is now, nobody knows */
    child_wait(&c);
    child_wait(&c);
    ok(c.fd == -1, "%s: and it is over", how);
}

int main(void)
{
    test(true);
    test(false);
    return done_testing();
}
