/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guest.c - The running domain: look at it, suspend it, resume it
 *
 * Theory of operation: suspending
 * -------------------------------
 * control/shutdown is one node for suspend, poweroff and reboot, and the
 * guest empties it as soon as it has read it. So the request is written in a
 * transaction and only into an empty node: a shutdown that somebody else
 * asked for is never overwritten; the checkpoint waits instead. From then on
 * the hypervisor is asked, not xenstore: the guest is suspended when Xen says
 * so. @releaseDomain wakes the wait; a look every SUSPEND_POLL_MS makes a
 * lost watch harmless.
 *
 * When the guest does not answer in time the request is taken back, again in
 * a transaction. If the guest has read it by then it may still suspend later:
 * guest_clean() and the next request both find it suspended and go on.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libxl_utils.h>
#include <libxl_uuid.h>

#include "cleanup.h"
#include "clock.h"
#include "guest.h" /* before xenguest.h, which needs xenctrl.h */
#include <xenguest.h>
#include "log.h"
#include "proto.h"

#define SUSPEND_POLL_MS 20
/* After a request was read but taken back, a guest is given this long to
 * suspend after all, so that it can be resumed. */
#define LATE_SUSPEND_MS 8000
/* A transaction that others always come before is given up after so long,
 * where nobody gave a deadline. */
#define SWAP_MS 2000

int guest_clone(struct guest *g, const struct guest *of,
                struct xlc_error *err)
{
    *g = *of;
    g->xch = NULL;
    g->xsh = NULL;
    g->name = strdup(of->name);
    if (!g->name) return xlc_error_set(err, -ENOMEM, "no memory");
    g->xch = xc_interface_open(log_xtl(), log_xtl(), 0);
    g->xsh = xs_open(0);
    if (!g->xch || !g->xsh) {
        int r = -errno;

        guest_close(g);
        return xlc_error_set(err, r, "can't reach the hypervisor or "
                             "xenstore: %s (is this dom0, and root?)",
                             strerror(-r));
    }
    return 0;
}

int guest_open(struct guest *g, libxl_ctx *ctx, const char *spec,
               struct xlc_error *err)
{
    struct guest of = { 0 };
    libxl_dominfo info;
    libxl_uuid uuid;
    int rc;

    memset(g, 0, sizeof(*g));
    rc = libxl_uuid_from_string(&uuid, spec) ? ERROR_INVAL : 0;
    libxl_dominfo_init(&info);
    if (!rc) {
        /* Given by uuid: libxl_domain_info() wants a number. */
        int n = 0;
        libxl_dominfo *all = libxl_list_domain(ctx, &n);

        rc = ERROR_DOMAIN_NOTFOUND;
        for (int i = 0; i < n; i++)
            if (!libxl_uuid_compare(&all[i].uuid, &uuid)) {
                of.domid = all[i].domid;
                rc = 0;
            }
        libxl_dominfo_list_free(all, n);
    } else {
        rc = libxl_domain_qualifier_to_domid(ctx, spec, &of.domid);
    }
    if (!rc) rc = libxl_domain_info(ctx, &info, of.domid);
    if (rc) {
        libxl_dominfo_dispose(&info);
        return xlc_error_set(err, -ENOENT, "there is no domain \"%s\" here",
                             spec);
    }
    of.hvm = info.domain_type != LIBXL_DOMAIN_TYPE_PV;
    memcpy(of.uuid_raw, libxl_uuid_bytearray(&info.uuid), 16);
    snprintf(of.uuid, sizeof(of.uuid), LIBXL_UUID_FMT,
             LIBXL_UUID_BYTES(info.uuid));
    snprintf(of.path, sizeof(of.path), "/local/domain/%u", of.domid);
    of.name = libxl_domid_to_name(ctx, of.domid);
    libxl_dominfo_dispose(&info);
    if (!of.name)
        return xlc_error_set(err, -ENOENT, "domain %u has no name",
                             of.domid);
    rc = guest_clone(g, &of, err);
    free(of.name);
    return rc;
}

