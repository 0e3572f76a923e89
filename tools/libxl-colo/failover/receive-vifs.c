/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* receive-vifs.c - Give packets their direct way after a worker; see the .h */
#include <config.h>

#include "log.h"
#include "plane.h"
#include "receive-vifs.h"

bool receive_vifs_clear(struct receive_shared *sh)
{
    struct xlc_error e = XLC_ERROR_INIT;
    bool left = false;
    struct tc tc;

    if (!sh->nvifs) return false;
    if (tc_open(&tc, &e)) {
        log_error("%s: %s", sh->name, e.msg);
        return false;
    }
    for (uint32_t i = 0; i < sh->nvifs; i++) {
        xlc_error_clear(&e);
        if (!plane_clear(&tc, sh->vif[i], &e)) continue;
        log_error("%s: %s", sh->name, e.msg);
        left = true;
    }
    tc_close(&tc);
    if (!left) sh->nvifs = 0;
    return !left;
}
