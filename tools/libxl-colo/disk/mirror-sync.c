/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mirror-sync.c - The primary's end: who the peer is, and what it lacks
 *
 * RULES A6: what is copied is what our bitmap names, and what the peer's own
 * bitmap names if it ran the guest before us; everything, where either is not
 * known to speak of this pair.
 *
 * Where what lacks is only a guess (all of it, extents with an intent), it is
 * compared: the first round puts checksums into the queue in the place of
 * data. The peer compares each when it comes to it, so with all writes before
 * it; what differs lacks again, and goes as data in a later round. Zeroes go
 * as such, so that what is sparse stays sparse.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <xxhash.h>

#include "clock.h"
#include "mirror-priv.h"

/* A handshake waits no longer than this for each message. */
#define GREET_MS 10000u

int mirror_basis(const struct identity *mine, uint64_t taken,
                 const struct diskproto_hello *peer, struct xlc_error *err)
{
    if (peer->size != mine->size)
        return xlc_error_set(err, -EINVAL, "the peer's image has %" PRIu64
                             " octets, this one %" PRIu64, peer->size,
                             mine->size);
    if (memcmp(peer->uuid, mine->uuid, sizeof(mine->uuid)))
        return xlc_error_set(err, -EPERM, "the peer's image belongs to "
                             "another guest");
    if (!peer->role) return 0;
    if (peer->generation > mine->generation ||
        (peer->generation == mine->generation &&
         peer->role == IDENTITY_PRIMARY))
        return xlc_error_set(err, -ESTALE, "the peer's image is as new as "
                             "this one or newer (generation %" PRIu64
                             "): a guest runs, or ran, from it",
                             peer->generation);
    /* Its epoch tells whether it is the peer that our bitmap speaks of, and
     * not one that lags behind what another made durable. */
    if (peer->role == IDENTITY_SECONDARY)
        return peer->generation == mine->generation &&
               peer->epoch >= mine->epoch;
    /* The old primary of this pair: its bitmap says what it wrote alone. */
    return taken && peer->generation + 1 == mine->generation &&
           mine->epoch == taken && peer->epoch <= taken;
}

static void say_hello(struct diskproto_msg *m, const struct identity *id)
{
    memset(m, 0, sizeof(*m));
    m->type = DISKPROTO_HELLO;
    m->u.hello.version = DISKPROTO_VERSION;
    m->u.hello.role = (uint16_t)id->role;
    m->u.hello.flags = id->flags & IDENTITY_CONSISTENT ? DISKPROTO_CONSISTENT
                                                       : 0;
    memcpy(m->u.hello.uuid, id->uuid, sizeof(id->uuid));
    m->u.hello.generation = id->generation;
    m->u.hello.epoch = id->epoch;
    m->u.hello.size = id->size;
}

/* Return: 1 MARKS_END was there, 0 go on, or a negative errno. */
static int one_mark(struct mirror *m, const struct diskproto_msg *msg,
                    bool *trust, struct xlc_error *err)
{
    char text[DISKPROTO_TEXT_MAX + 1];

    switch (msg->type) {
    case DISKPROTO_MARKS:
        m->guess = true;
        for (uint32_t at = 0; at < msg->len; at += DISKPROTO_RANGE) {
            uint64_t off, len;

            diskproto_range_get(msg->data + at, &off, &len);
            bitmap_add(m->bitmap, off, len);
        }
        return 0;
    case DISKPROTO_MARKS_END:
        if (msg->u.everything) *trust = false;
        return 1;
    case DISKPROTO_ERROR:
        xlc_sanitise(text, sizeof(text), msg->data, msg->len);
        return xlc_error_set(err, -(int)msg->u.status, "the peer: %s", text);
    default:
        return xlc_error_set(err, -EPROTO, "the peer sent a %s out of turn",
                             diskproto_name(msg->type));
    }
}

static int hear(struct mirror *m, struct stream *s,
                const struct identity *mine, uint64_t taken,
                struct xlc_error *err)
{
    struct diskproto_msg msg;
    uint16_t version;
    bool trust;
    int rc = stream_next(s, &msg, err);

    if (rc) return rc;
    if (msg.type == DISKPROTO_ERROR) return one_mark(m, &msg, &trust, err);
    if (msg.type != DISKPROTO_HELLO)
        return xlc_error_set(err, -EPROTO, "the peer sent a %s before HELLO",
                             diskproto_name(msg.type));
    rc = mirror_basis(mine, taken, &msg.u.hello, err);
    if (rc < 0) return rc;
    trust = rc;
    version = msg.u.hello.version;
    do {
        rc = stream_next(s, &msg, err);
        if (!rc) rc = one_mark(m, &msg, &trust, err);
    } while (!rc);
    if (rc < 0) return rc;
    if (!trust) bitmap_add_all(m->bitmap);
    if (!trust) m->guess = true;
    m->summing = m->guess && version >= DISKPROTO_WITH_SUMS;
    /* A guest that knew it could write what is taken for something else. */
    if (m->summing && getrandom(&m->seed, sizeof(m->seed), 0) !=
                          (ssize_t)sizeof(m->seed))
        return xlc_error_set(err, -EIO, "no random numbers");
    return bitmap_flush(m->bitmap, err);
}

