/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-store.c - What xenstore knows of a guest that is put back */
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <xen/io/xs_wire.h>

#include "clock.h"
#include "image.h"
#include "inplace-ports.h"
#include "inplace-store.h"
#include "log.h"

#define ANSWER_MS 5000u
#define DRAIN_MS  50u
#define ANSWER_MIN 3u /* "OK", or the shortest error, with its zero */
/* So often the number of xenstored's end may be taken in between. */
#define INTRODUCTIONS 5
#define RELEASE_MS 1000u

typedef volatile struct xenstore_domain_interface ring;

static ring *map_ring(xenforeignmemory_handle *fmem, uint32_t domid,
                      uint64_t pfn)
{
    xen_pfn_t p = pfn;
    int e = 0;
    void *page = xenforeignmemory_map(fmem, domid, PROT_READ | PROT_WRITE, 1,
                                      &p, &e);

    if (page && e) {
        xenforeignmemory_unmap(fmem, page, 1);
        return NULL;
    }
    return page;
}

static void unmap_ring(xenforeignmemory_handle *fmem, ring *r)
{
    xenforeignmemory_unmap(fmem, (void *)(uintptr_t)r, 1);
}

static void nap(void)
{
    const struct timespec t = { 0, 200000 };

    nanosleep(&t, NULL);
}

uint32_t inplace_store_drain(xenforeignmemory_handle *fmem, uint32_t domid,
                             uint64_t pfn)
{
    uint64_t deadline = clock_ms() + DRAIN_MS;
    ring *r = map_ring(fmem, domid, pfn);
    uint32_t features;

    if (!r) return 0;
    while (r->req_cons != r->req_prod && clock_ms() < deadline)
        nap();
    features = r->server_features;
    unmap_ring(fmem, r);
    return features;
}

static int write_node(struct xs_handle *xsh, uint32_t domid, const char *node,
                      const char *value, struct xlc_error *err)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/%s", domid, node);
    if (xs_write(xsh, XBT_NULL, path, value, (unsigned int)strlen(value)))
        return 0;
    return xlc_error_set(err, -errno, "xenstore: can't write %s: %s", path,
                         strerror(errno));
}

static int write_port(struct xs_handle *xsh, uint32_t domid, const char *node,
                      evtchn_port_t port, struct xlc_error *err)
{
    char value[16];

    snprintf(value, sizeof(value), "%u", port);
    return write_node(xsh, domid, node, value, err);
}

int inplace_store_nodes(struct xs_handle *xsh, uint32_t domid,
                        evtchn_port_t store, struct xlc_error *err)
{
    int rc = write_port(xsh, domid, "store/port", store, err);

    return rc ? rc : write_node(xsh, domid, "control/shutdown", "", err);
}

int inplace_store_console(struct xs_handle *xsh, uint32_t domid,
                          evtchn_port_t console, struct xlc_error *err)
{
    return write_port(xsh, domid, "console/port", console, err);
}

/*
 * If xenconsoled has the number of xenstored's end: it closes its own if it is
 * told of a channel that nobody can bind, and only then. Told of the one that
 * it has, it would do nothing.
 */
static int reclaim(struct xs_handle *xsh, const struct inplace_ports *p,
                   struct xlc_error *err)
{
    uint64_t deadline = clock_ms() + RELEASE_MS;
    int rc;

    if (!inplace_ports_taken(p)) return 0;
    rc = inplace_store_console(xsh, p->domid, 0, err);
    while (!rc && inplace_ports_taken(p)) {
        if (clock_ms() >= deadline)
            return xlc_error_set(err, -ETIMEDOUT, "xenconsoled did not let go "
                                 "of it within %u ms", RELEASE_MS);
        nap();
    }
    return rc;
}

/*
 * xenstored takes the domain again, and its end keeps its number. Where not all
 * lower ones can be taken it could get one of them, for good: rather a moment
 * later, and not so only if there is no other way.
 */
static int introduce(struct xs_handle *xsh, const struct inplace_ports *p,
                     uint64_t pfn, struct xlc_error *err)
{
    struct xlc_error why = XLC_ERROR_INIT;
    evtchn_port_t now = 0;

    for (int i = 1; i <= INTRODUCTIONS; i++) {
        xenevtchn_handle *xce;
        bool taken;
        int e;

        if (i > 1) nap();
        xlc_error_clear(&why);
        xce = p->ours ? inplace_ports_fill(p, &why) : NULL;
        if (p->ours && !xce && i < INTRODUCTIONS) continue;
        taken = xs_introduce_domain(xsh, p->domid, (unsigned long)pfn,
                                    p->guest);
        e = errno;
        if (xce) xenevtchn_close(xce);
        if (!taken)
            return xlc_error_set(err, -e, "xenstored does not take domain %u "
                                 "again: %s", p->domid, strerror(e));
        if (!p->ours) return 0;
        now = inplace_ports_now(p);
        if (now == p->ours) return 0;
        if (reclaim(xsh, p, &why)) break;
    }
    log_warn("xenstored's event channel of domain %u is %u and was %u: an "
             "oxenstored may not hear the domain%s%s", p->domid, now, p->ours,
             why.status ? ": " : "", why.msg);
    return 0;
}

static bool reconnected(ring *r)
{
    return r->connection == XENSTORE_CONNECTED;
}

/* The request was answered, or thrown away with the ring's indexes. */
static bool answered(ring *r)
{
    return r->rsp_prod >= sizeof(struct xsd_sockmsg) + ANSWER_MIN ||
           !r->req_prod;
}

static int wait_for(bool (*there)(ring *), ring *r, const char *what,
                    struct xlc_error *err)
{
    uint64_t deadline = clock_ms() + ANSWER_MS;

    while (!there(r)) {
        if (clock_ms() >= deadline)
            return xlc_error_set(err, -ETIMEDOUT, "xenstored did not %s "
                                 "within %u ms", what, ANSWER_MS);
        nap();
    }
    return 0;
}

static void ask_reset(ring *r)
{
    /* An empty path, with its zero. */
    struct xsd_sockmsg m = { .type = XS_RESET_WATCHES, .req_id = 1, .len = 1 };
    char *req = (char *)(uintptr_t)r->req;

    memcpy(req, &m, sizeof(m));
    req[sizeof(m)] = 0;
    r->req_cons = r->rsp_cons = r->rsp_prod = 0;
    __sync_synchronize();
    r->req_prod = sizeof(m) + 1;
    __sync_synchronize();
}

int inplace_store_rejoin(struct xs_handle *xsh, xenforeignmemory_handle *fmem,
                         const struct inplace_ports *ports, uint64_t pfn,
                         uint32_t features, struct xlc_error *err)
{
    ring *r = map_ring(fmem, ports->domid, pfn);
    int rc;

    if (!r)
        return xlc_error_set(err, -EIO, "can't map the xenstore ring of "
                             "domain %u", ports->domid);
    r->connection = XENSTORE_RECONNECT;
    __sync_synchronize();
    rc = introduce(xsh, ports, pfn, err);
    if (!rc) rc = wait_for(reconnected, r, "reconnect", err);
    if (!rc) {
        ask_reset(r);
        rc = introduce(xsh, ports, pfn, err);
    }
    if (!rc) rc = wait_for(answered, r, "forget the watches", err);
    memset((void *)(uintptr_t)r, 0, IMAGE_PAGE);
    r->server_features = features;
    unmap_ring(fmem, r);
    /* A later shutdown shall be told again. Before that nobody knows of one,
     * which is no reason to fail. */
    xs_resume_domain(xsh, ports->domid);
    return rc;
}