void guest_close(struct guest *g)
{
    if (g->xch) xc_interface_close(g->xch);
    if (g->xsh) xs_close(g->xsh);
    free(g->name);
    g->xch = NULL;
    g->xsh = NULL;
    g->name = NULL;
}

int guest_state(struct guest *g)
{
    static const int why[] = {
        [SHUTDOWN_poweroff] = PROTO_WHY_POWEROFF,
        [SHUTDOWN_reboot] = PROTO_WHY_REBOOT,
        [SHUTDOWN_crash] = PROTO_WHY_CRASH,
        [SHUTDOWN_watchdog] = PROTO_WHY_WATCHDOG,
        [SHUTDOWN_soft_reset] = PROTO_WHY_CRASH,
    };
    xc_domaininfo_t info;
    unsigned int code;
    int n;

    n = xc_domain_getinfolist(g->xch, g->domid, 1, &info);
    if (n < 0 && errno != ESRCH) return 0; /* the hypervisor is busy */
    if (n != 1 || info.domain != g->domid ||
        info.flags & XEN_DOMINF_dying ||
        memcmp(info.handle, g->uuid_raw, sizeof(g->uuid_raw)))
        return -PROTO_WHY_DESTROYED;
    if (!(info.flags & XEN_DOMINF_shutdown)) return 0;
    code = info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
    if (code == SHUTDOWN_suspend) return 1;
    return code < sizeof(why) / sizeof(why[0]) && why[code] ?
           -why[code] : -PROTO_WHY_CRASH;
}

int guest_watch(struct guest *g, struct xlc_error *err)
{
    if (!xs_watch(g->xsh, "@releaseDomain", "xl-colo"))
        return xlc_error_set(err, -errno, "xenstore: can't watch "
                             "@releaseDomain: %s", strerror(errno));
    return 0;
}

int guest_watch_fd(struct guest *g)
{
    return xs_fileno(g->xsh);
}

void guest_watch_drain(struct guest *g)
{
    char **w;

    while ((w = xs_check_watch(g->xsh)))
        free(w);
}

/**
 * control_swap() - write control/shutdown if it holds what we think
 * @from: what it must hold ("" also matches a node that is not there)
 * @to: what to write
 * @was: room for @size octets: what it held
 * @deadline: to give up at, when others keep coming before us
 * @stop: the same at once; NULL if nobody stops
 *
 * Return: 1 written; 0 it held something else; -ETIMEDOUT; -ECANCELED; another
 * negative errno
 */
static int control_swap(struct guest *g, const char *from, const char *to,
                        char *was, size_t size, uint64_t deadline,
                        const volatile bool *stop)
{
    const struct timespec nap = { 0, 1000000 };
    char path[80];

    was[0] = 0;
    snprintf(path, sizeof(path), "%s/control/shutdown", g->path);
    for (;;) {
        CLEANUP_FREE char *old = NULL;
        xs_transaction_t t = xs_transaction_start(g->xsh);
        bool same, abort;

        if (t == XBT_NULL) return -errno;
        old = xs_read(g->xsh, t, path, NULL);
        snprintf(was, size, "%s", old ? old : "");
        same = !strcmp(was, from);
        abort = !same || !xs_write(g->xsh, t, path, to,
                                   (unsigned int)strlen(to));
        if (xs_transaction_end(g->xsh, t, abort)) {
            if (!same) return 0;
            return abort ? -EIO : 1;
        }
        if (errno != EAGAIN) return -errno;
        if (stop && *stop) return -ECANCELED;
        if (clock_ms() >= deadline) return -ETIMEDOUT;
        nanosleep(&nap, NULL);
    }
}

/* Wait for a watch or a while. */
static void wait_watch(struct guest *g, int ms)
{
    struct pollfd pfd = { .fd = xs_fileno(g->xsh), .events = POLLIN };

    if (poll(&pfd, 1, ms) > 0) guest_watch_drain(g);
}

