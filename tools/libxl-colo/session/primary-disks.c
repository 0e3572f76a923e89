/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-disks.c - The primary's mirrored disks: find, copy, mark, let go
 *
 * Theory of operation
 * -------------------
 * Every writable disk is served by block-colo (host_check_guest() has seen to
 * that). Each gets a connection of its own, on which its plugin talks to the
 * one on the other host. The checkpoint thread first waits until the copies
 * are equal but for what the guest writes, and only then begins with the
 * guest's memory; the first mark, at the first cut, closes the copy.
 *
 * A disk that loses its mirror ends protection: no checkpoint would be whole
 * without it. The guest goes on, and the plugin remembers what it writes.
 *
 * A guest that ends by itself is no failure: what it wrote last is marked as
 * one more epoch, which END names, and is waited for.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "host.h"
#include "log.h"
#include "mirror.h"
#include "primary.h"
#include "primary-disks.h"

/* How often the checkpoint thread looks up while a disk is copied. */
#define SYNC_MS 500u
/* The last writes of a guest that ended may take this long, or the limit if
 * that is longer. The other host gives up a second before. */
#define LAST_MS 4000u

/* ---- Find ---------------------------------------------------------------- */

/* The path of the image there: the same, or what --disk says. */
static const char *path_there(const struct primary *p, const char *vdev,
                              const char *path)
{
    size_t len = strlen(vdev);

    for (unsigned int i = 0; i < p->o->ndisks; i++)
        if (!strncmp(p->o->disks[i], vdev, len) && p->o->disks[i][len] == '=')
            return p->o->disks[i] + len + 1;
    return path;
}

/* A --disk that speaks of no mirrored disk is a mistake. */
static int check_options(const struct primary *p, struct xlc_error *err)
{
    for (unsigned int i = 0; i < p->o->ndisks; i++) {
        char vdev[DISKLIST_VDEV_MAX + 1];
        size_t len = strcspn(p->o->disks[i], "=");

        if (len < sizeof(vdev)) {
            memcpy(vdev, p->o->disks[i], len);
            vdev[len] = 0;
            if (disklist_find(&p->disks.list, vdev)) continue;
        }
        return xlc_error_set(err, -EINVAL, "--disk %.80s: %s has no mirrored "
                             "disk of that name", p->o->disks[i],
                             p->guest.name);
    }
    return 0;
}

/* 36 characters in the folder, of the history that the image belongs to. */
static int read_uuid(const char *folder, uint8_t uuid[16],
                     struct xlc_error *err)
{
    char path[DISKSERVE_FOLDER_MAX + 8], text[48] = "";
    unsigned int n = 0;
    CLEANUP_FD int fd = -1;

    snprintf(path, sizeof(path), "%s/uuid", folder);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 36)
        return xlc_error_set(err, -EIO, "%s can't be read", path);
    for (const char *s = text; n < 32 && *s && *s != '\n'; s++) {
        const char *digits = "0123456789abcdef", *d;

        if (*s == '-') continue;
        d = strchr(digits, tolower((unsigned char)*s));
        if (!d) break;
        uuid[n / 2] = (uint8_t)(uuid[n / 2] << 4 | (d - digits));
        n++;
    }
    return n == 32 ? 0 : xlc_error_set(err, -EPROTO, "%s has no uuid", path);
}

/* Epochs of a disk never come again, whoever counted them before: the clock
 * is ahead of all of them unless somebody set it back, and then they are
 * asked. */
static void count_from(struct disklist *l, const struct diskctl_status *st)
{
    struct timespec now;
    uint64_t first, seen[] = { st->epoch, st->held, st->durable };

    clock_gettime(CLOCK_REALTIME, &now);
    first = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++)
        if (first <= seen[i]) first = seen[i] + 1;
    if (l->first < first) l->first = first;
}

static int find_one(struct primary *p, const libxl_device_disk *disk,
                    struct xlc_error *err)
{
    struct disklist *l = &p->disks.list;
    struct disklist_item *d = &l->at[l->n];
    struct diskctl_status st;
    unsigned int i = l->n;
    int r;

