/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tapdev.c - TAP devices with offloads, as the packet plane's two ends */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include "cleanup.h"
#include "tapdev.h"

_Static_assert(sizeof(struct virtio_net_hdr) == sizeof(struct packet_vnet),
               "the kernel's header and ours");

/*
 * An interface that comes up announces itself by IPv6, which would be read
 * as the guest's. Without IPv6 in the kernel there is nothing to switch off.
 */
static int disable_ipv6(const char *ifname)
{
    char path[64 + IFNAMSIZ];
    CLEANUP_FD int fd = -1;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
             ifname);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? 0 : -errno;
    return write(fd, "1", 1) == 1 ? 0 : -errno;
}

int tapdev_open(struct tapdev *t, const char *name, struct xlc_error *err)
{
    const unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    const int kind = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL;
    struct ifreq r = { .ifr_flags = (short)kind }; /* bit 15 is one of them */
    CLEANUP_FD int fd = -1;
    int size = sizeof(struct packet_vnet), ifindex, rc;

    *t = (struct tapdev)TAPDEV_INIT;
    if (strnlen(name, IFNAMSIZ) >= IFNAMSIZ)
        return xlc_error_set(err, -EINVAL, "the name of a TAP is too long");
    memcpy(r.ifr_name, name, strnlen(name, IFNAMSIZ));
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return xlc_error_set(err, -errno, "can't open /dev/net/tun: %s; is "
                             "the module tun loaded?", strerror(errno));
    if (ioctl(fd, TUNSETIFF, &r))
        return xlc_error_set(err, -errno, "can't make the TAP %s: %s", name,
                             strerror(errno));
    if (ioctl(fd, TUNSETVNETHDRSZ, &size))
        return xlc_error_set(err, -errno, "%s: can't set the length of its "
                             "headers: %s", name, strerror(errno));
    if (ioctl(fd, TUNSETOFFLOAD, offloads))
        return xlc_error_set(err, -errno, "%s: can't set its offloads: %s",
                             name, strerror(errno));
    rc = disable_ipv6(name);
    if (rc)
        return xlc_error_set(err, rc, "%s: can't switch its IPv6 off: %s",
                             name, strerror(-rc));
    ifindex = (int)if_nametoindex(name);
    if (!ifindex)
        return xlc_error_set(err, -errno, "%s: no such interface: %s", name,
                             strerror(errno));
    *t = (struct tapdev){ .fd = steal_fd(&fd), .ifindex = ifindex };
    snprintf(t->name, sizeof(t->name), "%s", name);
    return 0;
}

void tapdev_close(struct tapdev *t)
{
    if (t->fd >= 0) close(t->fd);
    *t = (struct tapdev)TAPDEV_INIT;
}

ssize_t tapdev_read(int fd, struct packet_vnet *vnet, void *frame, size_t size)
{
    uint8_t beyond;
    struct iovec v[] = {
        { vnet, sizeof(*vnet) },
        { frame, size },
        { &beyond, sizeof(beyond) }, /* the kernel cuts without a word */
    };
    ssize_t n;

    do {
        n = readv(fd, v, 3);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    if (!n) return -ENODEV; /* the other end is gone */
    if ((size_t)n <= sizeof(*vnet) || (size_t)n > sizeof(*vnet) + size)
        return -EMSGSIZE;
    return n - (ssize_t)sizeof(*vnet);
}

int tapdev_write(int fd, const struct packet_vnet *vnet, const void *frame,
              size_t len)
{
    struct iovec v[] = {
        { (void *)(uintptr_t)vnet, sizeof(*vnet) },
        { (void *)(uintptr_t)frame, len },
    };
    ssize_t n;

    do {
        n = writev(fd, v, 2);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return 1;
    switch (errno) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
        return 0;
    default:
        return -errno;
    }
}
