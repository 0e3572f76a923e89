/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-channels.h - Who is bound to a guest's event channels? */
#ifndef XLC_INPLACE_CHANNELS_H
#define XLC_INPLACE_CHANNELS_H

#include <stdint.h>

#include <xenctrl.h>

#include "error.h"

/**
 * inplace_channels_bound() - is a backend in dom0 bound to one?
 *
 * xenstored's and xenconsoled's do not count. What a backend has mapped of the
 * guest it may hold as long as it is bound, and no longer.
 *
 * Return: 1; 0; -ENOENT: there is no such domain
 */
int inplace_channels_bound(xc_interface *xch, uint32_t domid,
                           struct xlc_error *err);

#endif
