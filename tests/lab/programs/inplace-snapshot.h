/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-snapshot.h - An image of a paused domain, made of its own memory
 *
 * What libxl has restored and nobody has run yet is the checkpoint that it
 * was restored from. It is read out here, and goes into the image in the form
 * of the stream that a primary sends.
 */
#ifndef XLC_INPLACE_SNAPSHOT_H
#define XLC_INPLACE_SNAPSHOT_H

#include <stdint.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "error.h"
#include "image.h"

/**
 * snapshot_take() - fill a new image, and commit it
 * @pages: the guest's memory is below this page frame, and where libxl puts
 *         the rings
 */
int snapshot_take(xc_interface *xch, xenforeignmemory_handle *fmem,
                  uint32_t domid, uint64_t pages, struct image *img,
                  struct xlc_error *err);

#endif
