/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-store.h - What xenstore knows of a guest that is put back
 *
 * Theory of operation
 * -------------------
 * The guest of the checkpoint has no watches and no transactions, and no
 * message half sent: whatever xenstored has of the guest that is thrown away
 * must go, or the new one's watches fail with EEXIST, and its first request
 * is taken for the rest of an old one. Releasing the domain is no way: the
 * guest's nodes would go with it. So two things are asked for on the guest's
 * behalf, through its own ring page, each followed by introducing the domain
 * again, which makes xenstored look at the page:
 *
 *   a reconnection   (the page's "connection" field) drops half messages,
 *                    transactions and, in oxenstored, most of the watches;
 *   XS_RESET_WATCHES oxenstored's table of all watches forgets the guest.
 *
 * The C xenstored does all of it at an introduction and empties the ring, the
 * request with it: then there is no answer to wait for.
 *
 * Known hazard, of the C xenstored up to 4.20 at least: at an introduction it
 * frees a half-read request but keeps the pointer. A guest would have to be
 * paused between the two halves of a request that it is sending, a matter of
 * microseconds; oxenstored is not concerned.
 */
#ifndef XLC_INPLACE_STORE_H
#define XLC_INPLACE_STORE_H

#include <stdint.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenstore.h>

#include "error.h"
#include "inplace-ports.h"

/**
 * inplace_store_drain() - let xenstored read what the paused guest has asked
 *
 * It gets a moment, no more. Return: what this xenstored offers, according to
 * the ring page, for inplace_store_rejoin()
 */
uint32_t inplace_store_drain(xenforeignmemory_handle *fmem, uint32_t domid,
                             uint64_t pfn);

/* The node that names the ring's event channel, and no request to shut down
 * from before. */
int inplace_store_nodes(struct xs_handle *xsh, uint32_t domid,
                        evtchn_port_t store, struct xlc_error *err);

/**
 * inplace_store_rejoin() - xenstored begins anew with the paused guest
 * @ports: its new event channel
 * @pfn: its ring page; zero afterwards, but for @features
 *
 * It may tell xenconsoled of no channel: inplace_store_console() comes next.
 */
int inplace_store_rejoin(struct xs_handle *xsh, xenforeignmemory_handle *fmem,
                         const struct inplace_ports *ports, uint64_t pfn,
                         uint32_t features, struct xlc_error *err);

/* The node that tells xenconsoled of its event channel. Only once xenstored
 * has its own again: it binds a new one at once, as xenstored does, and each
 * could get the other's number. (It may look by itself at any time, and bind
 * in between: then inplace_store_rejoin() makes it let go.) */
int inplace_store_console(struct xs_handle *xsh, uint32_t domid,
                          evtchn_port_t console, struct xlc_error *err);

#endif
