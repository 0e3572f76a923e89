/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* host.h - What a host must have before a guest is protected */
#ifndef XLC_HOST_H
#define XLC_HOST_H

#include <stdint.h>

#include <libxl.h>

#include "error.h"

/* Xen's major and minor version here. */
int host_xen_version(libxl_ctx *ctx, uint16_t *major_r, uint16_t *minor_r,
                     struct xlc_error *err);

/* xl's own lock, taken; close() gives it back. Return: fd, or an errno. */
int host_xl_lock(struct xlc_error *err);

/* Secondary: is there enough free memory for a second copy? */
int host_check_memory(libxl_ctx *ctx, libxl_domain_config *cfg,
                      struct xlc_error *err);

/* Secondary: no domain of that name or uuid may be here. */
int host_check_free_name(libxl_ctx *ctx, const char *name,
                         const uint8_t uuid[16], struct xlc_error *err);

/* Secondary: bridges and hotplug scripts that the vifs name exist. */
int host_check_nics(const libxl_device_nic *nics, int n,
                    struct xlc_error *err);

/* Secondary: what the disks name exists. */
int host_check_disks(const libxl_device_disk *disks, int n,
                     struct xlc_error *err);

/**
 * host_check_guest() - primary: can this guest be protected at all?
 * @no_disk: the administrator takes the blame for unmirrored disks
 *
 * Its type and the hypervisor's log-dirty, devices that nobody replicates,
 * driver domains, writable disks (RULES A14).
 */
int host_check_guest(libxl_ctx *ctx, const libxl_domain_config *cfg,
                     bool no_disk, struct xlc_error *err);

/* True if block-colo serves it. */
bool host_disk_mirrored(const libxl_device_disk *d);

/* True if some disk of the guest can be written to. */
bool host_has_writable_disk(const libxl_domain_config *cfg);

#endif
