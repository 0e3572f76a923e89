/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disks.c - A protected guest's mirrored disks, as the session of one end */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "cleanup.h"
#include "clock.h"
#include "disks.h"
#include "json.h"

void disks_init(struct disks *d, void (*wake)(void *opaque), void *opaque)
{
    memset(d, 0, sizeof(*d));
    for (unsigned int i = 0; i < DISKLIST_MAX; i++)
        d->at[i] = (struct disks_one){ .all = d, .ctl = -1, .look = -1,
                                       .last = -1, .plugin = -1 };
    d->quick_ms = DISKS_ANSWER_MS;
    d->look_ms = DISKS_LOOK_MS;
    d->wake = wake;
    d->opaque = opaque;
}

void disks_limit(struct disks *d, unsigned int limit_ms)
{
    d->quick_ms = limit_ms / 2 < DISKS_ANSWER_MS ? limit_ms / 2
                                                 : DISKS_ANSWER_MS;
    d->look_ms = limit_ms / 4 < DISKS_LOOK_MS ? limit_ms / 4 : DISKS_LOOK_MS;
}

uint64_t disks_until(const struct disks *d)
{
    return clock_ms() + d->quick_ms;
}

uint64_t disks_look_until(const struct disks *d)
{
    return clock_ms() + d->look_ms;
}

static unsigned int left(uint64_t until_ms)
{
    uint64_t now = clock_ms();

    return now < until_ms ? (unsigned int)(until_ms - now) : 0;
}

void disks_dispose(struct disks *d)
{
    for (unsigned int i = 0; i < d->list.n; i++) {
        struct disks_one *one = &d->at[i];

        relay_stop(steal_ptr(&one->relay));
        if (one->plugin >= 0) close(steal_fd(&one->plugin));
        if (one->ctl >= 0) close(steal_fd(&one->ctl));
        if (one->look >= 0) close(steal_fd(&one->look));
        if (one->last >= 0) close(steal_fd(&one->last));
    }
    d->list.n = 0;
}

uint64_t disk_epoch(const struct disks *d, uint64_t n)
{
    return d->list.first + n - 1;
}

