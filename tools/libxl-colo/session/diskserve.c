/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diskserve.c - Run the program that starts and ends the disks' plugins */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "clock.h"
#include "diskserve.h"
#include "log.h"

#ifndef XLC_LIBEXECDIR
#define XLC_LIBEXECDIR "/usr/local/libexec/xl-colo"
#endif

/* It waits for an nbdkit that ends in order itself, 30 s. */
#define RUN_MS    40000u
#define WORDS_MAX 8
#define TEXT_MAX  4096

extern char **environ;

const char *diskserve_program(void)
{
    const char *p = getenv("XL_COLO_DISK_SERVE");

    return p && *p ? p : XLC_LIBEXECDIR "/disk-serve";
}

/* Files, not pipes: nbdkit may keep what it was given. */
static int start(pid_t *pid_r, const char *const *words, int out, int errs)
{
    char *argv[WORDS_MAX + 2] = { (char *)(uintptr_t)diskserve_program() };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none, usual;
    int r;

    for (int i = 0; i < WORDS_MAX && words[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)words[i];
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGHUP);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
                             POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &usual);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&fa, errs, STDERR_FILENO);
    r = posix_spawn(pid_r, argv[0], &fa, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return -r;
}

/* Return: its wait status; -ETIMEDOUT after it was killed; another errno */
static int wait_end(pid_t pid)
{
    CLEANUP_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    uint64_t deadline = clock_ms() + RUN_MS;
    bool killed = false;
    int status;

    for (;;) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        uint64_t now = clock_ms();
        pid_t r;

        /* Without such a descriptor: look from time to time. */
        if (now < deadline)
            poll(&pfd, 1, fd >= 0 ? (int)(deadline - now) : 20);
        r = waitpid(pid, &status, WNOHANG);
        if (r == pid) return killed ? -ETIMEDOUT : status;
        if (r < 0 && errno != EINTR) return -errno;
        if (now < deadline || killed) continue;
        kill(pid, SIGKILL);
        killed = true;
        deadline = now + 1000;
    }
}

/* The last line of what it wrote, without what no terminal should see. */
static void last_line(int fd, char *to, unsigned int size)
{
    char text[TEXT_MAX];
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > TEXT_MAX ? end - TEXT_MAX : 0;
    ssize_t n = end > 0 ? pread(fd, text, sizeof(text), from) : 0;
    ssize_t begin;

    while (n > 0 && text[n - 1] == '\n') n--;
    for (begin = n; begin > 0 && text[begin - 1] != '\n'; begin--)
        ;
    xlc_sanitise(to, size, text + begin,
                 n > begin ? (unsigned int)(n - begin) : 0);
}

int diskserve(const char *const *words, char *folder, struct xlc_error *err)
{
    char said[DISKSERVE_SAID_MAX];
    int r = diskserve_said(words, folder, said, err);

    if (!r && said[0]) log_info("%s", said);
    return r;
}

int diskserve_said(const char *const *words, char *folder, char *said,
                   struct xlc_error *err)
{
    CLEANUP_FD int out = memfd_create("disk-serve", MFD_CLOEXEC);
    CLEANUP_FD int errs = memfd_create("disk-serve", MFD_CLOEXEC);
    pid_t pid;
    int r;

    said[0] = '\0';

    if (out < 0 || errs < 0)
        return xlc_error_set(err, -errno, "memfd_create: %s",
                             strerror(errno));
    r = start(&pid, words, out, errs);
    if (r)
        return xlc_error_set(err, r, "%s: %s: is xl-colo installed whole?",
                             diskserve_program(), strerror(-r));
    r = wait_end(pid);
    if (r < 0)
        return xlc_error_set(err, r, "%s %s: %s", diskserve_program(), words[0],
                             strerror(-r));
    last_line(errs, said, DISKSERVE_SAID_MAX);
    if (r)
        return xlc_error_set(err, -EPERM, "%s", said[0] ? said :
                             "disk-serve failed and does not say why");
    if (!folder) return 0;
    last_line(out, folder, DISKSERVE_FOLDER_MAX);
    if (folder[0] != '/')
        return xlc_error_set(err, -EPROTO, "%s %s prints no folder",
                             diskserve_program(), words[0]);
    return 0;
}

int diskserve_folder(const char *path, char *folder, struct xlc_error *err)
{
    const char *const words[] = { "folder", path, NULL };

    return diskserve(words, folder, err);
}

int diskserve_secondary(const char *path, const uint8_t uuid[16],
                        uint64_t size, int force, char *folder,
                        struct xlc_error *err)
{
    char id[37], octets[24];
    const char *const words[] = { "secondary", path, id, octets,
                                  force ? "force" : NULL, NULL };
    char *p = id;

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *p++ = '-';
        p += snprintf(p, 3, "%02x", uuid[i]);
    }
    snprintf(octets, sizeof(octets), "%llu", (unsigned long long)size);
    return diskserve(words, folder, err);
}

int diskserve_end(const char *path, struct xlc_error *err)
{
    const char *const words[] = { "end", path, NULL };

    return diskserve(words, NULL, err);
}

void diskserve_claim(const struct diskserve_paths *p, const char *word,
                     const char *name)
{
    for (uint32_t i = 0; i < p->n && i < DISKLIST_MAX; i++) {
        const char *const words[] = { word, p->at[i], NULL };
        struct xlc_error e = XLC_ERROR_INIT;

        if (diskserve(words, NULL, &e))
            log_warn("%s: disk %s: %s", name, p->at[i], e.msg);
    }
}
