/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-grants.c - Empty the grant table; see inplace-grants.h */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "image.h"
#include "inplace-grants.h"
/* The next need xenctrl.h. */
#include <xenguest.h>
#include <xen/grant_table.h>
#include <xen/memory.h>

/* More is none that Xen would have. */
#define FRAMES_MAX 65536u

/* "can't WHAT the grant table of domain N: why" */
static int failed(uint32_t domid, const char *what, struct xlc_error *err)
{
    int e = errno ? errno : EIO;

    return xlc_error_set(err, -e, "can't %s the grant table of domain %u: %s",
                         what, domid, strerror(e));
}

/* Zero some frames: only those that are there, because mapping more would
 * make the table grow. */
static int clear(xenforeignmemory_handle *fmem, uint32_t domid,
                 unsigned int id, unsigned int frames, struct xlc_error *err)
{
    xenforeignmemory_resource_handle *h;
    void *p = NULL;

    h = xenforeignmemory_map_resource(fmem, (domid_t)domid,
                                      XENMEM_resource_grant_table, id, 0,
                                      frames, &p, PROT_READ | PROT_WRITE, 0);
    if (!h) return failed(domid, "map", err);
    memset(p, 0, (size_t)frames * IMAGE_PAGE);
    xenforeignmemory_unmap_resource(fmem, h);
    return 0;
}

int inplace_grants_empty(xc_interface *xch, xenforeignmemory_handle *fmem,
                         uint32_t domid, uint64_t console_pfn,
                         uint64_t store_pfn, struct xlc_error *err)
{
    struct gnttab_query_size q = { .dom = (domid_t)domid };
    int version, rc;

    if (xc_gnttab_query_size(xch, &q) || q.status != GNTST_okay ||
        q.nr_frames > FRAMES_MAX)
        return failed(domid, "ask for", err);
    version = xc_gnttab_get_version(xch, domid);
    rc = q.nr_frames ?
         clear(fmem, domid, XENMEM_resource_grant_table_id_shared,
               q.nr_frames, err) : 0;
    /* Version 2: 256 entries in a frame, their status 2 octets each. */
    if (!rc && version == 2 && q.nr_frames)
        rc = clear(fmem, domid, XENMEM_resource_grant_table_id_status,
                   (q.nr_frames + 7) / 8, err);
    if (!rc && xc_dom_gnttab_seed(xch, domid, true, console_pfn, store_pfn, 0,
                                  0))
        rc = failed(domid, "seed", err);
    return rc;
}