    if (l->n == DISKLIST_MAX)
        return xlc_error_set(err, -E2BIG, "the guest has more than %u "
                             "writable disks, which can't be protected",
                             DISKLIST_MAX);
    snprintf(d->vdev, sizeof(d->vdev), "%s", disk->vdev);
    snprintf(d->path, sizeof(d->path), "%s",
             path_there(p, disk->vdev, disk->pdev_path));
    r = diskserve_folder(disk->pdev_path, p->disks.at[i].folder, err);
    if (!r) r = read_uuid(p->disks.at[i].folder, d->uuid, err);
    if (r) return r;
    l->n++;
    r = disks_connect(&p->disks, i, err);
    if (!r)
        r = disks_look(&p->disks, i, DISKCTL_STATUS, 0,
                       clock_ms() + DISKS_ANSWER_MS, &st, err);
    if (r) return r;
    if (st.role != DISKCTL_PRIMARY)
        return xlc_error_set(err, -EPERM, "disk %s: %s is served as a copy, "
                             "not as a guest's disk", d->vdev,
                             disk->pdev_path);
    d->size = st.size;
    count_from(l, &st);
    return 0;
}

static void wake(void *opaque)
{
    struct primary *p = opaque;
    uint64_t one = 1;

    if (write(p->wake, &one, sizeof(one)) < 0) {
        /* The counter is full: the loop is awake. */
    }
}

int primary_disks_find(struct primary *p, struct xlc_error *err)
{
    int r = 0;

    disks_init(&p->disks, wake, p);
    disks_limit(&p->disks, p->o->limit_ms);
    if (!p->o->no_disk)
        for (int i = 0; i < p->cfg.num_disks && !r; i++)
            if (p->cfg.disks[i].readwrite)
                r = find_one(p, &p->cfg.disks[i], err);
    p->disks.list.force = p->o->force_sync;
    return r ? r : check_options(p, err);
}

/* ---- The other host ------------------------------------------------------ */

int primary_disks_say(struct primary *p, struct xlc_error *err)
{
    uint8_t buf[PROTO_DISKS_MAX];
    struct proto_msg m = { .hdr.type = PROTO_DISKS, .u.data = buf };
    int n;

    if (!p->disks.list.n) return 0;
    if (!(p->caps & PROTO_CAP_DISK))
        return xlc_error_set(err, -EPERM, "the xl-colo of the other host "
                             "can't mirror disks: install this version there");
    n = disklist_put(&p->disks.list, buf, err);
    if (n < 0) return n;
    m.hdr.length = (uint32_t)n;
    return boot_send(&p->boot, &m, err);
}

int primary_disks_relay(struct primary *p, unsigned int i, struct conn *c,
                        struct xlc_error *err)
{
    return disks_relay(&p->disks, i, c, err);
}

/* Return: 0; -ECANCELED: protection ends */
static int wait_synced(struct primary *p, unsigned int i,
                       struct xlc_error *err)
{
    for (;;) {
        struct xlc_error e = XLC_ERROR_INIT;
        int r = disks_ask(&p->disks, i, DISKCTL_WAIT_SYNCED, 0, SYNC_MS, -1,
                          NULL, &e);

        if (p->stop) return -ECANCELED;
        if (!r) return 0;
        if (r != -ETIMEDOUT) return xlc_error_set(err, r, "%s", e.msg);
    }
}

/* The image here of a disk that is mirrored. */
static const char *path_here(const struct primary *p, const char *vdev)
{
    for (int i = 0; i < p->cfg.num_disks; i++)
        if (p->cfg.disks[i].readwrite && !strcmp(p->cfg.disks[i].vdev, vdev))
            return p->cfg.disks[i].pdev_path;
    return "";
}

/* Of a disk, by path and the guest's name; both in one block. */
struct reach {
    const char *path, *name;
};

/* A login may take seconds, and nothing waits for what it shows. */
static void *reach_thread(void *opaque)
{
    CLEANUP_FREE struct reach *r = opaque;
    const char *const words[] = { "reach", r->path, NULL };
    struct xlc_error e = XLC_ERROR_INIT;

    if (diskserve(words, NULL, &e)) log_warn("%s: %s", r->name, e.msg);
    return NULL;
}

/* Can the other host be asked, one day when nobody is there to type? */
static void reach(const char *path, const char *name)
{
    size_t len = strlen(path) + 1, len2 = strlen(name) + 1;
    struct reach *r = malloc(sizeof(*r) + len + len2);
    pthread_t t;

    if (!r) return;
    r->path = memcpy(r + 1, path, len);
    r->name = memcpy((char *)(r + 1) + len, name, len2);
    if (pthread_create(&t, NULL, reach_thread, r)) free(r);
    else pthread_detach(t);
}

/* RULES A7: from the first epoch on the other host may take over, so before
 * it each image has to say whom to ask. */
