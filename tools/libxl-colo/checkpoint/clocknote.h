/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clocknote.h - How far a domain's clock is ahead of its host's
 *
 * Xen tells nobody. Whoever sets it leaves a note beside libxl's notes, and
 * with them it goes when the domain does: /libxl/DOMID/xl-colo-clock, seconds.
 */
#ifndef XLC_CLOCKNOTE_H
#define XLC_CLOCKNOTE_H

#include <stdbool.h>
#include <stdint.h>

#include <xenstore.h>

/* Return: true if it could be written */
bool clocknote_write(struct xs_handle *xsh, uint32_t domid, int32_t ahead_s);

/* Return: false if there is none, or none that makes sense */
bool clocknote_read(struct xs_handle *xsh, uint32_t domid,
                    int32_t *ahead_s_r);

#endif
