/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tapdev.h - TAP devices with offloads, as the packet plane's two ends
 *
 * A frame from a TAP has a virtio-net header in front: its checksum may be
 * partial and it may be a super-frame of up to 64 KiB that is still to be
 * segmented. The device exists as long as its descriptor is open: a process
 * that dies takes it along, and what was redirected to it is then dropped.
 */
#ifndef XLC_TAPDEV_H
#define XLC_TAPDEV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <net/if.h>

#include "error.h"
#include "packet.h"

/*
 * How many packets may wait to be read while the reading rests (input during
 * a checkpoint, output when the engine is full); more are lost. If all were
 * super-frames they would take 256 MiB of dom0's memory.
 */
#define TAPDEV_QUEUE 4096u

/**
 * struct tapdev - a TAP
 * @fd: to read from and write to; -1 if it is closed
 * @ifindex: the interface's
 * @name: the interface's
 */
struct tapdev {
    int fd;
    int ifindex;
    char name[IFNAMSIZ];
};

#define TAPDEV_INIT { -1, 0, "" }

/**
 * tapdev_open() - make a TAP, which is down, without IPv6 of its own
 * @name: must not exist yet
 */
int tapdev_open(struct tapdev *t, const char *name, struct xlc_error *err);

/* Closes it, which removes the interface. May be repeated. */
void tapdev_close(struct tapdev *t);

/**
 * tapdev_read() - the next frame
 * @fd: of a TAP, non-blocking
 * @vnet: its virtio-net header
 * @frame: room for @size octets
 *
 * Return: the frame's length; 0 if none waits; a negative errno. -EMSGSIZE:
 * the frame was longer than @size, and is gone
 */
ssize_t tapdev_read(int fd, struct packet_vnet *vnet, void *frame, size_t size);

/**
 * tapdev_write() - hand a frame to the kernel
 *
 * Return: 1: taken; 0: not now, wait until @fd can be written; a negative
 * errno: the kernel does not want this frame
 */
int tapdev_write(int fd, const struct packet_vnet *vnet, const void *frame,
              size_t len);

#endif
