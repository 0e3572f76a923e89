/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resume.c - Bring back a domain that nobody protects and nobody runs */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xenstore.h>

#include "announce.h"
#include "diskserve.h"
#include "host.h"
#include "log.h"
#include "netbuf.h"
#include "number.h"
#include "opts.h"
#include "plane.h"
#include "status.h"
#include "xl.h"

/**
 * struct hands - what it takes to touch a domain
 * @ctx: libxl's
 * @xch: the hypervisor
 * @xsh: xenstore
 */
struct hands {
    libxl_ctx *ctx;
    xc_interface *xch;
    struct xs_handle *xsh;
};

static void hands_close(struct hands *h)
{
    if (h->xsh) xs_close(h->xsh);
    if (h->xch) xc_interface_close(h->xch);
    if (h->ctx) libxl_ctx_free(h->ctx);
}

static int hands_open(struct hands *h, struct xlc_error *err)
{
    xentoollog_logger *logger = log_xtl();

    *h = (struct hands){ NULL, NULL, NULL };
    if (libxl_ctx_alloc(&h->ctx, LIBXL_VERSION, 0, logger))
        return xlc_error_set(err, -ENODEV, "libxl can't be used: is this a "
                             "Xen host, and are you root?");
    h->xch = xc_interface_open(logger, NULL, 0);
    if (!h->xch)
        return xlc_error_set(err, -errno, "the hypervisor can't be reached: "
                             "%s", strerror(errno));
    h->xsh = xs_open(0);
    if (!h->xsh)
        return xlc_error_set(err, -errno, "xenstore can't be reached: %s",
                             strerror(errno));
    return 0;
}

static void uuid_text(char text[STATUS_UUID_LEN + 1], const libxl_uuid *u)
{
    snprintf(text, STATUS_UUID_LEN + 1, LIBXL_UUID_FMT,
             LIBXL_UUID_BYTES((*u)));
}

/* A name, domid or uuid. Return: 0 or -ENOENT */
static int find(libxl_ctx *ctx, const char *what, libxl_dominfo *found,
                struct xlc_error *err)
{
    libxl_dominfo *list;
    uint32_t domid = ~0u;
    uint64_t n;
    int count = 0;
    bool hit = false;

    if (number_parse(what, &n)) domid = n < ~0u ? (uint32_t)n : ~0u;
    else if (libxl_name_to_domid(ctx, what, &domid)) domid = ~0u;

    list = libxl_list_domain(ctx, &count);
    for (int i = 0; list && i < count && !hit; i++) {
        char uuid[STATUS_UUID_LEN + 1];

        uuid_text(uuid, &list[i].uuid);
        hit = list[i].domid == domid || !strcasecmp(uuid, what);
        if (hit) libxl_dominfo_copy(ctx, found, &list[i]);
    }
    if (list) libxl_dominfo_list_free(list, count);
    if (!hit)
        return xlc_error_set(err, -ENOENT, "there is no domain '%.80s' on "
                             "this host", what);
    return 0;
}

int domain_uuid(const char *what, char uuid[STATUS_UUID_LEN + 1],
                struct xlc_error *err)
{
    libxl_ctx *ctx = NULL;
    libxl_dominfo info;
    int r;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, log_xtl()))
        return xlc_error_set(err, -ENODEV, "libxl can't be used");
    libxl_dominfo_init(&info);
    r = find(ctx, what, &info, err);
    if (!r) uuid_text(uuid, &info.uuid);
    libxl_dominfo_dispose(&info);
    libxl_ctx_free(ctx);
    return r;
}

char *domain_name(const char *what)
{
    libxl_ctx *ctx = NULL;
    libxl_dominfo info;
    char *name = NULL;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, log_xtl_debug()))
        return NULL;
    libxl_dominfo_init(&info);
    if (!find(ctx, what, &info, NULL))
        name = libxl_domid_to_name(ctx, info.domid);
    libxl_dominfo_dispose(&info);
    libxl_ctx_free(ctx);
    return name;
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t len = name ? strlen(name) : 0, n = strlen(suffix);

    return len > n && !strcmp(name + len - n, suffix);
}

/* A standby copy whose receiver was killed is paused too, and is not what the
 * primary's is: it must not run. */
static int no_copy(libxl_ctx *ctx, uint32_t domid, struct xlc_error *err)
{
    char *name = libxl_domid_to_name(ctx, domid);
    bool copy = ends_in(name, STATUS_INCOMING) || ends_in(name, STATUS_COLO);

    free(name);
    if (!copy) return 0;
    return xlc_error_set(err, -EINVAL, "it is what is left of a standby "
                         "copy, which nobody keeps up to date: it can't run, "
                         "only be destroyed (`xl destroy %u`)", domid);
}