static int pair(struct primary *p, struct xlc_error *err)
{
    const struct disklist *l = &p->disks.list;
    int r = 0;

    for (unsigned int i = 0; i < l->n && !r; i++) {
        const char *const words[] = {
            "pair", path_here(p, l->at[i].vdev), p->o->host, p->o->ssh,
            l->at[i].path, NULL
        };
        struct diskserve_paths *known = &p->sh->disks;
        struct xlc_error e = XLC_ERROR_INIT;

        snprintf(known->at[i], sizeof(known->at[i]), "%s", words[1]);
        known->n = i + 1;
        r = diskserve(words, NULL, &e);
        if (r) xlc_error_set(err, r, "disk %s: %s", l->at[i].vdev, e.msg);
    }
    p->disks_paired = true;
    /* All of them are on one host. */
    if (!r && p->sh->disks.at[0][0]) reach(p->sh->disks.at[0], p->rec.name);
    return r;
}

int primary_disks_sync(struct primary *p, struct xlc_error *err)
{
    struct disks *d = &p->disks;
    int r = 0;

    p->disks_syncing = d->list.n;
    for (unsigned int i = 0; i < d->list.n && !r; i++) {
        r = disks_ask(d, i, DISKCTL_PROTECT, d->list.first, 0,
                      d->at[i].plugin, NULL, err);
        /* Before the first PROTECT ever there is nobody to be told. */
        if (!r)
            r = disks_ask(d, i, DISKCTL_RATE, p->o->disk_rate, 0, -1, NULL,
                          err);
        if (d->at[i].plugin >= 0) close(steal_fd(&d->at[i].plugin));
    }
    /* What the other host's plugin says before it has written anything. */
    p->disks_refused = r;
    for (unsigned int i = 0; i < d->list.n && !r; i++)
        r = wait_synced(p, i, err);
    if (!r && d->list.n) r = pair(p, err);
    p->disks_syncing = false;
    return r;
}

/* ---- Epochs -------------------------------------------------------------- */

/*
 * The guest is suspended. What blkback completed before is in the plugin's
 * queue, in front of the mark, and so in this epoch. What the guest asks for
 * after its resume is behind it. A request that was under way when the guest
 * was suspended may fall on either side, and that is enough: in the memory of
 * this epoch it is not answered yet, so a guest that is restored from it
 * sends it once more (blkfront queues everything that has no answer again when
 * it connects anew), and writing the same octets to the same place twice is
 * the same as once. Nobody can have relied on it, since nobody was told that
 * it is done.
 */
int primary_disks_mark(struct primary *p, uint64_t n, struct xlc_error *err)
{
    uint64_t epoch = disk_epoch(&p->disks, n), until = disks_until(&p->disks);
    int r = 0;

    for (unsigned int i = 0; i < p->disks.list.n && !r; i++)
        r = disks_quick(&p->disks, i, DISKCTL_MARK, epoch, until, err);
    return r;
}

/* With the lock held, so that no cut is being drawn. */
void primary_disks_last(struct primary *p)
{
    uint64_t until = disks_until(&p->disks);
    struct xlc_error e = XLC_ERROR_INIT;
    uint64_t n = p->m.cut + 1, epoch = disk_epoch(&p->disks, n);

    if (!p->disks.list.n || !p->m.cut || p->last_epoch || p->m.final) return;
    for (unsigned int i = 0; i < p->disks.list.n; i++)
        if (disks_look(&p->disks, i, DISKCTL_MARK, epoch, until, NULL, &e)) {
            log_warn("%s: its last writes are not on the other host: %s",
                     p->rec.name, e.msg);
            return;
        }
    p->last_epoch = n;
}

/* A relay has ended, on the main thread. */
void primary_disks_check(struct primary *p)
{
    int i = disks_lost(&p->disks);
    struct xlc_error e = XLC_ERROR_INIT;
    struct diskctl_status st = { .why = "" };

    if (i < 0 || p->disks_over) return;
    p->disks_over = true;
    disks_look(&p->disks, (unsigned int)i, DISKCTL_STATUS, 0,
               disks_look_until(&p->disks), &st, &e);
    LOCK_SCOPE(&p->lock);
    if (p->m.state == PRIM_SYNCING || p->m.state == PRIM_PROTECTED ||
        p->m.state == PRIM_SWAPPING) {
        const char *why = st.why[0] ? st.why : p->disks.at[i].why;

        log_error("%s: disk %s is not mirrored any more (%s), so protection "
                  "ends", p->rec.name, p->disks.list.at[i].vdev, why);
        xlc_error_set(&p->why, -ENOTCONN, "disk %s is not mirrored any "
                      "more: %s", p->disks.list.at[i].vdev, why);
    }
    primary_event_locked(p, PRIM_EV_LINK_ERROR, 0);
}

