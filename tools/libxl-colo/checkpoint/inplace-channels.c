/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-channels.c - Who is bound to a guest's event channels? */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <xenctrl.h>
/* The next needs xenctrl.h. */
#include <xen/hvm/params.h>

#include "inplace-channels.h"

/* The most that Xen has for a domain (FIFO). */
#define PORTS_MAX (1u << 17)

int inplace_channels_bound(xc_interface *xch, uint32_t domid,
                           struct xlc_error *err)
{
    uint64_t store = 0, console = 0;

    if (xc_hvm_param_get(xch, domid, HVM_PARAM_STORE_EVTCHN, &store) ||
        xc_hvm_param_get(xch, domid, HVM_PARAM_CONSOLE_EVTCHN, &console))
        return xlc_error_set(err, -ENOENT, "can't read the parameters of "
                             "domain %u: %s", domid, strerror(errno));
    for (evtchn_port_t port = 1; port < PORTS_MAX; port++) {
        xc_evtchn_status_t st = { .dom = (domid_t)domid, .port = port };

        if (port == store || port == console) continue;
        if (xc_evtchn_status(xch, &st)) {
            if (errno == EINVAL) return 0; /* behind the last */
            if (errno == EACCES) continue; /* the hypervisor's own */
            return xlc_error_set(err, -errno, "can't look at the event "
                                 "channels of domain %u: %s", domid,
                                 strerror(errno));
        }
        if (st.status == EVTCHNSTAT_interdomain && !st.u.interdomain.dom)
            return 1;
    }
    return 0;
}
