/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-ports.h - That xenstored's end of a channel keeps its number
 *
 * Theory of operation
 * -------------------
 * An event channel between xenstored and a guest has a number (a port) at each
 * end. oxenstored finds the guest of an event by the number of its own end, and
 * notes that number when the domain is introduced for the first time, only
 * then. Introduced again, it closes its end and binds a new one, which gets
 * the lowest number that is free in dom0. Is that another one, because a domain
 * with lower numbers has gone meanwhile, or because xenconsoled took it in
 * between, then oxenstored hears the guest no more: all that is left is that it
 * looks at every ring now and then, for guests that forget to tell.
 *
 * So while the domain is introduced again all lower numbers are in use: by us,
 * and no longer than that, since another copy may look for its own number.
 * A number that was lost upwards comes back that way, once it is free: who has
 * it is another copy for a moment, or xenconsoled, which keeps it until it is
 * told of another channel. One that was lost downwards (a lower one became free
 * in just that moment, or not all of them could be taken) does not come back.
 *
 * The C xenstored does not mind.
 */
#ifndef XLC_INPLACE_PORTS_H
#define XLC_INPLACE_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xenevtchn.h>

#include "error.h"

/**
 * struct inplace_ports - the channel between xenstored and a guest
 * @guest: the number of the guest's end
 * @ours: that of xenstored's when it heard of the domain first; 0: it is not
 *        in dom0, and nothing has to be kept
 */
struct inplace_ports {
    xc_interface *xch;
    uint32_t domid;
    evtchn_port_t guest, ours;
};

/* The number of dom0's end now; 0 if dom0 has none. */
evtchn_port_t inplace_ports_now(const struct inplace_ports *p);

/* Has another channel of the guest @ours, connected or not? For when xenstored
 * does not have it. */
bool inplace_ports_taken(const struct inplace_ports *p);

/**
 * inplace_ports_fill() - take all that is free below @ours
 *
 * Return: what has them, for xenevtchn_close(), or NULL: not all could be
 * taken, so none is
 */
xenevtchn_handle *inplace_ports_fill(const struct inplace_ports *p,
                                     struct xlc_error *err);

#endif
