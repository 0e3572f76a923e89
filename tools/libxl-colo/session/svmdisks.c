/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* svmdisks.c - The mirrored disks of a copy that is a domain; see svmdisks.h */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "disks.h"
#include "log.h"
#include "svmdisks.h"

/* For the epoch below the overlay to be durable; less than a plugin's time
 * for an answer. */
#define DURABLE_MS 3000u
/* Somebody in domain 0 may look at the block device: that ends soon. */
#define BUSY_MS  1000u
#define AGAIN_MS 5

/* A word for disk-serve, which lives as long as the plugin does. */
static int leave_note(const struct disks_one *one, const char *name,
                      const char *text, struct xlc_error *err)
{
    char path[DISKSERVE_FOLDER_MAX + 8];
    size_t len = strlen(text);
    CLEANUP_FD int fd = -1;

    snprintf(path, sizeof(path), "%s/%s", one->folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, text, len) == (ssize_t)len) return 0;
    return xlc_error_set(err, errno ? -errno : -EIO, "%s: %s", path,
                         strerror(errno));
}

static void remove_note(const struct disks_one *one, const char *name)
{
    char path[DISKSERVE_FOLDER_MAX + 8];

    snprintf(path, sizeof(path), "%s/%s", one->folder, name);
    unlink(path);
}

/* Ask until no request of somebody's is in the way. */
static int ask(struct disks *d, unsigned int i, enum diskctl_op op,
               uint64_t a, uint64_t b, struct xlc_error *err)
{
    const struct timespec nap = { 0, AGAIN_MS * 1000000 };
    uint64_t until = clock_ms() + BUSY_MS;

    for (;;) {
        struct xlc_error e = XLC_ERROR_INIT;
        int r = disks_ask(d, i, op, a, b, -1, NULL, &e);

        if (!r) return 0;
        if (r != -EBUSY || clock_ms() >= until)
            return xlc_error_set(err, r, "%s", e.msg);
        nanosleep(&nap, NULL);
    }
}

static int drop_overlay(struct disks *d, unsigned int i, uint64_t n,
                        struct xlc_error *err)
{
    return ask(d, i, DISKCTL_CHECKPOINT, disk_epoch(d, n), DURABLE_MS, err);
}

int svmdisks_open(struct disks *d, uint32_t domid, uint64_t n,
                  struct xlc_error *err)
{
    char text[16], pid[16];
    int r = 0;

    snprintf(text, sizeof(text), "%u\n", domid);
    snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    for (unsigned int i = 0; i < d->list.n && !r; i++) {
        /* A detach must not end the plugin: the epochs are there. */
        r = leave_note(&d->at[i], "keep", pid, err);
        if (!r) r = leave_note(&d->at[i], "copy", text, err);
        d->at[i].svm = true;
        if (!r) r = ask(d, i, DISKCTL_SVM_OPEN, 0, 0, err);
        if (!r) r = drop_overlay(d, i, n, err);
    }
    return r;
}

int svmdisks_checkpoint(struct disks *d, uint64_t n, struct xlc_error *err)
{
    int r = 0;

    for (unsigned int i = 0; i < d->list.n && !r; i++)
        if (d->at[i].svm && !d->at[i].taken)
            r = drop_overlay(d, i, n, err);
    return r;
}

int svmdisks_settle(struct disks *d, bool runs, struct xlc_error *err)
{
    for (unsigned int i = 0; i < d->list.n && !runs; i++) {
        struct disks_one *one = &d->at[i];
        int r;

        if (!one->svm || one->taken) continue;
        r = ask(d, i, DISKCTL_SVM_CLOSE, 0, 0, err);
        if (r) return r;
        one->svm = false;
        remove_note(one, "copy");
    }
    return 0;
}

bool svmdisks_taken(const struct disks *d)
{
    bool taken = false;

    for (unsigned int i = 0; i < d->list.n; i++)
        taken = taken || d->at[i].taken || d->at[i].asked;
    return taken;
}

void svmdisks_forget(struct disks *d, unsigned int i, bool never)
{
    struct disks_one *one = &d->at[i];
    struct xlc_error e = XLC_ERROR_INIT;

    if (!one->svm) return;
    one->svm = false;
    remove_note(one, "copy");
    if (never && ask(d, i, DISKCTL_SVM_CLOSE, 0, 0, &e))
        log_warn("%s", e.msg);
}

void svmdisks_close(struct disks *d)
{
    for (unsigned int i = 0; i < d->list.n; i++) {
        const struct disks_one *one = &d->at[i];

        /* Is it one that was taken over? The overlay is then for the UNTAKE,
         * and a question that the takeover holds up would cost its time. */
        if (one->svm && one->asked && !one->taken) remove_note(one, "copy");
        else svmdisks_forget(d, i, !one->taken);
    }
}
