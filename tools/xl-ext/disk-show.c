/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disk-show.c - The images that this host serves, as a table and as JSON */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "disk.h"
#include "identity.h"
#include "json.h"
#include "status.h"

static const char *run_folder(void)
{
    const char *p = getenv(DISK_RUN_ENV);

    return p && *p ? p : DISK_RUN;
}

/* The line in a file of the folder; "" without one. */
static void read_line(const char *dir, const char *name, char *to,
                      unsigned int size)
{
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FD int fd = -1;
    char raw[DISK_TEXT_MAX];
    ssize_t n;

    to[0] = '\0';
    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        path = NULL;
        return;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, raw, sizeof(raw));
    if (n > 0 && raw[n - 1] == '\n') n--;
    if (n > 0) xlc_sanitise(to, size, raw, (unsigned int)n);
}

/* Return: whether there is one. */
static bool look(struct disk *d, const char *dir)
{
    struct diskctl_ask ask = { .op = DISKCTL_STATUS };
    CLEANUP_FREE char *control = NULL;
    CLEANUP_FD int sock = -1;

    memset(d, 0, sizeof(*d));
    read_line(dir, "path", d->path, sizeof(d->path));
    if (!d->path[0]) return false;
    read_line(dir, "uuid", d->uuid, sizeof(d->uuid));
    read_line(dir, "device", d->device, sizeof(d->device));
    read_line(dir, "peer", d->peer, sizeof(d->peer));
    if (asprintf(&control, "%s/control", dir) < 0) {
        control = NULL;
        xlc_error_set(&d->err, -ENOMEM, "no memory");
        return true;
    }
    sock = diskctl_connect(control, DISKCTL_ANSWER_MS, &d->err);
    if (sock >= 0) diskctl_call(sock, &ask, -1, &d->st, &d->err);
    return true;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct disk *)a)->path,
                  ((const struct disk *)b)->path);
}

static int add(struct disk_list *d, const char *dir, struct xlc_error *err)
{
    struct disk *more = reallocarray(d->v, d->n + 1u, sizeof(*more));

    if (!more) return xlc_error_set(err, -ENOMEM, "no memory");
    d->v = more;
    d->n += look(&d->v[d->n], dir);
    return 0;
}

int disk_show_get(struct disk_list *d, struct xlc_error *err)
{
    DIR *top = opendir(run_folder());
    struct dirent *e;
    int rc = 0;

    *d = (struct disk_list){ NULL, 0 };
    if (!top && errno == ENOENT) return 0;
    if (!top)
        return xlc_error_set(err, -errno, "%s can't be read: %s",
                             run_folder(), strerror(errno));
    while (!rc && (e = readdir(top))) {
        CLEANUP_FREE char *dir = NULL;

        if (e->d_name[0] == '.') continue;
        if (asprintf(&dir, "%s/%s", run_folder(), e->d_name) < 0) {
            dir = NULL;
            rc = xlc_error_set(err, -ENOMEM, "no memory");
        } else {
            rc = add(d, dir, err);
        }
    }
    closedir(top);
    if (rc) disk_show_free(d);
    else if (d->n) qsort(d->v, d->n, sizeof(*d->v), by_path);
    return rc;
}

void disk_show_free(struct disk_list *d)
{
    free(d->v);
    *d = (struct disk_list){ NULL, 0 };
}

const struct disk *disk_show_find(const struct disk_list *d, const char *path)
{
    for (unsigned int i = 0; i < d->n; i++)
        if (!strcmp(d->v[i].path, path)) return &d->v[i];
    return NULL;
}

const char *disk_role(const struct diskctl_status *st)
{
    static const char *const roles[] = { "plain", "primary", "secondary" };

    return st->role < 3 ? roles[st->role] : "unknown";
}

const char *disk_state(const struct diskctl_status *st)
{
    static const char *const primary[] = { "alone", "syncing", "synced",
                                           "protected" };
    static const char *const secondary[] = { "waiting", "greeting",
                                             "syncing", "following" };

    if (st->state > 3) return "unknown";
    return st->role == DISKCTL_SECONDARY ? secondary[st->state]
                                         : primary[st->state];
}

/* Of another host, on a primary's image. */
static const char *claim(const struct diskctl_status *st)
{
    static const char *const claims[] = {
        [IDENTITY_ALONE] = "alone",
        [IDENTITY_HAS_PEER] = "paired",
        [IDENTITY_GIVEN] = "given",
        [IDENTITY_TAKEN] = "taken",
    };

    return st->claim <= IDENTITY_TAKEN ? claims[st->claim] : "unknown";
}

/* ---- Table --------------------------------------------------------------- */

static const char *bytes(char cell[32], uint64_t v)
{
    status_bytes(cell, 32, v > INT64_MAX ? -1 : (long long)v);
    return cell;
}

