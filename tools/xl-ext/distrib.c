/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* distrib.c - The distribution's own xl */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "distrib.h"

#define EXIT_NO_XL 127 /* as a shell says it */

/* Something that can be run, and is not ourselves. */
static bool usable(const char *path)
{
    struct stat st, self;

    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK))
        return false;
    /* Who can't tell (no /proc) must not: ourselves would be for ever. */
    return !stat("/proc/self/exe", &self) &&
           (st.st_dev != self.st_dev || st.st_ino != self.st_ino);
}

/* A part of the hypervisor's version: digits. Return: true if it is there */
static bool version_part(char part[16], const char *root, const char *name)
{
    char path[PATH_MAX], buf[16];
    CLEANUP_FD int fd = -1;
    const char *p = buf;
    size_t len;
    ssize_t n;

    if (snprintf(path, sizeof(path), "%s/sys/hypervisor/version/%s", root,
                 name) >= (int)sizeof(path))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    n = read(fd, buf, sizeof(buf) - 1);
    if (n <= 0) return false;
    buf[n] = 0;
    p += *p == '.'; /* some kernels show the minor number with its dot */
    len = strspn(p, "0123456789");
    if (!len || (p[len] && p[len] != '\n')) return false;
    memcpy(part, p, len);
    part[len] = 0;
    return true;
}

static bool running_version(char path[PATH_MAX], const char *root)
{
    char major[16], minor[16];

    return version_part(major, root, "major") &&
           version_part(minor, root, "minor") &&
           snprintf(path, PATH_MAX, "%s/usr/lib/xen-%s.%s/bin/xl", root,
                    major, minor) < PATH_MAX &&
           usable(path);
}

static bool newest(char path[PATH_MAX], const char *root)
{
    const char *best = NULL;
    glob_t g;
    bool found = false;

    if (snprintf(path, PATH_MAX, "%s/usr/lib/xen-*/bin/xl", root) >=
        PATH_MAX)
        return false;
    if (glob(path, 0, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++)
            if (usable(g.gl_pathv[i]) &&
                (!best || strverscmp(best, g.gl_pathv[i]) < 0))
                best = g.gl_pathv[i];
        found = best && snprintf(path, PATH_MAX, "%s", best) < PATH_MAX;
    }
    globfree(&g);
    return found;
}

static bool fixed(char path[PATH_MAX], const char *root, const char *which)
{
    return which && snprintf(path, PATH_MAX, "%s%s", root, which) <
           PATH_MAX && usable(path);
}

int distrib_find(char path[PATH_MAX], const char *root,
                 struct xlc_error *err)
{
#ifdef XLC_DISTRIB_XL
    static const char configured[] = XLC_DISTRIB_XL;
#else
    static const char *const configured = NULL;
#endif
    const char *env = getenv(DISTRIB_ENV);

    if (env) {
        if (fixed(path, "", env)) return 0;
        return xlc_error_set(err, -ENOENT, "$" DISTRIB_ENV " is no program: "
                             "%s", env);
    }
    if (running_version(path, root) || fixed(path, root, configured) ||
        fixed(path, root, "/usr/sbin/xl") || newest(path, root))
        return 0;
    return xlc_error_set(err, -ENOENT, "the distribution's xl is not on this "
                         "host (looked for /usr/lib/xen-*/bin/xl and "
                         "/usr/sbin/xl; it is in Debian's xen-utils)");
}

int distrib_exec(char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    char path[PATH_MAX];

    if (!distrib_find(path, "", &err)) {
        execv(path, argv);
        xlc_error_set(&err, -errno, "can't run %s: %s", path,
                      strerror(errno));
    }
    fprintf(stderr, "xl: %s\n", err.msg);
    return EXIT_NO_XL;
}

int distrib_run(char **argv)
{
    int status;
    pid_t pid;

    fflush(stdout); /* ours first, and only once */
    pid = fork();
    if (pid < 0) {
        fprintf(stderr, "xl: fork: %s\n", strerror(errno));
        return EXIT_NO_XL;
    }
    if (pid == 0) _exit(distrib_exec(argv));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return EXIT_NO_XL;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
