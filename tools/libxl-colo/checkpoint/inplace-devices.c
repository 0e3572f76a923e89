/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-devices.c - Disconnect a paused guest's backends */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "inplace-devices.h"

#define XENBUS_INIT      '1'
#define XENBUS_INIT_WAIT '2'
#define XENBUS_CONNECTED '4'
#define XENBUS_CLOSING   '5'
#define XENBUS_CLOSED    '6'
/* A watch may be lost with its device; look again after so long. */
#define LOOK_MS 50
/* Requests under way are looked at again after so long. */
#define AGAIN_MS 5

/* "5" and nothing else. Return: 0 if it is no state */
static char read_state(struct inplace_devices *d, const char *of)
{
    CLEANUP_FREE char *s = NULL;
    unsigned int len = 0;
    char path[128];

    snprintf(path, sizeof(path), "%s/state", of);
    s = xs_read(d->xsh, XBT_NULL, path, &len);
    return s && len == 1 && s[0] >= '0' && s[0] <= '8' ? s[0] : 0;
}

static int write_state(struct inplace_devices *d, const char *of, char state,
                       struct xlc_error *err)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/state", of);
    if (xs_write(d->xsh, XBT_NULL, path, &state, 1)) return 0;
    return xlc_error_set(err, -errno, "xenstore: can't write %s: %s", path,
                         strerror(errno));
}

/* A directory of xenstore; free() it. */
static char **list(struct inplace_devices *d, const char *path,
                   unsigned int *n_r)
{
    char **names = xs_directory(d->xsh, XBT_NULL, path, n_r);

    if (!names) *n_r = 0;
    return names;
}

/* Only digits: what libxl calls a device. */
static bool is_number(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n && n <= 10 && !s[n];
}

static int add_device(struct inplace_devices *d, const char *kind,
                      const char *id, struct xlc_error *err)
{
    CLEANUP_FREE char *backend = NULL;
    struct inplace_device *dev = &d->dev[d->n];
    char path[128];

    if (!is_number(id) || d->n == INPLACE_DEVICES_MAX)
        return xlc_error_set(err, -ENOTSUP, "domain %u has more devices than "
                             "can be put back", d->domid);
    snprintf(dev->frontend, sizeof(dev->frontend),
             "/local/domain/%u/device/%s/%s", d->domid, kind, id);
    snprintf(dev->backend, sizeof(dev->backend),
             "/local/domain/0/backend/%s/%u/%s", kind, d->domid, id);
    snprintf(path, sizeof(path), "/libxl/%u/device/%s/%s/backend", d->domid,
             kind, id);
    backend = xs_read(d->xsh, XBT_NULL, path, NULL);
    if (!backend) return 0; /* it is being removed, or added */
    if (strcmp(backend, dev->backend))
        return xlc_error_set(err, -ENOTSUP, "%s %s of domain %u is not served "
                             "by dom0's kernel, and can't be put back", kind,
                             id, d->domid);
    snprintf(path, sizeof(path), "%s/state", dev->backend);
    if (!xs_watch(d->xsh, path, "state"))
        return xlc_error_set(err, -errno, "xenstore: can't watch %s: %s",
                             path, strerror(errno));
    d->n++;
    return 0;
}

static int add_kind(struct inplace_devices *d, const char *kind,
                    struct xlc_error *err)
{
    bool known = !strcmp(kind, "vif") || !strcmp(kind, "vbd");
    CLEANUP_FREE char **ids = NULL;
    char path[128];
    unsigned int n;
    int rc = 0;

    snprintf(path, sizeof(path), "/libxl/%u/device/%.32s", d->domid, kind);
    ids = list(d, path, &n);
    for (unsigned int i = 0; !rc && i < n; i++) {
        /* The first console is xenconsoled's, and not a device. */
        if (!strcmp(kind, "console") && !strcmp(ids[i], "0")) continue;
        if (!known)
            return xlc_error_set(err, -ENOTSUP, "domain %u has a device of "
                                 "kind \"%.32s\", which can't be put back",
                                 d->domid, kind);
        rc = add_device(d, kind, ids[i], err);
    }
    return rc;
}

static void forget(struct inplace_devices *d)
{
    char path[128];

    for (unsigned int i = 0; i < d->n; i++) {
        snprintf(path, sizeof(path), "%s/state", d->dev[i].backend);
        xs_unwatch(d->xsh, path, "state");
    }
    d->n = 0;
}

