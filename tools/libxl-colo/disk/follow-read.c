/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * follow-read.c - The secondary's end of the stream: what the primary says
 *
 * HELLO, then SYNC, then writes and marks. Nothing of the image, its identity
 * or its journal changes before SYNC: until then the primary may still refuse
 * us. Back-pressure of the store stops the reading; the primary's queue fills,
 * and it decides how long to wait for that.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <xxhash.h>

#include "bitmap.h"
#include "follow-priv.h"

/* Read at a time for a checksum. */
#define SUM_PIECE (256u << 10)

/* Nobody who is slower than this with his first words is a primary. */
#define GREET_MS 10000u

static void say(struct follow *f, const struct diskproto_msg *m)
{
    LOCK_SCOPE(&f->sending);

    /* A broken stream is the reader's to find. */
    if (f->fd >= 0) (void)stream_say(f->fd, m);
}

void follow_say_state(struct follow *f)
{
    struct diskproto_msg m = { .type = DISKPROTO_STATE };
    struct store_status st;
    bool quiet;

    LOCK_SCOPE(&f->sending);
    pthread_mutex_lock(&f->lock);
    quiet = f->st.state != FOLLOW_FOLLOWING || f->fd < 0;
    m.u.state.held = f->st.held;
    pthread_mutex_unlock(&f->lock);
    if (quiet) return;
    store_status(f->store, &st);
    /* Of this stream: what was accepted before it is older than its marks. */
    m.u.state.durable = st.durable < m.u.state.held ? st.durable
                                                    : m.u.state.held;
    m.u.state.applied = st.accepted < m.u.state.held ? st.accepted
                                                     : m.u.state.held;
    (void)stream_say(f->fd, &m);
}

void follow_fail(struct follow *f, int rc, const char *fmt, ...)
{
    struct diskproto_msg m = { .type = DISKPROTO_ERROR };
    char text[DISKPROTO_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&f->lock);
    if (f->st.state != FOLLOW_IDLE)
        snprintf(f->st.why, sizeof(f->st.why), "%s", text);
    f->st.state = FOLLOW_IDLE;
    f->cut = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    m.u.status = rc < 0 && rc > -4096 ? (uint32_t)-rc : EIO;
    m.data = (const uint8_t *)text;
    m.len = (uint32_t)strlen(text);
    say(f, &m);
    LOCK_SCOPE(&f->sending);
    if (f->fd >= 0) shutdown(f->fd, SHUT_RDWR);
}

/* ---- Greeting ------------------------------------------------------------ */

/* Is it ours to follow? */
static int check_hello(struct follow *f, const struct diskproto_hello *h,
                       struct xlc_error *err)
{
    if (memcmp(h->uuid, f->o.uuid, sizeof(h->uuid)))
        return xlc_error_set(err, -EPERM, "this disk is of another guest");
    if (h->size != f->size)
        return xlc_error_set(err, -EINVAL, "%s has %" PRIu64 " octets, the "
                             "primary's image %" PRIu64, f->o.image, f->size,
                             h->size);
    if (h->role != IDENTITY_PRIMARY || !(h->flags & DISKPROTO_CONSISTENT))
        return xlc_error_set(err, -EPERM, "the peer is no primary");
    if (!f->id.role && !f->force)
        return xlc_error_set(err, -EPERM, "nothing is known of %s: it is "
                             "overwritten only with --force-sync",
                             f->o.image);
    if (f->id.role && (h->generation < f->id.generation ||
                       (h->generation == f->id.generation &&
                        f->id.role == IDENTITY_PRIMARY)))
        return xlc_error_set(err, -ESTALE, "%s is newer (generation %" PRIu64
                             ") than the peer's image (%" PRIu64 ")",
                             f->o.image, f->id.generation, h->generation);
    return 0;
}

static void answer_hello(struct follow *f)
{
    struct diskproto_msg m = { .type = DISKPROTO_HELLO };
    struct store_status st = { .durable = f->id.epoch };

    if (f->store) store_status(f->store, &st);
    m.u.hello.version = DISKPROTO_VERSION;
    m.u.hello.role = (uint16_t)f->id.role;
    m.u.hello.size = f->size;
    memcpy(m.u.hello.uuid, f->o.uuid, sizeof(m.u.hello.uuid));
    if (f->id.role) {
        m.u.hello.generation = f->store ? st.generation : f->id.generation;
        m.u.hello.epoch = st.durable;
        if (f->store ? st.mode == STORE_FOLLOWING
                     : f->id.flags & IDENTITY_CONSISTENT)
            m.u.hello.flags = DISKPROTO_CONSISTENT;
    }
    say(f, &m);
}

