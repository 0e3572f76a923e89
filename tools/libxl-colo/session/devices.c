/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* devices.c - The devices a guest has, and what became of them since */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "devices.h"

#define BACKENDS "/local/domain/0/backend/"

const struct device *devices_find(const struct devices *d, const char *name)
{
    for (unsigned int i = 0; i < d->n; i++)
        if (!strcmp(d->at[i].name, name)) return &d->at[i];
    return NULL;
}

/* A device's number. Return: false if @text is none */
static bool number(const char *text, uint32_t *n_r)
{
    uint64_t n = 0;

    if (!*text || strlen(text) > 10) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    *n_r = (uint32_t)n;
    return n <= UINT32_MAX;
}

/* The value of @dir/@leaf; NULL if there is none. */
static char *leaf_of(const struct devices_store *st, const char *dir,
                     const char *leaf)
{
    char path[256];

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, leaf) >=
        sizeof(path))
        return NULL;
    return st->read(st->h, path);
}

/* What its backend's nodes say about it. */
static void describe(struct device *v, const struct devices_store *st,
                     uint32_t domid, const char *backend)
{
    CLEANUP_FREE char *mode = NULL, *ifname = NULL, *vdev = NULL;

    v->elsewhere = strncmp(backend, BACKENDS, strlen(BACKENDS));
    if (v->disk) {
        mode = leaf_of(st, backend, "mode");
        v->writable = !mode || *mode != 'r';
        vdev = leaf_of(st, backend, "dev");
        snprintf(v->vdev, sizeof(v->vdev), "%.*s", (int)sizeof(v->vdev) - 1,
                 vdev ? vdev : "");
    }
    if (!v->vif) return;
    ifname = leaf_of(st, backend, "vifname");
    if (ifname && *ifname)
        snprintf(v->ifname, sizeof(v->ifname), "%.*s", IFNAMSIZ - 1, ifname);
    else
        snprintf(v->ifname, sizeof(v->ifname), "vif%u.%u", domid, v->devid);
}

/* Return: 0, -E2BIG */
static int add(struct devices *d, const struct devices_store *st,
               uint32_t domid, const char *class, const char *dev,
               const char *backend, struct xlc_error *err)
{
    struct device v = { .devid = 0 };

    if (!number(dev, &v.devid)) return 0; /* not libxl's */
    snprintf(v.name, sizeof(v.name), "%.32s/%u", class, v.devid);
    if (devices_find(d, v.name)) return 0;
    v.vif = !strcmp(class, "vif");
    v.disk = !strcmp(class, "vbd");
    describe(&v, st, domid, backend);
    if (d->n == DEVICES_MAX)
        return xlc_error_set(err, -E2BIG, "the guest has more than %d "
                             "devices", DEVICES_MAX);
    d->at[d->n++] = v;
    return 0;
}

/* The names in @path. Return: how many; a directory that is not there has
 * none; or a negative errno */
static int names(const struct devices_store *st, const char *path,
                 char ***list_r, struct xlc_error *err)
{
    unsigned int n = 0;

    *list_r = st->list(st->h, path, &n);
    if (*list_r) return (int)n;
    if (errno == ENOENT) return 0;
    return xlc_error_set(err, -(errno ? errno : EIO), "xenstore: can't list "
                         "%s: %s", path, strerror(errno));
}

/* The devices of one class that libxl knows. */
static int read_class(struct devices *d, const struct devices_store *st,
                      uint32_t domid, const char *class,
                      struct xlc_error *err)
{
    CLEANUP_FREE char **list = NULL;
    char path[128];
    int n, r = 0;

    snprintf(path, sizeof(path), "/libxl/%u/device/%.32s", domid, class);
    n = names(st, path, &list, err);
    for (int i = 0; i < n && !r; i++) {
        CLEANUP_FREE char *backend = NULL;
        char dir[192];

        snprintf(dir, sizeof(dir), "%s/%.32s", path, list[i]);
        backend = leaf_of(st, dir, "backend");
        /* Without one it is half-made, or half-removed: look again. */
        if (backend) r = add(d, st, domid, class, list[i], backend, err);
    }
    return n < 0 ? n : r;
}

/* The vifs that the network backend knows; libxl's are among them. */
static int read_vifs(struct devices *d, const struct devices_store *st,
                     uint32_t domid, struct xlc_error *err)
{
    CLEANUP_FREE char **list = NULL;
    char path[128];
    int n, r = 0;

    snprintf(path, sizeof(path), BACKENDS "vif/%u", domid);
    n = names(st, path, &list, err);
    for (int i = 0; i < n && !r; i++) {
        char backend[192];

        snprintf(backend, sizeof(backend), "%s/%.32s", path, list[i]);
        r = add(d, st, domid, "vif", list[i], backend, err);
    }
    return n < 0 ? n : r;
}

int devices_read(struct devices *d, const struct devices_store *st,
                 uint32_t domid, struct xlc_error *err)
{
    CLEANUP_FREE char **classes = NULL;
    char path[64];
    int n, r = 0;

    d->n = 0;
    snprintf(path, sizeof(path), "/libxl/%u/device", domid);
    n = names(st, path, &classes, err);
    for (int i = 0; i < n && !r; i++)
        r = read_class(d, st, domid, classes[i], err);
    if (n < 0) return n;
    return r ? r : read_vifs(d, st, domid, err);
}

/* "vif 1" or "writable disk xvdb", for a sentence. */
static void spoken(char *buf, size_t size, const struct device *v)
{
    int len = (int)strcspn(v->name, "/");

    if (v->disk)
        snprintf(buf, size, "%sdisk %s", v->writable ? "writable " : "",
                 v->vdev[0] ? v->vdev : v->name + len + 1);
    else
        snprintf(buf, size, "%.*s %u", len, v->name, v->devid);
}

static int changed(const struct device *v, const char *how,
                   struct xlc_error *err)
{
    char what[DEVICES_NAME_MAX + 16];

    spoken(what, sizeof(what), v);
    return xlc_error_set(err, -ESTALE, "%s was %s behind protection's back: "
                         "the copy on the other host differs now, so "
                         "protection ends. Protect the guest anew (with the "
                         "devices that it is to have)", what, how);
}

int devices_judge(struct devices_judge *j, uint64_t now_ms,
                  struct xlc_error *err)
{
    const struct device *v;

    for (unsigned int i = 0; i < j->now.n; i++) {
        v = &j->now.at[i];
        if (!devices_find(&j->was, v->name)) return changed(v, "added", err);
        if (!strcmp(v->name, j->gone)) return changed(v, "replaced", err);
    }
    for (unsigned int i = 0; i < j->was.n; i++) {
        v = &j->was.at[i];
        if (devices_find(&j->now, v->name)) continue;
        if (!j->gone[0]) {
            memcpy(j->gone, v->name, sizeof(j->gone));
            j->gone_ms = now_ms;
        }
        if (now_ms - j->gone_ms >= DEVICES_GONE_MS)
            return changed(v, "removed", err);
    }
    return 0;
}
