/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mirror.c - The primary's end of the stream to the peer's disk
 *
 * Theory of operation: being lost is one step under @lock: the queue is
 * closed, so no later write gets an epoch; then the bitmap is told, so that
 * what had one counts as lacking, be it in flight or not; then the socket is
 * shut, which ends the threads. Only attach and detach join them.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "mirror-priv.h"

/* Messages that one system call sends. */
#define BATCH 128u

/* How long a broken stream is read on. */
#define LAST_WORDS_US 500000u

/* A few small writes wait this long for more, so that the peer and our sender
 * are not woken for each. A mark goes at once, and with it all before it. */
#define LINGER_US     1000u
#define LINGER_OCTETS (256u << 10)

/* After so long without work what the last burst took is given back. */
#define IDLE_US 1000000u

static void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t a;

    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}

int mirror_open(struct mirror **out, const struct mirror_opts *o,
                struct front *f, struct bitmap *b, struct xlc_error *err)
{
    struct mirror *m = calloc(1, sizeof(*m));

    if (!m) return xlc_error_set(err, -ENOMEM, "no memory for a mirror");
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->attaching, NULL);
    cond_init(&m->room);
    cond_init(&m->work);
    cond_init(&m->changed);
    m->o = *o;
    m->front = f;
    m->bitmap = b;
    m->fd = -1;
    m->guess = true;
    peerq_init(&m->q, o->limit);
    *out = m;
    return 0;
}

