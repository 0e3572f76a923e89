/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* host.c - What a host must have before a guest is protected */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxl_utils.h>
#include <libxl_uuid.h>

#include "cleanup.h"
#include "host.h"
#include "log.h"

#define XL_LOCK       "/var/lock/xl"
#define SCRIPT_DIR    "/etc/xen/scripts"
#define NIC_SCRIPT    "vif-bridge"
#define DISK_SCRIPT   "block-colo"
#define NIC_BRIDGE    "xenbr0"

int host_xen_version(libxl_ctx *ctx, uint16_t *major_r, uint16_t *minor_r,
                     struct xlc_error *err)
{
    const libxl_version_info *v = libxl_get_version_info(ctx);

    if (!v)
        return xlc_error_set(err, -EIO, "libxl does not tell Xen's version");
    *major_r = (uint16_t)v->xen_version_major;
    *minor_r = (uint16_t)v->xen_version_minor;
    return 0;
}

int host_xl_lock(struct xlc_error *err)
{
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    CLEANUP_FD int fd = open(XL_LOCK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return xlc_error_set(err, -errno, "%s: %s", XL_LOCK,
                             strerror(errno));
    while (fcntl(fd, F_SETLKW, &fl))
        if (errno != EINTR)
            return xlc_error_set(err, -errno, "%s: %s", XL_LOCK,
                                 strerror(errno));
    return steal_fd(&fd);
}

int host_check_memory(libxl_ctx *ctx, libxl_domain_config *cfg,
                      struct xlc_error *err)
{
    uint64_t need = 0, have = 0;

    if (libxl_domain_need_memory(ctx, cfg, 0, &need) ||
        libxl_get_free_memory(ctx, &have))
        return xlc_error_set(err, -EIO, "libxl does not tell the free "
                             "memory");
    if (need <= have) return 0;
    return xlc_error_set(err, -ENOMEM, "the copy needs %llu MiB and %llu MiB "
                         "are free on this host: make room there, e.g. with "
                         "`xl mem-set 0 ...`",
                         (unsigned long long)(need >> 10) + 1,
                         (unsigned long long)(have >> 10));
}

int host_check_free_name(libxl_ctx *ctx, const char *name,
                         const uint8_t uuid[16], struct xlc_error *err)
{
    static const char *const ends[] = { "incoming", "colo" };
    uint32_t domid;
    int n = 0, clash = 0;
    libxl_dominfo *all;

    if (!libxl_name_to_domid(ctx, name, &domid))
        return xlc_error_set(err, -EEXIST, "this host has a domain %s "
                             "already (domid %u)", name, domid);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        CLEANUP_FREE char *copy = NULL;

        if (asprintf(&copy, "%s--%s", name, ends[i]) < 0) {
            copy = NULL;
            return xlc_error_set(err, -ENOMEM, "no memory");
        }
        if (!libxl_name_to_domid(ctx, copy, &domid))
            return xlc_error_set(err, -EEXIST, "this host has a domain %s "
                                 "already (domid %u): the rest of an older "
                                 "protection? `xl destroy %u` removes it",
                                 copy, domid, domid);
    }
    all = libxl_list_domain(ctx, &n);
    for (int i = 0; i < n; i++)
        if (!memcmp(libxl_uuid_bytearray(&all[i].uuid), uuid, 16))
            clash = (int)all[i].domid;
    libxl_dominfo_list_free(all, n);
    if (clash)
        return xlc_error_set(err, -EEXIST, "this host has a domain with the "
                             "guest's uuid already (domid %d)", clash);
    return 0;
}

/* A path of /etc/xen/scripts, or an absolute one. */
static bool script_exists(const char *script, char *path, size_t size)
{
    if (*script == '/') snprintf(path, size, "%s", script);
    else snprintf(path, size, "%s/%s", SCRIPT_DIR, script);
    return !access(path, X_OK);
}

int host_check_nics(const libxl_device_nic *nics, int n,
                    struct xlc_error *err)
{
    for (int i = 0; i < n; i++) {
        const char *bridge = nics[i].bridge ? nics[i].bridge : NIC_BRIDGE;
        const char *script = nics[i].script ? nics[i].script : NIC_SCRIPT;
        char path[256];

        if (!script_exists(script, path, sizeof(path)))
            return xlc_error_set(err, -ENOENT, "vif %d: this host has no "
                                 "hotplug script %s", nics[i].devid, path);
        if (!strstr(script, "bridge")) continue;
        snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", bridge);
        if (access(path, F_OK))
            return xlc_error_set(err, -ENOENT, "vif %d: this host has no "
                                 "bridge %s", nics[i].devid, bridge);
    }
    return 0;
}

int host_check_disks(const libxl_device_disk *disks, int n,
                     struct xlc_error *err)
{
    for (int i = 0; i < n; i++) {
        const char *p = disks[i].pdev_path;

        if (!p || !*p || disks[i].script) continue;
        if (*p == '/' && access(p, F_OK))
            return xlc_error_set(err, -ENOENT, "disk %s: this host has no "
                                 "%s", disks[i].vdev, p);
    }
    return 0;
}

