/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * secondary-epoch.c - The secondary's data thread: epochs in, checked, applied
 *
 * Theory of operation
 * -------------------
 * The first epoch is far too big to keep: its octets go to the restore as
 * they come (libxc applies the first one as it reads, which is fine, for
 * nothing is promised yet). Each later one is kept in memory until its END
 * has come and size, hash and records are right. Then the machine decides,
 * under its lock, whether it still counts; only an accepted epoch reaches the
 * restore. While it is applied the next one waits in the socket. A copy that
 * runs beside is let go, and looked at, while nothing comes.
 *
 * An epoch larger than the guest could ever dirty, or than this host has
 * memory for, ends the session before anything is acknowledged (epochmem.h).
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "epochmem.h"
#include "log.h"
#include "secondary.h"

/**
 * struct intake - of the data thread alone
 * @rec: where in libxc's stream we are
 * @hash, @bytes: of the epoch that arrives
 * @epoch: its number; 0 between two epochs
 * @flags: PROTO_EPOCH_*
 * @mem: what is kept of it
 */
struct intake {
    struct secondary *s;
    struct records rec;
    XXH3_state_t *hash;
    uint64_t bytes, epoch, last;
    uint32_t flags;
    struct epochmem *mem;
};

static int on_begin(struct intake *in, const struct proto_msg *m,
                    struct xlc_error *err)
{
    bool stream = m->u.epoch_flags & PROTO_EPOCH_STREAM;

    if (in->epoch || m->hdr.epoch != in->last + 1 ||
        stream != (m->hdr.epoch == 1))
        return xlc_error_set(err, -EPROTO, "epoch %llu begins where %llu "
                             "belongs", (unsigned long long)m->hdr.epoch,
                             (unsigned long long)in->last + 1);
    in->epoch = m->hdr.epoch;
    in->flags = m->u.epoch_flags;
    in->bytes = 0;
    XXH3_64bits_reset(in->hash);
    return 0;
}

static int on_data(struct intake *in, const struct proto_msg *m,
                   struct xlc_error *err)
{
    int r;

    if (!in->epoch || m->hdr.epoch != in->epoch)
        return xlc_error_set(err, -EPROTO, "data of epoch %llu inside %llu",
                             (unsigned long long)m->hdr.epoch,
                             (unsigned long long)in->epoch);
    in->bytes += m->hdr.length;
    XXH3_64bits_update(in->hash, m->u.data, m->hdr.length);
    r = records_feed(&in->rec, m->u.data, m->hdr.length, err);
    if (!r && in->s->colo)
        r = colo_secondary_feed(in->s->colo, m->u.data, m->hdr.length, err);
    if (r) return r;
    if (in->flags & PROTO_EPOCH_STREAM)
        return restore_write(in->s->restore, m->u.data, m->hdr.length, err);
    if (in->s->colo) return 0;
    return epochmem_add(in->mem, m->u.data, m->hdr.length, err);
}

static int check_whole(struct intake *in, const struct proto_msg *m,
                       struct xlc_error *err)
{
    const struct proto_epoch_end *e = &m->u.epoch_end;

    if (!in->epoch || m->hdr.epoch != in->epoch)
        return xlc_error_set(err, -EPROTO, "the end of epoch %llu inside "
                             "%llu", (unsigned long long)m->hdr.epoch,
                             (unsigned long long)in->epoch);
    if (e->bytes != in->bytes || e->hash != XXH3_64bits_digest(in->hash))
        return xlc_error_set(err, -EPROTO, "epoch %llu arrived damaged",
                             (unsigned long long)in->epoch);
    if (!in->rec.complete || in->rec.tsc_have != RECORDS_TSC_LEN)
        return xlc_error_set(err, -EPROTO, "epoch %llu is no whole "
                             "checkpoint", (unsigned long long)in->epoch);
    return 0;
}

static int to_restore(void *opaque, const uint8_t *data, size_t len,
                      struct xlc_error *err)
{
    return restore_write(opaque, data, len, err);
}

/* Give the accepted epoch to the restore and wait until it is applied. */
static int apply_restore(struct intake *in, struct xlc_error *err)
{
    struct restore *r = in->s->restore;
    int rc = in->mem ? epochmem_give(in->mem, to_restore, r, err) : 0;

    if (!rc) rc = restore_epoch(r, in->rec.tsc, in->rec.tsc_have, err);
    return rc;
}

static int apply(struct intake *in, struct xlc_error *err)
{
    struct colo_secondary *c = in->s->colo;
    int rc = 0;

    if (!c || in->epoch == 1) rc = apply_restore(in, err);
    if (!rc && c)
        rc = colo_secondary_apply(c, in->epoch,
                                  in->flags & PROTO_EPOCH_FINAL, err);
    return rc;
}

/* The acknowledgement promises that it can be applied (RULES B2). */
static int promise(struct intake *in, struct xlc_error *err)
{
    if (in->s->colo) return colo_secondary_check(in->s->colo, err);
    return epochmem_reserve(in->mem, err);
}

static uint64_t memory_used(const struct intake *in)
{
    return in->mem ? epochmem_used(in->mem) : 0;
}

static int on_end(struct intake *in, const struct proto_msg *m,
                  struct xlc_error *err)
{
    struct secondary *s = in->s;
    bool final = in->flags & PROTO_EPOCH_FINAL;
    uint64_t n = in->epoch, begun;
    bool counts;
    int r = check_whole(in, m, err);

