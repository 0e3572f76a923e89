/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* child.c - Wait for a child in a poll loop */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"
#include "log.h"

void child_watch(struct child *c, pid_t pid)
{
    c->pid = pid;
    c->fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (c->fd < 0)
        log_warn("process %d can't be watched (pidfd_open: %s); looking at "
                 "it now and then instead", (int)pid, strerror(errno));
}

bool child_ended(struct child *c)
{
    pid_t r;

    if (!c->pid) return true;
    r = waitpid(c->pid, NULL, WNOHANG);
    /* Without such a child there is nothing to wait for either. */
    if (r != c->pid && !(r < 0 && errno == ECHILD)) return false;
    c->pid = 0;
    return true;
}

void child_kill(const struct child *c, int sig)
{
    if (c->pid) kill(c->pid, sig);
}

void child_wait(struct child *c)
{
    while (c->pid) {
        if (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR) continue;
        c->pid = 0;
    }
    if (c->fd >= 0) close(steal_fd(&c->fd));
}
