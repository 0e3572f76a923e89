/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.c - A fast local sink for what libxc saves; see stage.h */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage.h"

#define CHUNK     (1u << 20)
#define PIPE_SIZE (1 << 20)

/**
 * struct chunk - one piece of an epoch
 * @len: octets used of @data
 */
struct chunk {
    struct chunk *next;
    size_t len;
    uint8_t data[CHUNK];
};

/**
 * struct stage - see stage.h
 * @rd, @wr: the pipe; @kick: wakes the thread
 * @lock: guards everything below it
 * @settled: signalled when @want_settle was served
 * @held: octets in @head..@tail; @spare: chunks for later
 */
struct stage {
    int rd, wr, kick;
    size_t limit;
    stage_sink *sink;
    void *opaque;
    pthread_t thread;
    bool running;
    _Atomic uint64_t total;
    _Atomic size_t held;
    _Atomic unsigned int overflows;

    pthread_mutex_t lock;
    pthread_cond_t settled;
    bool want_settle, hold, over, quit;
    struct chunk *head, *tail, *spare;
    struct xlc_error err;
};

static struct chunk *chunk_get(struct stage *s)
{
    struct chunk *c = s->spare;

    if (c) s->spare = c->next;
    else c = malloc(sizeof(*c));
    if (c) {
        c->next = NULL;
        c->len = 0;
    }
    return c;
}

static void chunk_put(struct stage *s, struct chunk *c)
{
    c->next = s->spare;
    s->spare = c;
}

/* Give the oldest chunk to the sink. Called with the lock held; the sink may
 * take long, but nobody else wants the lock meanwhile. */
static void emit_oldest(struct stage *s)
{
    struct chunk *c = s->head;

    s->head = c->next;
    if (!s->head) s->tail = NULL;
    s->held -= c->len;
    if (!s->err.status) s->sink(s->opaque, c->data, c->len, &s->err);
    chunk_put(s, c);
}

/* Room to read into: the last chunk's free part. */
static uint8_t *room(struct stage *s, size_t *len)
{
    struct chunk *c = s->tail;

    if (!c || c->len == CHUNK) {
        if (c && s->held + CHUNK > s->limit) {
            if (!s->over) s->overflows++;
            s->over = true;
            emit_oldest(s);
        }
        c = chunk_get(s);
        if (!c) {
            xlc_error_set(&s->err, -ENOMEM, "no memory to stage an epoch");
            return NULL;
        }
        if (s->tail) s->tail->next = c;
        else s->head = c;
        s->tail = c;
    }
    *len = CHUNK - c->len;
    return c->data + c->len;
}

