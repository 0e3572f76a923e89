/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * devices.h - The devices a guest has, and what became of them since
 *
 * Theory of operation
 * -------------------
 * The copy on the other host has the devices that the guest had when
 * protection began. One that somebody adds later (with another toolstack, or
 * the distribution's xl by its path) is not on that copy; what a new vif
 * sends passes the network buffer by (RULES A4), and nobody mirrors a new
 * disk (RULES A14). So the set may not change under protection: devices_judge()
 * says so as soon as it does.
 *
 * Devices are what libxl's own directory lists, "/libxl/DOMID/device", and
 * the vifs of which dom0's network backend knows, whoever made them. A device
 * that goes is judged only after a while, or when it comes back: a domain
 * that is destroyed loses its devices first, and that is another end.
 *
 * Pure but for the two functions through which xenstore is read.
 */
#ifndef XLC_DEVICES_H
#define XLC_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include <net/if.h>

#include "error.h"

#define DEVICES_MAX      128
#define DEVICES_NAME_MAX 48

/* How long a device may be gone before that is a change. */
#define DEVICES_GONE_MS 5000

/**
 * struct devices_store - how xenstore is read
 * @list: names in a directory, free() releases all of it; NULL and errno
 * @read: a node's value, to be released with free(); NULL and errno
 * @h: passed on
 */
struct devices_store {
    char **(*list)(void *h, const char *path, unsigned int *n_r);
    char *(*read)(void *h, const char *path);
    void *h;
};

/**
 * struct device - one of them
 * @name: "vif/0": its class and number
 * @devid: a vif's number
 * @vif: it is a network interface; @disk: a disk; @writable: that
 * @elsewhere: another domain serves it
 * @ifname: of a vif: its interface in dom0, which may not be there yet
 * @vdev: of a disk: its name in the guest, if it is known
 */
struct device {
    char name[DEVICES_NAME_MAX];
    uint32_t devid;
    bool vif, disk, writable, elsewhere;
    char ifname[IFNAMSIZ];
    char vdev[16];
};

struct devices {
    unsigned int n;
    struct device at[DEVICES_MAX];
};

/**
 * devices_read() - the devices that domain @domid has now
 *
 * Return: 0; -E2BIG if they are too many; another negative errno if xenstore
 * does not tell
 */
int devices_read(struct devices *d, const struct devices_store *st,
                 uint32_t domid, struct xlc_error *err);

/* The one of that name, or NULL. */
const struct device *devices_find(const struct devices *d, const char *name);

/**
 * struct devices_judge - what is known of the changes
 * @was: when protection began
 * @now: at the last look
 * @gone: one that went, and since when; empty if none did
 */
struct devices_judge {
    struct devices was, now;
    char gone[DEVICES_NAME_MAX];
    uint64_t gone_ms;
};

/**
 * devices_judge() - did the set change?
 * @j: with a new @j->now
 *
 * Return: 0; -ESTALE with a sentence on what changed
 */
int devices_judge(struct devices_judge *j, uint64_t now_ms,
                  struct xlc_error *err);

#endif
