/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-xen.c - inplace_ops over the real Xen
 *
 * Theory of operation: what the hypervisor forgets
 * ------------------------------------------------
 * XEN_DOMCTL_soft_reset closes all event channels, forgets where the guest
 * keeps vcpu_info and runstate, and puts an ordinary page where shared_info
 * was. It wants every virtual CPU stopped by a shutdown, and resumes the
 * domain; the pause of inplace_quiet() keeps it still. Resetting each virtual
 * CPU on top of that clears that it slept in SCHEDOP_block: it would never
 * wake up in the state that is loaded.
 *
 * Page frames that are the grant table or shared_info have ordinary pages in
 * an image. They are written like all others, so the grant table is emptied
 * after the pages.
 */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenctrl.h>
/* The next needs xenctrl.h. */
#include <xenguest.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

#include "cleanup.h"
#include "clocknote.h"
#include "hvmctx.h"
#include "inplace-channels.h"
#include "inplace-devices.h"
#include "inplace-grants.h"
#include "inplace-ports.h"
#include "inplace-store.h"
#include "inplace-xen.h"
#include "log.h"

#define DEVICES_MS 5000u
/* So many pauses of others are undone when it is let go. */
#define UNPAUSES 16

/**
 * struct inplace_xen - see inplace-xen.h
 * @log: log-dirty is ours
 * @paused: by us; @closed: and its backends are disconnected
 * @pages_seen: pages that the domain has if the guest moves none
 * @unlogged: some were given to it since its log was read
 * @store_pfn, @console_pfn: the rings; @store, @console: their event channels;
 *             @features: what this host's xenstored offers there
 * @clock, @offset_s: what the wall clock shall be; @noted, @noted_s: what a
 *                    note in xenstore says that it is
 * @own, @own_len: the context that this hypervisor writes
 */
struct inplace_xen {
    xc_interface *xch;
    xenforeignmemory_handle *fmem;
    struct inplace_devices devices;
    uint32_t domid, vcpus, timeout_ms;
    bool log, paused, closed, clock, noted, unlogged;
    int32_t offset_s, noted_s;
    uint64_t pages_seen, pages_max;
    uint64_t store_pfn, console_pfn;
    struct inplace_ports store;
    evtchn_port_t console;
    uint32_t features;
    uint8_t *own;
    size_t own_len;
};

/* "can't WHAT domain N: why" */
static int failed(const struct inplace_xen *x, const char *what,
                  struct xlc_error *err)
{
    int e = errno ? errno : EIO;

    return xlc_error_set(err, -e, "can't %s domain %u: %s", what, x->domid,
                         strerror(e));
}

static int get_info(struct inplace_xen *x, xc_domaininfo_t *info,
                    struct xlc_error *err)
{
    int n = xc_domain_getinfolist(x->xch, x->domid, 1, info);

    if (n == 1 && info->domain == x->domid &&
        !(info->flags & XEN_DOMINF_dying)) return 0;
    return xlc_error_set(err, -ENOENT, "there is no domain %u any more",
                         x->domid);
}

/* Is it a guest of a kind that can be put back? libxl's notes tell: for the
 * hypervisor a PVH guest is an HVM guest. */
static int check_type(struct inplace_xen *x, struct xlc_error *err)
{
    CLEANUP_FREE char *type = NULL;
    char path[48];

    snprintf(path, sizeof(path), "/libxl/%u/type", x->domid);
    type = xs_read(x->devices.xsh, XBT_NULL, path, NULL);
    if (type && !strcmp(type, "pvh")) return 0;
    if (type && !strcmp(type, "hvm"))
        return xlc_error_set(err, -ENOTSUP, "domain %u is an HVM guest: its "
                             "device model can't be put back to a checkpoint "
                             "once it has run; PVH guests can", x->domid);
    if (type && !strcmp(type, "pv"))
        return xlc_error_set(err, -ENOTSUP, "domain %u is a PV guest, which "
                             "the hypervisor can't reset in place; PVH guests "
                             "can be put back", x->domid);
    return xlc_error_set(err, -ENOENT, "domain %u is none that libxl has "
                         "made", x->domid);
}

