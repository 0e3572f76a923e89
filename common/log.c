/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log.c - Where a process of this project says what it does
 *
 * Theory of operation
 * -------------------
 * A file takes every line; writing to it is waited for, until the process says
 * that it has something more urgent: then a thread writes (lineq.h), and a fork
 * waits again, having no such thread. A terminal that was
 * stopped (Ctrl-S), or a pipe that nobody reads, takes none and would stop
 * whoever logs, with what it has locked. So these are written to without
 * waiting: what does not fit is lost, counted, and said in the next line that
 * fits, or at the end of the process.
 *
 * Not to wait is a property of an open file, which we share with the shell
 * that started us; so the same terminal or pipe is opened a second time. A
 * socket has a flag for a single call instead.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lineq.h"
#include "log.h"

/* How long the end of a process waits: to say what was lost; for a file. */
#define LAST_WORD_MS 1000
#define DRAIN_MS     2000
#define LINE_MAX_LEN 1024

enum sink_kind {
    SINK_FILE,   /* waited for, by @queue's thread if there is one */
    SINK_OPENED, /* @out is the same, opened again, and does not wait */
    SINK_SOCKET,
    SINK_POLLED, /* could not be opened again: asked before each line */
};

/**
 * sink - the process's log
 * @fd: what we were given or opened; @out: what lines are written to
 * @queue: for a file; stays until the process ends
 */
static struct {
    const char *role;
    int fd, out;
    enum sink_kind kind;
    enum log_level level;
    struct lineq *_Atomic queue;
} sink = { "xl-colo", STDERR_FILENO, STDERR_FILENO, SINK_FILE,
           LOG_LEVEL_INFO, NULL };

static _Atomic unsigned int lost; /* lines */
static _Atomic unsigned int said; /* of these, by the log itself */
static _Atomic bool torn; /* the last line lacks its end */

static bool has_room(int ms)
{
    struct pollfd p = { .fd = sink.out, .events = POLLOUT };

    return poll(&p, 1, ms) == 1 && p.revents & POLLOUT;
}

static ssize_t write_some(const char *text, size_t len)
{
    ssize_t n;

    do {
        if (sink.kind == SINK_SOCKET)
            n = send(sink.out, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (sink.kind == SINK_POLLED && !has_room(0))
            return -1;
        else
            n = write(sink.out, text, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Return: true if all of it was written */
static bool put(const char *text, size_t len)
{
    struct lineq *q = sink.queue;
    size_t at = 0;
    ssize_t n;

    if (q) return lineq_put(q, text, len);
    if (atomic_exchange(&torn, false) && write_some("\n", 1) != 1) {
        torn = true;
        return false;
    }
    while (at < len) {
        n = write_some(text + at, len - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    if (at && at < len) torn = true;
    return at == len;
}

static int begin_line(char line[LINE_MAX_LEN], const char *level)
{
    struct timespec t;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &t);
    localtime_r(&t.tv_sec, &tm);
    return snprintf(line, LINE_MAX_LEN, "%02d:%02d:%02d.%03ld %s: %s: ",
                    tm.tm_hour, tm.tm_min, tm.tm_sec, t.tv_nsec / 1000000,
                    sink.role, level);
}

/* Return: true if there is nothing (more) to say */
static bool say_lost(void)
{
    unsigned int was = said, all = lost, n = all - was;
    char line[LINE_MAX_LEN];
    int len;

    /* One thread says it. */
    if (!n || !atomic_compare_exchange_strong(&said, &was, all)) return true;
    len = begin_line(line, "warning");
    len += snprintf(line + len, sizeof(line) - (size_t)len, "%u line%s of "
                    "this log %s lost here: %s\n", n,
                    n == 1 ? "" : "s", n == 1 ? "was" : "were",
                    sink.kind == SINK_FILE ? "they could not be written" :
                    "nobody read them");
    if (put(line, (size_t)len)) return true;
    said -= n;
    return false;
}

static void last_word(void)
{
    if (lost != said && has_room(LAST_WORD_MS)) say_lost();
    log_flush();
}

/* The same terminal or pipe a second time, for us alone. */
static int open_again(int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void choose_sink(int fd)
{
    static bool registered;
    struct stat st;

    if (!registered) registered = !atexit(last_word);
    log_flush();
    sink.queue = NULL;
    if (sink.out != sink.fd) close(sink.out);
    sink.fd = sink.out = fd;
    sink.kind = SINK_FILE;
    torn = false;
    if (fstat(fd, &st)) return;
    if (S_ISSOCK(st.st_mode)) {
        sink.kind = SINK_SOCKET;
    } else if (S_ISFIFO(st.st_mode) || isatty(fd)) {
        int again = open_again(fd);

        sink.kind = again < 0 ? SINK_POLLED : SINK_OPENED;
        if (again >= 0) sink.out = again;
    }
}

static void forget_queue(void)
{
    sink.queue = NULL;
}

void log_no_wait(void)
{
    static bool registered;

    if (sink.kind != SINK_FILE || sink.queue) return;
    /* Its thread stays here. */
    if (!registered && pthread_atfork(NULL, NULL, forget_queue)) return;
    registered = true;
    sink.queue = lineq_new(sink.out, &lost);
}

void log_flush(void)
{
    struct lineq *q = sink.queue;

    if (q) lineq_drain(q, DRAIN_MS);
}

int log_init(const char *role, const char *path, enum log_level level)
{
    int fd = STDERR_FILENO;

    sink.role = role;
    sink.level = level;
    if (path) {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) return -errno;
    }
    choose_sink(fd);
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

unsigned int log_lost(void)
{
    return lost;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    int saved = errno;
    char line[LINE_MAX_LEN];
    va_list ap;
    int n, m;

    if (level > sink.level) return;
    n = begin_line(line, names[level]);
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n += m < 0 ? 0 : m;
    if ((size_t)n > sizeof(line) - 2) n = sizeof(line) - 2;
    line[n++] = '\n';
    if (!say_lost() || !put(line, (size_t)n)) lost++;
    errno = saved;
}

void log_text(const char *fmt, ...)
{
    int saved = errno;
    char text[LINE_MAX_LEN];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof(text)) n = sizeof(text) - 1;
    if (n > 0) put(text, (size_t)n);
    errno = saved;
}
