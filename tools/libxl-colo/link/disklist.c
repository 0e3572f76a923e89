/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disklist.c - The body of PROTO_DISKS: which disks are mirrored, and how */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "cursor.h"
#include "disklist.h"

static bool alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

static bool vdev_ok(const char *s)
{
    size_t len = strnlen(s, DISKLIST_VDEV_MAX + 1);

    if (!len || len > DISKLIST_VDEV_MAX) return false;
    for (; *s; s++)
        if (!alnum(*s)) return false;
    return true;
}

static bool path_ok(const char *s)
{
    size_t len = strnlen(s, DISKLIST_PATH_MAX + 1);

    if (*s != '/' || len > DISKLIST_PATH_MAX) return false;
    for (; *s; s++)
        if (*s < 0x20 || *s > 0x7e) return false;
    return true;
}

static bool any(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i]) return true;
    return false;
}

static int check_item(const struct disklist *l, unsigned int i,
                      struct xlc_error *err)
{
    const struct disklist_item *d = &l->at[i];

    if (!vdev_ok(d->vdev))
        return xlc_error_set(err, -EPROTO, "DISKS: a disk's name is 1 to %u "
                             "letters and digits", DISKLIST_VDEV_MAX);
    if (!path_ok(d->path))
        return xlc_error_set(err, -EPROTO, "DISKS: %s: the path of its image "
                             "must be absolute, printable and at most %u "
                             "octets long", d->vdev, DISKLIST_PATH_MAX);
    if (!d->size || d->size > INT64_MAX)
        return xlc_error_set(err, -EPROTO, "DISKS: %s: %llu octets", d->vdev,
                             (unsigned long long)d->size);
    if (!any(d->uuid, sizeof(d->uuid)))
        return xlc_error_set(err, -EPROTO, "DISKS: %s: no uuid", d->vdev);
    for (unsigned int k = 0; k < i; k++)
        if (!strcmp(d->vdev, l->at[k].vdev) ||
            !strcmp(d->path, l->at[k].path))
            return xlc_error_set(err, -EPROTO, "DISKS: %s and %s are one "
                                 "disk or one image", l->at[k].vdev, d->vdev);
    return 0;
}

static int check(const struct disklist *l, struct xlc_error *err)
{
    int r = 0;

    if (!l->first)
        return xlc_error_set(err, -EPROTO, "DISKS: the first epoch is 0");
    if (!l->n || l->n > DISKLIST_MAX)
        return xlc_error_set(err, -EPROTO, "DISKS: %u disks, at most %u can "
                             "be mirrored", l->n, DISKLIST_MAX);
    for (unsigned int i = 0; i < l->n && !r; i++)
        r = check_item(l, i, err);
    return r;
}

/* @len octets of text; @dst has room for @most and a terminator. */
static void get_text(struct rcur *c, char *dst, size_t len, size_t most)
{
    const uint8_t *p = len <= most ? rcur_take(c, len) : NULL;

    if (!p || memchr(p, 0, len)) {
        c->bad = true;
        len = 0;
    } else {
        memcpy(dst, p, len);
    }
    dst[len] = 0;
}

static void get_item(struct rcur *c, struct disklist_item *d)
{
    uint16_t vdev_len, path_len;

    rcur_bytes(c, d->uuid, sizeof(d->uuid));
    d->size = rcur_u64(c);
    vdev_len = rcur_u16(c);
    path_len = rcur_u16(c);
    rcur_zero(c, 4);
    get_text(c, d->vdev, vdev_len, DISKLIST_VDEV_MAX);
    get_text(c, d->path, path_len, DISKLIST_PATH_MAX);
}

int disklist_get(struct disklist *l, const uint8_t *buf, size_t len,
                 struct xlc_error *err)
{
    CLEANUP_FREE struct disklist *got = calloc(1, sizeof(*got));
    struct rcur c = { buf, len, false };
    uint16_t flags, n;
    int r;

    if (!got) return xlc_error_set(err, -ENOMEM, "no memory");
    got->first = rcur_u64(&c);
    flags = rcur_u16(&c);
    n = rcur_u16(&c);
    rcur_zero(&c, 4);
    got->force = flags & DISKLIST_FORCE;
    got->n = n;
    for (unsigned int i = 0; i < n && i < DISKLIST_MAX; i++)
        get_item(&c, &got->at[i]);
    if (!rcur_done(&c) || flags & ~DISKLIST_FORCE)
        return xlc_error_set(err, -EPROTO, "DISKS: a length inside it is "
                             "wrong, or a reserved field is set");
    r = check(got, err);
    if (r) return r;
    *l = *got;
    return 0;
}

int disklist_put(const struct disklist *l, uint8_t *buf,
                 struct xlc_error *err)
{
    struct wcur c = { buf, PROTO_DISKS_MAX, false };

    if (check(l, err)) return -EINVAL;
    wcur_u64(&c, l->first);
    wcur_u16(&c, l->force ? DISKLIST_FORCE : 0);
    wcur_u16(&c, (uint16_t)l->n);
    wcur_zero(&c, 4);
    for (unsigned int i = 0; i < l->n; i++) {
        const struct disklist_item *d = &l->at[i];
        size_t vdev_len = strlen(d->vdev), path_len = strlen(d->path);

        wcur_bytes(&c, d->uuid, sizeof(d->uuid));
        wcur_u64(&c, d->size);
        wcur_u16(&c, (uint16_t)vdev_len);
        wcur_u16(&c, (uint16_t)path_len);
        wcur_zero(&c, 4);
        wcur_bytes(&c, d->vdev, vdev_len);
        wcur_bytes(&c, d->path, path_len);
    }
    return (int)(c.p - buf);
}

const struct disklist_item *disklist_find(const struct disklist *l,
                                          const char *vdev)
{
    for (unsigned int i = 0; i < l->n; i++)
        if (!strcmp(l->at[i].vdev, vdev)) return &l->at[i];
    return NULL;
}