int mirror_greet(struct mirror *m, int fd, const struct identity *mine,
                 uint64_t taken, struct xlc_error *err)
{
    struct diskproto_msg msg;
    struct stream s;
    int rc = stream_open(&s, fd, false, err);

    if (!rc) rc = stream_timeout(fd, GREET_MS);
    say_hello(&msg, mine);
    if (!rc) rc = stream_say(fd, &msg);
    if (!rc) rc = hear(m, &s, mine, taken, err);
    memset(&msg, 0, sizeof(msg));
    msg.type = DISKPROTO_SYNC;
    msg.u.generation = mine->generation;
    if (!rc) rc = stream_say(fd, &msg);
    /* Nothing may be left in @s: S says nothing more before SYNC. */
    if (!rc && s.from != s.to)
        rc = xlc_error_set(err, -EPROTO, "the peer speaks out of turn");
    if (!rc) rc = stream_timeout(fd, 0);
    stream_close(&s);
    return rc ? xlc_error_set(err, rc, "the connection to the peer's disk: "
                              "%s", strerror(-rc))
              : 0;
}

/* Wait until it is time for @len more octets, the queue is mostly empty (the
 * guest's writes go first), and nobody ended it. With @lock held. */
static bool pace(struct mirror *m, uint64_t *due, uint64_t len)
{
    for (;;) {
        uint64_t now = clock_us(), at = *due;
        struct timespec ts;

        if (m->st.state == MIRROR_SOLO) return false;
        if (!m->o.rate || at < now) at = now;
        if (at <= now && m->q.cost <= m->o.limit / 4) break;
        if (at <= now) at = now + 1000;
        if (at > now + 200000) at = now + 200000;
        ts = clock_timespec(at);
        pthread_cond_timedwait(&m->changed, &m->lock, &ts);
    }
    if (*due < clock_us()) *due = clock_us();
    if (m->o.rate) *due += len * 1000000u / m->o.rate;
    return true;
}

/* Compare with itself, one octet on: libc does that fast. */
static bool all_zero(const uint8_t *p, uint64_t len)
{
    return !p[0] && !memcmp(p, p + 1, (size_t)len - 1);
}

static struct peerq_item *sum_of(const struct mirror *m, const void *buf,
                                 uint64_t len, uint64_t off)
{
    struct diskproto_sum sum = { .count = len, .seed = m->seed };
    XXH128_canonical_t c;

    XXH128_canonicalFromHash(&c, XXH3_128bits_withSeed(buf, (size_t)len,
                                                       m->seed));
    static_assert(sizeof(sum.sum) == sizeof(c.digest), "128 bits");
    memcpy(sum.sum, c.digest, sizeof(sum.sum));
    return peerq_make_sum(&sum, off);
}

uint64_t mirror_copy(void *ctx, const void *buf, uint64_t len, uint64_t off)
{
    struct mirror *m = ctx;

    return mirror_push(m, m->summing ? sum_of(m, buf, len, off)
                                     : peerq_make(all_zero(buf, len) ? NULL
                                                                     : buf,
                                                  len, off));
}

void mirror_summed(struct mirror *m, const struct diskproto_msg *msg)
{
    if (!m->sums) {
        mirror_lose(m, "the peer compared what it was not asked to");
        return;
    }
    m->sums--;
    if (msg->u.summed.differs)
        bitmap_add(m->bitmap, msg->off, msg->u.summed.count);
    else
        m->st.compared += msg->u.summed.count;
    if (!m->sums) pthread_cond_broadcast(&m->changed);
}

/* All that is lacking, once. Return: whether to go on. */
static bool copy_round(struct mirror *m, uint8_t *buf, size_t piece,
                       uint64_t *due)
{
    struct xlc_error err = XLC_ERROR_INIT;
    uint64_t off = 0, len = 0;

    for (; bitmap_next(m->bitmap, &off, &len); off += len) {
        size_t n = len < piece ? (size_t)len : piece;
        bool go;
        int rc;

        pthread_mutex_lock(&m->lock);
        go = pace(m, due, n);
        pthread_mutex_unlock(&m->lock);
        if (!go) return false;
        rc = front_copy(m->front, buf, n, off, &err);
        LOCK_SCOPE(&m->lock);
        if (rc) {
            mirror_lose(m, "copying the disk: %s", err.msg);
            return false;
        }
        if (!m->summing) m->st.copied += n;
        len = n;
    }
    m->summing = false;
    return true;
}

void *mirror_copier(void *arg)
{
    struct mirror *m = arg;
    struct bitmap_status bst;
    CLEANUP_FREE uint8_t *buf = NULL;
    uint64_t due = 0;
    size_t piece;

    /* Only a whole grain is known to be copied. */
    bitmap_status(m->bitmap, &bst);
    piece = bst.grain > MIRROR_PIECE ? (size_t)bst.grain : MIRROR_PIECE;
    buf = malloc(piece);
    /* Writes that began before the queue opened have told the bitmap. */
    front_drain(m->front);
    while (buf && copy_round(m, buf, piece, &due)) {
        uint64_t off = 0, len, at;
        struct timespec ts;

        LOCK_SCOPE(&m->lock);
        if (m->st.state == MIRROR_SOLO) break;
        if (bitmap_next(m->bitmap, &off, &len)) continue;
        if (m->st.state == MIRROR_SYNCING && !m->sums) {
            mirror_set(m, MIRROR_SYNCED);
            m->guess = false;
            pthread_cond_broadcast(&m->changed);
        }
        /* A failed local write leaves something lacking again. */
        at = clock_us() + 500000;
        ts = clock_timespec(at);
        pthread_cond_timedwait(&m->changed, &m->lock, &ts);
    }
    LOCK_SCOPE(&m->lock);
    if (!buf) mirror_lose(m, "no memory to copy the disk");
    return NULL;
}
