/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* colo-primary.c - The primary's part of --colo */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "colo-primary.h"

/* The copy's vifs leave their bridge and join it again; what another script
 * has set up (routes, rules of a firewall) would be lost by that. */
static int check_nics(const libxl_domain_config *cfg, struct xlc_error *err)
{
    for (int i = 0; i < cfg->num_nics; i++) {
        const char *script = cfg->nics[i].script;
        const char *name = script ? strrchr(script, '/') : NULL;

        name = name ? name + 1 : script;
        if (name && *name && strcmp(name, "vif-bridge"))
            return xlc_error_set(err, -EPERM, "vif %d has the script %.80s, "
                                 "and --colo can only keep vifs of "
                                 "vif-bridge; without --colo it is protected "
                                 "with that script", cfg->nics[i].devid,
                                 script);
    }
    return 0;
}

/* What the copy writes must be its own: all of them mirrored
 * (host_check_guest() sees to that) but for -d. */
static int check_disks(const libxl_domain_config *cfg, bool no_disk,
                       struct xlc_error *err)
{
    for (int i = 0; no_disk && i < cfg->num_disks; i++)
        if (cfg->disks[i].readwrite)
            return xlc_error_set(err, -EPERM, "disk %s is writable, and -d "
                                 "leaves it without a mirror: with --colo the "
                                 "copy on the other host would write to it, "
                                 "too", cfg->disks[i].vdev);
    return 0;
}

int colo_primary_check(const libxl_domain_config *cfg, bool no_disk,
                       struct xlc_error *err)
{
    int rc;

    if (cfg->c_info.type == LIBXL_DOMAIN_TYPE_PV)
        return xlc_error_set(err, -EPERM, "this is a PV guest, and the "
                             "hypervisor can't put its copy back in place, "
                             "which --colo needs; without --colo it is "
                             "protected where the hypervisor has shadow "
                             "paging; the same kernel as a PVH guest "
                             "(type=\"pvh\") can have --colo");
    if (cfg->c_info.type != LIBXL_DOMAIN_TYPE_PVH)
        return xlc_error_set(err, -EPERM, "this is an HVM guest, whose device "
                             "model can't be put back to a checkpoint once it "
                             "has run, which --colo needs; nor can it be "
                             "protected without --colo yet; the same kernel "
                             "as a PVH guest (type=\"pvh\") can");
    rc = check_disks(cfg, no_disk, err);
    return rc ? rc : check_nics(cfg, err);
}
