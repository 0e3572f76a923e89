/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plane-clear.c - Give back every vif of a domain whose process died */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <net/if.h>

#include "plane.h"

/* "vif3.0" of domain 3, not "vif30.0", and neither of its TAPs. */
static bool is_vif_of(const char *name, uint32_t domid)
{
    char prefix[IFNAMSIZ];
    int n = snprintf(prefix, sizeof(prefix), "vif%u.", domid);

    return !strncmp(name, prefix, (size_t)n);
}

int plane_clear_domain(uint32_t domid, struct xlc_error *err)
{
    struct if_nameindex *all = if_nameindex();
    struct tc tc = { 0 };
    int r;

    if (!all)
        return xlc_error_set(err, -errno, "can't list the interfaces: %s",
                             strerror(errno));
    r = tc_open(&tc, err);
    for (struct if_nameindex *i = all; !r && i->if_index; i++)
        if (is_vif_of(i->if_name, domid))
            r = plane_clear(&tc, i->if_name, err);
    tc_close(&tc);
    if_freenameindex(all);
    return r;
}
