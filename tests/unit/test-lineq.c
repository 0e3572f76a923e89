/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-lineq.c - A file that stands still stops nobody who writes lines */
#include <config.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lineq.h"
#include "tap.h"

#define LINE "a line of thirty-two octets, n 0\n"
#define SIZE (sizeof(LINE) - 1)

static _Atomic unsigned int lost;
static char text[LINEQ_BYTES * 4];

/* Return: lines that were taken, until one is not */
static unsigned int fill(struct lineq *q)
{
    unsigned int n = 0;

    while (n < sizeof(text) / SIZE && lineq_put(q, LINE, SIZE)) n++;
    return n;
}

/* The other end of a full pipe stands for a disk that stands still. */
static void stands_still(void)
{
    unsigned int taken = 0, once;
    size_t len = 0, want;
    struct lineq *q;
    int fd[2];

    if (pipe(fd) || fcntl(fd[1], F_SETPIPE_SZ, 4096) < 0) abort();
    q = lineq_new(fd[1], &lost);
    ok(q != NULL, "a queue");
    /* Until its thread is stuck with what it took. */
    while ((once = fill(q))) taken += once;
    ok(taken > LINEQ_BYTES / SIZE - 1 && !lineq_drain(q, 50) && !lost,
       "%u lines are taken, then none, and nobody waits", taken);
    want = taken * SIZE;
    while (len < want) {
        ssize_t n = read(fd[0], text + len, sizeof(text) - len);

        if (n <= 0) break;
        len += (size_t)n;
    }
    once = 0;
    while (once < taken && !memcmp(text + once * SIZE, LINE, SIZE)) once++;
    ok(len == want && once == taken, "all of them come, each whole");
    ok(lineq_drain(q, 10000) && lineq_put(q, LINE, SIZE) &&
       lineq_free(q, 10000), "it goes on, and ends");
    ok(read(fd[0], text, sizeof(text)) == (ssize_t)SIZE && !lost,
       "with what was said last");
    close(fd[0]);
    close(fd[1]);
}

/* What can't be written is counted; a torn line gets an end. */
static void no_room(void)
{
    char path[] = "/tmp/test-lineq-XXXXXX";
    int fd = mkstemp(path);
    struct lineq *q = lineq_new(fd, &lost);
    struct rlimit was, now;
    bool written;
    ssize_t n;

    if (fd < 0 || !q || getrlimit(RLIMIT_FSIZE, &was)) abort();
    unlink(path);
    signal(SIGXFSZ, SIG_IGN);
    now = was;
    now.rlim_cur = SIZE + 10;
    setrlimit(RLIMIT_FSIZE, &now);
    for (int i = 0; i < 3; i++) lineq_put(q, LINE, SIZE);
    written = lineq_drain(q, 10000);
    ok(written && lost == 2, "no room for two: %u lost", lost);
    setrlimit(RLIMIT_FSIZE, &was);
    ok(lineq_put(q, LINE, SIZE) && lineq_free(q, 10000) && lost == 2,
       "there is room again");
    n = pread(fd, text, sizeof(text), 0);
    ok(n == (ssize_t)(2 * SIZE + 11) && text[SIZE + 10] == '\n' &&
       !memcmp(text + SIZE + 11, LINE, SIZE), "the next line is whole");
    close(fd);
}

int main(void)
{
    alarm(60);
    stands_still();
    no_room();
    ok(lineq_free(NULL, 0), "no queue is free");
    return done_testing();
}
