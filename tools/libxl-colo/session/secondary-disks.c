/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * secondary-disks.c - The secondary's mirrored disks: follow, accept, take over
 *
 * Theory of operation
 * -------------------
 * A plugin for each disk is started before the primary is told READY; it
 * serves nobody. An epoch is whole when each disk has all of it, too; it
 * counts for memory and disks in one step, under the lock that orders it
 * against the decision to take over (RULES A3): from DECIDING on nothing is
 * accepted any more, and what a plugin holds beyond that is dropped by its
 * takeover.
 *
 * Thread by thread: main hands a disk's stream to its plugin, data waits and
 * accepts, work takes over or lets go when data has ended; before that it may
 * take what a guest wrote last, on a connection of its own.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "identity.h"
#include "log.h"
#include "secondary.h"
#include "svmdisks.h"

/* How often the data thread looks whether it still matters. */
#define WAIT_MS 50u
/* What a guest wrote before its end has this long to come, or the limit if
 * that is longer; the primary waits for a second more. */
#define LAST_MS 4000u
/* A destroyed domain's backends let go of its disks within this. */
#define GIVE_BACK_MS  10000u
#define GIVE_BACK_NAP 100u

static void wake(void *opaque)
{
    secondary_wake(opaque);
}

/* ---- Boot ---------------------------------------------------------------- */

int secondary_disks_list(struct secondary *s, const struct proto_msg *m,
                         struct xlc_error *err)
{
    if (s->disks.list.n)
        return xlc_error_set(err, -EPROTO, "DISKS came twice");
    disks_init(&s->disks, wake, s);
    disks_limit(&s->disks, s->hello.limit_ms);
    return disklist_get(&s->disks.list, m->u.data, m->hdr.length, err);
}

int secondary_disks_serve(struct secondary *s, struct xlc_error *err)
{
    struct disks *d = &s->disks;
    int r = 0;

    for (unsigned int i = 0; i < d->list.n && !r; i++) {
        const struct disklist_item *item = &d->list.at[i];
        struct xlc_error e = XLC_ERROR_INIT;

        r = diskserve_secondary(item->path, item->uuid, item->size,
                                d->list.force, d->at[i].folder, &e);
        if (r)
            return xlc_error_set(err, r, "disk %s: %s", item->vdev, e.msg);
        d->at[i].served = true;
        memcpy(s->sh->disk[i], item->path, sizeof(item->path));
        s->sh->ndisks = i + 1;
        r = disks_connect(d, i, err);
    }
    return r;
}

/* Its stream has come, on the main thread. @c is taken over. */
int secondary_disks_attach(struct secondary *s, struct conn *c,
                           struct xlc_error *err)
{
    struct disks *d = &s->disks;
    unsigned int i = conn_path(c);
    int r = disks_relay(d, i, c, err);

    if (r) return r;
    r = disks_follow(d, i, err);
    close(steal_fd(&d->at[i].plugin));
    return r;
}

/* A relay has ended: worth a line. What it means, the primary says. */
void secondary_disks_check(struct secondary *s)
{
    for (unsigned int i = 0; i < s->disks.list.n; i++) {
        struct disks_one *one = &s->disks.at[i];

        if (!one->lost || one->told) continue;
        one->told = true;
        log_info("%s: disk %s: its stream ended: %s", s->rec.name,
                 s->disks.list.at[i].vdev, one->why);
    }
}

/* ---- Epochs -------------------------------------------------------------- */

/* With the lock held. */
static bool matters(const struct secondary *s)
{
    return s->m.state == SEC_SYNCING || s->m.state == SEC_PAIRED;
}

static bool still_matters(struct secondary *s)
{
    LOCK_SCOPE(&s->lock);
    return matters(s);
}

static int wait_one(struct secondary *s, unsigned int i, uint64_t epoch,
                    struct xlc_error *err)
{
    for (;;) {
        struct xlc_error e = XLC_ERROR_INIT;
        int r = disks_ask(&s->disks, i, DISKCTL_WAIT, epoch, WAIT_MS, -1,
                          NULL, &e);

        if (!r) return 0;
        if (!still_matters(s)) return -ECANCELED;
        /* A stream that broke decides nothing, as the data connection. */
        if (r != -ETIMEDOUT)
            return xlc_error_set(err, -ECONNRESET, "%s", e.msg);
    }
}

/* Every disk holds the epoch. One that does not say that it took it may have
 * taken it all the same, as may the others: there is no way back to the epoch
 * before, so this one counts, and take_one() asks again. One that is silent
 * has had all the time that there is. With the lock held. */
static void accept_all(struct secondary *s, uint64_t epoch)
{
    uint64_t until = disks_until(&s->disks);
    int r = 0;

    for (unsigned int i = 0; i < s->disks.list.n && r != -EAGAIN; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        r = disks_quick(&s->disks, i, DISKCTL_ACCEPT, epoch, until, &e);
        if (r)
            log_error("%s: %s; it is asked again", s->rec.name, e.msg);
    }
}