/* Take the request back. Return: true if the guest had not read it. */
static bool unask_suspend(struct guest *g)
{
    char was[32];

    return control_swap(g, "suspend", "", was, sizeof(was),
                        clock_ms() + SWAP_MS, NULL) == 1;
}

static int ask_suspend(struct guest *g, uint64_t deadline,
                       const volatile bool *stop, struct xlc_error *err)
{
    char was[32];

    for (;;) {
        int r = control_swap(g, "", "suspend", was, sizeof(was), deadline,
                             stop), s;

        if (r == 1 || (r == 0 && !strcmp(was, "suspend"))) return 0;
        if (r == -ECANCELED) return r;
        if (r < 0)
            return xlc_error_set(err, r, "xenstore: can't write %s/control/"
                                 "shutdown: %s", g->path, strerror(-r));
        /* Somebody asked for a shutdown; the guest will end, or refuse. */
        s = guest_state(g);
        if (s) return s < 0 ? -ESHUTDOWN : 0;
        if (*stop) return -ECANCELED;
        if (clock_ms() >= deadline)
            return xlc_error_set(err, -ETIMEDOUT, "%s/control/shutdown "
                                 "holds another request", g->path);
        wait_watch(g, SUSPEND_POLL_MS);
    }
}

int guest_suspend(void *opaque, uint32_t timeout_ms,
                  const volatile bool *stop, struct xlc_error *err)
{
    uint64_t deadline = clock_ms() + timeout_ms;
    struct guest *g = opaque;
    int r, s;

    s = guest_state(g);
    if (!s) {
        r = ask_suspend(g, deadline, stop, err);
        if (r) return r;
    }
    for (;;) {
        s = guest_state(g);
        if (s == 1) return 0;
        if (s < 0)
            return xlc_error_set(err, -ESHUTDOWN, "the guest ended: %s",
                                 proto_reason_text((unsigned int)-s));
        if (*stop || clock_ms() >= deadline) break;
        wait_watch(g, SUSPEND_POLL_MS);
    }
    unask_suspend(g);
    if (guest_state(g) == 1) return 0;
    if (*stop) return -ECANCELED;
    return xlc_error_set(err, -ETIMEDOUT, "the guest did not suspend within "
                         "%u ms (--suspend-timeout)", timeout_ms);
}

int guest_resume(void *opaque, struct xlc_error *err)
{
    struct guest *g = opaque;

    if (guest_state(g) != 1) return 0;
    if (xc_domain_resume(g->xch, g->domid, 1))
        return xlc_error_set(err, -errno, "the hypervisor did not resume "
                             "domain %u: %s", g->domid, strerror(errno));
    if (!xs_resume_domain(g->xsh, g->domid))
        return xlc_error_set(err, -errno, "xenstore did not resume domain "
                             "%u: %s", g->domid, strerror(errno));
    return 0;
}

int guest_clean(struct guest *g, bool asked, struct xlc_error *err)
{
    uint64_t deadline = clock_ms() + LATE_SUSPEND_MS;
    int r;

    /* A request that the guest has not read can be taken back for good. One
     * that it has read, but not carried out yet, can't be seen: wait. */
    if (!unask_suspend(g) && asked)
        while (guest_state(g) == 0 && clock_ms() < deadline)
            wait_watch(g, SUSPEND_POLL_MS);
    r = guest_resume(g, err);
    /* Off is an error if it was not on. */
    xc_shadow_control(g->xch, g->domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
    return r;
}

int guest_ask(struct guest *g, const char *what, struct xlc_error *err)
{
    char was[32];
    int r = control_swap(g, "", what, was, sizeof(was), clock_ms() + SWAP_MS,
                         NULL);

    if (r == 1) return 0;
    return xlc_error_set(err, r ? r : -EBUSY, "%s/control/shutdown could "
                         "not be set to \"%s\"", g->path, what);
}