static int get_params(struct inplace_xen *x, struct xlc_error *err)
{
    xc_domaininfo_t info;
    uint64_t port = 0;
    int rc = get_info(x, &info, err);

    if (rc) return rc;
    x->vcpus = info.max_vcpu_id + 1;
    x->pages_max = info.max_pages;
    x->pages_seen = info.tot_pages;
    if (xc_hvm_param_get(x->xch, x->domid, HVM_PARAM_STORE_PFN,
                         &x->store_pfn) ||
        xc_hvm_param_get(x->xch, x->domid, HVM_PARAM_CONSOLE_PFN,
                         &x->console_pfn) ||
        xc_hvm_param_get(x->xch, x->domid, HVM_PARAM_STORE_EVTCHN, &port))
        return failed(x, "read the parameters of", err);
    x->store = (struct inplace_ports){ x->xch, x->domid, (evtchn_port_t)port,
                                       0 };
    x->store.ours = inplace_ports_now(&x->store);
    return 0;
}

static int bound(void *opaque, struct xlc_error *err)
{
    struct inplace_xen *x = opaque;

    return inplace_channels_bound(x->xch, x->domid, err);
}

int inplace_xen_open(struct inplace_xen **x_r, uint32_t domid, bool log,
                     struct xlc_error *err)
{
    struct inplace_xen *x = calloc(1, sizeof(*x));
    int rc = 0;

    if (!x) return xlc_error_set(err, -ENOMEM, "no memory");
    x->domid = domid;
    x->timeout_ms = DEVICES_MS;
    x->xch = xc_interface_open(log_xtl(), log_xtl(), 0);
    x->fmem = xenforeignmemory_open(log_xtl_debug(), 0);
    if (!x->xch || !x->fmem) rc = failed(x, "get handles to", err);
    if (!rc) rc = inplace_devices_open(&x->devices, domid, err);
    x->devices.bound = bound;
    x->devices.opaque = x;
    if (!rc) rc = check_type(x, err);
    if (!rc) rc = inplace_devices_read(&x->devices, err);
    if (!rc) rc = get_params(x, err);
    if (!rc && log) {
        if (xc_shadow_control(x->xch, domid,
                              XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0))
            rc = failed(x, "log the writes of", err);
        else x->log = true;
    }
    if (rc) {
        inplace_xen_close(x);
        return rc;
    }
    *x_r = x;
    return 0;
}

void inplace_xen_close(struct inplace_xen *x)
{
    if (!x) return;
    if (x->log)
        xc_shadow_control(x->xch, x->domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL,
                          0);
    inplace_devices_close(&x->devices);
    if (x->fmem) xenforeignmemory_close(x->fmem);
    if (x->xch) xc_interface_close(x->xch);
    free(x->own);
    free(x);
}

void inplace_xen_held(struct inplace_xen *x)
{
    x->paused = x->closed = true;
    x->features = inplace_store_drain(x->fmem, x->domid, x->store_pfn);
}

void inplace_xen_clock(struct inplace_xen *x, int32_t offset_s)
{
    x->clock = true;
    x->offset_s = offset_s;
}

void inplace_xen_timeout(struct inplace_xen *x, uint32_t ms)
{
    x->timeout_ms = ms;
}

bool inplace_xen_connected(struct inplace_xen *x)
{
    return inplace_devices_connected(&x->devices);
}

/*
 * The context that the hypervisor writes, into @own: its records' kinds and
 * lengths do not change. Read once, before the first reset: afterwards the
 * virtual CPUs are down until the checkpoint's context is loaded, and a CPU
 * that is down has no records.
 */
static int own_context(struct inplace_xen *x, struct xlc_error *err)
{
    int n;

    if (x->own) return 0;
    n = xc_domain_hvm_getcontext(x->xch, x->domid, NULL, 0);
    if (n <= 0) return failed(x, "read the context of", err);
    x->own = malloc((size_t)n);
    if (!x->own) return xlc_error_set(err, -ENOMEM, "no memory");
    n = xc_domain_hvm_getcontext(x->xch, x->domid, x->own, (uint32_t)n);
    if (n <= 0) {
        int rc = failed(x, "read the context of", err);

        free(x->own);
        x->own = NULL;
        return rc;
    }
    x->own_len = (size_t)n;
    return 0;
}

