/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lineq.c - Lines for a file whose disk may stand still
 *
 * Theory of operation
 * -------------------
 * Two buffers: lines are copied into one while the thread writes the other;
 * when it comes back they change places. What does not fit is refused, so
 * that memory is bounded and nobody waits. The lock is never held across a
 * write().
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "lineq.h"

/**
 * struct lineq - a file and its thread
 * @lock: of all that is below but @writing and @torn
 * @work: signalled when there are lines, or it is to end
 * @idle: signalled when all is written
 * @fill, @len: what waits
 * @writing: the thread's; changes places with @fill
 * @busy: the thread writes
 * @end: it is to end when nothing waits
 * @torn: the thread's; the file's last line lacks its end
 */
struct lineq {
    int fd;
    _Atomic unsigned int *lost;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    char *fill, *writing;
    size_t len;
    bool busy, end, torn;
    char bufs[2][LINEQ_BYTES];
};

static ssize_t write_some(int fd, const char *text, size_t len)
{
    ssize_t n;

    do {
        n = write(fd, text, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Write @writing; count what can't be. */
static void put_out(struct lineq *q, size_t len)
{
    size_t at = 0;
    ssize_t n = 0;

    if (q->torn && write_some(q->fd, "\n", 1) == 1) q->torn = false;
    while (at < len && !q->torn) {
        n = write_some(q->fd, q->writing + at, len - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    if (at == len) return;
    if (at && q->writing[at - 1] != '\n') q->torn = true;
    for (size_t i = at; i < len; i++)
        if (q->writing[i] == '\n') ++*q->lost;
}

static void *writer(void *arg)
{
    struct lineq *q = arg;

    pthread_mutex_lock(&q->lock);
    while (q->len || !q->end) {
        char *text = q->fill;
        size_t len = q->len;

        if (!len) {
            pthread_cond_wait(&q->work, &q->lock);
            continue;
        }
        q->fill = q->writing;
        q->writing = text;
        q->len = 0;
        q->busy = true;
        pthread_mutex_unlock(&q->lock);
        put_out(q, len);
        pthread_mutex_lock(&q->lock);
        q->busy = false;
        if (!q->len) pthread_cond_broadcast(&q->idle);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static void dispose(struct lineq *q)
{
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->idle);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

struct lineq *lineq_new(int fd, _Atomic unsigned int *lost)
{
    struct lineq *q = malloc(sizeof(*q));
    pthread_condattr_t ca;
    sigset_t all, old;
    int rc;

    if (!q) return NULL;
    q->fd = fd;
    q->lost = lost;
    q->fill = q->bufs[0];
    q->writing = q->bufs[1];
    q->len = 0;
    q->busy = q->end = q->torn = false;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    pthread_condattr_init(&ca);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    pthread_cond_init(&q->idle, &ca);
    pthread_condattr_destroy(&ca);
    /* Signals are for the threads that know of them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&q->thread, NULL, writer, q);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!rc) return q;
    dispose(q);
    return NULL;
}

bool lineq_put(struct lineq *q, const char *text, size_t len)
{
    bool fits;

    pthread_mutex_lock(&q->lock);
    fits = len <= LINEQ_BYTES - q->len;
    if (fits) {
        memcpy(q->fill + q->len, text, len);
        q->len += len;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    return fits;
}

bool lineq_drain(struct lineq *q, unsigned int ms)
{
    struct timespec until = clock_timespec(clock_us() + ms * 1000ull);
    bool done;
    int rc = 0;

    pthread_mutex_lock(&q->lock);
    while ((q->len || q->busy) && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&q->idle, &q->lock, &until);
    done = !q->len && !q->busy;
    pthread_mutex_unlock(&q->lock);
    return done;
}

bool lineq_free(struct lineq *q, unsigned int ms)
{
    if (!q) return true;
    if (!lineq_drain(q, ms)) {
        pthread_detach(q->thread);
        return false;
    }
    pthread_mutex_lock(&q->lock);
    q->end = true;
    pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
    dispose(q);
    return true;
}
