/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf-modules.c - The kernel modules that a network buffer needs
 *
 * The kernel would load all of them by itself, but ifb then with two devices
 * that nobody asked for; and a module that is missing is better named.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "netbuf-setup.h"

#define MODPROBE "/sbin/modprobe"

static bool is_loaded(const char *module)
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/module/%s", module);
    return access(path, F_OK) == 0;
}

/* Its own signals, environment and descriptors, whatever ours are. */
static int spawn(pid_t *pid, const char *module, const char *option)
{
    static char path_env[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char name[32], opt[32], prog[] = "modprobe", quiet[] = "-q";
    char *argv[] = { prog, quiet, name, option ? opt : NULL, NULL };
    char *env[] = { path_env, NULL };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int r;

    snprintf(name, sizeof(name), "%s", module);
    snprintf(opt, sizeof(opt), "%s", option ? option : "");
    sigemptyset(&none);
    sigfillset(&all);
    r = posix_spawn_file_actions_init(&fa);
    if (r) return -r;
    r = posix_spawnattr_init(&attr);
    if (r) goto out;
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
                             POSIX_SPAWN_SETSIGDEF);
    r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    if (!r) r = posix_spawn_file_actions_adddup2(&fa, log_fd(), 2);
    if (!r) r = posix_spawn_file_actions_adddup2(&fa, 2, 1);
    if (!r) r = posix_spawn(pid, MODPROBE, &fa, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
out:
    posix_spawn_file_actions_destroy(&fa);
    return -r;
}

static void load(const char *module, const char *option)
{
    int r, status = 0;
    pid_t pid, got;

    if (is_loaded(module)) return;
    r = spawn(&pid, module, option);
    if (r < 0) {
        log_debug("can't run %s: %s", MODPROBE, strerror(-r));
        return;
    }
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    /* ECHILD: the process ignores SIGCHLD; how it ended is then unknown. */
    if (got == pid && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        log_debug("%s %s failed (wait status %d)", MODPROBE, module, status);
}

void netbuf_modules(void)
{
    /* Names and order as in lsmod; dependencies come by themselves. */
    load("ifb", "numifbs=0");
    load("sch_plug", NULL);
    load("sch_ingress", NULL);
    load("cls_matchall", NULL);
    load("act_mirred", NULL);
    load("act_gact", NULL);
}
