/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vifname.h - What a guest's vif is called in dom0 */
#ifndef XLC_VIFNAME_H
#define XLC_VIFNAME_H

#include <net/if.h>
#include <stdint.h>
#include <stdio.h>

#include <libxl.h>

/* The name that xl.cfg's vifname= gave it, or the kernel's own. */
static inline void vif_name(char name[IFNAMSIZ], uint32_t domid,
                            const libxl_device_nic *nic)
{
    if (nic->ifname && *nic->ifname)
        snprintf(name, IFNAMSIZ, "%s", nic->ifname);
    else
        snprintf(name, IFNAMSIZ, "vif%u.%d", domid, nic->devid);
}

#endif
