/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon.c - Leave the terminal, or the ssh session, that started us */
#include <config.h>

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "log.h"

#define LOG_DIR    "/var/log/xen"
#define SCOPE_MARK "XL_COLO_SCOPE"

void daemon_file(char *path, size_t size, const char *name,
                 const char *suffix)
{
    char safe[256];
    size_t i;

    for (i = 0; name[i] && i < sizeof(safe) - 1; i++)
        safe[i] = isalnum((unsigned char)name[i]) ||
                  strchr("-_.", name[i]) ? name[i] : '_';
    safe[i] = 0;
    snprintf(path, size, "%s/xl-remus-%s.%s", LOG_DIR, safe, suffix);
}

void daemon_detach(const char *role, const char *name)
{
    char path[512];
    int null;

    daemon_file(path, sizeof(path), name, "log");
    setsid();
    if (chdir("/")) log_warn("chdir / failed");
    /* The standard descriptors first, so that the log gets none of them. */
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    mkdir(LOG_DIR, 0755);
    if (log_init(role, path, log_level_now())) return;
    dup2(log_fd(), STDERR_FILENO);
}

void daemon_scope(const char *const *argv)
{
    static const char *const head[] = {
        "systemd-run", "--scope", "--quiet", "--collect", "--",
    };
    const size_t nhead = sizeof(head) / sizeof(head[0]);
    const char *av[32];
    size_t n = 0;

    if (getenv(SCOPE_MARK) || access("/run/systemd/system", F_OK)) return;
    for (size_t i = 0; i < nhead; i++)
        av[n++] = head[i];
    for (size_t i = 0; argv[i] && n < 31; i++)
        av[n++] = argv[i];
    av[n] = NULL;
    setenv(SCOPE_MARK, "1", 1);
    execvp(av[0], (char *const *)av);
    /* Without systemd-run we stay where we are. */
}