void mirror_close(struct mirror *m)
{
    if (!m) return;
    mirror_detach(m, "the disk was closed");
    pthread_cond_destroy(&m->changed);
    pthread_cond_destroy(&m->work);
    pthread_cond_destroy(&m->room);
    pthread_mutex_destroy(&m->attaching);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void mirror_lose(struct mirror *m, const char *fmt, ...)
{
    va_list ap;

    if (m->st.state == MIRROR_SOLO) return;
    va_start(ap, fmt);
    vsnprintf(m->st.why, sizeof(m->st.why), fmt, ap);
    va_end(ap);
    mirror_set(m, MIRROR_SOLO);
    m->st.losses++;
    peerq_close(&m->q);
    bitmap_lost(m->bitmap);
    shutdown(m->fd, SHUT_RDWR);
    pthread_cond_broadcast(&m->room);
    pthread_cond_broadcast(&m->work);
    pthread_cond_broadcast(&m->changed);
}

/* With @lock held. Return: the epoch, or 0. */
static uint64_t push_or_wait(struct mirror *m, struct peerq_item *chain)
{
    uint64_t began = 0, end = 0, epoch;
    struct timespec ts;

    while (!(epoch = peerq_push(&m->q, chain)) && m->q.epoch) {
        if (!began) {
            began = clock_us();
            end = began + m->o.hold_ms * 1000ull;
            ts = clock_timespec(end);
            m->st.waits++;
        }
        if (clock_us() >= end) {
            mirror_lose(m, "the peer did not take the disk's writes for %u "
                        "ms", m->o.hold_ms);
            break;
        }
        pthread_cond_timedwait(&m->room, &m->lock, &ts);
    }
    if (began) m->st.wait_us += clock_us() - began;
    return epoch;
}

uint64_t mirror_put(void *ctx, const void *buf, uint64_t len, uint64_t off)
{
    struct mirror *m = ctx;

    if (__atomic_load_n(&m->st.state, __ATOMIC_ACQUIRE) == MIRROR_SOLO)
        return 0;
    return mirror_push(m, peerq_make(buf, len, off));
}

uint64_t mirror_push(struct mirror *m, struct peerq_item *chain)
{
    LOCK_SCOPE(&m->lock);
    bool urgent = chain && chain->m.type != DISKPROTO_WRITE &&
                  chain->m.type != DISKPROTO_ZERO;
    uint64_t epoch;

    if (!chain) {
        mirror_lose(m, "no memory for the disk's writes");
        return 0;
    }
    epoch = push_or_wait(m, chain);
    if (!epoch) {
        peerq_drop(chain);
        return 0;
    }
    /* The chain may be gone only after @lock. */
    m->sums += chain->m.type == DISKPROTO_SUM;
    m->hurry |= urgent;
    if (m->sleeps || m->hurry || m->q.cost >= LINGER_OCTETS)
        pthread_cond_signal(&m->work);
    m->sleeps = false;
    return epoch;
}

/* ---- The sender ---------------------------------------------------------- */

struct batch {
    struct peerq_item *item[BATCH];
    uint8_t head[BATCH][DISKPROTO_HEAD_MAX];
    struct iovec iov[2 * BATCH];
};

/* Without @lock. */
static int send_batch(int fd, struct batch *b, unsigned int n)
{
    unsigned int iovs = 0;

    for (unsigned int i = 0; i < n; i++) {
        const struct diskproto_msg *m = &b->item[i]->m;
        size_t len = diskproto_encode(m, b->head[i]);

        if (!len) return -EINVAL;
        b->iov[iovs++] = (struct iovec){ b->head[i], len };
        if (m->len)
            b->iov[iovs++] = (struct iovec){ b->item[i]->data, m->len };
    }
    return stream_send(fd, b->iov, iovs);
}

/* Wait until there is enough to send, or it is time. With @lock held. */
static void linger(struct mirror *m)
{
    uint64_t end = clock_us() + LINGER_US;
    struct timespec ts = clock_timespec(end);

    while (m->st.state != MIRROR_SOLO && !m->hurry &&
           m->q.cost < LINGER_OCTETS && clock_us() < end)
        pthread_cond_timedwait(&m->work, &m->lock, &ts);
}

/* The queue is empty. With @lock held. */
static void rest(struct mirror *m)
{
    struct timespec ts = clock_timespec(clock_us() + IDLE_US);

    m->hurry = false;
    m->sleeps = true;
    if (peerq_spare() <= PEERQ_SPARE)
        pthread_cond_wait(&m->work, &m->lock);
    else if (pthread_cond_timedwait(&m->work, &m->lock, &ts) == ETIMEDOUT)
        peerq_trim();
}

/* With @lock held. A peer that ended the stream has said why just before: the
 * reader is to come to that. */
static void send_failed(struct mirror *m, int rc)
{
    uint64_t end = clock_us() + LAST_WORDS_US;
    struct timespec ts = clock_timespec(end);

    while (m->st.state != MIRROR_SOLO && clock_us() < end)
        pthread_cond_timedwait(&m->changed, &m->lock, &ts);
    mirror_lose(m, "sending to the peer: %s", strerror(-rc));
}

static void *sender(void *arg)
{
    struct batch *b = malloc(sizeof(*b));
    struct mirror *m = arg;

    pthread_mutex_lock(&m->lock);
    if (!b) mirror_lose(m, "no memory");
    while (m->st.state != MIRROR_SOLO) {
        unsigned int n = 0;
        int rc;

        if (!m->q.first) {
            rest(m);
            continue;
        }
        linger(m);
        while (n < BATCH && (b->item[n] = peerq_pop(&m->q))) n++;
        pthread_mutex_unlock(&m->lock);
        rc = send_batch(m->fd, b, n);
        pthread_mutex_lock(&m->lock);
        while (n) peerq_free(&m->q, b->item[--n]);
        pthread_cond_broadcast(&m->room);
        if (rc) send_failed(m, rc);
    }
    pthread_mutex_unlock(&m->lock);
    free(b);
    return NULL;
}

/* ---- The reader ---------------------------------------------------------- */

/* With @lock held. What the peer claims may not be ahead of what we sent. */
static void peer_state(struct mirror *m, const struct diskproto_state *s)
{
    if (s->held > m->q.marked || s->held < m->st.held ||
        s->durable < m->st.durable) {
        mirror_lose(m, "the peer claims to have epoch %" PRIu64, s->held);
        return;
    }
    m->st.held = s->held;
    m->st.durable = s->durable;
    bitmap_held(m->bitmap, s->held);
    bitmap_durable(m->bitmap, s->durable);
    pthread_cond_broadcast(&m->changed);
}

static void *reader(void *arg)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct mirror *m = arg;
    struct diskproto_msg msg;
    char text[DISKPROTO_TEXT_MAX + 1];
    struct stream s;
    int rc = stream_open(&s, m->fd, false, &err);

    while (!rc) {
        rc = stream_next(&s, &msg, &err);
        LOCK_SCOPE(&m->lock);
        if (m->st.state == MIRROR_SOLO) break;
        if (rc) {
            mirror_lose(m, "%s", err.msg);
        } else if (msg.type == DISKPROTO_STATE) {
            peer_state(m, &msg.u.state);
        } else if (msg.type == DISKPROTO_SUMMED) {
            mirror_summed(m, &msg);
        } else if (msg.type == DISKPROTO_ERROR) {
            xlc_sanitise(text, sizeof(text), msg.data, msg.len);
            mirror_lose(m, "the peer: %s", text);
        } else {
            mirror_lose(m, "the peer sent a %s out of turn",
                        diskproto_name(msg.type));
        }
    }
    stream_close(&s);
    LOCK_SCOPE(&m->lock);
    mirror_lose(m, "%s", err.msg);
    return NULL;
}

/* ---- Its life ------------------------------------------------------------ */

/* With @attaching held, and not @lock. */
static void join_threads(struct mirror *m)
{
    while (m->threads) pthread_join(m->thread[--m->threads], NULL);
    if (m->fd >= 0) close(m->fd);
    m->fd = -1;
}

