/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xlctx.c - A libxl context that leaves this process's own children alone */
#include <config.h>

#include <errno.h>

#include <libxl_event.h>

#include "log.h"
#include "xlctx.h"

int xlctx_new(libxl_ctx **ctx_r, struct xlc_error *err)
{
    static const libxl_childproc_hooks hooks = {
        .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
    };
    int rc = libxl_ctx_alloc(ctx_r, LIBXL_VERSION, 0, log_xtl());

    if (rc)
        return xlc_error_set(err, -EIO, "libxl can't be used here (error "
                             "%d): is this dom0, and root?", rc);
    libxl_childproc_setmode(*ctx_r, &hooks, NULL);
    return 0;
}