/* Nobody may be protecting it while we touch it. */
static int nobody_protects(const char *uuid, struct xlc_error *err)
{
    struct statuses s;
    int r = statuses_get(&s, err);

    for (unsigned int i = 0; !r && i < s.n; i++)
        if (s.v[i].err.status != -ECONNREFUSED &&
            !strcasecmp(s.v[i].uuid, uuid) && !status_is_over(&s.v[i]))
            r = xlc_error_set(err, -EBUSY, "it is protected: use "
                              "`xl remus-stop` without --resume");
    statuses_free(&s);
    return r;
}

/* What stands between the guest and its clients. */
#define PLANES_MAX 256u

/* A process may still read what the guest sends. */
static int planes_left(uint32_t domid, struct xlc_error *err)
{
    struct plane_seen *seen = calloc(PLANES_MAX, sizeof(*seen));
    int n = seen ? plane_scan(seen, PLANES_MAX, err) :
                   xlc_error_set(err, -ENOMEM, "no memory");
    int r = n < 0 ? n : 0;

    for (unsigned int i = 0; !r && i < PLANES_MAX && (int)i < n; i++)
        if (seen[i].port.domid == domid && seen[i].served)
            r = xlc_error_set(err, -EBUSY, "a process takes care of %s",
                              seen[i].vif);
    free(seen);
    return r;
}

/* Could free_network() do it? Nothing goes out yet. */
static int ask_network(uint32_t domid, struct netbuf **nb_r,
                       struct xlc_error *err)
{
    int r = netbuf_attach(nb_r, domid, err);

    if (!r) r = planes_left(domid, err);
    if (r)
        xlc_error_wrap(err, "its network buffer can't be removed, see "
                       "`remus-netbuf list`; nothing was changed, and it "
                       "stays suspended");
    return r;
}

/* Remove what held its output back; what is held goes out: the other host does
 * not run the domain, and may not from here on, so nothing contradicts it. */
static int free_network(struct netbuf *nb, uint32_t domid, bool changed,
                        struct xlc_error *err)
{
    int r = 0;

    if (netbuf_count(nb)) {
        r = netbuf_open(nb, err);
        if (!r) r = netbuf_teardown(nb, false, err);
    }
    if (!r && plane_clear_domain(domid, err) < 0) r = err->status;
    if (r)
        xlc_error_wrap(err, "its network buffer can't be removed, see "
                       "`remus-netbuf list`; %sit stays suspended, and the "
                       "same command goes on from here",
                       changed ? "its disks here are the newest, " : "");
    return r;
}

/* How it stands still. Return: 0 or -EINVAL if it runs */
static int state_of(const struct hands *h, uint32_t domid, bool *suspended_r,
                    bool *paused_r, struct xlc_error *err)
{
    xc_domaininfo_t info;
    unsigned int reason;

    if (xc_domain_getinfolist(h->xch, domid, 1, &info) != 1 ||
        info.domain != domid)
        return xlc_error_set(err, -ENOENT, "it is gone");
    reason = info.flags >> XEN_DOMINF_shutdownshift &
             XEN_DOMINF_shutdownmask;
    *suspended_r = info.flags & XEN_DOMINF_shutdown &&
                   reason == SHUTDOWN_suspend;
    *paused_r = info.flags & XEN_DOMINF_paused;
    if (info.flags & XEN_DOMINF_shutdown && !*suspended_r)
        return xlc_error_set(err, -EINVAL, "it has shut down (reason %u), "
                             "it can't be resumed", reason);
    if (!*suspended_r && !*paused_r)
        return xlc_error_set(err, -EINVAL, "it is not suspended: there is "
                             "nothing to resume");
    return 0;
}

/* It says nothing by itself. That nobody finds it is no reason to stop it. */
static void announce(const struct hands *h, uint32_t domid)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (announce_domain(h->ctx, domid, &e) < 0)
        fprintf(stderr, "xl remus-stop: warning: %s; until the domain sends "
                "something, others may not reach it\n", e.msg);
}

/**
 * struct disks - the guest's
 * @older: of each: it was said that it does not become the newest
 * @changed: some are the newest now
 * @warned: and some of those that were told are not
 */
struct disks {
    libxl_device_disk *list;
    int n;
    bool *older;
    bool changed, warned;
};