/* Ranges that an old primary wrote alone. Return: false: not known. */
static bool say_ranges(struct follow *f, struct bitmap *b)
{
    struct diskproto_msg m = { .type = DISKPROTO_MARKS };
    CLEANUP_FREE uint8_t *data = malloc(DISKPROTO_MARKS_MAX);
    uint64_t off = 0, len;

    if (!data) return false;
    m.data = data;
    for (; bitmap_next(b, &off, &len); off += len) {
        diskproto_range_put(data + m.len, off, len);
        m.len += DISKPROTO_RANGE;
        if (m.len < DISKPROTO_MARKS_MAX) continue;
        say(f, &m);
        m.len = 0;
    }
    if (m.len) say(f, &m);
    return true;
}

static int say_marks(struct follow *f, struct xlc_error *err)
{
    struct diskproto_msg m = { .type = DISKPROTO_MARKS_END };
    struct bitmap_key key = { .generation = f->id.generation,
                              .size = f->size };
    struct xlc_error why = XLC_ERROR_INIT;
    struct bitmap *b;
    int rc;

    if (f->id.role == IDENTITY_PRIMARY) {
        memcpy(key.uuid, f->o.uuid, sizeof(key.uuid));
        rc = bitmap_open(&b, f->o.io, f->bitmap_path, &key, &why, err);
        if (rc) return rc;
        m.u.everything = why.status || !say_ranges(f, b);
        rc = bitmap_close(b, err);
        if (rc) return rc;
    }
    say(f, &m);
    return 0;
}

static int greet(struct follow *f, struct stream *s, struct xlc_error *err)
{
    struct diskproto_msg m;
    int rc = stream_timeout(f->fd, GREET_MS);

    if (!rc) rc = stream_next(s, &m, err);
    if (!rc && m.type != DISKPROTO_HELLO)
        rc = xlc_error_set(err, -EPROTO, "%s before HELLO",
                           diskproto_name(m.type));
    if (!rc) rc = check_hello(f, &m.u.hello, err);
    if (rc) return rc;
    answer_hello(f);
    return say_marks(f, err);
}

/* ---- Writes and marks ---------------------------------------------------- */

static int begin_sync(struct follow *f, uint64_t generation,
                      struct xlc_error *err)
{
    struct store *s = NULL;
    bool runs;
    int rc = 0;

    pthread_mutex_lock(&f->lock);
    runs = f->held_up;
    pthread_mutex_unlock(&f->lock);
    if (runs)
        return xlc_error_set(err, -EBUSY, "a copy of the guest runs from %s: "
                             "it has to end before the disk is synchronised",
                             f->o.image);
    if (!f->store) {
        /* A copy whose journal was lost is older than its own identity. */
        rc = store_create(&f->o, generation,
                          f->foreign || f->id.role == IDENTITY_SECONDARY,
                          err);
        if (!rc) rc = store_open(&s, &f->o, err);
        if (!rc) rc = identity_load(f->o.io, f->id_path, &f->id, err);
    }
    if (!rc) rc = store_sync_begin(s ? s : f->store, generation, err);
    f->begun = !rc;
    LOCK_SCOPE(&f->lock);
    if (s) f->store = s;
    if (!rc && f->st.state == FOLLOW_GREETING) f->st.state = FOLLOW_SYNCING;
    return rc;
}

static int mark(struct follow *f, const struct diskproto_msg *m,
                struct xlc_error *err)
{
    int rc = m->type == DISKPROTO_MARK
                 ? store_close_epoch(f->store, m->epoch, err)
                 : store_sync_end(f->store, m->epoch, err);

    if (rc) return rc;
    pthread_mutex_lock(&f->lock);
    f->st.held = m->epoch;
    if (f->st.state == FOLLOW_SYNCING) f->st.state = FOLLOW_FOLLOWING;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    follow_say_state(f);
    return 0;
}