    if (!r) r = promise(in, err);
    if (r) return r;
    pthread_mutex_lock(&s->lock);
    s->epoch_bytes = in->bytes;
    s->epoch_memory = memory_used(in);
    s->pages = in->rec.pages;
    s->bytes_total += in->bytes;
    s->epochs++;
    s->moved_ms = clock_ms();
    pthread_mutex_unlock(&s->lock);
    r = secondary_disks_whole(s, final ? SEC_EV_WHOLE_FINAL : SEC_EV_WHOLE,
                              n, err);
    if (r) return r;
    pthread_mutex_lock(&s->lock);
    counts = s->m.accepted == n || (n == 1 && s->m.waiting == 1);
    pthread_mutex_unlock(&s->lock);
    /* Too late, or refused: it is as if it had never come. */
    if (!counts) return -ECANCELED;
    begun = clock_us();
    r = apply(in, err);
    if (r) return r;
    pthread_mutex_lock(&s->lock);
    s->apply_us = clock_us() - begun;
    s->epoch_memory = memory_used(in);
    pthread_mutex_unlock(&s->lock);
    in->last = n;
    in->epoch = 0;
    records_next_epoch(&in->rec);
    secondary_event(s, SEC_EV_APPLIED, n);
    return 0;
}

/* Until there is something to read, the copy gets what it needs. */
static int wait_frame(struct secondary *s, struct xlc_error *err)
{
    struct pollfd pfd[2] = {
        { .fd = conn_fd(s->data), .events = POLLIN }, { .events = POLLIN },
    };

    if (!s->colo || !s->proxy) return 0;
    pfd[1].fd = secondary_proxy_wake_fd(s->proxy);
    do {
        uint64_t n;
        int ms, r = colo_secondary_turn(s->colo, &ms, err);

        if (r || ms < 0 || conn_raw_pending(s->data)) return r;
        if (poll(pfd, 2, ms) < 0 && errno != EINTR)
            return xlc_error_set(err, -errno, "poll: %s", strerror(errno));
        if (pfd[1].revents && read(pfd[1].fd, &n, sizeof(n)) < 0 &&
            errno != EAGAIN)
            return xlc_error_set(err, -errno, "eventfd: %s",
                                 strerror(errno));
    } while (!pfd[0].revents);
    return 0;
}

static int one_frame(struct intake *in, uint8_t *buf, struct xlc_error *err)
{
    struct proto_msg m;
    int r = wait_frame(in->s, err);

    if (!r) r = conn_read(in->s->data, &m, buf, err);
    if (r) return r;
    switch (m.hdr.type) {
    case PROTO_EPOCH_BEGIN:
        return on_begin(in, &m, err);
    case PROTO_DATA:
        return on_data(in, &m, err);
    case PROTO_EPOCH_END:
        return on_end(in, &m, err);
    default:
        return xlc_error_set(err, -EPROTO, "%s on the data connection",
                             proto_type_name(m.hdr.type));
    }
}

/* The thread ended with @r. A broken connection decides nothing: silence
 * does, or the primary's word. What is wrong with the data, or with this
 * host, ends the copy. */
static void report(struct secondary *s, int r, const struct xlc_error *err)
{
    if (r == -ECANCELED) return;
    if (r == -ECONNRESET || r == -EPIPE) {
        log_info("%s: data: %s", s->rec.name, err->msg);
        return;
    }
    log_error("%s: data: %s", s->rec.name, err->msg);
    pthread_mutex_lock(&s->lock);
    snprintf(s->note, sizeof(s->note), "%.*s", (int)sizeof(s->note) - 1,
             err->msg);
    pthread_mutex_unlock(&s->lock);
    secondary_event(s, SEC_EV_VIOLATION, 0);
}

/* Address space for the largest epoch; the rest of its memory must be there
 * before the epoch is acknowledged. A copy that is a domain has its own. */
static int make_room(struct intake *in, struct xlc_error *err)
{
    struct secondary *s = in->s;
    uint64_t limit = epochmem_bound(restore_memory(s->restore));
    int r;

    if (s->colo) return 0;
    r = epochmem_new(&in->mem, limit, NULL, NULL, err);
    if (!r) r = epochmem_reserve(in->mem, err);
    if (r) return r;
    LOCK_SCOPE(&s->lock);
    s->epoch_limit = limit;
    return 0;
}

static void *data_thread(void *opaque)
{
    CLEANUP_FREE uint8_t *buf = malloc(PROTO_DATA_MAX);
    struct secondary *s = opaque;
    struct intake in = { .s = s, .hash = XXH3_createState() };
    struct xlc_error err = XLC_ERROR_INIT;
    int r = 0;

    records_init(&in.rec);
    if (!buf || !in.hash) r = xlc_error_set(&err, -ENOMEM, "no memory");
    if (!r) r = make_room(&in, &err);
    while (!r)
        r = one_frame(&in, buf, &err);
    report(s, r, &err);
    epochmem_free(in.mem);
    pthread_mutex_lock(&s->lock);
    s->epoch_memory = 0;
    pthread_mutex_unlock(&s->lock);
    XXH3_freeState(in.hash);
    return NULL;
}

int secondary_start_data(struct secondary *s, struct xlc_error *err)
{
    int r = conn_blocking(s->data, err);

    if (r) return r;
    r = pthread_create(&s->data_thread, NULL, data_thread, s);
    if (r)
        return xlc_error_set(err, -r, "pthread_create: %s", strerror(r));
    s->data_running = true;
    return 0;
}