static int xen_fits(void *dom, const struct image *img, struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    uint64_t store = 0, console = 0;
    const uint8_t *ctx;
    size_t len;
    int rc;

    if (!image_param(img, HVM_PARAM_STORE_PFN, &store) ||
        !image_param(img, HVM_PARAM_CONSOLE_PFN, &console) ||
        store != x->store_pfn || console != x->console_pfn)
        return xlc_error_set(err, -EINVAL, "the checkpoint is of another "
                             "domain: its rings are not where those of "
                             "domain %u are", x->domid);
    ctx = image_context(img, &len);
    rc = hvmctx_check(ctx, len, x->vcpus, err);
    if (!rc) rc = own_context(x, err);
    if (!rc) rc = hvmctx_fits(ctx, len, x->own, x->own_len, err);
    return rc;
}

static int xen_pause(void *dom, struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    xc_domaininfo_t info;
    int rc;

    if (x->paused) {
        rc = get_info(x, &info, err);
        if (rc || info.flags & XEN_DOMINF_paused) return rc;
        /* Somebody has let it run. */
        log_warn("domain %u was unpaused behind our back: paused again",
                 x->domid);
        x->closed = false;
    }
    if (xc_domain_pause(x->xch, x->domid)) return failed(x, "pause", err);
    x->paused = true;
    /* What the guest has asked xenstore for comes before our own words. */
    x->features = inplace_store_drain(x->fmem, x->domid, x->store_pfn);
    return 0;
}

static int xen_close(void *dom, struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    int rc;

    if (x->closed) return 0; /* it has not run since */
    rc = inplace_devices_reset(&x->devices, x->timeout_ms, err);
    x->closed = !rc;
    return rc;
}

static int xen_dirty(void *dom, uint64_t *bits, uint64_t pfns,
                     struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    size_t words = (size_t)(pfns + 63) / 64;
    DECLARE_HYPERCALL_BUFFER(uint64_t, map);
    long long n;

    map = xc_hypercall_buffer_alloc_pages(
        x->xch, map, (int)((words * 8 + IMAGE_PAGE - 1) / IMAGE_PAGE));
    if (!map) return xlc_error_set(err, -ENOMEM, "no memory");
    n = xc_logdirty_control(x->xch, x->domid, XEN_DOMCTL_SHADOW_OP_CLEAN,
                            HYPERCALL_BUFFER(map), (unsigned long)pfns, 0,
                            NULL);
    for (size_t i = 0; n >= 0 && i < words; i++)
        bits[i] |= map[i];
    if (n < 0) failed(x, "read the log of", err);
    xc_hypercall_buffer_free_pages(
        x->xch, map, (int)((words * 8 + IMAGE_PAGE - 1) / IMAGE_PAGE));
    return n < 0 ? -EIO : 0;
}

/* Which of some page frames have a page? */
static int look(struct inplace_xen *x, const xen_pfn_t *pfns, unsigned int n,
                int *errs, struct xlc_error *err)
{
    void *p = xenforeignmemory_map(x->fmem, x->domid, PROT_READ, n, pfns,
                                   errs);

    if (p) xenforeignmemory_unmap(x->fmem, p, n);
    else if (errno == ENOMEM) return failed(x, "map pages of", err);
    else /* none of them */
        for (unsigned int i = 0; i < n; i++) errs[i] = -ENOENT;
    return 0;
}

/* Page frames from @from that the guest's own memory may be in. */
static int look_batch(struct inplace_xen *x, const struct image *img,
                      uint64_t from, uint64_t *bits, struct xlc_error *err)
{
    xen_pfn_t pfns[INPLACE_BATCH];
    int errs[INPLACE_BATCH], rc;
    bool any = from < x->pages_max;
    unsigned int n = 0;

    for (; n < INPLACE_BATCH && from + n < image_limit(img); n++) {
        pfns[n] = from + n;
        any = any || image_page(img, pfns[n]);
    }
    if (!any) return 0; /* a hole */
    rc = look(x, pfns, n, errs, err);
    for (unsigned int i = 0; !rc && i < n; i++)
        if (!errs[i] != !!image_page(img, pfns[i]))
            bits[pfns[i] / 64] |= (uint64_t)1 << pfns[i] % 64;
    return rc;
}

/* The log does not say which pages a guest has ballooned out or in. How many
 * pages it has does, and costs nothing. */