static int start_threads(struct mirror *m, struct xlc_error *err)
{
    static void *(*const run[])(void *) = { sender, reader, mirror_copier };
    int rc = 0;

    for (size_t i = 0; !rc && i < sizeof(run) / sizeof(run[0]); i++) {
        rc = pthread_create(&m->thread[m->threads], NULL, run[i], m);
        m->threads += !rc;
    }
    return rc ? xlc_error_set(err, -rc, "no thread: %s", strerror(rc)) : 0;
}

int mirror_attach(struct mirror *m, int fd, const struct identity *mine,
                  uint64_t taken, uint64_t epoch, struct xlc_error *err)
{
    CLEANUP_FD int own = fd;
    int rc;

    LOCK_SCOPE(&m->attaching);
    if (__atomic_load_n(&m->st.state, __ATOMIC_ACQUIRE) != MIRROR_SOLO)
        return xlc_error_set(err, -EBUSY, "the disk is mirrored already");
    join_threads(m);
    if (epoch <= mine->epoch)
        return xlc_error_set(err, -EINVAL, "epoch %" PRIu64 " was there "
                             "before", epoch);
    rc = mirror_greet(m, own, mine, taken, err);
    if (rc) return rc;
    pthread_mutex_lock(&m->lock);
    m->fd = steal_fd(&own);
    m->st.copied = m->st.compared = m->sums = 0;
    m->st.held = m->st.durable = 0;
    m->st.why[0] = '\0';
    peerq_open(&m->q, epoch);
    mirror_set(m, MIRROR_SYNCING);
    pthread_mutex_unlock(&m->lock);
    rc = start_threads(m, err);
    /* Whoever saw the queue closed has told the bitmap: the copier, which
     * waits for this, will find it. */
    if (!rc) return 0;
    pthread_mutex_lock(&m->lock);
    mirror_lose(m, "no threads");
    pthread_mutex_unlock(&m->lock);
    join_threads(m);
    return rc;
}

void mirror_detach(struct mirror *m, const char *why)
{
    LOCK_SCOPE(&m->attaching);

    pthread_mutex_lock(&m->lock);
    mirror_lose(m, "%s", why);
    pthread_mutex_unlock(&m->lock);
    join_threads(m);
}

int mirror_mark(struct mirror *m, uint64_t epoch, struct xlc_error *err)
{
    LOCK_SCOPE(&m->lock);
    bool first = m->st.state == MIRROR_SYNCED;
    int rc;

    if (m->st.state == MIRROR_SOLO)
        return xlc_error_set(err, -ENOTCONN, "the disk is not mirrored%s%s",
                             m->st.why[0] ? ": " : "", m->st.why);
    if (m->st.state == MIRROR_SYNCING)
        return xlc_error_set(err, -EAGAIN, "the disk's first copy goes on");
    rc = peerq_mark(&m->q, epoch,
                    first ? DISKPROTO_SYNC_END : DISKPROTO_MARK);
    if (rc)
        return xlc_error_set(err, rc, "epoch %" PRIu64 " is not the disk's "
                             "open one, %" PRIu64, epoch, m->q.epoch);
    mirror_set(m, MIRROR_PROTECTED);
    m->hurry = true;
    pthread_cond_signal(&m->work);
    pthread_cond_broadcast(&m->changed);
    return 0;
}

/* With @lock held. */
static bool reached(const struct mirror *m, enum mirror_until what,
                    uint64_t epoch)
{
    switch (what) {
    case MIRROR_UNTIL_SYNCED:
        return m->st.state > MIRROR_SYNCING;
    case MIRROR_UNTIL_HELD:
        return m->st.held >= epoch;
    case MIRROR_UNTIL_DURABLE:
        return m->st.durable >= epoch;
    }
    return false;
}

int mirror_wait(struct mirror *m, enum mirror_until what, uint64_t epoch,
                uint64_t timeout_ms, struct xlc_error *err)
{
    uint64_t end = clock_us() + timeout_ms * 1000u;
    struct timespec ts = clock_timespec(end);

    LOCK_SCOPE(&m->lock);
    while (!reached(m, what, epoch)) {
        if (m->st.state == MIRROR_SOLO)
            return xlc_error_set(err, -ENOTCONN, "the disk is not "
                                 "mirrored%s%s", m->st.why[0] ? ": " : "",
                                 m->st.why);
        if (clock_us() >= end)
            return xlc_error_set(err, -ETIMEDOUT, "the peer's disk is not "
                                 "there yet");
        pthread_cond_timedwait(&m->changed, &m->lock, &ts);
    }
    return 0;
}

void mirror_rate(struct mirror *m, uint64_t rate)
{
    LOCK_SCOPE(&m->lock);

    m->o.rate = rate;
    pthread_cond_broadcast(&m->changed);
}

void mirror_status(struct mirror *m, struct mirror_status *st)
{
    LOCK_SCOPE(&m->lock);

    *st = m->st;
    st->epoch = m->q.epoch;
    st->queued = m->q.cost;
}
