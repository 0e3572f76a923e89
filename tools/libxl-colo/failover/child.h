/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * child.h - Wait for a child in a poll loop
 *
 * A pidfd wakes the loop where the kernel gives one; without it (no descriptor
 * is left, an old kernel) the loop finds out at its next turn. Whether the
 * child has ended is only ever learned from waitpid().
 */
#ifndef XLC_CHILD_H
#define XLC_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct child - a process that this one forked
 * @pid: 0 once it was reaped
 * @fd: becomes readable when it ends; -1 if there is no such thing
 */
struct child {
    pid_t pid;
    int fd;
};

/* Begin to watch @pid. Without a pidfd it says so on the log. */
void child_watch(struct child *c, pid_t pid);

/* Has it ended? Reaps it. To be called once a turn. */
bool child_ended(struct child *c);

/* Send @sig, unless it was reaped: its number may be another's by then. */
void child_kill(const struct child *c, int sig);

/* Wait for its end, and forget it. */
void child_wait(struct child *c);

#endif
