/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-log.c - A log that nobody reads stops nobody; a file gets all of it */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "log.h"
#include "tap.h"

#define THREADS 4
#define LINES   2000
#define MANY    3000 /* lines, more than a pipe or a socket takes */

static char text[1 << 20]; /* what the other end has read */

/* Standard error is @fd from now on, and the log with it. */
static void use(int fd)
{
    fflush(stdout);
    if (dup2(fd, STDERR_FILENO) < 0 ||
        log_init("test", NULL, LOG_LEVEL_INFO)) abort();
}

/* Read what is there. Return: lines */
static unsigned int drain(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    unsigned int lines = 0;
    size_t len = 0;
    ssize_t n;

    while (len < sizeof(text) - 1 && poll(&p, 1, 400) == 1) {
        n = read(fd, text + len, sizeof(text) - 1 - len);
        if (n <= 0) break;
        len += (size_t)n;
    }
    text[len] = 0;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    return lines;
}

/* Every line that was read is whole. */
static bool all_whole(void)
{
    for (char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end) return false;
        if (!strstr(line, " test: ")) return false;
        if (strstr(line, " info: line ") && end[-1] != '.' && end[-1] != '\r')
            return false;
    }
    return true;
}

static void many(unsigned int n)
{
    for (unsigned int i = 0; i < n; i++)
        log_info("line %u of a log that is longer than what fits.", i);
}

/* @in: what the log is written to; @out: where it is read. */
static void stalled(const char *what, int in, int out)
{
    unsigned int before = log_lost(), lost, lines;
    int flags = fcntl(in, F_GETFL);
    char said[64];

    use(in);
    many(MANY); /* alarm() ends the test if this waits */
    lost = log_lost() - before;
    ok(lost > 0 && lost < MANY, "%s: nobody reads: %u of %u lines are lost",
       what, lost, MANY);
    ok(fcntl(in, F_GETFL) == flags, "%s: it is as it was for others", what);
    lines = drain(out);
    ok(lines == MANY - lost && all_whole(), "%s: the others are whole (%u)",
       what, lines);
    log_info("line again.");
    snprintf(said, sizeof(said), "warning: %u lines of this log were lost",
             lost);
    ok(drain(out) == 2 && strstr(text, said) && strstr(text, "line again.") &&
       log_lost() - before == lost, "%s: how many is said", what);
    many(2);
    ok(drain(out) == 2 && all_whole(), "%s: and then it goes on", what);
}

static void test_pipe(void)
{
    int fd[2];

    if (pipe(fd)) abort();
    stalled("pipe", fd[1], fd[0]);
    close(fd[0]), close(fd[1]);
}

static void test_socket(void)
{
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) abort();
    stalled("socket", fd[1], fd[0]);
    close(fd[0]), close(fd[1]);
}

/* Ctrl-S: the terminal takes nothing more. */
static void test_terminal(void)
{
    int m = posix_openpt(O_RDWR | O_NOCTTY), s;
    unsigned int before = log_lost();
    const char *three;

    if (m < 0 || grantpt(m) || unlockpt(m) ||
        (s = open(ptsname(m), O_RDWR | O_NOCTTY)) < 0) {
        skip("no pseudo terminals here");
        return;
    }
    use(s);
    log_info("line one.");
    ok(drain(m) == 1 && log_lost() == before, "terminal: a line");
    if (tcflow(s, TCOOFF)) abort();
    many(5);
    log_text("progress");
    ok(log_lost() == before + 5 && drain(m) == 0,
       "terminal: stopped, 5 lines are lost, nobody waits");
    if (tcflow(s, TCOON)) abort();
    log_text("progress\n");
    log_info("line two.");
    ok(drain(m) == 3 && strstr(text, "progress") &&
       strstr(text, "5 lines of this log were lost") &&
       strstr(text, "line two."), "terminal: it goes on, and that is said");
    /* Full, without Ctrl-S: a part of a line may go, the next begins anew. */
    many(MANY);
    drain(m);
    log_info("line three.");
    drain(m);
    three = strstr(text, " test: info: line three.");
    /* In front of it there is the time, and before that a new line. */
    ok(three && three - text > 12 && three[-13] == '\n',
       "terminal: full, and read again");
    close(m), close(s);
}