bool host_disk_mirrored(const libxl_device_disk *d)
{
    const char *name = d->script ? strrchr(d->script, '/') : NULL;

    if (!d->script) return false;
    return !strcmp(name ? name + 1 : d->script, DISK_SCRIPT);
}

/* RULES A14: one that can be written to is mirrored, or not protected. */
static int check_writable(const libxl_device_disk *d, struct xlc_error *err)
{
    if (d->format != LIBXL_DISK_FORMAT_RAW &&
        d->format != LIBXL_DISK_FORMAT_UNKNOWN)
        return xlc_error_set(err, -EPERM, "disk %s is a %s image: only raw "
                             "images and block devices can be mirrored; "
                             "convert it (`qemu-img convert -O raw`), or make "
                             "it read-only", d->vdev,
                             libxl_disk_format_to_string(d->format));
    if (!host_disk_mirrored(d))
        return xlc_error_set(err, -EPERM, "disk %s is writable and is not "
                             "mirrored: start the guest with disk = [ "
                             "'format=raw,vdev=%s,access=rw,script="
                             DISK_SCRIPT ",target=%s' ]; with -F -d "
                             "protection leaves the disks alone: after a "
                             "failover the guest then finds whatever that "
                             "path holds on the other host", d->vdev, d->vdev,
                             d->pdev_path ? d->pdev_path : "...");
    if (!d->pdev_path || *d->pdev_path != '/')
        return xlc_error_set(err, -EPERM, "disk %s: its target must be an "
                             "absolute path", d->vdev);
    return 0;
}

bool host_has_writable_disk(const libxl_domain_config *cfg)
{
    for (int i = 0; i < cfg->num_disks; i++)
        if (cfg->disks[i].readwrite) return true;
    return false;
}

/* Devices whose state nobody carries over. */
static int check_devices(const libxl_domain_config *cfg,
                         struct xlc_error *err)
{
    const struct {
        const char *what;
        int n;
    } others[] = {
        { "PCI device", cfg->num_pcidevs },
        { "virtual framebuffer", cfg->num_vfbs },
        { "virtual keyboard", cfg->num_vkbs },
        { "virtual TPM", cfg->num_vtpms },
        { "9pfs share", cfg->num_p9s },
        { "PV calls device", cfg->num_pvcallsifs },
        { "virtual display", cfg->num_vdispls },
        { "virtual sound card", cfg->num_vsnds },
        { "channel", cfg->num_channels },
        { "USB controller", cfg->num_usbctrls },
        { "USB device", cfg->num_usbdevs },
        { "device tree device", cfg->num_dtdevs },
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (others[i].n)
            return xlc_error_set(err, -EPERM, "the guest has a %s, which "
                                 "can't be protected", others[i].what);
    if (cfg->b_info.num_vnuma_nodes)
        return xlc_error_set(err, -EPERM, "the guest has virtual NUMA "
                             "nodes, which can't be protected");
    return 0;
}

static int check_type(libxl_ctx *ctx, const libxl_domain_config *cfg,
                      struct xlc_error *err)
{
    libxl_physinfo phys;
    bool shadow;

    if (cfg->c_info.type == LIBXL_DOMAIN_TYPE_PVH) return 0;
    if (cfg->c_info.type != LIBXL_DOMAIN_TYPE_PV)
        return xlc_error_set(err, -EPERM, "HVM guests can't be protected "
                             "yet; the same kernel as a PVH guest "
                             "(type=\"pvh\") can");
    libxl_physinfo_init(&phys);
    if (libxl_get_physinfo(ctx, &phys))
        return xlc_error_set(err, -EIO, "libxl does not tell what this "
                             "machine can do");
    shadow = phys.cap_shadow;
    libxl_physinfo_dispose(&phys);
    if (!shadow)
        return xlc_error_set(err, -EOPNOTSUPP, "this hypervisor was built "
                             "without shadow paging, so it can't log the "
                             "pages a PV guest writes (nor migrate one "
                             "live); boot the same kernel as a PVH guest "
                             "(type=\"pvh\") and protect that");
    return 0;
}

int host_check_guest(libxl_ctx *ctx, const libxl_domain_config *cfg,
                     bool no_disk, struct xlc_error *err)
{
    int r = check_type(ctx, cfg, err);

    if (!r) r = check_devices(cfg, err);
    if (r) return r;
    for (int i = 0; i < cfg->num_nics; i++)
        if (cfg->nics[i].backend_domid || cfg->nics[i].backend_domname)
            return xlc_error_set(err, -EPERM, "vif %d is served by a driver "
                                 "domain: its output can't be held back "
                                 "from here", cfg->nics[i].devid);
    for (int i = 0; i < cfg->num_disks; i++) {
        const libxl_device_disk *d = &cfg->disks[i];

        if (d->backend_domid || d->backend_domname)
            return xlc_error_set(err, -EPERM, "disk %s is served by a driver "
                                 "domain, which can't be protected",
                                 d->vdev);
        if (d->readwrite && !no_disk) r = check_writable(d, err);
        if (r) return r;
    }
    return 0;
}