/* ---- The end ------------------------------------------------------------- */

/* The other host said ENDED; its plugin may still be writing. */
static void wait_last(struct primary *p)
{
    uint64_t epoch = disk_epoch(&p->disks, p->last_epoch);
    unsigned int limit = p->o->limit_ms;
    uint64_t until = clock_ms() + (limit > LAST_MS ? limit : LAST_MS);

    for (unsigned int i = 0; i < p->disks.list.n; i++) {
        struct xlc_error e = XLC_ERROR_INIT;
        uint64_t now = clock_ms();

        if (disks_ask(&p->disks, i, DISKCTL_WAIT_DURABLE, epoch,
                      now < until ? until - now : 0, -1, NULL, &e))
            log_warn("%s: %s: the other host's copy may lack the last "
                     "writes; the next protection copies them",
                     p->rec.name, e.msg);
    }
}

/* The checkpoint thread is to end, and may be waiting for the other host. */
void primary_disks_hurry(struct primary *p)
{
    if (!p->disks_syncing) return;
    for (unsigned int i = 0; i < p->disks.list.n; i++)
        relay_stop(steal_ptr(&p->disks.at[i].relay));
}

void primary_disks_end(struct primary *p)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (p->last_epoch && !p->unheard) wait_last(p);
    /* The checkpoint thread is gone, so @ctl is ours. A guest that moved took
     * its plugin along. */
    for (unsigned int i = 0; i < p->disks.list.n && !p->destroy; i++) {
        if (p->disks.at[i].ctl < 0 || !p->dialled) continue;
        xlc_error_clear(&e);
        if (disks_ask(&p->disks, i, DISKCTL_STOP, 0, 0, -1, NULL, &e))
            log_warn("%s: %s", p->rec.name, e.msg);
    }
    disks_dispose(&p->disks);
}

/* What the images say of the other host from now on (RULES A7). NULL: what
 * they say: it may have taken over, and is to be asked. */
static const char *claim(const struct primary *p)
{
    if (p->m.state == PRIM_YIELDED)
        return p->m.outcome == XLC_MOVED ? "handed" : NULL;
    if (p->m.outcome == XLC_UNCONFIRMED) return NULL;
    if (p->m.state != PRIM_SOLO && p->m.state != PRIM_GONE) return NULL;
    /* Its copy will never run: it said so, or never had a whole epoch. */
    if (!p->unheard || !p->m.cut) return "alone";
    return p->m.state == PRIM_SOLO ? "solo" : NULL;
}

void primary_disks_claim(struct primary *p)
{
    const char *word = p->disks_paired ? claim(p) : NULL;

    for (int i = 0; word && i < p->cfg.num_disks; i++) {
        const libxl_device_disk *disk = &p->cfg.disks[i];
        const char *const words[] = { word, disk->pdev_path, NULL };
        struct xlc_error e = XLC_ERROR_INIT;

        if (disk->readwrite && diskserve(words, NULL, &e))
            log_warn("%s: disk %s: %s: before it is started again the other "
                     "host will be asked", p->rec.name, disk->vdev, e.msg);
    }
}

/* Octets that went to the other host. */
uint64_t primary_disks_moved(const struct primary *p)
{
    uint64_t n = 0;

    for (unsigned int i = 0; i < p->disks.list.n; i++)
        if (p->disks.at[i].relay) n += relay_out(p->disks.at[i].relay);
    return n;
}

/* Of the first copy, over all disks, in percent; -1: not known. */
int primary_disks_percent(struct primary *p)
{
    uint64_t size = 0, lacking = 0, until = disks_look_until(&p->disks);

    for (unsigned int i = 0; i < p->disks.list.n; i++) {
        struct diskctl_status st;
        struct xlc_error e = XLC_ERROR_INIT;

        if (disks_look(&p->disks, i, DISKCTL_STATUS, 0, until, &st, &e) ||
            st.state == MIRROR_SOLO)
            return -1;
        size += st.size;
        lacking += st.lacking < st.size ? st.lacking : st.size;
    }
    return size ? (int)((double)(size - lacking) / (double)size * 100) : -1;
}