int inplace_devices_read(struct inplace_devices *d, struct xlc_error *err)
{
    CLEANUP_FREE char **kinds = NULL;
    char path[64];
    unsigned int n;
    int rc = 0;

    forget(d);
    snprintf(path, sizeof(path), "/libxl/%u/device", d->domid);
    kinds = list(d, path, &n);
    for (unsigned int i = 0; !rc && i < n; i++)
        rc = add_kind(d, kinds[i], err);
    d->stale = rc != 0;
    return rc;
}

/* Events only say that something is to be looked at. */
static void drain(struct inplace_devices *d)
{
    char **w;

    while ((w = xs_check_watch(d->xsh))) {
        if (!strcmp(w[XS_WATCH_TOKEN], "devices")) d->stale = true;
        free(w);
    }
}

int inplace_devices_open(struct inplace_devices *d, uint32_t domid,
                         struct xlc_error *err)
{
    char path[64];

    *d = (struct inplace_devices){ .domid = domid };
    d->xsh = xs_open(0);
    snprintf(path, sizeof(path), "/libxl/%u/device", domid);
    if (!d->xsh || !xs_watch(d->xsh, path, "devices"))
        return xlc_error_set(err, -errno, "xenstore: can't watch %s: %s",
                             path, strerror(errno));
    d->stale = true;
    return 0;
}

void inplace_devices_close(struct inplace_devices *d)
{
    if (d->xsh) xs_close(d->xsh);
    d->xsh = NULL;
    d->n = 0;
}

/* Has the backend reached the state, or passed it on the way to Closed? */
static bool reached(char state, char wanted)
{
    return state == wanted ||
           (wanted == XENBUS_CLOSING && state == XENBUS_CLOSED);
}

/* All frontends to one state; wait until all backends have answered. */
static int step(struct inplace_devices *d, char frontend, char backend,
                uint32_t timeout_ms, struct xlc_error *err)
{
    uint64_t deadline = clock_ms() + timeout_ms;
    struct pollfd pfd = { .fd = xs_fileno(d->xsh), .events = POLLIN };
    unsigned int done = 0; /* those before have answered */
    int rc;

    for (unsigned int i = 0; i < d->n; i++) {
        rc = write_state(d, d->dev[i].frontend, frontend, err);
        if (rc) return rc;
    }
    while (done < d->n) {
        struct inplace_device *dev = &d->dev[done];
        char state = read_state(d, dev->backend);

        if (reached(state, backend)) {
            done++;
            continue;
        }
        if (clock_ms() >= deadline)
            return xlc_error_set(err, -ETIMEDOUT, "%s is in state %c, not %c, "
                                 "after %u ms", dev->backend,
                                 state ? state : '?', backend, timeout_ms);
        if (read_state(d, dev->frontend) != frontend) {
            rc = write_state(d, dev->frontend, frontend, err);
            if (rc) return rc;
        }
        poll(&pfd, 1, LOOK_MS);
        drain(d);
    }
    return 0;
}

/* What was under way is answered, and no backend has a ring any more. */
static int let_go(struct inplace_devices *d, uint32_t timeout_ms,
                  struct xlc_error *err)
{
    uint64_t deadline = clock_ms() + timeout_ms;
    struct pollfd pfd = { .fd = xs_fileno(d->xsh), .events = POLLIN };
    int rc = d->bound ? d->bound(d->opaque, err) : 0;

    while (rc > 0) {
        if (clock_ms() >= deadline)
            return xlc_error_set(err, -ETIMEDOUT, "a backend of domain %u has "
                                 "requests under way for more than %u ms",
                                 d->domid, timeout_ms);
        poll(&pfd, 1, AGAIN_MS);
        drain(d);
        for (unsigned int i = 0; i < d->n; i++) {
            rc = write_state(d, d->dev[i].frontend, XENBUS_CLOSED, err);
            if (rc) return rc;
        }
        rc = d->bound(d->opaque, err);
    }
    return rc;
}

int inplace_devices_reset(struct inplace_devices *d, uint32_t timeout_ms,
                          struct xlc_error *err)
{
    int rc = 0;

    drain(d);
    if (d->stale) rc = inplace_devices_read(d, err);
    if (!rc) rc = step(d, XENBUS_CLOSING, XENBUS_CLOSING, timeout_ms, err);
    if (!rc) rc = step(d, XENBUS_CLOSED, XENBUS_CLOSED, timeout_ms, err);
    if (!rc) rc = let_go(d, timeout_ms, err);
    if (!rc) rc = step(d, XENBUS_INIT, XENBUS_INIT_WAIT, timeout_ms, err);
    return rc;
}

bool inplace_devices_connected(struct inplace_devices *d)
{
    for (unsigned int i = 0; i < d->n; i++)
        if (read_state(d, d->dev[i].backend) != XENBUS_CONNECTED)
            return false;
    return true;
}