static int sum_range(struct follow *f, XXH3_state_t *x, uint64_t off,
                     uint64_t count, struct xlc_error *err)
{
    CLEANUP_FREE uint8_t *buf = malloc(SUM_PIECE);
    int rc = buf ? 0 : xlc_error_set(err, -ENOMEM, "no memory");

    while (!rc && count) {
        size_t n = count < SUM_PIECE ? (size_t)count : SUM_PIECE;

        rc = store_read(f->store, STORE_ACCEPTED, buf, n, off, err);
        if (!rc) XXH3_128bits_update(x, buf, n);
        off += n;
        count -= n;
        LOCK_SCOPE(&f->lock);
        if (f->cut) rc = xlc_error_set(err, -ENOTCONN, "ended here");
    }
    return rc;
}

/* Is our range what the primary says? While it is a sync's target only: the
 * writes before this message are in the image then. */
static int compare(struct follow *f, const struct diskproto_msg *m,
                   struct xlc_error *err)
{
    struct diskproto_msg answer = { .type = DISKPROTO_SUMMED, .off = m->off };
    XXH3_state_t *x = XXH3_createState();
    XXH128_canonical_t c;
    bool syncing;
    int rc;

    pthread_mutex_lock(&f->lock);
    syncing = f->st.state == FOLLOW_SYNCING;
    pthread_mutex_unlock(&f->lock);
    if (!syncing)
        rc = xlc_error_set(err, -EPROTO, "SUM out of turn");
    else
        rc = x ? 0 : xlc_error_set(err, -ENOMEM, "no memory");
    if (!rc) {
        XXH3_128bits_reset_withSeed(x, m->u.sum.seed);
        rc = sum_range(f, x, m->off, m->u.sum.count, err);
    }
    if (!rc) {
        XXH128_canonicalFromHash(&c, XXH3_128bits_digest(x));
        answer.u.summed.count = m->u.sum.count;
        answer.u.summed.differs = memcmp(c.digest, m->u.sum.sum,
                                         sizeof(m->u.sum.sum)) != 0;
        say(f, &answer);
    }
    XXH3_freeState(x);
    return rc;
}

static int once(struct follow *f, const struct diskproto_msg *m,
                struct xlc_error *err)
{
    if (m->type == DISKPROTO_SYNC && !f->begun)
        return begin_sync(f, m->u.generation, err);
    if (!f->begun)
        return xlc_error_set(err, -EPROTO, "%s before SYNC",
                             diskproto_name(m->type));
    switch (m->type) {
    case DISKPROTO_WRITE:
        return store_write(f->store, m->epoch, m->data, m->len, m->off, err);
    case DISKPROTO_ZERO:
        return store_zero(f->store, m->epoch, m->off, m->u.count, err);
    case DISKPROTO_SUM:
        return compare(f, m, err);
    case DISKPROTO_MARK:
    case DISKPROTO_SYNC_END:
        return mark(f, m, err);
    case DISKPROTO_ERROR:
        return xlc_error_set(err, -ENOTCONN, "the primary gave up");
    default:
        return xlc_error_set(err, -EPROTO, "%s out of turn",
                             diskproto_name(m->type));
    }
}

/* Until the store takes it, or the stream is cut. */
static int handle(struct follow *f, const struct diskproto_msg *m,
                  struct xlc_error *err)
{
    for (;;) {
        struct xlc_error mine = XLC_ERROR_INIT;
        int rc = once(f, m, &mine);

        if (!rc) return 0;
        LOCK_SCOPE(&f->lock);
        if (f->cut) return xlc_error_set(err, -ENOTCONN, "ended here");
        if (rc != -ENOBUFS) return xlc_error_set(err, rc, "%s", mine.msg);
        follow_pause(f, 20);
    }
}

void *follow_reader(void *arg)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct follow *f = arg;
    struct diskproto_msg m;
    struct stream s;
    int rc = stream_open(&s, f->fd, true, &err);

    if (!rc) rc = greet(f, &s, &err);
    if (!rc) rc = stream_next(&s, &m, &err);
    if (!rc) rc = handle(f, &m, &err);
    if (!rc) rc = stream_timeout(f->fd, 0);
    while (!rc) {
        rc = stream_next(&s, &m, &err);
        if (!rc) rc = handle(f, &m, &err);
    }
    if (!err.status) xlc_error_set(&err, rc, "%s", strerror(-rc));
    follow_fail(f, rc, "%s", err.msg);
    stream_close(&s);
    return NULL;
}
