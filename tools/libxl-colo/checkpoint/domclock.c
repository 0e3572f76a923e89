/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domclock.c - Set the wall clock of a domain that stands still */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <xenctrl.h>

#include "clocknote.h"
#include "domclock.h"
#include "log.h"

static int set(uint32_t domid, int32_t ahead_s, struct xlc_error *err)
{
    xc_interface *xch = xc_interface_open(log_xtl(), log_xtl(), 0);
    int r;

    if (!xch)
        return xlc_error_set(err, -EIO, "can't open the hypervisor's "
                             "interface: %s", strerror(errno));
    r = xc_domain_set_time_offset(xch, domid, ahead_s) ? -errno : 0;
    xc_interface_close(xch);
    return r ? xlc_error_set(err, r, "can't set the clock of domain %u: %s",
                             domid, strerror(-r)) : 0;
}

int domclock_set(uint32_t domid, int32_t ahead_s, struct xlc_error *err)
{
    struct xs_handle *xsh;
    bool noted;
    int r = set(domid, ahead_s, err);

    if (r) return r;
    xsh = xs_open(0);
    noted = xsh && clocknote_write(xsh, domid, ahead_s);
    if (xsh) xs_close(xsh);
    return noted ? 0 :
           xlc_error_set(err, -EIO, "the clock of domain %u is set, but "
                         "xenstore did not take the note about it: "
                         "protected again, it is not taken along", domid);
}
