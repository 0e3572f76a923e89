/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-grants.h - Empty the grant table of a guest that is put back */
#ifndef XLC_INPLACE_GRANTS_H
#define XLC_INPLACE_GRANTS_H

#include <stdint.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "error.h"

/**
 * inplace_grants_empty() - as in a domain that was just built
 * @console_pfn, @store_pfn: of the rings, which are granted to dom0 again
 *
 * The domain is paused and its backends hold no grant.
 */
int inplace_grants_empty(xc_interface *xch, xenforeignmemory_handle *fmem,
                         uint32_t domid, uint64_t console_pfn,
                         uint64_t store_pfn, struct xlc_error *err);

#endif
