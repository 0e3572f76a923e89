/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-ports.c - That xenstored's end of a channel keeps its number */
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "inplace-ports.h"
#include "log.h"

evtchn_port_t inplace_ports_now(const struct inplace_ports *p)
{
    xc_evtchn_status_t st = { .dom = (domid_t)p->domid, .port = p->guest };

    if (xc_evtchn_status(p->xch, &st) ||
        st.status != EVTCHNSTAT_interdomain || st.u.interdomain.dom)
        return 0;
    return st.u.interdomain.port;
}

bool inplace_ports_taken(const struct inplace_ports *p)
{
    xc_evtchn_status_t st = { .dom = 0, .port = p->ours };

    if (xc_evtchn_status(p->xch, &st)) return false;
    if (st.status == EVTCHNSTAT_unbound) return st.u.unbound.dom == p->domid;
    return st.status == EVTCHNSTAT_interdomain &&
           st.u.interdomain.dom == p->domid;
}

xenevtchn_handle *inplace_ports_fill(const struct inplace_ports *p,
                                     struct xlc_error *err)
{
    xenevtchn_handle *xce = xenevtchn_open(log_xtl(), 0);
    xenevtchn_port_or_error_t port;

    if (!xce) {
        xlc_error_set(err, -errno, "can't open the event channels of this "
                      "host: %s", strerror(errno));
        return NULL;
    }
    do { /* the lowest first */
        port = xenevtchn_bind_unbound_port(xce, 0);
    } while (port >= 0 && (evtchn_port_t)port < p->ours);
    if (port < 0) {
        xlc_error_set(err, -errno, "can't take an event channel of this host: "
                      "%s", strerror(errno));
        xenevtchn_close(xce);
        return NULL;
    }
    /* It was lost: xenstored shall get it. */
    if ((evtchn_port_t)port == p->ours)
        xenevtchn_unbind(xce, (evtchn_port_t)port);
    return xce;
}