void disk_show_table(FILE *out, const struct disk_list *d)
{
    fprintf(out, "%-32s %-9s %-10s %8s %6s %8s %8s %s\n", "Image", "Role",
            "State", "Size", "Gen", "Lacking", "Queued", "Device");
    for (unsigned int i = 0; i < d->n; i++) {
        const struct disk *one = &d->v[i];
        char size[32], lacking[32], queued[32];

        if (one->err.status) {
            fprintf(out, "%-32s %s\n", one->path, one->err.msg);
            continue;
        }
        fprintf(out, "%-32s %-9s %-10s %8s %6" PRIu64 " %8s %8s %s\n",
                one->path, disk_role(&one->st), disk_state(&one->st),
                bytes(size, one->st.size), one->st.generation,
                bytes(lacking, one->st.lacking),
                bytes(queued, one->st.queued),
                *one->device ? one->device : "-");
        if (one->st.claim == IDENTITY_TAKEN)
            fprintf(out, "  taken over; no guest has run from it yet\n");
        else if (one->st.claim)
            fprintf(out, "  %s %s\n", one->st.claim == IDENTITY_GIVEN
                    ? "given to" : "paired with",
                    *one->peer ? one->peer : "a host that is not known");
        if (one->st.why[0])
            fprintf(out, "  peer lost: %s\n", one->st.why);
        if (one->st.failed)
            fprintf(out, "  failed: %s; only a restart heals this\n",
                    strerror((int)(one->st.failed & 0xfff)));
    }
}

/* ---- JSON ---------------------------------------------------------------- */

static const struct {
    const char *key;
    size_t at;
} numbers[] = {
    { "accepted", offsetof(struct diskctl_status, accepted) },
    { "compared_bytes", offsetof(struct diskctl_status, compared) },
    { "connections", offsetof(struct diskctl_status, connections) },
    { "copied_bytes", offsetof(struct diskctl_status, copied) },
    { "durable", offsetof(struct diskctl_status, durable) },
    { "epoch", offsetof(struct diskctl_status, epoch) },
    { "failed_errno", offsetof(struct diskctl_status, failed) },
    { "forgotten_errno", offsetof(struct diskctl_status, forgotten) },
    { "generation", offsetof(struct diskctl_status, generation) },
    { "held", offsetof(struct diskctl_status, held) },
    { "intents_bytes", offsetof(struct diskctl_status, intents) },
    { "journal_bytes", offsetof(struct diskctl_status, journal) },
    { "kept_bytes", offsetof(struct diskctl_status, kept) },
    { "kept_limit_bytes", offsetof(struct diskctl_status, kept_limit) },
    { "lacking_bytes", offsetof(struct diskctl_status, lacking) },
    { "losses", offsetof(struct diskctl_status, losses) },
    { "overlay_bytes", offsetof(struct diskctl_status, overlay) },
    { "overlay_limit_bytes", offsetof(struct diskctl_status, overlay_limit) },
    { "queue_limit_bytes", offsetof(struct diskctl_status, queue_limit) },
    { "queued_bytes", offsetof(struct diskctl_status, queued) },
    { "size_bytes", offsetof(struct diskctl_status, size) },
    { "unsafe_bytes", offsetof(struct diskctl_status, unsafe) },
    { "wait_us", offsetof(struct diskctl_status, wait_us) },
    { "waits", offsetof(struct diskctl_status, waits) },
};

static char *one_json(const struct disk *d)
{
    struct json j;

    json_begin(&j);
    json_str(&j, "path", d->path);
    json_str(&j, "uuid", d->uuid);
    json_str(&j, "device", d->device);
    json_bool(&j, "answers", !d->err.status);
    if (d->err.status) {
        json_str(&j, "error", d->err.msg);
        return json_end(&j);
    }
    json_str(&j, "role", disk_role(&d->st));
    json_str(&j, "state", disk_state(&d->st));
    json_str(&j, "claim", claim(&d->st));
    json_str(&j, "peer", d->peer);
    json_str(&j, "peer_lost", d->st.why);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uint64_t v;

        memcpy(&v, (const char *)&d->st + numbers[i].at, sizeof(v));
        json_uint(&j, numbers[i].key, v);
    }
    return json_end(&j);
}

int disk_show_json(FILE *out, const struct disk_list *d)
{
    fputc('[', out);
    for (unsigned int i = 0; i < d->n; i++) {
        CLEANUP_FREE char *text = one_json(&d->v[i]);

        if (!text) return -ENOMEM;
        fprintf(out, "%s\n%s", i ? "," : "", text);
    }
    fputs(d->n ? "\n]\n" : "]\n", out);
    return 0;
}
