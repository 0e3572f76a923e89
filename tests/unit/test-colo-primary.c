/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-colo-primary.c - Which guests can't have --colo, in words */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "colo-primary.h"
#include "tap.h"

static libxl_device_disk disks[] = {
    { .vdev = (char *)"xvda" },
    { .vdev = (char *)"xvdb", .readwrite = 1 },
};
static libxl_device_nic nics[] = {
    { .script = (char *)"/etc/xen/scripts/vif-bridge" },
};
static libxl_domain_config cfg = {
    .disks = disks, .num_disks = 2, .nics = nics, .num_nics = 1,
};

int main(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    cfg.c_info.type = LIBXL_DOMAIN_TYPE_PVH;
    ok(!colo_primary_check(&cfg, false, &e), "a disk that is mirrored, or is "
       "refused by who looks at mirrors: %s", e.msg);
    ok(colo_primary_check(&cfg, true, &e) == -EPERM &&
       strstr(e.msg, "disk xvdb") && strstr(e.msg, "-d"),
       "rule_A14: one that both copies would write to: %s", e.msg);
    xlc_error_clear(&e);
    cfg.num_disks = 1;
    ok(!colo_primary_check(&cfg, true, &e), "a read-only one needs none: %s",
       e.msg);
    nics[0].script = (char *)"vif-route";
    ok(colo_primary_check(&cfg, false, &e) == -EPERM &&
       strstr(e.msg, "vif-route"), "another script: %s", e.msg);
    cfg.c_info.type = LIBXL_DOMAIN_TYPE_HVM;
    xlc_error_clear(&e);
    ok(colo_primary_check(&cfg, false, &e) == -EPERM && strstr(e.msg, "HVM"),
       "another kind of guest: %s", e.msg);
    cfg.c_info.type = LIBXL_DOMAIN_TYPE_PV;
    xlc_error_clear(&e);
    ok(colo_primary_check(&cfg, false, &e) == -EPERM && strstr(e.msg, "PV "),
       "another kind of guest: %s", e.msg);
    return done_testing();
}