/* What was lost last is said at the end of the process. */
static void test_end(void)
{
    int fd[2], full[2], status = 0;
    size_t len = 0;
    ssize_t n;
    pid_t pid;
    char c;

    if (pipe(fd) || pipe(full)) abort();
    fflush(stdout);
    pid = fork();
    if (pid < 0) abort();
    if (!pid) {
        use(fd[1]);
        many(MANY);
        close(fd[0]), close(fd[1]);
        if (write(full[1], "+", 1) != 1) abort();
        exit(0); /* its last word waits for a moment */
    }
    close(fd[1]);
    if (read(full[0], &c, 1) != 1) abort();
    while ((n = read(fd[0], text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    ok(waitpid(pid, &status, 0) == pid && !status &&
       strstr(text, "lines of this log were lost"),
       "the end of a process says what was lost");
    close(fd[0]), close(full[0]), close(full[1]);
}

static void *talk(void *opaque)
{
    const unsigned int *lines = opaque;

    for (unsigned int i = 0; i < *lines; i++)
        log_info("line %u.", i);
    return NULL;
}

/* @no_wait: a thread writes, and the lines are as many as may wait */
static void test_file(bool no_wait)
{
    unsigned int n = no_wait ? LINES / 8 : LINES;
    char path[] = "/tmp/test-log-XXXXXX";
    unsigned int before = log_lost();
    pthread_t thread[THREADS];
    int fd = mkstemp(path);

    if (fd < 0 || log_init("test", path, LOG_LEVEL_INFO)) abort();
    unlink(path);
    if (no_wait) log_no_wait();
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, talk, &n)) abort();
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    log_flush();
    ok(drain(fd) == THREADS * n && all_whole() && log_lost() == before,
       "a file gets every line of %d threads%s", THREADS,
       no_wait ? ", by another one" : "");
    log_debug("nothing");
    log_flush();
    ok(drain(fd) == 0, "what is below the level is not written");
    close(fd);
}

/* A fork has no such thread; the end of a process waits for its own. */
static void test_fork(void)
{
    char path[] = "/tmp/test-log-XXXXXX";
    int fd = mkstemp(path), status = 0;
    pid_t pid;

    if (fd < 0) abort();
    fflush(stdout);
    pid = fork();
    if (!pid) {
        if (log_init("test", path, LOG_LEVEL_INFO)) abort();
        log_no_wait();
        log_info("line 1.");
        pid = fork();
        if (!pid) {
            log_info("line 2.");
            _exit(0);
        }
        if (waitpid(pid, &status, 0) != pid || status) abort();
        log_info("line 3.");
        exit(0);
    }
    ok(waitpid(pid, &status, 0) == pid && !status && drain(fd) == 3 &&
       all_whole(), "a thread writes, a fork does it itself, once each");
    close(fd);
    unlink(path);
}

static void test_full_file(void)
{
    unsigned int before = log_lost();

    if (log_init("test", "/dev/full", LOG_LEVEL_INFO)) {
        skip("no /dev/full");
        return;
    }
    errno = EDOM;
    log_info("line.");
    ok(log_lost() == before + 1 && errno == EDOM,
       "a line that a full disk lost is counted, errno stays");
    ok(log_init("test", "/not/there/log", LOG_LEVEL_INFO) == -ENOENT,
       "a file that can't be opened");
}

int main(void)
{
    alarm(60);
    signal(SIGPIPE, SIG_IGN);
    test_pipe();
    test_socket();
    test_terminal();
    test_end();
    test_file(false);
    test_file(true);
    test_fork();
    test_full_file();
    return done_testing();
}
