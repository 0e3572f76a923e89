/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xlctx.h - A libxl context that leaves this process's own children alone */
#ifndef XLC_XLCTX_H
#define XLC_XLCTX_H

#include <libxl.h>

#include "error.h"

/**
 * xlctx_new() - a context that reaps only libxl's own children
 *
 * Never before a fork() that goes on without exec (PLATFORM 7.6).
 */
int xlctx_new(libxl_ctx **ctx_r, struct xlc_error *err);

#endif