/* Read what is there, once. Return: false at the end of the pipe. */
static bool read_some(struct stage *s, uint8_t *scratch)
{
    uint8_t *p = scratch;
    size_t len = CHUNK;
    ssize_t n;

    LOCK_SCOPE(&s->lock);
    if (s->hold && !s->err.status) {
        p = room(s, &len);
        if (!p) p = scratch, len = CHUNK;
    }
    n = read(s->rd, p, len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false;
    s->total += (uint64_t)n;
    if (p != scratch) {
        s->tail->len += (size_t)n;
        s->held += (size_t)n;
    } else if (!s->err.status) {
        s->sink(s->opaque, p, (size_t)n, &s->err);
    }
    return true;
}

/* Nothing is left in the pipe: tell whoever waits for that. */
static bool serve(struct stage *s)
{
    uint64_t n;

    LOCK_SCOPE(&s->lock);
    if (read(s->kick, &n, sizeof(n)) < 0) {
        /* Nobody kicked; the flags tell all the same. */
    }
    if (s->want_settle) {
        s->want_settle = false;
        pthread_cond_broadcast(&s->settled);
    }
    return !s->quit;
}

static void *stage_thread(void *opaque)
{
    CLEANUP_FREE uint8_t *scratch = malloc(CHUNK);
    struct stage *s = opaque;

    if (!scratch) abort(); /* 1 MiB at the start of a session */
    for (;;) {
        struct pollfd pfd[2] = {
            { .fd = s->rd, .events = POLLIN },
            { .fd = s->kick, .events = POLLIN },
        };

        if (poll(pfd, 2, -1) < 0) {
            if (errno == EINTR) continue;
            return NULL;
        }
        if (pfd[0].revents) {
            if (!read_some(s, scratch)) return NULL;
            continue; /* all that is in the pipe comes before a kick */
        }
        if (!serve(s)) return NULL;
    }
}

int stage_new(struct stage **s_r, size_t limit, stage_sink *sink,
              void *opaque, struct xlc_error *err)
{
    struct stage *s = calloc(1, sizeof(*s));
    int fds[2], r;

    if (!s) return xlc_error_set(err, -ENOMEM, "no memory for a stage");
    s->rd = s->wr = s->kick = -1;
    s->limit = limit < 4 * CHUNK ? 4 * CHUNK : limit;
    s->sink = sink;
    s->opaque = opaque;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->settled, NULL);
    if (pipe2(fds, O_CLOEXEC)) {
        r = xlc_error_set(err, -errno, "pipe: %s", strerror(errno));
        goto out;
    }
    s->rd = fds[0];
    s->wr = fds[1];
    fcntl(s->rd, F_SETFL, O_NONBLOCK);
    fcntl(s->wr, F_SETPIPE_SZ, PIPE_SIZE); /* smaller works too */
    s->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->kick < 0) {
        r = xlc_error_set(err, -errno, "eventfd: %s", strerror(errno));
        goto out;
    }
    r = pthread_create(&s->thread, NULL, stage_thread, s);
    if (r) {
        r = xlc_error_set(err, -r, "pthread_create: %s", strerror(r));
        goto out;
    }
    s->running = true;
    *s_r = s;
    return 0;

out:
    stage_free(s);
    return r;
}

static void kick(struct stage *s)
{
    uint64_t one = 1;

    if (write(s->kick, &one, sizeof(one)) < 0) {
        /* The counter is full: it is kicked already. */
    }
}

void stage_free(struct stage *s)
{
    struct chunk *c;

    if (!s) return;
    if (s->running) {
        pthread_mutex_lock(&s->lock);
        s->quit = true;
        xlc_error_set(&s->err, -ECANCELED, "the stage is closed");
        pthread_mutex_unlock(&s->lock);
        kick(s);
        pthread_join(s->thread, NULL);
    }
    while ((c = s->head)) {
        s->head = c->next;
        free(c);
    }
    while ((c = s->spare)) {
        s->spare = c->next;
        free(c);
    }
    if (s->rd >= 0) close(s->rd);
    if (s->wr >= 0) close(s->wr);
    if (s->kick >= 0) close(s->kick);
    pthread_cond_destroy(&s->settled);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int stage_fd(const struct stage *s)
{
    return s->wr;
}

void stage_settle(struct stage *s)
{
    LOCK_SCOPE(&s->lock);
    s->want_settle = true;
    kick(s);
    while (s->want_settle)
        pthread_cond_wait(&s->settled, &s->lock);
}

void stage_hold(struct stage *s, bool hold)
{
    LOCK_SCOPE(&s->lock);
    s->hold = hold;
    s->over = false;
}

int stage_emit(struct stage *s, struct xlc_error *err)
{
    LOCK_SCOPE(&s->lock);
    while (s->head)
        emit_oldest(s);
    s->over = false;
    return s->err.status ?
           xlc_error_set(err, s->err.status, "%s", s->err.msg) : 0;
}

int stage_failed(struct stage *s, struct xlc_error *err)
{
    LOCK_SCOPE(&s->lock);
    return s->err.status ?
           xlc_error_set(err, s->err.status, "%s", s->err.msg) : 0;
}

uint64_t stage_total(const struct stage *s)
{
    return s->total;
}

size_t stage_held(const struct stage *s)
{
    return s->held;
}

unsigned int stage_overflows(const struct stage *s)
{
    return s->overflows;
}
