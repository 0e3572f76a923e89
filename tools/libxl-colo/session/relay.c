/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* relay.c - A disk's stream between its plugin and the other host */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "relay.h"

#define BUFFER   (256u << 10)
/* What one side still had to say when it ended goes out within this. */
#define DRAIN_MS      2000u
#define DRAIN_STEP_MS 100

/**
 * struct pipe_buf - octets on their way in one direction
 * @at: the first that was not written yet; @len: the end of those
 * @over: nothing more comes in; @shut: nothing more can be written
 */
struct pipe_buf {
    uint8_t data[BUFFER];
    size_t at, len;
    bool over, shut;
};

/**
 * struct relay - see relay.h
 * @c: to the other host; @sock: to the plugin
 * @out: from the plugin to the other host; @in: the other way
 * @gone: the plugin has closed its end, of which there may be more to read
 * @stop: relay_stop() was called
 * @why: what ended it
 */
struct relay {
    struct conn *c;
    int sock;
    relay_ended_fn *ended;
    void *opaque;
    pthread_t thread;
    bool gone;
    atomic_bool stop;
    _Atomic uint64_t sent, got;
    struct xlc_error why;
    struct pipe_buf out, in;
};

static size_t filled(const struct pipe_buf *b)
{
    return b->len - b->at;
}

/* Room at the end; a buffer that is empty begins anew. */
static size_t room(struct pipe_buf *b)
{
    if (b->at == b->len) b->at = b->len = 0;
    return b->over || b->shut ? 0 : BUFFER - b->len;
}

/* What is on its way there is lost. What comes from there is not. */
static void shut(struct relay *r, struct pipe_buf *b, int status,
                 const char *what)
{
    b->shut = true;
    b->at = b->len = 0;
    xlc_error_set(&r->why, status, "%s", what);
}

static void over(struct relay *r, struct pipe_buf *b, int status,
                 const char *what)
{
    b->over = true;
    xlc_error_set(&r->why, status, "%s", what);
}

/* ---- The four ways ------------------------------------------------------- */

static void from_plugin(struct relay *r)
{
    struct pipe_buf *b = &r->out;
    ssize_t n = recv(r->sock, b->data + b->len, room(b), MSG_DONTWAIT);

    if (n > 0) b->len += (size_t)n;
    else if (!n) over(r, b, -EPIPE, "the disk's plugin ended it");
    else if (errno != EAGAIN && errno != EINTR)
        over(r, b, -errno, strerror(errno));
}

static void to_plugin(struct relay *r)
{
    struct pipe_buf *b = &r->in;
    ssize_t n = send(r->sock, b->data + b->at, filled(b),
                     MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n >= 0) b->at += (size_t)n;
    else if (errno != EAGAIN && errno != EINTR)
        shut(r, b, -errno, "the disk's plugin ended it");
}

static void from_peer(struct relay *r)
{
    struct pipe_buf *b = &r->in;
    struct xlc_error e = XLC_ERROR_INIT;
    ssize_t n = conn_raw_recv(r->c, b->data + b->len, room(b), &e);

    if (n > 0) {
        b->len += (size_t)n;
        r->got += (uint64_t)n;
    } else if (n != -EAGAIN) {
        over(r, b, (int)n, e.msg);
    }
}

static void to_peer(struct relay *r)
{
    struct pipe_buf *b = &r->out;
    struct xlc_error e = XLC_ERROR_INIT;
    ssize_t n = conn_raw_send(r->c, b->data + b->at, filled(b), &e);

    if (n >= 0) {
        b->at += (size_t)n;
        r->sent += (uint64_t)n;
    } else if (n != -EAGAIN) {
        shut(r, b, (int)n, e.msg);
    }
}

/* ---- The loop ------------------------------------------------------------ */

/* A descriptor from which nothing is wanted is not polled: its end would
 * wake us again and again. But that the plugin has closed its end is wanted
 * once, even if nothing can be read from it now. */