static int xen_moved(void *dom, const struct image *img, bool all,
                     uint64_t *bits, struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    uint64_t seen = x->pages_seen, shared;
    xc_domaininfo_t info;
    int rc = get_info(x, &info, err);

    if (rc) return rc;
    x->pages_seen = info.tot_pages;
    if (all || info.tot_pages != seen) {
        log_debug("in place: domain %u has %llu pages and had %llu: looking "
                  "at each", x->domid, (unsigned long long)info.tot_pages,
                  (unsigned long long)seen);
        for (uint64_t from = 0; !rc && from < image_limit(img);
             from += INPLACE_BATCH)
            rc = look_batch(x, img, from, bits, err);
    }
    /* A reset leaves a page where shared_info was, and the guest's next
     * mapping of it takes that away: not to be dropped, or counted. */
    shared = info.shared_info_frame;
    if (shared < image_limit(img) && !image_page(img, shared))
        bits[shared / 64] &= ~((uint64_t)1 << shared % 64);
    return rc;
}

static int xen_reset(void *dom, struct xlc_error *err)
{
    struct inplace_xen *x = dom;

    if (xc_domain_shutdown(x->xch, x->domid, SHUTDOWN_suspend))
        return failed(x, "stop the virtual CPUs of", err);
    if (xc_domain_soft_reset(x->xch, x->domid))
        return failed(x, "reset", err);
    for (uint32_t v = 0; v < x->vcpus; v++)
        if (xc_vcpu_setcontext(x->xch, x->domid, v, NULL))
            return failed(x, "reset a virtual CPU of", err);
    return 0;
}

/* Give pages to page frames that have none. */
static int populate(struct inplace_xen *x, const uint64_t *pfns,
                    const int *errs, unsigned int n, struct xlc_error *err)
{
    xen_pfn_t need[INPLACE_BATCH];
    unsigned int m = 0;

    for (unsigned int i = 0; i < n; i++)
        if (errs[i]) need[m++] = pfns[i];
    if (!m) return 0;
    x->unlogged = true;
    x->pages_seen += m;
    if (xc_domain_populate_physmap_exact(x->xch, x->domid, m, 0, 0, need))
        return failed(x, "give ballooned pages back to", err);
    return 0;
}

static int xen_put(void *dom, const uint64_t *pfns,
                   const uint8_t *const *pages, unsigned int n,
                   struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    int errs[INPLACE_BATCH], rc;

    for (int again = 0; again < 2; again++) {
        uint8_t *p = xenforeignmemory_map(x->fmem, x->domid,
                                          PROT_READ | PROT_WRITE, n, pfns,
                                          errs);
        bool whole = p;

        if (!p && errno == ENOMEM) return failed(x, "map pages of", err);
        for (unsigned int i = 0; i < n; i++) {
            if (!p) errs[i] = -ENOENT;
            if (errs[i]) whole = false;
        }
        if (whole)
            for (unsigned int i = 0; i < n; i++)
                memcpy(p + (size_t)i * IMAGE_PAGE, pages[i], IMAGE_PAGE);
        if (p) xenforeignmemory_unmap(x->fmem, p, n);
        if (whole) return 0;
        rc = populate(x, pfns, errs, n, err);
        if (rc) return rc;
    }
    return xlc_error_set(err, -EIO, "page frames of domain %u can't be "
                         "written", x->domid);
}

static int xen_drop(void *dom, const uint64_t *pfns, unsigned int n,
                    struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    int errs[INPLACE_BATCH], rc = look(x, pfns, n, errs, err);
    xen_pfn_t go[INPLACE_BATCH];
    unsigned int m = 0;

    if (rc) return rc;
    for (unsigned int i = 0; i < n; i++)
        if (!errs[i]) go[m++] = pfns[i];
    x->pages_seen -= m;
    if (m && xc_domain_decrease_reservation_exact(x->xch, x->domid, m, 0, go))
        return failed(x, "take ballooned pages from", err);
    return 0;
}

/*
 * All pages are the image's now. The hypervisor logs no write to a page that
 * was given to the domain since its log was read: so the log begins anew, for
 * all pages. (None of it is read: 0 pages.)
 */
static int log_all(struct inplace_xen *x, struct xlc_error *err)
{
    if (!x->unlogged) return 0;
    if (xc_shadow_control(x->xch, x->domid, XEN_DOMCTL_SHADOW_OP_CLEAN, NULL,
                          0) < 0)
        return failed(x, "log all writes of", err);
    x->unlogged = false;
    return 0;
}