static void patience(int fd, unsigned int ms)
{
    const struct timeval tv = { ms / 1000, (long)(ms % 1000) * 1000 };

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* @e with the disk's name in front, as @err. */
static int named(const struct disks *d, unsigned int i,
                 const struct xlc_error *e, struct xlc_error *err)
{
    return xlc_error_set(err, e->status, "disk %s: %s", d->list.at[i].vdev,
                         e->msg);
}

int disks_connect(struct disks *d, unsigned int i, struct xlc_error *err)
{
    struct disks_one *one = &d->at[i];
    struct xlc_error e = XLC_ERROR_INIT;
    char path[DISKSERVE_FOLDER_MAX + 16];

    snprintf(path, sizeof(path), "%s/control", one->folder);
    one->ctl = diskctl_connect(path, DISKS_ANSWER_MS, &e);
    one->look = diskctl_connect(path, DISKS_ANSWER_MS, &e);
    if (one->ctl >= 0 && one->look >= 0) return 0;
    return named(d, i, &e, err);
}

/* ---- Relays -------------------------------------------------------------- */

/* On a relay's thread. */
static void on_ended(void *opaque, const char *why)
{
    struct disks_one *one = opaque;

    snprintf(one->why, sizeof(one->why), "%.*s", (int)sizeof(one->why) - 1,
             why);
    one->lost = true;
    one->all->wake(one->all->opaque);
}

int disks_relay(struct disks *d, unsigned int i, struct conn *c,
                struct xlc_error *err)
{
    struct disks_one *one = &d->at[i];

    one->lost = false;
    return relay_start(&one->relay, c, &one->plugin, on_ended, one, err);
}

int disks_lost(const struct disks *d)
{
    for (unsigned int i = 0; i < d->list.n; i++)
        if (d->at[i].lost) return (int)i;
    return -1;
}

/* ---- Questions ----------------------------------------------------------- */

/*
 * One question on @sock_r, which is dialled if it is not there. After an error
 * of the socket it is closed: an answer that comes too late must not be taken
 * for the next one's.
 */
static int ask_on(struct disks *d, unsigned int i, int *sock_r,
                  unsigned int ms, const struct diskctl_ask *ask, int fd,
                  struct diskctl_status *st, struct xlc_error *err)
{
    char path[DISKSERVE_FOLDER_MAX + 16];
    struct xlc_error e = XLC_ERROR_INIT;

    if (!ms)
        return xlc_error_set(err, -EAGAIN, "disk %s: its plugin was not asked: "
                             "others took all the time",
                             d->list.at[i].vdev);
    snprintf(path, sizeof(path), "%s/control", d->at[i].folder);
    if (*sock_r < 0) *sock_r = diskctl_connect(path, ms, &e);
    if (*sock_r < 0) return named(d, i, &e, err);
    patience(*sock_r, ms);
    diskctl_call(*sock_r, ask, fd, st, &e);
    if (e.status == -EAGAIN || e.status == -EPIPE ||
        e.status == -ECONNRESET || e.status == -EPROTO)
        close(steal_fd(sock_r));
    return e.status ? named(d, i, &e, err) : 0;
}

/* What may be waited for is on top. */
static unsigned int answer_ms(const struct diskctl_ask *ask)
{
    switch (ask->op) {
    case DISKCTL_PROTECT:
        return DISKS_PROTECT_MS;
    case DISKCTL_TAKEOVER:
        return DISKS_TAKE_MS;
    case DISKCTL_WAIT:
    case DISKCTL_WAIT_DURABLE:
    case DISKCTL_WAIT_SYNCED:
        return DISKS_ANSWER_MS + (unsigned int)ask->b;
    default:
        return DISKS_ANSWER_MS;
    }
}

int disks_ask(struct disks *d, unsigned int i, enum diskctl_op op, uint64_t a,
              uint64_t b, int fd, struct diskctl_status *st,
              struct xlc_error *err)
{
    const struct diskctl_ask ask = { op, a, b };

    return ask_on(d, i, &d->at[i].ctl, answer_ms(&ask), &ask, fd, st, err);
}

int disks_quick(struct disks *d, unsigned int i, enum diskctl_op op,
                uint64_t a, uint64_t until_ms, struct xlc_error *err)
{
    const struct diskctl_ask ask = { op, a, 0 };

    return ask_on(d, i, &d->at[i].ctl, left(until_ms), &ask, -1, NULL, err);
}

int disks_last(struct disks *d, unsigned int i, enum diskctl_op op, uint64_t a,
               uint64_t b, struct xlc_error *err)
{
    const struct diskctl_ask ask = { op, a, op == DISKCTL_ACCEPT ? 0 : b };

    return ask_on(d, i, &d->at[i].last, answer_ms(&ask), &ask, -1, NULL, err);
}

int disks_look(struct disks *d, unsigned int i, enum diskctl_op op,
               uint64_t a, uint64_t until_ms, struct diskctl_status *st,
               struct xlc_error *err)
{
    const struct diskctl_ask ask = { op, a, 0 };
    struct disks_one *one = &d->at[i];
    uint64_t now = clock_ms();
    int r;

    if (op == DISKCTL_STATUS && now < one->deaf_until_ms)
        return xlc_error_set(err, -EAGAIN, "disk %s: its plugin does not "
                             "answer", d->list.at[i].vdev);
    now = left(until_ms);
    r = ask_on(d, i, &one->look, (unsigned int)now, &ask, -1, st, err);
    if (r == -EAGAIN && now) one->deaf_until_ms = clock_ms() + DISKS_DEAF_MS;
    return r;
}

int disks_follow(struct disks *d, unsigned int i, struct xlc_error *err)
{
    const struct diskctl_ask ask = { DISKCTL_FOLLOW, 0, 0 };

    return ask_on(d, i, &d->at[i].look, DISKS_ANSWER_MS, &ask,
                  d->at[i].plugin, NULL, err);
}

/* ---- Status -------------------------------------------------------------- */

static const char *state_name(const struct diskctl_status *st)
{
    static const char *const primary[] = {
        "alone", "syncing", "synced", "protected",
    };
    static const char *const secondary[] = {
        "idle", "greeting", "syncing", "following",
    };

    if (st->state > 3 || st->role == DISKCTL_PLAIN) return "?";
    return st->role == DISKCTL_PRIMARY ? primary[st->state] :
           secondary[st->state];
}

/* In the session's count, as all other epochs that are shown. */
static uint64_t session_epoch(const struct disks *d, uint64_t epoch)
{
    return epoch < d->list.first ? 0 : epoch - d->list.first + 1;
}

static void numbers(const struct disks *d, const struct diskctl_status *st,
                    struct json *j)
{
    bool primary = st->role == DISKCTL_PRIMARY;

    json_str(j, "role", primary ? "primary" : "secondary");
    json_str(j, "state", state_name(st));
    json_uint(j, "generation", st->generation);
    json_uint(j, "held_epoch", session_epoch(d, st->held));
    json_uint(j, "durable_epoch", session_epoch(d, st->durable));
    if (primary) {
        json_uint(j, "lacking_bytes", st->lacking);
        json_uint(j, "unsafe_bytes", st->unsafe);
        json_uint(j, "copied_bytes", st->copied);
        json_uint(j, "queued_bytes", st->queued);
        json_uint(j, "queue_limit_bytes", st->queue_limit);
        json_uint(j, "waits_total", st->waits);
        json_uint(j, "wait_us", st->wait_us);
        json_uint(j, "losses_total", st->losses);
    } else {
        json_uint(j, "accepted_epoch", session_epoch(d, st->accepted));
        json_uint(j, "kept_bytes", st->kept);
        json_uint(j, "kept_limit_bytes", st->kept_limit);
        json_uint(j, "journal_bytes", st->journal);
    }
    if (st->why[0]) json_str(j, "why", st->why);
}

void disks_json(struct disks *d, struct json *j)
{
    uint64_t until = disks_look_until(d);

    json_array(j, "disks");
    for (unsigned int i = 0; i < d->list.n; i++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct diskctl_status st;

        json_object(j, NULL);
        json_str(j, "vdev", d->list.at[i].vdev);
        json_str(j, "peer_path", d->list.at[i].path);
        json_uint(j, "size_bytes", d->list.at[i].size);
        if (disks_look(d, i, DISKCTL_STATUS, 0, until, &st, &e)) {
            json_str(j, "state", "unknown");
            json_str(j, "why", e.msg);
        } else {
            numbers(d, &st, j);
        }
        json_object_end(j);
    }
    json_array_end(j);
}