static int disks_list(struct disks *d, const struct hands *h, uint32_t domid,
                      struct xlc_error *err)
{
    *d = (struct disks){ 0 };
    d->list = libxl_device_disk_list(h->ctx, domid, &d->n);
    if (!d->list) d->n = 0;
    d->older = calloc((size_t)d->n + 1, sizeof(*d->older));
    return d->older ? 0 : xlc_error_set(err, -ENOMEM, "no memory");
}

static void disks_free(struct disks *d)
{
    libxl_device_disk_list_free(d->list, d->n);
    free(d->older);
}

/* What went wrong with one of them. */
static int no_disk(const struct disks *d, int i, bool now,
                   struct xlc_error *err)
{
    if (!now)
        xlc_error_wrap(err, "its disk %s can't be made the newest; nothing "
                       "was changed, and it stays suspended",
                       d->list[i].vdev);
    else
        xlc_error_wrap(err, "its disk %s can't be made the newest%s%s; it "
                       "stays suspended, and the same command goes on from "
                       "here", d->list[i].vdev,
                       d->changed ? ", those before it are" : "",
                       d->changed && d->warned ? " but for what the warnings "
                       "name" : "");
    return err->status;
}

/* RULES A7: the other host may have taken its disks and died before the guest
 * ran there: what it has must be the older one from here on. Unless @now, only
 * ask all of them whether that can be done, and say what one can't do that
 * goes on all the same: then it can be left still. */
static int tell_disks(struct disks *d, bool now, struct xlc_error *err)
{
    for (int i = 0; i < d->n; i++) {
        const libxl_device_disk *disk = &d->list[i];
        const char *const words[] = { now ? "resume" : "resumable",
                                      disk->pdev_path, NULL };
        char said[DISKSERVE_SAID_MAX];
        int r;

        if (!disk->readwrite || !host_disk_mirrored(disk)) continue;
        r = diskserve_said(words, NULL, said, err);
        if (r) return no_disk(d, i, now, err);
        if (said[0] && !d->older[i])
            fprintf(stderr, "xl remus-stop: warning: disk %s: %s\n",
                    disk->vdev, said);
        d->older[i] = said[0];
        if (now && said[0]) d->warned = true;
        else if (now) d->changed = true;
    }
    return 0;
}

/* First all are asked, then the disks are changed, and only then the network
 * opens: once a client has what the guest sent last, no older disk may be the
 * newest. The same again does the rest. */
static int make_ready(const struct hands *h, uint32_t domid,
                      struct xlc_error *err)
{
    struct netbuf *nb = NULL;
    struct disks d;
    int r = disks_list(&d, h, domid, err);

    if (!r) r = tell_disks(&d, false, err);
    if (!r) r = ask_network(domid, &nb, err);
    if (!r) r = tell_disks(&d, true, err);
    if (!r) r = free_network(nb, domid, d.changed && !d.warned, err);
    netbuf_free(nb);
    disks_free(&d);
    return r;
}

static int resume(const struct hands *h, uint32_t domid, const char *what,
                  struct xlc_error *err)
{
    bool suspended = false, paused = false;
    int r = state_of(h, domid, &suspended, &paused, err);

    if (r) return r;
    fprintf(stderr, "xl remus-stop: resuming '%s' (domain %u). It MUST NOT "
            "run on the other host: two copies of it would spoil its disks "
            "and its clients' data.\n", what, domid);
    r = make_ready(h, domid, err);
    if (r) return r;
    if (suspended && xc_domain_resume(h->xch, domid, 1) < 0)
        return xlc_error_set(err, -errno, "the hypervisor does not resume "
                             "it: %s", strerror(errno));
    if (suspended && !xs_resume_domain(h->xsh, domid))
        return xlc_error_set(err, -errno, "it runs, but xenstore does not "
                             "know: %s", strerror(errno));
    if (paused && xc_domain_unpause(h->xch, domid) < 0)
        return xlc_error_set(err, -errno, "the hypervisor does not unpause "
                             "it: %s", strerror(errno));
    announce(h, domid);
    return 0;
}

int resume_domain(const char *what, struct xlc_error *err)
{
    char uuid[STATUS_UUID_LEN + 1];
    libxl_dominfo info;
    struct hands h;
    int r = hands_open(&h, err);

    libxl_dominfo_init(&info);
    if (!r) r = find(h.ctx, what, &info, err);
    if (!r) {
        uuid_text(uuid, &info.uuid);
        r = nobody_protects(uuid, err);
    }
    if (!r) r = no_copy(h.ctx, info.domid, err);
    if (!r) r = resume(&h, info.domid, what, err);
    libxl_dominfo_dispose(&info);
    hands_close(&h);
    return r;
}
