/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * save.c - guest_ops over the real Xen: xc_domain_save() in this process
 *
 * The stream is libxc's own Remus stream; the peer's libxl_domain_create_
 * restore() reads it. switch_qemu_logdirty is asserted by libxc for every HAP
 * guest, PVH too, which has no device model (PLATFORM 7.7).
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "capture.h"
#include "guest.h"
#include "log.h"
#include <xenguest.h>

static int on_precopy(struct precopy_stats stats, void *opaque)
{
    int r = capture_precopy(opaque, stats.iteration, stats.total_written,
                            stats.dirty_count);

    if (r < 0) return XGS_POLICY_ABORT;
    return r ? XGS_POLICY_STOP_AND_COPY : XGS_POLICY_CONTINUE_PRECOPY;
}

static int on_suspend(void *opaque)
{
    return capture_suspend(opaque);
}

static int on_postcopy(void *opaque)
{
    return capture_postcopy(opaque);
}

static int on_checkpoint(void *opaque)
{
    return capture_checkpoint(opaque);
}

static int on_qemu_logdirty(uint32_t domid, unsigned int enable, void *opaque)
{
    (void)domid, (void)enable, (void)opaque;
    return 0;
}

static int xen_save(void *opaque, int fd, struct capture *cap,
                    struct xlc_error *err)
{
    struct save_callbacks cb = {
        .suspend = on_suspend,
        .precopy_policy = on_precopy,
        .postcopy = on_postcopy,
        .checkpoint = on_checkpoint,
        .switch_qemu_logdirty = on_qemu_logdirty,
        .data = cap,
    };
    struct guest *g = opaque;
    xc_interface *xch;
    int r;

    /* Each thread its own handle; this one's errors are libxc's way of
     * saying that a call-back ended it, so they are for the debug log. */
    xch = xc_interface_open(log_xtl_debug(), log_xtl_debug(), 0);
    if (!xch)
        return xlc_error_set(err, -errno, "can't reach the hypervisor: %s",
                             strerror(errno));
    r = xc_domain_save(xch, fd, g->domid, XCFLAGS_LIVE, &cb, XC_STREAM_REMUS,
                       -1);
    if (r) r = errno ? -errno : -EIO;
    xc_interface_close(xch);
    if (r)
        return xlc_error_set(err, r, "libxc can't save domain %u: %s "
                             "(--verbose shows more)", g->domid,
                             strerror(-r));
    return 0;
}

const struct guest_ops guest_xen_ops = {
    .suspend = guest_suspend,
    .resume = guest_resume,
    .save = xen_save,
};
