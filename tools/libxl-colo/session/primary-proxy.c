/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* primary-proxy.c - The primary's packets through the proxy */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "conn-stream.h"
#include "log.h"
#include "plane-name.h"
#include "primary-proxy-internal.h"
#include "vifname.h"

/* At a cut no packet of the guest came for so long, and how long that may
 * take to come true on a busy host. */
#define QUIET_US  200u
#define SETTLE_US 2000000u
/* How long what is held may take to leave when all is over. */
#define DRAIN_MS 1000u

void primary_proxy_trouble(struct primary *p, const char *what,
                           const struct xlc_error *e)
{
    log_error("%s: %s: %s", p->rec.name, what, e->msg);
    xlc_error_set(&p->why, e->status, "%s: %s", what, e->msg);
    p->trouble = true;
}

/* ----- begin ----- */

bool primary_proxy_wanted(const struct primary *p)
{
    return p->o->colo && p->o->mode != XLC_MODE_REMUS && !p->o->no_net &&
           p->cfg.num_nics;
}

static int take_vif(struct primary_proxy *x, uint32_t domid,
                    const char *name, struct xlc_error *err)
{
    char tap[IFNAMSIZ];
    int r;

    if (plane_name(tap, name, false))
        return xlc_error_set(err, -EPERM, "the guest's vif is called %s, and "
                             "only packets of vifs with the kernel's own "
                             "names (without vifname=) can be compared; "
                             "--mode=remus can protect it", name);
    /* Whoever has the buffer knows that its owner is dead. */
    if (plane_left(&x->tc, name) > 0)
        return xlc_error_set(err, -EEXIST, "%s is closed still, since an "
                             "earlier protection was killed: look whether the "
                             "other host runs the domain; if not, "
                             "`remus-netbuf clear %u` opens it", name, domid);
    r = plane_setup(&x->planes[x->n], &x->tc, name, err);
    if (!r) x->n++;
    return r;
}

static int take_vifs(struct primary *p, struct xlc_error *err)
{
    libxl_device_nic *nics;
    int n = 0, r = 0;

    nics = libxl_device_nic_list(p->ctx, p->guest.domid, &n);
    if (n > (int)WIRE_VIFS_MAX)
        r = xlc_error_set(err, -E2BIG, "the guest has %d vifs, of at most %u "
                          "the packets can be compared; --mode=remus can "
                          "protect more", n, WIRE_VIFS_MAX);
    for (int i = 0; i < n && !r; i++) {
        char name[IFNAMSIZ];

        vif_name(name, p->guest.domid, &nics[i]);
        r = take_vif(p->px, p->guest.domid, name, err);
    }
    libxl_device_nic_list_free(nics, n);
    if (!r && !p->px->n)
        r = xlc_error_set(err, -ENODEV, "the guest's vifs are not there");
    return r;
}

/* From here on everything goes through it, and passes until the first cut. */
static int start_proxy(struct primary *p, struct xlc_error *err)
{
    struct primary_proxy *x = p->px;
    struct proxy_port ports[WIRE_VIFS_MAX];
    struct proxy_primary_cfg cfg = {
        .ports = ports,
        .nports = x->n,
        .compare = COMPARE_OPTS_INIT,
    };
    int r;

    cfg.compare.late_ns = (uint64_t)p->live.late_limit_ms * 1000000u;
    for (unsigned int i = 0; i < x->n; i++)
        ports[i] = proxy_port_of(&x->planes[i]);
    r = proxy_primary_start(&x->proxy, &cfg, err);
    if (r) return r;
    x->event_fd = fcntl(proxy_primary_event_fd(x->proxy), F_DUPFD_CLOEXEC, 0);
    if (x->event_fd < 0)
        return xlc_error_set(err, -errno, "fcntl: %s", strerror(errno));
    r = proxy_primary_open(x->proxy, err);
    for (unsigned int i = 0; i < x->n && !r; i++)
        r = plane_inline(&x->planes[i], err);
    return r;
}

int primary_proxy_begin(struct primary *p, struct xlc_error *err)
{
    int r;

    p->px = calloc(1, sizeof(*p->px));
    if (!p->px) return xlc_error_set(err, -ENOMEM, "no memory");
    p->px->event_fd = -1;
    primary_compare_begin(p);
    p->sh->plane = true;
    r = tc_open(&p->px->tc, err);
    if (!r) r = take_vifs(p, err);
    if (!r) r = start_proxy(p, err);
    return r;
}

int primary_proxy_peer(struct primary *p, struct conn *c,
                       struct xlc_error *err)
{
    int r = proxy_primary_peer(p->px->proxy, conn_fd(c), &conn_stream_ops, c,
                               err);

    if (r) conn_free(c);
    p->px->peer = !r;
    return r;
}

/* ----- the checkpoint thread ----- */

/* Input rests, or goes on. */
static void hold_input(struct primary *p, bool on)
{
    struct xlc_error e = XLC_ERROR_INIT;

    LOCK_SCOPE(&p->nb_lock);
    if (p->px->proxy && proxy_primary_hold(p->px->proxy, on, &e))
        primary_proxy_trouble(p, "holding the guest's input", &e);
}

