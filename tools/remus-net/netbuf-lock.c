/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* netbuf-lock.c - Whose buffer it is: one lock file for each domain */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "netbuf-lock.h"

#define TRIES   25
#define PAUSE_NS (20 * 1000 * 1000)

static void lock_path(char path[sizeof(XLC_RUNDIR) + 32], uint32_t domid)
{
    snprintf(path, sizeof(XLC_RUNDIR) + 32, XLC_RUNDIR "/netbuf-%u.lock",
             (unsigned int)domid);
}

/*
 * Open and lock @path. Return: the descriptor; -EAGAIN if another holds it,
 * or removed it while we waited for it.
 */
static int try_lock(const char *path)
{
    CLEANUP_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                             0600);
    struct stat mine, there;

    if (fd < 0) return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
    if (fstat(fd, &mine)) return -errno;
    if (stat(path, &there))
        return errno == ENOENT ? -EAGAIN : -errno;
    if (mine.st_dev != there.st_dev || mine.st_ino != there.st_ino)
        return -EAGAIN;
    return steal_fd(&fd);
}

int netbuf_lock_take(uint32_t domid, int *fd_r, struct xlc_error *err)
{
    const struct timespec pause = { .tv_nsec = PAUSE_NS };
    char path[sizeof(XLC_RUNDIR) + 32];
    int i, r = -EAGAIN;

    if (mkdir(XLC_RUNDIR, 0700) && errno != EEXIST)
        return xlc_error_set(err, -errno, "can't create %s: %s", XLC_RUNDIR,
                             strerror(errno));
    lock_path(path, domid);
    for (i = 0; i < TRIES; i++) {
        r = try_lock(path);
        if (r != -EAGAIN) break;
        nanosleep(&pause, NULL);
    }
    if (r == -EAGAIN)
        return xlc_error_set(err, -EBUSY, "another process owns the network "
                             "buffer of domain %u (it locks %s)",
                             (unsigned int)domid, path);
    if (r < 0)
        return xlc_error_set(err, r, "can't lock %s: %s", path,
                             strerror(-r));
    *fd_r = r;
    return 0;
}

void netbuf_lock_remove(uint32_t domid)
{
    char path[sizeof(XLC_RUNDIR) + 32];

    lock_path(path, domid);
    unlink(path);
}

bool netbuf_owner_alive(uint32_t domid)
{
    char path[sizeof(XLC_RUNDIR) + 32];
    CLEANUP_FD int fd = -1;

    lock_path(path, domid);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno != ENOENT;
    /* Shared: two who ask at once don't take each other for the owner. */
    return flock(fd, LOCK_SH | LOCK_NB) != 0;
}
