/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-devices.c - The primary notices devices that come and go
 *
 * Theory of operation
 * -------------------
 * A connection of its own to xenstore watches libxl's directory of the guest
 * and the network backend's. When something moved there the devices are read
 * and judged (devices.h). A new vif is put under the buffer as soon as its
 * interface is there, which is before the guest can use it (netback waits
 * for the hotplug script): until the copy is dropped nothing leaves that the
 * copy does not have. Then, whatever it was, protection ends in order.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "devices.h"
#include "log.h"
#include "primary.h"
#include "primary-proxy.h"

/**
 * struct primary_devices - see above
 * @xsh: the connection
 * @domid: the guest
 * @judge: what it had and has
 * @look: something moved, or is to be looked at again, from @next_ms on
 * @wait: a vif's interface is not there yet, or could not be held yet
 * @over: a change was told; from then on new vifs are held, no more
 */
struct primary_devices {
    struct xs_handle *xsh;
    uint32_t domid;
    struct devices_judge judge;
    bool look, wait, over;
    uint64_t next_ms;
};

/* Reading xenstore takes its daemon's time, which heartbeats and the toolstack
 * need as well: between two looks this many times as long as the last one
 * took passes, and a little. A device that went is looked at less often. */
#define LOOK_REST    4u
#define LOOK_MIN_MS  20u
#define LOOK_GONE_MS 500u

static char **xs_list(void *h, const char *path, unsigned int *n_r)
{
    return xs_directory(h, XBT_NULL, path, n_r);
}

static char *xs_value(void *h, const char *path)
{
    return xs_read(h, XBT_NULL, path, NULL);
}

static int look(struct primary_devices *d, struct devices *now,
                struct xlc_error *err)
{
    const struct devices_store st = { xs_list, xs_value, d->xsh };

    return devices_read(now, &st, d->domid, err);
}

static int watch(struct primary_devices *d, const char *fmt,
                 struct xlc_error *err)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/%u%s", fmt, d->domid,
             strcmp(fmt, "/libxl") ? "" : "/device");
    if (xs_watch(d->xsh, path, "devices")) return 0;
    return xlc_error_set(err, -errno, "xenstore: can't watch %s: %s", path,
                         strerror(errno));
}

int primary_devices_begin(struct primary *p, struct xlc_error *err)
{
    struct primary_devices *d = calloc(1, sizeof(*d));
    int r;

    if (!d) return xlc_error_set(err, -ENOMEM, "no memory");
    p->devices = d;
    d->domid = p->look.domid;
    d->xsh = xs_open(0);
    if (!d->xsh)
        return xlc_error_set(err, -errno, "can't reach xenstore: %s",
                             strerror(errno));
    r = watch(d, "/libxl", err);
    if (!r) r = watch(d, "/local/domain/0/backend/vif", err);
    return r ? r : look(d, &d->judge.was, err);
}

void primary_devices_end(struct primary *p)
{
    struct primary_devices *d = steal_ptr(&p->devices);

    if (!d) return;
    if (d->xsh) xs_close(d->xsh);
    free(d);
}

int primary_devices_fd(const struct primary *p)
{
    return p->devices ? xs_fileno(p->devices->xsh) : -1;
}

/* What it sends waits from now on, as what the others send. Return: 1 if
 * it did not before; 0 if it did, or if it is to be tried again */
static int hold(struct primary *p, const struct device *v,
                struct xlc_error *err)
{
    struct netbuf_vif vif = { .devid = v->devid };
    int r = 0;

    memcpy(vif.ifname, v->ifname, sizeof(vif.ifname));
    /* Until it is there, or all is over. A cut that is being drawn is not
     * waited for: heartbeats go on. */
    if (!if_nametoindex(v->ifname) || pthread_mutex_trylock(&p->nb_lock)) {
        p->devices->wait = true;
        return 0;
    }
    if (p->nb && !primary_proxy_holds(p, v->ifname))
        r = netbuf_add(p->nb, &vif, p->o->netbuf_bytes, err);
    pthread_mutex_unlock(&p->nb_lock);
    if (r == 1) log_info("%s: %s is held from now on", p->rec.name, v->ifname);
    return r;
}

/* Every vif must be held. A known one that was not is another one. */
static int hold_all(struct primary *p, struct xlc_error *err)
{
    const struct devices *now = &p->devices->judge.now;
    int r = 0, one;

    p->devices->wait = false;
    for (unsigned int i = 0; i < now->n; i++) {
        const struct device *v = &now->at[i];

        if (!v->vif || v->elsewhere || p->o->no_net) continue;
        one = hold(p, v, err);
        if (one < 0)
            r = one;
        else if (one && !r && devices_find(&p->devices->judge.was, v->name))
            r = xlc_error_set(err, -ESTALE, "vif %u was replaced behind "
                              "protection's back, so protection ends. "
                              "Protect the guest anew", v->devid);
    }
    return r;
}

/* The guest's end takes its devices along; that is not for us to tell. */
static bool ends_anyway(struct primary *p)
{
    LOCK_SCOPE(&p->lock);
    return p->m.ended || p->destroy || p->finished ||
           guest_state(&p->look) < 0;
}

/* Read what the guest has now, and judge it. */
static int look_and_judge(struct primary_devices *d, uint64_t now_ms,
                          struct xlc_error *err)
{
    uint64_t begun = clock_ms(), end;
    int r = look(d, &d->judge.now, err);

    end = clock_ms();
    d->next_ms = end + LOOK_REST * (end - begun) + LOOK_MIN_MS;
    d->look = false;
    if (r) return r;
    r = devices_judge(&d->judge, now_ms, err);
    if (!d->judge.gone[0] || d->over) return r;
    d->look = true;
    if (d->next_ms < end + LOOK_GONE_MS) d->next_ms = end + LOOK_GONE_MS;
    return r;
}

bool primary_devices_wait(const struct primary *p)
{
    const struct primary_devices *d = p->devices;

    return d && (d->wait || (d->look && !d->judge.gone[0]));
}

void primary_devices(struct primary *p, bool moved, uint64_t now_ms)
{
    struct primary_devices *d = p->devices;
    struct xlc_error e = XLC_ERROR_INIT, e2 = XLC_ERROR_INIT;
    bool due;
    char **w;
    int r = 0;

    while (moved && (w = xs_check_watch(d->xsh)))
        free(w);
    d->look |= moved;
    due = d->look && now_ms >= d->next_ms;
    if ((!due && !d->wait) || ends_anyway(p)) return;
    if (due) r = look_and_judge(d, now_ms, &e);
    if (hold_all(p, &e2) && !r)
        r = xlc_error_set(&e, e2.status, "%s", e2.msg);
    if (!r || d->over) return;
    d->over = true;
    log_error("%s: %s", p->rec.name, e.msg);
    p->trouble = true;
}
