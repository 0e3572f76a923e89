/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log.c - Where a process of this project says what it does */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

static struct {
    const char *role;
    int fd;
    enum log_level level;
} sink = { "xl-colo", STDERR_FILENO, LOG_LEVEL_INFO };

int log_init(const char *role, const char *path, enum log_level level)
{
    sink.role = role;
    sink.level = level;
    if (path) {
        int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0) return -errno;
        sink.fd = fd;
    }
    return 0;
}

enum log_level log_level_now(void)
{
    return sink.level;
}

void log_role(const char *role)
{
    sink.role = role;
}

int log_fd(void)
{
    return sink.fd;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    int saved = errno;
    char line[1024];
    struct timespec t;
    struct tm tm;
    va_list ap;
    int n, m;

    if (level > sink.level) return;
    clock_gettime(CLOCK_REALTIME, &t);
    localtime_r(&t.tv_sec, &tm);
    n = snprintf(line, sizeof(line), "%02d:%02d:%02d.%03ld %s: %s: ",
                 tm.tm_hour, tm.tm_min, tm.tm_sec, t.tv_nsec / 1000000,
                 sink.role, names[level]);
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n += m < 0 ? 0 : m;
    if ((size_t)n > sizeof(line) - 2) n = sizeof(line) - 2;
    line[n++] = '\n';
    if (write(sink.fd, line, (size_t)n) < 0) {
        /* Nowhere left to say it. */
    }
    errno = saved;
}
