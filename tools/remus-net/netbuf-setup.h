/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* netbuf-setup.h - Put one interface under protection (for netbuf.c) */
#ifndef XLC_NETBUF_SETUP_H
#define XLC_NETBUF_SETUP_H

#include "netbuf-find.h"

/**
 * netbuf_modules() - load the kernel modules that are not there yet
 *
 * A failure is no error here: a module may be built in, or be loaded by the
 * kernel on demand. The request that needs it says so. Waits for modprobe,
 * by its pid only: SIGCHLD handling is left alone.
 */
void netbuf_modules(void);

/**
 * netbuf_port_setup() - an open buffer on one interface
 * @p: filled in as far as it got, so that a teardown removes that
 *
 * Return: 0 or a negative errno
 */
int netbuf_port_setup(struct tc *tc, struct port *p, uint32_t domid,
                      const struct netbuf_vif *vif, uint32_t limit,
                      struct xlc_error *err);

/**
 * netbuf_port_rejoin() - a new interface of the same number, where @p's went
 *
 * What it sends goes into the buffer that is there, whatever that does.
 *
 * Return: 0 or a negative errno
 */
int netbuf_port_rejoin(struct tc *tc, struct port *p,
                       const struct netbuf_vif *vif, struct xlc_error *err);

#endif