static void choose_mode(struct primary *p, enum policy_mode mode)
{
    struct xlc_error e = XLC_ERROR_INIT;

    LOCK_SCOPE(&p->nb_lock);
    if (p->px->proxy &&
        proxy_primary_mode(p->px->proxy, mode == POLICY_RUNNING ?
                           COMPARE_COLO : COMPARE_PASSIVE, &e))
        primary_proxy_trouble(p, "choosing the mode", &e);
}

void primary_proxy_asked(struct primary *p, bool asked)
{
    if (!p->px) return;
    LOCK_SCOPE(&p->lock);
    hold_input(p, asked);
    if (asked) choose_mode(p, primary_compare_suspend(p));
    else primary_compare_resumed(p);
}

void primary_proxy_runs(struct primary *p)
{
    if (p->px) hold_input(p, false);
}

int primary_proxy_settle(struct primary *p, struct xlc_error *err)
{
    int r = 0;

    /* Nobody else touches the planes while this thread runs; without a lock,
     * since it may take its time. */
    for (unsigned int i = 0; p->px && i < p->px->n && !r; i++)
        r = plane_settle(&p->px->planes[i], QUIET_US, SETTLE_US, err);
    return r;
}

int primary_proxy_cut(struct primary *p, uint64_t n, struct xlc_error *err)
{
    int r = 0;

    if (!p->px) return 0;
    pthread_mutex_lock(&p->nb_lock);
    if (p->px->proxy) r = proxy_primary_cut(p->px->proxy, n, err);
    pthread_mutex_unlock(&p->nb_lock);
    if (!r) primary_compare_cut(p, n);
    return r;
}

/* ----- what the machine says ----- */

void primary_proxy_committed(struct primary *p)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!p->px) return;
    pthread_mutex_lock(&p->nb_lock);
    if (p->px->proxy &&
        proxy_primary_commit(p->px->proxy, p->m.acked, &e))
        primary_proxy_trouble(p, "releasing output", &e);
    pthread_mutex_unlock(&p->nb_lock);
    primary_compare_committed(p);
}

void primary_proxy_open(struct primary *p)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!p->px) return;
    p->px->peer = false; /* it goes with that */
    LOCK_SCOPE(&p->nb_lock);
    if (!p->px->proxy) return;
    /* It may have been asked to suspend, and never was. */
    if (proxy_primary_hold(p->px->proxy, false, &e) ||
        proxy_primary_open(p->px->proxy, &e))
        primary_proxy_trouble(p, "opening the guest's network", &e);
}

void primary_proxy_silence(struct primary *p)
{
    if (!p->px) return;
    LOCK_SCOPE(&p->nb_lock);
    /* The vifs stay closed: nobody reads what they send. */
    proxy_primary_stop(steal_ptr(&p->px->proxy));
}

/* ----- end ----- */

bool primary_proxy_holds(const struct primary *p, const char *ifname)
{
    int ifindex = (int)if_nametoindex(ifname);

    for (unsigned int i = 0; p->px && i < p->px->n; i++)
        if (ifindex && p->px->planes[i].ifindex == ifindex) return true;
    return false;
}

/* What is held leaves, then the vifs are as they were. */
static void drain(struct primary_proxy *x, struct xlc_error *err)
{
    const struct timespec nap = { 0, 1000000 };
    uint64_t deadline = clock_ms() + DRAIN_MS;
    struct xlc_error e = XLC_ERROR_INIT;

    if (proxy_primary_hold(x->proxy, false, err) ||
        proxy_primary_open(x->proxy, err))
        return;
    for (unsigned int i = 0; i < x->n; i++)
        plane_direct(&x->planes[i], err);
    while (proxy_primary_idle(x->proxy, &e) == -EAGAIN &&
           clock_ms() < deadline)
        nanosleep(&nap, NULL);
}

void primary_proxy_end(struct primary *p, bool discard)
{
    struct primary_proxy *x = p->px;
    struct xlc_error e = XLC_ERROR_INIT;
    bool good = true;

    if (!x) return;
    LOCK_SCOPE(&p->nb_lock);
    if (x->proxy && !discard) drain(x, &e);
    proxy_primary_stop(steal_ptr(&x->proxy));
    for (; x->n; x->n--)
        good &= !plane_teardown(&x->planes[x->n - 1], &e);
    tc_close(&x->tc);
    if (e.status) log_error("%s: %s", p->rec.name, e.msg);
    if (good && !x->left) p->sh->plane = false;
}

void primary_proxy_leave(struct primary *p)
{
    if (!p->px) return;
    LOCK_SCOPE(&p->nb_lock);
    p->px->left = true;
    proxy_primary_stop(steal_ptr(&p->px->proxy));
    /* Without their TAPs the filters drop. */
    for (; p->px->n; p->px->n--) {
        tapdev_close(&p->px->planes[p->px->n - 1].in);
        tapdev_close(&p->px->planes[p->px->n - 1].out);
    }
    tc_close(&p->px->tc);
}

void primary_proxy_free(struct primary *p)
{
    if (p->px && p->px->event_fd >= 0) close(p->px->event_fd);
    free(steal_ptr(&p->px));
}