int secondary_disks_whole(struct secondary *s, enum sec_ev ev, uint64_t n,
                          struct xlc_error *err)
{
    uint64_t epoch = disk_epoch(&s->disks, n);
    int r = 0;

    for (unsigned int i = 0; i < s->disks.list.n && !r; i++)
        r = wait_one(s, i, epoch, err);
    if (r) return r;
    LOCK_SCOPE(&s->lock);
    if (matters(s)) accept_all(s, epoch);
    secondary_event_locked(s, ev, n);
    return 0;
}

/* ---- Taking over --------------------------------------------------------- */

/* While the file is there, a detach does not end the plugin: a takeover that
 * fails is taken back, and for that it must live. While the process that it
 * names lives, its guest gets the disk although it never ran (disk-claim). */
static void keep(const struct disks_one *one, bool on)
{
    char path[DISKSERVE_FOLDER_MAX + 8];
    int fd;

    snprintf(path, sizeof(path), "%s/keep", one->folder);
    if (!on) {
        unlink(path);
        return;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
              0600);
    if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
        log_warn("%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
}

/* The disk is of the same moment as the memory, or it is not opened. */
static int same_epoch(struct secondary *s, unsigned int i,
                      struct xlc_error *err)
{
    struct diskctl_status st;
    uint64_t want;
    int r;

    pthread_mutex_lock(&s->lock);
    want = disk_epoch(&s->disks, s->m.accepted);
    pthread_mutex_unlock(&s->lock);
    r = disks_ask(&s->disks, i, DISKCTL_STATUS, 0, 0, -1, &st, err);
    /* One whose first takeover failed accepts nothing more, nor needs to. */
    if (!r && st.accepted < want)
        r = disks_ask(&s->disks, i, DISKCTL_ACCEPT, want, 0, -1, &st, err);
    if (r || st.accepted == want) return r;
    return xlc_error_set(err, -ESTALE, "disk %s is at epoch %lld of the "
                         "session's %llu, so the copy can't be opened",
                         s->disks.list.at[i].vdev,
                         (long long)(st.accepted - s->disks.list.first + 1),
                         (unsigned long long)s->m.accepted);
}

/* The image's own generation, not the record's: the next one of its history,
 * by which an old primary is known again when it comes back. */
static int take_one(struct secondary *s, unsigned int i,
                    struct xlc_error *err)
{
    struct disks_one *one = &s->disks.at[i];
    struct diskctl_status st;
    int r;

    if (one->taken) return 0;
    r = disks_ask(&s->disks, i, DISKCTL_STATUS, 0, 0, -1, &st, err);
    if (!r && st.role != DISKCTL_PRIMARY) r = same_epoch(s, i, err);
    if (r) return r;
    relay_stop(steal_ptr(&one->relay));
    if (st.role != DISKCTL_PRIMARY) {
        keep(one, true);
        pthread_mutex_lock(&s->lock);
        s->taken = true;
        pthread_mutex_unlock(&s->lock);
        one->asked = true;
        r = disks_ask(&s->disks, i, DISKCTL_TAKEOVER, st.generation + 1, 0,
                      -1, NULL, err);
    }
    one->taken = !r;
    return r;
}

int secondary_disks_take(struct secondary *s, struct xlc_error *err)
{
    int r = 0;

    for (unsigned int i = 0; i < s->disks.list.n && !r; i++)
        r = take_one(s, i, err);
    return r;
}

/* RULES A7: the guest runs. Until this is durable the image does not start
 * again unless the primary's host was asked. */
void secondary_disks_taken(struct secondary *s)
{
    for (unsigned int i = 0; i < s->disks.list.n; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        if (disks_ask(&s->disks, i, DISKCTL_CLAIM, IDENTITY_ALONE, 0, -1, NULL,
                      &e))
            log_warn("%s: %s: before it is started again the other host will "
                     "be asked", s->rec.name, e.msg);
        keep(&s->disks.at[i], false);
    }
    svmdisks_close(&s->disks);
}

/* ---- Letting go ---------------------------------------------------------- */

/* The primary ends the streams when it has heard that the epoch is durable;
 * what the plugins say of that must not be cut off on its way. */
static void wait_heard(struct secondary *s, uint64_t epoch, uint64_t until)
{
    for (unsigned int i = 0; i < s->disks.list.n; i++) {
        struct xlc_error e = XLC_ERROR_INIT;
        uint64_t now = clock_ms();

        /* No stream brings what follows: this is answered when it ends. */
        disks_last(&s->disks, i, DISKCTL_WAIT, epoch + 1,
                   now < until ? until - now : 0, &e);
    }
}

static int last_all(struct secondary *s, enum diskctl_op op, uint64_t epoch,
                    uint64_t until, struct xlc_error *err)
{
    int r = 0;

    for (unsigned int i = 0; i < s->disks.list.n && !r; i++) {
        uint64_t now = clock_ms();

        r = disks_last(&s->disks, i, op, epoch, now < until ? until - now : 0,
                       err);
    }
    return r;
}

/* The guest ended by itself: all that it wrote shall be here. */
static void take_last(struct secondary *s, uint64_t n)
{
    unsigned int limit = s->hello.limit_ms;
    uint64_t epoch = disk_epoch(&s->disks, n);
    uint64_t until = clock_ms() - 1000 + (limit > LAST_MS ? limit : LAST_MS);
    struct xlc_error e = XLC_ERROR_INIT;
    int r = last_all(s, DISKCTL_WAIT, epoch, until, &e);

    if (!r) r = last_all(s, DISKCTL_ACCEPT, epoch, until, &e);
    if (!r) r = last_all(s, DISKCTL_WAIT_DURABLE, epoch, until, &e);
    if (r)
        log_warn("%s: the guest's last writes are not all here: %s",
                 s->rec.name, e.msg);
    else
        wait_heard(s, epoch, until);
}

/* Busy: a backend has it still. */
static int untake(struct secondary *s, unsigned int i, uint64_t until_ms,
                  struct xlc_error *err)
{
    const struct timespec nap = { 0, GIVE_BACK_NAP * 1000000l };

    for (;;) {
        struct xlc_error e = XLC_ERROR_INIT;
        int r = disks_ask(&s->disks, i, DISKCTL_UNTAKE, 0, 0, -1, NULL, &e);

        if (r != -EBUSY || clock_ms() >= until_ms)
            return r ? xlc_error_set(err, r, "%s", e.msg) : 0;
        nanosleep(&nap, NULL);
    }
}

/* One that did not say that it took the disk over may have, or in part. */
static void give_back(struct secondary *s, unsigned int i, uint64_t until_ms)
{
    struct disks_one *one = &s->disks.at[i];
    struct xlc_error e = XLC_ERROR_INIT;
    int r = one->taken || one->asked ? untake(s, i, until_ms, &e) : 0;
    bool never = r == -EPERM && !one->taken;

    /* Only now: what a takeover has kept of a copy's writes is for its undo;
     * without one they go. */
    svmdisks_forget(&s->disks, i, never);
    if (r && !never)
        log_error("%s: %s: no guest starts from this copy unless the primary's "
                  "host was asked, and it takes no protection: before the "
                  "next one see docs/disk.md, \"A takeover that failed\"",
                  s->rec.name, e.msg);
    /* Without a copy yet there is nothing to discard. */
    else if (!one->taken && (never || !one->asked) && one->ctl >= 0) {
        struct xlc_error why = XLC_ERROR_INIT;

        if (disks_ask(&s->disks, i, DISKCTL_DISCARD, 0, 0, -1, NULL, &why) &&
            never)
            log_error("%s: %s", s->rec.name, why.msg);
    }
    one->taken = one->asked = false;
    keep(one, false);
}

static void end_serving(struct secondary *s, unsigned int i)
{
    struct disks_one *one = &s->disks.at[i];
    struct xlc_error e = XLC_ERROR_INIT;

    relay_stop(steal_ptr(&one->relay));
    if (diskserve_end(s->disks.list.at[i].path, &e))
        log_error("%s: disk %s: %s", s->rec.name, s->disks.list.at[i].vdev,
                  e.msg);
    one->served = false;
}

void secondary_disks_last(struct secondary *s)
{
    uint64_t last;

    pthread_mutex_lock(&s->lock);
    last = s->m.ended && s->last_epoch > s->m.accepted ? s->last_epoch : 0;
    pthread_mutex_unlock(&s->lock);
    if (last && s->disks.list.n) take_last(s, last);
}

void secondary_disks_drop(struct secondary *s)
{
    uint64_t until = clock_ms() + GIVE_BACK_MS;

    /* The copy is gone; before that the data thread asks on these sockets. */
    svmdisks_close(&s->disks);
    for (unsigned int i = 0; i < s->disks.list.n; i++)
        if (s->disks.at[i].served) give_back(s, i, until);
    /* One that can't be given back stays marked, and does not start: that is
     * no reason to let the primary's guest stand still. */
    pthread_mutex_lock(&s->lock);
    s->taken = false;
    pthread_mutex_unlock(&s->lock);
    secondary_wake(s);
    /* A plugin's end may take long, and the primary waits for the above. */
    for (unsigned int i = 0; i < s->disks.list.n; i++)
        if (s->disks.at[i].served) end_serving(s, i);
}