static void prepare(struct relay *r, struct pollfd pfd[2])
{
    short sock = (short)((room(&r->out) ? POLLIN : 0) |
                         (filled(&r->in) ? POLLOUT : 0) |
                         (r->gone ? 0 : POLLRDHUP));
    short peer = (short)((room(&r->in) ? POLLIN : 0) |
                         (filled(&r->out) ? POLLOUT : 0));

    pfd[0] = (struct pollfd){ sock ? r->sock : -1, sock, 0 };
    pfd[1] = (struct pollfd){ peer ? conn_fd(r->c) : -1, peer, 0 };
}

/* What is ready. */
static void carry(struct relay *r, const struct pollfd pfd[2])
{
    const short in = POLLIN | POLLHUP | POLLERR;
    const short out = POLLOUT | POLLHUP | POLLERR;

    if (pfd[0].revents & (POLLRDHUP | POLLHUP)) {
        r->gone = true;
        xlc_error_set(&r->why, -EPIPE, "the disk's plugin ended it");
    }
    if (room(&r->out) && pfd[0].revents & in) from_plugin(r);
    if (room(&r->in) && (pfd[1].revents & in || conn_raw_pending(r->c)))
        from_peer(r);
    /* At once: most of the time there is room. */
    if (filled(&r->out) && (pfd[1].revents & out || pfd[0].revents))
        to_peer(r);
    if (filled(&r->in) && (pfd[0].revents & out || pfd[1].revents ||
                           conn_raw_pending(r->c)))
        to_plugin(r);
}

/* One side has ended: is what it said out, or was it given its time? */
static bool drained(const struct relay *r, uint64_t since_ms)
{
    if (clock_ms() >= since_ms + DRAIN_MS) return true;
    return (r->out.over && !filled(&r->out)) ||
           (r->in.over && !filled(&r->in));
}

static bool is_ending(const struct relay *r)
{
    return r->gone || r->out.over || r->in.over || r->out.shut || r->in.shut;
}

static void run(struct relay *r)
{
    uint64_t ending = 0;

    while (!r->stop) {
        bool pending = room(&r->in) && conn_raw_pending(r->c);
        struct pollfd pfd[2];

        if (!ending && is_ending(r)) ending = clock_ms();
        if (ending && drained(r, ending)) return;
        prepare(r, pfd);
        if (poll(pfd, 2, pending ? 0 : ending ? DRAIN_STEP_MS : -1) < 0 &&
            errno != EINTR) {
            xlc_error_set(&r->why, -errno, "poll: %s", strerror(errno));
            return;
        }
        carry(r, pfd);
    }
}

static void *relay_thread(void *opaque)
{
    struct relay *r = opaque;

    run(r);
    shutdown(r->sock, SHUT_RDWR);
    conn_shutdown(r->c);
    if (!r->stop) r->ended(r->opaque, r->why.msg);
    return NULL;
}

/* ---- Its life ------------------------------------------------------------ */

static void relay_free(struct relay *r)
{
    conn_free(r->c);
    if (r->sock >= 0) close(r->sock);
    free(r);
}

int relay_start(struct relay **r_r, struct conn *c, int *plugin_r,
                relay_ended_fn *ended, void *opaque, struct xlc_error *err)
{
    struct relay *r = calloc(1, sizeof(*r));
    int fds[2], rc;

    if (!r) {
        conn_free(c);
        return xlc_error_set(err, -ENOMEM, "no memory");
    }
    r->c = c;
    r->sock = -1;
    r->ended = ended;
    r->opaque = opaque;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
        rc = -errno;
        relay_free(r);
        return xlc_error_set(err, rc, "socketpair: %s", strerror(-rc));
    }
    r->sock = fds[0];
    rc = pthread_create(&r->thread, NULL, relay_thread, r);
    if (rc) {
        close(fds[1]);
        relay_free(r);
        return xlc_error_set(err, -rc, "pthread_create: %s", strerror(rc));
    }
    *plugin_r = fds[1];
    *r_r = r;
    return 0;
}

void relay_stop(struct relay *r)
{
    if (!r) return;
    r->stop = true;
    shutdown(r->sock, SHUT_RDWR);
    conn_shutdown(r->c);
    pthread_join(r->thread, NULL);
    relay_free(r);
}

uint64_t relay_out(const struct relay *r)
{
    return r->sent;
}

uint64_t relay_in(const struct relay *r)
{
    return r->got;
}