static int reset_channels(struct inplace_xen *x, struct xlc_error *err)
{
    int store = xc_evtchn_alloc_unbound(x->xch, x->domid, 0);
    int console = xc_evtchn_alloc_unbound(x->xch, x->domid, 0);

    if (store < 0 || console < 0 ||
        xc_hvm_param_set(x->xch, x->domid, HVM_PARAM_STORE_EVTCHN,
                         (uint64_t)store) ||
        xc_hvm_param_set(x->xch, x->domid, HVM_PARAM_CONSOLE_EVTCHN,
                         (uint64_t)console))
        return failed(x, "make event channels for", err);
    x->store.guest = (evtchn_port_t)store;
    x->console = (evtchn_port_t)console;
    return inplace_store_nodes(x->devices.xsh, x->domid, x->store.guest, err);
}

static int xen_machine(void *dom, const struct image *img,
                       struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    const struct image_tsc *t = image_tsc(img);
    const uint8_t *ctx;
    size_t len;
    int rc;

    if (xc_clear_domain_page(x->xch, x->domid, x->store_pfn) ||
        xc_clear_domain_page(x->xch, x->domid, x->console_pfn))
        return failed(x, "clear the rings of", err);
    rc = log_all(x, err);
    if (!rc)
        rc = inplace_grants_empty(x->xch, x->fmem, x->domid, x->console_pfn,
                                  x->store_pfn, err);
    if (!rc) rc = reset_channels(x, err);
    if (rc) return rc;
    if (xc_domain_set_tsc_info(x->xch, x->domid, t->mode, t->nsec, t->khz,
                               t->incarnation))
        return failed(x, "set the time stamp counter of", err);
    ctx = image_context(img, &len);
    if (xc_domain_hvm_setcontext(x->xch, x->domid, (uint8_t *)(uintptr_t)ctx,
                                 (uint32_t)len))
        return failed(x, "load the context of", err);
    return 0;
}

static int xen_rejoin(void *dom, struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    int rc = inplace_store_rejoin(x->devices.xsh, x->fmem, &x->store,
                                  x->store_pfn, x->features, err);

    return rc ? rc : inplace_store_console(x->devices.xsh, x->domid,
                                           x->console, err);
}

bool inplace_xen_runs(struct inplace_xen *x)
{
    xc_domaininfo_t info;

    return x->paused && !get_info(x, &info, NULL) &&
           !(info.flags & XEN_DOMINF_paused);
}

int inplace_xen_look(struct inplace_xen *x, struct xlc_error *err)
{
    xc_domaininfo_t info;
    int rc = get_info(x, &info, err);

    if (rc) return rc;
    if (info.flags & XEN_DOMINF_shutdown) return INPLACE_XEN_DEAD;
    return info.flags & XEN_DOMINF_paused ? INPLACE_XEN_PAUSED :
           INPLACE_XEN_RUNNING;
}

/* A guest reads its wall clock when it comes out of its suspend. One whose
 * clock can't be set is still better than none. */
static void set_clock(struct inplace_xen *x)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!x->clock || !x->paused) return;
    if (xc_domain_set_time_offset(x->xch, x->domid, x->offset_s)) {
        failed(x, "set the clock of", &e);
        log_warn("%s", e.msg);
    } else if (!x->noted || x->noted_s != x->offset_s) {
        x->noted = clocknote_write(x->devices.xsh, x->domid, x->offset_s);
        x->noted_s = x->offset_s;
    }
}

/* Pauses are counted: one of somebody else's would keep it still for good. */
static int xen_go(void *dom, struct xlc_error *err)
{
    struct inplace_xen *x = dom;
    xc_domaininfo_t info;
    int rc;

    set_clock(x);
    for (int i = 0; i < UNPAUSES; i++) {
        if (xc_domain_unpause(x->xch, x->domid))
            return failed(x, "let go", err);
        rc = get_info(x, &info, err);
        if (rc) return rc;
        if (!(info.flags & XEN_DOMINF_paused)) break;
    }
    if (info.flags & XEN_DOMINF_paused)
        return xlc_error_set(err, -EBUSY, "domain %u is paused again and "
                             "again by somebody else", x->domid);
    x->paused = x->closed = false;
    return 0;
}

const struct inplace_ops inplace_xen_ops = {
    .fits = xen_fits,
    .pause = xen_pause,
    .close = xen_close,
    .dirty = xen_dirty,
    .moved = xen_moved,
    .reset = xen_reset,
    .put = xen_put,
    .drop = xen_drop,
    .machine = xen_machine,
    .rejoin = xen_rejoin,
    .go = xen_go,
};
